package schema

import "strconv"

// connectJSON appends a node as Kafka's JsonConverter writes a schema into each record.
func connectJSON(dst []byte, n *node) []byte { return append(appendConnectJSON(dst, n), '}') }

// appendConnectJSON appends all of a schema but the closing brace, so that a field's name can follow.
func appendConnectJSON(dst []byte, n *node) []byte {
	if n.kind == nodeArray && n.items.name == mapEntryName {
		dst = append(dst, `{"type":"map","keys":`...)
		dst = connectJSON(dst, n.items.fields[0].node)
		dst = append(dst, `,"values":`...)
		return append(connectJSON(dst, n.items.fields[1].node), `,"optional":false`...)
	}
	dst = append(append(dst, `{"type":`...), connectKind(n.kind)...)
	switch n.kind {
	case nodeArray:
		dst = append(dst, `,"items":`...)
		dst = connectJSON(dst, n.items)
	case nodeMap:
		dst = append(dst, `,"keys":{"type":"string","optional":false},"values":`...)
		dst = connectJSON(dst, n.items)
	case nodeStruct:
		dst = append(dst, `,"fields":[`...)
		for i, f := range n.fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendConnectJSON(dst, f.node)
			dst = append(dst, `,"field":`...)
			dst = appendJSONString(dst, f.name)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	dst = append(dst, `,"optional":`...)
	dst = strconv.AppendBool(dst, n.optional)
	if n.name != "" {
		dst = append(dst, `,"name":`...)
		dst = appendJSONString(dst, n.name)
	}
	if n.version != 0 {
		dst = append(dst, `,"version":`...)
		dst = strconv.AppendInt(dst, int64(n.version), 10)
	}
	if n.doc != "" {
		dst = append(dst, `,"doc":`...)
		dst = appendJSONString(dst, n.doc)
	}
	if len(n.params) > 0 {
		dst = append(dst, `,"parameters":`...)
		dst = appendParams(dst, n.params)
	}
	if n.def != nil {
		w := writer{dst: append(dst, `,"default":`...), json: true}
		writeLiteral(&w, n)
		dst = w.dst
	}
	return dst
}

// connectKind returns a kind's name in JsonConverter's schemas, quoted.
func connectKind(kind nodeKind) string {
	switch kind {
	case nodeBoolean:
		return `"boolean"`
	case nodeInt8:
		return `"int8"`
	case nodeInt16:
		return `"int16"`
	case nodeInt32:
		return `"int32"`
	case nodeInt64:
		return `"int64"`
	case nodeFloat32:
		return `"float"`
	case nodeFloat64:
		return `"double"`
	case nodeString:
		return `"string"`
	case nodeBytes:
		return `"bytes"`
	case nodeArray:
		return `"array"`
	case nodeMap:
		return `"map"`
	}
	return `"struct"`
}

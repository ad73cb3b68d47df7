package schema

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// The Connect names that Avro has logical types for.
const (
	decimalName   = "org.apache.kafka.connect.data.Decimal"
	dateName      = "org.apache.kafka.connect.data.Date"
	timeName      = "org.apache.kafka.connect.data.Time"
	timestampName = "org.apache.kafka.connect.data.Timestamp"
)

// avroText appends the Avro schema of a node as Confluent's AvroConverter registers it. Registries hash
// the text, so every property stands exactly where that converter puts it; nothing here may be left to
// an Avro library.
func avroText(dst []byte, n *node) []byte {
	r := avroRenderer{dst: dst, defined: make(map[string]bool)}
	r.schema(n, "")
	return r.dst
}

// avroRenderer is one rendering: a record is written in full where it first occurs, by name later.
type avroRenderer struct {
	dst     []byte
	defined map[string]bool // by full name
	unnamed int
}

// schema appends a node's type, which is a union if it is optional. The union starts with the type of
// its default: null when there is none.
func (r *avroRenderer) schema(n *node, namespace string) {
	switch {
	case !n.optional:
		r.base(n, namespace)
	case n.def != nil:
		r.dst = append(r.dst, '[')
		r.base(n, namespace)
		r.dst = append(r.dst, `,"null"]`...)
	default:
		r.dst = append(r.dst, `["null",`...)
		r.base(n, namespace)
		r.dst = append(r.dst, ']')
	}
}

// base appends a node's type without its union, in short form when it has no property.
func (r *avroRenderer) base(n *node, namespace string) {
	switch n.kind {
	case nodeStruct:
		r.record(n, namespace)
		return
	case nodeArray, nodeMap:
		key := `"items":`
		if n.kind == nodeMap {
			key = `"values":`
		}
		r.dst = append(append(r.dst, `{"type":`...), avroKind(n.kind)...)
		r.dst = append(append(r.dst, ','), key...)
		r.schema(n.items, namespace)
		r.properties(n)
		r.dst = append(r.dst, '}')
		return
	}
	start := len(r.dst)
	r.dst = append(append(r.dst, `{"type":`...), avroKind(n.kind)...)
	bare := len(r.dst)
	if n.name == decimalName {
		r.dst = append(append(r.dst, `,"scale":`...), n.param("scale", "0")...)
		r.dst = append(append(r.dst, `,"precision":`...), n.param("connect.decimal.precision", "64")...)
	}
	r.properties(n)
	switch {
	case n.kind == nodeInt8:
		r.dst = append(r.dst, `,"connect.type":"int8"`...)
	case n.kind == nodeInt16:
		r.dst = append(r.dst, `,"connect.type":"int16"`...)
	}
	r.logicalType(n)
	if len(r.dst) == bare {
		r.dst = append(r.dst[:start], avroKind(n.kind)...)
		return
	}
	r.dst = append(r.dst, '}')
}

// record appends a struct: its definition, or its name when that stands further up.
func (r *avroRenderer) record(n *node, enclosing string) {
	full := n.name
	if full == "" {
		full = "io.confluent.connect.avro.ConnectDefault"
		if r.unnamed++; r.unnamed > 1 {
			full += strconv.Itoa(r.unnamed)
		}
	}
	namespace, name := "", full
	if dot := strings.LastIndexByte(full, '.'); dot >= 0 {
		namespace, name = full[:dot], full[dot+1:]
	}
	if r.defined[full] {
		if namespace == enclosing {
			full = name
		}
		r.dst = appendJSONString(r.dst, full)
		return
	}
	r.defined[full] = true
	r.dst = append(r.dst, `{"type":"record","name":`...)
	r.dst = appendJSONString(r.dst, name)
	if namespace != enclosing {
		r.dst = append(r.dst, `,"namespace":`...)
		r.dst = appendJSONString(r.dst, namespace)
	}
	r.dst = append(r.dst, `,"fields":[`...)
	for i, f := range n.fields {
		if i > 0 {
			r.dst = append(r.dst, ',')
		}
		r.field(f, namespace)
	}
	r.dst = append(r.dst, ']')
	r.properties(n)
	r.dst = append(r.dst, '}')
}

// field appends a record's field.
func (r *avroRenderer) field(f field, namespace string) {
	r.dst = append(r.dst, `{"name":`...)
	r.dst = appendJSONString(r.dst, f.name)
	r.dst = append(r.dst, `,"type":`...)
	r.schema(f.node, namespace)
	switch {
	case f.node.def != nil:
		r.dst = append(r.dst, `,"default":`...)
		r.dst = appendFieldDefault(r.dst, f.node)
	case f.node.optional:
		r.dst = append(r.dst, `,"default":null`...)
	}
	r.dst = append(r.dst, '}')
}

// properties appends what AvroData keeps of a Connect schema, in its order.
func (r *avroRenderer) properties(n *node) {
	if n.doc != "" {
		r.dst = append(r.dst, `,"connect.doc":`...)
		r.dst = appendJSONString(r.dst, n.doc)
	}
	if n.version != 0 {
		r.dst = append(r.dst, `,"connect.version":`...)
		r.dst = strconv.AppendInt(r.dst, int64(n.version), 10)
	}
	if len(n.params) > 0 {
		r.dst = append(r.dst, `,"connect.parameters":`...)
		r.dst = appendParams(r.dst, n.params)
	}
	if n.def != nil {
		r.dst = append(r.dst, `,"connect.default":`...)
		r.dst = appendAvroDefault(r.dst, n)
	}
	if n.name != "" && n.name != mapEntryName { // the converter's own record has no Connect schema
		r.dst = append(r.dst, `,"connect.name":`...)
		r.dst = appendJSONString(r.dst, n.name)
	}
}

// logicalType appends the Avro logical type that the node's name stands for.
func (r *avroRenderer) logicalType(n *node) {
	switch n.name {
	case decimalName:
		r.dst = append(r.dst, `,"logicalType":"decimal"`...)
	case dateName:
		r.dst = append(r.dst, `,"logicalType":"date"`...)
	case timeName:
		r.dst = append(r.dst, `,"logicalType":"time-millis"`...)
	case timestampName:
		r.dst = append(r.dst, `,"logicalType":"timestamp-millis"`...)
	}
}

// param returns a parameter's value, or the fallback if the node does not have it.
func (n *node) param(key, fallback string) string {
	for _, p := range n.params {
		if p.key == key {
			return p.value
		}
	}
	return fallback
}

// appendParams appends parameters as a JSON object.
func appendParams(dst []byte, params []param) []byte {
	for i, p := range params {
		if i == 0 {
			dst = append(dst, '{')
		} else {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, p.key)
		dst = append(dst, ':')
		dst = appendJSONString(dst, p.value)
	}
	return append(dst, '}')
}

// appendFieldDefault appends the default of a field, where Avro's Java library has made doubles of floats.
func appendFieldDefault(dst []byte, n *node) []byte {
	if n.kind == nodeFloat32 {
		return appendJavaFloat(dst, n.def.real, 64)
	}
	return appendAvroDefault(dst, n)
}

// appendAvroDefault appends a node's default as Avro's JSON has it: bytes are a string with one
// character of U+0000 to U+00FF for each byte.
func appendAvroDefault(dst []byte, n *node) []byte {
	if n.kind == nodeBytes {
		latin := make([]byte, 0, 2*len(n.def.text))
		for i := range len(n.def.text) {
			latin = utf8.AppendRune(latin, rune(n.def.text[i]))
		}
		return appendJSONString(dst, latin)
	}
	w := writer{dst: dst, json: true}
	writeLiteral(&w, n)
	return w.dst
}

// avroKind returns a kind's Avro type, quoted.
func avroKind(kind nodeKind) string {
	switch kind {
	case nodeBoolean:
		return `"boolean"`
	case nodeInt8, nodeInt16, nodeInt32:
		return `"int"`
	case nodeInt64:
		return `"long"`
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
	return `"record"`
}

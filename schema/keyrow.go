package schema

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
)

// KeyRow turns a key that was written under KeySchema, without the registry's prefix, into a row whose key
// columns are Encoded: what a delete needs of a row that the database no longer has. It returns nil for
// what is no such key, and where keys and values have different formats. The row points into the key.
func (c *Codec) KeyRow(key []byte) Row {
	if !c.HasKey() || c.keyFrame.json != c.valueFrame.json {
		return nil
	}
	row := make(Row, len(c.relation.Columns))
	for i := range row {
		row[i].Kind = Absent
	}
	fits := false
	if c.keyFrame.json {
		fits = c.jsonKeyRow(row, key)
	} else {
		fits = c.avroKeyRow(row, key)
	}
	if !fits {
		return nil
	}
	return row
}

// avroKeyRow fills in the columns of a key in Avro, whose fields follow each other.
func (c *Codec) avroKeyRow(row Row, key []byte) bool {
	for i := range c.key {
		field := &c.key[i]
		null, rest, ok := field.node.branch(key)
		if !ok {
			return false
		}
		if null {
			row[field.index], key = Datum{}, rest
			continue
		}
		behind, ok := field.node.skip(rest)
		if !ok {
			return false
		}
		row[field.index] = Datum{Kind: Encoded, Text: rest[:len(rest)-len(behind)]}
		key = behind
	}
	return len(key) == 0
}

// jsonKeyRow fills in the columns of a key in JSON.
func (c *Codec) jsonKeyRow(row Row, key []byte) bool {
	if c.keyFrame.prefix != nil {
		payload, is := bytes.CutPrefix(key, c.keyFrame.prefix)
		if !is || len(payload) == 0 {
			return false
		}
		key = payload[:len(payload)-1]
	}
	var values map[string]json.RawMessage
	if json.Unmarshal(key, &values) != nil || len(values) != len(c.key) {
		return false
	}
	for i := range c.key {
		value, is := values[c.key[i].name]
		switch {
		case !is:
			return false
		case string(value) == "null":
			row[c.key[i].index] = Datum{}
		default:
			row[c.key[i].index] = Datum{Kind: Encoded, Text: value}
		}
	}
	return true
}

// branch reads which side of an optional node's union follows; a node that is not optional has none.
func (n *node) branch(p []byte) (null bool, rest []byte, ok bool) {
	if !n.optional {
		return false, p, true
	}
	if len(p) == 0 || p[0] != 0 && p[0] != 2 {
		return false, p, false
	}
	// The default's type comes first: see writer.null.
	return (p[0] == 0) != (n.def != nil), p[1:], true
}

// skip passes over a value of the node in Avro, without its union's branch, and returns what follows.
func (n *node) skip(p []byte) ([]byte, bool) {
	switch n.kind {
	case nodeBoolean:
		return cut(p, 1)
	case nodeFloat32:
		return cut(p, 4)
	case nodeFloat64:
		return cut(p, 8)
	case nodeInt8, nodeInt16, nodeInt32, nodeInt64:
		_, size := binary.Varint(p)
		if size <= 0 {
			return p, false
		}
		return p[size:], true
	case nodeString, nodeBytes:
		length, size := binary.Varint(p)
		if size <= 0 || length < 0 {
			return p, false
		}
		return cut(p[size:], length)
	case nodeStruct:
		for _, f := range n.fields {
			var ok bool
			if p, ok = f.node.skipWhole(p); !ok {
				return p, false
			}
		}
		return p, true
	}
	return n.skipBlocks(p)
}

// skipWhole passes over a value with its union's branch.
func (n *node) skipWhole(p []byte) ([]byte, bool) {
	null, rest, ok := n.branch(p)
	if null || !ok {
		return rest, ok
	}
	return n.skip(rest)
}

// skipBlocks passes over an array or a map: blocks of as many items as each says, up to an empty one. The
// codec writes no block with a size before it.
func (n *node) skipBlocks(p []byte) ([]byte, bool) {
	for {
		count, size := binary.Varint(p)
		if size <= 0 || count < 0 || count > int64(len(p)) {
			return p, false
		}
		p = p[size:]
		if count == 0 {
			return p, true
		}
		for range count {
			ok := true
			if n.kind == nodeMap {
				p, ok = requiredString.skip(p)
			}
			if ok {
				p, ok = n.items.skipWhole(p)
			}
			if !ok {
				return p, false
			}
		}
	}
}

// cut drops the first n bytes.
func cut(p []byte, n int64) ([]byte, bool) {
	if n < 0 || n > int64(len(p)) {
		return p, false
	}
	return p[n:], true
}

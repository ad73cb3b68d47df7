package schema

import "strconv"

// nodeKind is the Connect type of a node.
type nodeKind uint8

// The Connect types that a Postgres column can have.
const (
	nodeBoolean nodeKind = iota
	nodeInt8
	nodeInt16
	nodeInt32
	nodeInt64
	nodeFloat32
	nodeFloat64
	nodeString
	nodeBytes
	nodeArray
	nodeMap // its keys are always required strings
	nodeStruct
)

// node is a Connect schema: the one description from which the Avro text, the JSON schema and the
// unions around a value all follow. A tree of nodes is not changed once a Codec uses it; a node may
// stand in several places of it, as a table's row does in before and after.
type node struct {
	kind nodeKind
	// name is the semantic name, such as io.debezium.time.Date, or a struct's full name; version belongs
	// to it, and 0 is none.
	name     string
	version  int
	params   []param
	optional bool
	def      *literal // nil is no default
	doc      string
	fields   []field // of a struct
	items    *node   // of an array its items, of a map its values
}

// param is one entry of a node's parameters, which keep the order in which they were set.
type param struct{ key, value string }

// field is one field of a struct.
type field struct {
	name string
	node *node
}

// literal is a default in its Connect representation: integer holds every integer type, real both
// float types, and text both strings and bytes (a Decimal is its unscaled big-endian bytes).
type literal struct {
	kind    nodeKind
	boolean bool
	integer int64
	real    float64
	text    string
}

func literalBool(v bool) *literal     { return &literal{kind: nodeBoolean, boolean: v} }
func literalInt(v int64) *literal     { return &literal{kind: nodeInt64, integer: v} }
func literalFloat(v float64) *literal { return &literal{kind: nodeFloat64, real: v} }
func literalString(v string) *literal { return &literal{kind: nodeString, text: v} }
func literalBytes(v []byte) *literal  { return &literal{kind: nodeBytes, text: string(v)} }

// writeLiteral writes the node's default as a datum, without a union's branch: what Connect puts in
// the place of a null.
func writeLiteral(w *writer, n *node) {
	l := n.def
	switch n.kind {
	case nodeBoolean:
		w.boolean(l.boolean)
	case nodeInt8, nodeInt16, nodeInt32, nodeInt64:
		w.integer(l.integer)
	case nodeFloat32:
		w.float32(float32(l.real))
	case nodeFloat64:
		w.float64(l.real)
	case nodeString:
		w.textString(l.text)
	case nodeBytes:
		w.bytesString(l.text)
	default: // Debezium drops a default of an array, a map or a struct, so no such node has one
		panic("tributary: default of a node of kind " + strconv.Itoa(int(n.kind)))
	}
}

package schema

import (
	"bytes"
	"encoding/binary"
)

// optionalNode returns a nullable node without a name.
func optionalNode(kind nodeKind) *node { return &node{kind: kind, optional: true} }

// pointForm is the form of point: its coordinates, and the same again as well-known binary of 21 bytes:
//
//	01            little-endian
//	01 00 00 00   a point
//	x, y          two doubles
//
// Postgres's point knows no reference system, so that srid is always null.
func pointForm(request) form {
	n := named(nodeStruct, "io.debezium.data.geometry.Point")
	n.doc = "Geometry (POINT)"
	wkb, srid := optionalNode(nodeBytes), optionalNode(nodeInt32)
	n.fields = []field{
		{"x", &node{kind: nodeFloat64}}, {"y", &node{kind: nodeFloat64}}, {"wkb", wkb}, {"srid", srid},
	}
	put := func(w *writer, x, y float64) {
		w.structBegin()
		w.fieldName(0, "x")
		w.float64(x)
		w.fieldName(1, "y")
		w.float64(y)
		w.fieldName(2, "wkb")
		w.present(wkb)
		w.scratch = append(w.scratch[:0], 1, 1, 0, 0, 0) // little-endian, a point
		w.scratch = binary.LittleEndian.AppendUint64(w.scratch, doubleBits(x))
		w.scratch = binary.LittleEndian.AppendUint64(w.scratch, doubleBits(y))
		w.bytes(w.scratch)
		w.fieldName(3, "srid")
		w.null(srid)
		w.structEnd()
	}
	return form{node: n, zero: func(w *writer) { put(w, 0, 0) }, write: func(w *writer, text []byte) error {
		comma := bytes.IndexByte(text, ',')
		if len(text) < 2 || text[0] != '(' || text[len(text)-1] != ')' || comma < 0 {
			return badText("point", "two numbers in parentheses", 0)
		}
		x, _, err := parseFloat(text[1:comma], 64)
		if err != nil {
			return badText("point", "a number", 1)
		}
		y, _, err := parseFloat(text[comma+1:len(text)-1], 64)
		if err != nil {
			return badText("point", "a number", comma+1)
		}
		put(w, x, y)
		return nil
	}}
}

// geometryForm is the form of PostGIS's geometry, whose own schema is optional.
func geometryForm(request) form {
	f := wkbForm("Geometry")
	f.node.optional = true
	return f
}

// geographyForm is the form of PostGIS's geography.
func geographyForm(request) form { return wkbForm("Geography") }

// wkbForm is the form of a type whose text is extended well-known binary in hexadecimal. The bytes are passed
// on as they are, with the id of the reference system, which stands beside them once more.
func wkbForm(name string) form {
	n := named(nodeStruct, "io.debezium.data.geometry."+name)
	n.doc = name
	srid := optionalNode(nodeInt32)
	n.fields = []field{{"wkb", &node{kind: nodeBytes}}, {"srid", srid}}
	put := func(w *writer, wkb []byte, id int64, hasID bool) {
		w.structBegin()
		w.fieldName(0, "wkb")
		w.bytes(wkb)
		w.fieldName(1, "srid")
		if hasID {
			w.present(srid)
			w.integer(id)
		} else {
			w.null(srid)
		}
		w.structEnd()
	}
	return form{
		node: n,
		zero: func(w *writer) {
			// An empty collection: little-endian, type 7, no members.
			w.scratch = append(w.scratch[:0], 1, 7, 0, 0, 0, 0, 0, 0, 0)
			put(w, w.scratch, 0, false)
		},
		write: func(w *writer, text []byte) error {
			wkb, err := decodeHex(w, "geometry", text, 0)
			if err != nil {
				return err
			}
			id, hasID, err := spatialReference(wkb)
			if err == nil {
				put(w, wkb, id, hasID)
			}
			return err
		},
	}
}

// spatialReference returns the id that extended well-known binary may carry:
//
//	byte order  1 byte, 1 is little-endian
//	type        4 bytes; the flag 0x20000000 says that an id follows
//	id          4 bytes
func spatialReference(wkb []byte) (id int64, ok bool, err error) {
	if len(wkb) < 5 || wkb[0] > 1 {
		return 0, false, badText("geometry", "a byte order and a type", 0)
	}
	read := binary.BigEndian.Uint32
	if wkb[0] == 1 {
		read = binary.LittleEndian.Uint32
	}
	if read(wkb[1:])&0x20000000 == 0 {
		return 0, false, nil
	}
	if len(wkb) < 9 {
		return 0, false, badText("geometry", "a spatial reference id", 10)
	}
	return int64(int32(read(wkb[5:]))), true, nil
}

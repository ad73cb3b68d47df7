package schema

import (
	"bytes"
	"math"
)

// errDimensions is a sparse vector whose dimensions do not fit Debezium's schema.
var errDimensions = &unrepresentable{reason: "its dimensions do not fit 16 bits"}

// mapEntryName is the record that Confluent's converter makes of a map's entry when keys are no strings.
const mapEntryName = "io.confluent.connect.avro.MapEntry"

// vectorForm is the form of pgvector's vector.
func vectorForm(request) form {
	return denseForm("io.debezium.data.DoubleVector", nodeFloat64, func(w *writer, text []byte) error {
		v, _, err := parseFloat(text, 64)
		if err == nil {
			w.float64(v)
		}
		return err
	})
}

// halfvecForm is the form of pgvector's halfvec.
func halfvecForm(request) form {
	return denseForm("io.debezium.data.FloatVector", nodeFloat32, func(w *writer, text []byte) error {
		v, _, err := parseFloat(text, 32)
		if err == nil {
			w.float32(float32(v))
		}
		return err
	})
}

// denseForm is the form of a vector that prints as [1,2.5].
func denseForm(name string, kind nodeKind, item func(*writer, []byte) error) form {
	n := named(nodeArray, name)
	n.items = &node{kind: kind}
	return form{
		node: n,
		zero: func(w *writer) {
			w.arrayBegin(0)
			w.arrayEnd(0)
		},
		write: func(w *writer, text []byte) error {
			if len(text) < 2 || text[0] != '[' || text[len(text)-1] != ']' {
				return badText("vector", "brackets", 0)
			}
			return writeList(w, text[1:len(text)-1], "vector", item)
		},
	}
}

// writeList writes an array of what stands between commas. An item writes itself, and its error is replaced
// by one that tells where in the vector it stands: the item knows its own text only.
func writeList(w *writer, list []byte, form string, item func(*writer, []byte) error) error {
	n := 0
	if len(list) > 0 {
		n = bytes.Count(list, []byte{','}) + 1
	}
	w.arrayBegin(n)
	for i, at := 0, 0; i < n; i++ {
		text, _, _ := bytes.Cut(list[at:], []byte{','})
		w.item(i)
		if item(w, text) != nil {
			return badText(form, "a number", 1+at) // a bracket stands before the list
		}
		at += len(text) + 1
	}
	w.arrayEnd(n)
	return nil
}

// sparsevecForm is the form of pgvector's sparsevec, which prints as {1:1.5,3:2}/5: what is not zero, and the
// number of dimensions. A map with numbers for keys is an array of records in Avro.
func sparsevecForm(request) form {
	n := named(nodeStruct, "io.debezium.data.SparseDoubleVector")
	n.doc = "Sparse double vector"
	entry := &node{kind: nodeStruct, name: mapEntryName, fields: []field{
		{"key", &node{kind: nodeInt16}}, {"value", &node{kind: nodeFloat64}},
	}}
	n.fields = []field{{"dimensions", &node{kind: nodeInt16}}, {"vector", &node{kind: nodeArray, items: entry}}}
	return form{
		node: n,
		zero: func(w *writer) {
			w.structBegin()
			w.fieldName(0, "dimensions")
			w.integer(0)
			w.fieldName(1, "vector")
			w.arrayBegin(0)
			w.arrayEnd(0)
			w.structEnd()
		},
		write: writeSparse,
	}
}

// writeSparse writes a sparse vector. Its indexes count from 1, as in its text.
func writeSparse(w *writer, text []byte) error {
	slash := bytes.LastIndexByte(text, '/')
	if slash < 2 || text[0] != '{' || text[slash-1] != '}' {
		return badText("sparse vector", "{...}/n", 0)
	}
	dimensions, err := parseInteger(text[slash+1:], 32)
	if err != nil {
		return badText("sparse vector", "a number of dimensions", slash+1)
	}
	if dimensions > math.MaxInt16 {
		return errDimensions
	}
	w.structBegin()
	w.fieldName(0, "dimensions")
	w.integer(dimensions)
	w.fieldName(1, "vector")
	if err := writeList(w, text[1:slash-1], "sparse vector", writeSparseEntry); err != nil {
		return err
	}
	w.structEnd()
	return nil
}

// writeSparseEntry writes one entry of a sparse vector. JsonConverter has arrays of two where Avro has a
// record.
func writeSparseEntry(w *writer, text []byte) error {
	key, value, ok := bytes.Cut(text, []byte{':'})
	if !ok {
		return badText("sparse vector", "a colon", 0)
	}
	index, err := parseInteger(key, 16)
	if err != nil {
		return err
	}
	v, _, err := parseFloat(value, 64)
	if err != nil {
		return err
	}
	if w.json {
		w.arrayBegin(2)
	}
	w.integer(index)
	if w.json {
		w.item(1)
	}
	w.float64(v)
	if w.json {
		w.arrayEnd(2)
	}
	return nil
}

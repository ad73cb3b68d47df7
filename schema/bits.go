package schema

import (
	"math"
	"strconv"
)

// errEmptyBit is the value of an empty bit string in a column that is a boolean.
var errEmptyBit = &unrepresentable{reason: "an empty bit string is neither true nor false"}

// errBits is a bit string in a column that Debezium takes for a single bit.
var errBits = &unrepresentable{reason: "more than one bit in a column whose schema is boolean"}

// bitForm is the form of bit and varbit: a boolean for a length of one, else Bits. The modifier of these two
// types is the length itself, where other types add four to it.
func bitForm(r request) form {
	length := int(r.typmod)
	if length < 0 {
		length = math.MaxInt32
		if r.options.Debezium && r.typ.Name == "bit" {
			length = 1 // a bit column made by a query has no length, and the driver says -1
		}
	}
	if length == 1 {
		return form{node: &node{kind: nodeBoolean}, zero: func(w *writer) { w.boolean(false) }, write: writeBit}
	}
	n := named(nodeBytes, "io.debezium.data.Bits")
	n.params = []param{{"length", strconv.Itoa(length)}}
	return form{node: n, zero: zeroBytes, write: writeBits}
}

// writeBit writes a bit string of one bit as a boolean.
func writeBit(w *writer, text []byte) error {
	if len(text) == 0 {
		return errEmptyBit
	}
	if at := badBit(text); at >= 0 {
		return badText("bit string", "0 or 1", at)
	}
	if len(text) > 1 {
		return errBits
	}
	w.boolean(text[0] == '1')
	return nil
}

// writeBits writes a bit string little-endian: the last bit is the lowest of the first byte. There are
// only as many bytes as the highest set bit needs, as a BitSet of Java has it:
//
//	1010101            55
//	0000000100000010   02 01
//	1000000            40
//	0000000            nothing at all
//
// So a varbit's own length is lost in every mode; a consumer has only the column's length, from the schema.
func writeBits(w *writer, text []byte) error {
	if at := badBit(text); at >= 0 {
		return badText("bit string", "0 or 1", at)
	}
	w.scratch = w.scratch[:0]
	highest := 0
	for i := range text {
		if i%8 == 0 {
			w.scratch = append(w.scratch, 0)
		}
		if text[len(text)-1-i] == '1' {
			w.scratch[i/8] |= 1 << (i % 8)
			highest = i/8 + 1
		}
	}
	w.bytes(w.scratch[:highest])
	return nil
}

// badBit returns the index of the first byte that is no bit, -1 if there is none.
func badBit(text []byte) int {
	for i, c := range text {
		if c != '0' && c != '1' {
			return i
		}
	}
	return -1
}

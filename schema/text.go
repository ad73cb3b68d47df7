package schema

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unsafe"
)

// jsonName is the semantic name of JSON texts.
const jsonName = "io.debezium.data.Json"

// enumName is the semantic name of enums.
const enumName = "io.debezium.data.Enum"

// syntaxError says that a value's text is not what Postgres prints for its type. It holds a position and
// never the text.
type syntaxError struct {
	form, want string
	at         int
}

// Error names the form that was read, where it ended and what should have stood there.
func (e *syntaxError) Error() string {
	return "read " + e.form + ": want " + e.want + " at byte " + strconv.Itoa(e.at)
}

// badText returns the error for a text that at byte at does not hold what the form wants.
func badText(form, want string, at int) error { return &syntaxError{form: form, want: want, at: at} }

// stringOf returns b's bytes as a string without a copy, for functions of the standard library that take
// strings only. It must not outlive b.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// named returns a node with a semantic name, whose version is 1 for everything that Debezium names.
func named(kind nodeKind, name string) *node {
	n := &node{kind: kind, name: name}
	if name != "" {
		n.version = 1
	}
	return n
}

// zeroText and zeroBytes, zeroInteger and zeroFloat are the fallbacks of the plain types.
func zeroText(w *writer)    { w.textString("") }
func zeroBytes(w *writer)   { w.bytes(nil) }
func zeroInteger(w *writer) { w.integer(0) }

// writeText writes a text as it is.
func writeText(w *writer, text []byte) error {
	w.text(text)
	return nil
}

// placeholderText returns the function that writes the TOAST placeholder as a string.
func placeholderText(o *Options) func(*writer) error {
	text := o.textPlaceholder()
	return func(w *writer) error { return writeText(w, text) }
}

// stringForm is the form of the types that are written as the server prints them.
func stringForm(name string) func(request) form {
	return func(r request) form {
		return form{
			node: named(nodeString, name), write: writeText, zero: zeroText,
			unchanged: placeholderText(r.options),
		}
	}
}

// errName is the value of a column of type name in Debezium's stream: its value resolver has no case for
// the type, though the snapshot's driver has.
var errName = &unrepresentable{reason: "Debezium's stream reads the type name as null"}

// nameForm is the form of the type name.
func nameForm(r request) form {
	f := stringForm("")(r)
	// With include.unknown.datatypes its stream reads what it has no case for as text.
	if !r.options.Debezium || r.options.UnknownTypes {
		return f
	}
	notNull := r.notNull
	f.write = func(w *writer, text []byte) error {
		switch {
		case w.snapshot:
			return writeText(w, text)
		case notNull:
			w.textString("")
			return nil
		}
		return errName
	}
	return f
}

// enumForm is the form of an enum: its label, and in the schema all of them in sort order.
func enumForm(r request) form {
	f := stringForm(enumName)(r)
	f.node.params = []param{{"allowed", strings.Join(r.typ.Labels, ",")}}
	return f
}

// unknownForm is the form of a type that Debezium knows nothing of: the bytes of its text, in the form
// that bytea has.
func unknownForm(r request) form {
	f := binaryForm(r)
	mode := r.options.Binary
	geometric := isGeometric(r.typ)
	f.write = func(w *writer, text []byte) error {
		if geometric {
			w.scratch = appendJavaNumbers(w.scratch[:0], text)
			text = append(w.element[:0], w.scratch...)
			w.element = text
		}
		writeBinary(w, mode, text)
		return nil
	}
	return f
}

// isGeometric says that a type is one of those that the driver makes an object of, and Debezium a text of
// that.
func isGeometric(t *Type) bool {
	switch t.OID {
	case oidBox, oidLseg, oidPath, oidPolygon, oidLine, oidCircle:
		return true
	}
	return false
}

// The geometric types besides point, from Postgres's pg_type.dat.
const (
	oidLseg    = 601
	oidPath    = 602
	oidBox     = 603
	oidPolygon = 604
	oidLine    = 628
	oidCircle  = 718
)

// appendJavaNumbers appends a text with every number in it as Java prints doubles.
func appendJavaNumbers(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		end := i
		for end < len(text) && bytes.IndexByte([]byte("()[]{}<>,"), text[end]) < 0 {
			end++
		}
		v, inRange, err := parseFloat(text[i:end], 64)
		switch {
		case end == i:
			dst, end = append(dst, text[i]), i+1
		case err != nil || !inRange:
			dst = append(dst, text[i:end]...)
		case math.IsNaN(v) || math.IsInf(v, 0):
			dst = append(dst, text[i:end]...) // Java and Postgres have the same words for them
		default:
			dst = appendJavaFloat(dst, v, 64)
		}
		i = end
	}
	return dst
}

package schema

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// writer appends Connect values to dst, either as Avro binary or as JSON in the form that Kafka's
// JsonConverter gives them. A converter speaks its verbs and does not know which of the two it writes.
type writer struct {
	dst  []byte
	json bool
	// snapshot says that the row comes from a snapshot: Debezium reads some types otherwise there.
	snapshot bool
	// pairs is memory for the entries of an hstore.
	pairs []hstorePair
	// scratch is room for a converter that must build a value before it can write its length; whoever
	// grows it stores it back. Nothing survives in it from one value to the next.
	scratch []byte
	// element is the same for an array, which keeps an item in it while the item's converter uses scratch.
	element []byte
}

// take returns what was written and keeps no hold on it: it is the caller's memory.
func (w *writer) take() []byte {
	dst := w.dst
	w.dst = nil
	return dst
}

// null writes the null of an optional node, by the union's order: a default puts its type first.
func (w *writer) null(n *node) {
	switch {
	case w.json:
		w.dst = append(w.dst, "null"...)
	case n.def != nil:
		w.dst = append(w.dst, 2)
	default:
		w.dst = append(w.dst, 0)
	}
}

// present writes what stands before the value of a node: the union's branch if it is optional.
func (w *writer) present(n *node) {
	switch {
	case w.json || !n.optional:
	case n.def != nil:
		w.dst = append(w.dst, 0)
	default:
		w.dst = append(w.dst, 2)
	}
}

// boolean writes a boolean.
func (w *writer) boolean(v bool) {
	switch {
	case w.json:
		w.dst = strconv.AppendBool(w.dst, v)
	case v:
		w.dst = append(w.dst, 1)
	default:
		w.dst = append(w.dst, 0)
	}
}

// integer writes a value of any integer type.
func (w *writer) integer(v int64) {
	if w.json {
		w.dst = strconv.AppendInt(w.dst, v, 10)
		return
	}
	w.dst = binary.AppendVarint(w.dst, v)
}

// The bits of Java's NaN; Go's has another payload.
const (
	javaNaN32 = 0x7fc00000
	javaNaN64 = 0x7ff8000000000000
)

// float32 writes a single-precision number.
func (w *writer) float32(v float32) {
	switch {
	case w.json:
		w.dst = appendJavaFloat(w.dst, float64(v), 32)
	case v != v:
		w.dst = binary.LittleEndian.AppendUint32(w.dst, javaNaN32)
	default:
		w.dst = binary.LittleEndian.AppendUint32(w.dst, math.Float32bits(v))
	}
}

// doubleBits returns the bits of a double, of a NaN those of Java's.
func doubleBits(v float64) uint64 {
	if v != v {
		return javaNaN64
	}
	return math.Float64bits(v)
}

// float64 writes a double-precision number.
func (w *writer) float64(v float64) {
	switch {
	case w.json:
		w.dst = appendJavaFloat(w.dst, v, 64)
	default:
		w.dst = binary.LittleEndian.AppendUint64(w.dst, doubleBits(v))
	}
}

// text writes a string.
func (w *writer) text(v []byte) {
	if w.json {
		w.dst = appendJSONString(w.dst, v)
		return
	}
	w.dst = binary.AppendVarint(w.dst, int64(len(v)))
	w.dst = append(w.dst, v...)
}

// textString writes a string that is a Go string.
func (w *writer) textString(v string) {
	if w.json {
		w.dst = appendJSONString(w.dst, v)
		return
	}
	w.dst = binary.AppendVarint(w.dst, int64(len(v)))
	w.dst = append(w.dst, v...)
}

// bytes writes a byte string; as JSON it is base64.
func (w *writer) bytes(v []byte) {
	if w.json {
		w.dst = append(w.dst, '"')
		w.dst = base64.StdEncoding.AppendEncode(w.dst, v)
		w.dst = append(w.dst, '"')
		return
	}
	w.dst = binary.AppendVarint(w.dst, int64(len(v)))
	w.dst = append(w.dst, v...)
}

// bytesString writes a byte string that is kept as a Go string, through the scratch memory.
func (w *writer) bytesString(v string) {
	w.scratch = append(w.scratch[:0], v...)
	w.bytes(w.scratch)
}

// arrayBegin starts an array of n items; item(i) stands before each, arrayEnd(n) after the last.
func (w *writer) arrayBegin(n int) {
	switch {
	case w.json:
		w.dst = append(w.dst, '[')
	case n > 0:
		// Avro's block; an empty array has no block, only the end.
		w.dst = binary.AppendVarint(w.dst, int64(n))
	}
}

// item stands before the item of index i.
func (w *writer) item(i int) {
	if w.json && i > 0 {
		w.dst = append(w.dst, ',')
	}
}

// arrayEnd ends an array of n items.
func (w *writer) arrayEnd(int) {
	if w.json {
		w.dst = append(w.dst, ']')
		return
	}
	w.dst = append(w.dst, 0)
}

// mapBegin starts a map of n entries; mapKey(i, key) stands before each value, mapEnd(n) after the last.
func (w *writer) mapBegin(n int) {
	switch {
	case w.json:
		w.dst = append(w.dst, '{')
	case n > 0:
		w.dst = binary.AppendVarint(w.dst, int64(n))
	}
}

// mapKey writes the key of the entry of index i.
func (w *writer) mapKey(i int, key []byte) {
	w.item(i)
	w.text(key)
	if w.json {
		w.dst = append(w.dst, ':')
	}
}

// mapEnd ends a map of n entries.
func (w *writer) mapEnd(int) {
	if w.json {
		w.dst = append(w.dst, '}')
		return
	}
	w.dst = append(w.dst, 0)
}

// structBegin starts a struct, of which Avro writes nothing but the fields.
func (w *writer) structBegin() {
	if w.json {
		w.dst = append(w.dst, '{')
	}
}

// fieldName stands before the value of the field of index i.
func (w *writer) fieldName(i int, name string) {
	if w.json {
		w.item(i)
		w.dst = appendJSONString(w.dst, name)
		w.dst = append(w.dst, ':')
	}
}

// structEnd ends a struct.
func (w *writer) structEnd() {
	if w.json {
		w.dst = append(w.dst, '}')
	}
}

// appendJSONString appends v quoted and escaped as Jackson does it: only what JSON demands, in
// upper-case hexadecimal, and everything from U+0080 on raw. Bytes that are no UTF-8 become U+FFFD.
func appendJSONString[T []byte | string](dst []byte, v T) []byte {
	dst = append(dst, '"')
	run := 0 // what stands before i and after run is copied in one piece
	for i := 0; i < len(v); {
		c := v[i]
		if c >= utf8.RuneSelf {
			size := runeSize(v[i:min(i+utf8.UTFMax, len(v))])
			if size == 0 {
				dst = append(append(dst, v[run:i]...), "\ufffd"...)
				run, size = i+1, 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, v[run:i]...)
		dst = appendJSONEscape(dst, c)
		i++
		run = i
	}
	return append(append(dst, v[run:]...), '"')
}

// runeSize returns the length of the UTF-8 sequence that v, at most four bytes, starts with; 0 if
// there is none.
func runeSize[T []byte | string](v T) int {
	var b [utf8.UTFMax]byte
	r, size := utf8.DecodeRune(b[:copy(b[:], v)])
	if r == utf8.RuneError && size <= 1 {
		return 0
	}
	return size
}

// appendJSONEscape appends the escape of one ASCII character.
func appendJSONEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const digits = "0123456789ABCDEF"
	return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}

// appendJavaFloat appends a number as Java's Double.toString and Float.toString print it, which is what
// Jackson writes: shortest digits, a point always, an exponent below 1e-3 and from 1e7 on, and what is
// no number as a quoted word.
func appendJavaFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	}
	if a := math.Abs(v); a == 0 || a >= 1e-3 && a < 1e7 {
		start := len(dst)
		dst = strconv.AppendFloat(dst, v, 'f', -1, bits)
		if bytes.IndexByte(dst[start:], '.') < 0 {
			dst = append(dst, '.', '0')
		}
		return dst
	}
	var room [32]byte
	text := strconv.AppendFloat(room[:0], v, 'e', -1, bits)
	if bytes.IndexByte(text, '.') < 0 {
		// Java wants two digits at least, and makes the second one count: 4.9E-324.
		text = strconv.AppendFloat(room[:0], v, 'e', 1, bits)
	}
	e := bytes.IndexByte(text, 'e')
	dst = append(dst, text[:e]...)
	sign, exponent := text[e+1], text[e+2:]
	if exponent[0] == '0' { // Go writes at least two digits, Java as few as it needs
		exponent = exponent[1:]
	}
	dst = append(dst, 'E')
	if sign == '-' {
		dst = append(dst, '-')
	}
	return append(dst, exponent...)
}

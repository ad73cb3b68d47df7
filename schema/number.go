package schema

import (
	"errors"
	"math"
	"strconv"
)

// booleanForm is the form of bool, which prints as t or f.
func booleanForm(request) form {
	return form{node: &node{kind: nodeBoolean}, zero: func(w *writer) { w.boolean(false) }, write: writeBoolean}
}

// writeBoolean writes a boolean from t or f.
func writeBoolean(w *writer, text []byte) error {
	if len(text) != 1 || text[0] != 't' && text[0] != 'f' {
		return badText("boolean", "t or f", 0)
	}
	w.boolean(text[0] == 't')
	return nil
}

// integerForm is the form of the integer types.
func integerForm(kind nodeKind, bits uint) func(request) form {
	return func(request) form {
		return form{node: &node{kind: kind}, zero: zeroInteger, write: func(w *writer, text []byte) error {
			v, err := parseInteger(text, bits)
			if err != nil {
				return err
			}
			w.integer(v)
			return nil
		}}
	}
}

// oidForm is the form of oid, an unsigned number of 32 bits in a signed one of 64.
func oidForm(request) form {
	return form{node: &node{kind: nodeInt64}, zero: zeroInteger, write: func(w *writer, text []byte) error {
		v, err := parseInteger(text, 33)
		if err != nil {
			return err
		}
		if v < 0 {
			return badText("oid", "a digit", 0)
		}
		w.integer(v)
		return nil
	}}
}

// parseInteger reads a signed integer of so many bits. strconv would do, but its errors hold the text, and
// here none may.
func parseInteger(text []byte, bits uint) (int64, error) {
	i, negative := 0, false
	if len(text) > 0 && text[0] == '-' {
		i, negative = 1, true
	}
	if i == len(text) {
		return 0, badText("integer", "a digit", i)
	}
	// The limit is that of the sign: two's complement has one negative number more.
	limit := uint64(1)<<(bits-1) - 1
	if negative {
		limit++
	}
	var v uint64
	for ; i < len(text); i++ {
		d := uint64(text[i] - '0')
		// Before v times ten could leave 64 bits it has left the limit, whatever the column's type is.
		if d > 9 || v > math.MaxUint64/10-1 {
			break
		}
		if v = v*10 + d; v > limit {
			break
		}
	}
	if i < len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, badText("integer", "a digit", i)
		}
		return 0, badText("integer", "a number of "+strconv.Itoa(int(bits))+" bits", i)
	}
	if negative {
		return -int64(v), nil
	}
	return int64(v), nil
}

// floatForm is the form of the float types; what is no number passes through. With extra_float_digits above
// zero the server prints the shortest text that reads back as the same number, so that nothing is lost.
func floatForm(kind nodeKind) func(request) form {
	zero := func(w *writer) { w.float64(0) }
	write := func(w *writer, text []byte) error {
		v, _, err := parseFloat(text, 64)
		if err == nil {
			w.float64(v)
		}
		return err
	}
	if kind == nodeFloat32 {
		zero = func(w *writer) { w.float32(0) }
		write = func(w *writer, text []byte) error {
			v, _, err := parseFloat(text, 32)
			if err == nil {
				w.float32(float32(v))
			}
			return err
		}
	}
	return func(request) form { return form{node: &node{kind: kind}, zero: zero, write: write} }
}

// parseFloat reads a number as Postgres prints it to the nearest of so many bits. inRange false is a
// number too large for them, which reads as an infinity.
func parseFloat(text []byte, bits int) (v float64, inRange bool, err error) {
	switch string(text) {
	case "NaN":
		return math.NaN(), true, nil
	case "Infinity":
		return math.Inf(1), true, nil
	case "-Infinity":
		return math.Inf(-1), true, nil
	}
	for i, c := range text {
		// strconv knows more forms of numbers than Postgres: hexadecimal, with underscores, and words.
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' {
			return 0, false, badText("number", "a digit", i)
		}
	}
	v, err = strconv.ParseFloat(stringOf(text), bits)
	if errors.Is(err, strconv.ErrRange) {
		return v, false, nil
	}
	if err != nil {
		return 0, false, badText("number", "a digit", len(text))
	}
	return v, true, nil
}

package schema

import (
	"math"
	"math/big"
	"math/bits"
	"slices"
	"strconv"
)

// The values of numeric that no Decimal has.
var (
	errNoDecimal = &unrepresentable{
		reason: "NaN and infinities have no Decimal form", mode: "decimal.handling.mode=string",
	}
	errNoItem = &unrepresentable{reason: "the driver reads no NaN and no infinity in an array of numeric"}
	errScale  = &unrepresentable{
		reason: "it has more fraction digits than the column's scale", mode: "decimal.handling.mode=string",
	}
	errDouble = &unrepresentable{
		reason: "it is too large for a double", mode: "decimal.handling.mode=string",
	}
)

// special tells numbers from what is none.
type special uint8

const (
	finite special = iota
	notANumber
	positiveInfinity
	negativeInfinity
)

// decimal is a number's text taken apart; its digits point into the text.
type decimal struct {
	special         special
	negative        bool
	whole, fraction []byte
}

// parseDecimal reads a numeric as Postgres prints it, which is never with an exponent.
func parseDecimal(text []byte) (decimal, error) {
	switch string(text) {
	case "NaN":
		return decimal{special: notANumber}, nil
	case "Infinity":
		return decimal{special: positiveInfinity}, nil
	case "-Infinity":
		return decimal{special: negativeInfinity}, nil
	}
	var d decimal
	i := 0
	if len(text) > 0 && text[0] == '-' {
		d.negative, i = true, 1
	}
	start, point := i, -1
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
		case c == '.' && point < 0 && i > start:
			point = i
		default:
			return decimal{}, badText("numeric", "a digit", i)
		}
	}
	d.whole = text[start:]
	if point >= 0 {
		d.whole, d.fraction = text[start:point], text[point+1:]
	}
	if len(d.whole) == 0 || point == len(text)-1 {
		return decimal{}, badText("numeric", "a digit", len(text))
	}
	return d, nil
}

// trimmed returns the fraction without its trailing zeros.
func (d *decimal) trimmed() []byte {
	n := len(d.fraction)
	for n > 0 && d.fraction[n-1] == '0' {
		n--
	}
	return d.fraction[:n]
}

// digit returns the digit of index i of the number times a power of ten: what the text does not have is 0.
func (d *decimal) digit(i int) uint64 {
	if i < len(d.whole) {
		return uint64(d.whole[i] - '0')
	}
	if i -= len(d.whole); i < len(d.fraction) {
		return uint64(d.fraction[i] - '0')
	}
	return 0
}

// numericScale returns precision and scale of a typmod; ok is false for a numeric without. Before
// Postgres 15 a scale was never negative; since then it is 11 bits with a sign.
func numericScale(typmod int32) (precision, scale int, ok bool) {
	if typmod < 4 {
		return 0, 0, false
	}
	mod := int(typmod - 4)
	return mod >> 16 & 0xffff, (mod&0x7ff ^ 1024) - 1024, true
}

// numericForm is the form of numeric:
//
//	precise, numeric(p,s)   Decimal: the unscaled number, with the scale in the schema
//	precise, numeric        VariableScaleDecimal: the scale stands beside each number
//	double                  the nearest double; NaN and infinities pass
//	string                  the digits; NaN and infinities as NAN, POSITIVE_INFINITY, NEGATIVE_INFINITY
//
// A negative scale, which Postgres has from 15 on, rounds to tens: the value 12000 of numeric(5,-3) is
// Decimal(8,0) here. Debezium gives it the scale 2045 and as many zeros.
func numericForm(r request) form {
	precision, scale, fixed := numericScale(r.typmod)
	if scale < 0 {
		if r.options.Debezium {
			scale &= 0x7ff // the driver takes the 11 bits for a number without a sign
		} else {
			precision, scale = precision-scale, 0
		}
	}
	switch {
	case r.options.Decimal == DecimalDouble:
		debezium, item := r.options.Debezium, r.item
		return form{
			node: &node{kind: nodeFloat64}, zero: func(w *writer) { w.float64(0) },
			write: func(w *writer, text []byte) error {
				v, inRange, err := parseFloat(text, 64)
				if debezium && item && (math.IsNaN(v) || math.IsInf(v, 0) && inRange) {
					return errNoItem
				}
				if err == nil && !inRange && !debezium {
					return errDouble
				}
				if err == nil {
					w.float64(v)
				}
				return err
			},
		}
	case r.options.Decimal == DecimalString:
		return numericString(r, scale, fixed)
	case !fixed:
		return variableDecimal()
	}
	n := named(nodeBytes, decimalName)
	n.params = []param{{"scale", strconv.Itoa(scale)}, {"connect.decimal.precision", strconv.Itoa(precision)}}
	return decimalForm(n, scale)
}

// decimalForm is the form of a Decimal of a fixed scale. The server prints every value of a column with the
// column's scale, so that the digits are those of the unscaled number as they stand.
func decimalForm(n *node, scale int) form {
	return form{
		node: n, zero: func(w *writer) { w.bytesString("\x00") },
		write: func(w *writer, text []byte) error {
			d, err := parseDecimal(text)
			if err != nil {
				return err
			}
			if d.special != finite {
				return errNoDecimal
			}
			if len(d.fraction) > scale { // only in a default, which Postgres prints as it was typed
				if d.fraction = d.trimmed(); len(d.fraction) > scale {
					return errScale
				}
			}
			w.scratch = appendUnscaled(w.scratch[:0], &d, scale)
			w.bytes(w.scratch)
			return nil
		},
	}
}

// variableDecimal is the form of numeric without a scale: each value has its own, the least it needs, so that
// 1.50 is 15 with the scale 1. Debezium would give 100 the scale -2 by that rule, and stops at 0.
func variableDecimal() form {
	n := named(nodeStruct, "io.debezium.data.VariableScaleDecimal")
	n.doc = "Variable scaled decimal"
	n.fields = []field{{"scale", &node{kind: nodeInt32}}, {"value", &node{kind: nodeBytes}}}
	put := func(w *writer, scale int) {
		w.structBegin()
		w.fieldName(0, "scale")
		w.integer(int64(scale))
		w.fieldName(1, "value")
		w.bytes(w.scratch)
		w.structEnd()
	}
	return form{
		node: n,
		zero: func(w *writer) {
			w.scratch = append(w.scratch[:0], 0)
			put(w, 0)
		},
		write: func(w *writer, text []byte) error {
			d, err := parseDecimal(text)
			if err != nil {
				return err
			}
			if d.special != finite {
				return errNoDecimal
			}
			d.fraction = d.trimmed()
			w.scratch = appendUnscaled(w.scratch[:0], &d, len(d.fraction))
			put(w, len(d.fraction))
			return nil
		},
	}
}

// numericString is the form of numeric as text: the server's digits, with exactly the column's scale.
func numericString(r request, scale int, fixed bool) form {
	f, driver := stringForm("")(r), r.options.Debezium && r.item
	f.zero = func(w *writer) {
		w.scratch = appendPlain(w.scratch[:0], &decimal{}, scale)
		w.text(w.scratch)
	}
	f.write = func(w *writer, text []byte) error {
		d, err := parseDecimal(text)
		if err != nil {
			return err
		}
		switch {
		case d.special != finite && driver:
			return errNoItem
		}
		switch d.special {
		case notANumber:
			w.textString("NAN") // the names of an enum of Debezium's, not the words of Postgres
		case positiveInfinity:
			w.textString("POSITIVE_INFINITY")
		case negativeInfinity:
			w.textString("NEGATIVE_INFINITY")
		default:
			if !fixed || len(d.fraction) == scale {
				w.text(text)
				return nil
			}
			if d.fraction = d.trimmed(); len(d.fraction) > scale {
				return errScale
			}
			w.scratch = appendPlain(w.scratch[:0], &d, scale)
			w.text(w.scratch)
		}
		return nil
	}
	return f
}

// appendPlain appends a number with so many fraction digits; one without digits is zero.
func appendPlain(dst []byte, d *decimal, scale int) []byte {
	if d.negative {
		dst = append(dst, '-')
	}
	if len(d.whole) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, d.whole...)
	if scale > 0 {
		dst = append(append(dst, '.'), d.fraction...)
	}
	for i := len(d.fraction); i < scale; i++ {
		dst = append(dst, '0')
	}
	return dst
}

// maxLimbs is how many words of a number fit on the stack: 760 digits, more than any schema should have.
const maxLimbs = 40

// appendUnscaled appends what a Decimal is made of: the number times ten to the scale, as a big-endian two's
// complement number of the least length, as Java's BigInteger gives it. 12.34 with the scale 2 is 04 d2,
// -0.01 is ff, 127.5 with the scale 1 is 04 fb, and zero is one byte 00. The number must not have more
// fraction digits than the scale.
func appendUnscaled(dst []byte, d *decimal, scale int) []byte {
	n := len(d.whole) + scale
	if n <= 18 { // nearly every number: eighteen nines are less than 2^60
		var v uint64
		for i := range n {
			v = v*10 + d.digit(i)
		}
		return appendWords(dst, []uint64{v}, d.negative)
	}
	if n > maxLimbs*19 {
		return appendBig(dst, d, n)
	}
	// Longer ones go by chunks of digits: magnitude = magnitude * 10^19 + chunk, word by word with a carry,
	// which is quadratic in the number of words, of which there are few.
	var room [maxLimbs]uint64
	limbs := room[:0] // least significant first
	for i := 0; i < n; {
		// Nineteen digits are the most that fit a word.
		chunk, power := uint64(0), uint64(1)
		for end := min(i+19, n); i < end; i++ {
			chunk, power = chunk*10+d.digit(i), power*10
		}
		carry := chunk
		for j, limb := range limbs {
			high, low := bits.Mul64(limb, power)
			var over uint64
			limbs[j], over = bits.Add64(low, carry, 0)
			carry = high + over
		}
		if carry > 0 {
			limbs = append(limbs, carry)
		}
	}
	return appendWords(dst, limbs, d.negative)
}

// appendWords appends a magnitude, least significant word first, as a two's complement number.
func appendWords(dst []byte, limbs []uint64, negative bool) []byte {
	start := len(dst)
	for i := len(limbs) - 1; i >= 0; i-- {
		for shift := 56; shift >= 0; shift -= 8 {
			b := byte(limbs[i] >> shift)
			if b != 0 || len(dst) > start {
				dst = append(dst, b)
			}
		}
	}
	return twosComplement(dst, start, negative)
}

// appendBig is appendUnscaled for numbers of any length: it allocates, but is not quadratic.
func appendBig(dst []byte, d *decimal, n int) []byte {
	digits := make([]byte, n)
	for i := range digits {
		digits[i] = '0' + byte(d.digit(i))
	}
	// There is a limit of 131072 digits before the point and 16383 behind it in Postgres.
	v, ok := new(big.Int).SetString(stringOf(digits), 10)
	if !ok {
		panic("tributary: a decimal of " + strconv.Itoa(n) + " digits holds something else")
	}
	return twosComplement(append(dst, v.Bytes()...), len(dst), d.negative)
}

// twosComplement makes the magnitude from start on, which has no leading zero byte, a two's complement
// number of the least length.
func twosComplement(dst []byte, start int, negative bool) []byte {
	if len(dst) == start {
		return append(dst, 0)
	}
	sign := byte(0)
	if negative {
		sign = 0xff
		carry := true // of the one that is added to the inverse
		for i := len(dst) - 1; i >= start; i-- {
			dst[i] = ^dst[i]
			if carry {
				dst[i]++
				carry = dst[i] == 0
			}
		}
	}
	if (dst[start]^sign)&0x80 != 0 {
		dst = slices.Insert(dst, start, sign)
	}
	return dst
}

package schema

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"
)

// AppendKeyHeader appends the key of a row as the text that Kafka Connect's SimpleHeaderConverter makes of
// the key struct, such as {"id":1}: what the headers __debezium.newkey and __debezium.oldkey hold.
func (c *Codec) AppendKeyHeader(dst []byte, row Row) ([]byte, error) {
	start := len(dst)
	if len(row) != len(c.relation.Columns) {
		return dst, fmt.Errorf("write key header of %s: row of %d values for %d columns",
			c.relation, len(row), len(c.relation.Columns))
	}
	w := &c.w
	w.snapshot = false
	dst = append(dst, '{')
	for i := range c.key {
		field := &c.key[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendHeaderString(dst, []byte(field.name))
		dst = append(dst, ':')
		// The value's Avro datum is the form from which the header's own is made.
		w.json, w.dst = false, nil
		if err := c.appendDatum(w, field, row[field.index]); err != nil {
			return dst[:start], err
		}
		datum := w.take()
		dst, _ = appendHeaderValue(dst, field.node, datum)
	}
	return append(dst, '}'), nil
}

// appendHeaderValue appends the header text of an Avro datum that this package wrote, and returns what
// follows the datum.
func appendHeaderValue(dst []byte, n *node, datum []byte) (text, rest []byte) {
	if n.optional {
		null := byte(0)
		if n.def != nil {
			null = 2
		}
		branch := datum[0]
		datum = datum[1:]
		if branch == null {
			return append(dst, "null"...), datum
		}
	}
	switch n.kind {
	case nodeBoolean:
		return strconv.AppendBool(dst, datum[0] == 1), datum[1:]
	case nodeInt8, nodeInt16, nodeInt32, nodeInt64:
		v, size := binary.Varint(datum)
		return appendHeaderInteger(dst, n, v), datum[size:]
	case nodeFloat32, nodeFloat64:
		return appendHeaderFloat(dst, n, datum)
	case nodeString, nodeBytes:
		v, size := binary.Varint(datum)
		body, rest := datum[size:size+int(v)], datum[size+int(v):]
		switch {
		case n.kind == nodeString:
			return appendHeaderString(dst, body), rest
		case n.name == decimalName:
			return appendHeaderDecimal(dst, n, body), rest
		}
		dst = base64.StdEncoding.AppendEncode(append(dst, '"'), body)
		return append(dst, '"'), rest
	case nodeStruct:
		dst = append(dst, '{')
		for i, f := range n.fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendHeaderString(dst, []byte(f.name)), ':')
			dst, datum = appendHeaderValue(dst, f.node, datum)
		}
		return append(dst, '}'), datum
	}
	return appendHeaderItems(dst, n, datum)
}

// appendHeaderItems appends an array or a map, which this package writes as one block.
func appendHeaderItems(dst []byte, n *node, datum []byte) (text, rest []byte) {
	opening, closing := byte('['), byte(']')
	if n.kind == nodeMap {
		opening, closing = '{', '}'
	}
	dst = append(dst, opening)
	count, size := binary.Varint(datum)
	datum = datum[size:]
	for i := range count {
		if i > 0 {
			dst = append(dst, ',')
		}
		if n.kind == nodeMap {
			dst, datum = appendHeaderValue(dst, requiredString, datum)
			dst = append(dst, ':')
		}
		dst, datum = appendHeaderValue(dst, n.items, datum)
	}
	if count > 0 {
		datum = datum[1:] // the block of none that ends it
	}
	return append(dst, closing), datum
}

// appendHeaderString appends a string in quotes, with a backslash before quotes and backslashes, and all
// else raw: no JSON.
func appendHeaderString(dst, v []byte) []byte {
	dst = append(dst, '"')
	for _, c := range v {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// appendHeaderInteger appends an integer; Connect's own dates and times are there as text.
func appendHeaderInteger(dst []byte, n *node, v int64) []byte {
	switch n.name {
	case dateName:
		v *= 24 * time.Hour.Milliseconds()
	case timeName, timestampName:
	default:
		return strconv.AppendInt(dst, v, 10)
	}
	// Connect knows a time of day by its being within the first day, and a date by its whole days.
	layout := "2006-01-02T15:04:05.000Z"
	switch day := 24 * time.Hour.Milliseconds(); {
	case v < day:
		layout = "15:04:05.000Z"
	case v%day == 0:
		layout = time.DateOnly
	}
	return time.UnixMilli(v).UTC().AppendFormat(dst, layout)
}

// appendHeaderFloat appends a float as Java prints it, its words for no number without quotes.
func appendHeaderFloat(dst []byte, n *node, datum []byte) (text, rest []byte) {
	start := len(dst)
	if n.kind == nodeFloat32 {
		dst, datum = appendJavaFloat(dst, float64(float32FromBytes(datum)), 32), datum[4:]
	} else {
		dst, datum = appendJavaFloat(dst, float64FromBytes(datum), 64), datum[8:]
	}
	if dst[start] == '"' {
		copy(dst[start:], dst[start+1:])
		dst = dst[:len(dst)-2]
	}
	return dst, datum
}

// appendHeaderDecimal appends a Decimal's unscaled bytes as Java's BigDecimal prints the number: with an
// exponent when the scale is negative or the number has more than six zeros behind its point.
func appendHeaderDecimal(dst []byte, n *node, body []byte) []byte {
	unscaled := new(big.Int).SetBytes(body)
	if len(body) > 0 && body[0] >= 0x80 {
		unscaled.Sub(unscaled, new(big.Int).Lsh(big.NewInt(1), uint(8*len(body))))
	}
	scale, _ := strconv.Atoi(n.param("scale", "0"))
	if unscaled.Sign() < 0 {
		dst = append(dst, '-')
		unscaled.Neg(unscaled)
	}
	digits := unscaled.String()
	exponent := -scale + len(digits) - 1
	switch {
	case scale == 0:
		return append(dst, digits...)
	case scale > 0 && exponent >= -6 && len(digits) > scale:
		dst = append(dst, digits[:len(digits)-scale]...)
		return append(append(dst, '.'), digits[len(digits)-scale:]...)
	case scale > 0 && exponent >= -6:
		dst = append(dst, "0."...)
		for range scale - len(digits) {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	dst = append(dst, digits[0])
	if len(digits) > 1 {
		dst = append(append(dst, '.'), digits[1:]...)
	}
	if exponent == 0 {
		return dst
	}
	dst = append(dst, 'E')
	if exponent > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, int64(exponent), 10)
}

func float32FromBytes(b []byte) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(b))
}

func float64FromBytes(b []byte) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

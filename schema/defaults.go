package schema

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
)

// defaultOf returns the default that stands in the schema for a column's DEFAULT, nil for none. Debezium
// does not evaluate the expression but reads its text: a literal becomes its value, what looks like a
// call becomes the type's zero, and anything else that is no value of the type becomes nothing:
//
//	7                          7
//	'2020-01-01'::date         18262
//	'it''s'::text              it
//	now()                      0, and likewise nextval('s'::regclass), (random())::integer, CURRENT_DATE
//	CURRENT_USER               the text CURRENT_USER
//	(1 + 2), NULL::text        none
//
// The zero stands for a call so that a NOT NULL column with such a default can be added: without any
// default a registry would refuse the new schema. The schema is the same with Options.Debezium and without
// it, also where the default in it is not that of the column: a table taken over from Debezium must not
// get a new schema version for that.
func defaultOf(f form, t *Type, typmod int32, expression string) *literal {
	line := lookup(t)
	var text string
	var ok bool
	switch {
	case line == nil && t.Kind == KindEnum:
		text, ok = enumDefault(expression, t.Name)
	case line == nil || line.generated == never || line.form == nil:
		return nil
	default:
		text, ok = defaultText(line, expression)
	}
	// Debezium drops a default that is a struct.
	if !ok || f.node.kind == nodeStruct || f.node.kind == nodeArray {
		return nil
	}
	if odd, ok := oddDefault(f.node, text); ok {
		return odd
	}
	if line != nil && line.name == "numeric" && beyondScale(text, typmod) {
		return nil
	}
	w := writer{} // a value's own converter decides whether the text is one, and what it is in this mode
	if err := f.write(&w, []byte(text)); err != nil {
		return nil
	}
	return literalOf(f.node.kind, w.dst)
}

// defaultText returns a default as the server would print its value.
func defaultText(line *pgType, expression string) (string, bool) {
	switch line.name {
	case "text", "varchar", "bpchar", "json", "jsonb", "xml":
		// Blanks may belong to the text.
	default:
		expression = strings.TrimSpace(expression)
	}
	if isCall(expression) {
		return line.generated, true
	}
	text, ok := literalText(expression)
	switch {
	case !ok:
		return "", false
	case line.name == "bool":
		// Java's parseBoolean: whatever is not true is false.
		if strings.EqualFold(text, "true") {
			return "t", true
		}
		return "f", true
	case line.name == "numeric" && (text == "NaN" || strings.HasSuffix(text, "Infinity")):
		return "", false // Java's decimals are finite in every mode
	}
	return text, true
}

// beyondScale says that a default has more fraction digits than its column, which Debezium drops in every
// mode.
func beyondScale(text string, typmod int32) bool {
	_, scale, fixed := numericScale(typmod)
	d, err := parseDecimal([]byte(text))
	return fixed && scale >= 0 && err == nil && len(d.trimmed()) > scale
}

// oddDefaults are the defaults that Debezium reads with the driver's parser and not with that of values:
// the ends of Java's own range of dates for the infinities, whose numbers wrap around, and the last
// instant of the day for 24:00. Empty is no default.
var oddDefaults = map[string]struct{ infinity, negative, midnight string }{
	"io.debezium.time.Date":           {"169560311", "-170999002", ""},
	dateName:                          {"169560311", "-170999002", ""},
	"io.debezium.time.IsoDate":        {"+999999999-12-31Z", "-999999999-01-01Z", ""},
	"io.debezium.time.Timestamp":      {},
	timestampName:                     {},
	"io.debezium.time.MicroTimestamp": {"-9223372036853775810", "-9223372036854775808", ""},
	"io.debezium.time.NanoTimestamp":  {},
	"io.debezium.time.IsoTimestamp": {
		infinity: "+999999999-12-31T23:59:59.999999999Z", negative: "-999999999-01-01T00:00:00Z",
	},
	"io.debezium.time.ZonedTimestamp": {},
	"io.debezium.time.Time":           {midnight: "86399999"},
	timeName:                          {midnight: "86399999"},
	"io.debezium.time.MicroTime":      {midnight: "86399999999"},
	"io.debezium.time.NanoTime":       {midnight: "86399999999999"},
	"io.debezium.time.IsoTime":        {midnight: "23:59:59.999999999Z"},
	"io.debezium.time.MicroDuration":  {infinity: "0", negative: "0"},
	"io.debezium.time.Interval":       {infinity: "P0Y0M0DT0H0M0S", negative: "P0Y0M0DT0H0M0S"},
}

// oddDefault returns the default for a text that oddDefaults is about; false for any other text.
func oddDefault(n *node, text string) (*literal, bool) {
	odd, ok := oddDefaults[n.name]
	if !ok {
		return nil, false
	}
	var value string
	switch text {
	case "infinity":
		value = odd.infinity
	case "-infinity":
		value = odd.negative
	case "24:00:00":
		value = odd.midnight
	default:
		return nil, false
	}
	if value == "" {
		return nil, true
	}
	if n.kind == nodeString {
		return literalString(value), true
	}
	v, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		panic("tributary: default of " + n.name + " is no number: " + value)
	}
	return literalInt(v), true
}

// isCall says that an expression starts as a call does, perhaps in a parenthesis, or is one of the
// functions that SQL writes without one.
func isCall(expression string) bool {
	switch strings.ToLower(expression) {
	case "current_timestamp", "current_time", "current_date", "localtime", "localtimestamp":
		return true
	}
	rest := strings.TrimPrefix(expression, "(")
	name := 0
	for name < len(rest) && (isAlphanumeric(rest[name]) || rest[name] == '_' || rest[name] == '.') {
		name++
	}
	if name == 0 || name == len(rest) || rest[name] != '(' {
		return false
	}
	arguments := rest[name+1:]
	end := strings.IndexByte(arguments, ')')
	// The pattern that Debezium matches does not reach over the end of a line.
	return end >= 0 && !strings.ContainsAny(arguments[:end], "\r\n")
}

// isAlphanumeric says that c is an ASCII letter or digit.
func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// literalText returns what stands between the first two quotes of an expression, or all of it where there
// are none; false for a null. A quote within a literal is printed twice, so that the text ends there.
func literalText(expression string) (string, bool) {
	rest := expression
	for open := strings.IndexByte(rest, '\''); open >= 0; open = strings.IndexByte(rest, '\'') {
		rest = rest[open+1:]
		if end := strings.IndexByte(rest, '\''); end >= 0 && !strings.ContainsAny(rest[:end], "\r\n") {
			return rest[:end], true
		}
	}
	if strings.IndexByte(expression, '\'') >= 0 || strings.HasPrefix(expression, "NULL::") {
		return "", false
	}
	return expression, true
}

// enumDefault returns the label of an expression of the form 'label'::type, where the type may stand
// with its schema and in quotes.
func enumDefault(expression, name string) (string, bool) {
	label, typ, ok := strings.Cut(expression, "'::")
	if !ok || !strings.HasPrefix(label, "'") {
		return "", false
	}
	quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	for _, want := range [...]string{name, quoted} {
		if typ == want || strings.HasSuffix(typ, "."+want) {
			return label[1:], true
		}
	}
	return "", false
}

// literalOf reads back a default from its Avro form, so that defaults pass through the same code as values.
func literalOf(kind nodeKind, datum []byte) *literal {
	switch kind {
	case nodeBoolean:
		return literalBool(datum[0] != 0)
	case nodeInt8, nodeInt16, nodeInt32, nodeInt64:
		v, _ := binary.Varint(datum)
		return literalInt(v)
	case nodeFloat32:
		return literalFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(datum))))
	case nodeFloat64:
		return literalFloat(math.Float64frombits(binary.LittleEndian.Uint64(datum)))
	}
	_, n := binary.Varint(datum) // the length of a string or of bytes
	if kind == nodeBytes {
		return literalBytes(datum[n:])
	}
	return literalString(string(datum[n:]))
}

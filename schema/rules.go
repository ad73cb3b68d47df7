package schema

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ColumnRule says what is done to the columns that it matches.
type ColumnRule struct {
	// Columns is matched against schema.table.column; ColumnPattern makes one that Debezium's lists mean.
	Columns *regexp.Regexp
	Action  ColumnAction
	// Length is the number of asterisks of a Mask, or of characters (UTF-16 units) that Truncate leaves.
	Length int
	// Hash names a Hash's algorithm as Java does: MD5, SHA-1, SHA-256, SHA-384 or SHA-512. Salt stands
	// before the value; it is a secret and stands in no error.
	Hash string
	Salt []byte
	// JavaObject hashes the value in Java's object form, as column.mask.hash without v2 does.
	JavaObject bool
}

// ColumnAction is what a ColumnRule does.
type ColumnAction uint8

// The actions. The key always has its columns, whole; rules are for before and after.
const (
	Exclude  ColumnAction = iota // leaves the column out
	Include                      // leaves out every column that no Include matches
	Mask                         // writes asterisks, also for null
	Truncate                     // cuts the value; a bytea to Length bytes
	Hash                         // writes the hash, cut to the column's declared length; null stays null
)

// ColumnPattern returns the pattern that a comma-separated list of Debezium's regular expressions means:
// each matches the whole of schema.table.column, whatever the case. A comma inside of an expression is
// written \,.
func ColumnPattern(list string) (*regexp.Regexp, error) {
	var parts []string
	for _, part := range strings.Split(strings.ReplaceAll(list, `\,`, "\x00"), ",") {
		part = strings.TrimSpace(strings.ReplaceAll(part, "\x00", ","))
		if part == "" {
			continue
		}
		if _, err := regexp.Compile(part); err != nil {
			return nil, fmt.Errorf("read column pattern %q: %w", part, err)
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("read column patterns %q: none given", list)
	}
	return regexp.Compile(`(?i)^(?:` + strings.Join(parts, "|") + `)$`)
}

// ruleFor returns whether the column stays in before and after, and the rule that changes its value.
func (o *Options) ruleFor(r *Relation, c *Column) (change *ColumnRule, stays bool) {
	id := r.Namespace + "." + r.Name + "." + c.Name
	includes, included := false, false
	for i := range o.Columns {
		rule := &o.Columns[i]
		matches := rule.Columns.MatchString(id)
		switch {
		case rule.Action == Include:
			includes, included = true, included || matches
		case !matches:
		case rule.Action == Exclude:
			return nil, false
		case change == nil || o.Debezium && rule.rank() < change.rank():
			change = rule
		}
	}
	if o.Debezium && change != nil && change.Action == Hash && o.propagates(r, c) {
		change = nil // one rule is all that Debezium applies, and propagation stands before hashes
	}
	return change, included || !includes
}

// rank is a rule's place in the order in which Debezium looks for the one that it applies, whatever their
// order in the configuration.
func (r *ColumnRule) rank() int {
	switch {
	case r.Action == Truncate:
		return 0
	case r.Action == Mask:
		return 1
	case r.JavaObject:
		return 2
	}
	return 3
}

// applyRule puts a rule into a column's node and functions. Debezium masks and hashes values of character
// types only, and writes any other value as it is beside the words "masked": true; natively that is
// refused, since whoever asked for a mask means it.
func (o *Options) applyRule(r *Relation, c *cell, rule *ColumnRule) error {
	key, value := "masked", "true"
	if rule.Action == Truncate {
		if length, _ := jdbcSize(c.source); length <= rule.Length {
			return nil // the column's type cuts it already
		}
		key, value = "truncateLength", strconv.Itoa(rule.Length)
	}
	c.node.params = append(c.node.params, param{key, value})
	character := isCharacterType(c.source.Type)
	switch {
	case rule.Action == Truncate && c.node.kind == nodeBytes && c.node.name == "":
		c.write = truncateBytea(rule.Length, c.write)
		return nil
	case rule.Action == Truncate && c.node.kind == nodeString && o.Debezium && !character:
		// Debezium cuts whatever has become a string, a UUID too; the schema still says that it is one.
		c.write = throughText(c.write, truncateWriter(rule.Length, true))
		c.zero = throughZero(c.zero, truncateWriter(rule.Length, true))
		c.ruled = true
		return nil
	case !character && o.Debezium:
		return nil
	case !character:
		return fmt.Errorf("compile %s: column %s (%s) cannot be masked, hashed or truncated: "+
			"only character types can; exclude it", r, c.source.Name, c.source.Type.Name)
	}
	var write func(*writer, []byte) error
	switch rule.Action {
	case Mask:
		write = maskWriter(rule.Length)
		c.write = write
		c.masked = true
	case Truncate:
		write = truncateWriter(rule.Length, o.Debezium)
		c.write = throughText(c.write, write)
	case Hash:
		sum, err := newHash(rule.Hash)
		if err != nil {
			return fmt.Errorf("compile %s: column %s: %w", r, c.source.Name, err)
		}
		h := &hasher{sum: sum, rule: rule, limit: declaredLength(c.source)}
		write = h.write
		c.write = throughText(c.write, write)
	}
	c.ruled = true
	c.ruleFallbacks(write, o.Debezium)
	return nil
}

// throughText sends the string that a column writes through another writer.
func throughText(inner, outer func(*writer, []byte) error) func(*writer, []byte) error {
	var between writer
	return func(w *writer, text []byte) error {
		between.dst, between.snapshot = between.dst[:0], w.snapshot
		if err := inner(&between, text); err != nil {
			return err
		}
		_, n := binary.Varint(between.dst) // an Avro string: its length, its bytes
		return outer(w, between.dst[n:])
	}
}

// throughZero is throughText for a column's zero value.
func throughZero(zero func(*writer), outer func(*writer, []byte) error) func(*writer) {
	through := throughText(func(w *writer, _ []byte) error {
		zero(w)
		return nil
	}, outer)
	return func(w *writer) { _ = through(w, nil) } // neither of the two returns an error
}

// truncateBytea cuts a bytea's text, of two digits a byte, before it is written.
func truncateBytea(n int, write func(*writer, []byte) error) func(*writer, []byte) error {
	return func(w *writer, text []byte) error {
		return write(w, text[:min(len(text), len(`\x`)+2*n)])
	}
}

// ruleFallbacks sends what stands for a value that was not sent through the rule as well. A TOAST
// placeholder that was cut or hashed, as Debezium does it, is unknown to consumers: natively it stays.
func (c *cell) ruleFallbacks(write func(*writer, []byte) error, debezium bool) {
	var text []byte
	if c.node.def != nil {
		text = []byte(c.node.def.text)
	}
	c.zero = func(w *writer) { _ = write(w, text) } // no rule's write returns an error
	inner := c.unchanged
	if inner == nil || !debezium && !c.masked {
		return
	}
	through := throughText(func(w *writer, _ []byte) error { return inner(w) }, write)
	c.unchanged = func(w *writer) error { return through(w, nil) }
}

// isCharacterType says whether the JDBC driver calls the type CHAR or VARCHAR, the ones that Debezium masks.
func isCharacterType(t *Type) bool {
	if t.Base != nil {
		t = t.Base
	}
	switch t.Name {
	case "char", "bpchar", "varchar", "text", "name":
		return t.Kind == KindBase
	}
	return t.Kind == KindEnum
}

// declaredLength returns n of varchar(n) and char(n), else 0.
func declaredLength(c *Column) int {
	t, mod := c.Type, c.TypMod
	if t.Base != nil {
		t, mod = t.Base, t.BaseTypMod
	}
	if (t.Name == "varchar" || t.Name == "bpchar") && mod > 4 {
		return int(mod - 4)
	}
	return 0
}

// maskWriter writes n asterisks, whatever the value.
func maskWriter(n int) func(*writer, []byte) error {
	mask := strings.Repeat("*", n)
	return func(w *writer, _ []byte) error {
		w.textString(mask)
		return nil
	}
}

// truncateWriter writes the first n UTF-16 units of a value.
func truncateWriter(n int, debezium bool) func(*writer, []byte) error {
	return func(w *writer, text []byte) error {
		head, split := cutUTF16(text, n)
		if !split || !debezium {
			w.text(head)
			return nil
		}
		// Java cuts the pair in two and writes the lone half as a question mark.
		w.scratch = append(append(w.scratch[:0], head...), '?')
		w.text(w.scratch)
		return nil
	}
}

// cutUTF16 returns the first n UTF-16 units of valid UTF-8, and whether a character of two units was
// cut in two, in which case it is left out.
func cutUTF16(text []byte, n int) (head []byte, split bool) {
	if len(text) <= n {
		return text, false // no text has more units than bytes
	}
	units := 0
	for i := 0; i < len(text); {
		char, size := utf8.DecodeRune(text[i:])
		units++
		if char > 0xffff {
			units++
		}
		if units > n {
			return text[:i], char > 0xffff && units == n+1
		}
		i += size
	}
	return text, false
}

// hasher writes hashes of one column. Its memory serves value after value.
type hasher struct {
	sum   hash.Hash
	rule  *ColumnRule
	limit int // characters that the column takes, 0 without limit
	room  []byte
}

// newHash returns the algorithm by the name that Java knows it by.
func newHash(name string) (hash.Hash, error) {
	switch strings.ToUpper(name) {
	case "MD5":
		return md5.New(), nil
	case "SHA-1", "SHA":
		return sha1.New(), nil
	case "SHA-256":
		return sha256.New(), nil
	case "SHA-384":
		return sha512.New384(), nil
	case "SHA-512":
		return sha512.New(), nil
	}
	return nil, fmt.Errorf("hash algorithm %q: want MD5, SHA-1, SHA-256, SHA-384 or SHA-512", name)
}

// write writes the hash in lower-case hexadecimal; it returns no error.
func (h *hasher) write(w *writer, text []byte) error {
	h.sum.Reset()
	h.sum.Write(h.rule.Salt)
	if h.rule.JavaObject {
		h.room = appendJavaString(h.room[:0], text)
		text = h.room
	}
	h.sum.Write(text)
	h.room = h.sum.Sum(h.room[:0])
	w.scratch = hex.AppendEncode(w.scratch[:0], h.room)
	if h.limit > 0 && len(w.scratch) > h.limit {
		w.scratch = w.scratch[:h.limit]
	}
	w.text(w.scratch)
	return nil
}

// appendJavaString appends a string in Java's object stream: magic, version 5, the mark of a string, its
// length, and modified UTF-8, which writes each half of a surrogate pair in three bytes.
func appendJavaString(dst, text []byte) []byte {
	dst = append(dst, 0xac, 0xed, 0, 5)
	length := len(text)
	for rest := text; len(rest) > 0; {
		char, size := utf8.DecodeRune(rest)
		if rest = rest[size:]; char > 0xffff {
			length += 2 // six bytes for four
		}
	}
	if length <= 0xffff {
		dst = binary.BigEndian.AppendUint16(append(dst, 't'), uint16(length))
	} else {
		dst = binary.BigEndian.AppendUint64(append(dst, '|'), uint64(length))
	}
	for rest := text; len(rest) > 0; {
		char, size := utf8.DecodeRune(rest)
		if high, low := utf16.EncodeRune(char); char > 0xffff {
			for _, half := range [...]rune{high, low} {
				dst = append(dst, 0xe0|byte(half>>12), 0x80|byte(half>>6)&0xbf, 0x80|byte(half)&0xbf)
			}
		} else {
			dst = append(dst, rest[:size]...)
		}
		rest = rest[size:]
	}
	return dst
}

// propagates says whether the options ask for the parameters that tell a column's Postgres type.
func (o *Options) propagates(r *Relation, c *Column) bool {
	table := r.Namespace + "." + r.Name + "."
	return o.PropagateColumns != nil && o.PropagateColumns.MatchString(table+c.Name) ||
		o.PropagateTypes != nil && o.PropagateTypes.MatchString(table+driverType(r, c))
}

// propagate adds those parameters to the column's node.
func propagate(r *Relation, c *Column, n *node) {
	length, scale := jdbcSize(c)
	const prefix = "__debezium.source.column."
	n.params = append(n.params, param{prefix + "type", strings.ToUpper(driverType(r, c))})
	if r.Snapshot && length == undeclaredNumeric && c.Type.Elem == nil {
		n.params = append(n.params, param{prefix + "length", "0"})
	} else {
		n.params = append(n.params,
			param{prefix + "length", strconv.Itoa(length)}, param{prefix + "scale", strconv.Itoa(scale)})
	}
	n.params = append(n.params, param{prefix + "name", c.Name})
}

// driverType returns the name of a column's type: in a snapshot the driver calls an integer that a sequence
// fills a serial.
func driverType(r *Relation, c *Column) string {
	if r.Snapshot && c.Default != nil && strings.Contains(*c.Default, "nextval(") {
		switch c.Type.OID {
		case 21:
			return "smallserial"
		case 23:
			return "serial"
		case 20:
			return "bigserial"
		}
	}
	return c.Type.Name
}

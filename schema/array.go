package schema

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"strings"
)

// The arrays that a schema of one dimension has no form for.
var (
	errDimension = &unrepresentable{reason: "an array of more than one dimension has no form"}
	errNullItem  = &unrepresentable{reason: "the schema of the array's items knows no null"}
	errBroken    = &unrepresentable{reason: "Debezium gives bit[] the schema of a single bit string"}
)

// arrayForm returns the form of an array; false if Debezium leaves it out. The modifier of an array's column
// is that of its items: numeric(6,2)[] holds numbers of scale 2.
func arrayForm(r request) (form, bool) {
	elem := r.typ.Elem
	rule, item, ok := itemForm(r)
	switch {
	case !ok:
		return form{}, false
	case rule == itemsBroken:
		// Truth has no place under that schema, so that the column is left out as others without a form.
		item.write = func(*writer, []byte) error { return errBroken }
		item.unchanged = nil
		return item, r.options.Debezium
	case rule == itemsOptional:
		item.node.optional = true
	}
	unchanged := arrayPlaceholder(r.options, elem, item)
	if r.domain && r.options.Debezium {
		unchanged = nil // it knows the arrays themselves only
	}
	a := array{item: item.node, write: item.write, debezium: r.options.Debezium, delimiter: ','}
	if elem.OID == oidBox {
		a.delimiter = ';'
	}
	return form{
		node: &node{kind: nodeArray, items: item.node},
		zero: func(w *writer) {
			w.arrayBegin(0)
			w.arrayEnd(0)
		},
		write: a.writeArray, unchanged: unchanged,
	}, true
}

// itemForm returns the form of an array's items and their rule; false if there is none.
func itemForm(r request) (arrayRule, form, bool) {
	r.typ, r.item = r.typ.Elem, true
	line := lookup(r.typ)
	switch {
	case line != nil && line.items == noArray:
		return noArray, form{}, false
	case line != nil && line.form != nil:
		return line.items, line.form(r), true
	case line == nil && r.typ.Kind == KindEnum:
		return itemsRequired, enumForm(r), true
	case r.options.UnknownTypes:
		return unknownItems, unknownForm(r), true
	}
	return unknownItems, form{}, false
}

// array writes arrays of one type.
type array struct {
	item     *node
	write    func(*writer, []byte) error
	debezium bool
	// delimiter stands between items.
	delimiter byte
}

// writeArray writes an array from its text: {1,NULL,"quoted, \"escaped\""}, with its bounds before it if
// they do not start at 1, as in [0:1]={1,2}.
func (a *array) writeArray(w *writer, text []byte) error {
	// Read twice: Avro wants the number of items before the first one.
	r := arrayReader{text: text, delimiter: a.delimiter}
	r.open()
	first, count := r.at, 0
	for item, ok := r.next(); ok; item, ok = r.next() {
		switch {
		case item.nested && !a.debezium:
			return errDimension
		case (item.null || item.nested) && !a.item.optional:
			return errNullItem
		}
		count++
	}
	if r.err != nil {
		return r.err
	}
	w.arrayBegin(count)
	r.at, r.done = first, false
	for i := range count {
		item, _ := r.next()
		w.item(i)
		// Debezium's converters have no value for the array that they find where an item should be.
		if item.null || item.nested {
			w.null(a.item)
			continue
		}
		w.present(a.item)
		value := item.text
		if item.escaped {
			w.element = unescape(w.element[:0], value)
			value = w.element
		}
		if err := a.write(w, value); err != nil {
			return itemError(err, text, item.text)
		}
	}
	w.arrayEnd(count)
	return nil
}

// itemError adds to a syntax error the position of its item, which is a part of the array's text: both end
// at the same end of memory.
func itemError(err error, text, item []byte) error {
	var e *syntaxError
	if errors.As(err, &e) {
		return badText("array of "+e.form, e.want, cap(text)-cap(item)+e.at)
	}
	return err
}

// arrayItem is one item of an array's text.
type arrayItem struct {
	text    []byte
	escaped bool // has backslashes
	null    bool
	nested  bool // is an array itself
}

// arrayReader reads the items of an array's text:
//
//	array  = [ bounds "=" ] "{" [ item { "," item } ] "}"
//	item   = array | NULL | bare | quoted
//	bare   without braces, commas, quotes and blanks; a backslash stands before any byte
//	quoted any bytes between quotes, with a backslash before quotes and backslashes
//
// NULL in quotes is a text. Only box has another delimiter than the comma, a semicolon.
type arrayReader struct {
	text []byte
	// delimiter stands between items.
	delimiter byte
	at        int
	done      bool
	err       error
}

// fail records an error at the current position.
func (r *arrayReader) fail(want string) {
	if r.err == nil {
		r.err = badText("array", want, r.at)
	}
}

// open reads what stands before the first item.
func (r *arrayReader) open() {
	if len(r.text) > 0 && r.text[0] == '[' {
		r.at = bytes.IndexByte(r.text, '=') + 1
	}
	if r.at >= len(r.text) || r.text[r.at] != '{' {
		r.fail("an opening brace")
		return
	}
	r.at++
}

// next reads an item and the comma or brace after it; false is the end or an error.
func (r *arrayReader) next() (item arrayItem, ok bool) {
	if r.err != nil || r.done {
		return item, false
	}
	if r.at < len(r.text) && r.text[r.at] == '}' && r.text[r.at-1] == '{' {
		r.close()
		return item, false
	}
	switch start := r.at; {
	case r.at == len(r.text):
		r.fail("an item")
	case r.text[r.at] == '"':
		item.text, item.escaped = r.quoted()
	case r.text[r.at] == '{':
		item.nested = true
		r.skip()
	default:
		item.text, item.escaped = r.bare()
		item.null = !item.escaped && string(item.text) == "NULL"
		if r.at == start {
			r.fail("an item")
		}
	}
	switch {
	case r.err != nil:
	case r.at < len(r.text) && r.text[r.at] == r.delimiter:
		r.at++
	case r.at < len(r.text) && r.text[r.at] == '}':
		r.close()
	default:
		r.fail("a comma or a closing brace")
	}
	return item, r.err == nil
}

// close reads the last brace, with which the text must end.
func (r *arrayReader) close() {
	r.done = true
	if r.at++; r.at != len(r.text) {
		r.fail("the end")
	}
}

// quoted reads an item in quotes.
func (r *arrayReader) quoted() (text []byte, escaped bool) {
	r.at++
	start := r.at
	for ; r.at < len(r.text); r.at++ {
		switch r.text[r.at] {
		case '"':
			r.at++
			return r.text[start : r.at-1], escaped
		case '\\':
			escaped = true
			r.at++
		}
	}
	r.at = len(r.text)
	r.fail("a closing quote")
	return nil, false
}

// bare reads an item without quotes.
func (r *arrayReader) bare() (text []byte, escaped bool) {
	start := r.at
	for ; r.at < len(r.text); r.at++ {
		switch r.text[r.at] {
		case r.delimiter, '}':
			return r.text[start:r.at], escaped
		case '{', '"':
			r.fail("an item")
			return nil, false
		case '\\':
			escaped = true
			r.at++
		}
	}
	r.at = len(r.text)
	r.fail("a closing brace")
	return nil, false
}

// skip reads over an array within the array. What it holds is not looked at: no item of it is ever written.
func (r *arrayReader) skip() {
	for depth := 0; r.at < len(r.text); {
		switch r.text[r.at] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				r.at++
				return
			}
		case '"':
			r.quoted()
			continue
		}
		r.at++
	}
	r.fail("a closing brace")
}

// arrayPlaceholder returns the function that writes the placeholder of an unsent array; nil if there is
// none under its schema. Consumers look for exactly these values, so that they are Debezium's; natively all
// other arrays of texts have one too, where Debezium writes null and so says what is not so.
func arrayPlaceholder(o *Options, elem *Type, item form) func(*writer) error {
	raw, placeholder := o.placeholder(), o.textPlaceholder()
	name, builtin := elem.Name, lookup(elem) != nil && lookup(elem).oid != 0
	one := func(put func(*writer)) func(*writer) error {
		return func(w *writer) error {
			w.arrayBegin(1)
			w.item(0)
			w.present(item.node)
			put(w)
			w.arrayEnd(1)
			return nil
		}
	}
	text := one(func(w *writer) { w.text(placeholder) })
	switch {
	case !builtin:
	case name == "int4" || name == "int8" || name == "date" && item.node.name == "io.debezium.time.Date":
		return bytePlaceholder(raw, item.node)
	case name == "uuid":
		id := nameUUID(raw)
		return one(func(w *writer) { w.textString(id) })
	case name == "bytea" && (o.Binary == BinaryBytes || !o.Debezium):
		return one(func(w *writer) { _ = item.unchanged(w) }) // it has an error only with Debezium set
	case name == "text" || name == "varchar" || name == "bpchar" || name == "json" || name == "jsonb":
		return text
	}
	if o.Debezium || item.node.kind != nodeString || strings.HasPrefix(item.node.name, "io.debezium.time.") {
		return nil
	}
	return text
}

// bytePlaceholder writes a placeholder as numbers, one for each of its bytes, which are signed in Java.
func bytePlaceholder(placeholder []byte, item *node) func(*writer) error {
	return func(w *writer) error {
		w.arrayBegin(len(placeholder))
		for i, b := range placeholder {
			w.item(i)
			w.present(item)
			w.integer(int64(int8(b)))
		}
		w.arrayEnd(len(placeholder))
		return nil
	}
}

// nameUUID returns the version 3 UUID of a name without a namespace, Java's UUID.nameUUIDFromBytes.
func nameUUID(name []byte) string {
	id := md5.Sum(name)
	id[6] = id[6]&0x0f | 0x30
	id[8] = id[8]&0x3f | 0x80
	var text []byte
	for i, part := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return string(text)
}

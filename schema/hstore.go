package schema

import "slices"

// hstoreForm is the form of hstore: the text of a JSON object, or a map whose values may be null.
func hstoreForm(r request) form {
	placeholder := r.options.textPlaceholder()
	if r.options.Hstore == HstoreMap {
		n := &node{kind: nodeMap, items: optionalNode(nodeString)}
		return form{
			node: n,
			zero: func(w *writer) {
				w.mapBegin(0)
				w.mapEnd(0)
			},
			write: func(w *writer, text []byte) error { return writeHstoreMap(w, n, text) },
			unchanged: func(w *writer) error {
				w.mapBegin(1)
				w.mapKey(0, placeholder)
				w.present(n.items)
				w.text(placeholder)
				w.mapEnd(1)
				return nil
			},
		}
	}
	return form{
		node: named(nodeString, jsonName), zero: func(w *writer) { w.textString("{}") }, write: writeHstoreJSON,
		unchanged: func(w *writer) error {
			w.scratch = appendJSONString(append(w.scratch[:0], '{'), placeholder)
			w.scratch = appendJSONString(append(w.scratch, ':'), placeholder)
			w.scratch = append(w.scratch, '}')
			w.text(w.scratch)
			return nil
		},
	}
}

// hstorePair is one pair of an hstore, still escaped.
type hstorePair struct {
	key, value []byte
	null       bool
	bucket     uint32 // of a Java hash table
}

// hstoreReader reads the pairs of an hstore's text: "key"=>"value", "other"=>NULL. Both sides are always
// quoted, and a backslash stands before quotes and backslashes.
type hstoreReader struct {
	text []byte
	at   int
	err  error
}

// next reads a pair; false is the end or an error. After an error nothing more is read.
func (r *hstoreReader) next() (p hstorePair, ok bool) {
	if r.err != nil || r.at == len(r.text) {
		return p, false
	}
	if r.at > 0 {
		r.literal(", ")
	}
	p.key = r.quoted()
	r.literal("=>")
	if r.err == nil && r.text[min(r.at, len(r.text)-1)] == 'N' {
		p.null = true
		r.literal("NULL")
	} else {
		p.value = r.quoted()
	}
	return p, r.err == nil
}

// literal reads a text that must stand next.
func (r *hstoreReader) literal(want string) {
	if r.err != nil {
		return
	}
	if end := r.at + len(want); end > len(r.text) || string(r.text[r.at:end]) != want {
		r.err = badText("hstore", want, r.at)
		return
	}
	r.at += len(want)
}

// quoted reads a quoted text and returns what stands between the quotes.
func (r *hstoreReader) quoted() []byte {
	r.literal(`"`)
	if r.err != nil {
		return nil
	}
	start := r.at
	for ; r.at < len(r.text); r.at++ {
		switch r.text[r.at] {
		case '"':
			r.at++
			return r.text[start : r.at-1]
		case '\\':
			r.at++
		}
	}
	r.at = len(r.text)
	r.err = badText("hstore", "a closing quote", r.at)
	return nil
}

// hstorePairs reads all pairs into the writer's memory, in the order of a Java hash table, which is that of
// Debezium's entries. Nothing is written yet, so that an error leaves nothing by half.
func (w *writer) hstorePairs(text []byte) ([]hstorePair, error) {
	w.pairs = w.pairs[:0]
	r := hstoreReader{text: text}
	for p, ok := r.next(); ok; p, ok = r.next() {
		w.scratch = unescape(w.scratch[:0], p.key)
		p.bucket = JavaHash(w.scratch)
		w.pairs = append(w.pairs, p)
	}
	if r.err != nil {
		return nil, r.err
	}
	buckets := JavaBuckets(len(w.pairs))
	for i := range w.pairs {
		w.pairs[i].bucket &= buckets - 1
	}
	slices.SortStableFunc(w.pairs, byBucket)
	return w.pairs, nil
}

// writeHstoreMap writes an hstore as a map.
func writeHstoreMap(w *writer, n *node, text []byte) error {
	pairs, err := w.hstorePairs(text)
	if err != nil {
		return err
	}
	w.mapBegin(len(pairs))
	for i, p := range pairs {
		w.scratch = unescape(w.scratch[:0], p.key)
		w.mapKey(i, w.scratch)
		if p.null {
			w.null(n.items)
			continue
		}
		w.present(n.items)
		w.scratch = unescape(w.scratch[:0], p.value)
		w.text(w.scratch)
	}
	w.mapEnd(len(pairs))
	return nil
}

// writeHstoreJSON writes an hstore as the text of a JSON object.
func writeHstoreJSON(w *writer, text []byte) error {
	pairs, err := w.hstorePairs(text)
	if err != nil {
		return err
	}
	w.scratch = append(w.scratch[:0], '{')
	for _, p := range pairs {
		if len(w.scratch) > 1 {
			w.scratch = append(w.scratch, ',')
		}
		w.scratch = append(appendEscaped(w.scratch, p.key), ':')
		if p.null {
			w.scratch = append(w.scratch, "null"...)
		} else {
			w.scratch = appendEscaped(w.scratch, p.value)
		}
	}
	w.scratch = append(w.scratch, '}')
	w.text(w.scratch)
	return nil
}

// appendEscaped appends an hstore's escaped text as a JSON string. The escapes of hstore are escapes of
// JSON too, so that only control characters need one more.
func appendEscaped(dst, raw []byte) []byte {
	dst = append(dst, '"')
	for _, c := range raw {
		if c < ' ' {
			dst = appendJSONEscape(dst, c)
		} else {
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// unescape appends a text without the backslashes that escape its bytes.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' && i+1 < len(raw) {
			i++
		}
		dst = append(dst, raw[i])
	}
	return dst
}

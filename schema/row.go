package schema

// Kind says what a Datum holds.
type Kind uint8

// The kinds of a Datum. Absent and Unchanged are not null: the value exists, but was not sent.
const (
	// Null is SQL NULL.
	Null Kind = iota
	// Text is a value in Postgres's text form, under the session settings that every connection pins.
	Text
	// Unchanged is a TOASTed value that an update did not touch and Postgres did not send.
	Unchanged
	// Absent is a column outside of the replica identity in a key-only old tuple.
	Absent
	// Encoded is a value in the form that the codec itself writes: see Codec.KeyRow.
	Encoded
)

// Datum is one value of a Row.
type Datum struct {
	Kind Kind
	// Text is the value when Kind is Text or Encoded, else nil. It points into memory that its batch owns and is
	// valid until that batch is released.
	Text []byte
}

// Row is the values of one tuple in its relation's column order. A nil Row is no tuple at all.
type Row []Datum

package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"

	"github.com/tributary-cdc/tributary/schema"
)

// Reader turns the bytes of records into what an audit asks of them.
type Reader struct {
	// schemaText returns the text of a schema that is registered under an id.
	schemaText func(ctx context.Context, id uint32) (string, error)
	forms      map[uint32]*form
	local      map[string]*form
	versions   []*version
	seed       maphash.Seed
	scratch    []byte
	hashes     []uint32
}

// NewReader returns a Reader that asks schemaText once for each schema id; nil is enough where all is JSON.
func NewReader(schemaText func(ctx context.Context, id uint32) (string, error)) *Reader {
	return &Reader{
		schemaText: schemaText, forms: map[uint32]*form{}, local: map[string]*form{},
		seed: maphash.MakeSeed(),
	}
}

// Record is what an audit knows of one record. Key and the hashes are valid until the next record is read.
type Record struct {
	// Key is the key as JSON text, nil when there is none.
	Key []byte
	// Op is the operation, 0 for a tombstone and for what is no change of a table.
	Op        schema.Op
	Tombstone bool
	// Snapshot says that the record is a snapshot's row, or the delete of a row that it did not find.
	Snapshot bool
	// TxID is source.txId, -1 for none; LSN is source.lsn, LastCommit the first part of source.sequence, 0 for
	// none; Time is the commit time in microseconds.
	TxID            int64
	LSN, LastCommit uint64
	Time            int64

	version *version // nil without a row
	hashes  []uint32 // of the row's values, in the version's order
}

// SchemaError is a schema that could not be had: what stands under it is not known to be wrong.
type SchemaError struct {
	ID  uint32
	Err error
}

// Error names the schema.
func (e *SchemaError) Error() string { return fmt.Sprintf("get schema %d: %v", e.ID, e.Err) }

// Unwrap returns the error inside.
func (e *SchemaError) Unwrap() error { return e.Err }

// column is what the decoder makes of a column. Columns have no names that a struct could have ahead.
type column any

// sourceBlock is what is read of a source block.
type sourceBlock struct {
	Snapshot *string `avro:"snapshot" json:"snapshot"`
	Sequence *string `avro:"sequence" json:"sequence"`
	Micros   *int64  `avro:"ts_us" json:"ts_us"`
	TxID     *int64  `avro:"txId" json:"txId"`
	LSN      *int64  `avro:"lsn" json:"lsn"`
}

// envelope is what is read of a value in Avro.
type envelope struct {
	After  map[string]column `avro:"after"`
	Source sourceBlock       `avro:"source"`
	Op     string            `avro:"op"`
}

// jsonEnvelope is what is read of a value in JSON.
type jsonEnvelope struct {
	After   json.RawMessage `json:"after"`
	Source  *sourceBlock    `json:"source"`
	Op      string          `json:"op"`
	Payload json.RawMessage `json:"payload"`
	Schema  json.RawMessage `json:"schema"`
}

// Record reads a record as it stands in a topic.
func (r *Reader) Record(ctx context.Context, key, value []byte) (Record, error) {
	rec, err := r.value(ctx, value)
	if err != nil {
		return rec, fmt.Errorf("value: %w", err)
	}
	if key != nil {
		if rec.Key, err = r.Key(ctx, key); err != nil {
			return rec, fmt.Errorf("key: %w", err)
		}
	}
	return rec, nil
}

// Key returns a key as JSON text.
func (r *Reader) Key(ctx context.Context, key []byte) ([]byte, error) {
	if len(key) >= 5 && key[0] == 0 {
		f, err := r.form(ctx, binary.BigEndian.Uint32(key[1:]))
		if err != nil {
			return nil, err
		}
		return r.avroKey(f, key[5:])
	}
	return jsonKey(key)
}

// LocalKey returns a key that a codec wrote, without the registry's prefix; text is its schema, empty for
// JSON.
func (r *Reader) LocalKey(text string, key []byte) ([]byte, error) {
	if text == "" {
		return jsonKey(key)
	}
	f, err := r.localForm(text)
	if err != nil {
		return nil, err
	}
	return r.avroKey(f, key)
}

// Local reads a value that a codec wrote, without the registry's prefix; text is its schema, empty for JSON.
func (r *Reader) Local(text string, value []byte) (Record, error) {
	if text == "" {
		return r.jsonValue(value)
	}
	f, err := r.localForm(text)
	if err != nil {
		return Record{}, err
	}
	return r.avroValue(f, value)
}

func (r *Reader) value(ctx context.Context, value []byte) (Record, error) {
	switch {
	case value == nil:
		return Record{Tombstone: true, TxID: -1}, nil
	case len(value) >= 5 && value[0] == 0:
		f, err := r.form(ctx, binary.BigEndian.Uint32(value[1:]))
		if err != nil {
			return Record{}, err
		}
		return r.avroValue(f, value[5:])
	}
	return r.jsonValue(value)
}

func (r *Reader) form(ctx context.Context, id uint32) (*form, error) {
	if f := r.forms[id]; f != nil {
		return f, nil
	}
	text, err := r.schemaText(ctx, id)
	if err != nil {
		return nil, &SchemaError{ID: id, Err: err}
	}
	f, err := r.newForm(text)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	r.forms[id] = f
	return f, nil
}

func (r *Reader) localForm(text string) (*form, error) {
	if f := r.local[text]; f != nil {
		return f, nil
	}
	f, err := r.newForm(text)
	if err == nil {
		r.local[text] = f
	}
	return f, err
}

func (r *Reader) avroKey(f *form, datum []byte) ([]byte, error) {
	var key map[string]column
	rest, err := f.schema.Decode(datum, &key)
	if err != nil || len(rest) > 0 {
		return nil, malformed(err, rest)
	}
	text := []byte{'{'}
	for i, name := range f.fields {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendValue(append(appendString(text, name), ':'), key[name])
	}
	return append(text, '}'), nil
}

func (r *Reader) avroValue(f *form, datum []byte) (Record, error) {
	if f.version == nil {
		return Record{TxID: -1}, nil
	}
	var e envelope
	rest, err := f.schema.Decode(datum, &e)
	if err != nil || len(rest) > 0 {
		return Record{}, malformed(err, rest)
	}
	rec, err := e.Source.record(e.Op)
	if err != nil || e.After == nil {
		return rec, err
	}
	r.hashes = r.hashes[:0]
	for _, name := range f.version.columns {
		r.scratch = appendValue(r.scratch[:0], e.After[name])
		r.hashes = append(r.hashes, r.hash(r.scratch))
	}
	rec.version, rec.hashes = f.version, r.hashes
	return rec, nil
}

// malformed says that a datum is not what its schema says, without the decoder's words, which may hold
// values.
func malformed(err error, rest []byte) error {
	if err != nil {
		return errors.New("the datum does not decode under its schema")
	}
	return fmt.Errorf("%d bytes behind the datum", len(rest))
}

func (r *Reader) jsonValue(value []byte) (Record, error) {
	var e jsonEnvelope
	if json.Unmarshal(value, &e) != nil {
		return Record{}, errors.New("neither Avro with a schema id nor an object in JSON")
	}
	if e.Schema != nil && e.Payload != nil {
		return r.jsonValue(e.Payload)
	}
	if e.Source == nil || e.Op == "" {
		return Record{TxID: -1}, nil
	}
	rec, err := e.Source.record(e.Op)
	if err != nil || e.After == nil || string(e.After) == "null" {
		return rec, err
	}
	var columns []string
	r.hashes = r.hashes[:0]
	err = eachField(e.After, func(name string, value json.RawMessage) {
		columns = append(columns, name)
		r.hashes = append(r.hashes, r.hash(value))
	})
	rec.version, rec.hashes = r.versionOf(columns), r.hashes
	return rec, err
}

// record returns what a source block and an operation say.
func (s *sourceBlock) record(op string) (Record, error) {
	rec := Record{TxID: -1}
	if len(op) == 1 {
		rec.Op = schema.Op(op[0])
	}
	// Also the deletes of a repair are a snapshot's.
	rec.Snapshot = rec.Op == schema.OpRead ||
		rec.Op == schema.OpDelete && s.Snapshot != nil && *s.Snapshot != "false"
	if s.TxID != nil {
		rec.TxID = *s.TxID
	}
	if s.LSN != nil {
		rec.LSN = uint64(*s.LSN)
	}
	if s.Micros != nil {
		rec.Time = *s.Micros
	}
	if s.Sequence != nil {
		first, _, _ := strings.Cut(strings.TrimPrefix(*s.Sequence, "["), ",")
		if text := strings.Trim(first, `"`); text != "null" && text != "" {
			lsn, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return rec, errors.New("source.sequence is no pair of LSNs")
			}
			rec.LastCommit = lsn
		}
	}
	return rec, nil
}

// jsonKey returns a key in JSON without the schema beside it.
func jsonKey(key []byte) ([]byte, error) {
	var e jsonEnvelope
	if json.Unmarshal(key, &e) == nil && e.Schema != nil && e.Payload != nil {
		key = e.Payload
	}
	var b bytes.Buffer
	if json.Compact(&b, key) != nil {
		return nil, errors.New("neither Avro with a schema id nor JSON")
	}
	return b.Bytes(), nil
}

// eachField calls do with each field of a JSON object, in their order.
func eachField(object json.RawMessage, do func(name string, value json.RawMessage)) error {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return errors.New("a row is no object in JSON")
	}
	for d.More() {
		name, err := d.Token()
		text, isText := name.(string)
		var value json.RawMessage
		if err != nil || !isText || d.Decode(&value) != nil {
			return errors.New("a row is no object in JSON")
		}
		do(text, value)
	}
	return nil
}

// hash is a value's hash; 0 is left to stand for a value that was not sent.
func (r *Reader) hash(text []byte) uint32 {
	return max(1, uint32(maphash.Bytes(r.seed, text)))
}

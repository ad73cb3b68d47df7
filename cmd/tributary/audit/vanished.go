package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tributary-cdc/tributary/schema"
)

// VanishedOptions say which table is held against which topic.
type VanishedOptions struct {
	Table string
	// Codec is that of the table as it is now.
	Codec *schema.Codec
	// Rows is about how many rows the table has, negative when nobody knows.
	Rows   float64
	Reader *Reader
	Spill  *Spill
}

// Vanished finds the keys that a topic holds and its table does not: first every Row and every Record, then
// Each. Keys are compared by what they say, not by their bytes: one that was written under an older schema is
// the same key. A truncate in the log is passed over, so that a key which it erased counts as held: to delete
// it once more does no harm, to leave it would.
type Vanished struct {
	o      VanishedOptions
	rows   *buckets
	log    *buckets
	buffer []byte
}

// KeyError is a record whose key is no key that the pipeline could have written: whether its row is there
// cannot be told, so it can neither be kept nor deleted.
type KeyError struct{ Err error }

// Error says what helps.
func (e *KeyError) Error() string {
	return fmt.Sprintf("key: %v: another program writes into this topic: remove its record "+
		"(kafka-delete-records, retention), or give the table a topic of its own (topic.routes)", e.Err)
}

// Unwrap returns the decoder's error.
func (e *KeyError) Unwrap() error { return e.Err }

// NeedsPerson is true: the record stays as it is.
func (e *KeyError) NeedsPerson() bool { return true }

// NewVanished prepares a comparison.
func NewVanished(o VanishedOptions) *Vanished {
	n := bucketCount(o.Rows)
	return &Vanished{
		o: o, rows: newBuckets(o.Spill, o.Reader.seed, n), log: newBuckets(o.Spill, o.Reader.seed, n),
	}
}

// Row adds a row of the table, of which the key's columns are enough. Under Debezium's rules a key may stand
// in the topic in two forms.
func (v *Vanished) Row(row schema.Row) error {
	streamed, err := v.key(v.o.Codec.AppendKey, row)
	if err != nil {
		return err
	}
	streamed = slices.Clone(streamed)
	if err := v.rows.add(&entry{key: streamed}); err != nil {
		return err
	}
	read, err := v.key(v.o.Codec.AppendSnapshotKey, row)
	if err != nil || slices.Equal(read, streamed) {
		return err
	}
	return v.rows.add(&entry{key: read})
}

// key writes a row's key and reads it back. It is valid until the next one.
func (v *Vanished) key(write func([]byte, schema.Row) ([]byte, error), row schema.Row) (key []byte,
	err error,
) {
	if v.buffer, err = write(v.buffer[:0], row); err != nil {
		return nil, fmt.Errorf("make the key of a row of %s: %w", v.o.Table, err)
	}
	if key, err = v.o.Reader.LocalKey(v.o.Codec.KeySchema(), v.buffer); err != nil {
		return nil, fmt.Errorf("read the key of a row of %s: %w", v.o.Table, err)
	}
	return key, nil
}

// Record adds a record of the topic; those of one partition come in their order. The errors are a *KeyError,
// a *SchemaError, and the context's.
func (v *Vanished) Record(ctx context.Context, key, value []byte) error {
	if key == nil {
		return nil // a truncate, or from before the table had a key
	}
	name, err := v.o.Reader.Key(ctx, key)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, new(*SchemaError)):
		return err
	case err != nil:
		return &KeyError{err}
	}
	rec, err := v.o.Reader.value(ctx, value)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, new(*SchemaError)):
		return err
	case err != nil:
		rec.Op = schema.OpUpdate // whatever it is, to a reader it stands for the row of this key
	case rec.Tombstone || rec.Op == schema.OpDelete:
		return v.log.add(&entry{key: name})
	case rec.Op == schema.OpTruncate || rec.Op == schema.OpMessage || rec.Op == 0:
		return nil
	}
	return v.log.add(&entry{key: name, op: rec.Op, raw: key})
}

// Each gives the keys that have vanished to do, as they stand in the topic. A key that stands there in two
// forms, both of them live, is given in both. The key is valid until do returns.
func (v *Vanished) Each(do func(raw []byte) error) error {
	for _, side := range []*buckets{v.rows, v.log} {
		if err := side.seal(); err != nil {
			return err
		}
	}
	for i := range v.log.buffers {
		live := map[string]map[string]bool{}
		if err := v.log.each(i, func(e *entry) {
			if e.op == 0 {
				delete(live, string(e.key))
				return
			}
			if live[string(e.key)] == nil {
				live[string(e.key)] = map[string]bool{}
			}
			live[string(e.key)][string(e.raw)] = true
		}); err != nil {
			return err
		}
		if err := v.rows.each(i, func(e *entry) { delete(live, string(e.key)) }); err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(live)) {
			for _, raw := range slices.Sorted(maps.Keys(live[key])) {
				if err := do([]byte(raw)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

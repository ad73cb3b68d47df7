package publisher

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// The headers that Debezium gives the records of tables.
const (
	headerNewKey = "__debezium.newkey"
	headerOldKey = "__debezium.oldkey"

	headerLogicalName   = "__debezium.context.connectorLogicalName"
	headerTaskID        = "__debezium.context.taskId"
	headerConnectorName = "__debezium.context.connectorName"
	headerRunID         = "__debezium.context.runId"
)

// Why a change makes no record.
const (
	filteredNot       = ""
	filteredOperation = "operation"
	filteredUnchanged = "unchanged"
	filteredMessage   = "message_prefix"
)

// builder makes records of changes: no I/O, no clock. It keeps memory from one change to the next.
type builder struct {
	debezium      bool
	tombstones    bool
	skipUnchanged bool
	numbered      bool // Options.Transactions
	skip          [256]bool
	keep          func(prefix string) bool
	headers       []kgo.RecordHeader // of every record of a table
	untraced      []kgo.RecordHeader // the same without that of the open transaction
	traced        string             // that one, for the window's account; empty for none

	envelope schema.Envelope
	numbers  numbers
	at       time.Time // of the records being made
	oldKey   []byte
	large    bool // some of the batch's values are
}

// newBuilder returns the builder of a run.
func newBuilder(o *Options) builder {
	b := builder{
		debezium: o.Schema.Debezium, tombstones: !o.NoTombstones, skipUnchanged: o.SkipUnchanged,
		numbered: o.Transactions, keep: o.Message,
	}
	for _, op := range o.Skip {
		b.skip[op] = true
	}
	if o.Context {
		b.headers = []kgo.RecordHeader{
			{Key: headerLogicalName, Value: []byte(o.Schema.Name)},
			{Key: headerTaskID, Value: []byte("0")},
			{Key: headerConnectorName, Value: []byte("postgresql")},
			{Key: headerRunID, Value: []byte(o.Run)},
		}
	}
	b.headers = append(b.headers, o.Headers...)
	b.untraced = b.headers
	return b
}

// source sets what the envelopes of a change have in common.
func (b *builder) source(t *decoder.Transaction, c *decoder.Change, lastCommit decoder.LSN, xmin int64,
	at time.Time,
) {
	b.at = at
	b.envelope = schema.Envelope{Time: at.UnixNano(), Source: schema.Source{
		Time: t.Time, Snapshot: c.Marker, LSN: uint64(c.LSN), LastCommit: uint64(lastCommit), XMin: xmin,
		TxID: int64(t.XID), HasTxID: true, Origin: t.Origin, OriginLSN: uint64(t.OriginLSN),
	}}
	s := &b.envelope.Source
	switch {
	case c.Marker == schema.MarkerIncremental:
		// As Debezium has it: the row has the time at which it was read and the place of the stream.
		s.TxID, s.HasTxID, s.LSN, s.XMin, s.Time = 0, false, 0, 0, at.UnixMicro()
	case c.Op == schema.OpRead, c.Key != nil:
		s.TxID, s.LastCommit, s.XMin = int64(t.FullXID), 0, 0
	case c.Op == schema.OpMessage && !c.Transactional:
		// It has no transaction, and Debezium gives it the time at which it was seen.
		// It also counts as a commit at its own place.
		s.TxID, s.HasTxID, s.Time, s.LastCommit = 0, false, at.UnixMicro(), uint64(c.LSN)
	}
}

// change appends the records of one change of a table to w, or says why there are none. After an error some
// of them may be there.
func (b *builder) change(w *window, tb *table, t *decoder.Transaction, c *decoder.Change) (string, error) {
	if c.Key != nil {
		return filteredNot, b.vanished(w, tb, t, c)
	}
	if tb.gap != "" && !b.debezium && (c.Op == schema.OpUpdate || c.Op == schema.OpDelete) && tb.codec.HasKey() {
		return "", &KeyError{
			Table: tb.stats.name, Column: tb.gap,
			Position: decoder.Position{Commit: t.Commit, Ordinal: c.Ordinal},
		}
	}
	w.changes = append(w.changes, change{
		first: w.n, table: tb.stats, op: c.Op, position: decoder.Position{Commit: t.Commit, Ordinal: c.Ordinal},
	})
	made := int64(1)
	var err error
	switch c.Op {
	case schema.OpUpdate:
		if b.skipUnchanged && c.Old != nil && !c.OldIsKey && tb.codec.Same(c.Old, c.New) {
			w.changes = w.changes[:len(w.changes)-1]
			return filteredUnchanged, nil
		}
		if made, err = b.update(w, tb, c); made == 0 && err == nil {
			w.changes = w.changes[:len(w.changes)-1]
			return filteredOperation, nil
		}
	case schema.OpDelete:
		var key []byte
		if key, err = b.key(w, tb, c.Old, false); err == nil {
			err = b.deleted(w, tb, key, c.Old, b.headers)
		}
	case schema.OpTruncate:
		err = b.value(w, tb, c.Op, nil, nil, nil, b.headers)
	default:
		var key []byte
		if key, err = b.key(w, tb, c.New, c.Op == schema.OpRead); err == nil {
			err = b.value(w, tb, c.Op, key, nil, c.New, b.headers)
		}
	}
	if err == nil && b.numbered && c.Op != schema.OpRead {
		b.numbers.add(tb.stats.name, made)
	}
	return filteredNot, err
}

// update appends the records of an update, and returns for how many changes it counts: under another key it
// is a delete and an insert.
func (b *builder) update(w *window, tb *table, c *decoder.Change) (int64, error) {
	key, err := b.key(w, tb, c.New, false)
	if err != nil {
		return 0, err
	}
	if c.Old == nil || key == nil {
		return 1, b.value(w, tb, c.Op, key, c.Old, c.New, b.headers)
	}
	if b.oldKey, err = tb.codec.AppendKey(append(b.oldKey[:0], tb.keyPrefix...), c.Old); err != nil {
		return 0, err
	}
	if bytes.Equal(b.oldKey, key) {
		return 1, b.value(w, tb, c.Op, key, c.Old, c.New, b.headers)
	}
	oldKey := w.slabs.keep(append(w.slabs.room(), b.oldKey...))
	toNew, err := b.keyHeader(tb, headerNewKey, c.New)
	if err != nil {
		return 0, err
	}
	toOld, err := b.keyHeader(tb, headerOldKey, c.Old)
	if err != nil {
		return 0, err
	}
	made := int64(0)
	if !b.skip[schema.OpDelete] { // each half counts as what it is, as in Debezium
		if err := b.deleted(w, tb, oldKey, c.Old, toNew); err != nil {
			return 0, err
		}
		made++
	}
	if b.skip[schema.OpCreate] {
		return made, nil
	}
	b.numberNext(tb, made+1)
	return made + 1, b.append(w, tb, schema.OpCreate, key, nil, c.New, toOld)
}

// deleted appends a delete and its tombstone.
func (b *builder) deleted(w *window, tb *table, key []byte, old schema.Row,
	headers []kgo.RecordHeader,
) error {
	if err := b.value(w, tb, schema.OpDelete, key, old, nil, headers); err != nil {
		return err
	}
	b.tombstone(w, tb, key, headers)
	return nil
}

// tombstone appends the null value behind a delete, where they are wanted.
func (b *builder) tombstone(w *window, tb *table, key []byte, headers []kgo.RecordHeader) {
	if b.tombstones {
		r := w.next()
		r.Key, r.Headers = key, headers
		w.add(r, tb.topic, b.at)
	}
}

// vanished appends the delete of a row that is in the topic and no longer in the database. The key goes out
// as it stands there, so that it comes into the same partition and compaction forgets it.
func (b *builder) vanished(w *window, tb *table, t *decoder.Transaction, c *decoder.Change) error {
	w.changes = append(w.changes, change{
		first: w.n, table: tb.stats, op: c.Op, position: decoder.Position{Commit: t.Commit},
	})
	key := w.slabs.keep(append(w.slabs.room(), c.Key...))
	if err := b.append(w, tb, schema.OpDelete, key, c.Old, nil, b.headers); err != nil {
		return err
	}
	b.tombstone(w, tb, key, b.headers)
	return nil
}

// value appends a change's first numbered record.
func (b *builder) value(w *window, tb *table, op schema.Op, key []byte, before, after schema.Row,
	headers []kgo.RecordHeader,
) error {
	if op != schema.OpRead {
		b.numberNext(tb, 1)
	}
	return b.append(w, tb, op, key, before, after, headers)
}

// append appends one record with a value.
func (b *builder) append(w *window, tb *table, op schema.Op, key []byte, before, after schema.Row,
	headers []kgo.RecordHeader,
) error {
	e := &b.envelope
	e.Op, e.Before, e.After = op, before, after
	room := w.slabs.room()
	if b.large {
		room = roomFor(room, before, after)
	}
	value, err := tb.codec.AppendValue(append(room, tb.valuePrefix...), e)
	if err != nil {
		return err
	}
	r := w.next()
	r.Key, r.Value, r.Headers = key, w.slabs.keep(value), headers
	w.add(r, tb.topic, b.at)
	return nil
}

// numberNext sets the transaction block of the n-th record that the present change makes.
func (b *builder) numberNext(tb *table, n int64) {
	if !b.numbered {
		return
	}
	s := &b.envelope.Source
	b.envelope.Transaction = schema.Transaction{
		TxID: uint32(s.TxID), LSN: s.LSN,
		TotalOrder: b.numbers.total + n, CollectionOrder: b.numbers.of(tb.stats.name) + n,
	}
}

// messageCollection is what Debezium counts a logical message of a transaction as: an object of its own
// each, whose class and hash then stand for a table's name. The hash is chance there, here the message's
// place.
func messageCollection(lsn decoder.LSN) string {
	const class = "io.debezium.connector.postgresql.LogicalDecodingMessageMonitor$LogicalDecodingMessageId@"
	return class + strconv.FormatUint(uint64(lsn)&0x7fffffff, 16)
}

// numberMessage sets a message's transaction block, and counts it.
func (b *builder) numberMessage(c *decoder.Change) {
	if !b.numbered || !c.Transactional {
		return
	}
	s := &b.envelope.Source
	b.envelope.Transaction = schema.Transaction{
		TxID: uint32(s.TxID), LSN: s.LSN, TotalOrder: b.numbers.total + 1, CollectionOrder: 1,
	}
	b.numbers.add(messageCollection(c.LSN), 1)
}

// key returns the key of a row in the window's memory, nil for a table without one.
func (b *builder) key(w *window, tb *table, row schema.Row, snapshot bool) ([]byte, error) {
	if !tb.codec.HasKey() {
		return nil, nil
	}
	encode := tb.codec.AppendKey
	if snapshot {
		encode = tb.codec.AppendSnapshotKey // Debezium reads a few values otherwise there
	}
	key, err := encode(append(w.slabs.room(), tb.keyPrefix...), row)
	if err != nil {
		return nil, err
	}
	return w.slabs.keep(key), nil
}

// keyHeader returns the headers of a key change's record: the other key goes first.
func (b *builder) keyHeader(tb *table, name string, row schema.Row) ([]kgo.RecordHeader, error) {
	text, err := tb.codec.AppendKeyHeader(nil, row)
	if err != nil {
		return nil, err
	}
	return slices.Insert(slices.Clone(b.headers), 0, kgo.RecordHeader{Key: name, Value: text}), nil
}

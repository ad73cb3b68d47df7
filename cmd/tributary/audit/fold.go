package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tributary-cdc/tributary/schema"
)

// FoldOptions say which table is held against which topic.
type FoldOptions struct {
	Table, Topic string
	// Codec is that of the table as it is now, and Columns the number of its columns. Debezium says that the
	// rows of snapshots may have other forms.
	Codec    *schema.Codec
	Columns  int
	Debezium bool
	// Rows is about how many rows the table has, negative when nobody knows.
	Rows   float64
	Cut    Cut
	Reader *Reader
	Spill  *Spill
	// Samples is how many keys of each kind the result names.
	Samples int
	// Added are the columns, by name, that were added behind one that was dropped.
	Added map[string]Added
}

// Table is what became of the comparison of one table. Its JSON is that of verify --json.
type Table struct {
	Table string `json:"table"`
	Topic string `json:"topic"`
	// Rows are the table's at the cut; Records are the topic's that count, Beyond those behind the cut.
	Rows    int64 `json:"rows"`
	Records int64 `json:"records"`
	Beyond  int64 `json:"beyond"`
	// Missing are rows that the folded topic does not have, Extra those that only it has, Differing those whose
	// values are others.
	Missing   int64 `json:"missing"`
	Extra     int64 `json:"extra"`
	Differing int64 `json:"differing"`
	// Doubled are changes that come twice in a row, Backward those that follow a later one of their key.
	Doubled  int64 `json:"doubled"`
	Backward int64 `json:"backward"`
	// ReadAgain are snapshot rows of a key that a snapshot had given already.
	ReadAgain int64 `json:"read_again"`
	// Replayed are records that a replay published, which were left out.
	Replayed int64 `json:"replayed"`
	// Placeholders are rows whose last record has the placeholder of a TOASTed value; of these Unresolved have a
	// column without a real value under the key, which is not compared.
	Placeholders int64 `json:"placeholders"`
	Unresolved   int64 `json:"unresolved"`
	// Older are rows whose last record lacks columns that the table has now, or has a dropped one's value in the
	// place of one that was added under its name.
	Older     int64 `json:"older"`
	Truncates int64 `json:"truncates"`
	// Malformed are records that are no key and value of a table.
	Malformed int64 `json:"malformed"`
	// NotComparable says why nothing was compared, empty when it was.
	NotComparable string `json:"not_comparable,omitempty"`
	// The first keys of each kind, as JSON.
	MissingKeys   []string     `json:"missing_keys,omitempty"`
	ExtraKeys     []string     `json:"extra_keys,omitempty"`
	DifferingKeys []Difference `json:"differing_keys,omitempty"`
}

// Difference is a row whose values differ.
type Difference struct {
	Key     string   `json:"key"`
	Columns []string `json:"columns"`
}

// Clean says that topic and table agree. repeats says that records may come again, as after a rewind or in
// at-least-once.
func (t *Table) Clean(repeats bool) bool {
	return t.NotComparable == "" && t.Missing == 0 && t.Extra == 0 && t.Differing == 0 && t.Malformed == 0 &&
		(repeats || t.Doubled == 0 && t.Backward == 0)
}

// Fold compares one table with its topic: first every Row, then every Record, then Result.
type Fold struct {
	o      FoldOptions
	result Table
	rows   *buckets
	log    *buckets
	// placeholders are the hashes of what stands for an unsent value, by column; absent where nothing does.
	placeholders map[string]uint32
	plans        map[int]*plan
	current      *version
	reborn       reborn
	// deleted is the key of each partition's last record while that is a delete.
	deleted map[int32][]byte
	// truncated is the last truncate that counts.
	truncated struct{ lsn, xid uint64 }
	buffer    []byte
}

// plan is how the rows of one version compare with the table's present ones.
type plan struct {
	columns []string
	// placeholders are the version's, by column, 0 for none; present is where the table's column stands in the
	// version, -1 for nowhere.
	placeholders []uint32
	present      []int
	older        bool
}

// NewFold prepares a comparison.
func NewFold(o FoldOptions) (*Fold, error) {
	n := bucketCount(o.Rows)
	f := &Fold{
		o: o, result: Table{Table: o.Table, Topic: o.Topic},
		rows: newBuckets(o.Spill, o.Reader.seed, n), log: newBuckets(o.Spill, o.Reader.seed, n),
		placeholders: map[string]uint32{}, plans: map[int]*plan{}, deleted: map[int32][]byte{},
	}
	return f, errors.Join(f.findPlaceholders(), f.findReborn())
}

// findPlaceholders asks the codec what it writes for each column when its value was not sent.
func (f *Fold) findPlaceholders() error {
	for i := range f.o.Columns {
		row := make(schema.Row, f.o.Columns)
		row[i].Kind = schema.Unchanged
		unsent, err := f.encode(row, schema.MarkerNone)
		if err != nil {
			continue // the column, or one beside it, has neither a placeholder nor a null
		}
		hashes := slices.Clone(unsent.hashes)
		row[i].Kind = schema.Null
		null, err := f.encode(row, schema.MarkerNone)
		if err != nil {
			return err
		}
		for c, name := range null.version.columns {
			if hashes[c] != null.hashes[c] {
				f.placeholders[name] = hashes[c]
			}
		}
	}
	return nil
}

// encode gives a row the form that it should have in the topic. The record is valid until the next one.
func (f *Fold) encode(row schema.Row, marker schema.Marker) (Record, error) {
	var err error
	e := schema.Envelope{Op: schema.OpCreate, After: row, Source: schema.Source{Snapshot: marker}}
	if f.buffer, err = f.o.Codec.AppendValue(f.buffer[:0], &e); err != nil {
		return Record{}, fmt.Errorf("give a row of %s the form of its topic: %w", f.o.Table, err)
	}
	rec, err := f.o.Reader.Local(f.o.Codec.ValueSchema(), f.buffer)
	if err != nil {
		return rec, fmt.Errorf("read a row of %s as it should be: %w", f.o.Table, err)
	}
	return rec, nil
}

// Row adds a row of the table. A value that the schema cannot carry is a *schema.ValueError.
func (f *Fold) Row(row schema.Row) error {
	f.result.Rows++
	rec, err := f.encode(row, schema.MarkerNone)
	if err != nil {
		return err
	}
	f.current = rec.version
	e := entry{op: schema.OpCreate, version: rec.version.index, hashes: rec.hashes}
	if !f.o.Codec.HasKey() {
		e.key = multisetKey(rec.hashes)
		return f.rows.add(&e)
	}
	if f.buffer, err = f.o.Codec.AppendKey(f.buffer[:0], row); err != nil {
		return fmt.Errorf("make the key of a row of %s: %w", f.o.Table, err)
	}
	if e.key, err = f.o.Reader.LocalKey(f.o.Codec.KeySchema(), f.buffer); err != nil {
		return fmt.Errorf("read the key of a row of %s: %w", f.o.Table, err)
	}
	if err := f.rows.add(&e); err != nil || !f.o.Debezium {
		return err
	}
	streamed := slices.Clone(e.hashes)
	if rec, err = f.encode(row, schema.MarkerTrue); err != nil || slices.Equal(rec.hashes, streamed) {
		return err
	}
	e.op, e.hashes = schema.OpRead, rec.hashes
	return f.rows.add(&e)
}

// multisetKey makes a row without a key its own key.
func multisetKey(hashes []uint32) []byte {
	key := make([]byte, 0, 4*len(hashes))
	for _, h := range hashes {
		key = binary.LittleEndian.AppendUint32(key, h)
	}
	return key
}

// Record adds a record of the topic; those of one partition come in their order.
func (f *Fold) Record(ctx context.Context, partition int32, key, value []byte) error {
	if f.result.NotComparable != "" {
		return nil
	}
	rec, err := f.o.Reader.Record(ctx, key, value)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, new(*SchemaError)):
		return err
	case err != nil:
		f.result.Malformed++
		return nil
	}
	before := f.deleted[partition]
	delete(f.deleted, partition)
	if rec.Tombstone {
		if rec.Key == nil || before != nil && bytes.Equal(before, rec.Key) {
			return nil // the delete before it says it all
		}
		// Compaction may have taken the delete, never what is behind the tombstone.
		f.result.Records++
		return f.log.add(&entry{key: rec.Key})
	}
	if rec.Op == schema.OpDelete {
		f.deleted[partition] = rec.Key
	}
	if !f.o.Cut.Sees(&rec) {
		f.result.Beyond++
		return nil
	}
	f.result.Records++
	return f.count(&rec)
}

// Topic returns the topic that the records are to be of.
func (f *Fold) Topic() string { return f.o.Topic }

// Replayed counts a record that a replay published: it tells of the past again, and says nothing of the
// present.
func (f *Fold) Replayed() { f.result.Replayed++ }

// count adds a record that counts.
func (f *Fold) count(rec *Record) error {
	e := entry{key: rec.Key, op: rec.Op, at: rec.LSN, by: f.by(rec), hashes: rec.hashes}
	if rec.Snapshot {
		e.at = uint64(max(0, rec.TxID))
	}
	if rec.Snapshot && rec.Op == schema.OpDelete {
		e.op = 0 // no LSN compares it with a truncate's
	}
	if rec.version != nil {
		e.version = rec.version.index
	}
	switch {
	case rec.Op == schema.OpTruncate:
		f.result.Truncates++
		f.truncated.lsn = max(f.truncated.lsn, rec.LSN)
		f.truncated.xid = max(f.truncated.xid, f.o.Cut.extend(max(0, rec.TxID)))
		return nil
	case !f.o.Codec.HasKey() && (rec.Op == schema.OpUpdate || rec.Op == schema.OpDelete):
		f.result.NotComparable = "the table has no key, and its topic has more than inserts"
		return nil
	case !f.o.Codec.HasKey():
		e.key = multisetKey(rec.hashes)
	case rec.Key == nil:
		f.result.NotComparable = "the table has a key, and its topic has records from before it had one"
		return nil
	}
	return f.log.add(&e)
}

// planOf returns how a version compares with the table.
func (f *Fold) planOf(index int) *plan {
	if p := f.plans[index]; p != nil {
		return p
	}
	p := &plan{columns: f.o.Reader.versions[index].columns}
	for _, name := range p.columns {
		p.placeholders = append(p.placeholders, f.placeholders[name])
	}
	if f.current != nil {
		for _, name := range f.current.columns {
			at := slices.Index(p.columns, name)
			p.present = append(p.present, at)
			p.older = p.older || at < 0
		}
	}
	f.plans[index] = p
	return p
}

// Result compares, bucket by bucket. progress, if not nil, is told of each.
func (f *Fold) Result(progress func(done, of int)) (Table, error) {
	if f.result.NotComparable != "" {
		return f.result, nil
	}
	for _, side := range []*buckets{f.rows, f.log} {
		if err := side.seal(); err != nil {
			return f.result, err
		}
	}
	for i := range f.rows.buffers {
		b := bucket{Fold: f, live: map[string]*state{}}
		if err := f.log.each(i, b.record); err != nil {
			return f.result, err
		}
		if err := f.rows.each(i, b.row); err != nil {
			return f.result, err
		}
		b.end()
		if progress != nil {
			progress(i+1, len(f.rows.buffers))
		}
	}
	return f.result, nil
}

// state is what the log says of a key in the end.
type state struct {
	version int
	hashes  []uint32 // 0 for a value that was not sent, and not before either
	op      schema.Op
	at, by  uint64
	patched bool  // the last record has a placeholder
	count   int64 // of a multiset
	// matched says that the table has the key; pending are the columns that differ, until the row's other form
	// is looked at.
	matched bool
	pending []string
	older   bool // the last record has the value of a dropped column
}

// bucket compares the keys of one bucket.
type bucket struct {
	*Fold
	live map[string]*state
}

// record folds one record.
func (b *bucket) record(e *entry) {
	if b.erased(e) {
		return
	}
	before := b.live[string(e.key)]
	switch {
	case e.op == schema.OpDelete || e.op == 0:
		delete(b.live, string(e.key))
		return
	case !b.o.Codec.HasKey():
		if before == nil {
			before = &state{}
			b.live[string(e.key)] = before
		}
		before.count++
		return
	}
	p := b.planOf(e.version)
	now := &state{version: e.version, hashes: slices.Clone(e.hashes), op: e.op, at: e.at, by: e.by}
	for i, placeholder := range p.placeholders {
		if placeholder != 0 && now.hashes[i] == placeholder {
			now.patched = true
			now.hashes[i] = b.before(before, p.columns[i])
		}
	}
	if before != nil {
		b.order(before, now)
	}
	b.live[string(e.key)] = now
}

// erased says that a truncate came after the record. A truncate excludes everybody else from its table, so
// that the LSNs of the table's changes around it are in order, whatever partition they are in.
func (b *bucket) erased(e *entry) bool {
	if e.op == schema.OpRead {
		return b.truncated.xid != 0 && e.at <= b.truncated.xid
	}
	return e.at < b.truncated.lsn && e.op != 0
}

// before returns the last real value of a column, 0 when there is none.
func (b *bucket) before(s *state, column string) uint32 {
	if s == nil || b.reborn.before(s.by, column) {
		return 0
	}
	if at := slices.Index(b.planOf(s.version).columns, column); at >= 0 {
		return s.hashes[at]
	}
	return 0
}

// order counts what comes twice, or behind what is later.
func (b *bucket) order(before, now *state) {
	switch {
	case before.op == schema.OpRead && now.op == schema.OpRead:
		b.result.ReadAgain++
	case before.op == schema.OpRead || now.op == schema.OpRead:
	case now.at < before.at:
		b.result.Backward++
	case now.at == before.at && now.op == before.op:
		b.result.Doubled++
	}
}

// row compares one row of the table.
func (b *bucket) row(e *entry) {
	s := b.live[string(e.key)]
	switch {
	case s == nil && e.op == schema.OpRead: // the other form of a row that is missing
	case s == nil:
		b.result.Missing++
		b.result.MissingKeys = b.sample(b.result.MissingKeys, e.key)
	case !b.o.Codec.HasKey():
		if s.count--; s.count == 0 {
			delete(b.live, string(e.key))
		}
	case e.op == schema.OpRead:
		if s.op == schema.OpRead && s.matched {
			s.pending, s.older = b.older(s, e, b.differences(s, e))
		}
	default:
		s.matched = true
		s.pending, s.older = b.older(s, e, b.differences(s, e))
	}
}

// differences returns the columns in which a row and its folded state differ.
func (b *bucket) differences(s *state, e *entry) (columns []string) {
	p := b.planOf(s.version)
	for i, at := range p.present {
		if at >= 0 && s.hashes[at] != 0 && s.hashes[at] != e.hashes[i] {
			columns = append(columns, b.current.columns[i])
		}
	}
	return columns
}

// end counts what is left in the bucket.
func (b *bucket) end() {
	for _, key := range slices.Sorted(maps.Keys(b.live)) {
		s := b.live[key]
		switch {
		case s.count > 0:
			b.result.Extra += s.count
			continue
		case !s.matched:
			b.result.Extra++
			b.result.ExtraKeys = b.sample(b.result.ExtraKeys, []byte(key))
			continue
		case len(s.pending) > 0:
			b.result.Differing++
			if len(b.result.DifferingKeys) < b.o.Samples {
				b.result.DifferingKeys = append(b.result.DifferingKeys, Difference{key, s.pending})
			}
		}
		if s.older || b.planOf(s.version).older {
			b.result.Older++
		}
		if s.patched {
			b.result.Placeholders++
		}
		if slices.Contains(s.hashes, 0) {
			b.result.Unresolved++
		}
	}
}

// sample keeps the first keys; those of a table without one mean nothing.
func (b *bucket) sample(keys []string, key []byte) []string {
	if len(keys) >= b.o.Samples || !b.o.Codec.HasKey() {
		return keys
	}
	return append(keys, string(key))
}

package publisher

import (
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

const (
	// recordChunk is how many records are allocated at once.
	recordChunk = 256
	// slabBytes is how many bytes of keys and values are.
	slabBytes = 256 << 10
	// slabRoom is the least free space of a slab that the next value is tried in: most then fit, and few
	// bytes are left over.
	slabRoom = 4 << 10
)

// window is what is handed over together: records, and the position that they lead to. It is delivered
// alone or together with those behind it, as one delivery window. Its maker owns it until it is handed
// over, then whoever delivers it until it is given back. Kafka's client reads its memory until every
// record's promise was called; no window may be reset before.
type window struct {
	chunks [][]kgo.Record
	n      int // records in use
	size   int // bytes of keys and values
	slabs  slabs

	// changes tells which change made which records, for errors and counts.
	changes []change
	tallies tallies
	span    span
	// transactions ended in the window with a record; traces are those that its records belong to.
	transactions int
	traces       []string

	// after is the position that the window leads to.
	after progress
	// force has the window delivered without a record of its own.
	force bool
	// open says that the window ends inside of a transaction, whose rest follows: after leads nowhere, and
	// nothing of the transaction may be committed without the rest. first says that the transaction begins
	// with it.
	open, first bool
	began       time.Time // when its first record was made
	beat        time.Time // of its last heartbeat; zero for none
	// heavy are called when all records are acknowledged: there is room for further heavy rows then.
	heavy []func()
}

// change is one change's records: from first up to the next change's first.
type change struct {
	first    int
	table    *tableStats
	op       schema.Op
	position decoder.Position
}

// progress is where the stream stands after the last change that was encoded.
type progress struct {
	position   decoder.Position
	resume     decoder.LSN
	lastCommit decoder.LSN
	// snapshot is the last Batch.Progress.
	snapshot []byte
	// covered is the last Batch.Covered.
	covered []byte
	// split is set when position stands inside a transaction.
	split *Split
	// taken is what another program has published behind resume.
	taken *Taken
}

// mark is a point that a window can be rolled back to.
type mark struct {
	records, changes, size, traces int
	span                           span
}

// next returns the window's next record, zeroed.
func (w *window) next() *kgo.Record {
	if w.n == len(w.chunks)*recordChunk {
		w.chunks = append(w.chunks, make([]kgo.Record, recordChunk))
	}
	r := &w.chunks[w.n/recordChunk][w.n%recordChunk]
	*r = kgo.Record{}
	w.n++
	return r
}

// record returns the record of index i.
func (w *window) record(i int) *kgo.Record { return &w.chunks[i/recordChunk][i%recordChunk] }

// index returns the index of one of the window's records, -1 for any other record.
func (w *window) index(r *kgo.Record) int {
	for i := range w.n {
		if w.record(i) == r {
			return i
		}
	}
	return -1
}

// changeAt returns the change that made the record of index i, nil for a record that no change made.
func (w *window) changeAt(i int) *change {
	var made *change
	for c := range w.changes {
		if w.changes[c].first > i {
			break
		}
		made = &w.changes[c]
	}
	if made == nil || made.table == nil {
		return nil
	}
	return made
}

// endOf returns the index behind the last record of the change of index i.
func (w *window) endOf(i int) int {
	if i+1 < len(w.changes) {
		return w.changes[i+1].first
	}
	return w.n
}

// tombstonesOf counts the tombstones of the change of index i.
func (w *window) tombstonesOf(i int) (n int) {
	for at := w.changes[i].first; at < w.endOf(i); at++ {
		if w.record(at).Value == nil {
			n++
		}
	}
	return n
}

// mark returns the present point.
func (w *window) mark() mark { return mark{w.n, len(w.changes), w.size, len(w.traces), w.span} }

// rollback drops everything behind a mark. Counts are made anew: it is rare, and marks are not.
func (w *window) rollback(m mark) {
	w.n, w.changes, w.size, w.span = m.records, w.changes[:m.changes], m.size, m.span
	w.traces = w.traces[:m.traces]
	topics := w.tallies.topics()
	w.tallies.reset()
	for i := range w.n {
		r := w.record(i)
		w.tallies.at(topics[r.Topic], r.Partition).add(r.Key, r.Value)
	}
}

// move takes everything behind a mark, which is of one transaction, to an empty window.
func (w *window) move(m mark, to *window, commitTime int64) {
	for _, c := range w.changes[m.changes:] {
		c.first -= m.records
		to.changes = append(to.changes, c)
		if c.table != nil {
			to.span.add(c.position, commitTime)
		}
	}
	to.traces = append(to.traces, w.traces[m.traces:]...)
	topics := w.tallies.topics()
	for i := m.records; i < w.n; i++ {
		from, r := w.record(i), to.next()
		r.Headers = from.Headers
		if from.Key != nil {
			r.Key = to.slabs.take(from.Key)
		}
		if from.Value != nil {
			r.Value = to.slabs.take(from.Value)
		}
		to.add(r, topics[from.Topic], from.Timestamp)
	}
	to.heavy, w.heavy = w.heavy, nil // the heavy row is behind the mark
	w.rollback(m)
}

// acknowledged is what is left of a value that Kafka has.
var acknowledged = []byte{}

// promise returns the promise of the window's records: a heavy window keeps none of its values longer than
// Kafka's client does, which is done with a record when it calls its promise.
func (w *window) promise(promise func(*kgo.Record, error)) func(*kgo.Record, error) {
	if w.heavy == nil {
		return promise
	}
	heavy := w.heavy
	w.heavy = nil
	var left atomic.Int64
	left.Store(int64(w.n))
	return func(r *kgo.Record, err error) {
		if err == nil && r.Value != nil {
			r.Value = acknowledged
		}
		if left.Add(-1) == 0 {
			for _, leave := range heavy {
				leave()
			}
		}
		promise(r, err)
	}
}

// add counts a finished record and gives it its topic and partition.
func (w *window) add(r *kgo.Record, to *topic, at time.Time) {
	if w.n == 1 {
		w.began = at
	}
	r.Topic, r.Partition = to.name, partitionOf(r.Key, to.partitions)
	// The client would read the clock once more for each record.
	r.Timestamp = at
	w.size += len(r.Key) + len(r.Value)
	w.tallies.at(to, r.Partition).add(r.Key, r.Value)
}

// reset empties the window and keeps its memory, but for what a large value needed.
func (w *window) reset() {
	if w.slabs.outgrown {
		// The records would keep it until they are made anew.
		for _, chunk := range w.chunks {
			clear(chunk)
		}
	}
	w.slabs.reset()
	w.tallies.reset()
	w.changes, w.traces, w.transactions = w.changes[:0], w.traces[:0], 0
	w.n, w.size, w.span, w.after, w.began, w.beat = 0, 0, span{}, progress{}, time.Time{}, time.Time{}
	w.force, w.open, w.first, w.heavy = false, false, false, nil
}

// group sums up windows whose position is stored together.
type group struct {
	any     bool
	after   progress
	tallies tallies
	span    span
	account account
}

// join adds the window that follows.
func (g *group) join(w *window) {
	g.any, g.after = true, w.after
	g.account.join(w)
	g.tallies.join(&w.tallies)
	g.span.join(w.span)
}

// reset empties the group and keeps its memory.
func (g *group) reset() {
	g.tallies.reset()
	g.account.reset()
	g.any, g.after, g.span = false, progress{}, span{}
}

// slabs is memory that is filled by appending and freed at once.
type slabs struct {
	all  [][]byte
	used int // how many of all are full or being filled
	// outgrown says that something has memory of its own.
	outgrown bool
}

// room returns memory to append to: empty, with at least slabRoom of capacity. Whoever has appended calls
// keep.
func (s *slabs) room() []byte {
	if s.used > 0 {
		if last := s.all[s.used-1]; cap(last)-len(last) >= slabRoom {
			return last[len(last):]
		}
	}
	if s.used == len(s.all) {
		s.all = append(s.all, make([]byte, 0, slabBytes))
	}
	s.used++
	s.all[s.used-1] = s.all[s.used-1][:0]
	return s.all[s.used-1]
}

// roomFor returns room, or where a value of these rows is larger than a slab memory of its own: growing in a
// slab, it would leave a multiple of itself to the garbage collector.
func roomFor(room []byte, rows ...schema.Row) []byte {
	n := slabRoom
	for _, row := range rows {
		for i := range row {
			n += len(row[i].Text)
		}
	}
	if n <= slabBytes {
		return room
	}
	return make([]byte, 0, n)
}

// keep takes what was appended to the last room and returns it, full. What outgrew the room has memory of its
// own by then, which the slabs do not know.
func (s *slabs) keep(p []byte) []byte {
	last := s.all[s.used-1]
	if free := cap(last) - len(last); len(p) <= free && cap(p) == free {
		s.all[s.used-1] = last[:len(last)+len(p)]
	} else {
		s.outgrown = true
	}
	return p[:len(p):len(p)]
}

// take returns a copy of p, or p itself where that is too large for a slab and so has memory of its own.
func (s *slabs) take(p []byte) []byte {
	if len(p) > slabBytes {
		s.outgrown = true
		return p
	}
	return s.keep(append(s.room(), p...))
}

// reset frees everything.
func (s *slabs) reset() { s.used, s.outgrown = 0, false }

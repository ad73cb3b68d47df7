package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/maphash"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/schema"
)

const (
	// lookahead is how many records beyond a window that does not match are searched for the next one that
	// does, and maxLookahead what this grows to.
	lookahead    = 4096
	maxLookahead = 1 << 20
	// nextShares is how many windows are tried there.
	nextShares = 8
)

// The headers on the records of a key change.
const (
	headerNewKey = "__debezium.newkey"
	headerOldKey = "__debezium.oldkey"
)

// PartitionOptions say what is recounted.
type PartitionOptions struct {
	TopicPartition
	// Partitions is how many the topic has. Truncated says that its oldest records are gone.
	Partitions int32
	Truncated  bool
	Ledger     *Ledger
	Reader     *Reader
	// NoTombstones says that deletes have none behind them.
	NoTombstones bool
}

// Partition recounts one partition: every Record that a read_committed consumer sees, in order, then End.
// Records are assigned to windows by the ledger's counts, and a window's are taken as its own once their
// CRC says so. Where it does not, the next window that matches is looked for, so that one stray record is
// one problem.
type Partition struct {
	o           PartitionOptions
	partitioner kgo.TopicPartitioner
	next        int // the share that is due
	aligned     bool
	lost        bool // nothing matched any more
	pending     []mark
	base        mark   // the record before those that are pending
	crc         uint32 // over the whole partition so far
	size        int64
	wanted      int // how many records are pending before a search is tried
	before      mark
	epoch       uint64
	run         string
	matched     map[int]bool // windows
	strays      strays
}

// mark is what is kept of a record until it is known which window it is of.
type mark struct {
	offset    int64
	crc       uint32 // of the partition up to and with it
	size      int64  // likewise, framed
	key, pair uint64 // hashes
	producer  int64  // the broker's number of the client that wrote it
	last, lsn uint64 // source.sequence's first part, source.lsn
	op        schema.Op
	tombstone bool
	half      int8 // 1 for a key change's delete, -1 for its insert
	misplaced bool
}

// NewPartition prepares a recount.
func NewPartition(o PartitionOptions) *Partition {
	return &Partition{
		o: o, partitioner: kgo.StickyKeyPartitioner(nil).ForTopic(o.Topic),
		matched: map[int]bool{},
	}
}

// Record takes the next record.
func (p *Partition) Record(ctx context.Context, r *kgo.Record) error {
	if p.lost {
		return nil
	}
	rec, err := p.o.Reader.value(ctx, r.Value)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, new(*SchemaError)):
		return err
	case err != nil:
		// Whatever it is, the ledger says whether it is the pipeline's.
		p.o.Ledger.problem(p.problem("malformed", r.Offset, err.Error()))
	}
	m := mark{
		offset: r.Offset, op: rec.Op, tombstone: r.Value == nil, last: rec.LastCommit, lsn: rec.LSN,
		misplaced: p.partition(r) != r.Partition, key: maphash.Bytes(p.o.Reader.seed, r.Key),
		producer: r.ProducerID,
	}
	for _, h := range r.Headers {
		switch {
		case h.Key == headerNewKey && rec.Op == schema.OpDelete:
			m.half = 1
		case h.Key == headerOldKey && rec.Op == schema.OpCreate:
			m.half = -1
		}
	}
	if m.half != 0 {
		text := fmt.Appendf(nil, "%s %d %d", r.Topic, rec.LSN, rec.TxID)
		m.pair = maphash.Bytes(p.o.Reader.seed, text)
	}
	p.crc = framed(framed(p.crc, r.Key), r.Value)
	p.size += int64(len(r.Key) + len(r.Value) + 8)
	m.crc, m.size = p.crc, p.size
	p.pending = append(p.pending, m)
	p.advance(false)
	return nil
}

// partition is where a record belongs: without a key into the first one, where a table's order is kept,
// else where the client's own partitioner puts it.
func (p *Partition) partition(r *kgo.Record) int32 {
	if r.Key == nil {
		return 0
	}
	return int32(p.partitioner.Partition(r, int(p.o.Partitions)))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// framed continues a CRC over a length and what has it, as the ledger defines it.
func framed(crc uint32, part []byte) uint32 {
	frame := [4]byte{0xff, 0xff, 0xff, 0xff}
	if part != nil {
		binary.BigEndian.PutUint32(frame[:], uint32(len(part)))
	}
	return crc32.Update(crc32.Update(crc, castagnoli, frame[:]), castagnoli, part)
}

// shares are the ledger's counts of the partition, which may have become more since the last call.
func (p *Partition) shares() []share { return p.o.Ledger.shares[p.o.TopicPartition] }

// advance takes whole windows from what is pending. end says that nothing more comes.
func (p *Partition) advance(end bool) {
	for !p.lost {
		shares := p.shares()
		if p.next >= len(shares) {
			return
		}
		due := shares[p.next]
		n := int64(len(p.pending))
		if n < due.records && !end {
			return
		}
		if n >= due.records && p.matches(0, due) {
			p.take(0, p.next)
			continue
		}
		if !p.search(end) {
			return
		}
	}
}

// matches says whether a window's records are those from index i on.
func (p *Partition) matches(i int64, s share) bool {
	end := i + s.records - 1
	if end >= int64(len(p.pending)) {
		return false
	}
	first, last := &p.base, &p.pending[end]
	if i > 0 {
		first = &p.pending[i-1]
	}
	size := last.size - first.size
	return size == s.bytes+8*s.records && last.crc == shifted(first.crc, size)^s.crc
}

// search looks for the next window that matches anywhere in what is pending; it returns false when more
// records are needed, or nothing is left to look for.
func (p *Partition) search(end bool) bool {
	shares := p.shares()
	tried := shares[p.next:]
	if p.aligned || !p.o.Truncated {
		tried = tried[:min(len(tried), nextShares)]
	}
	if !end {
		wanted := int64(max(p.wanted, lookahead))
		for _, s := range tried[:min(len(tried), nextShares)] {
			wanted += s.records
		}
		if int64(len(p.pending)) < wanted {
			return false
		}
	}
	if p.gathered(shares[p.next]) {
		return true
	}
	for j, s := range tried {
		for i := int64(0); i+s.records <= int64(len(p.pending)); i++ {
			if p.matches(i, s) {
				p.take(i, p.next+j)
				return true
			}
		}
	}
	if end || len(p.pending) > maxLookahead {
		return p.giveUp(end)
	}
	p.wanted = max(2*p.wanted, lookahead)
	return false
}

// giveUp ends a search without a match.
func (p *Partition) giveUp(end bool) bool {
	if !p.aligned && !end {
		// Somebody else's records, more than are looked at at once.
		p.o.Ledger.Before += int64(len(p.pending) / 2)
		p.drop(len(p.pending) / 2)
		return true
	}
	if !end {
		p.lost = true
		due := p.shares()[p.next]
		p.o.Ledger.problem(p.of(due, "changed", p.pending[0].offset,
			"neither this window nor those behind it are found in the %d records that follow", len(p.pending)))
	}
	return false
}

// take takes a window that matches at index i, and says what was passed over.
func (p *Partition) take(i int64, index int) {
	shares := p.shares()
	s := shares[index]
	p.skipped(p.pending[:i], shares[p.next:index], &p.o.Ledger.windows[s.window])
	p.next = index
	p.count(p.pending[i:i+s.records], s)
	p.drop(int(i + s.records))
}

// count takes records as the share that is due.
func (p *Partition) count(records []mark, s share) {
	w := &p.o.Ledger.windows[s.window]
	if w.epoch != p.epoch || w.run != p.run && !w.exact {
		p.before = mark{} // what follows may be a repetition
	}
	p.epoch, p.run = w.epoch, w.run
	p.facts(records, w, s)
	if !w.exact {
		p.strays.taken(records)
	}
	p.o.Ledger.Records += s.records
	p.o.Ledger.Bytes += s.bytes
	p.matched[s.window] = true
	p.next, p.aligned, p.wanted = p.next+1, true, 0
}

// drop forgets the first records that are pending.
func (p *Partition) drop(n int) {
	if n == 0 {
		return
	}
	p.base = p.pending[n-1]
	if n == len(p.pending) {
		p.pending = p.pending[:0]
		return
	}
	p.pending = p.pending[n:]
}

// skipped reports the records and windows before one that matched.
func (p *Partition) skipped(records []mark, windows []share, next *window) {
	l := p.o.Ledger
	expected := int64(0)
	for _, s := range windows {
		expected += s.records
	}
	n := int64(len(records))
	switch {
	case n == 0 && expected == 0:
	case !p.aligned && p.o.Truncated:
		// The topic's retention has cut into the windows that were passed over.
		l.Expired += max(0, expected-n)
		l.Before += max(0, n-expected)
	case !p.aligned && expected == 0:
		l.Before += n
	case expected == 0 && !next.exact && next.run != p.run:
		// At-least-once: sent and not yet counted when a run ended, and sent again by the next.
		l.RepeatedRecords += n
	case expected == 0:
		l.problem(p.problem("unaccounted", records[0].offset,
			fmt.Sprintf("%d records are in no window, the next one "+
				"being %d", n, next.number)))
	case n == 0:
		l.problem(p.of(windows[0], "missing", -1, "its %d records are not there", expected))
	default:
		l.problem(p.of(windows[0], "changed", records[0].offset,
			"the ledger has %d records here, the topic %d, or "+
				"others", expected, n))
	}
}

// End takes what is left. floor is how many of the ledger's windows had been committed before the
// partition's end was looked up: the records of later ones may lie behind it.
func (p *Partition) End(floor int) {
	p.advance(true)
	if p.lost {
		return
	}
	p.settleStrays(len(p.strays.kept))
	l, shares := p.o.Ledger, p.shares()[min(p.next, len(p.shares())):]
	due := shares
	for i, s := range shares {
		if s.window >= floor {
			due = shares[:i]
			break
		}
	}
	n := int64(len(p.pending))
	switch {
	case len(due) > 0 && n == 0 && !p.aligned && p.o.Truncated:
		for _, s := range due {
			l.Expired += s.records
		}
	case len(due) > 0 && n == 0:
		l.problem(p.of(due[0], "missing", -1, "its %d records are not there", due[0].records))
	case len(due) > 0:
		l.problem(p.of(due[0], "changed", p.pending[0].offset,
			"%d records are left for it and what follows, and it "+
				"has %d, or others", n, due[0].records))
	case n > 0 && len(shares) > 0 && n < shares[0].records: // cut in two by the end that was looked up
	case n > 0 && !p.aligned && len(p.shares()) == 0:
		l.Before += n
	case n > 0 && l.Windows > 0 && !l.last.exact:
		l.Uncounted += n
	case n > 0:
		l.problem(p.problem("unaccounted", p.pending[0].offset, fmt.Sprintf("%d records are in no window", n)))
	}
}

// Finish ends the audit of a log: the Partitions are all that were recounted.
func (l *Ledger) Finish(partitions []*Partition) {
	touched, matched := make([]int, len(l.windows)), make([]int, len(l.windows))
	for _, shares := range l.shares {
		for _, s := range shares {
			touched[s.window]++
		}
	}
	for _, p := range partitions {
		for w := range p.matched {
			matched[w]++
		}
	}
	l.finish(func(w int) bool { return touched[w] == matched[w] })
}

// facts checks the records of a window for what has nothing to do with counting.
func (p *Partition) facts(records []mark, w *window, s share) {
	l := p.o.Ledger
	for i := range records {
		m := &records[i]
		if m.misplaced {
			l.problem(p.of(s, "partition", m.offset, "its key belongs into another partition"))
		}
		if m.half != 0 {
			w.halves += uint64(int64(m.half)) * m.pair
			if m.half > 0 {
				w.deletes++
			} else {
				w.inserts++
			}
		}
		if m.op == schema.OpDelete && !p.o.NoTombstones &&
			(i+1 == len(records) || !records[i+1].tombstone || records[i+1].key != m.key) {
			l.problem(p.of(s, "torn", m.offset, "no tombstone follows the delete"))
		}
		if m.op == 0 || m.op == schema.OpRead || m.op == schema.OpMessage || m.last == 0 {
			continue
		}
		b := &p.before
		switch {
		case m.last < b.last || m.last == b.last && m.lsn < b.lsn:
			l.problem(p.of(s, "backward", m.offset, "the change at LSN %d follows that at %d", m.lsn, b.lsn))
		case m.last == b.last && m.lsn == b.lsn && m.key == b.key && m.op == b.op:
			l.problem(p.of(s, "doubled", m.offset, "the change at LSN %d is there twice", m.lsn))
		}
		p.before = *m
	}
}

// problem is one at an offset.
func (p *Partition) problem(what string, offset int64, detail string) Problem {
	return Problem{What: what, Topic: p.o.Topic, Partition: p.o.Partition, Offset: offset, Detail: detail}
}

// of is a problem of a window's share.
func (p *Partition) of(s share, what string, offset int64, detail string, args ...any) Problem {
	made := p.o.Ledger.windows[s.window].at(what, detail, args...)
	made.Topic, made.Partition, made.Offset = p.o.Topic, p.o.Partition, offset
	return made
}

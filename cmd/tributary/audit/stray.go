package audit

import (
	"fmt"
	"slices"
)

// recalled is how many of the changes that were taken last a partition remembers, and how many strays it
// keeps: about as many as lie in the sockets of an instance, which sends five batches of a MiB at once.
const recalled = 1 << 14

// strays are the records of an instance of at-least-once that had been replaced when they arrived: what lay
// in its sockets stands among the records of its successor, which publishes the same changes. The broker's
// numbers of the producers tell the two apart.
type strays struct {
	// kept are in no window yet: a ledger record may lie in a socket too.
	kept []stray
	// recent are the identities of the changes that were taken last, a ring whose oldest is at a place.
	recent []uint64
	at     int
	// awaited are the changes of strays that were in no window yet when they came, and whether they are now.
	awaited map[uint64]bool
	// last is the furthest change that was taken.
	last mark
}

// stray is a record that lies among those of another producer.
type stray struct {
	mark
	own    uint32 // its own CRC
	length int64  // its size, framed
	again  bool   // the same change is in a window before it, or need not be in one
}

// behind says whether a change comes after another in the log.
func (m *mark) behind(other *mark) bool {
	return m.last > other.last || m.last == other.last && m.lsn > other.lsn
}

// identity names a change, whoever publishes it; 0 is no change.
func (m *mark) identity() uint64 {
	if m.op == 0 || m.last == 0 {
		return 0 // a tombstone goes with its delete; a snapshot's row may be gone when it is read anew
	}
	const odd = 0x9e3779b97f4a7c15 // spreads the bits
	return ((m.key^m.lsn)*odd^m.last)*odd ^ uint64(m.op)
}

// taken remembers the records of a window.
func (s *strays) taken(records []mark) {
	for i := range records {
		m := &records[i]
		id := m.identity()
		if id == 0 {
			continue
		}
		if m.behind(&s.last) {
			s.last = *m
		}
		if seen, found := s.awaited[id]; found && !seen {
			s.awaited[id] = true
		}
		if len(s.recent) < recalled {
			s.recent = append(s.recent, id)
			continue
		}
		s.recent[s.at], s.at = id, (s.at+1)%recalled
	}
}

// alone is one of the pending records by itself.
func (p *Partition) alone(i int) stray {
	before, m := &p.base, p.pending[i]
	if i > 0 {
		before = &p.pending[i-1]
	}
	length := m.size - before.size
	return stray{mark: m, own: m.crc ^ shifted(before.crc, length), length: length}
}

// stray keeps one of the pending records as another producer's.
func (p *Partition) stray(i int, again bool) {
	s, made := &p.strays, p.alone(i)
	id := made.identity()
	made.again = again || id == 0 || slices.Contains(s.recent, id)
	if s.awaited == nil {
		s.awaited = map[uint64]bool{}
	}
	if !made.again && !s.awaited[id] {
		s.awaited[id] = false
	}
	if len(s.kept) >= recalled {
		p.settleStrays(recalled / 2)
	}
	s.kept = append(s.kept, made)
	p.o.Ledger.RepeatedRecords++
}

// gathered takes the share that is due, in at-least-once, if its records are the first ones of a producer,
// whoever's records lie between them; those are kept as strays. Its own may have become strays before:
// where its ledger record came as late as they did.
func (p *Partition) gathered(s share) bool {
	w, kept := &p.o.Ledger.windows[s.window], len(p.strays.kept)
	if w.exact {
		return false
	}
	at := func(i int) stray {
		if i < kept {
			return p.strays.kept[i]
		}
		return p.alone(i - kept)
	}
	tried := map[int64]bool{}
	for i := range kept + len(p.pending) {
		producer := at(i).producer
		if tried[producer] {
			continue
		}
		tried[producer] = true
		if picked := pick(kept+len(p.pending), at, producer, s); picked != nil {
			p.gather(picked, s, w)
			return true
		}
	}
	return false
}

// pick returns where the first records of a producer are, if they are a window's, and else nil.
func pick(n int, at func(i int) stray, producer int64, s share) []int {
	var picked []int
	var crc uint32
	var size int64
	for i := 0; i < n && int64(len(picked)) < s.records; i++ {
		r := at(i)
		if r.producer != producer {
			continue
		}
		picked = append(picked, i)
		crc, size = shifted(crc, r.length)^r.own, size+r.length
	}
	if int64(len(picked)) < s.records || size != s.bytes+8*s.records || crc != s.crc {
		return nil
	}
	return picked
}

// gather takes the records that were picked from the strays and the pending ones.
func (p *Partition) gather(picked []int, s share, w *window) {
	kept := p.strays.kept
	before, run, records := p.before, p.run, make([]mark, 0, len(picked))
	late := picked[0] < len(kept)
	p.strays.kept = nil
	next := 0 // of the strays, and then of the pending ones behind them
	for _, at := range picked {
		for ; next < at && next < len(kept); next++ {
			p.strays.kept = append(p.strays.kept, kept[next])
		}
		if at < len(kept) {
			records = append(records, kept[at].mark)
			p.o.Ledger.RepeatedRecords--
			next = at + 1
			continue
		}
		if len(records) == 0 && !p.aligned {
			p.skipped(p.pending[:at-len(kept)], nil, w)
			next = at
		}
		for ; next < at; next++ {
			p.stray(next-len(kept), w.run != run)
		}
		records = append(records, p.pending[at-len(kept)])
		next = at + 1
	}
	if next < len(kept) {
		p.strays.kept = append(p.strays.kept, kept[next:]...)
	}
	p.count(records, s)
	if late {
		p.before, p.run = before, run // what follows goes on from the successor's
	}
	p.drop(max(0, next-len(kept)))
}

// settleStrays forgets the first strays, and reports those that repeat nothing.
func (p *Partition) settleStrays(n int) {
	l := p.o.Ledger
	for i := range p.strays.kept[:n] {
		s := &p.strays.kept[i]
		switch {
		case s.again || p.strays.awaited[s.identity()]:
		case s.behind(&p.strays.last): // the successor has not come so far
			l.RepeatedRecords--
			l.Uncounted++
		default:
			l.RepeatedRecords--
			l.problem(p.problem("unaccounted", s.offset, fmt.Sprintf("the change at LSN %d, which another "+
				"producer wrote, is in no window", s.lsn)))
		}
	}
	p.strays.kept = append([]stray(nil), p.strays.kept[n:]...)
}

package publisher

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
)

// Status is what a Publisher knows of itself at one moment.
type Status struct {
	Mode Mode
	// Position is the last change that is published and stored, Confirmed up to where everything is.
	Position  decoder.Position
	Confirmed decoder.LSN
	Epoch     uint64
	// Windows counts those delivered by this run; Last is the latest of them.
	Windows uint64
	Last    WindowStatus
	// OldestUnacked is how long the oldest record without an acknowledgement has waited; 0 when there is
	// none.
	OldestUnacked time.Duration
	// BufferedBytes and BufferedRecords are those on their way.
	BufferedBytes, BufferedRecords int64
	// LimitBytes is how many may be on their way until what comes next waits.
	LimitBytes int64
	// Records and Bytes are those delivered by this run.
	Records, Bytes uint64
	Recent         RecentStatus
	Tables         []TableStatus // by name
	// Warnings are about topics, each told once.
	Warnings []string
	// Again is why the records on their way are sent again, nil while nothing is refused.
	Again error
	// Working is how long the encoder has been at work without coming round; 0 while it waits, for whatever it
	// may be. Seconds are much.
	Working time.Duration
	// Err is what ended Run, nil while it runs.
	Err error
}

// WindowStatus is one delivery window.
type WindowStatus struct {
	Number         uint64
	Records, Bytes int
	Took           time.Duration
	Ended          time.Time
}

// TableStatus is how many changes of a table were published, by operation.
type TableStatus struct {
	// Name is schema.table, or "logical message".
	Name, Topic                             string
	Read, Create, Update, Delete, Truncated uint64
	Messages                                uint64
	// Tombstones are those of deletes and of changed keys.
	Tombstones uint64
}

// board is the Status in the making.
type board struct {
	mu     sync.Mutex // guards all below, and tableStats.counts
	status Status
	tables []*tableStats
	flying []flying // windows on their way, the oldest first
	recent recent
}

// flying is a window on its way.
type flying struct {
	window  *window
	since   time.Time
	records int
	bytes   int
}

// resumed notes where the run begins.
func (b *board) resumed(s *Stored) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Position, b.status.Confirmed, b.status.Epoch = s.Position, s.Resume, s.Epoch
	b.status.Last.Number = s.Window
}

// track adds a table.
func (b *board) track(s *tableStats) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tables = append(b.tables, s)
}

// delivering notes that a window is on its way.
func (b *board) delivering(w *window, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flying = append(b.flying, flying{w, since, w.n, w.size})
}

// delivered counts windows that are acknowledged whole.
func (b *board) delivered(windows []*window, s *Stored, began time.Time) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flying = slices.DeleteFunc(b.flying, func(f flying) bool { return slices.Contains(windows, f.window) })
	last := WindowStatus{Number: s.Window, Took: now.Sub(began), Ended: now}
	for _, w := range windows {
		last.Records += w.n
		last.Bytes += w.size
		for i := range w.changes {
			if c := &w.changes[i]; c.table != nil {
				c.table.counts[operationIndex(c.op)]++
				c.table.removed += uint64(w.tombstonesOf(i))
			}
		}
		b.recent.delivered(now, w)
	}
	b.status.Windows++
	b.status.Again = nil
	b.status.Records += uint64(last.Records)
	b.status.Bytes += uint64(last.Bytes)
	b.status.Last = last
}

// settled notes a stored position.
func (b *board) settled(s *Stored) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Position, b.status.Confirmed, b.status.Epoch = s.Position, max(b.status.Confirmed, s.Resume),
		s.Epoch
}

// ended notes what ended the run.
func (b *board) ended(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Err = err
	b.flying = nil
}

// Status returns what the publisher knows of itself now.
func (p *Publisher) Status() Status {
	b := &p.board
	b.mu.Lock()
	s := b.status
	s.Recent = b.recent.status(time.Now())
	s.Tables = make([]TableStatus, 0, len(b.tables))
	for _, t := range b.tables {
		n := &t.counts
		s.Tables = append(s.Tables, TableStatus{
			Name: t.name, Topic: t.topic,
			Read: n[0], Create: n[1], Update: n[2], Delete: n[3], Truncated: n[4], Messages: n[5],
			Tombstones: t.removed,
		})
	}
	for i, f := range b.flying {
		if i == 0 {
			s.OldestUnacked = time.Since(f.since)
		}
		s.BufferedRecords += int64(f.records)
		s.BufferedBytes += int64(f.bytes)
	}
	b.mu.Unlock()
	slices.SortFunc(s.Tables, func(x, y TableStatus) int { return cmp.Compare(x.Name, y.Name) })
	s.LimitBytes, s.Working = int64(p.whole.bytes), p.pulse.working()
	if p.o.Mode == AtLeastOnce {
		s.LimitBytes = int64(p.part.bytes) * atLeastWindows
	}
	s.Mode, s.Warnings = p.o.Mode, p.topics.warned()
	return s
}

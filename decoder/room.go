package decoder

import (
	"context"
	"runtime/debug"
	"time"
)

// How rows that are large for themselves keep within the memory that is promised: 256 MiB and three times the
// largest. A row is there as it was read, as it is to be published, and as Kafka's client sends it, so two
// of them on their way are too many. Whoever reads a heavy message asks its pool for room before the message
// is in memory; the room is given back when Kafka has acknowledged what the message made.
//
//	Pool.Admit -> Batch (Carry) -> Batch.Unload -> window -> acknowledged -> Pool.leave
//	                     \-> Release -> Pool.leave
const (
	// heavyBytes is the size from which a message waits for room. Smaller ones are bounded by the batches and
	// windows that they fill.
	heavyBytes = 4 << 20
	// roomBytes is how much of heavy messages there is room for at a time, or for one of them whatever its size:
	// rows of the default source.max_row_bytes go two by two.
	roomBytes = 32 << 20
	// roomPause is how soon somebody who waits asks again.
	roomPause = 2 * time.Millisecond
)

// Heavy says that a message of so many bytes must be admitted before it is read.
func Heavy(bytes int) bool { return bytes >= heavyBytes }

// Admit says whether there is room for a heavy message of so many bytes, and takes it if so. What has left
// since is first given back to the system: the collector by itself would let as much garbage stand.
func (p *Pool) Admit(bytes int) bool {
	p.mu.Lock()
	ok := p.heavy == 0 || p.heavy+bytes <= roomBytes
	due := false
	if ok {
		p.heavy += bytes
		if due = p.left >= garbageBytes; due {
			p.left = 0
		}
	}
	p.mu.Unlock()
	if due {
		debug.FreeOSMemory()
	}
	return ok
}

// Await is Admit as soon as there is room. Its error is that of ctx.
func (p *Pool) Await(ctx context.Context, bytes int) error {
	tick := time.NewTicker(roomPause)
	defer tick.Stop()
	for !p.Admit(bytes) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Leave gives back what Admit took, of a message that went into no batch.
func (p *Pool) Leave(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heavy -= bytes
	p.left += bytes
}

// Carry has the batch give back, with its Release, what Admit took for a message in it.
func (b *Batch) Carry(bytes int) { b.heavy += bytes }

// Unload takes over from the batch what it carries. The function returned gives it back; it must be called
// once, when nothing holds what the message made any more. Nil says that the batch carries nothing.
func (b *Batch) Unload() func() {
	bytes, p := b.heavy, b.pool
	if bytes == 0 || p == nil {
		return nil
	}
	b.heavy = 0
	return func() { p.Leave(bytes) }
}

// admitted says whether the message that has begun to come may be read on: a heavy one waits for room. What
// is to be handed over is, meanwhile, and the server is answered.
func (s *Stream) admitted(now time.Time) bool {
	w := s.source()
	bytes := w.pending()
	if !Heavy(bytes) || w.heavy > 0 {
		return true
	}
	if !s.o.Pool.Admit(bytes) {
		if s.blocked.IsZero() {
			s.blocked = now
		}
		return false
	}
	w.heavy = bytes
	return true
}

// crowded waits a moment for room.
func (s *Stream) crowded(ctx context.Context) {
	timer := time.NewTimer(roomPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.o.Stop:
	}
}

// consume consumes a message, and settles what was admitted for it: the batch that keeps its memory carries
// that. What is dropped, or of a table that is not captured, is in no batch.
func (s *Stream) consume(w *wire, size int) {
	if s.batch.adopted {
		w.part(size)
		s.batch.Carry(w.heavy)
		w.heavy = 0
		return
	}
	w.skip(size)
	s.unburden()
}

// unburden gives back what was admitted for a message that is not read on for now.
func (s *Stream) unburden() {
	if w := s.source(); w.heavy > 0 {
		s.o.Pool.Leave(w.heavy)
		w.heavy = 0
	}
}

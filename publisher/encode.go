package publisher

import (
	"bytes"
	"context"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// encoder fills windows from batches, one goroutine's work. A window is handed over as soon as its taker is
// free (group commit: an idle pipeline delivers at once, under load windows grow while the one before is
// delivered), or when it is full.
type encoder struct {
	o     *Options
	board *board
	pulse *pulse
	part  limits // of a window
	whole limits // of a transaction before it is split
	b     builder
	t     tables
	aux   *auxiliaries
	now   func() time.Time

	full    chan<- *window // takes what is to be delivered
	free    <-chan *window // gives windows that have been delivered
	windows int            // how many windows there are, most how many there may be
	most    int

	w      *window
	at     progress    // where the stream stands, without what is open
	handed decoder.LSN // resume of the last window handed over

	// skip is the stored position: nothing at or before it is published again. expect is its split, until the
	// change at the position was seen.
	skip   decoder.Position
	expect *Split

	// open says that the window holds a part of something that is not yet whole: a transaction, or a batch of
	// snapshot rows. start and startAt are where to roll back to.
	open    bool
	start   mark
	startAt progress
	gone    limits          // how much of the open transaction went with earlier windows, see spill
	cutOff  limits          // how much of it is delivered, see cut
	begun   bool            // the transaction's BEGIN is written
	last    *decoder.Change // of the open transaction; valid until its batch is released
	tail    Split           // what last was
	moment  time.Time       // when look was last called, and what it saw
	xmin    int64
	shared  int // changes passed over at the LSN of at.taken
}

// newEncoder returns an encoder that goes on from the stored position, or from Options.Start.
func newEncoder(p *Publisher, full chan<- *window, free <-chan *window, most int) *encoder {
	e := &encoder{
		o: &p.o, board: &p.board, pulse: &p.pulse, part: p.part, whole: p.whole, b: newBuilder(&p.o), now: time.Now,
		full: full, free: free, most: most,
		t: tables{
			o: &p.o, topics: p.topics, status: &p.board, pulse: &p.pulse,
			byRelation: make(map[*schema.Relation]*table), stats: make(map[string]*tableStats),
		},
		at: progress{resume: p.o.Start},
	}
	if k := p.o.Taken; k != nil {
		e.at.taken, e.at.lastCommit = k, k.LastCommit
	}
	e.aux = newAuxiliaries(&p.o, &e.t)
	if s := p.stored; s != nil {
		e.at = progress{
			position: s.Position, resume: s.Resume, lastCommit: s.LastCommit, snapshot: s.Snapshot,
			covered: s.Covered, split: s.Split, taken: s.Taken,
		}
		e.skip, e.expect = s.Position, s.Split
		if s.Split != nil {
			e.tail = *s.Split
		}
	}
	e.handed = e.at.resume
	return e
}

// run fills windows until in is closed, then hands over the last. What in held of an unfinished transaction
// is left for the next run.
func (e *encoder) run(ctx context.Context, in <-chan *decoder.Batch) error {
	defer e.pulse.rest()
	if err := e.take(ctx); err != nil {
		return err
	}
	idle := time.NewTicker(e.o.IdleInterval)
	defer idle.Stop()
	var beat <-chan time.Time
	if e.o.Heartbeat > 0 {
		ticker := time.NewTicker(e.o.Heartbeat)
		defer ticker.Stop()
		beat = ticker.C
	}
	for {
		if e.due() {
			// A taker that waits comes first: the sooner it begins, the sooner it is free for what is next.
			e.seal()
			select {
			case e.full <- e.w:
				if err := e.take(ctx); err != nil {
					return err
				}
			default:
			}
		}
		var full chan<- *window
		if e.due() {
			full = e.full
		}
		var err error
		e.pulse.rest()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case full <- e.w:
			err = e.take(ctx)
		case b, more := <-in:
			if !more {
				return e.finish(ctx)
			}
			e.pulse.work()
			err = e.batch(ctx, b)
		case <-idle.C:
			// Only an advance without records waits for this: records hand themselves over.
			e.w.force = e.w.force || e.at.resume > e.handed
		case <-beat:
			if e.at.resume != 0 && !e.open {
				err = e.aux.appendHeartbeat(ctx, e.w, e.now())
			}
		}
		if err != nil {
			return e.fail(ctx, err)
		}
	}
}

// due says that the window should be delivered as soon as somebody takes it.
func (e *encoder) due() bool { return !e.open && (e.w.n > 0 || e.w.force) }

// seal writes into the window where it leads.
func (e *encoder) seal() {
	e.w.after = e.at
	e.handed = e.at.resume
	e.o.Failpoint(string(stepEncoded))
}

// handOver gives the window away, waiting until it is taken, and takes another.
func (e *encoder) handOver(ctx context.Context) error {
	e.seal()
	if err := e.give(ctx, e.w); err != nil {
		return err
	}
	return e.take(ctx)
}

// give waits until a window is taken.
func (e *encoder) give(ctx context.Context, w *window) error {
	began := e.now()
	e.pulse.rest()
	defer e.pulse.work()
	select {
	case e.full <- w:
		e.o.Metrics.blocked(e.now().Sub(began))
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// take gets the next window to fill.
func (e *encoder) take(ctx context.Context) error {
	select {
	case e.w = <-e.free:
		return nil
	default:
	}
	if e.windows < e.most {
		// Only as many are made as are in use at a time: most often far fewer than could be.
		e.w = new(window)
		e.windows++
		return nil
	}
	began := e.now()
	e.pulse.rest()
	defer e.pulse.work()
	select {
	case e.w = <-e.free:
		e.o.Metrics.blocked(e.now().Sub(began))
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// finish hands over what is whole and not yet delivered.
func (e *encoder) finish(ctx context.Context) error {
	if e.open && e.spilled() {
		// What was whole before it is with the taker, who throws away what follows.
		return nil
	}
	if e.open {
		e.w.rollback(e.start)
		e.at, e.open = e.startAt, false
	}
	if e.w.n == 0 && !e.w.force && e.at.resume == e.handed {
		return nil
	}
	return e.handOver(ctx)
}

// fail delivers what stands whole before the change that failed, and returns why it did.
func (e *encoder) fail(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if finishErr := e.finish(ctx); finishErr != nil {
		return finishErr
	}
	return err
}

// batch encodes a batch and releases it.
func (e *encoder) batch(ctx context.Context, b *decoder.Batch) error {
	defer b.Release()
	e.b.large = b.Large()
	rows := false
	var last *decoder.Transaction // streamed
	if b.Progress != nil && (len(b.Transactions) == 0 || !isSnapshot(&b.Transactions[0])) {
		// What streamed changes have brought about, such as a signal. A window may end in the middle of the
		// batch, and must not store their position without it.
		e.at.snapshot = bytes.Clone(b.Progress)
	}
	for i := range b.Transactions {
		t := &b.Transactions[i]
		if isSnapshot(t) {
			if !rows {
				if err := e.makeRoom(ctx); err != nil {
					return err
				}
				rows = true
				e.begin()
			}
			if err := e.rows(ctx, t); err != nil {
				return err
			}
			continue
		}
		if err := e.transaction(ctx, t); err != nil {
			return err
		}
		last = t
	}
	if rows {
		e.open = false
	}
	e.at.resume = max(e.at.resume, b.Confirm)
	e.w.force = e.w.force || b.Urgent && e.at.resume > e.handed
	if b.Covered != nil {
		e.at.covered = bytes.Clone(b.Covered)
	}
	if b.Progress != nil {
		e.at.snapshot = bytes.Clone(b.Progress)
		e.w.force = true
	}
	return e.unload(ctx, b, last)
}

// begin marks where something begins that is to be whole.
func (e *encoder) begin() {
	e.open, e.start, e.startAt, e.gone = true, e.w.mark(), e.at, limits{}
}

// rows encodes snapshot rows. They are never cut: the progress that makes a restart go on behind them comes
// with the end of their batch.
func (e *encoder) rows(ctx context.Context, t *decoder.Transaction) error {
	if e.at.resume == 0 {
		e.at.resume = t.Commit // the slot's consistent point, where its stream begins
	}
	e.w.span.snapshot = t.Commit
	at := e.now()
	for i := range t.Changes {
		c := &t.Changes[i]
		if e.b.skip[c.Op] && c.Op != schema.OpRead {
			e.o.Metrics.filtered(filteredOperation)
			continue
		}
		tb, err := e.t.of(ctx, c.Relation)
		if err != nil {
			return err
		}
		e.b.source(t, c, e.at.lastCommit, 0, at)
		if _, err := e.b.change(e.w, tb, t, c); err != nil {
			return err
		}
	}
	return nil
}

// transaction encodes a transaction or a part of one.
func (e *encoder) transaction(ctx context.Context, t *decoder.Transaction) error {
	if t.First {
		e.begun = false
		e.b.untrace()
		if err := e.first(ctx, t); err != nil {
			return err
		}
	}
	if err := e.prepare(ctx, t); err != nil {
		return err
	}
	if !e.open {
		e.begin()
	}
	e.look()
	previous := uint64(0)
	for i := range t.Changes {
		c := &t.Changes[i]
		position := decoder.Position{Commit: t.Commit, Ordinal: c.Ordinal}
		if c.Op == schema.OpMessage {
			e.b.trace(c) // also of one that is published already: the rest of the transaction is not
		}
		if skip, err := e.skips(position, c); err != nil {
			return err
		} else if skip || e.taken(t, c) {
			continue
		}
		// What one message makes shares a window; its changes share an ordinal.
		if c.Ordinal != previous {
			if err := e.keepWithin(ctx, t); err != nil {
				return err
			}
		}
		previous = c.Ordinal
		if err := e.change(ctx, t, c, position); err != nil {
			return err
		}
	}
	e.keepTail()
	if t.Last {
		return e.end(ctx, t)
	}
	return nil
}

// look reads clock and xmin for the records to come, so that they cost nothing for each.
func (e *encoder) look() { e.moment, e.xmin = e.now(), e.o.XMin() }

// first prepares for a transaction's beginning.
func (e *encoder) first(ctx context.Context, t *decoder.Transaction) error {
	if e.expect != nil && t.Commit > e.skip.Commit {
		return e.missing()
	}
	e.begun = t.Commit == e.skip.Commit && e.skip.Ordinal > 0
	var counts []TableCount
	if e.begun && e.expect != nil {
		counts = e.expect.Counts
	}
	if e.shared = 0; e.takes(t) {
		e.begun, counts = true, e.at.taken.Counts
	}
	e.b.numbers.reset(counts)
	if err := e.makeRoom(ctx); err != nil {
		return err
	}
	// The decoder may know of one in between that touched nothing captured. What a restart in the middle of
	// this one has of its records must name the same as those before.
	e.at.lastCommit = max(e.at.lastCommit, t.LastCommit)
	return nil
}

// prepare makes the tables that a transaction's changes need. Making one may take long, when the registry is
// down, so what is whole goes out first.
func (e *encoder) prepare(ctx context.Context, t *decoder.Transaction) error {
	for i := range t.Changes {
		c := &t.Changes[i]
		if c.Relation == nil || e.b.skip[c.Op] || e.t.known(c.Relation) != nil ||
			(decoder.Position{Commit: t.Commit, Ordinal: c.Ordinal}).Compare(e.skip) <= 0 {
			continue
		}
		if e.due() {
			if err := e.handOver(ctx); err != nil {
				return err
			}
		}
		if _, err := e.t.make(ctx, c.Relation); err != nil {
			return err
		}
	}
	return nil
}

// change encodes one change, in whatever number of records.
func (e *encoder) change(ctx context.Context, t *decoder.Transaction, c *decoder.Change,
	p decoder.Position,
) error {
	if err := e.beginMark(ctx, t, e.moment); err != nil {
		return err
	}
	e.at.position, e.last = p, c
	if e.b.skip[c.Op] {
		e.o.Metrics.filtered(filteredOperation)
		return nil
	}
	lastCommit := t.LastCommit
	if lastCommit == 0 {
		lastCommit = e.at.lastCommit // the decoder does not know what was before a restart
	}
	e.b.source(t, c, lastCommit, e.xmin, e.moment)
	if c.Op == schema.OpMessage {
		if e.b.keep != nil && !e.b.keep(c.Prefix) {
			e.o.Metrics.filtered(filteredMessage)
			return nil
		}
		e.covers(p, t)
		return e.aux.appendMessage(ctx, e.w, &e.b, t, c)
	}
	tb, err := e.t.of(ctx, c.Relation)
	if err != nil {
		return err
	}
	why, err := e.b.change(e.w, tb, t, c)
	if err != nil {
		return err
	}
	if why != filteredNot {
		e.o.Metrics.filtered(why)
		return nil
	}
	if c.Op == schema.OpUpdate {
		e.o.Metrics.toasted(tb.stats, c.New)
	}
	e.covers(p, t)
	return nil
}

// covers notes for the window that it holds a change.
func (e *encoder) covers(p decoder.Position, t *decoder.Transaction) {
	e.w.span.add(p, t.Time)
	if e.b.traced != "" {
		e.w.belongs(e.b.traced, e.start.traces)
	}
}

// beginMark writes a transaction's BEGIN, once.
func (e *encoder) beginMark(ctx context.Context, t *decoder.Transaction, at time.Time) error {
	if e.begun || !e.o.Transactions || isLone(t) {
		return nil
	}
	e.begun = true
	return e.aux.appendMark(ctx, e.w, &schema.TransactionMark{TxID: t.XID, LSN: uint64(t.Begin), Time: t.Time},
		at)
}

// end completes a transaction: what it published may be confirmed with the window.
func (e *encoder) end(ctx context.Context, t *decoder.Transaction) error {
	if e.expect != nil && t.Commit >= e.skip.Commit && !isLone(t) {
		return e.missing()
	}
	if e.o.Transactions && !isLone(t) {
		at := e.now()
		if err := e.beginMark(ctx, t, at); err != nil {
			return err
		}
		mark := &schema.TransactionMark{
			End: true, TxID: t.XID, LSN: uint64(t.End), Time: t.Time, Count: e.b.numbers.total,
		}
		mark.Collections = e.b.numbers.inOrder(nil)
		if err := e.aux.appendMark(ctx, e.w, mark, at); err != nil {
			return err
		}
	}
	e.b.untrace()
	e.at.resume = max(e.at.resume, t.End)
	e.at.lastCommit = max(t.End, t.Commit)
	if e.spilled() || e.cutOff != (limits{}) {
		e.w.force = true // the taker waits for the transaction's end, be it without a record
	}
	made := e.made()
	if made.records > 0 {
		e.w.transactions++
	}
	e.at.split, e.open, e.gone, e.cutOff = nil, false, limits{}, limits{}
	if !isLone(t) {
		e.at.taken = e.at.taken.passed()
	}
	e.o.Metrics.transaction(made)
	return nil
}

package snapshot

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// collector gives the workers their tasks, and sends what they read in one sequence. A batch's Progress and
// markers depend on what was sent before it, so they are written when it is sent. Only Run's goroutine
// touches it.
//
// To mark a table's last row, and the snapshot's, batches are held back by one for each table that is being
// read, and by one in all:
//
//	worker -> table.held -> (the table ends) -> final -> (the next table with rows ends) -> out
//	                  \-> (another batch of the table) -> out
type collector struct {
	o   Options
	out chan<- *decoder.Batch

	tables []*tableState
	units  []*unit
	// units before firstOpen are done, those before firstUnread need no worker, those from nextUnit on are
	// not begun.
	firstOpen, firstUnread, nextUnit int
	// doneLeaves are the hashes of the partitions before firstOpen.
	doneLeaves []byte
	// final is the last batch of the table that ended last.
	final *result

	// deadline is when nothing more is begun, zero for never; busy counts the tasks that workers have, begun
	// those that they were given.
	deadline    time.Time
	busy, begun int
	// following counts the ranges of which a worker is about to read a heavy row.
	following int
	// paused says that the deadline left something for a later Step.
	paused bool
	// last is the Progress that was sent last, before Wrap.
	last []byte

	rowsBefore, rows int64
	table            string // the table that the last rows sent came from
	meter            *meter
}

// tableState is how far a table is.
type tableState struct {
	table Table
	index int
	units []*unit
	held  *result
	// begun says that a row was sent, rows how many were by this run.
	begun bool
	rows  int64
}

// pingInterval keeps the keeper's connection in use: what lies between may cut idle ones after minutes.
const pingInterval = 30 * time.Second

// newCollector lays out the work: all units of all tables, none of them planned.
func newCollector(o Options, out chan<- *decoder.Batch) *collector {
	c := &collector{o: o, out: out}
	for i, t := range o.Tables {
		c.tables = append(c.tables, &tableState{table: t, index: i})
	}
	c.units = makeUnits(c.tables, o.Override, o.Where)
	return c
}

// run is Run: resume, guard, read, finish, in this order; the guard stands before anything that reads a
// user table.
func (c *collector) run(ctx context.Context) error {
	if c.o.Progress != nil {
		if err := c.resume(c.o.Progress); err != nil {
			return err
		}
	}
	started := time.Now()
	if err := c.o.Keeper.Guard(ctx, c.o.GuardTimeout, c.o.Logger); err != nil {
		return err
	}
	c.o.Metrics.guarded(time.Since(started).Seconds())
	c.meter = newMeter(c, started)
	defer c.meter.ticker.Stop()
	level := slog.LevelInfo
	if c.o.Budget > 0 {
		level = slog.LevelDebug // one part of many, which the caller tells of
	}
	log := c.o.Logger.With("lsn", c.o.Point)
	log.Log(ctx, level, "snapshot begun", "table_count", len(c.tables), "workers", c.o.Workers)
	if err := c.readAgain(ctx); err != nil {
		return err
	}
	if c.o.Budget > 0 {
		c.deadline = time.Now().Add(c.o.Budget)
	}
	if err := c.readAll(ctx); err != nil {
		return err
	}
	if c.paused {
		return c.pause(ctx)
	}
	if err := c.finish(ctx); err != nil {
		return err
	}
	c.meter.report(true)
	log.Log(ctx, level, "snapshot done", "rows", c.rows, "took", time.Since(started).Round(time.Millisecond))
	return nil
}

// readAll runs the workers until all is read and all but the final batch is sent. It waits for them.
func (c *collector) readAll(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	tasks, results := make(chan task), make(chan result)
	var workers sync.WaitGroup
	for range c.o.Workers {
		w := &worker{o: c.o, results: results, deadline: c.deadline}
		workers.Go(func() { w.run(ctx, tasks) })
	}
	err := c.serve(ctx, tasks, results)
	close(tasks)
	if err != nil {
		cancel()
		c.releaseHeld()
	}
	workers.Wait()
	cancel()
	return err
}

// serve gives tasks and takes results until every unit is read.
func (c *collector) serve(ctx context.Context, tasks chan<- task, results <-chan result) error {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	// Of a range that was resumed at its end, and of a table without partitions, nothing is read.
	for _, t := range c.tables {
		if err := c.ended(ctx, t); err != nil {
			return err
		}
	}
	for {
		next, some, all := c.next()
		if all {
			return nil
		}
		if !some && c.busy == 0 {
			c.paused = true
			return nil
		}
		give := tasks
		if !some {
			give = nil
		}
		select {
		case give <- next:
			c.given(next)
		case r := <-results:
			if r.err != nil {
				return r.err
			}
			if r.outcome() {
				c.busy--
			}
			if err := c.take(ctx, r); err != nil {
				return err
			}
		case <-c.meter.ticker.C:
			c.meter.report(false)
		case <-tick.C:
			if err := c.o.Keeper.ping(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("snapshot: %w", context.Cause(ctx))
		}
	}
}

// next returns the first task that nobody has, and whether there is one now; all says that everything is
// read.
func (c *collector) next() (t task, some, all bool) {
	for c.firstUnread < len(c.units) && c.units[c.firstUnread].read() {
		c.firstUnread++
	}
	over := !c.deadline.IsZero() && c.begun > 0 && !time.Now().Before(c.deadline)
	for _, u := range c.units[c.firstUnread:min(len(c.units), c.firstUnread+maxAhead)] {
		switch {
		case u.read():
		case over && !u.mustEnd():
		case !u.planned && !u.asked && !u.plan(c.o.Workers, c.o.ResumeRows, c.o.Keeper.version,
			c.o.Debezium && !c.o.Incremental):
			return task{unit: u}, true, false
		case u.planned:
			for ; u.next < len(u.spans); u.next++ {
				if sp := u.spans[u.next]; !sp.read {
					return task{unit: u, span: sp}, true, false
				}
			}
		}
	}
	return task{}, false, c.firstUnread == len(c.units)
}

// given notes that a worker has t. Units are begun in order, those of a run before aside, so that a
// Progress can leave out what comes behind nextUnit.
func (c *collector) given(t task) {
	c.busy++
	c.begun++
	if t.span == nil {
		t.unit.asked = true
	} else {
		t.unit.next++
	}
	for c.nextUnit < len(c.units) && (c.units[c.nextUnit].asked || c.units[c.nextUnit].planned) {
		c.nextUnit++
	}
}

// mustEnd says that the unit was begun in an order that means nothing under another snapshot.
func (u *unit) mustEnd() bool { return u.planned && !u.keyed && u.next > 0 }

// read says whether the workers are done with the unit; what they read may still be held.
func (u *unit) read() bool {
	if u.done {
		return true
	}
	if !u.planned {
		return false
	}
	for _, sp := range u.spans {
		if !sp.read {
			return false
		}
	}
	return true
}

// take handles a worker's result. A batch replaces the one of its table that was held back, which is now
// known not to be the table's last.
func (c *collector) take(ctx context.Context, r result) error {
	t := r.unit.table
	switch {
	case r.plan != nil && r.span == nil:
		r.unit.planned, r.unit.keyed, r.unit.spans = true, true, r.plan
	case r.batch != nil:
		r.span.waiting++
		if r.span.follows {
			r.span.follows = false
			c.following--
		}
		before := t.held
		t.held = &r
		if before != nil {
			if err := c.send(ctx, before, false); err != nil {
				return err
			}
		}
		return c.lighten(ctx)
	case r.follows && !r.span.follows:
		r.span.follows = true
		c.following++
		return c.lighten(ctx)
	case r.ended:
		r.span.read = true
	}
	return c.ended(ctx, t)
}

// lighten sends what is held back although it is known not to be the last: a heavy row of the same table
// follows, or of a later one, and waits for the room that this may take. Behind a table of which nothing is
// known its held row keeps its place but no room: those are as few as the workers.
func (c *collector) lighten(ctx context.Context) error {
	if c.following == 0 {
		return nil
	}
	if final := c.final; final != nil {
		c.final = nil
		if err := c.send(ctx, final, true); err != nil {
			return err
		}
	}
	for _, t := range c.tables {
		held := t.held
		switch {
		case held == nil:
		case t.follows():
			t.held = nil
			if err := c.send(ctx, held, false); err != nil {
				return err
			}
		default:
			if leave := held.batch.Unload(); leave != nil {
				leave()
			}
		}
	}
	return nil
}

// follows says that a worker is about to read a heavy row of the table.
func (t *tableState) follows() bool {
	for _, u := range t.units {
		for _, sp := range u.spans {
			if sp.follows {
				return true
			}
		}
	}
	return false
}

// pause ends a Step that leaves something to read: what was held back for its marker goes out without.
func (c *collector) pause(ctx context.Context) error {
	if final := c.final; final != nil {
		c.final = nil
		if err := c.send(ctx, final, true); err != nil {
			return err
		}
	}
	for _, t := range c.tables {
		if held := t.held; held != nil {
			t.held = nil
			if err := c.send(ctx, held, false); err != nil {
				return err
			}
		}
	}
	c.o.Logger.Debug("snapshot paused", "rows", c.rows, "table", c.table)
	return c.sendProgress(ctx)
}

// ended settles what is read to its end: spans, units, and the table.
func (c *collector) ended(ctx context.Context, t *tableState) error {
	for _, u := range t.units {
		if !u.read() {
			c.settle(t)
			return nil
		}
	}
	if t.held != nil {
		before := c.final
		c.final, t.held = t.held, nil
		if before != nil {
			if err := c.send(ctx, before, true); err != nil {
				return err
			}
		}
	}
	c.settle(t)
	return nil
}

// settle marks as done what is read and sent. Only this makes a Progress say done, and it is called before
// each is written: a Progress never runs ahead of the batches that went out before it.
func (c *collector) settle(t *tableState) {
	for _, u := range t.units {
		if u.done || !u.planned {
			continue
		}
		u.done = true
		for _, sp := range u.spans {
			sp.Done = sp.read && sp.waiting == 0
			u.done = u.done && sp.Done
		}
	}
}

// finish sends the final batch, or when no row was read at all a Progress alone.
func (c *collector) finish(ctx context.Context) error {
	if c.final != nil {
		final := c.final
		c.final = nil
		c.mark(final, true)
		transaction := &final.batch.Transactions[0]
		if !c.o.Incremental {
			transaction.Changes[len(transaction.Changes)-1].Marker = schema.MarkerLast
		}
		transaction.Last = true
		return c.deliver(ctx, final)
	}
	return c.sendProgress(ctx)
}

// sendProgress sends a Progress alone.
func (c *collector) sendProgress(ctx context.Context) error {
	b := c.o.Pool.Get()
	if err := c.stamp(b); err != nil {
		return err
	}
	return c.put(ctx, b)
}

// stamp gives a batch the Progress that it brings.
func (c *collector) stamp(b *decoder.Batch) error {
	var err error
	if c.last, err = c.progress(); err != nil {
		return err
	}
	b.Progress, err = c.o.Wrap(c.last)
	return err
}

// send marks a batch's rows and sends it; endsTable says that it is the table's last.
func (c *collector) send(ctx context.Context, r *result, endsTable bool) error {
	c.mark(r, endsTable)
	return c.deliver(ctx, r)
}

// mark writes the markers of a batch's first and last row. Where both are the same row the later rule wins.
func (c *collector) mark(r *result, endsTable bool) {
	t := r.unit.table
	transaction := &r.batch.Transactions[0]
	changes := transaction.Changes
	if c.o.Incremental {
		return
	}
	if !t.begun {
		changes[0].Marker = schema.MarkerFirstInTable
	}
	if endsTable {
		changes[len(changes)-1].Marker = schema.MarkerLastInTable
	}
	if c.rows+c.rowsBefore == 0 {
		transaction.First = true
		// Debezium's first row is that of the first table, also when that is empty.
		if !c.o.Debezium || t.index == 0 {
			changes[0].Marker = schema.MarkerFirst
		}
	}
}

// deliver sends a marked batch with the progress that it brings.
func (c *collector) deliver(ctx context.Context, r *result) error {
	t := r.unit.table
	rows := len(r.batch.Transactions[0].Changes)
	t.begun, r.unit.sent = true, true
	c.rows += int64(rows)
	t.rows += int64(rows)
	c.table = t.table.String()
	if r.span != nil {
		r.span.Last = r.last
		r.span.waiting--
	}
	c.settle(t)
	if err := c.stamp(r.batch); err != nil {
		return err
	}
	c.o.Metrics.delivered(rows, r.batch.Bytes())
	return c.put(ctx, r.batch)
}

// put sends a batch. However long that takes, the snapshot is kept.
func (c *collector) put(ctx context.Context, b *decoder.Batch) error {
	tick := time.NewTimer(pingInterval)
	defer tick.Stop()
	for {
		select {
		case c.out <- b:
			return nil
		case <-c.meter.ticker.C:
			c.meter.report(false)
		case <-tick.C:
			if err := c.o.Keeper.ping(ctx); err != nil {
				b.Release()
				return err
			}
			tick.Reset(pingInterval)
		case <-ctx.Done():
			b.Release()
			return fmt.Errorf("snapshot: %w", context.Cause(ctx))
		}
	}
}

// releaseHeld ends a run that failed: it gives back what will not be sent any more.
func (c *collector) releaseHeld() {
	for _, t := range c.tables {
		if t.held != nil {
			t.held.batch.Release()
			t.held = nil
		}
	}
	if c.final != nil {
		c.final.batch.Release()
		c.final = nil
	}
}

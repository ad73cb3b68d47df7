package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/snapshot"
)

// follow streams until the end. Whenever a snapshot is due and the stream is close to its head, it goes on
// to the consistent point of a temporary slot, stands there for as long as snapshot.pause allows while rows
// are read at exactly that point, and streams on:
//
//	stream ------> P1 |rows at P1| ------> P2 |rows at P2| ------>
func (p *pipeline) follow(ctx context.Context, out chan<- *decoder.Batch) error {
	for {
		if err := p.reopenNotes(); err != nil {
			return err
		}
		p.showStreaming()
		err := p.stream.Load().Follow(ctx, p.untilDue, out)
		switch {
		case errors.Is(err, decoder.ErrStopped):
			return nil // the stream has ended in order
		case err != nil:
			return err
		}
		if _, store := p.jobs.due(); store {
			if err := p.storeJobs(ctx, out); err != nil {
				return err
			}
		}
		if !p.stepDue() {
			continue
		}
		if err := p.round(ctx, out); err != nil && !errors.Is(err, decoder.ErrStopped) {
			return err
		} else if err != nil {
			return nil
		}
		if p.Config.Snapshot.Mode == "initial_only" {
			p.stopWhenRead()
		}
	}
}

// stopWhenRead stops the pipeline once no snapshot is left to be taken.
func (p *pipeline) stopWhenRead() {
	if list, _ := p.jobs.list(); len(list) == 0 {
		p.Log.Info("snapshot done, stopping as snapshot.mode says")
		p.stop()
	}
}

// showStreaming tells the state between two holds.
func (p *pipeline) showStreaming() {
	if _, work := p.jobs.head(); work {
		p.now.state(stateSnapshot, "streaming between two parts of the snapshot")
		return
	}
	p.now.state(stateStreaming, "")
}

// untilDue is the limit of the stream while no snapshot is read: none, until something is due.
func (p *pipeline) untilDue() decoder.Limit {
	_, store := p.jobs.due()
	return decoder.Limit{Final: store || p.observed != nil || p.stepDue()}
}

// stepDue says whether a snapshot is to be gone on with now: the stream must be close to its head, else
// holding it would add to what it is behind.
func (p *pipeline) stepDue() bool {
	if work, _ := p.jobs.due(); !work {
		return false
	}
	behind := time.Since(p.stream.Load().Status().CaughtUp)
	return behind < p.Config.Snapshot.MaxLag && p.pub.Load().Status().OldestUnacked < p.Config.Snapshot.MaxLag
}

// storeJobs has the state of the snapshots stored.
func (p *pipeline) storeJobs(ctx context.Context, out chan<- *decoder.Batch) error {
	text, err := p.jobs.encode()
	if err != nil {
		return err
	}
	return send(ctx, out, &decoder.Batch{Progress: text})
}

// round reads one part of the first snapshot that waits.
func (p *pipeline) round(ctx context.Context, out chan<- *decoder.Batch) error {
	j, due := p.jobs.head()
	if !due {
		return nil
	}
	if len(j.of(p.tables)) == 0 {
		p.Log.Warn("no captured table is meant by a snapshot: nothing is read", "snapshot", j.ID)
		return p.drop(ctx, j, out)
	}
	at, err := p.temporary(ctx, out)
	if err != nil || at == nil {
		return err
	}
	defer p.keeper.Close()
	// On the way to the point a signal may have come, and keys of rows to be read again.
	if j, due = p.jobs.head(); !due || len(j.of(p.tables)) == 0 {
		return nil
	}
	p.now.state(stateSnapshot, "")
	if p.stepped != j.ID {
		p.stepped = j.ID
		p.Log.Info("snapshot goes on beside the stream", "snapshot", j.ID, "kind", j.Kind, "lsn", at.Point,
			"table_count", len(j.of(p.tables)), "resumed", len(j.Progress) > 0)
		p.nameUnordered(j, true)
	}
	began := time.Now()
	var outcome snapshot.Outcome
	err = p.stream.Load().Hold(ctx, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(p.stopped, cancel)()
		p.jobs.stepping(cancel)
		defer p.jobs.stepping(nil)
		if j.RowsDone {
			return p.deleteVanished(ctx, at, j, out)
		}
		outcome, err = snapshot.Step(ctx, p.snapshotOptions(at, j), out)
		return err
	})
	p.now.settle(outcome.Rows)
	p.Log.Debug("stream held for a snapshot", "snapshot", j.ID, "lsn", at.Point, "rows", outcome.Rows,
		"took", time.Since(began), "done", outcome.Done)
	if outcome.Done && !j.repairing() {
		p.Log.Info("snapshot done", "snapshot", j.ID, "kind", j.Kind, "asked", j.Asked)
	}
	if err != nil && p.withdrawn(j) && ctx.Err() == nil && errors.Is(err, context.Canceled) {
		p.Log.Info("snapshot ended on request", "snapshot", j.ID)
		return nil
	}
	return p.interrupted(ctx, err)
}

// nameUnordered names the tables that are read in no order, and so from the beginning after a crash;
// waits says that the stream waits for each as a whole.
func (p *pipeline) nameUnordered(j job, waits bool) {
	for _, t := range j.of(p.tables) {
		name, rows := t.String(), int64(t.EstimatedRows())
		switch {
		case t.Resumable():
		case waits:
			p.Log.Warn("table has no unique key to read by: the stream waits for the whole of it, and its rows "+
				"come again after a crash", "table", name, "rows", rows)
		default:
			p.Log.Warn("table has no unique key to read by: its rows come again after a crash",
				"table", name, "rows", rows)
		}
	}
}

// withdrawn says that a job was cancelled or paused.
func (p *pipeline) withdrawn(j job) bool {
	now, due := p.jobs.head()
	return !due || now.ID != j.ID
}

// drop takes a job off that has nothing to read.
func (p *pipeline) drop(ctx context.Context, j job, out chan<- *decoder.Batch) error {
	text, err := p.jobs.through(j.ID, "", true)
	if err != nil {
		return err
	}
	return send(ctx, out, &decoder.Batch{Progress: text})
}

// consistency is where the consistent point of a slot is that is being made. Safe for concurrent use.
type consistency struct {
	mu    sync.Mutex // guards limit
	limit decoder.Limit
}

func (c *consistency) set(l decoder.Limit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = l
}

func (c *consistency) get() decoder.Limit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limit
}

// temporary makes a slot for the sake of its snapshot, and has the stream go on to its consistent point. It
// vanishes with its session, once the keeper has the snapshot. It returns none for a snapshot that is no
// longer wanted.
//
// Nothing may pass the point before it is known, so the stream stands until the slot is made: milliseconds,
// unless a transaction holds its making up. Then the stream goes on behind the LSNs that the point is known
// to be past.
func (p *pipeline) temporary(ctx context.Context, out chan<- *decoder.Batch) (*decoder.CreatedSlot, error) {
	making, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.stopped, cancel)()
	p.jobs.stepping(cancel)
	defer p.jobs.stepping(nil)
	point := &consistency{limit: decoder.Limit{LSN: 1}}
	var made *decoder.CreatedSlot
	var keeper *snapshot.Keeper
	var failed error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		made, keeper, failed = p.makeTemporary(making, point)
	}()
	err := p.stream.Load().Follow(ctx, point.get, out)
	if err != nil {
		cancel()
	}
	<-ended
	if err == nil {
		err = p.interrupted(ctx, failed)
	}
	switch {
	case err == nil && made != nil:
	case err == nil:
		return nil, p.endStopped(ctx, out)
	default:
		if keeper != nil {
			keeper.Close()
		}
		if failed != nil && ctx.Err() == nil && errors.Is(err, context.Canceled) {
			p.Log.Info("snapshot ended on request while it waited")
			return nil, nil
		}
		return nil, err
	}
	p.keeper = keeper
	return made, nil
}

// endStopped ends the stream of a pipeline that was stopped while it made a slot.
func (p *pipeline) endStopped(ctx context.Context, out chan<- *decoder.Batch) error {
	if err := p.stream.Load().Run(ctx, out); err != nil {
		return err
	}
	return decoder.ErrStopped
}

// makeTemporary makes the slot and the keeper of its snapshot, and tells the stream how far it may go
// meanwhile.
func (p *pipeline) makeTemporary(ctx context.Context, point *consistency) (
	*decoder.CreatedSlot, *snapshot.Keeper, error,
) {
	made, err := decoder.CreateSlot(ctx, decoder.CreateOptions{
		Connect: p.connect, Temporary: true, Name: temporarySlot(p.Config.Source.Slot),
		Progress: p.waitingTemporary,
		Past:     func(lsn decoder.LSN) { point.set(decoder.Limit{LSN: lsn}) },
	})
	if err != nil {
		point.set(decoder.Limit{Final: true})
		return nil, nil, err
	}
	defer closeConn(made.Conn)
	keeper, err := snapshot.OpenKeeper(ctx, p.ordinary, made.Snapshot)
	if err != nil {
		point.set(decoder.Limit{Final: true})
		return nil, nil, err
	}
	point.set(decoder.Limit{LSN: made.Point, Final: true})
	return made, keeper, nil
}

// waitingTemporary tells what a later snapshot waits for; the stream goes on.
func (p *pipeline) waitingTemporary(blockers []decoder.Blocker) {
	for _, b := range blockers {
		p.now.state(stateSnapshot, "the snapshot's next part waits for "+b.String())
		p.Log.Info("snapshot waits for a transaction to end", "transaction", b.String())
	}
}

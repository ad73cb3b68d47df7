package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/snapshot"
)

// The progress of snapshots that have read no row: one that is still to begin, so that a crash before its first row
// does not pass it over, and one that is not wanted.
var (
	progressPending = []byte(`{"done":false}`)
	progressSkipped = []byte(`{"done":true}`)
)

// snapshotDue says whether rows are to be read first, and what of a run before is stored. A stored position alone
// proves nothing: its progress says whether the snapshot finished. Without due, progress is to be stored.
func (p *pipeline) snapshotDue() (due bool, progress []byte, err error) {
	mode := p.Config.Snapshot.Mode
	stored, found := p.pub.Load().Stored()
	if mode == "no_data" {
		if found && stored.Snapshot != nil {
			return false, nil, nil
		}
		return false, progressSkipped, nil
	}
	if !found && p.takenOver() && mode != "always" {
		return false, progressSkipped, nil
	}
	if !found {
		return true, nil, p.withoutPosition()
	}
	if p.created != nil || stored.Snapshot == nil {
		return true, nil, nil
	}
	done, point, err := snapshot.ProgressDone(stored.Snapshot)
	switch {
	case err != nil:
		return false, nil, err
	case done && mode != "always":
		return false, nil, nil
	case done, point == 0:
		return true, nil, nil // anew, or from the beginning
	}
	return true, stored.Snapshot, nil
}

// snapshot sends the rows of all tables at the consistent point of a slot: of the main one when this run made it, else of
// a temporary one, once the stream has come to its point.
func (p *pipeline) snapshot(ctx context.Context, progress []byte, out chan<- *decoder.Batch) error {
	at := p.created
	if at == nil {
		if progress == nil {
			if err := send(ctx, out, &decoder.Batch{Progress: progressPending}); err != nil {
				return err
			}
		}
		var err error
		if at, err = p.temporary(ctx); err != nil {
			return err
		}
		p.now.state(stateSnapshot, fmt.Sprintf("streaming up to %s, where the snapshot stands", at.Point))
		if err := p.stream.Load().Until(ctx, at.Point, out); err != nil {
			return err
		}
	}
	p.now.state(stateSnapshot, "")
	p.Log.Info("snapshot begins", "lsn", at.Point, "tables", len(p.tables), "resumed", progress != nil)
	err := p.stream.Load().Hold(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(p.stopped, cancel)()
		return snapshot.Run(ctx, p.snapshotOptions(at, progress), out)
	})
	p.keeper.Close()
	if p.stopped.Err() != nil && ctx.Err() == nil && errors.Is(err, context.Canceled) {
		p.Log.Info("snapshot interrupted; the next run resumes it")
		if err := p.stream.Load().Run(ctx, out); err != nil { // ends in order at once: stopped is done
			return err
		}
		return decoder.ErrStopped
	}
	return err
}

// temporary makes a slot for the sake of its snapshot. It vanishes with its session, once the keeper has the snapshot.
func (p *pipeline) temporary(ctx context.Context) (*decoder.CreatedSlot, error) {
	p.now.state(stateSnapshot, "creating a temporary slot for the snapshot")
	var made *decoder.CreatedSlot
	err := p.stream.Load().Hold(ctx, func(ctx context.Context) (err error) {
		made, err = decoder.CreateSlot(ctx, decoder.CreateOptions{
			Connect: p.connect, Temporary: true,
			Name: temporarySlot(p.Config.Source.Slot), Progress: p.waiting,
		})
		if err != nil {
			return err
		}
		defer closeConn(made.Conn)
		p.keeper, err = snapshot.OpenKeeper(ctx, p.ordinary, made.Snapshot)
		return err
	})
	return made, err
}

// temporarySlot names the slot of a later snapshot: the main slot is held, so the name is free.
func temporarySlot(slot string) string {
	const suffix = "_snapshot"
	return slot[:min(len(slot), 63-len(suffix))] + suffix
}

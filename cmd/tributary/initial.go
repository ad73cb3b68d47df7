package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/snapshot"
)

// plan finds out which snapshots are to be taken: those that are stored as unfinished, the initial one
// unless it has been taken, and one of the tables that came to the configuration since. A stored position
// alone proves nothing: what is stored beside it says whether the snapshot finished. The batch stores the
// plan before anything is read, so that no crash passes a table over.
func (p *pipeline) plan() (*decoder.Batch, error) {
	due, state, err := p.initialDue()
	if err != nil {
		return nil, err
	}
	switch {
	case p.repair:
		state.Jobs = append(state.Jobs, newRepair())
	case due:
		initial := job{ID: jobInitial, Kind: jobInitial, Tables: p.Config.Snapshot.Tables, Asked: time.Now()}
		state.Jobs = append([]job{initial}, state.Jobs...)
	}
	if err := p.planAdded(&state, due); err != nil {
		return nil, err
	}
	p.jobs.set(state)
	p.signals = newSignals(p.Config.Snapshot.SignalTable)
	b := new(decoder.Batch)
	if b.Covered, err = p.covered(); err == nil {
		b.Progress, err = p.jobs.encode()
	}
	return b, err
}

// initialDue says whether the rows of all tables are to be read from the beginning, and what is stored of
// other snapshots.
func (p *pipeline) initialDue() (due bool, state snapshotState, err error) {
	mode := p.Config.Snapshot.Mode
	stored, found := p.pub.Load().Stored()
	if found && stored.Snapshot != nil && p.created == nil {
		if state, err = parseSnapshotState(stored.Snapshot); err != nil {
			return false, state, err
		}
	}
	switch {
	case p.repair:
		return true, state, nil
	case mode == "no_data":
		return false, state, nil
	case !found && p.takenOver() && mode != "always":
		return false, state, nil
	case !found:
		return true, state, p.withoutPosition()
	case p.created != nil || stored.Snapshot == nil:
		return true, state, nil
	case !state.Done && len(state.Jobs) == 0:
		return true, state, nil // it was to begin
	}
	waits := slices.ContainsFunc(state.Jobs, func(o job) bool { return o.Kind == jobInitial || o.repairing() })
	return mode == "always" && !waits, state, nil
}

// planAdded asks for a snapshot of the tables that were not captured by the run before. Debezium takes none.
func (p *pipeline) planAdded(state *snapshotState, due bool) error {
	stored, found := p.pub.Load().Stored()
	if !found || stored.Covered == nil || p.created != nil || p.Config.Snapshot.Mode == "no_data" {
		return nil
	}
	var known []string
	if err := json.Unmarshal(stored.Covered, &known); err != nil {
		return fmt.Errorf("read the stored list of tables: %w", err)
	}
	slices.Sort(known)
	var added []Pattern
	var names []string
	for _, t := range (&job{Tables: p.Config.Snapshot.Tables}).of(p.tables) {
		if _, old := slices.BinarySearch(known, t.String()); !old {
			added, names = append(added, literalPattern(t.String())), append(names, t.String())
		}
	}
	switch {
	case len(added) == 0 || due && state.Jobs[0].Progress == nil:
		return nil // a snapshot of everything has them too
	case p.debezium():
		p.Log.Warn("tables were added: as with Debezium their rows are read on a signal", "tables", names)
		return nil
	}
	p.Log.Info("tables were added: their rows are read while the stream goes on", "tables", names)
	for i := range state.Jobs {
		if len(state.Jobs[i].Tables) == 0 {
			state.Jobs[i].Without = append(state.Jobs[i].Without, names...)
		}
	}
	now := time.Now()
	state.Jobs = append(state.Jobs, job{
		ID: jobAdded + now.UTC().Format("-20060102T150405"), Kind: jobAdded,
		Tables: added, Asked: now,
	})
	return nil
}

// covered lists the captured tables: whatever is to be read of them is planned with it, or was.
func (p *pipeline) covered() ([]byte, error) {
	names := make([]string, len(p.tables))
	for i, t := range p.tables {
		names[i] = t.String()
	}
	slices.Sort(names)
	text, err := json.Marshal(names)
	if err != nil {
		return nil, fmt.Errorf("write the list of tables: %w", err)
	}
	return text, nil
}

// firstSnapshot reads all rows at the consistent point of the slot that this run has made, in one go: the
// stream, which begins there, has not begun.
func (p *pipeline) firstSnapshot(ctx context.Context, out chan<- *decoder.Batch) error {
	defer p.keeper.Close()
	j, due := p.jobs.head()
	if !due {
		return nil
	}
	p.now.state(stateSnapshot, "")
	p.Log.Info("snapshot begins", "lsn", p.created.Point, "table_count", len(p.tables))
	p.nameUnordered(j, false)
	err := p.stream.Load().Hold(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(p.stopped, cancel)()
		return snapshot.Run(ctx, p.snapshotOptions(p.created, j), out)
	})
	return p.interrupted(ctx, err)
}

// interrupted makes nothing of an error that only says that the pipeline stops: what was read is stored,
// and the next run goes on behind it.
func (p *pipeline) interrupted(ctx context.Context, err error) error {
	if p.stopped.Err() != nil && ctx.Err() == nil && errors.Is(err, context.Canceled) {
		p.Log.Info("snapshot interrupted; the next run resumes it")
		return nil
	}
	return err
}

// temporarySlot names the slot of a later snapshot: the main slot is held, so the name is free.
func temporarySlot(slot string) string {
	const suffix = "_snapshot"
	return slot[:min(len(slot), 63-len(suffix))] + suffix
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/snapshot"
)

// The kinds of snapshots.
const (
	jobInitial   = "initial"   // of all captured tables
	jobAdded     = "added"     // of tables that came to the configuration later
	jobRequested = "requested" // by the command
	jobSignal    = "signal"    // by a row of the signal table
	jobRepair    = "repair"    // of all captured tables, and of what is in the topics alone: see repair.go
)

// maxJobs bounds what is stored with every position.
const maxJobs = 100

// job is a snapshot that is asked for or under way. It is stored with the position until it is done, so that
// nothing of it is forgotten, and read in the order in which it was asked for.
type job struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Tables are the patterns of its tables; none is all that are captured. Without are tables that are not
	// among them: those that came later have a job of their own.
	Tables  []Pattern `json:"tables,omitempty"`
	Without []string  `json:"without,omitempty"`
	// Where are conditions on their rows, of which the first that fits a table holds.
	Where []condition `json:"where,omitempty"`
	// Incremental has its rows marked as those of Debezium's incremental snapshots.
	Incremental bool      `json:"incremental,omitempty"`
	Asked       time.Time `json:"asked"`
	// Progress is the snapshot's own, nil before its first batch.
	Progress json.RawMessage `json:"progress,omitempty"`
	// RowsDone says that a repair has published all rows; Through is the last table whose deletes are, too.
	RowsDone bool   `json:"rows_done,omitempty"`
	Through  string `json:"through,omitempty"`
}

// condition is SQL that the rows of some tables must fulfil.
type condition struct {
	Tables Pattern `json:"tables"`
	SQL    string  `json:"sql"`
}

// snapshotState is what of snapshots is stored with the position. Its done and point are those that
// snapshot.ProgressDone reads.
type snapshotState struct {
	Done   bool        `json:"done"`
	Point  decoder.LSN `json:"point"`
	Jobs   []job       `json:"jobs,omitempty"`
	Paused bool        `json:"paused,omitempty"`
}

// jobs are the snapshots of a pipeline. Safe for concurrent use.
type jobs struct {
	mu    sync.Mutex // guards what follows
	state snapshotState
	// dirty says that the state is to be stored without waiting for a batch that carries it.
	dirty bool
	// stop ends the Step that runs, nil when none does.
	stop context.CancelFunc
}

// parseSnapshotState reads what encode writes.
func parseSnapshotState(text []byte) (snapshotState, error) {
	var s snapshotState
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("read the stored state of snapshots: %w", err)
	}
	return s, nil
}

// encode writes the state, to be stored.
func (j *jobs) encode() ([]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.encodeLocked()
}

func (j *jobs) encodeLocked() ([]byte, error) {
	j.state.Done = len(j.state.Jobs) == 0
	text, err := json.Marshal(j.state)
	if err != nil {
		return nil, fmt.Errorf("write the state of snapshots: %w", err)
	}
	j.dirty = false
	return text, nil
}

// due says whether the stream is to be held: for a job, or to store the state.
func (j *jobs) due() (work, store bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.state.Jobs) > 0 && !j.state.Paused, j.dirty
}

// head returns the job to go on with.
func (j *jobs) head() (job, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.state.Jobs) == 0 || j.state.Paused {
		return job{}, false
	}
	return j.state.Jobs[0], true
}

// set begins with what is planned.
func (j *jobs) set(state snapshotState) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state = state
}

// list returns all jobs, and whether they are paused.
func (j *jobs) list() ([]job, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.state.Jobs), j.state.Paused
}

// errTooManyJobs refuses one more.
var errTooManyJobs = errors.New("too many snapshots are waiting: cancel some, or let them finish")

// add queues a job. One of the same ID is the same one, told of twice.
func (j *jobs) add(one job) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if slices.ContainsFunc(j.state.Jobs, func(o job) bool { return o.ID == one.ID }) {
		return nil
	}
	if len(j.state.Jobs) >= maxJobs {
		return errTooManyJobs
	}
	j.state.Jobs = append(j.state.Jobs, one)
	j.dirty = true
	return nil
}

// cancel removes jobs and ends the Step that reads for one of them. The initial snapshot, and that of an
// added table, cannot be cancelled: their tables would stay without the rows that were there before.
func (j *jobs) cancel(which func(job) bool) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := len(j.state.Jobs)
	running := before > 0 && j.removable(j.state.Jobs[0], which)
	j.state.Jobs = slices.DeleteFunc(j.state.Jobs, func(o job) bool { return j.removable(o, which) })
	if running && j.stop != nil {
		j.stop()
	}
	removed := before - len(j.state.Jobs)
	j.dirty = j.dirty || removed > 0
	return removed
}

func (j *jobs) removable(one job, which func(job) bool) bool {
	return (one.Kind == jobRequested || one.Kind == jobSignal) && which(one)
}

// pause holds all jobs where they are, or lets them go on.
func (j *jobs) pause(paused bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dirty = j.dirty || j.state.Paused != paused
	j.state.Paused = paused
	if paused && j.stop != nil {
		j.stop()
	}
}

// stepping notes how the running Step is ended, nil when none runs.
func (j *jobs) stepping(stop context.CancelFunc) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stop = stop
}

// advance notes a job's progress and returns the state with it, to be stored with the batch that has it. A
// job that is done is no longer in it. Rows of a job that was cancelled bring no progress.
func (j *jobs) advance(id string, progress []byte) ([]byte, error) {
	done, point, err := snapshot.ProgressDone(progress)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	at := slices.IndexFunc(j.state.Jobs, func(o job) bool { return o.ID == id })
	switch {
	case at >= 0 && done && j.state.Jobs[at].repairing():
		j.state.Jobs[at].Progress, j.state.Jobs[at].RowsDone = nil, true
	case at >= 0 && done:
		j.state.Jobs = slices.Delete(j.state.Jobs, at, at+1)
	case at >= 0:
		j.state.Jobs[at].Progress = progress
	}
	j.state.Point = max(j.state.Point, point)
	return j.encodeLocked()
}

// through notes that a repair has published a table's deletes, and returns the state with it. With the last
// table's the job is done.
func (j *jobs) through(id, table string, last bool) ([]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := slices.IndexFunc(j.state.Jobs, func(o job) bool { return o.ID == id })
	switch {
	case at >= 0 && last:
		j.state.Jobs = slices.Delete(j.state.Jobs, at, at+1)
	case at >= 0:
		j.state.Jobs[at].Through = table
	}
	return j.encodeLocked()
}

// where returns the condition that the job puts on a table's rows.
func (o *job) where(namespace, table string) string {
	for _, c := range o.Where {
		if c.Tables.Match(namespace + "." + table) {
			return c.SQL
		}
	}
	return ""
}

// of returns the job's tables among those that are captured.
func (o *job) of(tables []snapshot.Table) []snapshot.Table {
	var chosen []snapshot.Table
	for _, t := range tables {
		name := t.String()
		if (len(o.Tables) == 0 || matchAny(o.Tables, name)) && !slices.Contains(o.Without, name) {
			chosen = append(chosen, t)
		}
	}
	return chosen
}

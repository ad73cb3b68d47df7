package publisher

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
)

// positionVersion is the version of the position record that this code writes, and the only one that it
// reads.
const positionVersion = 1

// Identity is what tells one server's log from another's.
type Identity struct {
	// SystemID is the system identifier, the same on all copies of a cluster.
	SystemID string
	Timeline int
	Database string
}

// Stored is the position of a pipeline as its topic holds it: what has been published, and where to go on.
type Stored struct {
	Pipeline, Slot string
	Identity       Identity
	// Position is the last published change's. A change at or before it is never published again.
	Position decoder.Position
	// Resume is up to where everything is published whole. It alone is confirmed to the server.
	Resume decoder.LSN
	// LastCommit is the end of the last whole transaction: the next one's Transaction.LastCommit.
	LastCommit decoder.LSN
	// Epoch grows with each rewind, Window with each delivery window of an epoch.
	Epoch, Window uint64
	// Split is set when Position stands inside a transaction.
	Split *Split
	// Snapshot is the last Batch.Progress, nil when there was none.
	Snapshot []byte
	// Covered is the last Batch.Covered, nil when there was none. It has a record of its own.
	Covered []byte
	// Rewind is set while a rewind is under way: until it is done nothing may be streamed.
	Rewind *Rewind
	// Repair is set while a repair was asked for and not begun: the next run takes all rows again.
	Repair *Repair
	// Taken is set when the position began as another program's.
	Taken *Taken
	// Run names the run that wrote the position.
	Run     string
	Written time.Time
}

// Rewind is what a rewind that was begun is to do. What of it is done, the slots show.
type Rewind struct {
	// To is where the pipeline is to go on from, LastCommit the Stored.LastCommit there.
	To         decoder.LSN `json:"to"`
	LastCommit decoder.LSN `json:"last_commit"`
	// Failover says that the slot that is replaced has it.
	Failover bool      `json:"failover"`
	Began    time.Time `json:"began"`
}

// Repair is a repair that a person asked for: whatever the position says of slot and server, the next run
// begins a new epoch, publishes all rows again, and a delete for each key that is in the topics alone.
type Repair struct {
	Asked time.Time `json:"asked"`
}

// Split is what a position inside a transaction depends on: under other publications or options the server
// would number the same transaction's changes differently.
type Split struct {
	Publications []string `json:"publications"`
	Protocol     string   `json:"protocol"`
	// LSN, Relation and Op are those of the change at the position.
	LSN      decoder.LSN `json:"lsn"`
	Relation string      `json:"relation"`
	Op       string      `json:"op"`
	// Counts are the transaction's numbered changes by table, in order of their first one.
	Counts []TableCount `json:"counts,omitempty"`
}

// TableCount is a number of changes of one table, as schema.table.
type TableCount struct {
	Table string `json:"table"`
	Count int64  `json:"count"`
}

// positionRecord is the JSON of a Stored.
type positionRecord struct {
	Version    int             `json:"version"`
	Pipeline   string          `json:"pipeline"`
	Slot       string          `json:"slot"`
	SystemID   string          `json:"system_id"`
	Timeline   int             `json:"timeline"`
	Database   string          `json:"database"`
	Position   jsonPosition    `json:"position"`
	Resume     decoder.LSN     `json:"resume"`
	LastCommit decoder.LSN     `json:"last_commit"`
	Epoch      uint64          `json:"epoch"`
	Window     uint64          `json:"window"`
	Split      *Split          `json:"split,omitempty"`
	Snapshot   json.RawMessage `json:"snapshot,omitempty"`
	Rewind     *Rewind         `json:"rewind,omitempty"`
	Repair     *Repair         `json:"repair,omitempty"`
	Taken      *Taken          `json:"taken,omitempty"`
	Run        string          `json:"run"`
	Written    time.Time       `json:"written"`
}

// jsonPosition is the JSON of a decoder.Position.
type jsonPosition struct {
	Commit  decoder.LSN `json:"commit"`
	Ordinal uint64      `json:"ordinal"`
}

// marshal returns the record's value.
func (s *Stored) marshal() ([]byte, error) {
	value, err := json.Marshal(positionRecord{
		Version: positionVersion, Pipeline: s.Pipeline, Slot: s.Slot,
		SystemID: s.Identity.SystemID, Timeline: s.Identity.Timeline, Database: s.Identity.Database,
		Position: jsonPosition{s.Position.Commit, s.Position.Ordinal},
		Resume:   s.Resume, LastCommit: s.LastCommit, Epoch: s.Epoch, Window: s.Window,
		Split: s.Split, Snapshot: s.Snapshot, Rewind: s.Rewind, Repair: s.Repair, Taken: s.Taken,
		Run: s.Run, Written: s.Written.UTC(),
	})
	if err != nil {
		return nil, fmt.Errorf("write the position of %s/%s: %w", s.Pipeline, s.Slot, err)
	}
	return value, nil
}

// parseStored reads what marshal writes, under the key that it was found.
func parseStored(key string, value []byte) (*Stored, error) {
	// The version is read first and alone: another one may have other fields of other types.
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(value, &head); err != nil {
		return nil, fmt.Errorf("read the position of %s: %w", key, err)
	}
	if head.Version != positionVersion {
		return nil, &VersionError{Key: key, Version: head.Version}
	}
	var r positionRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("read the position of %s: %w", key, err)
	}
	if got := r.Pipeline + "/" + r.Slot; got != key {
		return nil, fmt.Errorf("read the position of %s: it says that it is that of %s", key, got)
	}
	return &Stored{
		Pipeline: r.Pipeline, Slot: r.Slot,
		Identity: Identity{SystemID: r.SystemID, Timeline: r.Timeline, Database: r.Database},
		Position: decoder.Position{Commit: r.Position.Commit, Ordinal: r.Position.Ordinal},
		Resume:   r.Resume, LastCommit: r.LastCommit, Epoch: r.Epoch, Window: r.Window,
		Split: r.Split, Snapshot: r.Snapshot, Rewind: r.Rewind, Repair: r.Repair, Taken: r.Taken,
		Run: r.Run, Written: r.Written,
	}, nil
}

// Server is what a stored position is compared with before anything is streamed.
type Server struct {
	Identity Identity
	// Confirmed is the slot's confirmed_flush_lsn, End how far the server has written its WAL.
	Confirmed, End decoder.LSN
	// History is where the timelines were left that the server's descends from.
	History []decoder.Switch
	// Publications and Protocol are what the stream will be asked for with.
	Publications []string
	Protocol     string
}

// Verify says whether streaming from the position loses nothing and repeats nothing: the server's log must
// be the one that the position was taken in. The server itself does not tell: it silently moves a start
// that is too old. Every error needs a person: *RewindError, *RepairError, *IdentityError, *GapError,
// *TimelineError, *SplitError.
func (s *Stored) Verify(server Server) error {
	where := s.Pipeline + "/" + s.Slot
	if s.Rewind != nil {
		return &RewindError{Key: where, To: s.Rewind.To, Began: s.Rewind.Began}
	}
	if s.Repair != nil {
		return &RepairError{Key: where, Asked: s.Repair.Asked}
	}
	if a, b := s.Identity.SystemID, server.Identity.SystemID; a != b {
		return &IdentityError{Key: where, What: "system identifier", Stored: a, Found: b, Resume: s.Resume}
	}
	if a, b := s.Identity.Database, server.Identity.Database; a != b {
		return &IdentityError{Key: where, What: "database", Stored: a, Found: b, Resume: s.Resume}
	}
	if err := s.verifyTimeline(where, server); err != nil {
		return err
	}
	if server.Confirmed > s.Resume {
		return &GapError{Key: where, Slot: s.Slot, Resume: s.Resume, Confirmed: server.Confirmed}
	}
	if s.Resume > server.End {
		return &TimelineError{Key: where, Timeline: server.Identity.Timeline, Resume: s.Resume, End: server.End}
	}
	if s.Split == nil {
		return nil
	}
	if !slices.Equal(s.Split.Publications, server.Publications) || s.Split.Protocol != server.Protocol {
		return &SplitError{Key: where, Position: s.Position, Reason: fmt.Sprintf(
			"it was numbered under publications %v and options %q, and now they are %v and %q",
			s.Split.Publications, s.Split.Protocol, server.Publications, server.Protocol)}
	}
	return nil
}

// verifyTimeline checks that the server's timeline goes through the position.
func (s *Stored) verifyTimeline(where string, server Server) error {
	stored, found := s.Identity.Timeline, server.Identity.Timeline
	if stored == found {
		return nil
	}
	left, descends := decoder.LeftAt(server.History, stored)
	if !descends {
		return &TimelineError{Key: where, Stored: stored, Timeline: found, Resume: s.Resume}
	}
	// What stands behind the point where the timeline was left exists in the abandoned history only.
	if reached := max(s.Resume, s.Position.Commit); reached > left {
		return &TimelineError{Key: where, Stored: stored, Timeline: found, Resume: reached, End: left}
	}
	return nil
}

// Done says whether a Progress is one of a snapshot that has finished.
func (s *Stored) Done() (bool, error) {
	if s.Snapshot == nil {
		return false, nil
	}
	var progress struct {
		Done *bool `json:"done"`
	}
	if err := json.Unmarshal(s.Snapshot, &progress); err != nil {
		return false, fmt.Errorf("read the snapshot progress of %s/%s: %w", s.Pipeline, s.Slot, err)
	}
	if progress.Done == nil {
		return false, errors.New("the stored snapshot progress does not say whether it is done")
	}
	return *progress.Done, nil
}

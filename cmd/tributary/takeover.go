package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
)

// debeziumCommit is Debezium's name for the end of a transaction, debeziumBegin for its beginning.
const (
	debeziumBegin  = "BEGIN"
	debeziumCommit = "COMMIT"
)

// connectorOffset is what a Debezium connector has stored with Connect. It travels on records, and Connect
// stores it once the record and all before it are acknowledged: everything up to it is published.
type connectorOffset struct {
	// LSN and Message are the last record's: its change's position and kind. XID is its transaction.
	LSN     decoder.LSN
	XID     uint32
	Message string
	// Commit is the end of the last transaction that was over before the record, 0 when there was none
	// since the snapshot. What ends there or before is published whole.
	Commit decoder.LSN
	// Snapshot is true while the last record is a snapshot's, Done when that snapshot has finished.
	Snapshot, Done bool
	// Incremental says that an incremental snapshot was under way.
	Incremental bool
	// Counts are the numbered changes of the record's transaction, with transaction metadata.
	Counts []publisher.TableCount

	partition int32 // of the topic
	found     bool
}

// finished says that no rows are left to be read.
func (o *connectorOffset) finished() bool { return o.found && (!o.Snapshot || o.Done) }

// String tells the offset for people.
func (o *connectorOffset) String() string {
	switch {
	case !o.found:
		return "no offset"
	case !o.finished():
		return fmt.Sprintf("a snapshot at %s that has not finished", o.LSN)
	case o.Snapshot:
		return fmt.Sprintf("a finished snapshot at %s", o.LSN)
	}
	return fmt.Sprintf("last event at %s, last commit at %s", o.LSN, o.Commit)
}

// start is where the stream goes on from a slot that has confirmed so much, and what of it is published
// already.
//
// Debezium confirms to the slot what its records say of finished transactions, so the slot is never ahead
// of what is published, and whatever ends at or before the later of the two is. Behind it stands the
// transaction of the last record: its changes up to that record are published too. That record's own LSN
// proves the first change that has it, and no further one: rows of one COPY share an LSN, and Debezium's
// offset does not tell them apart.
func (o *connectorOffset) start(confirmed decoder.LSN) (decoder.LSN, *publisher.Taken) {
	from := max(confirmed, o.Commit)
	taken := &publisher.Taken{LSN: o.LSN, LastCommit: o.Commit}
	switch {
	case o.Snapshot || o.Message == debeziumCommit || o.XID == 0:
		taken.Passed = true
	case o.Message == debeziumBegin:
		taken.XID = o.XID // only the record that tells the beginning
	default:
		taken.XID, taken.Changes, taken.Counts = o.XID, 1, o.Counts
	}
	return from, taken
}

// takeOver reads what a Debezium connector has stored where tributary has nothing newer, and goes on from
// there.
func (p *pipeline) takeOver(ctx context.Context) error {
	if p.Config.Takeover.ConnectOffsets == "" || p.created != nil {
		return nil
	}
	o := p.options
	stored, err := publisher.Load(ctx, o.Client, o.PositionTopic, o.Pipeline, o.Slot)
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return err
	}
	offset, err := readOffset(ctx, o.Client, p.Config.Takeover, p.Config.Topic.Prefix)
	if err != nil {
		return err
	}
	p.offset = offset
	if !offset.finished() || !offset.newer(stored) {
		return nil
	}
	if err := offset.beyond(p.Config, p.slot.ServerEnd); err != nil {
		return err
	}
	if p.slot.Confirmed > max(offset.LSN, offset.Commit) {
		// A crash of the worker leaves this too: it confirms first what it stores with its next flush.
		p.Log.Warn("slot confirms more than the connector has stored: the changes between are published, unless "+
			"the slot was made anew or moved by hand", "stored", offset.String(), "confirmed",
			p.slot.Confirmed)
	}
	if offset.Incremental {
		p.Log.Warn("the connector was in an incremental snapshot, which is not continued: ask for it again")
	}
	p.options.Start, p.options.Taken = offset.start(p.slot.Confirmed)
	p.options.Renew = stored != nil
	p.Log.Info("taking over from Debezium", "connector", p.Config.Takeover.Connector, "offset",
		offset.String(),
		"confirmed", p.slot.Confirmed, "lsn", p.options.Start)
	return nil
}

// newer says that the connector has published after the stored position was. Its offset as it was taken
// over, or as giveBack wrote it, is not newer.
func (o *connectorOffset) newer(stored *publisher.Stored) bool {
	if stored == nil {
		return true
	}
	return o.LSN > stored.Resume && (stored.Taken == nil || stored.Taken.LSN != o.LSN)
}

// lostSlot refuses to make a slot anew that a connector has used: what it held is lost.
func (p *pipeline) lostSlot(ctx context.Context) error {
	if p.Config.Takeover.ConnectOffsets == "" || p.Config.Snapshot.Mode == "when_needed" {
		return nil
	}
	offset, err := readOffset(ctx, p.options.Client, p.Config.Takeover, p.Config.Topic.Prefix)
	if err != nil || !offset.finished() {
		return err
	}
	return offset.slotless(p.Config)
}

// beyond is the error of an offset that the server has not come to, nil for another one.
func (o *connectorOffset) beyond(c Config, end decoder.LSN) error {
	if o.Commit <= end {
		return nil
	}
	return needsPerson{faultError{fmt.Errorf("take over connector %s: its offset is at %s, beyond the "+
		"server's %s: it is that of another server; remove it, or leave takeover.connect_offsets out and take "+
		"a snapshot", c.Takeover.Connector, o.Commit, end), "E501"}}
}

// slotless is the error of an offset whose slot is gone.
func (o *connectorOffset) slotless(c Config) error {
	return needsPerson{faultError{fmt.Errorf("slot %s is gone, and connector %s has %s: changes that "+
		"committed since may be lost; to take a new snapshot and go on from there: snapshot.mode: when_needed",
		c.Source.Slot, c.Takeover.Connector, o), "E502"}}
}

// takenOver says that this run begins where a connector has ended.
func (p *pipeline) takenOver() bool { return p.options.Taken != nil }

// withoutPosition refuses to read all rows again where the configuration says so.
func (p *pipeline) withoutPosition() error {
	if p.Config.Snapshot.WithoutPosition != "stop" || p.created != nil {
		return nil
	}
	text := "no position is stored"
	if p.offset != nil {
		text += ", and the connector has " + p.offset.String()
	}
	return needsPerson{faultError{fmt.Errorf("slot %s is there, but %s, and snapshot.without_position says "+
		"stop: take a snapshot with snapshot.without_position: snapshot, or give takeover.connect_offsets what "+
		"Debezium stored", p.Config.Source.Slot, text), "E503"}}
}

// giveBack stores where tributary has stopped as the connector's offset: without it Debezium would compare
// the slot with its old one, and refuse. It is called when everything that was read is confirmed, and does
// nothing while a snapshot, or a transaction that the connector began, is not behind.
func (p *pipeline) giveBack(ctx context.Context) error {
	if p.Config.Takeover.ConnectOffsets == "" {
		return nil
	}
	last := p.pub.Load().Last()
	done, err := last.Done()
	if err != nil {
		return err
	}
	if !done || last.Split != nil || last.Taken != nil && !last.Taken.Passed || last.Resume == 0 {
		return nil
	}
	if p.offset != nil && p.offset.found && p.offset.LSN >= last.Resume {
		return nil // nothing has happened since
	}
	partition := int32(-1)
	if p.offset != nil && p.offset.found {
		partition = p.offset.partition
	}
	err = writeOffset(ctx, p.options.Client, p.Config.Takeover, p.Config.Topic.Prefix, partition,
		last.Resume,
		time.Now())
	if err != nil {
		// Nothing of the data depends on it; Debezium itself says what it misses.
		p.Log.Warn("position not stored as the connector's offset: Debezium cannot go on from here",
			"err", err)
		return nil
	}
	p.Log.Info("position stored as the connector's offset", "connector", p.Config.Takeover.Connector, "lsn",
		last.Resume)
	return nil
}

// offsetValue is the JSON of a PostgreSQL connector's offset, as far as it concerns a takeover.
type offsetValue struct {
	LSN       decimalLSN      `json:"lsn"`
	Processed decimalLSN      `json:"lsn_proc,omitempty"`
	Commit    decimalLSN      `json:"lsn_commit,omitempty"`
	XID       int64           `json:"txId,omitempty"`
	Message   string          `json:"messageType,omitempty"`
	Micros    int64           `json:"ts_usec,omitempty"`
	Snapshot  json.RawMessage `json:"snapshot,omitempty"` // true, or the kind as a text
	Completed *bool           `json:"snapshot_completed,omitempty"`
	Last      bool            `json:"last_snapshot_record,omitempty"`
	Table     string          `json:"incremental_snapshot_collections,omitempty"`
}

// decimalLSN is an LSN as Debezium writes it: a number.
type decimalLSN uint64

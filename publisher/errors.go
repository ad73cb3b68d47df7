package publisher

import (
	"fmt"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
)

// VersionError is a record of a version that this program does not know.
type VersionError struct {
	Key     string
	Version int
}

// Error says which record and what to do.
func (e *VersionError) Error() string {
	return fmt.Sprintf("read the position of %s: it has version %d, and this program knows version %d only: "+
		"run the program that wrote it, or a newer one", e.Key, e.Version, positionVersion)
}

// NeedsPerson is true: no restart reads it.
func (e *VersionError) NeedsPerson() bool { return true }

// IdentityError is a position of another server or database.
type IdentityError struct {
	// Key is pipeline/slot, What the part that differs.
	Key, What, Stored, Found string
	Resume                   decoder.LSN
}

// Error says what differs.
func (e *IdentityError) Error() string {
	return fmt.Sprintf("position of %s: it is %s in %s %s, and the server has %s %s: all that it committed is "+
		"in doubt; "+
		"point source.url at the old server, or take another pipeline name and a new snapshot",
		e.Key, e.Resume, e.What, e.Stored, e.What, e.Found)
}

// NeedsPerson is true: a log does not become another.
func (e *IdentityError) NeedsPerson() bool { return true }

// GapError is a slot that somebody else has read: the server has forgotten changes that were not published.
type GapError struct {
	Key, Slot string
	// The changes that committed from Resume to Confirmed are in doubt.
	Resume, Confirmed decoder.LSN
}

// Error says the range in doubt and how to repair it.
func (e *GapError) Error() string {
	return fmt.Sprintf("position of %s: published up to %s, but slot %s is confirmed up to %s: somebody else "+
		"has read or "+
		"moved the slot, and changes committed from %s to %s (%d bytes of WAL) may be missing; take a new snapshot",
		e.Key, e.Resume, e.Slot, e.Confirmed, e.Resume, e.Confirmed, e.Confirmed-e.Resume)
}

// NeedsPerson is true: the server does not send them again.
func (e *GapError) NeedsPerson() bool { return true }

// TimelineError is a position that the server's history does not contain: a promotion or a restore lost what
// had been published.
type TimelineError struct {
	Key string
	// Stored is the position's timeline, 0 when it is the server's, Timeline the server's.
	Stored, Timeline int
	// Resume is how far was published, End where the server's history parts from it; 0 when it never joins
	// it.
	Resume, End decoder.LSN
}

// Error says the range in doubt.
func (e *TimelineError) Error() string {
	const advice = "consumers hold changes that the server has not; take a new snapshot"
	switch {
	case e.Stored == 0:
		return fmt.Sprintf("position of %s: published up to %s, but the server's WAL ends at %s: the history "+
			"from %s to %s "+
			"is lost: %s", e.Key, e.Resume, e.End, e.End, e.Resume, advice)
	case e.End == 0:
		return fmt.Sprintf("position of %s: it is %s on timeline %d, of which the server's timeline %d does not "+
			"descend: %s",
			e.Key, e.Resume, e.Stored, e.Timeline, advice)
	}
	return fmt.Sprintf("position of %s: published up to %s on timeline %d, but the server's timeline %d left "+
		"it at %s: "+
		"the history from %s to %s is lost: %s", e.Key, e.Resume, e.Stored, e.Timeline, e.End, e.End, e.Resume,
		advice)
}

// NeedsPerson is true: lost history does not come back.
func (e *TimelineError) NeedsPerson() bool { return true }

// SplitError is a position inside a transaction that the server now sends otherwise.
type SplitError struct {
	Key      string
	Position decoder.Position
	Reason   string
}

// Error says why the position is none.
func (e *SplitError) Error() string {
	return fmt.Sprintf("position of %s: change %d of the transaction that commits at %s is not where it was: "+
		"%s; restore "+
		"what was changed, or take a new snapshot", e.Key, e.Position.Ordinal, e.Position.Commit, e.Reason)
}

// NeedsPerson is true: the same stream comes again.
func (e *SplitError) NeedsPerson() bool { return true }

// RewindError is a rewind that was begun and is not done.
type RewindError struct {
	Key   string
	To    decoder.LSN
	Began time.Time
}

// Error says how to go on.
func (e *RewindError) Error() string {
	return fmt.Sprintf("position of %s: a rewind to %s was begun at %s and is not done: run the same rewind "+
		"again, "+
		"tributary rewind --to-lsn %s, which finishes it", e.Key, e.To, e.Began.UTC().Format(time.RFC3339), e.To)
}

// NeedsPerson is true: who began it finishes it.
func (e *RewindError) NeedsPerson() bool { return true }

// RepairError is a repair that was asked for and has not begun.
type RepairError struct {
	Key   string
	Asked time.Time
}

// Error says who carries it out.
func (e *RepairError) Error() string {
	return fmt.Sprintf("position of %s: a repair was asked for at %s and has not begun: tributary run begins it",
		e.Key, e.Asked.UTC().Format(time.RFC3339))
}

// NeedsPerson is true: whoever asked for it starts it.
func (e *RepairError) NeedsPerson() bool { return true }

// CollisionError is two tables that want one topic.
type CollisionError struct{ Topic, First, Second string }

// Error names both.
func (e *CollisionError) Error() string {
	return fmt.Sprintf("tables %s and %s both go to topic %s, where their keys and schemas would mix: "+
		"route one of them elsewhere", e.First, e.Second, e.Topic)
}

// NeedsPerson is true: names do not change by themselves.
func (e *CollisionError) NeedsPerson() bool { return true }

// KeyError is a change whose key is not known: the old row that the server sent lacks a key column.
type KeyError struct {
	Table    string
	Position decoder.Position
	Column   string
}

// Error says which column and how to have it sent.
func (e *KeyError) Error() string {
	return fmt.Sprintf("write key of %s for change %d of the transaction that commits at %s: key column %s is "+
		"not part of "+
		"the replica identity: ALTER TABLE %s REPLICA IDENTITY FULL (or DEFAULT, when the key is the primary key)",
		e.Table, e.Position.Ordinal, e.Position.Commit, e.Column, e.Table)
}

// NeedsPerson is true: the log holds no more than it holds.
func (e *KeyError) NeedsPerson() bool { return true }

// TooLargeError is a record that client or broker do not take. It never holds the value.
type TooLargeError struct {
	Topic, Table string
	Position     decoder.Position
	// KeyBytes and ValueBytes are the record's; Limit is MaxRecordBytes.
	KeyBytes, ValueBytes, Limit int
	Err                         error
}

// Error says where the record is from, its sizes, and what to raise.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("publish %s to topic %s, change %d of the transaction that commits at %s: key of %d "+
		"and value of %d "+
		"bytes, limit %d: raise max.message.bytes of the topic (message.max.bytes of the broker) and "+
		"kafka.max_record_bytes: %v", e.Table, e.Topic, e.Position.Ordinal, e.Position.Commit,
		e.KeyBytes, e.ValueBytes, e.Limit, e.Err)
}

// Unwrap returns Kafka's error.
func (e *TooLargeError) Unwrap() error { return e.Err }

// NeedsPerson is true: the same record comes again.
func (e *TooLargeError) NeedsPerson() bool { return true }

// RecordError is a record that Kafka refused for good, such as for a lack of rights.
type RecordError struct {
	Topic, Table string
	Position     decoder.Position
	Advice       string
	Err          error
}

// Error says where the record is from, what Kafka said and what to do.
func (e *RecordError) Error() string {
	text := fmt.Sprintf("publish to topic %s", e.Topic)
	if e.Table != "" {
		text = fmt.Sprintf("publish %s to topic %s, change %d of the transaction that commits at %s",
			e.Table, e.Topic, e.Position.Ordinal, e.Position.Commit)
	}
	text += ": " + e.Err.Error()
	if e.Advice != "" {
		text += ": " + e.Advice
	}
	return text
}

// Unwrap returns Kafka's error.
func (e *RecordError) Unwrap() error { return e.Err }

// NeedsPerson is true: Kafka refuses it again.
func (e *RecordError) NeedsPerson() bool { return true }

// FencedError is another instance that has taken over: it holds the transactional.id.
type FencedError struct {
	TransactionalID string
	Err             error
}

// Error says who was fenced.
func (e *FencedError) Error() string {
	return fmt.Sprintf("transactional.id %s was taken by another instance, which goes on from here: %v",
		e.TransactionalID, e.Err)
}

// Unwrap returns Kafka's error.
func (e *FencedError) Unwrap() error { return e.Err }

// Retryable is true: a new run waits for the slot, and so for the other instance to go.
func (e *FencedError) Retryable() bool { return true }

// AgainError is a window that is not known to be published, or known not to be: a new run starts from the
// stored position and loses nothing.
type AgainError struct {
	Doing string
	Err   error
}

// Error says what was not done.
func (e *AgainError) Error() string { return e.Doing + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *AgainError) Unwrap() error { return e.Err }

// Retryable is true.
func (e *AgainError) Retryable() bool { return true }

// LeaseError is a server that has not answered for so long that the slot may be another's.
type LeaseError struct{}

// Error says why nothing more is sent.
func (e *LeaseError) Error() string {
	return "stopped sending: the server has not answered for wal_sender_timeout, and another instance may " +
		"hold the slot"
}

// Retryable is true: a new run takes the slot first.
func (e *LeaseError) Retryable() bool { return true }

// TopicError is a topic that is missing and could not be made, or that cannot be used as it is.
type TopicError struct {
	Topic string
	// Command makes the topic, or sets it right.
	Command string
	Err     error
}

// Error gives the command line that helps.
func (e *TopicError) Error() string {
	return fmt.Sprintf("topic %s: %v; set that right with: %s", e.Topic, e.Err, e.Command)
}

// Unwrap returns Kafka's error.
func (e *TopicError) Unwrap() error { return e.Err }

// NeedsPerson is true: it does not appear by itself.
func (e *TopicError) NeedsPerson() bool { return true }

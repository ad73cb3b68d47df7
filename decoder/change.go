package decoder

import "github.com/tributary-cdc/tributary/schema"

// Position is where a change stands in the total order: the start of its transaction's commit record,
// then its ordinal within the transaction. Row LSNs run backwards between interleaved transactions and
// order nothing.
type Position struct {
	Commit LSN
	// Ordinal counts the transaction's I, U, D, T and M messages from 1, before any filter of ours. 0 is
	// before the first. A message outside of a transaction has its own LSN as Commit and ordinal 0.
	Ordinal uint64
}

// Compare returns -1, 0 or +1 as p stands before, at or after q.
func (p Position) Compare(q Position) int {
	switch {
	case p.Commit < q.Commit, p.Commit == q.Commit && p.Ordinal < q.Ordinal:
		return -1
	case p == q:
		return 0
	}
	return 1
}

// Change is one thing that happened to one row, or a truncate of one table, or a logical message.
type Change struct {
	Op       schema.Op
	Relation *schema.Relation // nil for OpMessage
	// Old is the old tuple, nil when the server sent none. Of a key-only old tuple (OldIsKey) the columns
	// outside of the identity are schema.Absent.
	Old, New schema.Row
	OldIsKey bool
	// LSN is the position of the change's own WAL record: source.lsn, and nothing to order by.
	LSN LSN
	// Ordinal is Position.Ordinal; the changes into which one truncate of many tables is
	// spread share it.
	Ordinal uint64
	// Marker says where in a snapshot an OpRead stands.
	Marker schema.Marker
	// Key, when set, is the whole key of the record, as it stands in the topic: of a delete that a repair makes
	// of a row which the database no longer has. Such a change belongs to a snapshot and has no Position.
	Key []byte
	// Prefix and Content are a logical message's; Transactional says that it belongs to its transaction.
	Prefix        string
	Content       []byte
	Transactional bool
}

// Transaction is a run of changes of one transaction, whole or a part: a transaction larger than a batch
// comes as several parts, in order.
type Transaction struct {
	// Commit is the start of the commit record, known from BEGIN on.
	Commit LSN
	// End is the end of the commit record, set on the last part only: the LSN that may be confirmed.
	End LSN
	// Begin is the LSN that BEGIN carried: that of the transaction's first change.
	Begin LSN
	// Time is the commit time in microseconds since 1970; of snapshot rows the time of the read.
	Time int64
	XID  uint32
	// FullXID is a snapshot's 64-bit transaction id; 0 for a streamed transaction.
	FullXID   uint64
	Origin    string
	OriginLSN LSN
	// LastCommit is the End of the transaction before, 0 when this is the first since the slot was made.
	LastCommit LSN
	// First and Last say whether this part begins and ends the transaction.
	First, Last bool
	Changes     []Change
}

// Batch is a run of transactions in commit order, and the memory that their rows point into. Whoever receives
// it from the channel owns it until Release.
type Batch struct {
	Transactions []Transaction
	// Confirm is the LSN that may be confirmed to Postgres once this batch and all before it are
	// durable; 0 when the batch ends inside a transaction and confirms nothing. A batch of a Confirm
	// alone is a keepalive.
	Confirm LSN
	// Urgent says that the server waits for Confirm, as it does when it shuts down: store it without delay.
	Urgent bool
	// Progress is the snapshot's progress up to and including this batch as JSON, nil when it says nothing
	// new. The publisher stores it with the position and reads nothing in it.
	Progress []byte

	// Covered names the tables whose rows were published, nil when it says nothing new. It may be long, so
	// it is stored beside the position and only when it changes.
	Covered []byte

	// The memory that rows and changes stand in, and how many bytes of it are used.
	bytes   slab[byte]
	datums  slab[schema.Datum]
	changes slab[Change]
	used    int
	// limit is the pool's BatchBytes, 0 for a batch without a pool.
	limit int
	// large says that something was too large for a slab.
	large bool
	// open says that the last of Transactions is the one that the Decoder is in.
	open bool
	// adopting says that the memory of the message that is being decoded may be kept instead of copied, and
	// adopted that it was.
	adopting, adopted bool
	// heavy is what the batch carries of what its pool has admitted, see room.go.
	heavy int
	pool  *Pool // nil for a batch without one

	release func(*Batch)
}

// Release gives the batch's memory back to its maker. Nothing that it held may be touched afterwards; a
// second Release does nothing.
func (b *Batch) Release() {
	if release := b.release; release != nil {
		b.release = nil
		release(b)
	}
}

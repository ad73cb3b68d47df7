// Package audit holds a log of records against what they should say: a topic folded by key against the
// table that it was made from, and the records of each partition against the ledger of the pipeline that
// wrote them.
//
// # The comparison
//
// A row of the table goes through the same codec that the pipeline writes with, since nothing else knows
// the configured form of a value, and what comes out is read back with the decoder that reads the topic.
// That decoder is another library than the one that encoded: a mistake in how a datum is put into bytes
// shows. What a value's form should be, it cannot know: that is held by the recordings that package schema
// is tested against. Columns are compared by name, by a 32-bit hash of each value, with a seed of each
// run's own. So rows whose schemas differ in other columns, or in a promotion such as int to long, still
// compare. Partitions are worked out by the Kafka client's partitioner, and sums over records by code that
// shares nothing with the pipeline's.
//
// # What is counted when
//
// The cut is a snapshot of the database. A streamed record counts iff its transaction is visible in it
// (Cut.Sees). The log's transaction ids have 32 bits; the commit time tells one epoch of them from another.
// A snapshot's row carries the 64-bit xmax of the snapshot that it was read under, and counts iff nothing
// that began behind the cut can be in it. A tombstone counts iff the delete before it does.
//
// # What it cannot see
//
//   - A column added with a default, or changed in type, rewrites no record: rows whose last record is
//     older are compared in the columns that it has, and counted; of another type they differ. So does a
//     row whose last record tells of a dropped column, when another of its name and type was added.
//   - A truncate that the pipeline was told to leave out leaves its rows in the log: they are extra.
//   - A table without a key compares as a multiset of rows, while the log has nothing but inserts of it;
//     else it is reported as not comparable.
//   - Records that a rewind repeated, or that at-least-once did, are counted and fail nothing. Those that
//     stand among the records of a later run must be changes that the windows around them have too.
//
// # Guarantees
//
// Memory is bounded by Spill's buffers and one bucket of keys, whatever the number of rows: what does not
// fit lies in a file that has no name. Nothing here touches a network or a database. Errors hold no value
// of a row; a Table's samples hold keys.
//
// # Ownership
//
// Nothing here is safe for concurrent use, and nothing starts a goroutine. A Record is valid until the next
// one is read by the same Reader. A Spill's file is its maker's to close.
package audit

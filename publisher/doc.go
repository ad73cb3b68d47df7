// Package publisher writes changes to Kafka and says what of them Postgres may forget.
//
// # Guarantees
//
//  1. Confirmed never passes a change whose records are not acknowledged by all in-sync replicas, nor a
//     position that is not stored. TestCrashAtEveryStep kills the publisher behind each step.
//  2. In exactly-once mode a read_committed consumer sees each record once: a window's records, its position
//     and its ledger record are one Kafka transaction, and a restart goes on behind the stored position.
//     In at-least-once mode a restart repeats a suffix of the log.
//  3. Records of one partition stand in commit order. The partition of a key is the Java producer's.
//  4. What one change makes (delete and tombstone, the three records of a key change, the tables of a
//     truncate) shares a delivery window. A transaction shares one unless it alone exceeds the limits of
//     one.
//  5. Whoever holds an older producer id can write nothing more once Open has returned, in exactly-once mode.
//     In at-least-once mode nothing is sent once Options.MaySend says no.
//  6. Memory is bounded by windows of an eighth of WindowRecords and WindowBytes, or of one batch where
//     that is more: 19 in exactly-once mode, 8 in at-least-once.
//  7. Errors hold no value of any row.
//
// # Ownership
//
// Run encodes on the goroutine that calls it, and delivers on one more, which it waits for. A batch is
// released when it is encoded: its values are copied into the window. A window goes from one goroutine to the
// other through a channel and comes back through another; Kafka's client reads its memory until the last
// promise is called. Kafka's promises run on the client's goroutine and touch nothing but the Frontier, or
// the counter that they meet in.
//
// A delivery window, which has one position and one ledger record, is one or several windows: under load the
// first are on their way while the others are encoded. Only its end has a turn-around of the broker in it,
// and meanwhile the windows of the next one fill.
//
//	batches -> encoder -> full -> delivery -> Kafka
//	              ^                  |
//	              +------ free ------+
//
// # What is stored
//
// The position is one JSON record in a compacted topic, key "pipeline/slot" (see Stored). The ledger is one
// JSON record for each window (see LedgerRecord), key "pipeline/slot/window". The transactional.id is
// "tributary/pipeline/slot".
package publisher

// Package snapshot reads the rows that were there before the stream begins.
//
// # Guarantees
//
//  1. Run delivers exactly the rows that are visible at the consistent point of the slot whose exported
//     snapshot the Keeper imported: those of transactions whose commit record starts below Point.
//  2. No user table is read before the guard has passed: an ordinary session sees every transaction as
//     finished that the slot's snapshot counts as finished. See guard.go for what happens otherwise.
//  3. Every transaction that reads rows proves that it sees the keeper's snapshot, and that its table was not
//     rewritten or truncated since: a rewritten table looks empty to an older snapshot.
//  4. A row of a table that is read in key order is delivered once, also by a run that resumes from a
//     Progress under a later snapshot. A table without a usable key that was not finished starts again.
//  5. Locks are those of a SELECT, and are held for one range of one table at a time.
//
// # Ownership
//
// Run owns the connections that it makes, and the goroutines: one for each worker. It closes neither the
// channel nor the Keeper. A batch belongs to whoever receives it from the channel. Catalog owns one
// connection and is safe for use by many goroutines; the relations that it returns are immutable and
// shared.
//
// # How a table is read
//
//	keyed, at most ResumeRows    one SELECT ... ORDER BY key
//	keyed, larger                SELECT ... WHERE key > a AND key <= b ORDER BY key, one for each range;
//	                             a range resumes behind the last key that was delivered
//	no usable key, Postgres 14+  SELECT ... WHERE ctid >= a AND ctid < b, one for each range of one snapshot
//	no usable key, Postgres 13   one SELECT: a ctid range would be a scan of the whole table there
//
// Keys are compared by the server only, under the collation of the index. Their values travel as text.
package snapshot

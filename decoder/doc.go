// Package decoder turns replication bytes into changes in commit order.
//
// # Guarantees
//
//  1. Changes leave in commit order: a Position is never below one that left before it in the session. A
//     message that would break the order is an error.
//  2. Every change of a captured table leaves, and under the same Position whenever it is decoded again:
//     ordinals count what the server sent, not what was kept of it.
//  3. What the server did not send is not made up. A TOASTed value that an update did not touch is
//     schema.Unchanged unless the old tuple has it, a column outside of a key-only old tuple is
//     schema.Absent; neither is null.
//  4. Confirm is never beyond what has left: the end of a commit record, of a message's record, or,
//     outside of a transaction, a keepalive's WAL end.
//  5. No input makes the Decoder panic, read past its end, or take more memory than a small multiple of it.
//     Malformed input is an error that names message, table, column and LSN, and no value; after it the
//     Decoder decodes nothing more and confirms nothing more.
//  6. Decoding a row makes no garbage: its bytes are copied once, and values point into the copy.
//
// # Ownership
//
// A Batch owns the memory that its rows, values and changes stand in. One goroutine at a time owns the
// batch: the one that fills it, then whoever received it from the channel. Release gives the memory back
// to the Pool, which hands it out again; nothing of a released batch may be touched. A *schema.Relation
// belongs to nobody, is never changed, and stays valid. The Decoder belongs to the goroutine that calls it
// and keeps nothing of the bytes that it is given.
//
// # Two lanes
//
// A Stream that is far behind (StreamOptions.CatchUp) reads the same messages in another way: as the rows of
// pg_logical_slot_get_binary_changes, in rounds of some hundred thousand, on a temporary copy of the slot.
// The server then sends them by the buffer and not one by one, at a multiple of the rate and a fraction of
// its CPU. The main connection stays open meanwhile, unread and answered:
//
//	main slot   ---- streams ----|---- held, confirmed, not read ----|---- streams ---->
//	copy                         |==round==|==round==| ... |==round==|  and is gone
//
// It is exactly as safe as streaming:
//
//   - Both lanes are the same plugin over the same WAL from the same slot state, so they send the same
//     messages in the same order, under the same LSNs; one kind of Decoder decodes them. A lane is left, and
//     the other taken, between two transactions only, and the Decoder of the other drops what commits below
//     the end of the last transaction that has come, by the rule by which the server itself cuts off at a
//     start position.
//   - Reading the copy moves the copy, at the end of each call, before anything of it is published. The main
//     slot, which alone survives a crash, is moved by nothing but the statuses on its connection, with what
//     is durable in Kafka. A crash loses the copy, and the next start reads again from there.
//   - The main connection is the lock that keeps other instances out, in this lane as in the other.
//   - The end of a call says, as a keepalive does, up to where everything has come: all that commits before
//     it.
//   - A call that fails does so before its first row, since the server collects the whole result first; the
//     live lane then goes on from there. A connection that breaks inside of a transaction ends the stream.
//   - While the main slot's walsender is blocked the slot keeps its WAL. So every CatchUpOptions.Reopen
//     bytes, and before the way back, its connection is closed and opened again at the confirmed position:
//     only when all that has left is durable, so that whoever takes the slot in that moment begins behind
//     it. Then, or when the slot was moved meanwhile, the stream ends as with any slot that another has
//     taken.
//   - A failover slot is not read beyond what the standbys in synchronized_standby_slots have confirmed,
//     short of it by a megabyte, since a call ends with the record that reaches its limit. Of a call that has
//     still come further nothing is taken. Where they lag the live lane waits for them.
//   - A call that nobody reads on, as while Kafka is down, holds the server's xmin, and with it back vacuum.
//     After a minute it is ended. The main connection stays, and reading begins again there when something is
//     taken, or with another session if a part of a transaction has left.
//
// Each call decodes again from the copy's restart LSN. So a round reads as much as that is away, at least 64
// MiB and at most 1 GiB of WAL, and a copy whose restart LSN lies more than 2 GiB back, as behind a
// transaction that has been open for long, is left for the live lane. A transaction is never divided: the
// round that it commits in has all of it, in the server's work_mem or its temporary files; rows are read as
// they come.
//
// # Protocol
//
// A session speaks pgoutput's protocol version 1, where a transaction is sent whole, once it has committed:
//
//	B [O] { [Y ...] [R] I | U | D | T | M } ... C        a transaction
//	M                                                    a message outside of a transaction
//
// Each message comes in a frame of the streaming replication protocol, which the Stream takes off:
//
//	+---+-----------+---------+-----------+---------------+
//	| w | start LSN | WAL end | time      | message       |
//	| 1 | 8         | 8       | 8         | kind 1, rest  |
//	+---+-----------+---------+-----------+---------------+
//
// The start LSN is, by kind of message:
//
//	B            that of the transaction's first change; 0 when an O follows, which then has it
//	I U D T      that of the change's own record. Rows of one COPY share it, and it runs backwards between
//	             transactions that overlapped: it orders nothing
//	M            the end of the message's record
//	C            the end of the commit record
//	R Y          0
//
// Numbers are big-endian, strings end with a NUL, times count microseconds from 2000. The layouts stand
// beside the functions that parse them, in message.go. The chapter is "Logical Replication Message
// Formats" of the Postgres manual; what it leaves unsaid:
//
//   - A table's R comes before its first row in a session and again after whatever may have changed the
//     table, with or without a difference; then rows have the new shape. Under publish_via_partition_root
//     the R of the root and of each leaf come, rows only under the root.
//   - In a K tuple every column outside of the identity is null. With identity full R flags every column.
//   - U has a K tuple if the identity's values changed, or if one of them is stored out of line: then N
//     may lack the key itself.
//   - Y of a domain has the domain's OID and the base type's name.
//   - Servers before 15 send B and C also for transactions that touched nothing published.
//   - A commit record may begin exactly where the one before ended: to confirm one byte more than an end LSN
//     loses that transaction.
package decoder

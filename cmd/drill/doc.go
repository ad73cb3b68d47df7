// Command drill proves what tributary promises while everything around it fails: nothing lost, nothing
// doubled, in order. It runs a random workload against a Postgres of its own, draws faults by a seed, and
// after each round compares the topics with a journal that triggers wrote in the same transactions as the
// rows.
//
//	drill -binary bin/tributary -seed 7 -rounds 20 -delivery exactly-once
//
// Without -kafka and -registry both run in this process; the faults that need their processes are then not
// drawn. About every second pipeline has a server with a standby, of Postgres 17 or later, that is promoted
// again and again; two of three read through SQL when they are a MiB behind, and are struck there too. Each
// round appends one JSON line to the file of -out, and a run with the same seed goes on behind the last line.
//
// # Guarantees
//
//  1. The faults of a round, their order, their pauses and the statements of each writer follow from the seed
//     and the round's number alone. Where in the program a fault strikes does not: a failing seed is run
//     again.
//  2. The audit shares no code with tributary: it reads Kafka and the registry by itself, decodes with
//     another library than the one that encodes, and takes its truth from the journal.
//  3. wal_sender_timeout is 4 s and the transaction timeout 5 s, so that a stopped process outlasts all of
//     them.
//  4. What the drill started has ended when it returns: servers, proxies and every tributary.
//
// # Ownership
//
// One goroutine runs rounds, and starts the writers and the faults of a round and waits for them. A fleet
// belongs to that goroutine and to the faults, which lock it. The audit runs when neither writers nor faults
// do.
package main

// Package local starts the servers that tests and the demo need on this machine: a Postgres, an in-process
// Kafka and an in-process schema registry; or finds the real ones that the environment names.
//
// # Guarantees
//
//  1. Everything listens on 127.0.0.1 and on a port that was free.
//  2. A Postgres server ends with the process that started it, however that process ends, and its data
//     directory goes with it: a small watcher waits for the end of a pipe that only this process holds open.
//  3. Nothing runs as root: a process of root starts Postgres as the user nobody.
//  4. A test whose real server is not named is skipped and says which variable would name it; where
//     TRIBUTARY_TEST_REQUIRED is set, it fails instead.
//  5. A database made by Database is dropped at the end of its test, with its replication slots.
//
// # Ownership
//
// Postgres gives one server per process, made by the first test that asks and shared by all of them; it keeps
// its write-ahead log in the same order for all, so that a test should ask for a database of its own. What a
// Start function returns belongs to the caller, who stops it.
//
// # Where things are
//
// The server's program comes from Maven Central at first use, about 15 MB, and is unpacked once: under the
// user's cache directory, for root under /var/cache, where nobody can read it too. TRIBUTARY_TEST_CACHE names
// another directory. Data directories are in the directory for temporary files.
//
// This package is for tests and the demo: the released program does not import it.
package local

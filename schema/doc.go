// Package schema says what a table and its rows look like, and writes their Avro and JSON forms.
//
// A Relation is one version of a table; Compile turns it, once, into a Codec, which then appends a key and
// a value for each change. In between stands one tree of nodes, the Connect schema that Debezium would
// have built: the schema's text, the unions in the datum and the JSON form all follow from it, and one
// table of types says what node a Postgres type gets and how its text is written.
//
// # Guarantees
//
//  1. With Options.Debezium set, schema text and datum are byte for byte what the Debezium PostgreSQL
//     connector 3.6.1 writes through Confluent's AvroConverter or Kafka's JsonConverter for the same row.
//     testdata/golden holds recordings of it, and TestGolden rebuilds them.
//  2. Without it the schemas are the same, and a value is written as Postgres has it or not at all: what
//     its schema cannot carry is a *ValueError, or null where Options.Unrepresentable says so.
//  3. On an error dst holds what it held before; there is no half-written datum.
//  4. Writing a row allocates nothing but the growth of dst, for all but a few rare types.
//  5. No error holds a row's value.
//
// # Ownership
//
// A Relation is immutable and may be shared. A Codec keeps scratch memory and must not be used by two
// goroutines at a time; it keeps nothing of the rows it was given. Everything here but the Registry is
// pure: no clock, no context, no logger, no goroutine.
package schema

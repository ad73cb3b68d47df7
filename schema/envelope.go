package schema

import "strconv"

// Op is the operation that an Envelope tells of, by the letter that it carries.
type Op byte

// The operations.
const (
	OpRead     Op = 'r'
	OpCreate   Op = 'c'
	OpUpdate   Op = 'u'
	OpDelete   Op = 'd'
	OpTruncate Op = 't'
	OpMessage  Op = 'm'
)

// Marker is source.snapshot: whether, and where in a snapshot, a record stands.
type Marker uint8

// The markers; MarkerNone is a streamed change.
const (
	MarkerNone Marker = iota
	MarkerTrue
	MarkerFirst
	MarkerFirstInTable
	MarkerLastInTable
	MarkerLast
	MarkerIncremental
)

// Envelope is the Debezium view of a change: before, after, source, op, times.
type Envelope struct {
	Op            Op
	Before, After Row // nil is null
	Source        Source
	// Transaction is the transaction block; the zero value writes null.
	Transaction Transaction
	// Time is when the envelope was built, in nanoseconds since 1970.
	Time int64
}

// Source is what varies in an envelope's source block. LSNs are plain numbers here: the package that
// gives them their type imports this one.
type Source struct {
	// Time is the commit time, or the time of the snapshot's read, in microseconds since 1970.
	Time     int64
	Snapshot Marker
	// LSN is the change's own WAL position; 0 writes null, as Debezium does for an incremental snapshot's
	// rows.
	LSN uint64
	// LastCommit is the end LSN of the transaction before this one, sequence's first part; 0 when unknown.
	LastCommit uint64
	// TxID is the transaction's id; HasTxID false writes null.
	TxID    int64
	HasTxID bool
	// XMin is the slot's catalog_xmin; 0 writes null.
	XMin int64
	// Origin is the replication origin's name, empty for a local transaction; OriginLSN its commit LSN.
	Origin    string
	OriginLSN uint64
}

// Transaction is an envelope's transaction block.
type Transaction struct {
	// TxID and LSN make the block's id, "txid:lsn".
	TxID uint32
	LSN  uint64
	// TotalOrder and CollectionOrder count the transaction's changes and those of this table, from 1;
	// a TotalOrder of 0 writes the whole block as null.
	TotalOrder, CollectionOrder int64
}

// The nodes of the optional fields around a row.
var (
	optionalLong   = &node{kind: nodeInt64, optional: true}
	optionalString = &node{kind: nodeString, optional: true}
	requiredLong   = &node{kind: nodeInt64}
	requiredString = &node{kind: nodeString}
)

// transactionNode is the transaction block's schema, the same in every envelope.
var transactionNode = &node{
	kind: nodeStruct, name: "event.block", version: 1, optional: true,
	fields: []field{
		{"id", requiredString},
		{"total_order", requiredLong},
		{"data_collection_order", requiredLong},
	},
}

// envelopeNode returns the schema of a value around the row's.
func envelopeNode(name string, row *node) *node {
	return &node{kind: nodeStruct, name: name, version: 2, fields: []field{
		{"before", row},
		{"after", row},
		{"source", sourceNode},
		{"transaction", transactionNode},
		{"op", requiredString},
		{"ts_ms", optionalLong},
		{"ts_us", optionalLong},
		{"ts_ns", optionalLong},
	}}
}

// appendEnvelope appends an envelope.
func (c *Codec) appendEnvelope(w *writer, e *Envelope) error {
	w.structBegin()
	w.fieldName(0, "before")
	if err := c.appendSide(w, e.Before); err != nil {
		return err
	}
	w.fieldName(1, "after")
	if err := c.appendSide(w, e.After); err != nil {
		return err
	}
	w.fieldName(2, "source")
	c.source.append(w, &e.Source)
	w.fieldName(3, "transaction")
	e.Transaction.append(w)
	w.fieldName(4, "op")
	e.Op.append(w)
	w.fieldName(5, "ts_ms")
	w.optionalInteger(floorDiv(e.Time, 1_000_000))
	w.fieldName(6, "ts_us")
	w.optionalInteger(floorDiv(e.Time, 1_000))
	w.fieldName(7, "ts_ns")
	w.optionalInteger(e.Time)
	w.structEnd()
	return nil
}

// appendSide appends before or after.
func (c *Codec) appendSide(w *writer, row Row) error {
	if row == nil {
		w.null(optionalLong) // an optional node without a default, like a side
		return nil
	}
	w.present(optionalLong)
	return c.appendRow(w, c.row, row)
}

// append appends the operation's letter.
func (o Op) append(w *writer) {
	w.scratch = append(w.scratch[:0], byte(o))
	w.text(w.scratch)
}

// append appends the transaction block, or its null.
func (t *Transaction) append(w *writer) {
	if t.TotalOrder == 0 {
		w.null(transactionNode)
		return
	}
	w.present(transactionNode)
	w.structBegin()
	w.fieldName(0, "id")
	w.transactionID(t.TxID, t.LSN)
	w.fieldName(1, "total_order")
	w.integer(t.TotalOrder)
	w.fieldName(2, "data_collection_order")
	w.integer(t.CollectionOrder)
	w.structEnd()
}

// transactionID writes a transaction's id, "txid:lsn" in decimal.
func (w *writer) transactionID(xid uint32, lsn uint64) {
	w.scratch = strconv.AppendUint(w.scratch[:0], uint64(xid), 10)
	w.scratch = append(w.scratch, ':')
	w.scratch = strconv.AppendUint(w.scratch, lsn, 10)
	w.text(w.scratch)
}

// optionalInteger writes an optional integer without a default that is not null.
func (w *writer) optionalInteger(v int64) {
	w.present(optionalLong)
	w.integer(v)
}

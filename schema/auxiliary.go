package schema

import (
	"encoding/base64"
	"encoding/hex"
)

// The topics beside the tables' own, by what follows or precedes the topic prefix.
const (
	messageTopic      = ".message"
	transactionTopic  = ".transaction"
	heartbeatTopic    = "__debezium-heartbeat."
	commonNamespace   = "io.debezium.connector.common."
	postgresNamespace = "io.debezium.connector.postgresql."
)

// MessageTopic returns the topic of the logical messages.
func MessageTopic(prefix string) string { return prefix + messageTopic }

// TransactionTopic returns the topic of the transactions' begins and ends.
func TransactionTopic(prefix string) string { return prefix + transactionTopic }

// HeartbeatTopic returns the topic of the heartbeats.
func HeartbeatTopic(prefix string) string { return heartbeatTopic + prefix }

// auxiliary is what the codecs of the fixed schemas share. Like a Codec, none of them may be used by two
// goroutines at a time.
type auxiliary struct {
	keyFrame, valueFrame frame
	w                    writer
}

// newAuxiliary returns the forms of a fixed pair of schemas.
func newAuxiliary(o *Options, key, value *node) auxiliary {
	for _, n := range []*node{key, value} {
		n.name, n.version = adjustSchemaName(n.name, o.SchemaNames), 1
	}
	return auxiliary{keyFrame: newFrame(key, o.KeyFormat), valueFrame: newFrame(value, o.ValueFormat)}
}

// KeySchema returns the Avro schema of the key; empty when it is JSON.
func (a *auxiliary) KeySchema() string { return a.keyFrame.avro }

// ValueSchema returns the Avro schema of the value; empty when it is JSON.
func (a *auxiliary) ValueSchema() string { return a.valueFrame.avro }

// Message is a logical message as a record has it.
type Message struct {
	Prefix  string
	Content []byte
	Source  Source
	// Transaction is the transaction block; the zero value writes null.
	Transaction Transaction
	// Time is when the record was built, in nanoseconds since 1970.
	Time int64
}

// MessageCodec writes logical messages, the output of pg_logical_emit_message.
type MessageCodec struct {
	auxiliary
	source sourceRuns
	binary BinaryMode
}

// CompileMessage returns the codec of logical messages.
func CompileMessage(o Options) *MessageCodec {
	content := &node{kind: nodeBytes, optional: true}
	if o.Binary != BinaryBytes {
		content = optionalString
	}
	key := &node{kind: nodeStruct, name: postgresNamespace + "MessageKey", fields: []field{
		{"prefix", optionalString},
	}}
	value := &node{kind: nodeStruct, name: postgresNamespace + "MessageValue", fields: []field{
		{"op", requiredString},
		{"ts_ms", optionalLong},
		{"source", sourceNode},
		{"transaction", transactionNode},
		{"message", &node{kind: nodeStruct, name: postgresNamespace + "Message", version: 1, fields: []field{
			{"prefix", optionalString},
			{"content", content},
		}}},
	}}
	return &MessageCodec{newAuxiliary(&o, key, value), newSourceRuns(&o, "", ""), o.Binary}
}

// AppendKey appends the key of a message: its prefix.
func (c *MessageCodec) AppendKey(dst []byte, prefix string) []byte {
	w := &c.w
	c.keyFrame.begin(w, dst)
	w.structBegin()
	w.fieldName(0, "prefix")
	w.optionalText(prefix)
	w.structEnd()
	return c.keyFrame.end(w)
}

// AppendValue appends the value of a message.
func (c *MessageCodec) AppendValue(dst []byte, m *Message) []byte {
	w := &c.w
	c.valueFrame.begin(w, dst)
	w.structBegin()
	w.fieldName(0, "op")
	OpMessage.append(w)
	w.fieldName(1, "ts_ms")
	w.optionalInteger(floorDiv(m.Time, 1_000_000))
	w.fieldName(2, "source")
	c.source.append(w, &m.Source)
	w.fieldName(3, "transaction")
	m.Transaction.append(w)
	w.fieldName(4, "message")
	w.structBegin()
	w.fieldName(0, "prefix")
	w.optionalText(m.Prefix)
	w.fieldName(1, "content")
	w.present(optionalString)
	w.content(m.Content, c.binary)
	w.structEnd()
	w.structEnd()
	return c.valueFrame.end(w)
}

// content writes a message's bytes as binary.handling.mode has them.
func (w *writer) content(v []byte, mode BinaryMode) {
	switch mode {
	case BinaryBase64:
		w.scratch = base64.StdEncoding.AppendEncode(w.scratch[:0], v)
	case BinaryBase64URL:
		w.scratch = base64.URLEncoding.AppendEncode(w.scratch[:0], v)
	case BinaryHex:
		w.scratch = hex.AppendEncode(w.scratch[:0], v)
	default:
		w.bytes(v)
		return
	}
	w.text(w.scratch)
}

// optionalText writes an optional string without a default that is not null.
func (w *writer) optionalText(v string) {
	w.present(optionalString)
	w.textString(v)
}

// HeartbeatCodec writes heartbeats.
type HeartbeatCodec struct {
	auxiliary
	name string
}

// CompileHeartbeat returns the codec of heartbeats.
func CompileHeartbeat(o Options) *HeartbeatCodec {
	key := &node{kind: nodeStruct, name: commonNamespace + "ServerNameKey", fields: []field{
		{"serverName", requiredString},
	}}
	value := &node{kind: nodeStruct, name: commonNamespace + "Heartbeat", fields: []field{
		{"ts_ms", requiredLong},
	}}
	return &HeartbeatCodec{newAuxiliary(&o, key, value), o.Name}
}

// AppendKey appends the key of every heartbeat: the topic prefix.
func (c *HeartbeatCodec) AppendKey(dst []byte) []byte {
	w := &c.w
	c.keyFrame.begin(w, dst)
	w.structBegin()
	w.fieldName(0, "serverName")
	w.textString(c.name)
	w.structEnd()
	return c.keyFrame.end(w)
}

// AppendValue appends a heartbeat of the given time, in milliseconds since 1970.
func (c *HeartbeatCodec) AppendValue(dst []byte, milliseconds int64) []byte {
	w := &c.w
	c.valueFrame.begin(w, dst)
	w.structBegin()
	w.fieldName(0, "ts_ms")
	w.integer(milliseconds)
	w.structEnd()
	return c.valueFrame.end(w)
}

// TransactionMark is a record of the transaction topic: where a transaction begins or ends.
type TransactionMark struct {
	End bool
	// TxID and LSN make the id, "txid:lsn". Begin and end differ in it: LSN is what BEGIN carried, or
	// the end of the commit record.
	TxID uint32
	LSN  uint64
	// Time is the commit time in microseconds since 1970.
	Time int64
	// Count is the number of the transaction's changes, Collections how many of them each table has,
	// in the order in which they are to be written; of an end only.
	Count       int64
	Collections []CollectionCount
}

// CollectionCount is the number of changes of one table, as schema.table, in one transaction.
type CollectionCount struct {
	Name  string
	Count int64
}

// TransactionCodec writes the records of the transaction topic.
type TransactionCodec struct{ auxiliary }

// collectionNode is the schema of a CollectionCount.
var collectionNode = &node{
	kind: nodeStruct, name: "event.collection", version: 1, optional: true,
	fields: []field{
		{"data_collection", requiredString},
		{"event_count", requiredLong},
	},
}

// collectionsNode is the schema of a transaction's CollectionCounts.
var collectionsNode = &node{kind: nodeArray, optional: true, items: collectionNode}

// CompileTransaction returns the codec of the transaction topic.
func CompileTransaction(o Options) *TransactionCodec {
	key := &node{kind: nodeStruct, name: commonNamespace + "TransactionMetadataKey", fields: []field{
		{"id", requiredString},
	}}
	value := &node{kind: nodeStruct, name: commonNamespace + "TransactionMetadataValue", fields: []field{
		{"status", requiredString},
		{"id", requiredString},
		{"event_count", optionalLong},
		{"data_collections", collectionsNode},
		{"ts_ms", requiredLong},
	}}
	return &TransactionCodec{newAuxiliary(&o, key, value)}
}

// AppendKey appends a mark's key: its id.
func (c *TransactionCodec) AppendKey(dst []byte, m *TransactionMark) []byte {
	w := &c.w
	c.keyFrame.begin(w, dst)
	w.structBegin()
	w.fieldName(0, "id")
	w.transactionID(m.TxID, m.LSN)
	w.structEnd()
	return c.keyFrame.end(w)
}

// AppendValue appends a mark's value.
func (c *TransactionCodec) AppendValue(dst []byte, m *TransactionMark) []byte {
	w := &c.w
	c.valueFrame.begin(w, dst)
	w.structBegin()
	w.fieldName(0, "status")
	if m.End {
		w.textString("END")
	} else {
		w.textString("BEGIN")
	}
	w.fieldName(1, "id")
	w.transactionID(m.TxID, m.LSN)
	w.fieldName(2, "event_count")
	w.nullableInteger(m.Count, m.End)
	w.fieldName(3, "data_collections")
	if m.End {
		w.collections(m.Collections)
	} else {
		w.null(collectionsNode)
	}
	w.fieldName(4, "ts_ms")
	w.integer(floorDiv(m.Time, 1000))
	w.structEnd()
	return c.valueFrame.end(w)
}

// collections writes the counts by table.
func (w *writer) collections(counts []CollectionCount) {
	w.present(collectionsNode)
	w.arrayBegin(len(counts))
	for i := range counts {
		w.item(i)
		w.present(collectionNode)
		w.structBegin()
		w.fieldName(0, "data_collection")
		w.textString(counts[i].Name)
		w.fieldName(1, "event_count")
		w.integer(counts[i].Count)
		w.structEnd()
	}
	w.arrayEnd(len(counts))
}

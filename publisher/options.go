package publisher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// Mode is what a restart may repeat.
type Mode uint8

// The modes.
const (
	// ExactlyOnce writes each window in one Kafka transaction together with its position: a restart repeats
	// nothing that a read_committed consumer sees.
	ExactlyOnce Mode = iota
	// AtLeastOnce writes without transactions: a restart may repeat a suffix.
	AtLeastOnce
)

// String returns the mode as configuration and ledger write it.
func (m Mode) String() string {
	if m == AtLeastOnce {
		return "at-least-once"
	}
	return "exactly-once"
}

// The defaults of Options.
const (
	DefaultPositionTopic = "tributary.positions"
	DefaultLedgerTopic   = "tributary.ledger"

	defaultWindowRecords      = 50_000
	defaultWindowBytes        = 16 << 20
	defaultMaxRecordBytes     = 1_000_012
	defaultTransactionTimeout = 40 * time.Second
	defaultLinger             = 2 * time.Millisecond
	defaultIdleInterval       = 2 * time.Second
)

// Options say what to publish, where to and how. The zero value of an optional field is the default that its
// comment names.
type Options struct {
	// Client reaches the cluster: seed brokers, TLS, SASL, client id, compression. Required. The publisher
	// adds what delivery depends on.
	Client []kgo.Opt
	Mode   Mode

	// Pipeline and Slot name the stored position, the ledger and the transactional.id. Required.
	Pipeline, Slot string
	// Identity is the server's; it is stored with the position.
	Identity Identity
	// Start is where the stream begins when no position is stored: the slot's consistent point or what it has
	// confirmed. It counts as confirmed already.
	Start decoder.LSN
	// Renew says that the slot was made anew: a stored position is of a stream that is gone. It is passed
	// over, and a new epoch begins at Start.
	Renew bool
	// Taken is what another program has published behind Start; nil is nothing. It counts only when no
	// position is stored, or with Renew.
	Taken *Taken
	// Publications and Protocol are stored with a position inside a transaction, which makes sense only under
	// the same ones.
	Publications []string
	Protocol     string
	// Run names this run in positions and context headers; empty makes a random UUID.
	Run string

	// Schema says how rows are written.
	Schema schema.Options
	// Register returns the id of a schema under a subject; it waits while the registry is down. It may be nil
	// only when keys and values are JSON.
	Register func(ctx context.Context, subject, text string) (int, error)

	// Topic names a table's topic. Required. Two tables must not share one unless Shared says so.
	Topic func(namespace, table string) string
	// Shared says that tables may share a topic; nil is none.
	Shared func(topic string) bool
	// SchemaTopic gives the name that a table's schemas are named after; nil is Topic.
	SchemaTopic func(namespace, table string) string
	// MessageTopic, TransactionTopic and HeartbeatTopic; empty is Debezium's name after Schema.Name.
	MessageTopic, TransactionTopic, HeartbeatTopic string
	// Topics says how missing topics are made.
	Topics TopicOptions
	// PositionTopic and LedgerTopic; empty is DefaultPositionTopic and DefaultLedgerTopic.
	PositionTopic, LedgerTopic string

	// NoTombstones leaves out the null value behind each delete.
	NoTombstones bool
	// Skip holds the operations that are not published; nil skips truncates, as Debezium does.
	Skip []schema.Op
	// SkipUnchanged leaves out an update whose full old row equals the new one in all captured columns.
	SkipUnchanged bool
	// Message says whether logical messages of a prefix are published; nil is all of them.
	Message func(prefix string) bool
	// Context puts Debezium's __debezium.context headers on the records of tables.
	Context bool
	// Headers are put on the records of tables too, behind those of Context.
	Headers []kgo.RecordHeader
	// Transactions writes records where transactions begin and end, and numbers their changes.
	Transactions bool
	// Heartbeat is the time between heartbeat records; 0 is none.
	Heartbeat time.Duration
	// XMin returns what source.xmin tells; nil, or 0, is null.
	XMin func() int64

	// WindowRecords and WindowBytes are when a window takes no further transaction, 0 means 50,000 and 16
	// MiB. A transaction is split only when it alone exceeds one of them, so that a window holds at most
	// twice as much.
	WindowRecords, WindowBytes int
	// MaxRecordBytes bounds one record, uncompressed; 0 means 1,000,012, Kafka's own default.
	MaxRecordBytes int
	// TransactionTimeout is how long a crash without a restart holds back read_committed consumers; 0 means
	// 40 s.
	TransactionTimeout time.Duration
	// Linger is how long at-least-once lets a record wait for company; 0 means 2 ms, negative not at all.
	Linger time.Duration
	// IdleInterval is how often an advance without records is stored, and so confirmed; 0 means 2 s.
	IdleInterval time.Duration
	// MaySend, if set, is asked in at-least-once mode: once it returns false nothing more is sent. Without
	// transactions nothing else keeps an instance from writing that lost its slot without knowing.
	MaySend func() bool
	// Holding, if set, says whether the slot is still ours. Only then does losing the producer id to nobody
	// known, as by a transaction timeout, end without a *FencedError.
	Holding func() bool

	// Logger gets the life story; nil is silence.
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
	// Delivered, if set, is told of each window with records that is delivered or fails, from the goroutine that
	// delivers: it must not wait. Setting it costs a little for each window, and nothing for each record but
	// those of transactions that were given a trace.
	Delivered func(d Delivery)

	// Failpoint, if set, is told the name of each step of a window's delivery when it is done: encoded, begun,
	// produced, flushed, storing, committed, confirmed. A test ends the process in it; a release has
	// none.
	Failpoint func(name string)

	// step, if set, is called between the steps of a window's delivery; its error is a crash there.
	step func(step) error
}

// withDefaults returns o with every zero replaced.
func (o Options) withDefaults() Options {
	setDefault(&o.Run, newRun())
	setDefault(&o.MessageTopic, schema.MessageTopic(o.Schema.Name))
	setDefault(&o.TransactionTopic, schema.TransactionTopic(o.Schema.Name))
	setDefault(&o.HeartbeatTopic, schema.HeartbeatTopic(o.Schema.Name))
	setDefault(&o.PositionTopic, DefaultPositionTopic)
	setDefault(&o.LedgerTopic, DefaultLedgerTopic)
	setDefault(&o.WindowRecords, defaultWindowRecords)
	setDefault(&o.WindowBytes, defaultWindowBytes)
	setDefault(&o.MaxRecordBytes, defaultMaxRecordBytes)
	setDefault(&o.TransactionTimeout, defaultTransactionTimeout)
	setDefault(&o.Linger, defaultLinger)
	setDefault(&o.IdleInterval, defaultIdleInterval)
	if o.SchemaTopic == nil {
		o.SchemaTopic = o.Topic
	}
	if o.Skip == nil {
		o.Skip = []schema.Op{schema.OpTruncate}
	}
	if o.XMin == nil {
		o.XMin = func() int64 { return 0 }
	}
	if o.MaySend == nil {
		o.MaySend = func() bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	if o.step == nil {
		failpoint := o.Failpoint
		o.step = func(at step) error {
			failpoint(string(at))
			return nil
		}
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate returns everything that is missing.
func (o *Options) validate() error {
	var errs []error
	miss := func(missing bool, name string) {
		if missing {
			errs = append(errs, fmt.Errorf("publisher option %s: missing", name))
		}
	}
	miss(len(o.Client) == 0, "Client")
	miss(o.Pipeline == "", "Pipeline")
	miss(o.Slot == "", "Slot")
	miss(o.Topic == nil, "Topic")
	avro := o.Schema.KeyFormat == schema.Avro || o.Schema.ValueFormat == schema.Avro
	miss(o.Register == nil && avro, "Register")
	return errors.Join(errs...)
}

// newRun returns a random UUID.
func newRun() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// positionKey is the key of the pipeline's record in the position topic.
func (o *Options) positionKey() string { return o.Pipeline + "/" + o.Slot }

// coveredSuffix ends the key of the record that holds Stored.Covered, in the position topic too.
const coveredSuffix = "/tables"

// transactionalID is what Kafka fences by: whoever takes it ends the transactions of whoever had it.
func (o *Options) transactionalID() string { return "tributary/" + o.positionKey() }

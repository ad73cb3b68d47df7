package publisher

import (
	"context"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// messageStats is the name under which logical messages are counted.
const messageStats = "logical message"

// auxiliary is a topic beside the tables' own. It is made when its first record is.
type auxiliary struct {
	name, owner            string
	topic                  *topic
	keyPrefix, valuePrefix []byte
}

// ensure makes the topic and registers its schemas.
func (a *auxiliary) ensure(ctx context.Context, t *tables, keySchema, valueSchema string) (err error) {
	if a.topic != nil {
		return nil
	}
	t.pulse.rest()
	defer t.pulse.work()
	to, err := t.topics.ensure(ctx, a.name, a.owner)
	if err != nil {
		return err
	}
	if a.keyPrefix, err = t.prefix(ctx, a.name+"-key", keySchema); err != nil {
		return err
	}
	if a.valuePrefix, err = t.prefix(ctx, a.name+"-value", valueSchema); err != nil {
		return err
	}
	a.topic = to
	return nil
}

// auxiliaries are the records that tell of no row: logical messages, transactions' ends, heartbeats.
type auxiliaries struct {
	tables *tables

	message, transaction, heartbeat auxiliary

	messages     *schema.MessageCodec
	transactions *schema.TransactionCodec
	heartbeats   *schema.HeartbeatCodec
}

// newAuxiliaries returns those of a run.
func newAuxiliaries(o *Options, t *tables) *auxiliaries {
	return &auxiliaries{
		tables:       t,
		message:      auxiliary{name: o.MessageTopic, owner: "logical messages"},
		transaction:  auxiliary{name: o.TransactionTopic, owner: "transaction records"},
		heartbeat:    auxiliary{name: o.HeartbeatTopic, owner: "heartbeats"},
		messages:     schema.CompileMessage(o.Schema),
		transactions: schema.CompileTransaction(o.Schema),
		heartbeats:   schema.CompileHeartbeat(o.Schema),
	}
}

// appendMessage appends a logical message whose source b has set.
func (a *auxiliaries) appendMessage(ctx context.Context, w *window, b *builder, t *decoder.Transaction,
	c *decoder.Change,
) error {
	to := &a.message
	if err := to.ensure(ctx, a.tables, a.messages.KeySchema(), a.messages.ValueSchema()); err != nil {
		return err
	}
	w.changes = append(w.changes, change{
		first: w.n, table: a.tables.statsOf(messageStats, to.name), op: c.Op,
		position: decoder.Position{Commit: t.Commit, Ordinal: c.Ordinal},
	})
	b.numberMessage(c)
	r := w.next()
	r.Key = w.slabs.keep(a.messages.AppendKey(append(w.slabs.room(), to.keyPrefix...), c.Prefix))
	r.Value = w.slabs.keep(a.messages.AppendValue(append(w.slabs.room(), to.valuePrefix...), &schema.Message{
		Prefix: c.Prefix, Content: c.Content, Source: b.envelope.Source,
		Transaction: b.envelope.Transaction, Time: b.envelope.Time,
	}))
	w.add(r, to.topic, b.at)
	return nil
}

// appendMark appends where a transaction begins or ends.
func (a *auxiliaries) appendMark(ctx context.Context, w *window, m *schema.TransactionMark,
	at time.Time,
) error {
	to := &a.transaction
	err := to.ensure(ctx, a.tables, a.transactions.KeySchema(), a.transactions.ValueSchema())
	if err != nil {
		return err
	}
	w.changes = append(w.changes, change{first: w.n})
	r := w.next()
	r.Key = w.slabs.keep(a.transactions.AppendKey(append(w.slabs.room(), to.keyPrefix...), m))
	r.Value = w.slabs.keep(a.transactions.AppendValue(append(w.slabs.room(), to.valuePrefix...), m))
	w.add(r, to.topic, at)
	return nil
}

// appendHeartbeat appends a heartbeat, always to partition 0.
func (a *auxiliaries) appendHeartbeat(ctx context.Context, w *window, at time.Time) error {
	to := &a.heartbeat
	if err := to.ensure(ctx, a.tables, a.heartbeats.KeySchema(), a.heartbeats.ValueSchema()); err != nil {
		return err
	}
	// Partition 0 whatever the key: a heartbeat's topic counts as having one.
	to.topic.partitions = 1
	w.changes = append(w.changes, change{first: w.n})
	r := w.next()
	r.Key = w.slabs.keep(a.heartbeats.AppendKey(append(w.slabs.room(), to.keyPrefix...)))
	r.Value = w.slabs.keep(a.heartbeats.AppendValue(append(w.slabs.room(), to.valuePrefix...), at.UnixMilli()))
	w.add(r, to.topic, at)
	w.beat = at
	return nil
}

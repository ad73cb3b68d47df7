package publisher

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
)

// trialSchema is the schema id in a trial's records: the registry is asked for none.
const trialSchema = 1

// Trial runs the publisher's stages one at a time, so that each can be measured: it encodes batches, and
// produces what was encoded, as often as is wanted. All records go to one topic, which the trial makes, and
// removes when it is closed. No position is stored, no schema registered, nobody fenced. It belongs to one
// goroutine.
type Trial struct {
	p       *Publisher
	e       *encoder
	topic   string
	windows []*window // what Keep has encoded
}

// OpenTrial prepares a trial that writes to topic, which must not exist. Options.Pipeline must be nobody's:
// in exactly-once mode the transactional.id is named after it.
func OpenTrial(ctx context.Context, o Options, topic string) (*Trial, error) {
	if o.SchemaTopic == nil {
		o.SchemaTopic = o.Topic
	}
	o.Topic = func(string, string) string { return topic }
	o.Shared = func(string) bool { return true }
	o.Register = func(context.Context, string, string) (int, error) { return trialSchema, nil }
	o.Message = func(string) bool { return false }
	o.Transactions, o.Metrics, o.Failpoint = false, nil, nil
	if err := o.validate(); err != nil {
		return nil, err
	}
	p := &Publisher{o: o.withDefaults()}
	p.whole = limits{p.o.WindowRecords, p.o.WindowBytes}
	// The encoder's windows are taken from it after each batch.
	p.part = limits{math.MaxInt, math.MaxInt}
	admin, err := kgo.NewClient(p.o.Client...)
	if err != nil {
		return nil, fmt.Errorf("make the Kafka client: %w", err)
	}
	p.admin, p.topics = admin, newTopics(&p.o, admin)
	if err := p.connect(); err != nil {
		admin.Close()
		return nil, err
	}
	t := &Trial{p: p, topic: topic}
	if err := t.open(ctx); err != nil {
		return nil, errors.Join(err, t.Close(context.WithoutCancel(ctx)))
	}
	return t, nil
}

// open does what OpenTrial waits for.
func (t *Trial) open(ctx context.Context) error {
	if _, err := t.p.topics.ask(ctx, t.topic); err == nil {
		topic := t.topic
		t.topic = "" // it is somebody's, and stays
		return &TopicError{Topic: topic, Err: errors.New("it exists, and a trial wants one of its own")}
	}
	if err := t.p.fence(ctx); err != nil {
		return err
	}
	t.e = newEncoder(t.p, nil, nil, math.MaxInt)
	t.e.whole = t.p.part
	return t.e.take(ctx)
}

// Encode encodes a batch and throws the records away. It returns how many there were. The batch stays the
// caller's.
func (t *Trial) Encode(ctx context.Context, b *decoder.Batch) (records int, err error) {
	if err := t.encode(ctx, b); err != nil {
		return 0, err
	}
	records = t.e.w.n
	t.e.w.reset()
	return records, nil
}

// Keep encodes a batch and keeps the records for Produce.
func (t *Trial) Keep(ctx context.Context, b *decoder.Batch) error {
	if err := t.encode(ctx, b); err != nil {
		return err
	}
	if t.e.w.n == 0 {
		return nil
	}
	t.windows = append(t.windows, t.e.w)
	t.e.w = new(window)
	return nil
}

// encode fills the encoder's window.
func (t *Trial) encode(ctx context.Context, b *decoder.Batch) error {
	for i := range b.Transactions {
		encode := t.e.transaction
		if isSnapshot(&b.Transactions[i]) {
			encode = t.e.rows
		}
		if err := encode(ctx, &b.Transactions[i]); err != nil {
			return err
		}
	}
	return nil
}

// Produce produces what is kept, again and again, until so many records are acknowledged. In exactly-once
// mode they are in transactions of a delivery window's size, without a position. It returns how many there
// were.
func (t *Trial) Produce(ctx context.Context, records int) (made int, err error) {
	f := flights{t: t, exactly: t.p.o.Mode == ExactlyOnce}
	for i := 0; made < records && len(t.windows) > 0; i++ {
		w := t.windows[i%len(t.windows)]
		if err := f.send(ctx, w); err != nil {
			return made, err
		}
		made += w.n
	}
	return made, f.land(ctx)
}

// Close removes the topic and ends the connections.
func (t *Trial) Close(ctx context.Context) error {
	defer t.p.Close()
	if t.topic == "" || t.p.topics.byName[t.topic] == nil {
		return nil
	}
	answer, err := t.p.topics.admin.DeleteTopics(ctx, t.topic)
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		return fmt.Errorf("remove topic %s: %w", t.topic, err)
	}
	return nil
}

// flights are a trial's windows on their way.
type flights struct {
	t       *Trial
	exactly bool
	acks    []*produced
	records int // of the transaction
	size    int
}

// send produces a window once no more than the others are on their way.
func (f *flights) send(ctx context.Context, w *window) error {
	if f.exactly && len(f.acks) == 0 {
		if err := f.t.p.client.BeginTransaction(); err != nil {
			return fmt.Errorf("begin a transaction: %w", err)
		}
	}
	// A record may be given to the client again only when its promise was called.
	for len(f.acks) >= min(atLeastWindows, len(f.t.windows)) && !f.exactly {
		if err := f.settle(ctx); err != nil {
			return err
		}
	}
	acks := expecting(w.n)
	for i := range w.n {
		f.t.p.client.Produce(ctx, w.record(i), acks.promise)
	}
	f.acks = append(f.acks, acks)
	f.records, f.size = f.records+w.n, f.size+w.size
	if f.exactly && (len(f.acks) == len(f.t.windows) || f.t.p.whole.reached(f.records, f.size)) {
		return f.land(ctx)
	}
	return nil
}

// settle waits for the window that was sent first.
func (f *flights) settle(ctx context.Context) error {
	failed := f.acks[0].wait(ctx)
	f.acks = f.acks[1:]
	if failed != nil {
		return fmt.Errorf("produce to topic %s: %w", f.t.topic, failed.err)
	}
	return nil
}

// land waits for all that was sent, and ends the transaction.
func (f *flights) land(ctx context.Context) error {
	if len(f.acks) == 0 {
		return nil
	}
	if err := f.t.p.client.Flush(ctx); err != nil {
		return fmt.Errorf("produce to topic %s: %w", f.t.topic, err)
	}
	for len(f.acks) > 0 {
		if err := f.settle(ctx); err != nil {
			return err
		}
	}
	f.records, f.size = 0, 0
	if !f.exactly {
		return nil
	}
	if err := f.t.p.commit(ctx); err != nil {
		return fmt.Errorf("commit to topic %s: %w", f.t.topic, err)
	}
	return nil
}

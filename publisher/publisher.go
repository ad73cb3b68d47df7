package publisher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
)

const (
	// deliveryParts is how many windows make up the limits of a delivery window, so that its first records
	// are on their way while the others are encoded.
	deliveryParts = 8
	// exactWindows is the most windows that there are in exactly-once mode: those that are held until their
	// transaction is committed, and some to fill meanwhile. A Postgres transaction may need nearly twice
	// deliveryParts until one of the two limits is reached, when some are full of records and some of bytes.
	exactWindows = 2*deliveryParts + 3
	// atLeastWindows is how many there are in at-least-once mode, where each is free once it is acknowledged.
	atLeastWindows = deliveryParts
	// exactLinger is how long exactly-once lets a batch fill: the end of a window flushes it, and it bounds
	// only how long the broker waits for the first records of a large one. It is to see few requests of a
	// transaction: while it adds the partitions of one to the transaction it puts off those of the next, and
	// each of those is then tried again by itself, after a pause.
	exactLinger = 100 * time.Millisecond
	// concurrentBackoff is the pause while the broker still ends the transaction before. Kafka's client waits
	// 20 ms by default, more than the broker needs.
	concurrentBackoff = 2 * time.Millisecond
	// metadataPause is how soon the client asks again for a topic that its broker did not know yet; its own
	// 5 s would delay the first records of every new topic.
	metadataPause = 100 * time.Millisecond
	// abortTimeout bounds the tidying up after a window that was not delivered.
	abortTimeout = 3 * time.Second
)

// Publisher writes one pipeline's changes. Run is called once; Stored, Confirmed and Status may be called at
// any time from any goroutine.
type Publisher struct {
	o      Options
	part   limits // of a window
	whole  limits // of the windows that are delivered together
	topics *topics
	stored *Stored // as it was when the publisher was opened; nil for none
	board  board
	pulse  pulse

	confirmed atomic.Uint64          // an LSN
	progress  atomic.Pointer[[]byte] // Stored.Snapshot, as it was stored last

	aborted atomic.Bool // the client has aborted what was to be committed

	admin *kgo.Client // for topics
	// client produces; it belongs to the delivering goroutine while Run runs.
	client *kgo.Client
	// last is the position that was stored last, by the delivering goroutine.
	last Stored
}

// limits are sizes at which something is full.
type limits struct{ records, bytes int }

// reached says that so much is enough.
func (l limits) reached(records, bytes int) bool { return records >= l.records || bytes >= l.bytes }

// Open connects, makes the position and the ledger topic if they are missing, in exactly-once mode fences
// whoever published before under the same pipeline and slot, and then reads the stored position. The slot
// must be held: the one who holds it is the one to publish. Close ends what Open began.
func Open(ctx context.Context, o Options) (*Publisher, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	p := &Publisher{o: o}
	p.part = limits{max(o.WindowRecords/deliveryParts, 1), max(o.WindowBytes/deliveryParts, 1)}
	if p.whole = (limits{o.WindowRecords, o.WindowBytes}); o.Mode == AtLeastOnce {
		// Nothing holds windows together, so each of them is a delivery window.
		p.whole = p.part
	}
	admin, err := kgo.NewClient(o.Client...)
	if err != nil {
		return nil, fmt.Errorf("make the Kafka client: %w", err)
	}
	p.admin, p.topics = admin, newTopics(&p.o, admin)
	if err := p.connect(); err != nil {
		admin.Close()
		return nil, err
	}
	if err := p.open(ctx); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// open does what Open waits for.
func (p *Publisher) open(ctx context.Context) error {
	o := &p.o
	for _, name := range []string{o.PositionTopic, o.LedgerTopic} {
		if err := p.topics.ensureOwn(ctx, name); err != nil {
			return err
		}
	}
	if err := p.fence(ctx); err != nil {
		return err
	}
	stored, err := Load(ctx, o.Client, o.PositionTopic, o.Pipeline, o.Slot)
	if err != nil {
		return err
	}
	p.last = Stored{Pipeline: o.Pipeline, Slot: o.Slot, Resume: o.Start}
	switch {
	case stored != nil && o.Renew:
		p.last.Epoch = stored.Epoch + 1
	case stored != nil:
		p.stored, p.last = stored, *stored
	}
	p.last.Identity, p.last.Run = o.Identity, o.Run
	p.confirmed.Store(uint64(p.last.Resume))
	p.board.resumed(&p.last)
	return nil
}

// connect makes the producing client.
func (p *Publisher) connect() error {
	opts := append([]kgo.Opt(nil), p.o.Client...)
	opts = append(opts,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(int32(min(p.o.MaxRecordBytes, math.MaxInt32))),
		// The windows bound what is buffered.
		kgo.MaxBufferedRecords(math.MaxInt32),
		// A topic just made may be unknown to its brokers for a while.
		kgo.UnknownTopicRetries(10),
		kgo.MetadataMinAge(metadataPause),
		kgo.WithHooks(&hooks{metrics: p.o.Metrics}),
		kgo.WithLogger(answers{&p.board, &p.aborted}),
	)
	if p.o.Mode == ExactlyOnce {
		opts = append(opts,
			kgo.TransactionalID(p.o.transactionalID()),
			kgo.TransactionTimeout(p.o.TransactionTimeout),
			kgo.ConcurrentTransactionsBackoff(concurrentBackoff),
			kgo.ProducerLinger(exactLinger),
		)
	} else {
		opts = append(opts, kgo.ProducerLinger(max(p.o.Linger, 0)))
		opts = append(opts, leased(p.admin, p.o.MaySend)...)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("make the Kafka client: %w", err)
	}
	p.client = client
	return nil
}

// fence takes the producer id, which ends the transactions of whoever had it before.
func (p *Publisher) fence(ctx context.Context) error {
	if p.o.Mode != ExactlyOnce {
		return nil
	}
	_, _, err := p.client.ProducerID(ctx)
	switch {
	case err == nil:
		return nil
	case isAuthorization(err):
		return &RecordError{Topic: p.o.PositionTopic, Err: err, Advice: "grant Write and Describe on " +
			"transactional.id " +
			p.o.transactionalID() + " (MSK: AlterTransactionalId, DescribeTransactionalId), or use at-least-once"}
	case errors.Is(err, kerr.InvalidTransactionTimeout):
		return codedError{fmt.Errorf("take transactional.id %s: timeout %s is more than the broker's "+
			"transaction.max.timeout.ms: %w",
			p.o.transactionalID(), p.o.TransactionTimeout, err), codeTimeout}
	}
	return &AgainError{Doing: "take transactional.id " + p.o.transactionalID(), Err: err}
}

// Stored returns the position that was stored when the publisher was opened. It is not verified: see
// Stored.Verify.
func (p *Publisher) Stored() (*Stored, bool) { return p.stored, p.stored != nil }

// Confirmed returns up to where everything is in Kafka and the position stored: what may be confirmed to
// Postgres. It never goes back.
func (p *Publisher) Confirmed() decoder.LSN { return decoder.LSN(p.confirmed.Load()) }

// Progress returns the Batch.Progress that was stored last by this run, nil before the first.
func (p *Publisher) Progress() []byte {
	if stored := p.progress.Load(); stored != nil {
		return *stored
	}
	return nil
}

// Last returns the position that was stored last. It must not be called while Run runs.
func (p *Publisher) Last() Stored { return p.last }

// Close ends the connections. It must not be called while Run runs.
func (p *Publisher) Close() {
	p.client.Close()
	p.admin.Close()
}

// Run publishes the batches of in, and releases each of them, until in is closed and everything is delivered,
// or until it cannot go on. Nothing but a nil error says that all was delivered; Confirmed says how much was
// in any case.
func (p *Publisher) Run(ctx context.Context, in <-chan *decoder.Batch) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	windows, deliver := exactWindows, p.deliverExactly
	if p.o.Mode == AtLeastOnce {
		windows, deliver = atLeastWindows, p.deliverAtLeast
	}
	full, free := make(chan *window), make(chan *window, windows)
	ended := make(chan error, 1)
	go func() {
		err := deliver(ctx, full, free)
		if err != nil {
			cancel(err) // the encoder may wait for this goroutine
		}
		ended <- err
	}()
	err := newEncoder(p, full, free, windows).run(ctx, in)
	close(full)
	if delivered := <-ended; delivered != nil {
		err = delivered
	}
	p.board.ended(err)
	if again := (*AgainError)(nil); errors.As(err, &again) {
		p.o.Metrics.again(err)
	}
	return err
}

// produced is where the promises of a window's records meet.
type produced struct {
	left   atomic.Int64
	done   chan struct{}
	first  atomic.Pointer[refusal]
	failed chan struct{} // closed once first is set
}

// refusal is the first record that failed.
type refusal struct {
	record *kgo.Record
	err    error
}

// expecting returns where n promises meet.
func expecting(n int) *produced {
	p := &produced{done: make(chan struct{}), failed: make(chan struct{})}
	p.expect(n)
	return p
}

// expect has it wait for n promises more; those that it waited for before must not all have been called.
func (p *produced) expect(n int) { p.left.Add(int64(n)) }

// promise counts one record; Kafka's client calls it.
func (p *produced) promise(r *kgo.Record, err error) {
	if err != nil && p.first.CompareAndSwap(nil, &refusal{r, err}) {
		close(p.failed)
	}
	p.less()
}

// less has it wait for one promise less.
func (p *produced) less() {
	if p.left.Add(-1) == 0 {
		close(p.done)
	}
}

// wait waits for all promises and returns the first failure, or why it did not wait.
func (p *produced) wait(ctx context.Context) *refusal {
	select {
	case <-p.done:
		return p.first.Load()
	case <-ctx.Done():
		return &refusal{err: context.Cause(ctx)}
	}
}

// following returns the position record's content that follows the last one stored.
func (p *Publisher) following(after *progress) *Stored {
	next := p.last
	next.Position, next.Resume, next.LastCommit = after.position, after.resume, after.lastCommit
	next.Snapshot, next.Split, next.Taken = after.snapshot, after.split, after.taken
	next.Covered = after.covered
	next.Window++
	next.Written = time.Now().UTC()
	return &next
}

// bookkeeping returns the ledger and the position record of a window, and that of the covered tables when
// they are others.
func (p *Publisher) bookkeeping(next *Stored, s span, counts *tallies) ([]*kgo.Record, error) {
	key, value, err := ledgerRecord(&p.o, next, s, counts)
	if err != nil {
		return nil, err
	}
	ledger := &kgo.Record{
		Topic: p.o.LedgerTopic, Key: key, Value: value, Partition: partitionOf(key,
			p.topics.partitionsOf(p.o.LedgerTopic)),
	}
	if value, err = next.marshal(); err != nil {
		return nil, err
	}
	own := p.o.positionKey()
	records := []*kgo.Record{ledger, {Topic: p.o.PositionTopic, Key: []byte(own), Value: value}}
	if !bytes.Equal(next.Covered, p.last.Covered) {
		records = append(records,
			&kgo.Record{Topic: p.o.PositionTopic, Key: []byte(own + coveredSuffix), Value: next.Covered})
	}
	return records, nil
}

// settle makes a stored position the last one, and only now what it covers confirmed.
func (p *Publisher) settle(next *Stored) {
	p.last = *next
	if next.Resume > decoder.LSN(p.confirmed.Load()) {
		p.confirmed.Store(uint64(next.Resume))
	}
	p.progress.Store(&next.Snapshot)
	p.board.settled(next)
	p.o.Metrics.settled(next)
}

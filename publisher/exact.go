package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// step is a point in a window's delivery, behind which a crash must lose and repeat nothing.
type step string

// The steps of a delivery, in order.
const (
	stepEncoded   step = "encoded"   // the window is full, and nobody has it yet
	stepBegun     step = "begun"     // the transaction has begun
	stepProduced  step = "produced"  // every record is with the client
	stepStoring   step = "storing"   // the position and the ledger record are with the client too
	stepFlushed   step = "flushed"   // every record is acknowledged
	stepCommitted step = "committed" // the transaction is committed, the position stored
	stepConfirmed step = "confirmed" // Confirmed says so
)

// errCrashed is a crash that a test asked for: nothing is tidied up behind it.
var errCrashed = errors.New("crashed")

const (
	// loadedShare is what part of a full window tells of load: more is about to follow one that holds as
	// much.
	loadedShare = 16
	// moreWait is how long a transaction stays open for windows that are about to follow.
	moreWait = 10 * time.Millisecond
	// beginInterval is the least time between the beginnings of two transactions: each costs broker and
	// consumers about the same whatever it holds. What comes to an idle pipeline does not wait.
	beginInterval = 10 * time.Millisecond
	// markerWait bounds the wait for the broker to have ended the transaction before, and markerPause is
	// between two looks. A transaction that begins earlier is put off by the broker for its
	// add.partitions.to.txn.retry.backoff.ms, 20 by default, although the markers take 1 or 2.
	markerWait  = 20 * time.Millisecond
	markerPause = time.Millisecond
	// openLimit is how long a transaction stays open for more: what is in it is not visible before its end.
	openLimit = 200 * time.Millisecond
)

// exactLane is one run's delivery in exactly-once mode; it belongs to the delivering goroutine.
type exactLane struct {
	p     *Publisher
	full  <-chan *window
	free  chan<- *window
	pause *time.Timer
	ended time.Time // when a transaction was committed last
	blind bool      // the broker does not say how transactions stand

	// What follows is of the Kafka transaction that is open.
	windows       []*window // empty when none is open
	acks          *produced
	began         time.Time
	records, size int
	group         group
}

// deliverExactly delivers windows in Kafka transactions, each with the position that its last window leads
// to. A window's records are on their way at once. The transaction ends when nothing more waits, so that an
// idle pipeline commits at once, or when it is as large or as old as it may be; while it ends, windows
// fill.
func (p *Publisher) deliverExactly(ctx context.Context, full <-chan *window, free chan<- *window) error {
	l := &exactLane{p: p, full: full, free: free, pause: time.NewTimer(time.Hour)}
	defer l.pause.Stop()
	for {
		w, more, err := l.next(ctx)
		if err != nil {
			return l.failed(ctx, err)
		}
		if len(l.windows) > 0 && (w == nil && more || !more && !l.last().open || w != nil && w.first) {
			if err := l.commit(ctx); err != nil {
				return err
			}
		}
		switch {
		case !more && len(l.windows) > 0: // the rest of a Postgres transaction will not come
			p.o.Metrics.transactionEnded(p.abort())
			l.lost(errUnended)
			return nil
		case !more:
			return nil
		case w != nil:
			if err := l.produce(ctx, w); err != nil {
				return l.failed(ctx, err)
			}
		}
	}
}

// last returns the transaction's last window.
func (l *exactLane) last() *window { return l.windows[len(l.windows)-1] }

// loaded says that more is about to follow.
func (l *exactLane) loaded() bool {
	return l.p.part.reached(l.last().n*loadedShare, l.last().size*loadedShare)
}

// next waits for the next window that may be part of the transaction; nil, when the transaction is to end
// first. more is false when there will be none.
func (l *exactLane) next(ctx context.Context) (w *window, more bool, err error) {
	var pause <-chan time.Time
	switch {
	case len(l.windows) == 0:
		l.sleep(ctx, beginInterval-time.Since(l.began))
	case l.last().open:
	case len(l.windows) >= 2*deliveryParts || l.p.whole.reached(l.records, l.size):
		return nil, true, nil
	case l.loaded() && time.Since(l.began) < openLimit:
		l.pause.Reset(moreWait)
		pause = l.pause.C
	default:
		select {
		case w, more = <-l.full:
			return w, more, nil
		default:
			return nil, true, nil
		}
	}
	select {
	case w, more = <-l.full:
		return w, more, nil
	case <-pause:
		return nil, true, nil
	case <-l.refusals():
		return nil, true, l.refused(l.acks.first.Load())
	case <-ctx.Done():
		return nil, true, context.Cause(ctx)
	}
}

// produce gives a window's records to the client, in the open transaction or in a new one.
func (l *exactLane) produce(ctx context.Context, w *window) error {
	if len(l.windows) == 0 {
		l.awaitMarkers(ctx)
		l.began, l.acks = time.Now(), expecting(1) // the one is commit's: it says that all are expected
		if err := l.p.client.BeginTransaction(); err != nil {
			return fmt.Errorf("begin the transaction of window %d: %w", l.p.last.Window+1, err)
		}
		if err := l.p.o.step(stepBegun); err != nil {
			return err
		}
	}
	l.p.board.delivering(w, time.Now())
	l.windows = append(l.windows, w)
	l.records, l.size = l.records+w.n, l.size+w.size
	l.acks.expect(w.n)
	promise := w.promise(l.acks.promise) // made for each record it would be garbage
	for i := range w.n {
		l.p.client.Produce(ctx, w.record(i), promise)
	}
	return l.p.o.step(stepProduced)
}

// awaitMarkers waits until the broker has written the markers of the transaction before, or as long as that
// is worth it. Nothing depends on it but time.
func (l *exactLane) awaitMarkers(ctx context.Context) {
	if l.blind || time.Since(l.ended) >= markerWait {
		return
	}
	ctx, cancel := context.WithDeadline(ctx, l.ended.Add(markerWait))
	defer cancel()
	for {
		request := kmsg.NewPtrDescribeTransactionsRequest()
		request.TransactionalIDs = []string{l.p.o.transactionalID()}
		answer, err := request.RequestWith(ctx, l.p.client)
		if ctx.Err() != nil {
			return
		}
		if err != nil || len(answer.TransactionStates) != 1 || answer.TransactionStates[0].ErrorCode != 0 {
			l.blind = true
			return
		}
		if answer.TransactionStates[0].State != "PrepareCommit" {
			return
		}
		l.sleep(ctx, markerPause)
	}
}

// sleep waits.
func (l *exactLane) sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	l.pause.Reset(d)
	select {
	case <-l.pause.C:
	case <-ctx.Done():
	}
}

// commit ends the transaction and gives its windows back.
func (l *exactLane) commit(ctx context.Context) error {
	for _, w := range l.windows {
		l.group.join(w)
	}
	next := l.p.following(&l.group.after)
	if committing, err := l.end(ctx, next); err != nil {
		if errors.Is(err, errCrashed) {
			return err
		}
		result, err := l.p.recover(ctx, next, committing, err)
		if err != nil {
			l.p.o.Metrics.transactionEnded(result)
			l.p.tell(l.p.delivery(&l.group, next), err)
			return err
		}
	}
	l.p.o.Metrics.transactionEnded(resultCommit)
	l.p.settle(next)
	l.p.tell(l.p.delivery(&l.group, next), nil)
	l.p.board.delivered(l.windows, next, l.began)
	l.p.o.Metrics.delivered(l.windows, l.began)
	for _, w := range l.windows {
		w.reset()
		l.free <- w
	}
	l.windows, l.records, l.size, l.ended = l.windows[:0], 0, 0, time.Now()
	l.group.reset()
	return l.p.o.step(stepConfirmed)
}

// failed tidies up behind an error before the commit.
func (l *exactLane) failed(ctx context.Context, err error) error {
	if errors.Is(err, errCrashed) {
		return err
	}
	next := l.p.following(&progress{})
	result, recovered := l.p.recover(ctx, next, false, err)
	if len(l.windows) > 0 {
		l.p.o.Metrics.transactionEnded(result)
	}
	if recovered != nil {
		err = recovered
	} else {
		err = &AgainError{Doing: fmt.Sprintf("publish window %d", next.Window), Err: err}
	}
	l.lost(err)
	return err
}

// lost tells of the windows in a transaction that was not committed.
func (l *exactLane) lost(err error) {
	for _, w := range l.windows {
		l.group.join(w)
	}
	l.p.tell(l.p.delivery(&l.group, l.p.following(&progress{})), err)
}

// refusals is closed when a record of the open transaction has failed.
func (l *exactLane) refusals() <-chan struct{} {
	if len(l.windows) == 0 {
		return nil
	}
	return l.acks.failed
}

// refused gives the error of a record its type.
func (l *exactLane) refused(failed *refusal) error {
	for _, w := range l.windows {
		if w.index(failed.record) >= 0 {
			return l.p.refused(w, failed.record, failed.err)
		}
	}
	return l.p.refused(&window{}, failed.record, failed.err)
}

// end adds the ledger record and the position to the transaction and commits it. committing says whether an
// error leaves its outcome unknown.
func (l *exactLane) end(ctx context.Context, next *Stored) (committing bool, err error) {
	records, err := l.p.bookkeeping(next, l.group.span, &l.group.tallies)
	if err != nil {
		return false, err
	}
	l.acks.expect(len(records))
	for _, r := range records {
		l.p.client.Produce(ctx, r, l.acks.promise)
	}
	l.acks.less()
	if err := l.p.o.step(stepStoring); err != nil {
		return false, err
	}
	if err := l.p.client.Flush(ctx); err != nil {
		return false, err
	}
	// The client would commit what succeeded, so every promise is looked at first.
	if failed := l.acks.wait(ctx); failed != nil {
		return false, l.refused(failed)
	}
	if err := l.p.o.step(stepFlushed); err != nil {
		return false, err
	}
	if err := l.p.commit(ctx); err != nil {
		return !isNotCommitted(err), fmt.Errorf("commit window %d: %w", next.Window, err)
	}
	return false, l.p.o.step(stepCommitted)
}

// recover decides what a window that failed has come to. The error is nil when the window is in Kafka after
// all; result is what became of the transaction.
func (p *Publisher) recover(
	ctx context.Context, next *Stored, committing bool, err error,
) (result string, _ error) {
	var person interface{ NeedsPerson() bool }
	fenced := isFenced(err)
	switch {
	case ctx.Err() != nil:
		return p.abort(), err
	case errors.As(err, &person) && person.NeedsPerson():
		return p.abort(), err
	case !fenced && !committing:
		return p.abort(), &AgainError{Doing: fmt.Sprintf("publish window %d", next.Window), Err: err}
	case p.o.Holding == nil || !p.o.Holding():
		// Taking the producer id again would fence whoever has it, perhaps by right.
		if fenced {
			return resultError, &FencedError{TransactionalID: p.o.transactionalID(), Err: err}
		}
		return resultError, &AgainError{Doing: fmt.Sprintf("publish window %d", next.Window), Err: err}
	}
	// The slot is ours, so nobody else may publish: the broker has timed the transaction out, or its answer
	// got lost. A new producer id ends whatever is open, and after that the stored position tells the
	// outcome.
	p.o.Logger.Warn("outcome of a window unknown, reading the stored position", "window", next.Window, "err",
		err)
	p.client.Close()
	if err := p.connect(); err != nil {
		return resultError, err
	}
	if err := p.fence(ctx); err != nil {
		return resultError, err
	}
	stored, loadErr := Load(ctx, p.o.Client, p.o.PositionTopic, p.o.Pipeline, p.o.Slot)
	if loadErr != nil {
		err = &AgainError{Doing: fmt.Sprintf("learn the outcome of window %d", next.Window), Err: loadErr}
		return resultError, err
	}
	if stored != nil && stored.Run == next.Run && stored.Epoch == next.Epoch && stored.Window == next.Window {
		return resultCommit, nil
	}
	err = &AgainError{Doing: fmt.Sprintf("publish window %d: it was not committed", next.Window), Err: err}
	return resultAbort, err
}

// abort ends an open transaction if that can be done quickly: until it ends, read_committed consumers see
// nothing behind it. Whoever comes next ends it otherwise, and the result is resultError.
func (p *Publisher) abort() (result string) {
	ctx, cancel := context.WithTimeout(context.Background(), abortTimeout)
	defer cancel()
	if err := p.client.AbortBufferedRecords(ctx); err != nil {
		return resultError
	}
	if err := p.client.EndTransaction(ctx, kgo.TryAbort); err != nil {
		return resultError
	}
	return resultAbort
}

// refused gives the error of a record its type: which change it is of, and what helps.
func (p *Publisher) refused(w *window, r *kgo.Record, err error) error {
	if r == nil {
		return err
	}
	at := change{table: &tableStats{}}
	if i := w.index(r); i >= 0 {
		if made := w.changeAt(i); made != nil {
			at = *made
		}
	}
	p.o.Metrics.refused(r.Topic)
	refused := &RecordError{Topic: r.Topic, Table: at.table.name, Position: at.position, Err: err}
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return &TooLargeError{
			Topic: r.Topic, Table: at.table.name, Position: at.position, Limit: p.o.MaxRecordBytes, Err: err,
			KeyBytes: len(r.Key), ValueBytes: len(r.Value),
		}
	case isAuthorization(err):
		refused.Advice = "grant Write and Describe on the topic (MSK: WriteData, DescribeTopic)"
		return refused
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		refused.Advice = "the topic was deleted while in use; what it held is gone: start again, and take a new " +
			"snapshot " +
			"of the table if consumers need it whole"
		return refused
	case errors.Is(err, kerr.InvalidRecord):
		refused.Advice = "a compacted topic takes no record without a key: set its cleanup.policy to delete, or " +
			"give the " +
			"table a key"
		return refused
	case errors.Is(err, kerr.PolicyViolation), errors.Is(err, kerr.UnsupportedCompressionType):
		return refused
	}
	return &AgainError{Doing: "publish to topic " + r.Topic, Err: err}
}

// isFenced says that Kafka takes us for a predecessor.
func isFenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) ||
		errors.Is(err, kerr.InvalidTxnState) || errors.Is(err, kerr.InvalidProducerIDMapping)
}

// isNotCommitted says that a commit has certainly not happened.
func isNotCommitted(err error) bool {
	return errors.Is(err, kerr.OperationNotAttempted) || errors.Is(err, kerr.TransactionAbortable) ||
		errors.Is(err, errAborted)
}

// isAuthorization says that a right or a secret is missing.
func isAuthorization(err error) bool {
	return errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) ||
		errors.Is(err, kerr.TransactionalIDAuthorizationFailed) || errors.Is(err, kerr.SaslAuthenticationFailed)
}

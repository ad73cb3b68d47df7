package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// step is a point in a window's delivery, behind which a crash must lose and repeat nothing.
type step string

// The steps of a delivery, in order.
const (
	stepBegun     step = "begun"     // the transaction has begun
	stepProduced  step = "produced"  // every record is with the client
	stepFlushed   step = "flushed"   // every record is acknowledged
	stepCommitted step = "committed" // the transaction is committed, the position stored
	stepConfirmed step = "confirmed" // Confirmed says so
)

// errCrashed is a crash that a test asked for: nothing is tidied up behind it.
var errCrashed = errors.New("crashed")

// deliverExactly delivers windows, each in one Kafka transaction with its position.
func (p *Publisher) deliverExactly(ctx context.Context, full <-chan *window, free chan<- *window) error {
	for {
		select {
		case w, more := <-full:
			if !more {
				return nil
			}
			if err := p.deliver(ctx, w); err != nil {
				return err
			}
			w.reset()
			free <- w
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// deliver delivers one window.
func (p *Publisher) deliver(ctx context.Context, w *window) error {
	began := time.Now()
	next := p.following(&w.after)
	p.board.delivering(w, began)
	committing, err := p.transact(ctx, w, next)
	if err != nil {
		if errors.Is(err, errCrashed) {
			return err
		}
		if err = p.recover(ctx, next, committing, err); err != nil {
			p.o.Metrics.transactionEnded("abort")
			return err
		}
	}
	p.o.Metrics.transactionEnded("commit")
	p.settle(next)
	p.board.delivered(w, next, began)
	p.o.Metrics.delivered(w, began)
	return p.o.step(stepConfirmed)
}

// transact writes a window, its ledger record and its position in one transaction. committing says whether an
// error leaves the transaction's outcome unknown.
func (p *Publisher) transact(ctx context.Context, w *window, next *Stored) (committing bool, err error) {
	records, err := p.bookkeeping(next, w.span, &w.tallies)
	if err != nil {
		return false, err
	}
	if err := p.client.BeginTransaction(); err != nil {
		return false, fmt.Errorf("begin the transaction of window %d: %w", next.Window, err)
	}
	if err := p.o.step(stepBegun); err != nil {
		return false, err
	}
	acks := expecting(w.n + len(records))
	for i := range w.n {
		p.client.Produce(ctx, w.record(i), acks.promise)
	}
	for _, r := range records {
		p.client.Produce(ctx, r, acks.promise)
	}
	if err := p.o.step(stepProduced); err != nil {
		return false, err
	}
	if err := p.client.Flush(ctx); err != nil {
		return false, err
	}
	// The client would commit what succeeded, so every promise is looked at first.
	if failed := acks.wait(ctx); failed != nil {
		return false, p.refused(w, failed.record, failed.err)
	}
	if err := p.o.step(stepFlushed); err != nil {
		return false, err
	}
	if err := p.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return !isNotCommitted(err), fmt.Errorf("commit window %d: %w", next.Window, err)
	}
	return false, p.o.step(stepCommitted)
}

// recover decides what a window that failed has come to. It returns nil when the window is in Kafka after
// all.
func (p *Publisher) recover(ctx context.Context, next *Stored, committing bool, err error) error {
	var person interface{ NeedsPerson() bool }
	fenced := isFenced(err)
	switch {
	case ctx.Err() != nil:
		p.abort()
		return err
	case errors.As(err, &person) && person.NeedsPerson():
		p.abort()
		return err
	case !fenced && !committing:
		p.abort()
		return &AgainError{Doing: fmt.Sprintf("publish window %d", next.Window), Err: err}
	case p.o.Holding == nil || !p.o.Holding():
		// Taking the producer id again would fence whoever has it, perhaps by right.
		if fenced {
			return &FencedError{TransactionalID: p.o.transactionalID(), Err: err}
		}
		return &AgainError{Doing: fmt.Sprintf("publish window %d", next.Window), Err: err}
	}
	// The slot is ours, so nobody else may publish: the broker has timed the transaction out, or its answer got
	// lost. A new producer id ends whatever is open, and after that the stored position tells the outcome.
	p.o.Logger.Warn("outcome of a window unknown, reading the stored position", "window", next.Window, "err",
		err)
	p.client.Close()
	if err := p.connect(); err != nil {
		return err
	}
	if err := p.fence(ctx); err != nil {
		return err
	}
	stored, loadErr := Load(ctx, p.o.Client, p.o.PositionTopic, p.o.Pipeline, p.o.Slot)
	if loadErr != nil {
		return &AgainError{Doing: fmt.Sprintf("learn the outcome of window %d", next.Window), Err: loadErr}
	}
	if stored != nil && stored.Run == next.Run && stored.Epoch == next.Epoch && stored.Window == next.Window {
		return nil
	}
	return &AgainError{Doing: fmt.Sprintf("publish window %d: it was not committed", next.Window), Err: err}
}

// abort ends an open transaction if that can be done quickly: until it ends, read_committed consumers see
// nothing behind it. Whoever comes next ends it otherwise.
func (p *Publisher) abort() {
	ctx, cancel := context.WithTimeout(context.Background(), abortTimeout)
	defer cancel()
	if err := p.client.AbortBufferedRecords(ctx); err != nil {
		return
	}
	_ = p.client.EndTransaction(ctx, kgo.TryAbort)
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
	return errors.Is(err, kerr.OperationNotAttempted) || errors.Is(err, kerr.TransactionAbortable)
}

// isAuthorization says that a right or a secret is missing.
func isAuthorization(err error) bool {
	return errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) ||
		errors.Is(err, kerr.TransactionalIDAuthorizationFailed) || errors.Is(err, kerr.SaslAuthenticationFailed)
}

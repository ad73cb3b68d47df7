package publisher

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// storeInterval is the least time between two positions in at-least-once mode: the records themselves are
	// visible at once, and only Postgres waits for the position.
	storeInterval = 5 * time.Millisecond
	// leaseInterval is how often MaySend is asked while records are on their way.
	leaseInterval = 50 * time.Millisecond
)

// lane is one run's delivery in at-least-once mode; it belongs to the delivering goroutine.
type lane struct {
	p        *Publisher
	frontier *Frontier
	free     chan<- *window
	passed   []*window

	group   group     // what has been acknowledged since the last stored position
	storing *produced // the position on its way, nil for none
	stored  *Stored
	told    Delivery  // what the position on its way stands for
	earlier time.Time // when the last one was sent
}

// deliverAtLeast delivers windows without transactions: each is sent at once, and the position is stored when
// it and all before it are acknowledged.
func (p *Publisher) deliverAtLeast(ctx context.Context, full <-chan *window, free chan<- *window) error {
	l := &lane{p: p, frontier: newFrontier(), free: free}
	err := l.run(ctx, full)
	if err != nil && !errors.Is(err, errCrashed) {
		l.lost(err)
	}
	return err
}

// run is deliverAtLeast, but for what is told of its end.
func (l *lane) run(ctx context.Context, full <-chan *window) error {
	p := l.p
	lease := time.NewTicker(leaseInterval)
	defer lease.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for full != nil || l.frontier.InFlight() > 0 || l.group.any || l.storing != nil {
		if !p.o.MaySend() {
			// What the client still holds would be sent as soon as it can be.
			p.client.Close()
			return &LeaseError{}
		}
		if wait := time.Until(l.earlier.Add(storeInterval)); l.group.any && l.storing == nil {
			if wait > 0 {
				pause.Reset(wait)
			} else if err := l.store(ctx); err != nil {
				return err
			}
		}
		var stored chan struct{}
		if l.storing != nil {
			stored = l.storing.done
		}
		select {
		case w, more := <-full:
			if !more {
				full = nil
			} else if err := l.send(ctx, w); err != nil {
				return err
			}
		case <-l.frontier.wake:
			if err := l.pass(); err != nil {
				return err
			}
		case <-stored:
			if err := l.settle(ctx); err != nil {
				return err
			}
		case <-pause.C:
		case <-lease.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// send gives a window's records to the client.
func (l *lane) send(ctx context.Context, w *window) error {
	if !l.p.o.MaySend() {
		l.p.client.Close()
		return &LeaseError{}
	}
	l.p.board.delivering(w, time.Now())
	f := l.frontier.Register(w, w.n)
	promise := w.promise(func(r *kgo.Record, err error) {
		if err != nil {
			err = l.p.refused(w, r, err)
		}
		l.frontier.Ack(f, err)
	})
	if err := l.p.o.step(stepBegun); err != nil {
		return err
	}
	for i := range w.n {
		l.p.client.Produce(ctx, w.record(i), promise)
	}
	return l.p.o.step(stepProduced)
}

// pass takes the windows that are acknowledged.
func (l *lane) pass() error {
	var err error
	l.passed, err = l.frontier.Pass(l.passed[:0])
	if err != nil {
		return err
	}
	if len(l.passed) == 0 {
		return nil
	}
	l.p.board.delivered(l.passed, &l.p.last, l.passed[0].began)
	l.p.o.Metrics.delivered(l.passed, l.passed[0].began)
	for _, w := range l.passed {
		l.group.join(w)
		w.reset()
		l.free <- w
	}
	return nil
}

// store sends the position that the acknowledged windows lead to, and their ledger record.
func (l *lane) store(ctx context.Context) error {
	if err := l.p.o.step(stepFlushed); err != nil {
		return err
	}
	l.stored = l.p.following(&l.group.after)
	records, err := l.p.bookkeeping(l.stored, l.group.span, &l.group.tallies)
	if err != nil {
		return err
	}
	l.told = l.p.delivery(&l.group, l.stored)
	l.group.reset()
	l.earlier = time.Now()
	l.storing = expecting(len(records))
	for _, r := range records {
		l.p.client.Produce(ctx, r, l.storing.promise)
	}
	return l.p.o.step(stepStoring)
}

// lost tells of what was on its way when the delivery ended: that whose position is not stored, and the rest.
func (l *lane) lost(err error) {
	l.p.tell(l.told, err)
	l.frontier.each(l.group.join)
	l.p.tell(l.p.delivery(&l.group, l.p.following(&progress{})), err)
}

// settle takes note of a stored position.
func (l *lane) settle(ctx context.Context) error {
	failed := l.storing.wait(ctx)
	l.storing = nil
	if failed != nil {
		return l.p.refused(&window{}, failed.record, failed.err)
	}
	if err := l.p.o.step(stepCommitted); err != nil {
		return err
	}
	l.p.settle(l.stored)
	l.p.tell(l.told, nil)
	l.told = Delivery{}
	return l.p.o.step(stepConfirmed)
}

package decoder

import (
	"context"
	"errors"
	"time"
)

// reopenPatience is how long the server may take to notice that the old main connection has ended: a
// walsender that decodes a large transaction does not read its socket meanwhile.
const reopenPatience = time.Minute

// reopen closes the main connection and opens it again at the confirmed LSN, whereupon the server lets go of
// the WAL before: while nobody reads it, its walsender does not come to the records at which it may.
//
// For a moment nobody holds the slot. So before it is let go everything delivered is durable, and nothing is
// on its way to Kafka that another instance's records could meet. If another takes the slot, or has had it
// meanwhile, this is the end of the stream, as with any lost slot.
func (s *Stream) reopen(ctx context.Context, out chan<- *Batch) error {
	if err := s.deliver(ctx, out); err != nil {
		return err
	}
	if err := s.settled(ctx); err != nil {
		return err
	}
	began, old, confirmed := time.Now(), s.pid, s.confirmed()
	at := max(confirmed, s.catch.stood) // nothing may be confirmed yet
	s.reopening = true
	defer func() { s.reopening = false }()
	if err := s.partWith(confirmed); err != nil {
		return err
	}
	s.away = true
	s.o.Failpoint(pointParted)
	next, err := s.startAgain(ctx, at, int(old))
	if err != nil {
		// After a stop nothing is left to be done with the slot, and all is confirmed.
		s.closed = !errors.Is(err, ErrStopped)
		s.publish(time.Now())
		return err
	}
	s.away = false
	s.reopened++
	s.wire, s.pid, s.timeout = next.wire, next.pid, next.timeout
	s.answered = time.Now()
	s.pacer = pacer{interval: next.pacer.interval, last: s.answered, flush: confirmed}
	s.catch.opened, s.catch.renewed, s.catch.main = at, s.catch.position, next.decoder
	s.catch.asks = 0
	s.publish(s.answered)
	s.o.Logger.Info("main connection opened anew", "slot", s.o.Slot, "lsn", at, "pid", s.pid,
		"took", time.Since(began))
	return s.stillOurs(ctx, at)
}

// settled waits until all that was delivered is durable.
func (s *Stream) settled(ctx context.Context) error {
	tick := time.NewTicker(replyGap)
	defer tick.Stop()
	for s.o.Confirmed() < s.lastData {
		select {
		case now := <-tick.C:
			if err := s.serve(now); err != nil {
				return err
			}
		case <-ctx.Done():
			return s.ended(ctx)
		case <-s.o.Stop:
			return ErrStopped
		}
	}
	return nil
}

// startAgain takes the slot once the session that has just ended has let it go.
func (s *Stream) startAgain(ctx context.Context, at LSN, old int) (*Stream, error) {
	o := s.o
	o.Start, o.Conn = at, nil
	tick := time.NewTicker(wake)
	defer tick.Stop()
	for began := time.Now(); ; {
		next, err := openMain(ctx, o)
		if err == nil {
			return next, nil
		}
		var busy *SlotBusyError
		if !errors.As(err, &busy) || busy.PID != 0 && busy.PID != old || time.Since(began) > reopenPatience {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, s.ended(ctx)
		case <-s.o.Stop:
			return nil, ErrStopped
		}
	}
}

// openMain is Open without its words.
func openMain(ctx context.Context, o StreamOptions) (*Stream, error) {
	conn, err := Connect(ctx, o.Connect)
	if err != nil {
		return nil, err
	}
	next, err := start(ctx, o, conn)
	if err != nil {
		closeQuietly(conn)
		return nil, explainStart(ctx, o, err)
	}
	next.batch.Release()
	return next, nil
}

// errTaken says that another instance had the slot while nobody held it here.
var errTaken = errors.New("another session has had the slot and moved it on")

// stillOurs asks whether the slot stands where it was left, at at or before.
func (s *Stream) stillOurs(ctx context.Context, at LSN) error {
	options := s.o.Connect
	options.Replication = false
	conn, err := Connect(ctx, options)
	if err != nil {
		return err
	}
	defer closeQuietly(conn)
	slot, err := InspectSlot(ctx, conn, s.o.Slot)
	if err != nil {
		return err
	}
	if slot == nil || slot.Confirmed > at {
		return &ConnectionLostError{Doing: "open slot " + s.o.Slot + " anew", Cause: errTaken}
	}
	return nil
}

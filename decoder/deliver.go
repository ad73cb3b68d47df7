package decoder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// goodbyeTimeout bounds the wait for the server to end the session, which frees the slot for the next one.
const goodbyeTimeout = 2 * time.Second

// stopQuiet is how long a stop may wait for its receiver before a person is told: a window takes less.
const stopQuiet = time.Second

// ready says whether the batch should be handed over: it holds something, and does not end inside a
// transaction whose rest is about to come.
func (s *Stream) ready(now time.Time) bool {
	switch {
	case s.batch.Empty():
		return false
	case len(s.batch.Transactions) == 0:
		// The same position once more, when it was handed over before anybody knew of the hurry.
		return s.batch.Confirm > s.lastConfirm || s.batch.Urgent && s.batch.Confirm > s.urged
	}
	return !s.decoder.InTransaction() || now.Sub(s.batchSince) >= partialWait
}

// offer hands the batch over when the channel takes it at once. A batch that only confirms is otherwise
// kept, as the next one says more.
func (s *Stream) offer(out chan<- *Batch, now time.Time) {
	if !s.ready(now) {
		return
	}
	confirm, urgent, data := s.batch.Confirm, s.batch.Urgent, len(s.batch.Transactions) > 0
	select {
	case out <- s.batch:
		s.delivered(confirm, urgent, data)
	default:
		if s.blocked.IsZero() && len(s.batch.Transactions) > 0 {
			s.blocked = now
		}
	}
}

// deliver hands the batch over and waits until the channel takes it, answering the server meanwhile.
func (s *Stream) deliver(ctx context.Context, out chan<- *Batch) error {
	if s.batch.Empty() {
		return nil
	}
	confirm, urgent, data := s.batch.Confirm, s.batch.Urgent, len(s.batch.Transactions) > 0
	// Once sent, the batch is no longer ours to read: Confirm was noted before.
	select {
	case out <- s.batch:
		s.delivered(confirm, urgent, data)
		return nil
	default:
	}
	if s.blocked.IsZero() {
		s.blocked = time.Now()
	}
	tick := time.NewTicker(wake)
	defer tick.Stop()
	for {
		select {
		case out <- s.batch:
			s.delivered(confirm, urgent, data)
			return nil
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
}

// delivered begins the next batch: the one before, which could confirm this much, belongs to its receiver
// now.
func (s *Stream) delivered(confirm LSN, urgent, data bool) {
	s.lastConfirm = max(s.lastConfirm, confirm)
	if data {
		s.lastData = max(s.lastData, confirm)
	}
	if urgent {
		s.urged = max(s.urged, confirm)
	}
	if !s.blocked.IsZero() {
		s.stalled += time.Since(s.blocked)
	}
	s.batch = s.o.Pool.Get()
	s.batchSince, s.blocked = time.Time{}, time.Time{}
	s.o.Failpoint(pointDelivered)
}

// serve sends a status when one is due, and looks whether the server is still there and wants us to be.
// Every wait of the owner calls it at least once in wake: the server ends a session from which it has heard
// nothing for wal_sender_timeout, also one that reads busily.
func (s *Stream) serve(now time.Time) error {
	defer s.publish(now)
	if s.away {
		return nil
	}
	if err := s.probeShutdown(now); err != nil {
		return err
	}
	s.giveUp(now)
	if !s.held.IsZero() || !s.blocked.IsZero() || s.catch != nil {
		if err := s.unread(now); err != nil {
			return err
		}
	}
	if s.pacer.shutdown(now) {
		// A server in fast shutdown waits, without end on some versions, until our flush equals what it has
		// sent. Its wish comes before ours: what is missing comes again from the slot.
		return fmt.Errorf("stream slot %s: it wants %s confirmed, which is not durable yet: %w",
			s.o.Slot, s.serverEnd, ErrServerShutdown)
	}
	s.pacer.nudge = s.oversleeps && s.held.IsZero() && s.blocked.IsZero() && s.catch == nil
	confirmed := s.confirmed()
	if now.Before(s.pacer.due(confirmed)) {
		return nil
	}
	return s.sendStatus(now, confirmed)
}

// confirmed is what may be confirmed. It never goes back, not even when Confirmed does.
func (s *Stream) confirmed() LSN { return max(s.pacer.flush, s.o.Confirmed()) }

func (s *Stream) sendStatus(now time.Time, confirmed LSN) error {
	reply := s.pacer.sent(now, confirmed)
	// The write position is for people who look at pg_stat_replication. The server moves the slot by flush
	// alone.
	s.out = appendStatus(s.out[:0], max(s.received, confirmed), confirmed, now, reply)
	if err := s.wire.send(s.out); err != nil {
		return s.lost(err)
	}
	s.o.Failpoint(pointStatus)
	return nil
}

// unread asks the kernel about a connection that is not read: whether the other end acknowledges our
// statuses, and whether it has closed.
func (s *Stream) unread(now time.Time) error {
	if s.wire.socket == nil {
		return nil
	}
	at, closed := s.wire.socket.answered(now)
	if closed {
		return s.lost(errors.New("the server closed the connection while it was not read"))
	}
	s.heard(at)
	return nil
}

// probe is a watch on the server, beside the stream.
type probe struct {
	cancel context.CancelFunc
	answer chan error
}

// stillSince is since when nothing is read, as nobody takes it or by Hold; zero when it is.
func (s *Stream) stillSince() time.Time {
	if s.blocked.IsZero() || !s.held.IsZero() && s.held.Before(s.blocked) {
		return s.held
	}
	return s.blocked
}

// probePause is how long nothing is read before the server is watched, and how soon again after a watch that
// has ended: often enough for a server's shutdown to end within two seconds.
const probePause = time.Second

// probeShutdown finds out whether the server is shutting down while nothing is read: its demands for a
// reply are then behind the data that waits in the socket, and its shutdown would wait for us. A server
// that shuts down ends its other sessions at once, and says why to whoever connects.
func (s *Stream) probeShutdown(now time.Time) error {
	since := s.stillSince()
	if s.probe != nil {
		select {
		case err := <-s.probe.answer:
			s.probe.cancel()
			s.probe = nil
			if errors.Is(err, ErrServerShutdown) {
				return fmt.Errorf("stream slot %s: %w", s.o.Slot, err)
			}
		default:
			if since.IsZero() {
				s.probe.cancel() // its answer comes soon
			}
		}
		return nil
	}
	quiet := since.IsZero() || now.Sub(since) < probePause || now.Sub(s.probed) < probePause
	if quiet || s.o.Connect.URL == "" {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.probe, s.probed = &probe{cancel: cancel, answer: make(chan error, 1)}, now
	// An ordinary connection: it needs no walsender, of which there may be none left.
	options, answer := s.o.Connect, s.probe.answer
	options.Replication = false
	go func() { answer <- watchSession(ctx, options) }()
	return nil
}

// watchSession opens a session, waits until it ends, and says why another cannot be opened then; nil when it
// can.
func watchSession(ctx context.Context, o ConnectOptions) error {
	conn, err := Connect(ctx, o)
	if err != nil {
		return err
	}
	for err == nil {
		err = conn.WaitForNotification(ctx)
	}
	closeQuietly(conn)
	if ctx.Err() != nil {
		return nil
	}
	again, err := Connect(ctx, o)
	closeQuietly(again)
	return err
}

// endProbe waits for a running probe, which ends at once.
func (s *Stream) endProbe() {
	if s.probe != nil {
		s.probe.cancel()
		_ = <-s.probe.answer // nobody asks any more
		s.probe = nil
	}
}

// end ends the session in the way that err asks for: in order after a stop, with a farewell when the server
// shuts down. It returns err, or why the end was not in order.
func (s *Stream) end(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, ErrStopped):
		if failed := s.finish(ctx); failed != nil {
			return failed
		}
	case errors.Is(err, ErrServerShutdown):
		// The answer is known: the server ends the session or is gone.
		_ = s.goodbye(s.confirmed())
	}
	return err
}

// finish answers the server until the receiver is done with all that was delivered, or StopTimeout, and says
// goodbye.
func (s *Stream) finish(ctx context.Context) error {
	s.endLook()
	s.endCatchUp()
	began := time.Now()
	tick := time.NewTicker(replyGap)
	defer tick.Stop()
	done := func() bool { return s.o.Confirmed() >= s.lastConfirm }
	if s.o.Ended != nil {
		received := s.o.Ended()
		done = func() bool {
			select {
			case <-received:
				return true
			default:
				return false
			}
		}
	}
	told := false
	for !done() && time.Since(began) < s.o.StopTimeout {
		select {
		case now := <-tick.C:
			if err := s.serve(now); err != nil {
				return err
			}
			if !told && now.Sub(began) > stopQuiet {
				told = true
				s.o.Logger.Info("stopping waits for what was read to be published", "slot", s.o.Slot,
					"delivered", s.lastConfirm, "confirmed", s.confirmed(), "at_most", s.o.StopTimeout)
			}
		case <-ctx.Done():
			return s.ended(ctx)
		}
	}
	confirmed := s.confirmed()
	s.o.Logger.Info("stream stopped", "slot", s.o.Slot, "delivered", s.lastConfirm, "confirmed", confirmed,
		"took", time.Since(began))
	return s.goodbye(confirmed)
}

// goodbye confirms for the last time and ends the session.
func (s *Stream) goodbye(confirmed LSN) error {
	s.closed = true
	s.endLook()
	s.endCatchUp()
	s.batch.Release()
	s.batch = s.o.Pool.Get()
	if s.away {
		return nil
	}
	return s.partWith(confirmed)
}

// partWith confirms, ends the copy and the session, and waits for the server to do the same: then the slot
// is free. What still arrives is thrown away; it was not delivered and will come again.
func (s *Stream) partWith(confirmed LSN) error {
	now := time.Now()
	s.pacer.sent(now, confirmed)
	s.publish(now)
	// In one write: the server reads the status, ends the copy and exits on Terminate, without the reset that
	// closing a socket with unread data in it would send before.
	last := appendStatus(s.out[:0], max(s.received, confirmed), confirmed, now, false)
	last = append(last, 'c', 0, 0, 0, 4, 'X', 0, 0, 0, 4)
	err := s.wire.send(last)
	if err == nil {
		s.discard(now.Add(goodbyeTimeout))
	}
	if closing := s.wire.conn.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return s.lost(fmt.Errorf("say goodbye: %w", err))
	}
	return nil
}

// discard reads until the server has closed the connection, or the deadline.
func (s *Stream) discard(deadline time.Time) {
	if err := s.wire.conn.SetReadDeadline(deadline); err != nil {
		return
	}
	for {
		_, err := s.wire.conn.Read(s.wire.buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.o.Logger.Info("server keeps the slot for now", "slot", s.o.Slot, "took", goodbyeTimeout)
		}
		if err != nil {
			// EOF, or a reset: either way the session is over, and the status was sent before.
			return
		}
	}
}

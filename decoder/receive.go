package decoder

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// partialWait is how long a batch that ends inside a transaction waits for its rest before it is handed
// over as it is.
const partialWait = 5 * time.Millisecond

// Until delivers every transaction that commits before p and returns before the first that does not, which
// stays unread, or once the server says that there is none left. Between it and the next call the
// connection must be served: by Hold. When Options.Stop closes first it ends the stream as Run does and
// returns ErrStopped.
func (s *Stream) Until(ctx context.Context, p LSN, out chan<- *Batch) error {
	return s.Follow(ctx, func() Limit { return Limit{LSN: p, Final: true} }, out)
}

// Limit is how far Follow may go. LSN is as in Until, 0 for no bound; without Final Follow stands there until
// the limit is another. Final without an LSN ends it where it is.
type Limit struct {
	LSN   LSN
	Final bool
}

// Follow is Until for a limit that moves: the function is asked between reads, by the goroutine that calls
// Follow. A limit without an LSN may become one only by way of Final; from then on it must not go back.
func (s *Stream) Follow(ctx context.Context, limit func() Limit, out chan<- *Batch) error {
	defer func() { s.held = time.Time{} }()
	return s.end(ctx, s.read(ctx, out, limit))
}

// Run delivers what follows, until ctx ends, the connection breaks, the server shuts down or Options.Stop
// closes; only the last returns nil. Then it reads nothing more, answers the server until the receiver is
// done (see Options.Ended), or StopTimeout, tells the server what is confirmed and disconnects. Run closes
// the stream, never out.
func (s *Stream) Run(ctx context.Context, out chan<- *Batch) error {
	err := s.end(ctx, s.read(ctx, out, func() Limit { return Limit{} }))
	if closing := s.Close(); err == nil {
		err = closing
	}
	if errors.Is(err, ErrStopped) {
		return nil
	}
	return err
}

// Hold runs f while it answers the server and reads nothing: the server keeps the WAL, and waits.
// Options.Stop does not end it; whoever closes that ends ctx, or lets f finish. f's context ends with ctx,
// and when the connection breaks; Hold returns after f has.
func (s *Stream) Hold(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	s.unburden()
	s.held = time.Now()
	defer func() { s.held = time.Time{} }()
	defer s.endProbe()
	tick := time.NewTicker(wake)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case now := <-tick.C:
			if err := s.serve(now); err != nil {
				cancel(err)
				_ = <-done // err is the reason for whatever it says
				return s.end(ctx, err)
			}
		}
	}
}

// read moves messages from the socket to the channel. It returns nil when it stands before the final limit.
func (s *Stream) read(ctx context.Context, out chan<- *Batch, limit func() Limit) (err error) {
	defer s.endProbe()
	for {
		to := limit()
		if to.Final && to.LSN == 0 {
			return s.deliver(ctx, out)
		}
		// What ends before an earlier keepalive's WAL end has come already.
		reached := to.LSN > 0 && s.idleEnd >= to.LSN && !s.decoder.InTransaction()
		if !reached {
			if reached, err = s.drain(ctx, out, to.LSN); err != nil {
				return err
			}
		}
		if reached && to.Final {
			return s.deliver(ctx, out)
		}
		if reached {
			if err := s.stand(ctx, out); err != nil {
				return err
			}
			continue
		}
		now := time.Now()
		s.held = time.Time{}
		s.offer(out, now)
		if err := s.serve(now); err != nil {
			return err
		}
		if err := s.ended(ctx); err != nil {
			return err
		}
		if err := s.chooseLane(ctx, out, to, now); err != nil {
			return err
		}
		if s.hasMore() {
			continue // drain has stopped for the lane
		}
		if !s.admitted(now) {
			s.crowded(ctx)
			continue
		}
		// While the channel is blocked the batch goes on filling, up to its limit: a batch costs its receiver
		// about the same whatever it holds.
		n, err := s.source().fill(s.nextWake(now))
		if err != nil {
			return s.lost(err)
		}
		if n > 0 {
			s.bytes += uint64(n)
			s.o.Failpoint(pointReceived)
		}
		if n == 0 && s.blocked.IsZero() && s.catch == nil {
			s.caughtUp = time.Now()
		}
		if n == 0 && !s.blocked.IsZero() {
			// Nothing to read and nobody to take what was read: wait for the channel.
			if err := s.deliver(ctx, out); err != nil {
				return err
			}
		}
	}
}

// chooseLane decides which connection is read.
func (s *Stream) chooseLane(ctx context.Context, out chan<- *Batch, to Limit, now time.Time) error {
	if s.catch != nil {
		return s.steer(ctx, out, now)
	}
	return s.consider(to, now)
}

// standPause is how soon a stream that stands at its limit sees another one.
const standPause = 5 * time.Millisecond

// stand waits at a limit, with what came before it delivered.
func (s *Stream) stand(ctx context.Context, out chan<- *Batch) error {
	if err := s.deliver(ctx, out); err != nil {
		return err
	}
	if s.held.IsZero() {
		s.held = time.Now()
	}
	timer := time.NewTimer(standPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.o.Stop:
	}
	if err := s.serve(time.Now()); err != nil {
		return err
	}
	return s.ended(ctx)
}

// observe shows the changes that came behind those of the batch's transactions so far.
func (s *Stream) observe(transactions, changes int) {
	for i := max(transactions-1, 0); i < len(s.batch.Transactions); i++ {
		all := s.batch.Transactions[i].Changes
		if i != transactions-1 {
			changes = 0
		}
		for k := changes; k < len(all); k++ {
			s.o.Observe(s.batch, &all[k])
		}
	}
}

// nextWake is until when a read may wait.
func (s *Stream) nextWake(now time.Time) time.Time {
	switch {
	case !s.blocked.IsZero():
		return now.Add(busyWait)
	case len(s.batch.Transactions) > 0:
		return s.batchSince.Add(partialWait)
	case s.pacer.storm(now):
		return now.Add(replyGap)
	}
	next := now.Add(wake)
	if due := s.pacer.due(s.o.Confirmed()); due.Before(next) {
		return due
	}
	return next
}

// ended tells of the two ways to be told to end.
func (s *Stream) ended(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("stream slot %s: %w", s.o.Slot, context.Cause(ctx))
	case <-s.o.Stop:
		return ErrStopped
	default:
		return nil
	}
}

// drain decodes the messages that are complete in the buffer and delivers batches as they fill up. It
// returns true when it stands before until.
func (s *Stream) drain(ctx context.Context, out chan<- *Batch, until LSN) (bool, error) {
	for {
		if s.catch != nil && s.catch.gone {
			return false, nil
		}
		w := s.source()
		kind, body, size, err := w.peek()
		if err != nil {
			return false, s.unreadable(err)
		}
		if size == 0 {
			return false, nil
		}
		var before, after bool
		s.batch.adopting, s.batch.adopted = w.heavy > 0, false
		switch {
		case s.catch != nil:
			before, after, err = s.fromRound(kind, body, until)
		case kind == 'd':
			before, after, err = s.copyData(body, until)
		default:
			err = s.aside(kind, body)
		}
		if err != nil || before {
			return before, err
		}
		s.consume(w, size)
		if after {
			return true, nil
		}
		if s.batch.Full() {
			if err := s.deliver(ctx, out); err != nil {
				return false, err
			}
		}
		if s.crossingDue(until) {
			return false, nil
		}
	}
}

// copyData takes one CopyData. before says that it was left alone, as it begins what does not belong before
// until; after that it was taken and nothing before until can follow.
//
//	'w' 1 | start 8 | server's end 8 | time 8 | pgoutput message
//	'k' 1 | server's end 8 | time 8 | reply wanted 1
func (s *Stream) copyData(body []byte, until LSN) (before, after bool, err error) {
	switch {
	case len(body) >= 25 && body[0] == 'w':
		before, err := s.change(LSN(binary.BigEndian.Uint64(body[1:])), body[25:], until)
		return before, false, err
	case len(body) >= 18 && body[0] == 'k':
		walEnd := LSN(binary.BigEndian.Uint64(body[1:]))
		s.serverEnd = walEnd
		s.received = max(s.received, walEnd)
		if body[17] != 0 {
			s.pacer.ask(time.Now())
		}
		// A keepalive takes the road of data: it confirms only what was sent before it, once that is durable.
		s.decoder.Keepalive(walEnd, s.batch)
		if !s.decoder.InTransaction() {
			// Behind what was read through SQL the main connection begins further back.
			s.caughtUp, s.idleEnd = s.wire.lastRead, max(s.idleEnd, walEnd)
		}
		s.batch.Urgent = s.pacer.storm(time.Now())
		return false, until > 0 && !s.decoder.InTransaction() && walEnd >= until, nil
	case len(body) == 0:
		return false, false, fmt.Errorf("stream slot %s: an empty message", s.o.Slot)
	}
	return false, false, fmt.Errorf("stream slot %s: message 0x%02x of %d bytes", s.o.Slot, body[0], len(body))
}

// change takes one pgoutput message, which was sent at LSN start, from either lane. before is as in copyData.
func (s *Stream) change(start LSN, message []byte, until LSN) (before bool, err error) {
	// Inside a transaction nothing is compared with until: its COMMIT belongs to its BEGIN.
	open := s.decoder.InTransaction()
	if until > 0 && !open && position(message) >= until {
		return true, nil
	}
	if s.batch.Empty() || s.batchSince.IsZero() {
		s.batchSince = s.source().lastRead
	}
	if !open {
		s.transaction = s.source().lastRead
	}
	if len(message) >= 17 && message[0] == 'B' {
		s.committed = int64(binary.BigEndian.Uint64(message[9:])) + postgresEpoch
	}
	transactions, changes := len(s.batch.Transactions), 0
	if transactions > 0 {
		changes = len(s.batch.Transactions[transactions-1].Changes)
	}
	if err := s.decoder.Decode(start, message, s.batch); err != nil {
		return false, fmt.Errorf("stream slot %s: %w", s.o.Slot, err)
	}
	if s.o.Observe != nil {
		s.observe(transactions, changes)
	}
	s.o.Failpoint(pointDecoded)
	// Relation and Type messages have start 0, and rows of interleaved transactions run backwards.
	s.received = max(s.received, start)
	return false, nil
}

// position returns where a message that begins something stands in the total order: a BEGIN's commit LSN,
// the LSN of a message outside of transactions; 0 of others. Decoder checks the rest.
//
//	'B' 1 | commit LSN 8 | ...
//	'M' 1 | flags 1 | LSN 8 | ...
func position(message []byte) LSN {
	switch {
	case len(message) >= 9 && message[0] == 'B':
		return LSN(binary.BigEndian.Uint64(message[1:]))
	case len(message) >= 10 && message[0] == 'M':
		return LSN(binary.BigEndian.Uint64(message[2:]))
	}
	return 0
}

// aside takes a message that is not CopyData.
func (s *Stream) aside(kind byte, body []byte) error {
	switch kind {
	case 'E':
		return s.explain(refusal("stream slot "+s.o.Slot, body))
	case 'N':
		return s.notice(body)
	case 'S', 'A':
		return nil
	case 'c', 'C', 'Z':
		// A walsender ends its copy by itself only when all is confirmed and the server goes down.
		return fmt.Errorf("stream slot %s: the server ended the stream: %w", s.o.Slot, ErrServerShutdown)
	}
	return fmt.Errorf("stream slot %s: unexpected message 0x%02x of %d bytes", s.o.Slot, kind, len(body))
}

// noticeInterval is how often the same notice is logged: a server that holds changes back until its standby
// has them says so ten times a second.
const noticeInterval = time.Minute

// notice logs a notice; one of them is fatal: Postgres 18 goes on without a publication that it cannot
// find, and leaves its changes out.
func (s *Stream) notice(body []byte) error {
	var m pgproto3.NoticeResponse
	if err := m.Decode(body); err != nil {
		return fmt.Errorf("stream slot %s: read a notice: %w", s.o.Slot, err)
	}
	n := pgconn.ErrorResponseToPgError((*pgproto3.ErrorResponse)(&m))
	// The words are translated on some servers, the routine's name is not.
	if strings.Contains(n.Message, "skipped loading publication") || n.Routine == "LoadPublications" {
		return &PublicationError{
			Publications: s.o.Publications, Message: n.Message, Where: n.Detail, Confirmed: s.confirmed(),
		}
	}
	now := time.Now()
	again := s.noticed == n.Message && now.Sub(s.noticeLogged) < noticeInterval
	s.noticed, s.noticedAt = n.Message, now
	if again {
		return nil
	}
	s.noticeLogged = now
	s.o.Logger.Warn("server notice", "slot", s.o.Slot,
		"severity", n.Severity, "sqlstate", n.Code, "notice", n.Message)
	return nil
}

// explain gives a refusal in mid-stream its meaning.
func (s *Stream) explain(err error) error {
	var refused *ServerError
	if !errors.As(err, &refused) {
		return err
	}
	if refused.unsendable() {
		table := ""
		if e := s.decoder.subject; e != nil {
			table = e.shape.table()
		}
		return &RowUnsendableError{Slot: s.o.Slot, Commit: s.decoder.Commit(), Before: table, Cause: refused}
	}
	switch refused.Code {
	case codeUndefinedObject:
		return &PublicationError{
			Publications: s.o.Publications, Message: refused.Message, Where: refused.Where, Confirmed: s.confirmed(),
		}
	case codeNotInState:
		return &SlotLostError{Slot: s.o.Slot, Status: "lost", Confirmed: s.pacer.flush, Cause: refused}
	}
	return err
}

// unreadable completes an error of the framing.
func (s *Stream) unreadable(err error) error {
	var large *RowTooLargeError
	if errors.As(err, &large) {
		large.Commit, large.Table = s.decoder.Commit(), s.decoder.tableOf(large.Relation)
	}
	return fmt.Errorf("stream slot %s: %w", s.o.Slot, err)
}

// lost types a failed read or write.
func (s *Stream) lost(err error) error {
	doing := "stream slot " + s.o.Slot
	if s.pacer.storm(time.Now()) {
		return fmt.Errorf("%s: %w: %w", doing, ErrServerShutdown, err)
	}
	return &ConnectionLostError{Doing: doing, Cause: err}
}

package decoder

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	// roundsAhead is how many rounds are called before the first of them has been read: the server begins the
	// next while the rest of the last one is on its way.
	roundsAhead = 2
	// nearEnd is how little is left when nothing would be gained by another round.
	nearEnd = 1 << 20
	// standbyPatience is how long the standbys may hold a round up: the main connection waits for them as well,
	// and has nothing to lose by it.
	standbyPatience = 5 * time.Second
)

// nullLength is the length of a column that is null.
const nullLength = 1<<32 - 1

// takeLane begins to read through SQL what follows what has come.
func (s *Stream) takeLane(found looked) error {
	reached := s.reached()
	c := &catchUp{
		wire: newWire(found.conn.Conn(), socketOf(found.conn), s.o.MaxRowBytes), conn: found.conn,
		main: s.decoder, opened: reached, renewed: reached,
		stood: found.slot.Confirmed, failover: found.slot.Failover,
		position: found.slot.Confirmed, restart: found.slot.Restart, end: found.slot.ServerEnd, turned: true,
	}
	if err := c.encode(); err != nil {
		return err
	}
	s.o.Logger.Info("far behind: reading through SQL", "slot", s.o.Slot, "lsn", c.opened,
		"behind_bytes", found.behind, "decoded_again_bytes", int64(c.position-c.restart))
	s.catch, s.refusal = c, nil
	s.catchUps++
	s.decoder = s.successor()
	s.o.Failpoint(pointCrossed)
	return nil
}

// successor is a decoder for the other session, which goes on where the present one is. The copy begins where
// the slot stands, which may be far before.
func (s *Stream) successor() *Decoder {
	d := NewDecoder(s.o.Decoder)
	d.SetResume(s.reached(), s.decoder.lastCommit)
	return d
}

// reached is up to where everything has come, or was not asked for: nothing that commits before is missing.
func (s *Stream) reached() LSN {
	return max(s.decoder.previous, s.decoder.resume, s.idleEnd, s.o.Start)
}

// encode makes the messages that call a round.
func (c *catchUp) encode() (err error) {
	binary := []int16{1}
	for _, name := range []string{changesName, stateName} {
		bind := &pgproto3.Bind{PreparedStatement: name, ResultFormatCodes: binary}
		if c.call, err = bind.Encode(c.call); err != nil {
			return fmt.Errorf("call a round: %w", err)
		}
		if c.call, err = (&pgproto3.Execute{}).Encode(c.call); err != nil {
			return fmt.Errorf("call a round: %w", err)
		}
	}
	if c.call, err = (&pgproto3.Sync{}).Encode(c.call); err != nil {
		return fmt.Errorf("call a round: %w", err)
	}
	return nil
}

// source is the connection that changes are read from.
func (s *Stream) source() *wire {
	if s.catch != nil {
		return s.catch.wire
	}
	return s.wire
}

// fromRound takes one message of the session that reads through SQL. before and after are as in copyData.
func (s *Stream) fromRound(kind byte, body []byte, until LSN) (before, after bool, err error) {
	c := s.catch
	switch kind {
	case 'D':
		if c.refused != nil {
			return false, false, nil // the rest of a round of which nothing is taken
		}
		return s.dataRow(body, until)
	case 'E':
		err := refusal("read slot "+s.o.Slot+" through SQL", body)
		if s.decoder.InTransaction() || errors.Is(err, ErrServerShutdown) {
			// A part of the transaction has left: only what is stored tells how to go on.
			return false, false, &ConnectionLostError{Doing: "stream slot " + s.o.Slot, Cause: err}
		}
		c.refused = err
	case 'N':
		return false, false, s.notice(body)
	case 'Z':
		c.rounds--
		c.turned = true
	}
	return false, false, nil
}

// dataRow takes one row: a change, of two columns, or how far the round has come, of three.
//
//	columns 2 | 8 4 | LSN 8 | length 4 | pgoutput message
//	columns 2 | -1 4 | length 4 | pgoutput message
//	columns 2 | 8 4 | position 8 | 8 4 | restart LSN 8 | 8 4 | end of WAL 8
func (s *Stream) dataRow(body []byte, until LSN) (before, after bool, err error) {
	if len(body) < 18 {
		return false, false, fmt.Errorf("stream slot %s: a row of %d bytes", s.o.Slot, len(body))
	}
	c := s.catch
	first := LSN(binary.BigEndian.Uint64(body[6:]))
	switch columns := binary.BigEndian.Uint16(body); {
	case columns == 2 && binary.BigEndian.Uint32(body[2:]) == nullLength:
		c.refused = errBeyond
		return false, false, nil
	case columns == 2:
		before, err := s.change(first, body[18:], until)
		return before, false, err
	case columns != 3 || len(body) != 38:
		return false, false, fmt.Errorf("stream slot %s: a row of %d columns and %d bytes", s.o.Slot, columns,
			len(body))
	}
	if first < c.position || s.decoder.InTransaction() {
		return false, false, fmt.Errorf("stream slot %s: a round ended at %s, the one before at %s",
			s.o.Slot, first, c.position)
	}
	c.position, c.restart = first, LSN(binary.BigEndian.Uint64(body[18:]))
	c.end = LSN(binary.BigEndian.Uint64(body[30:]))
	// The end of a round is what a keepalive is: all that commits before it has come.
	s.serverEnd, s.received = c.end, max(s.received, first)
	s.decoder.Keepalive(first, s.batch)
	s.idleEnd = max(s.idleEnd, first)
	if c.behind() < nearEnd {
		s.caughtUp = s.source().lastRead
	}
	return false, until > 0 && first >= until, nil
}

// behind is how much WAL there was that the rounds have not come to.
func (c *catchUp) behind() int64 { return int64(c.end) - int64(c.position) }

// steer decides, between rounds, how to go on.
func (s *Stream) steer(ctx context.Context, out chan<- *Batch, now time.Time) error {
	c := s.catch
	if c.gone {
		return s.resumeLive(ctx, out)
	}
	if c.refused != nil {
		return s.returnLive(ctx, out, c.refused)
	}
	if c.rounds > 0 && !c.turned || now.Before(c.again) {
		return nil
	}
	again := int64(c.position) - int64(c.restart)
	renew := int64(c.position)-int64(c.renewed) > s.o.CatchUp.Reopen
	c.landing = c.landing || c.behind() <= s.o.CatchUp.Bytes/2
	change := !s.o.CatchUp.Stay && (c.landing || renew || s.o.CatchUp.tooMuch(again))
	if change && s.decoder.InTransaction() {
		// It began with the round that was called ahead. A receiver makes transactions durable whole, and would
		// wait for the end of this one as long as the main connection waits for the receiver.
		return nil
	}
	turned := c.turned
	c.turned = false
	switch {
	case s.o.CatchUp.Stay:
		return s.stay(turned, now)
	case s.o.CatchUp.tooMuch(again):
		return s.returnLive(ctx, out, tooFar(again))
	case c.landing:
		return s.land(ctx, out, turned, now)
	case renew:
		if err := s.reopen(ctx, out); err != nil {
			return err
		}
	}
	return s.callRounds(ctx, out, roundsAhead, now)
}

// stay calls rounds without end, with a pause where there is nothing to read.
func (s *Stream) stay(turned bool, now time.Time) error {
	c := s.catch
	if turned && c.rounds == 0 && c.behind() < nearEnd {
		c.again = now.Add(wake)
		return nil
	}
	if c.behind() <= s.o.CatchUp.round() {
		return s.call(1)
	}
	return s.call(roundsAhead)
}

// land goes back to the main connection. That decodes in silence from its restart LSN on, so it is opened
// anew a while before it is needed, and rounds go on until it has something to say.
func (s *Stream) land(ctx context.Context, out chan<- *Batch, turned bool, now time.Time) error {
	c := s.catch
	if c.rounds > 0 {
		return nil // one that was called ahead
	}
	if !c.reopened && c.position > c.renewed {
		if err := s.reopen(ctx, out); err != nil {
			return err
		}
		c.reopened = true
	}
	ready, err := s.mainReady(now)
	if err != nil {
		return err
	}
	if ready {
		return s.returnLive(ctx, out, nil)
	}
	if turned && c.behind() < nearEnd {
		c.again = now.Add(wake)
		return nil
	}
	return s.callRounds(ctx, out, 1, now)
}

// callRounds calls rounds, on a failover slot one, and that only once the standbys are far enough.
func (s *Stream) callRounds(ctx context.Context, out chan<- *Batch, ahead int, now time.Time) error {
	c := s.catch
	if !c.failover {
		return s.call(ahead)
	}
	if c.rounds > 0 {
		return nil
	}
	// Nobody answers the server meanwhile.
	asking, cancel := context.WithTimeout(ctx, min(lookTimeout, s.pacer.interval))
	defer cancel()
	if err := c.wire.lend(); err != nil {
		return s.lost(err)
	}
	limit, err := standbyLimit(asking, c.conn)
	if err != nil {
		return s.returnLive(ctx, out, err)
	}
	if limit == 0 || int64(limit)-int64(c.position) > 2*standbyMargin {
		c.held = time.Time{}
		return s.call(1)
	}
	if c.held.IsZero() {
		c.held = now
	}
	if _, patience := s.o.CatchUp.patience(); now.Sub(c.held) > patience {
		return s.returnLive(ctx, out, errStandbys)
	}
	c.again = now.Add(wake)
	return nil
}

// call calls rounds until so many are on their way.
func (s *Stream) call(ahead int) error {
	c := s.catch
	for c.rounds < ahead {
		if err := c.wire.send(c.call); err != nil {
			return s.lost(err)
		}
		c.rounds++
	}
	return nil
}

// mainReady says whether the main connection has something to read: then it has decoded what it decodes
// again, and reading goes on there without a silence.
func (s *Stream) mainReady(now time.Time) (bool, error) {
	c := s.catch
	if !c.reopened {
		return true, nil // nothing was read since, so nothing is decoded again
	}
	if now.Sub(c.asked) >= time.Second {
		c.asked = now
		c.asks++
		s.out = appendStatus(s.out[:0], max(s.received, s.confirmed()), s.confirmed(), now, true)
		if err := s.wire.send(s.out); err != nil {
			return false, s.lost(err)
		}
	}
	if _, err := s.wire.fill(now.Add(time.Millisecond)); err != nil {
		return false, s.lost(err)
	}
	for {
		kind, body, size, err := s.wire.peek()
		if err != nil || size == 0 {
			return Heavy(s.wire.pending()), err // a keepalive is not, and it is not read before its turn
		}
		if kind != 'd' || len(body) < 18 || body[0] != 'k' {
			return true, nil
		}
		s.wire.skip(size)
		// A session begins by saying that it is where it was opened, before it has decoded anything. Where nothing
		// is written any more it ends by saying so again, and then it may be asked a second time.
		if at := LSN(binary.BigEndian.Uint64(body[1:])); at > c.opened || at == c.opened && c.asks > 1 {
			return true, nil
		}
	}
}

// returnLive goes on with the replication protocol, behind what has been read. reason is why, nil when the
// stream has caught up.
func (s *Stream) returnLive(ctx context.Context, out chan<- *Batch, reason error) error {
	c := s.catch
	if s.o.CatchUp.Stay {
		s.o.Logger.Warn("reading through SQL failed, reading the rest live", "slot", s.o.Slot, "reason", reason)
	} else if !c.reopened && int64(c.position)-int64(c.opened) > leastRound {
		if err := s.reopen(ctx, out); err != nil {
			return err
		}
	}
	now := time.Now()
	interval, _, _ := s.o.CatchUp.pace()
	switch {
	case errors.Is(reason, errStalled):
		s.looked = now.Add(interval)
	case reason != nil:
		s.refuse(reason, now)
	default:
		s.looked = now.Add(interval)
		s.o.Logger.Info("caught up: streaming", "slot", s.o.Slot, "lsn", c.position)
	}
	previous := s.decoder
	s.endCatchUp()
	s.decoder = c.main
	s.decoder.SetResume(max(previous.previous, previous.resume), previous.lastCommit)
	s.o.Failpoint(pointCrossed)
	return nil
}

// errStalled says that the session that read through SQL was given up.
var errStalled = errors.New("nothing was taken for long while a call was being read: it was given up")

// giveUp ends a call that nobody reads on, as nobody takes what it has: while it is open vacuum cannot remove
// what has been deleted since. The main connection stays, and with it the slot. A temporary slot is read
// through SQL to its end, whatever it takes.
func (s *Stream) giveUp(now time.Time) {
	c, since := s.catch, s.stillSince()
	if c == nil || c.gone || c.rounds == 0 || s.o.CatchUp.Stay || since.IsZero() {
		return
	}
	if patience, _ := s.o.CatchUp.patience(); now.Sub(since) < patience {
		return
	}
	s.o.Logger.Info("nothing is taken: the session that reads through SQL is given up", "slot", s.o.Slot,
		"waited", now.Sub(since))
	c.hangUp()
	c.gone, c.rounds, c.conn = true, 0, nil
}

// resumeLive goes back to the main connection when the session that reads through SQL was given up, once the
// channel takes what there is. Where a part of a transaction has left only what is stored tells how to go on.
func (s *Stream) resumeLive(ctx context.Context, out chan<- *Batch) error {
	if err := s.deliver(ctx, out); err != nil {
		return err
	}
	if s.decoder.InTransaction() {
		return &ConnectionLostError{Doing: "stream slot " + s.o.Slot, Cause: errStalled}
	}
	return s.returnLive(ctx, out, errStalled)
}

// endCatchUp ends the session that reads through SQL, and with it the copy.
func (s *Stream) endCatchUp() {
	if c := s.catch; c != nil {
		s.catch = nil
		c.hangUp()
		s.o.Pool.Leave(c.wire.heavy) // of a message that was not read to its end
	}
}

// hangUp closes the connection. A call that runs is cancelled: the server would notice only at its end that
// nobody reads the result.
func (c *catchUp) hangUp() {
	if c.conn == nil {
		_ = c.wire.conn.Close() // nothing of it is needed any more
		return
	}
	if c.rounds > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.conn.CancelRequest(ctx); err != nil {
			_ = c.wire.conn.Close() // it ends by itself
			return
		}
	}
	// The farewell is in order: whatever is still on its way is not read.
	_ = c.wire.send([]byte{'X', 0, 0, 0, 4})
	_ = c.wire.conn.Close()
}

package decoder

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// slowly is a receiver that takes its time until told to hurry, so that a fault comes while much is still to
// be read.
type slowly struct{ hurry atomic.Bool }

func (s *slowly) wait(*Batch) {
	if !s.hurry.Load() {
		<-time.After(10 * time.Millisecond)
	}
}

// copies returns the session of the slot's temporary copy, "" when there is none.
func (db *database) copies() string {
	db.t.Helper()
	for _, row := range db.exec("SELECT active_pid FROM pg_replication_slots WHERE slot_name = " +
		quoteLiteral(copyName(db.slotName()))) {
		return row[0]
	}
	return ""
}

// TestFaultsInTheLane ends a server, one of the two sessions, or the server's processes all at once while a
// stream reads through SQL. The stream ends so that it is opened again, no copy stays behind, and what it
// then reads goes on where it was.
func TestFaultsInTheLane(t *testing.T) {
	faults := []struct {
		name string
		do   func(t *testing.T, m *mortal, s *Stream)
	}{
		{"fast shutdown", func(t *testing.T, m *mortal, _ *Stream) {
			if took := m.stop(t); took > 2*time.Second {
				t.Errorf("the server was kept from stopping for %s", took)
			}
		}},
		{"immediate shutdown", func(t *testing.T, m *mortal, _ *Stream) { m.crash(t) }},
		{"walsender terminated", func(_ *testing.T, m *mortal, s *Stream) {
			m.db.exec(fmt.Sprintf("SELECT pg_terminate_backend(%d)", s.Status().PID))
		}},
		{"the copy's session terminated", func(_ *testing.T, m *mortal, _ *Stream) {
			m.db.exec("SELECT pg_terminate_backend(" + m.db.copies() + ")")
		}},
	}
	onMortalServers(t, []int{15, 18}, func(t *testing.T, m *mortal) {
		for i, fault := range faults {
			if i > 0 && m.version < 180000 {
				break // the first is where versions differ
			}
			t.Run(fault.name, func(t *testing.T) {
				db := m.database(t)
				reference, created := db.slotAndReference()
				closeQuietly(created.Conn)
				end := db.megabytes(8)
				receiver := &slowly{}
				o, l := db.options(), &ledger{before: receiver.wait}
				o.CatchUp = eager
				o.CatchUp.wait = true
				o.Pool = NewPool(PoolOptions{BatchBytes: 64 << 10})
				r := db.follow(o, l)
				waitFor(t, "the lane", func() bool {
					return l.at() > created.Point && r.stream.Status().Lane == "catch-up"
				})
				fault.do(t, m, r.stream)
				if err := <-r.done; !Retryable(err) {
					t.Errorf("want an error that leads to another attempt, got %v", err)
				}
				receiver.hurry.Store(true)
				<-r.taken
				if l.at() >= end {
					t.Error("all had been read before: the test shows nothing")
				}
				if s := r.stream; s.catch != nil || !s.closed {
					t.Error("a connection is still open")
				}
				waitFor(t, "the copy to go", func() bool { return db.copies() == "" })
				l.forget()
				db.follow(o, l).ends(t, db, l, reference, end)
			})
		}
	})
}

// crash ends all the server's processes at once, and starts it again.
func (m *mortal) crash(t *testing.T) {
	t.Helper()
	for _, how := range [][]string{{"-m", "immediate", "stop"}, {"start"}} {
		if err := m.server.Control(t.Context(), how...); err != nil {
			t.Fatal(err)
		}
	}
	m.db.admin = m.connect(t, ConnectOptions{URL: m.server.URL()})
	m.db.conn = m.connect(t, m.db.connect)
}

// TestStalledLaneLetsVacuumWork has nobody take what is read through SQL: the call that would hold the
// server's xmin is ended, the slot stays held meanwhile, and when something is taken again all of it comes.
func TestStalledLaneLetsVacuumWork(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		reference, created := db.slotAndReference()
		closeQuietly(created.Conn)
		end := db.megabytes(24) // more than the sockets between take
		var first *receiving
		started := make(chan struct{})
		gate, open := context.WithCancel(t.Context()) // it opens at the latest when the test ends
		defer open()
		o, l := db.options(), &ledger{before: func(*Batch) {
			// What the live lane has read before is taken: where nobody takes it no call begins.
			if <-started; first.stream.Status().Lane != "live" {
				<-gate.Done()
			}
		}}
		o.CatchUp = eager
		o.CatchUp.wait = true
		o.CatchUp.least, o.CatchUp.stall = 1<<30, time.Second
		first = db.follow(o, l)
		r := first
		close(started)
		waitFor(t, "a call that holds xmin", func() bool {
			return len(db.exec("SELECT 1 FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid = "+
				"(SELECT active_pid FROM pg_replication_slots WHERE slot_name = "+
				quoteLiteral(copyName(db.slotName()))+")")) > 0
		})
		waitFor(t, "its end", func() bool { return db.copies() == "" })
		if status := r.stream.Status(); status.Closed || status.Blocked.IsZero() || !db.slot().Active {
			t.Errorf("the stream does not hold the slot and wait: %+v", status)
		}
		open()
		// A part of a transaction has left: the stream is opened again, as after any broken connection.
		select {
		case err := <-r.done:
			if !errors.Is(err, errStalled) || !Retryable(err) {
				t.Errorf("want an error that leads to another attempt, got %v", err)
			}
			<-r.taken
			l.forget()
			r = db.follow(o, l)
		case <-r.taken:
		}
		r.ends(t, db, l, reference, end)
	})
}

// lone is a logical message outside of transactions whose record ends at lsn, as a walsender sends it.
func lone(lsn LSN) []byte {
	body := binary.BigEndian.AppendUint64([]byte{'w'}, uint64(lsn))
	body = append(body, make([]byte, 16)...)
	body = binary.BigEndian.AppendUint64(append(body, 'M', 0), uint64(lsn))
	return append(body, 'p', 0, 0, 0, 0, 1, 'm')
}

// TestReopenedBeforeAnythingIsConfirmed has the main connection opened anew when nothing was confirmed, as
// nothing of what was read is published: the slot has been nobody else's.
func TestReopenedBeforeAnythingIsConfirmed(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		closeQuietly(db.prepare().Conn)
		db.exec("INSERT INTO public.unpublished SELECT generate_series(1, 50000)")
		o := db.options()
		o.CatchUp = eager
		o.CatchUp.wait = true
		r, s := db.run(o)
		r.refuse.Store(true)
		waitFor(t, "the way back", func() bool {
			select {
			case err := <-r.done:
				t.Fatal(err)
			default:
			}
			return s.Status().Reopened > 0 && s.Status().Lane == "live"
		})
		if err := r.end(); err != nil && !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
	})
}

// TestLaneIsTakenInTheMidstOfABuffer stops reading between two transactions when the lane may be taken, also
// with more received: what was received seldom ends there.
func TestLaneIsTakenInTheMidstOfABuffer(t *testing.T) {
	for _, until := range []LSN{0, 1000} {
		s, v := pair(StreamOptions{CatchUp: CatchUpOptions{Bytes: 1}}, 10*time.Second)
		s.o.Connect.URL = "postgres://unused"
		s.look = &look{cancel: func() {}, answer: make(chan looked, 1)}
		s.look.answer <- looked{}
		var sent []byte
		for _, at := range []LSN{100, 200, 300} {
			for _, m := range append(emptyTransaction(at, at+50), lone(at+60)) {
				sent = append(sent, piece('d', m)...)
			}
		}
		// The last of it ends inside of a transaction.
		s.wire.w = copy(s.wire.buf, append(sent, piece('d', emptyTransaction(400, 450)[0])...))
		out := make(chan *Batch, 10)
		if _, err := s.drain(context.Background(), out, until); err != nil {
			t.Fatal(err)
		}
		switch {
		case until == 0 && (s.decoder.InTransaction() || !s.hasMore()):
			t.Error("the stream did not stop between two transactions")
		case until > 0 && s.hasMore():
			t.Error("a stream that will be held at a point stopped for the lane, which it may not take")
		}
		v.conn.Close()
		s.wire.conn.Close()
	}
}

// TestLookDue looks in any case at a stream that moves: that a server was silent does not say that it had
// nothing to send.
func TestLookDue(t *testing.T) {
	began := time.Now()
	for _, test := range []struct {
		name                  string
		since, seemedAtItsEnd time.Duration
		moved, want           bool
	}{
		{"too early", lookInterval - 1, time.Hour, true, false},
		{"never at its end", lookInterval, lookAfter, false, true},
		{"just at its end", lookInterval, 0, true, false},
		{"just at its end, and moves", lookAnyway, 0, true, true},
		{"idle", time.Hour, 0, false, false},
	} {
		now := began.Add(test.since)
		s := &Stream{caughtUp: now.Add(-test.seemedAtItsEnd)}
		s.looked, s.lookedAt = began.Add(lookInterval), 100
		s.lastData = 100
		if test.moved {
			s.lastData++
		}
		if got := s.lookDue(now); got != test.want {
			t.Errorf("%s: want a look %t, got %t", test.name, test.want, got)
		}
	}
	if !new(Stream).lookDue(began) {
		t.Error("a stream that begins does not look")
	}
}

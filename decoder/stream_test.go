package decoder

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestStreamDeliversAndConfirms(t *testing.T) {
	onLanes(t, func(t *testing.T, db *database) {
		created := db.prepare()
		o := db.options()
		o.Conn = created.Conn
		r, s := db.run(o)
		db.exec("INSERT INTO public.t SELECT i, 'v' FROM generate_series(1, 20000) i")
		for i := range 50 {
			db.exec(fmt.Sprintf("UPDATE public.t SET v = 'w' WHERE id = %d", i+1))
		}
		waitFor(t, "20050 changes", func() bool { return r.rows.Load() == 20050 })
		status := s.Status()
		if status.Received <= created.Point || status.Timeout <= 0 || status.PID == 0 || status.Lane == "" {
			t.Errorf("status: %+v", status)
		}
		if err := r.end(); err != nil {
			t.Fatal(err)
		}
		slot := db.slot()
		if want := LSN(r.confirmed.Load()); slot.Confirmed != want {
			t.Errorf("confirmed after the stop: want %s, got %s", want, slot.Confirmed)
		}
		if slot.Active {
			t.Error("the slot is still active after Run has returned")
		}
	})
}

// An idle slot follows what is written elsewhere, and without that WAL would be kept for ever.
func TestStreamConfirmsUnpublishedActivity(t *testing.T) {
	onLanes(t, func(t *testing.T, db *database) {
		created := db.prepare()
		o := db.options()
		o.Conn = created.Conn
		r, _ := db.run(o)
		db.exec("INSERT INTO public.unpublished SELECT generate_series(1, 50000)")
		end, err := ParseLSN(db.exec("SELECT pg_current_wal_lsn()")[0][0])
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the slot to follow", func() bool { return db.slot().Confirmed >= end })
		if n := r.rows.Load(); n != 0 {
			t.Errorf("%d changes of an unpublished table", n)
		}
		if err := r.end(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStreamUntilStopsBeforeThePoint(t *testing.T) {
	onLanes(t, func(t *testing.T, db *database) {
		created := db.prepare()
		o := db.options()
		o.Conn = created.Conn
		s := db.stream(o)
		db.exec("INSERT INTO public.t VALUES (1, 'before')")
		later, err := CreateSlot(context.Background(),
			CreateOptions{Connect: db.connect, Name: db.name + "_later", Temporary: true})
		if err != nil {
			t.Fatal(err)
		}
		defer closeQuietly(later.Conn)
		db.exec("INSERT INTO public.t VALUES (2, 'after')")
		out := make(chan *Batch, 10)
		if err := s.Until(context.Background(), later.Point, out); err != nil {
			t.Fatal(err)
		}
		if got := collect(out); got != "before" {
			t.Errorf("before the point: want before, got %s", got)
		}
		held := false
		hold := func(context.Context) error { held = true; return nil }
		if err := s.Hold(context.Background(), hold); err != nil || !held {
			t.Errorf("hold: ran %t, %v", held, err)
		}
		end, err := ParseLSN(db.exec("SELECT pg_current_wal_lsn()")[0][0])
		if err != nil {
			t.Fatal(err)
		}
		// Nothing is written any more: the server's position alone tells that the end is reached.
		if err := s.Until(context.Background(), end, out); err != nil {
			t.Fatal(err)
		}
		if got := collect(out); got != "after" {
			t.Errorf("after the point: want after, got %s", got)
		}
	})
}

// collect returns the second columns of what is in the channel.
func collect(out chan *Batch) string {
	var words []string
	for {
		select {
		case b := <-out:
			for _, t := range b.Transactions {
				for _, c := range t.Changes {
					words = append(words, string(c.New[1].Text))
				}
			}
			b.Release()
		default:
			return strings.Join(words, " ")
		}
	}
}

// short makes the server impatient with this database's walsenders.
func (db *database) short() {
	db.exec("ALTER DATABASE " + db.name + " SET wal_sender_timeout = '3s'")
}

func TestStreamHoldOutlivesTheServersTimeout(t *testing.T) {
	onLanes(t, func(t *testing.T, db *database) {
		db.short()
		created := db.prepare()
		db.exec("INSERT INTO public.t SELECT i, repeat('x', 100) FROM generate_series(1, 100000) i")
		o := db.options()
		o.Conn = created.Conn
		s := db.stream(o)
		began := time.Now()
		err := s.Hold(context.Background(), func(ctx context.Context) error {
			select {
			case <-time.After(5 * time.Second):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if s.Status().Timeout != 3*time.Second {
			t.Errorf("timeout: want 3s, got %s", s.Status().Timeout)
		}
		if answered := s.Status().LastAnswered; answered.Before(began.Add(3 * time.Second)) {
			t.Errorf("the server's acknowledgements were not seen: last answered %s after the start",
				answered.Sub(began))
		}
		drainRows(t, s, 100000)
	})
}

func TestStreamBlockedChannelOutlivesTheServersTimeout(t *testing.T) {
	onLanes(t, func(t *testing.T, db *database) {
		db.short()
		created := db.prepare()
		db.exec("INSERT INTO public.t SELECT i, repeat('x', 100) FROM generate_series(1, 100000) i")
		o := db.options()
		o.Conn = created.Conn
		s := db.stream(o)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		nobody := make(chan *Batch)
		if err := s.read(ctx, nobody, func() Limit { return Limit{} }); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("want the context's end, got %v", err)
		}
		if s.Status().Blocked.IsZero() {
			t.Error("status does not tell that the channel is blocked")
		}
		drainRows(t, s, 100000)
	})
}

// drainRows runs the stream until n changes have come.
func drainRows(t *testing.T, s *Stream, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, done := make(chan *Batch, 1), make(chan error, 1)
	go func() { done <- s.Run(ctx, out) }()
	for n > 0 {
		select {
		case b := <-out:
			for _, tx := range b.Transactions {
				n -= len(tx.Changes)
			}
			b.Release()
		case err := <-done:
			t.Fatalf("%d changes missing: %v", n, err)
		}
	}
	if n < 0 {
		t.Errorf("%d changes too many", -n)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("want context canceled, got %v", err)
	}
}

func TestOpenBusySlot(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		created := db.prepare()
		o := db.options()
		o.Conn = created.Conn
		holder := db.stream(o)
		o.Conn = nil
		_, err := Open(context.Background(), o)
		var busy *SlotBusyError
		if !errors.As(err, &busy) {
			t.Fatalf("want a SlotBusyError, got %v", err)
		}
		if busy.PID != int(holder.pid) || busy.ApplicationName != "tributary/test" || !Retryable(err) {
			t.Errorf("got %+v", busy)
		}
	})
}

func TestOpenRefusals(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		o := db.options()
		_, err := Open(context.Background(), o)
		var missing *SlotMissingError
		if !errors.As(err, &missing) || missing.Database != db.name || Retryable(err) ||
			missing.ErrorCode() != "E121" {
			t.Errorf("want a SlotMissingError in %s, got %v", db.name, err)
		}
		db.exec("SELECT pg_create_logical_replication_slot('" + db.slotName() + "', 'test_decoding')")
		_, err = Open(context.Background(), o)
		if err == nil || Retryable(err) {
			t.Errorf("slot of another plugin: got %v", err)
		}
		o.Slot = "No Slot"
		if _, err = Open(context.Background(), o); err == nil || !strings.Contains(err.Error(), "a-z, 0-9 and _") {
			t.Errorf("invalid name: got %v", err)
		}
	})
}

// A publication that is not there when a change is written poisons the slot before Postgres 18 and loses
// the change from then on: both must end the stream.
func TestStreamMissingPublicationIsFatal(t *testing.T) {
	onLanes(t, func(t *testing.T, db *database) {
		created := db.prepare()
		o := db.options()
		o.Conn = created.Conn
		o.Publications = append(o.Publications, "not there")
		r, _ := db.run(o)
		db.exec("INSERT INTO public.t VALUES (1, 'v')")
		err := r.wait(20 * time.Second)
		var publication *PublicationError
		if !errors.As(err, &publication) || Retryable(err) || publication.ErrorCode() != "E125" {
			t.Errorf("want a PublicationError, got %v", err)
		}
	})
}

func TestStreamRowTooLarge(t *testing.T) {
	onLanes(t, func(t *testing.T, db *database) {
		created := db.prepare()
		o := db.options()
		o.Conn, o.MaxRowBytes = created.Conn, 2<<20
		r, _ := db.run(o)
		db.exec("INSERT INTO public.t VALUES (1, repeat('x', 1500000)), (2, repeat('y', 100))")
		waitFor(t, "a row larger than the buffer", func() bool { return r.rows.Load() == 2 })
		db.exec("INSERT INTO public.t VALUES (3, repeat('x', 3000000))")
		err := r.wait(20 * time.Second)
		var large *RowTooLargeError
		if !errors.As(err, &large) || large.Bytes < 3000000 || large.Limit != 2<<20 || large.Commit == 0 ||
			large.Relation == 0 || large.ErrorCode() != "E152" || !strings.Contains(err.Error(), "of public.t in") {
			t.Errorf("want a RowTooLargeError with its place, got %v", err)
		}
	})
}

// The stream ends, and says that it was the connection, when the server ends it.
func TestStreamTerminatedBackend(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		created := db.prepare()
		o := db.options()
		o.Conn = created.Conn
		r, s := db.run(o)
		db.exec(fmt.Sprintf("SELECT pg_terminate_backend(%d)", s.Status().PID))
		if err := r.wait(20 * time.Second); !Retryable(err) {
			t.Errorf("want a retryable error, got %v", err)
		}
	})
}

// A walsender of Postgres 16 or later can miss a commit while it falls asleep, and is woken by us: no commit
// waits for a whole status interval. Nothing is confirmed here, as that would wake it too.
func TestStreamWakesAnOversleepingServer(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		created := db.prepare()
		o := db.options()
		o.Conn = created.Conn
		s := db.stream(o)
		ctx, cancel := context.WithCancel(context.Background())
		out, done := make(chan *Batch, 1), make(chan error, 1)
		go func() { done <- s.Run(ctx, out) }()
		var slowest time.Duration
		for i := range 2000 {
			db.exec(fmt.Sprintf("INSERT INTO public.t VALUES (%d, 'v')", i))
			began := time.Now()
			for came := false; !came; {
				b := <-out
				came = len(b.Transactions) > 0
				b.Release()
			}
			slowest = max(slowest, time.Since(began))
			if i%4 == 0 {
				// Commits that follow each other at once, and some that do not.
				<-time.After(3 * time.Millisecond)
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("want context canceled, got %v", err)
		}
		t.Logf("slowest commit after %s", slowest)
		if slowest > time.Second {
			t.Errorf("a commit came after %s", slowest)
		}
	})
}

// TestStreamExpires holds that a silence as long as the server's timeout is final: what is read after it
// may be older.
func TestStreamExpires(t *testing.T) {
	base := time.Now()
	s := &Stream{timeout: 4 * time.Second, answered: base}
	for _, step := range []struct {
		at   time.Duration
		want bool
	}{
		{3 * time.Second, false},
		{6 * time.Second, false},
		{5 * time.Second, false},
		{10 * time.Second, true},
		{11 * time.Second, true},
	} {
		if s.heard(base.Add(step.at)); s.expired != step.want {
			t.Errorf("after %s: want expired %t, got %t", step.at, step.want, s.expired)
		}
	}
	patient := &Stream{answered: base}
	if patient.heard(base.Add(time.Hour)); patient.expired {
		t.Error("a server without a timeout never gives the slot away")
	}
}

// TestUrgentIsSaidOnce hands a keepalive's position over once more, and only once, when the server turns
// out to be in a hurry: the publisher may have put it off.
func TestUrgentIsSaidOnce(t *testing.T) {
	pool := NewPool(PoolOptions{})
	s := &Stream{o: StreamOptions{Pool: pool}.withDefaults(), batch: pool.Get()}
	s.decoder = NewDecoder(DecoderOptions{})
	out := make(chan *Batch, 10)
	for i, test := range []struct {
		urgent, want bool
	}{{false, true}, {false, false}, {true, true}, {true, false}, {false, false}} {
		s.batch.Confirm, s.batch.Urgent = 700, test.urgent
		s.offer(out, time.Now())
		if got := len(out) == 1; got != test.want {
			t.Errorf("keepalive %d: want it handed over: %t, got %t", i+1, test.want, got)
		}
		for len(out) > 0 {
			if b := <-out; b.Urgent != test.urgent || b.Confirm != 700 {
				t.Errorf("keepalive %d: got %s, urgent %t", i+1, b.Confirm, b.Urgent)
			}
		}
	}
}

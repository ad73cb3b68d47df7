package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// The tests of this file and of fault_slot_test.go break one thing each and say how long the program may take
// to be whole again. cmd/drill breaks them all at random.

// deliveries are the two modes.
var deliveries = []string{"exactly-once", "at-least-once"}

// mortalParameters are those of a server that a test may break. Its wal_sender_timeout is short, so that a
// silent death is noticed soon, and it keeps little WAL.
var mortalParameters = map[string]string{
	"wal_sender_timeout": "3s", "max_slot_wal_keep_size": "64MB", "min_wal_size": "32MB",
}

// mortal starts a server that the test may stop.
func mortal(t *testing.T) *local.Server {
	t.Helper()
	server, err := local.Start(t.Context(), local.Options{Parameters: mortalParameters})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// pace is how long this machine takes at present for an order to come through a pipeline that streams: bounds
// grow by some of it, since tests share the machine.
func (b *bench) pace(seen *topics, l *life) time.Duration {
	b.Helper()
	return b.handover(seen, l, func() {})
}

// handover does something to the pipeline, and returns how long after it a new order takes to come.
func (b *bench) handover(seen *topics, to *life, what func()) time.Duration {
	b.Helper()
	what()
	began := time.Now()
	b.order(1)
	key := fmt.Sprintf("id=%d", b.rows)
	seen.until(to, "order "+key, func(r topicRecord) bool { return r.topic == "public.orders" && r.key == key })
	return time.Since(began)
}

// within fails the test when something took longer than its bound and some of the machine's pace.
func (b *bench) within(what string, took, bound, pace time.Duration) {
	b.Helper()
	b.Logf("%s: %s (an order takes %s)", what, took.Round(time.Millisecond), pace.Round(time.Millisecond))
	if took > bound+10*pace {
		b.Errorf("%s: %s, want %s at most", what, took, bound)
	}
}

// came fails the test unless each order came: once, or at least once where what was acknowledged and not yet
// stored may be repeated.
func (b *bench) came(seen *topics, delivery string) {
	b.Helper()
	times := map[string]int{}
	for _, r := range seen.all() {
		if r.topic == "public.orders" {
			times[r.key]++
		}
	}
	for id := range b.rows {
		n := times[fmt.Sprintf("id=%d", id+1)]
		if n == 0 || n > 1 && delivery == "exactly-once" {
			b.Errorf("order %d came %d times", id+1, n)
		}
	}
}

// TestTakeover has a standby take over from a leader that stops, that crashes, and that falls silent; the
// silent one wakes up when another leads, and writes nothing more.
func TestTakeover(t *testing.T) {
	for _, delivery := range deliveries {
		t.Run(delivery, func(t *testing.T) {
			b := newBench(t, mortal(t).URL(), local.Kafka(t), local.Registry(t))
			b.write(t, "delivery: "+delivery)
			seen := newTopics(t, b.rig)
			leader := b.start(t)
			leader.reach(t, stateStreaming)
			standby := b.start(t)
			standby.reach(t, stateStandby)
			pace := b.pace(seen, leader)
			took := b.handover(seen, standby, func() { leader.stop(t) })
			b.within("after a clean stop", took, 2*time.Second, pace)

			leader, standby = standby, b.start(t)
			standby.reach(t, stateStandby)
			took = b.handover(seen, standby, func() { leader.kill(t) })
			b.within("after a crash", took, 2*time.Second, pace)

			leader, standby = standby, b.start(t)
			standby.reach(t, stateStandby)
			b.silence(seen, leader, standby, pace)
			b.came(seen, delivery)
		})
	}
}

// silence stops the leader's process, and lets it go on once the standby leads.
func (b *bench) silence(seen *topics, leader, standby *life, pace time.Duration) {
	b.Helper()
	signal := func(s syscall.Signal) {
		if err := leader.child.Process.Signal(s); err != nil {
			b.Fatal(err)
		}
	}
	// What it has read and not yet sent when it stops is what it must not send later.
	first, stop := b.rows+1, b.load()
	key := fmt.Sprintf("id=%d", first+20)
	seen.until(leader, "some orders", func(r topicRecord) bool { return r.key == key })
	signal(syscall.SIGSTOP)
	began := time.Now()
	b.rows += stop()
	b.handover(seen, standby, func() {})
	b.within("after a silent death", time.Since(began), 5*time.Second, pace)
	before := len(seen.all())
	signal(syscall.SIGCONT)
	leader.reach(b.T, stateStandby)
	if after := len(seen.all()); after != before {
		b.Errorf("the one that was silent wrote %d records when it woke up", after-before)
	}
	leader.stop(b.T)
	standby.stop(b.T)
}

// TestRecovery has a process killed again and again, and counts the time to the first new record.
func TestRecovery(t *testing.T) {
	for _, delivery := range deliveries {
		t.Run(delivery, func(t *testing.T) {
			b := newBench(t, mortal(t).URL(), local.Kafka(t), local.Registry(t))
			b.write(t, "delivery: "+delivery)
			seen := newTopics(t, b.rig)
			l := b.start(t)
			l.reach(t, stateStreaming)
			pace := b.pace(seen, l)
			for range 3 {
				l.kill(t)
				b.order(1) // while nobody runs
				began := time.Now()
				l = b.start(t)
				b.handover(seen, l, func() {})
				b.within("after kill -9", time.Since(began), 2*time.Second, pace)
			}
			l.stop(t)
			b.came(seen, delivery)
		})
	}
}

// TestServerStops has a server in fast shutdown wait for nobody, whether the pipeline is idle or has seen
// only what is not published, and the pipeline go on when the server is back.
func TestServerStops(t *testing.T) { serverStops(t, mortal(t)) }

func serverStops(t *testing.T, server *local.Server) {
	b := newBench(t, server.URL(), local.Kafka(t), local.Registry(t))
	b.exec("CREATE TABLE public.elsewhere (id int)")
	seen := newTopics(t, b.rig)
	l := b.start(t)
	l.reach(t, stateStreaming)
	for _, activity := range []string{
		"SELECT 1", "INSERT INTO public.elsewhere SELECT generate_series(1, 20000)",
	} {
		pace := b.pace(seen, l)
		b.exec(activity)
		began := time.Now()
		if err := server.Control(t.Context(), "-m", "fast", "stop"); err != nil {
			t.Fatal(err)
		}
		b.within("fast shutdown after "+activity, time.Since(began), 2*time.Second, pace)
		if err := server.Control(t.Context(), "start"); err != nil {
			t.Fatal(err)
		}
		b.sourceConn = dial(t, b.source)
		l.reach(t, stateStreaming)
	}
	b.pace(seen, l)
	l.stop(t)
	b.came(seen, "exactly-once")
}

// TestIdleSlot has a slot follow what is written to tables that are not published, and never go back, also
// when the process is killed.
func TestIdleSlot(t *testing.T) {
	b := newBench(t, mortal(t).URL(), local.Kafka(t), local.Registry(t))
	b.exec("CREATE TABLE public.elsewhere (id int)")
	l := b.start(t)
	l.reach(t, stateStreaming)
	confirmed := b.confirmed()
	for round := range 3 {
		confirmed = b.idles(l, confirmed)
		if round < 2 {
			l.kill(t)
			l = b.start(t)
		}
	}
	l.stop(t)
}

// idles writes to the table elsewhere, which is not published, waits until the slot has followed from where
// it was, and returns where it is.
func (b *bench) idles(l *life, confirmed string) string {
	b.Helper()
	b.exec("INSERT INTO public.elsewhere SELECT generate_series(1, 20000)")
	end := b.value("SELECT pg_current_wal_lsn()")
	l.eventually(b.T, func() error {
		now := b.confirmed()
		if b.value(fmt.Sprintf("SELECT '%s'::pg_lsn < '%s'", now, confirmed)) == "t" {
			b.Fatalf("the slot went back from %s to %s", confirmed, now)
		}
		if confirmed = now; b.value(fmt.Sprintf("SELECT '%s'::pg_lsn < '%s'", now, end)) == "t" {
			return fmt.Errorf("the slot is at %s, and the server at %s", now, end)
		}
		return nil
	})
	return confirmed
}

package publisher

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/schema"
)

// TestAtLeastOnce expects the log of exactly-once, and after crashes a repeated suffix at most.
func TestAtLeastOnce(t *testing.T) {
	a, b := relationOf("a"), relationOf("b")
	reference := newRig(t)
	reference.o.Skip = []schema.Op{}
	reference.must(workload(a, b)...)
	r := newRig(t)
	r.o.Mode, r.o.Skip, r.o.WindowRecords = AtLeastOnce, []schema.Op{}, 8
	p := r.must(workload(a, b)...)
	if want, got := contents(reference), contents(r); got != want {
		t.Errorf("want\n%s\ngot\n%s", want, got)
	}
	if s := r.stored(); p.Confirmed() != s.Resume || s.Resume != 5050 {
		t.Errorf("want 0/13BA stored and confirmed, got %v and %v", s.Resume, p.Confirmed())
	}
	auditLedger(t, r, "p.public.a", "p.public.b")
	// What came is behind the position: nothing is repeated.
	r.must(after(workload(a, b), r.stored().Resume)...)
	if want, got := contents(reference), contents(r); got != want {
		t.Errorf("after a restart: want\n%s\ngot\n%s", want, got)
	}
}

// TestAtLeastOnceCrashes kills the publisher behind each step, starts it again, and expects that no record is
// missing and that what is repeated is a suffix: the first occurrences stand in order.
func TestAtLeastOnceCrashes(t *testing.T) {
	a, b := relationOf("a"), relationOf("b")
	reference := newRig(t)
	reference.o.Skip = []schema.Op{}
	reference.must(workload(a, b)...)
	for _, at := range []step{stepBegun, stepProduced, stepStoring, stepFlushed, stepCommitted, stepConfirmed} {
		r := newRig(t)
		r.o.Mode, r.o.Skip, r.o.WindowRecords = AtLeastOnce, []schema.Op{}, 16
		crashes := 0
		for ; crashes < 50; crashes++ {
			countdown := crashes + 1 // later each time: a crash before the first stored position starts anew
			r.o.step = func(now step) error {
				if now == at {
					if countdown--; countdown == 0 {
						return errCrashed
					}
				}
				return nil
			}
			_, err := r.feed(func(s *Stored) []*decoder.Batch {
				if s == nil {
					return workload(a, b)
				}
				return after(workload(a, b), s.Resume)
			})
			if err == nil {
				break
			}
			if !errors.Is(err, errCrashed) {
				t.Fatal(err)
			}
		}
		if crashes == 0 || crashes == 50 {
			t.Fatalf("%s: %d crashes", at, crashes)
		}
		for _, topic := range []string{"p.public.a", "p.public.b"} {
			want, got := firsts(reference.read(topic)), firsts(r.read(topic))
			if got != want {
				t.Errorf("%s, %s: want\n%s\ngot\n%s", at, topic, want, got)
			}
		}
	}
}

// firsts returns what texts returns without repetitions of a line.
func firsts(records []*kgo.Record) string {
	seen := make(map[string]bool)
	var kept []*kgo.Record
	for _, r := range records {
		line := string(r.Key) + brief(r.Value)
		if !seen[line] {
			kept = append(kept, r)
		}
		seen[line] = true
	}
	return texts(kept)
}

// BenchmarkRealKafka measures rows through an open publisher against TRIBUTARY_TEST_KAFKA, and the time from
// a batch to its confirmation when the pipeline is idle.
func BenchmarkRealKafka(b *testing.B) {
	brokers := local.RealKafka(b)
	for _, mode := range []Mode{ExactlyOnce, AtLeastOnce} {
		b.Run(mode.String(), func(b *testing.B) {
			prefix := "tributary-bench-" + strings.ToLower(newRun()[:8])
			r := rigOn(nil, brokers, prefix)
			r.o.Mode = mode
			r.o.Schema.KeyFormat, r.o.Schema.ValueFormat = schema.Avro, schema.Avro
			r.o.Register = new(fakeRegistry).register
			p, err := Open(b.Context(), r.o)
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			in, ended := make(chan *decoder.Batch, 1), make(chan error, 1)
			go func() { ended <- p.Run(b.Context(), in) }()
			items, s := relationOf("items"), newStory()
			rows := make([]decoder.Change, 100)
			for i := range rows {
				rows[i] = insert(items, i, strings.Repeat("x", 80))
			}
			await := func(lsn decoder.LSN) {
				tick := time.NewTicker(200 * time.Microsecond)
				defer tick.Stop()
				for p.Confirmed() < lsn {
					<-tick.C
				}
			}
			in <- s.transaction(rows[0]).cut()
			await(s.last)
			began := time.Now()
			for range 50 {
				in <- s.transaction(rows[0]).cut()
				await(s.last)
			}
			idle := time.Since(began)
			b.ResetTimer()
			for n := 0; n < b.N; {
				for range 30 {
					s.transaction(rows...)
					n += len(rows)
				}
				in <- s.cut()
			}
			await(s.last)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(idle.Microseconds())/50/1000, "ms/idle-commit")
			close(in)
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
			_, _ = p.topics.admin.DeleteTopics(context.Background(), prefix+".positions", prefix+".ledger",
				prefix+".public.items")
		})
	}
}

// TestLease holds that at-least-once ends, and sends nothing, once it may not send.
func TestLease(t *testing.T) {
	r := newRig(t)
	var may atomic.Bool
	r.o.Mode, r.o.MaySend = AtLeastOnce, may.Load
	_, err := r.run(newStory().transaction(insert(relationOf("a"), 1, "x")).cut())
	var lease *LeaseError
	if !errors.As(err, &lease) || !lease.Retryable() || lease.ErrorCode() != "E217" {
		t.Fatalf("want a *LeaseError, got %v", err)
	}
	if got := r.read("p.public.a"); len(got) != 0 {
		t.Errorf("sent %d records", len(got))
	}
}

// TestLeaseHoldsBackWhatIsBuffered lets the lease end while records wait in Kafka's client: none of them is
// sent, not even by the goroutine of the client that was about to.
func TestLeaseHoldsBackWhatIsBuffered(t *testing.T) {
	r := newRig(t)
	a := relationOf("a")
	r.o.Mode = AtLeastOnce
	r.must(newStory().transaction(insert(a, 1, "before")).cut())
	var ended atomic.Bool
	r.o.MaySend = func() bool { return !ended.Load() }
	r.o.Linger = -1
	r.o.step = func(at step) error {
		switch at {
		case stepBegun: // the publisher has looked, and the client has nothing yet
			ended.Store(true)
		case stepProduced: // the client's goroutine has all the time that it needs
			<-time.After(300 * time.Millisecond)
		}
		return nil
	}
	s := newStory()
	s.transaction(insert(a, 1, "before")).cut()
	_, err := r.run(s.transaction(insert(a, 2, "after")).cut())
	var lease *LeaseError
	if !errors.As(err, &lease) {
		t.Fatalf("want a *LeaseError, got %v", err)
	}
	if got := r.read("p.public.a"); len(got) != 1 {
		t.Errorf("want the one record of before, got\n%s", texts(got))
	}
}

// TestKeepalive holds that an advance without records is stored before it is confirmed, at shutdown at the
// latest.
func TestKeepalive(t *testing.T) {
	for _, mode := range []Mode{ExactlyOnce, AtLeastOnce} {
		r := newRig(t)
		r.o.Mode, r.o.IdleInterval = mode, time.Hour
		p := r.must(&decoder.Batch{Confirm: 500}, &decoder.Batch{Confirm: 700})
		if s := r.stored(); s == nil || s.Resume != 700 || p.Confirmed() != 700 {
			t.Errorf("%v: stored %+v, confirmed %v", mode, s, p.Confirmed())
		}
		r.o.IdleInterval = 10 * time.Millisecond
		awaitConfirmed(t, r, 900)
	}
}

// awaitConfirmed gives an idle publisher a keepalive and waits until it is confirmed while it runs.
func awaitConfirmed(t *testing.T, r *rig, lsn decoder.LSN) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p, err := Open(ctx, r.o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	in, ended := make(chan *decoder.Batch, 1), make(chan error, 1)
	go func() { ended <- p.Run(ctx, in) }()
	in <- &decoder.Batch{Confirm: lsn}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for p.Confirmed() != lsn {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("confirmed %v, want %v", p.Confirmed(), lsn)
		}
	}
	close(in)
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestSnapshotProgress holds that progress is stored with its rows, and that rows move no position.
func TestSnapshotProgress(t *testing.T) {
	r := newRig(t)
	items := relationOf("items")
	b := &decoder.Batch{Progress: []byte(`{"done":false,"at":7}`)}
	b.Begin(decoder.Transaction{Commit: 100, FullXID: 9, First: true, Last: true})
	*b.Add() = decoder.Change{
		Op: schema.OpRead, Relation: items, New: rowOf(1, "x"), LSN: 90,
		Marker: schema.MarkerLast,
	}
	r.must(b)
	s := r.stored()
	if string(s.Snapshot) != `{"done":false,"at":7}` || s.Position != (decoder.Position{}) || s.Resume != 100 {
		t.Errorf("stored %+v", s)
	}
	if got := r.read("p.public.items"); len(got) != 1 || !strings.Contains(string(got[0].Value),
		`"snapshot":"last"`) {
		t.Errorf("got %s", texts(got))
	}
}

func TestZombieIsFenced(t *testing.T) {
	r := newRig(t)
	r.o.Metrics = NewMetrics(nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	old, err := Open(ctx, r.o)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	items := relationOf("items")
	story := newStory().transaction(insert(items, 1, "x"))
	r.must(story.cut())
	in := make(chan *decoder.Batch, 1)
	in <- newStory().transaction(insert(items, 1, "zombie")).cut()
	close(in)
	var fenced *FencedError
	if err := old.Run(ctx, in); !errors.As(err, &fenced) || fenced.ErrorCode() != "E216" {
		t.Errorf("want a *FencedError, got %v", err)
	}
	if got := texts(r.read("p.public.items")); strings.Contains(got, "zombie") {
		t.Errorf("the zombie wrote:\n%s", got)
	}
	if got := testutil.ToFloat64(r.o.Metrics.kafkaTransactions.WithLabelValues("error")); got != 1 {
		t.Errorf("%v transactions ended with an error, want the zombie's", got)
	}
}

func TestRefusals(t *testing.T) {
	items := relationOf("items")
	for _, c := range []struct {
		name   string
		o      func(*Options)
		change []decoder.Change
		want   string
		code   string
	}{
		{
			"too large", func(o *Options) { o.MaxRecordBytes = 2000 },
			[]decoder.Change{insert(items, 1, strings.Repeat("canary", 1000))},
			"raise max.message.bytes", "E210",
		},
		{
			"collision", func(o *Options) { o.Topic = func(string, string) string { return "one" } },
			[]decoder.Change{insert(items, 1, "canary"), insert(relationOf("other"), 1, "canary")},
			"tables public.items and public.other both go to topic one", "E213",
		},
		{"no value for the schema", func(*Options) {}, []decoder.Change{{
			Op: schema.OpCreate, Relation: items,
			New: schema.Row{{Kind: schema.Text, Text: []byte("canary")}, {}},
		}}, "public.items", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.o(&r.o)
			r.o.Metrics = NewMetrics(nil)
			_, err := r.run(newStory().transaction(insert(items, 9, "before")).cut(),
				func() *decoder.Batch { s := newStory(); s.lsn = 5000; return s.transaction(c.change...).cut() }())
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("want %q and no value, got %v", c.want, err)
			}
			if got := ErrorCode(err); got != c.code {
				t.Errorf("code %q, want %q", got, c.code)
			}
			aborted := testutil.ToFloat64(r.o.Metrics.kafkaTransactions.WithLabelValues("abort"))
			if sent := c.code == "E210"; sent != (aborted == 1) {
				t.Errorf("%v transactions aborted, a record was sent: %t", aborted, sent)
			}
		})
	}
}

// TestSharedTopic has two tables go to one topic, as in Debezium or by a route.
func TestSharedTopic(t *testing.T) {
	for _, shared := range []bool{true, false} {
		r := newRig(t)
		r.o.Topic = func(string, string) string { return "one" }
		r.o.Shared = func(topic string) bool { return shared && topic == "one" }
		_, err := r.run(newStory().transaction(insert(relationOf("items"), 1, "a"),
			insert(relationOf("other"), 2, "b")).cut())
		var collision *CollisionError
		if shared != (err == nil) || !shared && !errors.As(err, &collision) {
			t.Errorf("shared %v: %v", shared, err)
		}
		if got := texts(r.read("one")); shared && (!strings.Contains(got, `"a"`) || !strings.Contains(got, `"b"`)) {
			t.Errorf("the topic holds\n%s", got)
		}
	}
}

func TestMissingTopic(t *testing.T) {
	r := newRig(t)
	r.must()
	r.o.Topics.NoCreate = true
	r.o.Topics.CleanupPolicy = "compact"
	_, err := r.run(newStory().transaction(insert(relationOf("items"), 1, "x")).cut())
	want := "kafka-topics.sh --bootstrap-server " + r.brokers + " --create --topic p.public.items " +
		"--partitions 3 " +
		"--replication-factor 1 --config cleanup.policy=compact"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("want %q, got %v", want, err)
	}
}

// TestSplitElsewhere holds that a position inside a transaction is not skipped to when the server sends
// another one.
func TestSplitElsewhere(t *testing.T) {
	a, b := relationOf("a"), relationOf("b")
	r := newRig(t)
	r.o.WindowRecords = 1
	crash := 3
	r.o.step = func(s step) error {
		if s == stepCommitted {
			if crash--; crash == 0 {
				return errCrashed
			}
		}
		return nil
	}
	big := func(second *schema.Relation) *decoder.Batch {
		return newStory().transaction(insert(a, 1, "x"), insert(a, 2, "x"), insert(second, 3, "x"), insert(a, 4,
			"x")).cut()
	}
	if _, err := r.run(big(a)); !errors.Is(err, errCrashed) {
		t.Fatalf("want a crash, got %v", err)
	}
	r.o.step = nil
	var split *SplitError
	if _, err := r.run(big(b)); !errors.As(err, &split) || !split.NeedsPerson() ||
		split.ErrorCode() != "E405" {
		t.Errorf("want a *SplitError, got %v", err)
	}
	r.must(big(a))
	if got := len(r.read("p.public.a")); got != 4 {
		t.Errorf("want 4 records, got %d", got)
	}
}

// TestSplitKeepsItsPredecessor has a crash in the middle of a transaction that follows one of which the
// publisher has seen nothing: what is stored is the last commit that its records named.
func TestSplitKeepsItsPredecessor(t *testing.T) {
	a := relationOf("a")
	r := newRig(t)
	r.o.WindowRecords = 1
	crash := 3
	r.o.step = func(s step) error {
		if s == stepCommitted {
			if crash--; crash == 0 {
				return errCrashed
			}
		}
		return nil
	}
	s := newStory().transaction(insert(a, 1, "before"))
	s.lsn, s.last = s.lsn+1000, 3050 // one that touched nothing captured
	s.transaction(insert(a, 2, "x"), insert(a, 3, "x"), insert(a, 4, "x"), insert(a, 5, "x"))
	if _, err := r.run(s.cut()); !errors.Is(err, errCrashed) {
		t.Fatalf("want a crash, got %v", err)
	}
	stored := r.stored()
	if stored.Split == nil || stored.Position.Commit != 4000 || stored.LastCommit != 3050 {
		t.Errorf("stored in the middle of 0/FA0: got %+v", stored)
	}
}

// TestRealKafka crashes at random steps against the Kafka that TRIBUTARY_TEST_KAFKA names.
func TestRealKafka(t *testing.T) {
	brokers := local.RealKafka(t)
	a, b := relationOf("a"), relationOf("b")
	reference := newRig(t)
	reference.o.Skip = []schema.Op{}
	reference.must(workload(a, b)...)
	prefix := "tributary-test-" + strings.ToLower(newRun()[:8])
	r := rigOn(t, brokers, prefix)
	t.Cleanup(func() {
		client, err := kgo.NewClient(r.o.Client...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		topics := newTopics(&r.o, client)
		_, err = topics.admin.DeleteTopics(context.Background(), prefix+".positions", prefix+".ledger",
			prefix+".public.a", prefix+".public.b")
		if err != nil {
			t.Error(err)
		}
	})
	r.o.Skip, r.o.WindowRecords = []schema.Op{}, 2
	steps := []step{stepBegun, stepProduced, stepStoring, stepFlushed, stepCommitted, stepConfirmed}
	crashes := 0
	for ; crashes < 50; crashes++ {
		at, countdown := steps[rand.IntN(len(steps))], 1+rand.IntN(3)
		r.o.step = func(now step) error {
			if now == at {
				if countdown--; countdown == 0 {
					return errCrashed
				}
			}
			return nil
		}
		_, err := r.feed(func(s *Stored) []*decoder.Batch {
			if s == nil {
				return workload(a, b)
			}
			return after(workload(a, b), s.Resume)
		})
		if err == nil {
			break
		}
		if !errors.Is(err, errCrashed) {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"a", "b"} {
		want, got := texts(reference.read("p.public."+table)), texts(r.read(prefix+".public."+table))
		if got != want {
			t.Errorf("%s after %d crashes: want\n%s\ngot\n%s", table, crashes, want, got)
		}
	}
	auditLedger(t, r, prefix+".public.a", prefix+".public.b")
	t.Logf("%d crashes", crashes)
}

package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

func TestExactlyOnce(t *testing.T) {
	r := newRig(t)
	items := relationOf("items")
	s := newStory().
		transaction(insert(items, 1, "one"), insert(items, 2, "-")).
		transaction(decoder.Change{Op: schema.OpDelete, Relation: items, Old: keyOnly(1), OldIsKey: true})
	p := r.must(s.cut())
	got := texts(r.read("p.public.items"))
	for _, want := range []string{
		`{"id":1} {"before":null,"after":{"id":1,"v":"one"},"transaction":null,"op":"c"}`,
		`{"id":2} {"before":null,"after":{"id":2,"v":null},"transaction":null,"op":"c"}`,
		`{"id":1} {"before":{"id":1,"v":null},"after":null,"transaction":null,"op":"d"}` + "\n" + `{"id":1} null`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want a record\n%s\ngot\n%s", want, got)
		}
	}
	if want := decoder.LSN(3050); p.Confirmed() != want {
		t.Errorf("Confirmed: want %v, got %v", want, p.Confirmed())
	}
	stored := r.stored()
	if stored.Position != (decoder.Position{Commit: 3000, Ordinal: 1}) || stored.Resume != 3050 ||
		stored.LastCommit != 3050 {
		t.Errorf("stored: got %+v", stored)
	}
	if stored.Identity != r.o.Identity || stored.Split != nil || stored.Window == 0 {
		t.Errorf("stored: got %+v", stored)
	}
	status := p.Status()
	if len(status.Tables) != 1 || status.Tables[0].Create != 2 || status.Tables[0].Delete != 1 ||
		status.Records != 4 {
		t.Errorf("status: got %+v", status)
	}
	auditLedger(t, r, "p.public.items")
}

// auditLedger recounts topics and compares with the ledger.
func auditLedger(t *testing.T, r *rig, topics ...string) {
	t.Helper()
	want := make(map[string]*tally)
	at := func(topic, partition string) *tally {
		key := topic + "/" + partition
		if want[key] == nil {
			want[key] = &tally{}
		}
		return want[key]
	}
	for _, topic := range topics {
		for _, rec := range r.read(topic) {
			at(topic, fmt.Sprint(rec.Partition)).add(rec.Key, rec.Value)
		}
	}
	got := make(map[string]*tally)
	window := uint64(0)
	for _, rec := range r.read(r.o.LedgerTopic) {
		var l LedgerRecord
		if err := json.Unmarshal(rec.Value, &l); err != nil {
			t.Fatalf("ledger: %v", err)
		}
		if l.Window != window+1 {
			t.Errorf("ledger: window %d follows %d", l.Window, window)
		}
		window = l.Window
		for topic, partitions := range l.Partitions {
			for partition, count := range partitions {
				key := topic + "/" + partition
				if got[key] == nil {
					got[key] = &tally{}
				}
				var crc uint32
				if _, err := fmt.Sscanf(count.CRC32C, "%08x", &crc); err != nil {
					t.Fatalf("ledger: %v", err)
				}
				got[key].join(tally{count.Records, count.Bytes, crc})
			}
		}
	}
	for key, count := range want {
		if got[key] == nil || *got[key] != *count {
			t.Errorf("ledger of %s: want %+v, got %+v", key, *count, got[key])
		}
	}
	if len(got) != len(want) {
		t.Errorf("ledger: want %d partitions, got %d", len(want), len(got))
	}
}

// workload is a stream with every shape that matters to windows: whole and split transactions, several
// tables, key changes, deletes and a truncate of two tables, which is one message.
func workload(a, b *schema.Relation) []*decoder.Batch {
	s := newStory()
	var batches []*decoder.Batch
	s.transaction(insert(a, 1, "a1"), insert(b, 1, "b1"))
	s.transaction(insert(a, 2, "a2"))
	batches = append(batches, s.cut())
	s.part(true, false, insert(a, 3, "a3"), insert(a, 4, "a4"), decoder.Change{
		Op: schema.OpUpdate, Relation: a, Old: keyOnly(4), OldIsKey: true, New: rowOf(5, "a5"),
	})
	batches = append(batches, s.cut())
	s.part(false, false,
		decoder.Change{Ordinal: 4, Op: schema.OpTruncate, Relation: a},
		decoder.Change{Ordinal: 4, Op: schema.OpTruncate, Relation: b},
		decoder.Change{Ordinal: 5, Op: schema.OpDelete, Relation: b, Old: keyOnly(1), OldIsKey: true})
	batches = append(batches, s.cut())
	s.part(false, true, decoder.Change{Ordinal: 6, Op: schema.OpCreate, Relation: a, New: rowOf(6, "a6")})
	s.transaction(insert(b, 7, "b7"), insert(a, 8, "a8"))
	return append(batches, s.cut())
}

// after returns what the server sends again of the stream when it starts at resume: whole transactions only.
func after(batches []*decoder.Batch, resume decoder.LSN) []*decoder.Batch {
	var again []*decoder.Batch
	for _, b := range batches {
		left := *b
		left.Transactions = slices.DeleteFunc(slices.Clone(b.Transactions), func(t decoder.Transaction) bool {
			return t.Commit < resume
		})
		again = append(again, &left)
	}
	return again
}

// contents returns keys, ops and values of all topics, in order within each partition.
func contents(r *rig) string {
	var b strings.Builder
	for _, topic := range []string{"p.public.a", "p.public.b", "p.transaction"} {
		for _, rec := range r.read(topic) {
			fmt.Fprintf(&b, "%s/%d %s %s\n", topic, rec.Partition, rec.Key, sourceless(rec))
		}
	}
	return b.String()
}

// sourceless returns a value without what depends on the clock.
func sourceless(rec *kgo.Record) string {
	if strings.HasSuffix(rec.Topic, ".transaction") {
		return string(rec.Value)
	}
	return brief(rec.Value)
}

// TestWindowsSplitAnywhere runs the workload with windows of every size, and expects the same log.
func TestWindowsSplitAnywhere(t *testing.T) {
	want := ""
	for limit := 1; limit <= 16; limit++ {
		r := newRig(t)
		r.o.WindowRecords, r.o.Skip, r.o.Transactions = limit, []schema.Op{}, true
		r.must(workload(relationOf("a"), relationOf("b"))...)
		got := contents(r)
		if limit == 1 {
			want = got
			if !strings.Contains(want, `"event_count":8`) {
				t.Fatalf("want a transaction of 8 changes, got\n%s", want)
			}
		}
		if got != want {
			t.Errorf("windows of %d records: want\n%s\ngot\n%s", limit, want, got)
		}
		auditLedger(t, r, "p.public.a", "p.public.b", "p.transaction")
	}
}

// TestCrashAtEveryStep kills the publisher behind every step of every window, for windows of several sizes,
// starts it again from the stored position, and expects each record once.
func TestCrashAtEveryStep(t *testing.T) {
	reference := newRig(t)
	reference.o.Skip, reference.o.Transactions = []schema.Op{}, true
	a, b := relationOf("a"), relationOf("b")
	reference.must(workload(a, b)...)
	want := contents(reference)
	for _, at := range []step{stepBegun, stepProduced, stepStoring, stepFlushed, stepCommitted, stepConfirmed} {
		for _, limit := range []int{1, 2, 3, 5} {
			t.Run(fmt.Sprintf("%s/%d", at, limit), func(t *testing.T) {
				r := newRig(t)
				r.o.WindowRecords, r.o.Skip, r.o.Transactions = limit, []schema.Op{}, true
				crashes, confirmed := 0, decoder.LSN(0)
				for round := 1; ; round++ {
					countdown := round%9 + 1 // some windows take several steps of a kind
					r.o.step = func(now step) error {
						if now == at {
							if countdown--; countdown == 0 {
								return errCrashed
							}
						}
						return nil
					}
					p, err := r.feed(func(s *Stored) []*decoder.Batch {
						resume := r.o.Start
						if s != nil {
							resume = s.Resume
						}
						if confirmed > resume {
							t.Fatalf("confirmed %v, stored %v", confirmed, resume)
						}
						return after(workload(a, b), resume)
					})
					confirmed = p.Confirmed()
					if err == nil {
						break
					}
					if !errors.Is(err, errCrashed) {
						t.Fatalf("round %d: %v", round, err)
					}
					if crashes++; crashes > 100 {
						t.Fatal("no progress")
					}
				}
				if crashes == 0 {
					t.Fatal("nothing crashed")
				}
				if got := contents(r); got != want {
					t.Errorf("after %d crashes: want\n%s\ngot\n%s", crashes, want, got)
				}
				auditLedger(t, r, "p.public.a", "p.public.b", "p.transaction")
			})
		}
	}
}

// TestLargeTransactionNeverEnds has the stream end inside of a transaction of several windows: what came
// before it must be published, and nothing of it, so that it comes again whole.
func TestLargeTransactionNeverEnds(t *testing.T) {
	relation := relationOf("a")
	for name, poison := range map[string]bool{"end of the stream": false, "a value that is refused": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.o.WindowRecords = 80 // 10 in each window
			s := newStory().transaction(insert(relation, 1, "before")).transaction(insert(relation, 2, "before"))
			var large []decoder.Change
			for id := range 40 {
				large = append(large, insert(relation, 100+id, "large"))
			}
			if poison {
				large = append(large, decoder.Change{
					Op: schema.OpCreate, Relation: relation,
					New: schema.Row{{Kind: schema.Text, Text: []byte("x")}, {}},
				})
			}
			p, err := r.run(s.part(true, false, large...).cut())
			if (err != nil) != poison {
				t.Fatalf("Run: %v", err)
			}
			if got := texts(r.read("p.public.a")); strings.Count(got, "\n") != 2 || strings.Contains(got, "large") {
				t.Errorf("want the two records before the transaction, got\n%s", got)
			}
			if stored := r.stored(); stored.Resume != 3050 || stored.Split != nil || p.Confirmed() != 3050 {
				t.Errorf("want the position before the transaction, got %+v", stored)
			}
		})
	}
}

// TestLargeTransactionIsWhole has a transaction of several windows between others: it must be one delivery
// window, as long as it is within the limits of one.
func TestLargeTransactionIsWhole(t *testing.T) {
	relation := relationOf("a")
	r := newRig(t)
	r.o.WindowRecords = 80
	s := newStory()
	for range 5 {
		s.transaction(insert(relation, 1, "small"))
	}
	var large []decoder.Change
	for id := range 60 {
		large = append(large, insert(relation, 100+id, "large"))
	}
	s.transaction(large...)
	for range 5 {
		s.transaction(insert(relation, 2, "small"))
	}
	r.must(s.cut())
	auditLedger(t, r, "p.public.a")
	at := decoder.LSN(7000) // the sixth of the transactions
	for _, rec := range r.read(r.o.LedgerTopic) {
		var l LedgerRecord
		if err := json.Unmarshal(rec.Value, &l); err != nil {
			t.Fatal(err)
		}
		if l.First.Commit == at && l.First.Ordinal != 1 || l.Last.Commit == at && l.Last.Ordinal != 60 {
			t.Errorf("window %d: from %+v to %+v is a part of the transaction", l.Window, l.First, l.Last)
		}
	}
	if got := strings.Count(texts(r.read("p.public.a")), "\n"); got != 70 {
		t.Errorf("want 70 records, got %d", got)
	}
}

// TestLoadSharesTransactions publishes windows behind each of which more is to be expected: they must share
// transactions, each of which costs the broker the same whatever it holds.
func TestLoadSharesTransactions(t *testing.T) {
	const batches = 40
	relation := relationOf("a")
	r := newRig(t)
	r.o.WindowRecords = loadedShare * deliveryParts // one record is as much as tells of load
	produced := make(chan struct{}, batches)
	r.o.step = func(at step) error {
		if at == stepProduced {
			produced <- struct{}{}
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	p, err := Open(ctx, r.o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	in, done := make(chan *decoder.Batch), make(chan error, 1)
	go func() { done <- p.Run(ctx, in) }()
	s := newStory()
	for id := range batches {
		in <- s.transaction(insert(relation, id, "x")).cut()
		<-produced // each is a window of its own
	}
	close(in)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := len(r.read(r.o.LedgerTopic)); got == batches {
		t.Errorf("each of %d windows had a transaction of its own", got)
	}
	auditLedger(t, r, "p.public.a")
}

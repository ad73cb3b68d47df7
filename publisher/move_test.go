package publisher

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
)

// TestMove moves a position back while a run is open elsewhere: it fences that run, and the next one goes on
// from the new position, in the new epoch.
func TestMove(t *testing.T) {
	r := newRig(t)
	items := relationOf("items")
	first := newStory().transaction(insert(items, 1, "one")).transaction(insert(items, 2, "two"))
	r.must(first.cut())
	before := r.stored()
	old, err := Open(t.Context(), r.o)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()

	moved := *before
	moved.Position, moved.Resume, moved.LastCommit = decoder.Position{Commit: 2050}, 2050, 2050
	moved.Epoch, moved.Window = before.Epoch+1, 0
	if err := Move(t.Context(), r.o, moved); err != nil {
		t.Fatal(err)
	}
	s := r.stored()
	if s.Resume != 2050 || s.Epoch != before.Epoch+1 || s.Window != 0 || s.Identity != r.o.Identity {
		t.Errorf("stored: %+v", s)
	}
	in := make(chan *decoder.Batch, 1)
	in <- newStory().transaction(insert(items, 9, "ghost")).transaction(insert(items, 9, "ghost")).
		transaction(insert(items, 9, "ghost")).cut()
	close(in)
	var fenced *FencedError
	if err := old.Run(t.Context(), in); !errors.As(err, &fenced) {
		t.Errorf("the run that was open: %v", err)
	}
	// The server sends again what committed behind the position.
	again := newStory().transaction(insert(items, 1, "one")).transaction(insert(items, 2, "two"))
	r.must(again.cut())
	got := texts(r.read("p.public.items"))
	if strings.Count(got, `"one"`) != 1 || strings.Count(got, `"two"`) != 2 || strings.Contains(got, "ghost") {
		t.Errorf("records:\n%s", got)
	}
	if s := r.stored(); s.Epoch != before.Epoch+1 || s.Window != 1 {
		t.Errorf("behind the move: %+v", s)
	}
}

// TestRewindPending says that a position under a rewind is none to stream from, and that it survives storing.
func TestRewindPending(t *testing.T) {
	r := newRig(t)
	r.must(newStory().transaction(insert(relationOf("items"), 1, "one")).cut())
	noted := *r.stored()
	noted.Rewind = &Rewind{To: 2000, LastCommit: 1990, Failover: true, Began: time.Unix(1, 0).UTC()}
	if err := Move(t.Context(), r.o, noted); err != nil {
		t.Fatal(err)
	}
	s := r.stored()
	if s.Rewind == nil || *s.Rewind != *noted.Rewind || s.Resume != noted.Resume {
		t.Fatalf("stored: %+v", s)
	}
	var pending *RewindError
	err := s.Verify(Server{Identity: r.o.Identity, End: 1 << 40})
	if !errors.As(err, &pending) || !pending.NeedsPerson() || pending.ErrorCode() != "E406" ||
		!strings.Contains(err.Error(), "--to-lsn 0/7D0") {
		t.Errorf("Verify: %v", err)
	}
}

// TestHistory reads a pipeline's windows among those of others.
func TestHistory(t *testing.T) {
	r := newRig(t)
	items := relationOf("items")
	s := newStory()
	r.must(s.transaction(insert(items, 1, "one")).cut())
	replay := *r
	replay.o.Slot = r.o.Slot + "/replay"
	replay.must(newStory().transaction(insert(items, 1, "one")).cut())
	r.must(s.transaction(insert(items, 2, "two")).cut())
	read := func(topic string, since time.Time) (windows []uint64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err := History(ctx, r.o.Client, topic, r.o.Pipeline, r.o.Slot, since, func(l LedgerRecord) error {
			if l.Slot != r.o.Slot || l.Resume == 0 {
				t.Errorf("window %+v", l)
			}
			windows = append(windows, l.Window)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return windows
	}
	if got := read(r.o.LedgerTopic, time.Time{}); len(got) != 2 || got[0] != 1 || got[1] != 2 {
		t.Errorf("windows %v", got)
	}
	if got := read(r.o.LedgerTopic, time.Now().Add(time.Hour)); len(got) != 0 {
		t.Errorf("windows of the future: %v", got)
	}
	if got := read("no.such.topic", time.Time{}); len(got) != 0 {
		t.Errorf("windows of no topic: %v", got)
	}
	stop := errors.New("enough")
	err := History(t.Context(), r.o.Client, r.o.LedgerTopic, r.o.Pipeline, r.o.Slot, time.Time{},
		func(LedgerRecord) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("a reader that has enough: %v", err)
	}
}

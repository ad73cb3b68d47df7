package decoder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// whole is a transaction as it was received.
type whole struct {
	commit, end LSN
	ids         []string
}

// TestInterleaved stops after exactly one transaction, for each of many that overlap and whose commit
// records stand back to back, and expects every later one whole, and no earlier one, when the stream starts
// there again: once as the server cuts it off, once as a stored position does.
func TestInterleaved(t *testing.T) {
	onLanes(t, func(t *testing.T, db *database) {
		db.prepare()
		db.overlap(12)
		all := db.receive(0, 0, 36)
		backToBack, backwards := 0, 0
		for i := 1; i < len(all); i++ {
			if all[i].commit == all[i-1].end {
				backToBack++
			}
			if all[i].commit < all[i-1].end {
				backwards++
			}
		}
		if backToBack == 0 {
			t.Error("no commit record begins where the one before ends: the test shows nothing")
		}
		if backwards > 0 {
			t.Errorf("%d transactions commit before the end of the one before", backwards)
		}
		for i, after := range all {
			if db.catchUp.Bytes > 0 && i%4 != 0 {
				continue // each way into that lane takes a while
			}
			want := all[i+1:]
			for name, got := range map[string][]whole{
				"start":  db.receive(after.end, 0, len(want)),
				"resume": db.receive(0, after.end, len(want)),
			} {
				if !slices.EqualFunc(got, want, func(a, b whole) bool {
					return a.commit == b.commit && a.end == b.end && slices.Equal(a.ids, b.ids)
				}) {
					t.Errorf("%s after transaction %d, at %s: want %v, got %v", name, i, after.end, want, got)
				}
			}
		}
		if want := db.catchUp.Bytes > 0; db.crossings > 0 != want {
			t.Errorf("read through SQL: %t, want %t", !want, want)
		}
	})
}

// overlap commits three transactions a round: two interleaved ones, one right behind the other, and one
// that lies inside of the first, so that rows of a later commit stand before those of an earlier one.
func (db *database) overlap(rounds int) {
	db.t.Helper()
	a, b, c := dial(db.t, db.connect), dial(db.t, db.connect), dial(db.t, db.connect)
	defer closeQuietly(a)
	defer closeQuietly(b)
	defer closeQuietly(c)
	for i := range rounds {
		insert := func(n int) string { return fmt.Sprintf("INSERT INTO public.t VALUES (%d, 'v')", 10*i+n) }
		query(db.t, a, "BEGIN; "+insert(1))
		query(db.t, c, insert(2))
		query(db.t, b, "BEGIN; "+insert(3))
		query(db.t, a, insert(4))
		query(db.t, b, insert(5))
		query(db.t, a, "COMMIT")
		query(db.t, b, "COMMIT")
	}
}

// receive streams from start, or as if the slot had stood at resume, until n transactions have come, and a
// little longer when there should be no more. It confirms nothing, so that the next one begins where this
// one did.
func (db *database) receive(start, resume LSN, n int) []whole {
	db.t.Helper()
	o := db.options()
	o.Start = start
	stop := make(chan struct{})
	o.Stop, o.StopTimeout = stop, time.Millisecond
	s, err := Open(context.Background(), o)
	if err != nil {
		db.t.Fatal(err)
	}
	if resume > 0 {
		s.SetResume(resume, 0)
	}
	out, done := make(chan *Batch, 1), make(chan error, 1)
	go func() { done <- s.Run(context.Background(), out); close(out) }()
	var all []whole
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	if n == 0 {
		limit.Reset(300 * time.Millisecond)
	}
	defer func() { db.crossings += s.catchUps }() // Run has ended
	stopping := false
	for {
		select {
		case b, more := <-out:
			if !more {
				if err := <-done; err != nil && !errors.Is(err, ErrStopped) {
					db.t.Fatal(err)
				}
				return all
			}
			all = appendWhole(all, b)
			b.Release()
		case <-limit.C:
			n = 0
		}
		// A slow machine may hand over the last one in parts.
		if complete := len(all) >= n && (n == 0 || all[n-1].end > 0); complete && !stopping {
			stopping = true
			close(stop)
		}
	}
}

// appendWhole adds a batch's transactions, of which the last one before may go on.
func appendWhole(all []whole, b *Batch) []whole {
	for _, t := range b.Transactions {
		if t.First {
			all = append(all, whole{commit: t.Commit})
		}
		last := &all[len(all)-1]
		for _, c := range t.Changes {
			last.ids = append(last.ids, string(c.New[0].Text))
		}
		if t.Last {
			last.end = t.End
		}
	}
	return all
}

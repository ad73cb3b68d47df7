package decoder

import (
	"context"
	"sync"
	"testing"
	"time"
)

// TestRealFollow holds up the making of a slot by an open transaction. The stream goes on up to what the
// point is known to be past, and stands exactly at the point in the end.
func TestRealFollow(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		created := db.prepare()
		o := db.options()
		o.Conn = created.Conn
		s := db.stream(o)
		blocker := dial(t, db.connect)
		if _, err := blocker.Exec(context.Background(), "BEGIN; INSERT INTO public.t VALUES (1, 'open')").ReadAll(); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex // guards limit and past
		limit, past := Limit{LSN: 1}, LSN(0)
		set := func(l Limit) {
			mu.Lock()
			defer mu.Unlock()
			limit = l
		}
		made := make(chan *CreatedSlot, 1)
		go func() {
			later, err := CreateSlot(context.Background(), CreateOptions{
				Connect: db.connect, Name: db.name + "_later", Temporary: true,
				Past: func(lsn LSN) {
					set(Limit{LSN: lsn})
					mu.Lock()
					defer mu.Unlock()
					past = lsn
				},
			})
			if err != nil {
				t.Error(err)
				set(Limit{Final: true})
			} else {
				set(Limit{LSN: later.Point, Final: true})
			}
			made <- later
		}()
		db.exec("INSERT INTO public.t VALUES (2, 'beside')")
		out, ended := make(chan *Batch, 10), make(chan error, 1)
		go func() {
			ended <- s.Follow(context.Background(), func() Limit {
				mu.Lock()
				defer mu.Unlock()
				return limit
			}, out)
		}()
		deadline := time.After(30 * time.Second)
		for got := ""; got != "beside"; {
			select {
			case b := <-out:
				for _, transaction := range b.Transactions {
					for _, c := range transaction.Changes {
						got = string(c.New[1].Text)
					}
				}
				b.Release()
			case <-deadline:
				t.Fatal("the stream did not go on while the slot's creation waited")
			}
		}
		if _, err := blocker.Exec(context.Background(), "COMMIT").ReadAll(); err != nil {
			t.Fatal(err)
		}
		later := <-made
		if err := <-ended; err != nil || later == nil {
			t.Fatal(err)
		}
		defer closeQuietly(later.Conn)
		db.exec("INSERT INTO public.t VALUES (3, 'after')")
		mu.Lock()
		defer mu.Unlock()
		if past == 0 || past > later.Point {
			t.Errorf("the point was said to be past %s, and is %s", past, later.Point)
		}
		if got := collect(out); got != "open" {
			t.Errorf("at the point came %q, want the transaction that was waited for", got)
		}
		if caught := s.Status().CaughtUp; time.Since(caught) > 30*time.Second {
			t.Errorf("caught up at %s", caught)
		}
	})
}

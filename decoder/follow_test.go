package decoder

import (
	"context"
	"sync"
	"testing"
	"time"
)

// movingLimit is the limit of a stream while a slot is made: past is where its point was said to be past.
type movingLimit struct {
	mu    sync.Mutex // guards what follows
	limit Limit
	past  LSN
}

func (m *movingLimit) set(l Limit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !l.Final {
		m.past = l.LSN
	}
	m.limit = l
}

func (m *movingLimit) get() Limit {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limit
}

// create makes a temporary slot and moves the limit; it returns nil when that failed.
func (m *movingLimit) create(t *testing.T, db *database) *CreatedSlot {
	later, err := CreateSlot(context.Background(), CreateOptions{
		Connect: db.connect, Name: db.name + "_later", Temporary: true,
		Past: func(lsn LSN) { m.set(Limit{LSN: lsn}) },
	})
	if err != nil {
		t.Error(err)
		m.set(Limit{Final: true})
		return nil
	}
	m.set(Limit{LSN: later.Point, Final: true})
	return later
}

// TestRealFollow holds up the making of a slot by an open transaction. The stream goes on up to what the
// point is known to be past, and stands exactly at the point in the end.
func TestRealFollow(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		created := db.prepare()
		o := db.options()
		o.Conn = created.Conn
		s := db.stream(o)
		blocker := dial(t, db.connect)
		open := "BEGIN; INSERT INTO public.t VALUES (1, 'open')"
		if _, err := blocker.Exec(context.Background(), open).ReadAll(); err != nil {
			t.Fatal(err)
		}
		limit := &movingLimit{limit: Limit{LSN: 1}}
		made := make(chan *CreatedSlot, 1)
		go func() { made <- limit.create(t, db) }()
		db.exec("INSERT INTO public.t VALUES (2, 'beside')")
		out, ended := make(chan *Batch, 10), make(chan error, 1)
		go func() { ended <- s.Follow(context.Background(), limit.get, out) }()
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
		if past := limit.past; past == 0 || past > later.Point {
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

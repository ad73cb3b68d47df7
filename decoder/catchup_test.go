package decoder

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pending is a change that is not durable, of a transaction that Confirm must be beyond.
type pending struct {
	before LSN
	line   string
}

// ledger is what a receiver has made durable: the changes of every batch up to the last that confirmed.
// Safe for concurrent use.
type ledger struct {
	before    func(*Batch) // if set, is called with each batch before it is taken
	whole     bool         // nothing is durable while a transaction has come in part
	mu        sync.Mutex   // guards what follows
	held      LSN          // what that transaction holds back
	lines     []string
	pending   []pending
	confirmed atomic.Uint64
}

// take notes a batch as a publisher would store it.
func (l *ledger) take(b *Batch) {
	if l.before != nil {
		l.before(b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range b.Transactions {
		for i := range t.Changes {
			c := &t.Changes[i]
			var row strings.Builder
			for _, d := range append(c.Old[:len(c.Old):len(c.Old)], c.New...) {
				fmt.Fprintf(&row, "|%d%.20s", d.Kind, d.Text)
			}
			before := t.Commit
			if t.isLone() {
				before--
			}
			l.pending = append(l.pending, pending{before, fmt.Sprintf("%s/%d %s %c after %s%s%s",
				t.Commit, c.Ordinal, c.LSN, c.Op, t.LastCommit, c.Prefix, row.String())})
		}
	}
	l.held = max(l.held, b.Confirm)
	if n := len(b.Transactions); l.whole && n > 0 && !b.Transactions[n-1].Last {
		return
	}
	if b.Confirm = l.held; b.Confirm > 0 {
		for len(l.pending) > 0 && l.pending[0].before < b.Confirm {
			l.lines, l.pending = append(l.lines, l.pending[0].line), l.pending[1:]
		}
		l.confirmed.Store(max(l.confirmed.Load(), uint64(b.Confirm)))
	}
}

// forget is a crash: what was not durable comes again.
func (l *ledger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending, l.held = nil, 0
}

func (l *ledger) at() LSN { return LSN(l.confirmed.Load()) }

// receiving is one life of a stream into a ledger.
type receiving struct {
	stream *Stream
	cancel context.CancelFunc
	stop   chan struct{}
	done   chan error
	taken  chan struct{} // closed when the ledger has taken all that was delivered
}

// follow streams into a ledger, from where it stands.
func (db *database) follow(o StreamOptions, l *ledger) *receiving {
	db.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &receiving{cancel: cancel, stop: make(chan struct{}), done: make(chan error, 1)}
	o.Stop, o.Confirmed = r.stop, l.at
	waitFor(db.t, "the slot", func() bool {
		s, err := Open(ctx, o)
		var busy *SlotBusyError
		if err != nil && !errors.As(err, &busy) {
			db.t.Fatal(err)
		}
		r.stream = s
		return err == nil
	})
	o.Conn = nil
	r.stream.SetResume(l.at(), 0)
	out := make(chan *Batch, 1)
	go func() {
		err := r.stream.Run(ctx, out)
		close(out)
		r.done <- err
	}()
	received := make(chan struct{})
	r.taken = received
	go func() {
		defer close(received)
		for b := range out {
			l.take(b)
			b.Release()
		}
	}()
	db.t.Cleanup(func() { cancel(); <-received })
	return r
}

// burst writes what crosses lanes in every way: transactions of all sizes that overlap, other shapes of the
// table, values out of line, keys that change, truncates and messages.
func (db *database) burst(seed uint64, writers int) {
	db.t.Helper()
	var all sync.WaitGroup
	for w := range writers {
		conn := dial(db.t, db.connect)
		r := rand.New(rand.NewPCG(seed, uint64(w)))
		all.Go(func() {
			defer closeQuietly(conn)
			for range 12 {
				if _, err := conn.Exec(context.Background(), db.statement(r, w)).ReadAll(); err != nil {
					db.t.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
}

// statement is one transaction; writer w has ids of its own.
func (db *database) statement(r *rand.Rand, w int) string {
	from := w*1000000 + r.IntN(500)
	switch r.IntN(12) {
	case 0:
		return fmt.Sprintf("INSERT INTO public.t SELECT i, repeat('v', 50) FROM generate_series(%d, %d) i "+
			"ON CONFLICT (id) DO UPDATE SET v = 'again'", from, from+3000)
	case 1:
		return fmt.Sprintf("ALTER TABLE public.t ADD COLUMN IF NOT EXISTS w%d int DEFAULT 7; "+
			"INSERT INTO public.t (id, v) VALUES (%d, 'added') ON CONFLICT DO NOTHING", w, from+600000)
	case 2:
		return fmt.Sprintf("ALTER TABLE public.t DROP COLUMN IF EXISTS w%d", w)
	case 3:
		// Out of line: an update that leaves it alone does not send it.
		return fmt.Sprintf("INSERT INTO public.t (id, v) SELECT %d, string_agg(md5(i::text), '') "+
			"FROM generate_series(1, 300) i ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v", w*1000000+700000)
	case 4:
		return fmt.Sprintf("DELETE FROM public.t WHERE id = %d; UPDATE public.t SET id = id + 1 WHERE id = %d",
			w*1000000+700001, w*1000000+700000)
	case 5:
		if r.IntN(4) == 0 {
			return "TRUNCATE public.t"
		}
		return fmt.Sprintf("DELETE FROM public.t WHERE id BETWEEN %d AND %d", from, from+50)
	case 6:
		return fmt.Sprintf("SELECT pg_logical_emit_message(%t, 'p', 'm')", r.IntN(2) == 0)
	case 7:
		return fmt.Sprintf("BEGIN; UPDATE public.t SET v = v || 'x' WHERE id BETWEEN %d AND %d; ROLLBACK",
			from, from+200)
	}
	return fmt.Sprintf("UPDATE public.t SET v = 'u%d' WHERE id BETWEEN %d AND %d", r.IntN(1000), from,
		from+r.IntN(40))
}

// reference reads the slot live and in one go, up to end.
func (db *database) reference(slot string, end LSN) []string {
	db.t.Helper()
	o, l := db.options(), &ledger{}
	o.Slot, o.CatchUp = slot, CatchUpOptions{}
	r := db.follow(o, l)
	waitFor(db.t, "the reference", func() bool { return l.at() >= end })
	close(r.stop)
	if err := <-r.done; err != nil {
		db.t.Fatal(err)
	}
	return l.lines
}

// compare holds two readings of one slot against each other. Of a transaction that came first after a
// restart LastCommit is not known.
func compare(t *testing.T, got, want []string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		known := got[i]
		if strings.Contains(known, " after 0/0") {
			before, rest, _ := strings.Cut(known, " after 0/0")
			_, tail, _ := strings.Cut(want[i], " after ")
			known = before + " after " + tail[:strings.IndexAny(tail+"|", "|p")] + rest
		}
		if known != want[i] {
			t.Fatalf("change %d: want %s, got %s", i, want[i], known)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d changes, want %d", len(got), len(want))
	}
}

func (db *database) walEnd() LSN {
	db.t.Helper()
	end, err := ParseLSN(db.exec("SELECT pg_current_wal_lsn()")[0][0])
	if err != nil {
		db.t.Fatal(err)
	}
	return end
}

// slotAndReference makes the slot, and a copy for the reference.
func (db *database) slotAndReference() (string, *CreatedSlot) {
	db.t.Helper()
	created := db.prepare()
	db.exec("ALTER TABLE public.t ALTER COLUMN v SET STORAGE EXTERNAL")
	reference := db.name + "_reference"
	if err := CopySlot(context.Background(), db.conn, db.slotName(), reference, false); err != nil {
		db.t.Fatal(err)
	}
	return reference, created
}

// TestCrossingLanes crosses from one lane to the other and back under load, and expects what the live lane
// alone reads: nothing lost, doubled, reordered or under another position.
func TestCrossingLanes(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		reference, created := db.slotAndReference()
		closeQuietly(created.Conn)
		o, l := db.options(), &ledger{}
		o.CatchUp = eager
		o.CatchUp.Bytes, o.CatchUp.Reopen = 256<<10, 1<<20
		r := db.follow(o, l)
		for seed := range uint64(4) {
			db.burst(seed, 3)
			end := db.walEnd()
			waitFor(t, "the stream", func() bool { return l.at() >= end && r.stream.Status().Lane == "live" })
		}
		end := db.walEnd()
		waitFor(t, "the end", func() bool { return l.at() >= end })
		status := r.stream.Status()
		close(r.stop)
		if err := <-r.done; err != nil {
			t.Fatal(err)
		}
		t.Logf("crossed %d times, reopened %d times, %d changes", status.CatchUps, status.Reopened, len(l.lines))
		if status.CatchUps < 2 || status.Reopened < 1 {
			t.Errorf("crossed %d times, reopened %d times: the test shows nothing", status.CatchUps,
				status.Reopened)
		}
		compare(t, l.lines, db.reference(reference, end))
	})
}

// TestReopenBetweenTransactions has a receiver that makes transactions durable whole, as a delivery window
// does: the main connection, which is opened anew only when all is durable, does not wait for what has come
// of a transaction so far. The round that was called ahead has begun one nearly always.
func TestReopenBetweenTransactions(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		reference, created := db.slotAndReference()
		closeQuietly(created.Conn)
		for i := range 40 {
			db.exec(fmt.Sprintf("INSERT INTO public.t SELECT i, repeat('x', 200) FROM generate_series(%d, %d) i",
				1+3000*i, 3000*(i+1)))
		}
		end := db.walEnd()
		o, l := db.options(), &ledger{whole: true}
		o.CatchUp = eager
		o.CatchUp.Bytes, o.CatchUp.Reopen = 128<<10, 512<<10
		r := db.follow(o, l)
		waitFor(t, "all transactions", func() bool { return l.at() >= end })
		status := r.stream.Status()
		close(r.stop)
		if err := <-r.done; err != nil {
			t.Fatal(err)
		}
		if status.CatchUps == 0 || status.Reopened < 2 {
			t.Errorf("crossed %d times, reopened %d times: the test shows nothing", status.CatchUps,
				status.Reopened)
		}
		compare(t, l.lines, db.reference(reference, end))
	})
}

// TestKilledBetweenLanes ends streams as a crash does: where the lane is crossed, while the slot is let go,
// and at random moments. What was durable is not read again, and nothing is missing.
func TestKilledBetweenLanes(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		reference, created := db.slotAndReference()
		closeQuietly(created.Conn)
		o, l := db.options(), &ledger{}
		o.CatchUp = eager
		o.CatchUp.Bytes, o.CatchUp.Reopen = 128<<10, 256<<10
		var enough atomic.Bool
		written := make(chan struct{})
		go func() {
			defer close(written)
			// No more than is read again in good time.
			for seed := uint64(100); !enough.Load() && seed < 140; seed++ {
				db.burst(seed, 2)
			}
		}()
		for _, point := range []string{"", pointCrossed, pointParted, "", pointCrossed, pointParted, ""} {
			db.die(o, l, point)
		}
		enough.Store(true)
		<-written
		end := db.walEnd()
		o.CatchUp.Reopen = 0 // what is left is read without delay
		db.follow(o, l).ends(t, db, l, reference, end)
	})
}

// die streams until a failpoint, or for a while.
func (db *database) die(o StreamOptions, l *ledger, point string) {
	db.t.Helper()
	// Far enough behind to cross at once, however fast this machine reads.
	db.exec("INSERT INTO public.t SELECT i, repeat('p', 100) FROM generate_series(9000001, 9004000) i " +
		"ON CONFLICT (id) DO UPDATE SET v = 'p' || public.t.id || random()")
	passed := make(chan struct{}, 1)
	o.Failpoint = func(name string) {
		if name != point {
			return
		}
		select {
		case passed <- struct{}{}:
		default:
		}
	}
	r := db.follow(o, l)
	limit := 10 * time.Second
	if point == "" {
		limit = 200 * time.Millisecond
	}
	select {
	case <-passed:
	case <-time.After(limit):
		if point != "" {
			// A stream that is always in the midst of a transaction does not cross: it is killed there, then.
			db.t.Logf("%s is not passed: %+v", point, r.stream.Status())
		}
	}
	r.cancel()
	if err := <-r.done; !errors.Is(err, context.Canceled) {
		db.t.Fatal(err)
	}
	<-r.taken
	l.forget()
}

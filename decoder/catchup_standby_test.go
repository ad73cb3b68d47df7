package decoder

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// laggard is a standby of which only the slot is there: what it has is what a test says.
type laggard struct {
	db     *database
	has    atomic.Uint64
	beyond atomic.Pointer[string] // what came although the standby does not have it
}

// advance has the standby receive what is before an LSN.
func (s *laggard) advance(to LSN) {
	s.db.t.Helper()
	s.has.Store(uint64(to))
	s.db.exec(fmt.Sprintf("SELECT pg_replication_slot_advance('laggard', '%s')", to))
}

// watch notes what leaves a stream too early.
func (s *laggard) watch(b *Batch) {
	has := LSN(s.has.Load())
	for _, t := range b.Transactions {
		if max(t.Commit, t.End) > has {
			text := fmt.Sprintf("%s to %s, the standby has %s", t.Commit, t.End, has)
			s.beyond.CompareAndSwap(nil, &text)
		}
	}
}

// withStandby makes the slot a failover slot, which waits for a standby that has nothing yet, and a reference
// that does not wait.
func withStandby(t *testing.T, m *mortal) (db *database, reference string, s *laggard) {
	t.Helper()
	db = m.database(t)
	reference, created := db.slotAndReference()
	closeQuietly(created.Conn)
	db.exec("SELECT pg_create_physical_replication_slot('laggard', true)")
	t.Cleanup(func() {
		db.exec("ALTER SYSTEM RESET synchronized_standby_slots")
		db.exec("SELECT pg_reload_conf()")
		db.exec("SELECT pg_drop_replication_slot('laggard')")
	})
	db.exec("ALTER SYSTEM SET synchronized_standby_slots = 'laggard'")
	db.exec("SELECT pg_reload_conf()")
	waitFor(t, "the setting", func() bool {
		return db.exec("SHOW synchronized_standby_slots")[0][0] == "laggard"
	})
	o := db.connect
	o.Replication = true
	conn := dial(t, o)
	waitFor(t, "the slot to be free", func() bool { return !db.slot().Active })
	if err := SetFailover(context.Background(), conn, db.slotName()); err != nil {
		t.Fatal(err)
	}
	return db, reference, &laggard{db: db}
}

// megabytes writes so many of WAL, in transactions of one each, and returns where it ends.
func (db *database) megabytes(n int) LSN {
	db.t.Helper()
	for range n {
		db.exec("INSERT INTO public.t SELECT coalesce((SELECT max(id) FROM public.t), 0) + i, " +
			"repeat('x', 1000) FROM generate_series(1, 850) i")
	}
	return db.walEnd()
}

// ends stops a stream that has come to an end, and compares.
func (r *receiving) ends(t *testing.T, db *database, l *ledger, reference string, end LSN) {
	t.Helper()
	waitFor(t, "the end", func() bool { return l.at() >= end })
	close(r.stop)
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	compare(t, l.lines, db.reference(reference, end))
}

// TestStandbysBoundTheLane has the standby that a failover slot waits for lag behind: nothing that it does
// not have leaves in the catch-up lane, which follows it a while and is then left for the live one.
func TestStandbysBoundTheLane(t *testing.T) {
	onMortalServers(t, []int{17, 18}, func(t *testing.T, m *mortal) {
		db, reference, standby := withStandby(t, m)
		o, l := db.options(), &ledger{before: standby.watch}
		o.CatchUp = eager
		o.CatchUp.wait = true
		o.CatchUp.stall = 2 * time.Second
		first := db.megabytes(5)
		second := db.megabytes(5)
		end := db.megabytes(5)
		standby.advance(first)
		r := db.follow(o, l)
		waitFor(t, "the lane", func() bool { return r.stream.Status().Lane == "catch-up" })
		waitFor(t, "most of what the standby has", func() bool { return l.at() > first-3<<20 })
		standby.advance(second)
		waitFor(t, "most of what the standby has now", func() bool { return l.at() > second-3<<20 })
		waitFor(t, "the way back", func() bool {
			return strings.Contains(r.stream.Status().Refusal, errStandbys.Error())
		})
		if n := r.stream.Status().CatchUps; n != 1 {
			t.Errorf("the lane was taken %d times", n)
		}
		standby.advance(db.walEnd())
		r.ends(t, db, l, reference, end)
		if text := standby.beyond.Load(); text != nil {
			t.Errorf("came too early: %s", *text)
		}
	})
}

// TestRecordBeyondTheStandbys has a record end beyond the standbys where a round's limit lies within it: a
// round cannot end in its midst, and nothing is taken of it.
func TestRecordBeyondTheStandbys(t *testing.T) {
	onMortalServers(t, []int{17, 18}, func(t *testing.T, m *mortal) {
		db, reference, standby := withStandby(t, m)
		o, l := db.options(), &ledger{before: standby.watch}
		o.CatchUp = eager
		o.CatchUp.wait = true
		o.CatchUp.least = 4 << 20
		from := db.megabytes(6)
		// No more than two calls are made: one of 4 MiB, one up to the standby's position less the margin.
		if least := from - db.slot().Confirmed; least < 5<<20 || least > 7<<20 {
			t.Fatalf("%d bytes of WAL, want 6 MiB", least)
		}
		db.exec("SELECT pg_logical_emit_message(false, 'p', repeat('m', 3 * 1024 * 1024))")
		end := db.megabytes(1)
		standby.advance(from + standbyMargin + standbyMargin/2)
		r := db.follow(o, l)
		waitFor(t, "the refusal", func() bool {
			return strings.Contains(r.stream.Status().Refusal, errBeyond.Error())
		})
		standby.advance(db.walEnd())
		r.ends(t, db, l, reference, end)
		if text := standby.beyond.Load(); text != nil {
			t.Errorf("came too early: %s", *text)
		}
	})
}

package decoder

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// pile writes what a stream has to catch up with.
func (db *database) pile(rows int) {
	db.t.Helper()
	db.exec(fmt.Sprintf("INSERT INTO public.t SELECT i, repeat('x', 100) FROM generate_series(1, %d) i", rows))
}

// ending waits for the end of a stream that is expected to end by itself.
func (r *receiving) ending(t *testing.T, db *database) (err error) {
	t.Helper()
	ended, writer := false, dial(t, db.connect)
	waitFor(t, "the stream's end", func() bool {
		// Until the lane is taken the live one may be as fast as what is written.
		query(t, writer, "UPDATE public.t SET v = v || 'y' WHERE id < 1000")
		select {
		case err = <-r.done:
			ended = true
		default:
		}
		return ended
	})
	return err
}

// TestSlotTakenWhileReopened has another instance take the slot while the main connection is closed: the
// stream ends, as with any slot that another has, also when the other has gone again.
func TestSlotTakenWhileReopened(t *testing.T) {
	for _, stays := range []bool{true, false} {
		t.Run(fmt.Sprintf("stays=%t", stays), func(t *testing.T) {
			onServers(t, func(t *testing.T, db *database) {
				closeQuietly(db.prepare().Conn)
				db.pile(20000)
				o, l := db.options(), &ledger{}
				o.CatchUp = eager
				o.CatchUp.Reopen = 64 << 10
				var other *Stream
				o.Failpoint = func(name string) {
					if name != pointParted || other != nil {
						return
					}
					other = db.takeSlot(l.at())
					if !stays {
						db.moveOn(other)
					}
				}
				err := db.follow(o, l).ending(t, db)
				var busy *SlotBusyError
				switch {
				case !Retryable(err):
					t.Errorf("want an error that leads to another attempt, got %v", err)
				case stays && (!errors.As(err, &busy) || busy.PID != int(other.pid)):
					t.Errorf("want the slot busy, got %v", err)
				case !stays && !errors.Is(err, errTaken):
					t.Errorf("want the slot moved on, got %v", err)
				}
			})
		})
	}
}

// takeSlot takes the slot as another instance does. The session that had it may not be gone quite yet.
func (db *database) takeSlot(at LSN) (s *Stream) {
	o := db.options()
	o.CatchUp, o.Confirmed = CatchUpOptions{}, func() LSN { return at }
	waitFor(db.t, "the slot", func() bool {
		var err error
		s, err = Open(context.Background(), o)
		return err == nil
	})
	db.t.Cleanup(func() { closeStream(db.t, s) })
	return s
}

// moveOn has another instance publish the rest, and end.
func (db *database) moveOn(other *Stream) {
	db.exec("INSERT INTO public.t VALUES (-1, 'of the other')")
	end := db.walEnd()
	if err := other.goodbye(end); err != nil {
		db.t.Error(err)
	}
	waitFor(db.t, "the slot's new position", func() bool { return db.slot().Confirmed >= end })
}

func closeStream(t testing.TB, s *Stream) {
	if err := s.Close(); err != nil {
		t.Logf("close: %v", err)
	}
}

// TestCatchUpRefused stays with the replication protocol where the function is refused, before the lane is
// taken or in it, and where each call would have to decode too much again; and says why.
func TestCatchUpRefused(t *testing.T) {
	for _, test := range []struct {
		name, revoke, want string
		most               int64
	}{
		{"the copy", "pg_copy_logical_replication_slot(name, name, boolean)", "permission denied", 0},
		{"the call", "pg_logical_slot_get_binary_changes(name, pg_lsn, integer, text[])", "permission denied", 0},
		{"a long transaction", "", "open for long", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			onServers(t, func(t *testing.T, db *database) {
				reference, created := db.slotAndReference()
				closeQuietly(created.Conn)
				db.pile(20000)
				o, l := db.options(), &ledger{}
				o.CatchUp = eager
				o.CatchUp.most = test.most
				if test.revoke != "" {
					o.Connect = db.lesser(test.revoke)
				}
				end := db.walEnd()
				r := db.follow(o, l)
				waitFor(t, "the backlog and a refusal", func() bool {
					return l.at() >= end && r.stream.Status().Refusal != ""
				})
				if status := r.stream.Status(); status.Lane != "live" || !strings.Contains(status.Refusal, test.want) {
					t.Errorf("lane %s, refusal %q, want %q", status.Lane, status.Refusal, test.want)
				}
				close(r.stop)
				if err := <-r.done; err != nil {
					t.Fatal(err)
				}
				compare(t, l.lines, db.reference(reference, end))
			})
		})
	}
}

// lesser returns how to connect as a role that may replicate, but not call a function.
func (db *database) lesser(function string) ConnectOptions {
	role := db.name + "_role"
	db.exec("CREATE ROLE " + role + " LOGIN REPLICATION PASSWORD 'lesser'")
	db.t.Cleanup(func() { db.exec("DROP ROLE " + role) })
	db.exec("REVOKE EXECUTE ON FUNCTION pg_catalog." + function + " FROM PUBLIC")
	parsed, err := url.Parse(db.url)
	if err != nil {
		db.t.Fatal(err)
	}
	parsed.User = url.UserPassword(role, "lesser")
	return ConnectOptions{URL: parsed.String(), ApplicationName: "tributary/test"}
}

// TestCatchUpOfACopy reads a temporary copy through SQL to a point, as a replay does: the lane is not left,
// as there is no slot to come back to.
func TestCatchUpOfACopy(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		closeQuietly(db.prepare().Conn)
		const transactions, each = 40, 5000 // lanes are crossed between two
		for i := range transactions {
			db.exec(fmt.Sprintf("INSERT INTO public.t SELECT i, repeat('x', 100) FROM generate_series(%d, %d) i",
				i*each+1, (i+1)*each))
		}
		end := db.walEnd()
		db.exec("INSERT INTO public.t VALUES (-1, 'behind the end')")
		o := db.options()
		o.CatchUp = eager
		o.Slot = db.name + "_copy"
		s, err := OpenCopy(context.Background(), db.slotName(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer closeStream(t, s)
		out, done := make(chan *Batch, 1), make(chan error, 1)
		go func() { defer close(out); done <- s.Until(context.Background(), end, out) }()
		rows := 0
		for b := range out {
			for i := range b.Transactions {
				rows += len(b.Transactions[i].Changes)
			}
			b.Release()
		}
		if err := <-done; err != nil || rows != transactions*each {
			t.Errorf("%d rows, %v", rows, err)
		}
		if status := s.Status(); status.CatchUps != 1 || status.Lane != "catch-up" {
			t.Errorf("%d times in the catch-up lane, now %s: %s", status.CatchUps, status.Lane, status.Refusal)
		}
	})
}

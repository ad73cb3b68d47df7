package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// twins starts a primary and its standby. Where kept is set the primary sends nothing to the pipeline that
// the standby does not have.
func twins(t *testing.T, kept bool) (primary, standby *local.Server) {
	t.Helper()
	settings := map[string]string{"wal_sender_timeout": "3s"}
	if kept {
		settings["synchronized_standby_slots"] = local.StandbySlot
	}
	primary, err := local.Start(t.Context(), local.Options{Parameters: settings})
	if err != nil {
		t.Fatal(err)
	}
	stop := func(server *local.Server) {
		t.Cleanup(func() {
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	stop(primary)
	if standby, err = primary.Standby(t.Context(), local.Options{}); err != nil {
		t.Fatal(err)
	}
	stop(standby)
	return primary, standby
}

// replicated is a bench on a server that has a standby; its slot is one that the standby gets too.
func replicated(t *testing.T, primary *local.Server) *bench {
	t.Helper()
	address, tables := primary.URL(), "[public.orders], slot_failover: true"
	b := &bench{
		T: t, sourceConn: dial(t, address),
		rig: newRig(t, address, local.Kafka(t), local.Registry(t), tables, ""),
	}
	b.exec(ordersTable)
	b.order(3)
	return b
}

// synchronized waits until the standby has the slot for good, and all that the pipeline was sent.
func (b *bench) synchronized(l *life, standby *sourceConn) {
	b.Helper()
	l.eventually(b.T, func() error {
		there := standby.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '" + b.prefix +
			"' AND synced AND NOT temporary AND invalidation_reason IS NULL")
		if there != "1" {
			return errors.New("the standby has no such slot yet")
		}
		return nil
	})
}

// promote ends the primary and has the standby take its place.
func (b *bench) promote(primary, standby *local.Server) {
	b.Helper()
	if err := primary.Control(context.Background(), "-m", "immediate", "stop"); err != nil {
		b.Fatal(err)
	}
	if err := standby.Control(context.Background(), "promote"); err != nil {
		b.Fatal(err)
	}
	b.source, b.sourceConn = standby.URL(), dial(b.T, standby.URL())
	b.rig.write(b.T, "")
}

// TestRealPromotion has a primary die under load and its standby promoted: the pipeline goes on with the slot
// that the standby has, and each order that the new primary has came once. None came that it has not: what
// the standby lost was not published. So it is in the catch-up lane too.
func TestRealPromotion(t *testing.T) {
	for _, lane := range []string{"live", "catch-up"} {
		t.Run(lane, func(t *testing.T) {
			primary, standby := twins(t, true)
			b := replicated(t, primary)
			seen := newTopics(t, b.rig)
			l := b.start(t)
			l.reach(t, stateStreaming)
			b.handover(seen, l, func() {})
			b.synchronized(l, dial(t, standby.URL()))
			if lane == "catch-up" {
				l.stop(t)
				b.backlog(dial(t, standby.URL()))
				l = b.start(t)
			}
			first := b.rows + 1
			ended := b.underLoad(primary, first)
			some := fmt.Sprintf("id=%d", first+50)
			if lane == "catch-up" {
				some = fmt.Sprintf("id=%d", b.rows-backlogRows/2) // in the midst of it
			}
			seen.until(l, "orders under load", func(r topicRecord) bool { return r.key == some })
			b.promote(primary, standby)
			<-ended
			if log := l.log.String(); lane == "catch-up" &&
				(!strings.Contains(log, "reading through SQL") || strings.Contains(log, "caught up")) {
				t.Errorf("the primary did not die in the catch-up lane:\n%s", l.log.tail())
			}
			l.kill(t)
			b.goesOn(seen)
		})
	}
}

// underLoad writes orders until the primary is gone.
func (b *bench) underLoad(primary *local.Server, first int) (ended chan struct{}) {
	b.Helper()
	writer := dial(b.T, primary.URL())
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		for id := first; ; id++ {
			sql := fmt.Sprintf("INSERT INTO public.orders VALUES (%d, 'under load')", id)
			if _, err := writer.conn.Exec(context.Background(), sql).ReadAll(); err != nil {
				return // the primary is gone
			}
		}
	}()
	return ended
}

// backlogRows is how many orders make more WAL than a call of the catch-up lane reads.
const backlogRows = 50000

// backlog has the next start take the catch-up lane, and the standby have what there is to read.
func (b *bench) backlog(standby *sourceConn) {
	b.Helper()
	b.tables += ", catch_up_bytes: 1MiB"
	b.rig.write(b.T, "")
	for range 50 {
		b.exec(fmt.Sprintf("INSERT INTO public.orders SELECT g, repeat('x', 1900) FROM generate_series(%d, %d) g",
			b.rows+1, b.rows+backlogRows/50))
		b.rows += backlogRows / 50
	}
	end := b.value("SELECT pg_current_wal_flush_lsn()")
	eventually(b.T, func() error {
		if standby.value("SELECT pg_last_wal_replay_lsn() >= '"+end+"'") != "t" {
			return errors.New("the standby is behind")
		}
		return nil
	})
}

// goesOn starts the pipeline on the new primary and counts what came.
func (b *bench) goesOn(seen *topics) {
	b.Helper()
	t, l := b.T, b.start(b.T)
	// The new primary waits for a standby in its turn, and has none: a person must be told.
	l.eventually(t, func() error {
		s, err := l.status()
		if err == nil && !strings.Contains(s.Detail, "synchronized_standby_slots") {
			err = fmt.Errorf("state %s, detail %q", s.State, s.Detail)
		}
		return err
	})
	if n := strings.Count(l.log.String(), "server notice"); n > 2 {
		t.Errorf("the log tells it %d times", n)
	}
	b.exec("ALTER SYSTEM SET synchronized_standby_slots = ''")
	b.exec("SELECT pg_reload_conf()")
	l.reach(t, stateStreaming)
	b.exec("INSERT INTO public.orders VALUES (-1, 'the last')")
	seen.until(l, "an order after the promotion", func(r topicRecord) bool { return r.key == "id=-1" })
	l.stop(t)
	came := map[string]int{}
	for _, r := range seen.all() {
		came[r.key]++
	}
	rows := b.column("SELECT id FROM public.orders")
	for _, id := range rows {
		if n := came["id="+id]; n != 1 {
			t.Errorf("order %s came %d times", id, n)
		}
	}
	if len(came) != len(rows) {
		t.Errorf("%d orders came, the new primary has %d", len(came), len(rows))
	}
}

// column returns the one column of a query.
func (b *bench) column(sql string) []string {
	b.Helper()
	var values []string
	for _, row := range b.sourceConn.rows(sql) {
		values = append(values, row[0])
	}
	return values
}

// TestRealPromotionLoses promotes a standby that lacks what was published: the program stops with the range
// that is lost, says the same when it is started again, and the repair that it names repairs.
func TestRealPromotionLoses(t *testing.T) {
	primary, standby := twins(t, false)
	b := replicated(t, primary)
	seen := newTopics(t, b.rig)
	l := b.start(t)
	l.reach(t, stateStreaming)
	b.handover(seen, l, func() {})
	behind := dial(t, standby.URL())
	b.synchronized(l, behind)
	behind.exec("ALTER SYSTEM SET primary_conninfo = ''")
	behind.exec("SELECT pg_reload_conf()")
	l.eventually(t, func() error {
		if n := behind.value("SELECT count(*) FROM pg_stat_wal_receiver"); n != "0" {
			return errors.New("the standby still receives")
		}
		return nil
	})
	has := behind.value("SELECT pg_last_wal_receive_lsn()")
	b.handover(seen, l, func() {})
	l.stop(t) // what it published is confirmed, to a server that is about to be gone
	published := b.confirmed()
	b.promote(primary, standby)
	left := b.value("SELECT pg_last_wal_receive_lsn()")
	if left != has {
		t.Fatalf("the standby received up to %s and then up to %s", has, left)
	}
	said := ""
	for range 2 {
		said = b.fails(badCase{code: exitPerson, run: []string{
			"[E404]", "published up to " + published, "on timeline 1", "the server's timeline 2 left it at",
			"the history from",
			"to " + published + " is lost", "take a new snapshot",
		}})
	}
	b.repaired(said)
}

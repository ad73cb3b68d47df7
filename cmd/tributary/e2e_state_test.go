package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestWALLevel has a server that writes no logical changes, whose setting needs a restart.
func TestWALLevel(t *testing.T) {
	server, err := local.Start(t.Context(), local.Options{Parameters: map[string]string{"wal_level": "replica"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	b := newBench(t, server.URL(), local.Kafka(t), local.Registry(t))
	b.fails(badCase{
		code: exitPerson,
		run: []string{
			"create slot PREFIX", "wal_level", "55000", "set wal_level to logical",
			"restart the server",
		},
		check: []string{"wal_level replica", "ALTER SYSTEM SET wal_level = logical;", "restart"},
	})
}

// TestSlotInUse has a second instance wait for the slot, say who holds it, and take over without a gap.
func TestSlotInUse(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	first := b.rig.run(t)
	first.reach(t, stateStreaming)
	pid := b.value("SELECT active_pid FROM pg_replication_slots WHERE slot_name = '" + b.prefix + "'")
	second := b.rig.run(t)
	s := second.reach(t, stateStandby)
	b.says("the standby's status", s.Detail, []string{
		"slot PREFIX is active for pid " + pid, "tributary/PREFIX/",
		"pg_terminate_backend(" + pid + ")",
	})
	code, stdout, _ := execute(t, &program{}, "check", "-c", b.file)
	if code != exitOK {
		t.Errorf("check: exit code %d: standing by is no failure", code)
	}
	b.says("check", stdout, []string{
		"PREFIX is in use by pid " + pid, "[W130]",
		"run stands by until it is free",
	})
	b.order(1)
	first.stop(t)
	b.order(1)
	second.reach(t, stateStreaming)
	second.stop(t)
	b.delivered()
}

// TestSlotAdvanced has somebody advance the slot behind our back: what is lost is named, and nothing is
// moved.
func TestSlotAdvanced(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.delivered()
	confirmed := b.confirmed()
	b.order(1)
	b.whileGone()
	b.exec("SELECT pg_replication_slot_advance('" + b.prefix + "', pg_current_wal_lsn())")
	advanced := b.confirmed()
	gap := []string{
		"[E403]",
		"position of PREFIX/PREFIX", "published up to " + confirmed, "slot PREFIX is confirmed up to " + advanced,
		"somebody else has read or moved the slot", "take a new snapshot",
	}
	var said string
	for range 2 { // the second start says the same: nothing has been forgotten
		said = b.fails(badCase{
			code: exitPerson, run: gap,
			check: append(gap[:4:4], "fix tributary snapshot --repair -c "+b.file),
		})
		if now := b.confirmed(); now != advanced {
			t.Errorf("the slot was moved from %s to %s", advanced, now)
		}
	}
	b.repaired(said)
}

// confirmed is the slot's confirmed_flush_lsn.
func (b *bench) confirmed() string {
	b.Helper()
	return b.value("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '" + b.prefix + "'")
}

// TestOtherServer has a stored position meet another database, and another server.
func TestOtherServer(t *testing.T) {
	server, err := local.Start(t.Context(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.delivered()
	right, slot := b.source, "SELECT pg_create_logical_replication_slot('"+b.prefix+"', 'pgoutput')"
	at := func(what, address string) {
		other := dial(t, address)
		other.exec(ordersTable + "; INSERT INTO public.orders VALUES (1, 'of another')")
		other.exec(slot)
		b.source = address
		b.change(b.tables, "")
		says := []string{
			"position of PREFIX/PREFIX", "in " + what, "the server has " + what,
			"point source.url at the old server",
		}
		b.fails(badCase{
			code: exitPerson, run: append(says[:4:4], "[E402]"),
			check: append(says[:4:4], "fix tributary snapshot --repair -c "+b.file),
		})
		b.source = right
		b.change(b.tables, "")
	}
	at("system identifier", local.Database(t, server.URL()))
	b.delivered() // at the right one it goes on
	b.idle()
	b.exec("SELECT pg_drop_replication_slot('" + b.prefix + "')") // a server has each name once
	at("database", local.Database(t, local.Postgres(t)))
	// A server in the place of the other, without a slot: the repair has the topics follow it.
	b.source = local.Database(t, server.URL())
	b.sourceConn = dial(t, b.source)
	b.exec("SELECT pg_drop_replication_slot('" + b.prefix + "')")
	b.exec(ordersTable + "; INSERT INTO public.orders VALUES (2, 'of another'), (77, 'new there')")
	b.change(b.tables, "")
	b.repaired(b.fails(badCase{code: exitPerson, run: []string{"in system identifier"}}))
}

// idle waits until the server has noticed that nobody reads the slot any more.
func (b *bench) idle() {
	b.Helper()
	(&life{log: &lockedBuffer{}}).eventually(b.T, func() error {
		if pid := b.value("SELECT active_pid FROM pg_replication_slots WHERE slot_name = '" + b.prefix +
			"'"); pid != "" {
			return fmt.Errorf("slot %s is active for pid %s", b.prefix, pid)
		}
		return nil
	})
}

// gate is a registry that may be told to answer badly.
type gate struct {
	status atomic.Int64 // 0 lets everything through, -1 hangs up
	http.Handler
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch status := g.status.Load(); {
	case status > 0:
		w.WriteHeader(int(status))
	case status < 0:
		panic(http.ErrAbortHandler)
	default:
		g.Handler.ServeHTTP(w, r)
	}
}

// TestRegistryBad has a registry that fails before the first record: 401 ends the program; what may pass is
// waited for, and the program goes on by itself.
func TestRegistryBad(t *testing.T) {
	server, brokers := local.Postgres(t), local.Kafka(t)
	target, err := url.Parse(local.Registry(t))
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Handler: httputil.NewSingleHostReverseProxy(target)}
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	for _, test := range []struct {
		status int64
		says   string
	}{
		{http.StatusInternalServerError, "500 Internal Server Error"},
		{http.StatusServiceUnavailable, "503"},
		{-1, "EOF"},
	} {
		t.Run(fmt.Sprint(test.status), func(t *testing.T) {
			b := newBench(t, server, brokers, front.URL)
			g.status.Store(test.status)
			code, stdout, _ := execute(t, &program{}, "check", "-c", b.file)
			if code != exitCheck {
				t.Errorf("check: exit code %d", code)
			}
			b.says("check", stdout, []string{front.URL, test.says, "curl -i " + front.URL + "/subjects"})
			l := b.rig.run(t)
			l.eventually(t, func() error {
				s, err := l.status()
				if err == nil && !strings.Contains(s.Detail+l.log.String(), test.says) {
					err = fmt.Errorf("neither status nor log tell of the registry: %s", s.Detail)
				}
				return err
			})
			b.order(1)
			g.status.Store(0)
			l.reach(t, stateStreaming)
			l.stop(t)
			b.delivered()
		})
	}
	t.Run("401", func(t *testing.T) {
		b := newBench(t, server, brokers, front.URL)
		g.status.Store(http.StatusUnauthorized)
		b.fails(badCase{
			code: exitPerson,
			run: []string{
				"PREFIX.public.orders-", front.URL, "not accepted (401)",
				"set the registry's user and password",
			},
			check: []string{front.URL, "not accepted (401)", "-u USER"},
		})
		b.order(1)
		g.status.Store(0)
		b.delivered()
	})
	t.Run("unreachable", func(t *testing.T) {
		b := newBench(t, server, brokers, "http://127.0.0.1:1")
		code, stdout, _ := execute(t, &program{}, "check", "-c", b.file)
		if code != exitCheck {
			t.Errorf("check: exit code %d", code)
		}
		b.says("check", stdout, []string{"127.0.0.1:1", "nothing listens there", "schema_registry.url"})
	})
}

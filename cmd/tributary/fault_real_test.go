package main

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
)

// ofMajor starts a server of a version that one of the real servers has, for a test that may break it.
func ofMajor(t *testing.T, major int, parameters map[string]string) *local.Server {
	t.Helper()
	for _, address := range local.RealPostgres(t) {
		admin := dial(t, address)
		version, err := strconv.Atoi(admin.value("SHOW server_version_num"))
		if err != nil {
			t.Fatal(err)
		}
		if version/10000 != major {
			continue
		}
		server, err := local.Start(t.Context(), local.Options{
			Bin: admin.value("SELECT setting FROM pg_config WHERE name = 'BINDIR'"), Parameters: parameters,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
		})
		return server
	}
	t.Skipf("no Postgres %d is named", major)
	return nil
}

// TestRealServerStops does what TestServerStops does with the last version on which a walsender waits for its
// client without end.
func TestRealServerStops(t *testing.T) { serverStops(t, ofMajor(t, 15, mortalParameters)) }

// TestRealIdleSlot has an idle database's slot follow what is written to a table that is not published, on
// each real server.
func TestRealIdleSlot(t *testing.T) {
	brokers, registry := local.RealKafka(t), local.RealRegistry(t)
	for _, server := range local.RealPostgres(t) {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal("the address of a server is none")
		}
		t.Run(u.Host, func(t *testing.T) {
			b := newBench(t, server, brokers, registry)
			b.exec("CREATE TABLE public.elsewhere (id int)")
			_ = newTopics(t, b.rig) // they are removed at the end
			l := b.rig.run(t)
			l.reach(t, stateStreaming)
			confirmed := b.confirmed()
			for range 2 {
				confirmed = b.idles(l, confirmed)
			}
			l.stop(t)
		})
	}
}

// TestRealSlotLost has WAL removed that the slot still needed, under a real broker: run stops with what is
// lost, and the command that it prints repairs, deletes included.
func TestRealSlotLost(t *testing.T) {
	b := newBench(t, ofMajor(t, 17, mortalParameters).URL(), local.RealKafka(t), local.RealRegistry(t))
	_ = newTopics(t, b.rig) // they are removed at the end
	b.delivered()
	b.idle()
	from := b.confirmed()
	b.lose()
	var said string
	for range 2 {
		said = b.fails(badCase{code: exitPerson, run: []string{"[E122]", "slot PREFIX", "lost", from}})
	}
	b.whileGone()
	b.repaired(said)
}

// TestRealRestarts ends the program twenty times, at any moment, by a signal that it sees and by one that it
// does not, while a session writes: what is confirmed never goes back, an idle slot still moves, and each
// order comes once.
func TestRealRestarts(t *testing.T) {
	b := newBench(t, local.RealPostgres(t)[0], local.RealKafka(t), local.RealRegistry(t))
	b.exec("CREATE TABLE public.elsewhere (id int)")
	seen := newTopics(t, b.rig)
	l := b.start(t)
	l.reach(t, stateStreaming)
	confirmed := decoder.LSN(0)
	look := func() {
		t.Helper()
		now, err := decoder.ParseLSN(b.confirmed())
		if err != nil {
			t.Fatal(err)
		}
		if now < confirmed {
			t.Fatalf("the slot went back from %s to %s", confirmed, now)
		}
		confirmed = now
	}
	r := rand.New(rand.NewPCG(20, 5))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range 20 {
		for range 1 + r.IntN(60) {
			<-tick.C
			b.order(1)
			look()
		}
		if r.IntN(3) > 0 {
			l.kill(t)
		} else {
			l.stop(t)
		}
		look()
		l = b.start(t)
		if i%4 == 0 {
			l.reach(t, stateStreaming) // else it may be ended while it starts
		}
	}
	b.handover(seen, l, func() {})
	look()
	b.idles(l, confirmed.String())
	l.stop(t)
	b.came(seen, "exactly-once")
}

// TestStatusOfTwo asks both instances of a pipeline which of them leads, before and after a takeover.
func TestStatusOfTwo(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	first := b.rig.run(t)
	first.reach(t, stateStreaming)
	second := b.rig.run(t)
	second.reach(t, stateStandby)
	told := func(l *life, parts ...string) {
		t.Helper()
		_, rest, _ := strings.Cut(l.log.String(), `"address":"http://`)
		address, _, _ := strings.Cut(rest, `"`)
		code, stdout, stderr := execute(t, &program{}, "status", "-c", b.file, "--addr", address)
		if code != exitOK {
			t.Errorf("status: exit code %d", code)
		}
		b.says("status", stdout+stderr, parts)
	}
	holder := func() string {
		return b.value("SELECT active_pid FROM pg_replication_slots WHERE slot_name = '" + b.prefix + "'")
	}
	told(first, "PREFIX STREAMING for ", "role leader, on ")
	told(second, "PREFIX STANDBY for ", "role standby, on ",
		fmt.Sprintf("slot PREFIX is active for pid %s (application \"tributary/PREFIX/", holder()))
	first.stop(t)
	second.reach(t, stateStreaming)
	told(second, "PREFIX STREAMING for ", "role leader, on ")
	second.stop(t)
}

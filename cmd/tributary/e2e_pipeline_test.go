package main

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// loadRigs are two pipelines of one database: of leaves with three partitions, and via the root with one
// partition and truncates.
type loadRig struct {
	*rig
	expectation
	topics *topics
	life   *life
	kills  bool // whether the present life will be killed
	logs   []*lockedBuffer
}

// newLoadRig makes a pipeline and its publication.
func newLoadRig(t *testing.T, w *workload, address, brokers, registry string, viaRoot,
	exactly bool,
) *loadRig {
	t.Helper()
	l := &loadRig{expectation: expectation{viaRoot: viaRoot, skipT: !viaRoot, loaded: w.tables}}
	more := "skipped_operations: [t]\n"
	if viaRoot {
		more = "skipped_operations: [none]\ntopic: {prefix: PREFIX, partitions: 1, replication_factor: 1}\n"
	}
	if !exactly {
		more += "delivery: at-least-once\n"
	}
	l.rig = newRig(t, address, brokers, registry, "", more)
	l.tables = `[shop.*, '"Odd.Schema".*'], key_columns: [{table: shop.key_by_config, columns: [id]}]`
	if !viaRoot {
		l.tables += ", catch_up_bytes: 8KiB" // read through SQL whenever it is behind, as at each start
	}
	names := ""
	for _, table := range w.tables {
		if !table.truncated || viaRoot {
			names += ", " + table.quoted()
		}
	}
	if !viaRoot {
		l.tables += ", exclude_tables: ['shop.trunc_*']"
	}
	l.write(t, more)
	with := map[bool]string{true: " WITH (publish_via_partition_root = true)"}[viaRoot]
	w.admin.exec("CREATE PUBLICATION " + l.prefix + " FOR TABLE " + names[2:] + with)
	l.topics = newTopics(t, l.rig)
	return l
}

// begin starts a life that will end with kill or with SIGTERM.
func (l *loadRig) begin(t *testing.T, kill bool) {
	l.kills = kill
	if kill {
		l.life = l.start(t)
	} else {
		l.life = l.run(t)
	}
	l.logs = append(l.logs, l.life.log)
}

// end ends it.
func (l *loadRig) end(t *testing.T) {
	t.Helper()
	if l.kills {
		l.life.kill(t)
		l.repeats++
		return
	}
	l.life.stop(t)
}

// drive runs a random workload through two pipelines that are stopped and killed in the midst of it, and
// compares what is in the topics with what a journal in the same transactions says.
func drive(t *testing.T, server, brokers, registry string, seed uint64, steps int, exactlyViaRoot bool) {
	address := local.Database(t, server)
	w := newWorkload(t, address, seed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	leaves := newLoadRig(t, w, address, brokers, registry, false, !exactlyViaRoot)
	root := newLoadRig(t, w, address, brokers, registry, true, exactlyViaRoot)
	both := []*loadRig{leaves, root}
	// A table that is rewritten under a snapshot needs a second one: both ways must end well.
	w.calm = seed%2 == 1
	leaves.calm, root.calm = w.calm, w.calm
	for _, kill := range []bool{true, false, true, false} {
		leaves.begin(t, kill)
		root.begin(t, !kill)
		for _, l := range both {
			// It goes on meanwhile: a slot's creation waits for the transactions that are open to end.
			l.life.eventually(t, func() error {
				w.steps(4)
				s, err := l.life.status()
				if err == nil && s.State != stateStreaming {
					err = fmt.Errorf("state %s (%s)", s.State, s.Detail)
				}
				if err == nil && s.Snapshot != nil && s.Position.Published == s.Snapshot.Point {
					err = fmt.Errorf("the snapshot's end is not stored yet: a kill would have it resumed")
				}
				return err
			})
		}
		w.calm = false
		w.steps(steps)
		leaves.end(t)
		w.steps(steps / 8) // while one is down
		root.end(t)
	}
	w.end()
	for _, l := range both {
		l.begin(t, false)
		l.topics.until(l.life, "the last row", func(r topicRecord) bool {
			return r.topic == "shop.plain" &&
				r.key == "id=-1"
		})
		l.end(t)
		if l.viaRoot == exactlyViaRoot {
			l.repeats = 0
		}
		records := l.topics.all()
		l.check(t, w.admin, records)
		t.Logf("via root %v: %d records", l.viaRoot, len(records))
		caughtUp := 0
		for i, log := range l.logs {
			caughtUp += strings.Count(log.String(), "reading through SQL")
			if t.Failed() {
				t.Logf("life %d:\n%s", i, log)
			}
		}
		if !l.viaRoot && caughtUp == 0 {
			t.Error("the catch-up lane was never taken")
		}
	}
}

// TestPipeline drives both delivery modes through servers in this process.
func TestPipeline(t *testing.T) {
	server, brokers, registry := local.Postgres(t), local.Kafka(t), local.Registry(t)
	drive(t, server, brokers, registry, 1, 400, true)
}

// TestRealPipeline does the same with a real Kafka and registry, and every Postgres that is named.
func TestRealPipeline(t *testing.T) {
	brokers, registry := local.RealKafka(t), local.RealRegistry(t)
	for i, server := range local.RealPostgres(t) {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal("the address of a server is none")
		}
		t.Run(u.Host, func(t *testing.T) {
			drive(t, server, brokers, registry, uint64(100+i), 600, i%2 == 0)
		})
	}
}

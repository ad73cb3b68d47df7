package main

import (
	"fmt"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestSlotGone has the slot, or what it depends on, go away: each time the program stops with what is in
// doubt and what repairs it, and says the same when it is started again. The repair that it names repairs.
func TestSlotGone(t *testing.T) {
	server := mortal(t)
	brokers, registry := local.Kafka(t), local.Registry(t)
	for _, test := range []struct {
		name string
		// gone breaks it while nobody runs; from is up to where was published.
		gone func(b *bench)
		run  []string
		// changed says that gone has made the changes that are in the gap.
		changed bool
	}{
		{
			"dropped",
			func(b *bench) { b.exec("SELECT pg_drop_replication_slot('" + b.prefix + "')") },
			[]string{"[E407]", "slot PREFIX", "published up to FROM", "the slot is gone"},
			false,
		},
		{
			"dropped and made again",
			func(b *bench) {
				b.exec("SELECT pg_drop_replication_slot('" + b.prefix + "')")
				b.order(1)
				b.whileGone()
				b.exec("SELECT pg_create_logical_replication_slot('" + b.prefix + "', 'pgoutput')")
			},
			[]string{"[E403]", "published up to FROM", "slot PREFIX is confirmed up to", "take a new snapshot"},
			true,
		},
		{
			"lost",
			func(b *bench) { b.lose(); b.seesLost() },
			[]string{"[E122]", "slot PREFIX", "lost", "FROM"},
			false,
		},
		{
			"publication dropped",
			func(b *bench) {
				b.exec("DROP PUBLICATION " + b.prefix)
				b.order(1)
			},
			[]string{"[E125]", "publication", "PREFIX", "FROM"},
			false,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, server.URL(), brokers, registry)
			b.delivered()
			b.idle()
			from := b.confirmed()
			b.order(1)
			test.gone(b)
			want := append([]string(nil), test.run...)
			for i, part := range want {
				if part == "published up to FROM" {
					want[i] = "published up to " + from
				} else if part == "FROM" {
					want[i] = from
				}
			}
			var said string
			for range 2 {
				said = b.fails(badCase{code: exitPerson, run: want})
			}
			if !test.changed {
				b.whileGone()
			}
			b.repaired(said)
		})
	}
}

// seesLost has check see that the slot and its anchor are lost.
func (b *bench) seesLost() {
	b.Helper()
	found := b.look("source", findings{})
	found.has("E122", "is lost", "tributary snapshot --repair")
	found.has("W128", "_anchor is lost", "replay: {keep:")
}

// lose writes more WAL than the server keeps for a slot.
func (b *bench) lose() {
	b.Helper()
	b.exec("CREATE TABLE public.filler (v text)")
	for range 10 {
		b.exec("INSERT INTO public.filler SELECT repeat('x', 1000) FROM generate_series(1, 16000)")
		b.exec("SELECT pg_switch_wal()")
		b.exec("CHECKPOINT")
		if b.value("SELECT wal_status FROM pg_replication_slots WHERE slot_name = '"+b.prefix+"'") == "lost" {
			return
		}
	}
	b.Fatal("the server still keeps the slot's WAL")
}

// TestSlotDroppedUnderway has somebody end the session and drop the slot while the pipeline streams: it
// does not make a new one by itself.
func TestSlotDroppedUnderway(t *testing.T) {
	b := newBench(t, mortal(t).URL(), local.Kafka(t), local.Registry(t))
	l := b.run(t)
	l.reach(t, stateStreaming)
	b.exec(fmt.Sprintf(`DO $$ BEGIN
		FOR i IN 1..100 LOOP
			PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '%[1]s';
			BEGIN
				PERFORM pg_drop_replication_slot('%[1]s');
				EXIT;
			EXCEPTION WHEN object_in_use THEN
				PERFORM pg_sleep(0.01);
			END;
		END LOOP; END $$`, b.prefix))
	if code := l.wait(t); code != exitPerson {
		t.Fatalf("exit code %d:\n%s", code, l.log.tail())
	}
	b.says("run", l.log.tail(), []string{
		"[E407]", "slot PREFIX", "the slot is gone", "snapshot.mode: when_needed",
	})
}

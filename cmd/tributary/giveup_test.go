package main

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/schema"
)

// TestWALLimit: a transaction that nobody ends keeps the slot from moving. At its limit the slot is given up,
// with the cause and the gap, and the repair that is named closes it. What is in the way of that, here a
// reader of the anchor, is waited for. The default only warns.
func TestWALLimit(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	holder := dial(t, b.source)
	l := b.run(t, "--source-wal-limit", "100MiB", "--source-wal-limit-action", "drop", "--replay-keep", "16MiB",
		"--on-failure", "stay")
	l.settled(t)
	b.exec("CREATE TABLE public.filler (v text)")
	holder.exec("BEGIN; INSERT INTO public.filler VALUES ('open')")
	fill := func() {
		b.exec("INSERT INTO public.filler SELECT repeat('x', 1000) FROM generate_series(1, 60000)")
	}
	fill()
	select {
	case <-l.ended:
		t.Fatalf("ended below the limit:\n%s", l.log.tail())
	default:
	}
	reader := b.readAnchor(l)
	fill()
	l.eventually(t, func() error {
		if !strings.Contains(l.log.String(), "it could not be dropped, and fills the disk until it is") {
			return errors.New("the log does not tell that the anchor is in use")
		}
		return nil
	})
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	if s := l.reach(t, stateFailed); s.Error == nil || s.Error.Code != "E410" || !s.Error.NeedsPerson {
		t.Errorf("the status has %+v", s.Error)
	}
	l.signals <- syscall.SIGTERM
	if code := l.wait(t); code != exitPerson {
		t.Fatalf("exit code %d:\n%s", code, l.log.tail())
	}
	for _, want := range []string{
		"source.wal_limit is 100MiB: it is given up", "what committed after ", "E410",
		"a transaction keeps it from moving: pid ",
	} {
		if !strings.Contains(l.log.String(), want) {
			t.Errorf("%q is not told:\n%s", want, l.log.tail())
		}
	}
	left := "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE '" + b.prefix + "%'"
	if n := b.value(left); n != "0" {
		t.Errorf("%s slots are left", n)
	}
	holder.exec("ROLLBACK")
	b.whileGone()
	b.repaired(l.log.String())
}

// TestWALLimitOfAStandby: an instance that stands by gives up nothing: the slot is the leader's.
func TestWALLimitOfAStandby(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	leader := b.run(t)
	leader.settled(t)
	b.order(1)
	second := b.run(t, "--source-wal-limit", "1B", "--source-wal-limit-action", "drop")
	second.reach(t, stateStandby)
	if n := b.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '" + b.prefix + "'"); n != "1" {
		t.Error("the leader's slot is gone")
	}
	second.stop(t)
	leader.stop(t)
}

// readAnchor takes the anchor, as soon as nobody moves it, and keeps it.
func (b *bench) readAnchor(l *life) (reader *decoder.Stream) {
	b.Helper()
	l.eventually(b.T, func() (err error) {
		reader, err = decoder.Open(b.Context(), decoder.StreamOptions{
			Connect: decoder.ConnectOptions{URL: b.source}, Slot: decoder.AnchorName(b.prefix),
			Publications: []string{b.prefix},
			Decoder: decoder.DecoderOptions{
				Describe: func(decoder.Shape) (*schema.Relation, error) { return nil, nil },
			},
		})
		return err
	})
	return reader
}

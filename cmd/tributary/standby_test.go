package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestRealSynchronousCommit begins while a transaction waits for a synchronous standby: it is committed in
// the log, and nobody sees it. Its row must come, from the snapshot or from the stream, and once.
func TestRealSynchronousCommit(t *testing.T) {
	server, err := local.Start(t.Context(), local.Options{Parameters: map[string]string{
		"synchronous_standby_names": "nobody", "synchronous_commit": "local",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	b := newBench(t, server.URL(), local.Kafka(t), local.Registry(t))
	b.exec("CREATE PUBLICATION " + b.prefix + " FOR TABLE public.orders")
	waiting, ended := dial(t, b.source), make(chan error, 1)
	waiting.exec("SET synchronous_commit = on")
	b.rows++
	go func() {
		sql := fmt.Sprintf("INSERT INTO public.orders VALUES (%d, 'waits')", b.rows)
		_, err := waiting.conn.Exec(context.Background(), sql).ReadAll()
		ended <- err
	}()
	seen := newTopics(t, b.rig)
	idle := &life{log: &lockedBuffer{}}
	idle.eventually(t, func() error {
		if n := b.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"); n != "1" {
			return errors.New("no transaction waits for a standby")
		}
		return nil
	})
	l := b.rig.run(t)
	// The slot's creation waits for the transaction, or the snapshot does.
	l.eventually(t, func() error {
		s, err := l.status()
		if err == nil && s.Detail == "" && s.State != stateStreaming {
			err = fmt.Errorf("state %s without a reason", s.State)
		}
		return err
	})
	b.exec("ALTER SYSTEM SET synchronous_standby_names = ''")
	b.exec("SELECT pg_reload_conf()")
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	l.settled(t)
	b.handover(seen, l, func() {})
	l.stop(t)
	b.came(seen, "exactly-once")
}

// TestRealSourceStandby streams from a standby, with a slot of the standby's own: the primary writes, and
// each order comes once.
func TestRealSourceStandby(t *testing.T) {
	primary, standby := twins(t, false)
	b := replicated(t, primary)
	b.exec("CREATE PUBLICATION " + b.prefix + " FOR TABLE public.orders")
	b.tables = "[public.orders]"
	reader := dial(t, standby.URL())
	idle := &life{log: &lockedBuffer{}}
	idle.eventually(t, func() error {
		if n := reader.value("SELECT count(*) FROM pg_publication"); n != "1" {
			return errors.New("the standby has no publication yet")
		}
		return nil
	})
	b.source = standby.URL()
	b.rig.write(t, "replay: {keep: 0}")
	b.look("source", findings{}).has("W117", "is a standby", "SELECT pg_is_in_recovery();")
	seen := newTopics(t, b.rig)
	l := b.rig.run(t)
	l.eventually(t, func() error {
		b.exec("SELECT pg_log_standby_snapshot()") // what a slot's creation on a standby waits for
		s, err := l.status()
		if err == nil && s.State != stateStreaming {
			err = fmt.Errorf("state %s: %s", s.State, s.Detail)
		}
		return err
	})
	for range 3 {
		b.handover(seen, l, func() {})
	}
	l.stop(t)
	b.came(seen, "exactly-once")
}

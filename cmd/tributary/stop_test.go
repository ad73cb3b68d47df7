package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestStopWhileTheRegistryIsDown stops a pipeline that waits for a schema's id: it ends in order within its
// grace period, and the next run delivers everything.
func TestStopWhileTheRegistryIsDown(t *testing.T) {
	t.Parallel() // it waits, and so does the one below
	server, brokers := local.Postgres(t), local.Kafka(t)
	target, err := url.Parse(local.Registry(t))
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Handler: httputil.NewSingleHostReverseProxy(target)}
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	b := newBench(t, server, brokers, front.URL)
	g.status.Store(http.StatusServiceUnavailable)
	l := b.rig.run(t)
	l.eventually(t, func() error {
		if !strings.Contains(l.log.String(), "new schemas wait") {
			return errors.New("the log does not tell of it")
		}
		return nil
	})
	l.signals <- syscall.SIGTERM
	select {
	case <-l.ended:
	case <-time.After(20 * time.Second): // a pod has 30 s by default
		t.Fatalf("still running long after SIGTERM:\n%s", l.log.tail())
	}
	if l.code != exitOK {
		t.Errorf("exit code %d:\n%s", l.code, l.log.tail())
	}
	g.status.Store(0)
	b.delivered()
}

// TestStopWhileKafkaIsDown stops a pipeline whose broker has gone away with a window on its way: it says what
// it waits for, and ends in order within its grace period. A second signal would not wait.
func TestStopWhileKafkaIsDown(t *testing.T) {
	t.Parallel()
	brokers, stopKafka, err := local.StartKafka()
	if err != nil {
		t.Fatal(err)
	}
	defer stopKafka()
	b := newBench(t, local.Postgres(t), brokers, local.Registry(t))
	l := b.rig.run(t)
	l.reach(t, stateStreaming)
	stopKafka() // once more does nothing
	b.order(1)
	l.eventually(t, func() error {
		s, err := l.status()
		if err == nil && s.Lag.ConfirmedBytes == 0 {
			err = errors.New("the order has not been read")
		}
		return err
	})
	l.signals <- syscall.SIGTERM
	select {
	case <-l.ended:
	case <-time.After(25 * time.Second): // a pod has 30 s by default
		t.Fatalf("still running long after SIGTERM:\n%s", l.log.tail())
	}
	if l.code != exitOK {
		t.Errorf("exit code %d:\n%s", l.code, l.log.tail())
	}
	b.says("run", l.log.String(), []string{
		"stopping waits for what was read to be published", `"at_most":10`,
		"stopped before all was published: the rest comes again from the slot",
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// quorum is a cluster of three brokers, which are their own controllers.
type quorum struct {
	addresses []string
	kill      []func() // with SIGKILL, by node
}

// startQuorum starts three brokers from the program files of the real one. Two replicas must have a record
// before it is acknowledged, so that one broker may go.
func startQuorum(t *testing.T) *quorum {
	t.Helper()
	program, err := local.KafkaProgram(local.RealKafka(t))
	if err != nil {
		t.Skip(err)
	}
	const nodes = 3
	q := &quorum{kill: make([]func(), nodes)}
	var controllers, voters []string
	for node := range nodes {
		for _, list := range []*[]string{&q.addresses, &controllers} {
			port, err := local.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			*list = append(*list, fmt.Sprintf("127.0.0.1:%d", port))
		}
		voters = append(voters, fmt.Sprintf("%d@%s", node, controllers[node]))
	}
	failed := make(chan error, nodes)
	for node := range nodes {
		config := filepath.Join(t.TempDir(), "server.properties")
		text := fmt.Sprintf("process.roles=broker,controller\nnode.id=%d\ncontroller.quorum.voters=%s\n"+
			"controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://%s,CONTROLLER://%s\n"+
			"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs=%s\n",
			node, strings.Join(voters, ","), q.addresses[node], controllers[node], filepath.Dir(config)+"/data") +
			"auto.create.topics.enable=false\ndefault.replication.factor=3\nmin.insync.replicas=2\n" +
			"offsets.topic.replication.factor=3\ntransaction.state.log.replication.factor=3\n" +
			"transaction.state.log.min.isr=2\ntransaction.state.log.num.partitions=3\n" +
			"broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n" +
			"log.cleaner.dedupe.buffer.size=16777216\n"
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		go func() { // none says that it runs before most of them do
			stop, err := program.Start(t.Context(), config)
			q.kill[node] = stop
			failed <- err
		}()
	}
	var errs []error
	for range nodes {
		errs = append(errs, <-failed)
	}
	for _, kill := range q.kill {
		if kill != nil {
			t.Cleanup(kill)
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return q
}

// TestRealLeaderKilled kills the broker that leads a table's partition, with SIGKILL and under load: what it
// had acknowledged stays, whatever follows goes to the next leader, and each order comes once. It takes three
// brokers and half a minute: TRIBUTARY_TEST_BROKERS asks for it.
func TestRealLeaderKilled(t *testing.T) {
	if os.Getenv("TRIBUTARY_TEST_BROKERS") == "" {
		t.Skip("TRIBUTARY_TEST_BROKERS is not set: it starts three brokers")
	}
	q := startQuorum(t)
	b := newBench(t, local.RealPostgres(t)[0], q.addresses[0], local.RealRegistry(t))
	b.rig.write(t, "kafka: {brokers: ['"+strings.Join(q.addresses, "', '")+"'], compression: lz4, "+
		"position_topic: PREFIX.positions, ledger_topic: PREFIX.ledger}\n"+
		"topic: {prefix: PREFIX, partitions: 3, replication_factor: 3, config: {min.insync.replicas: '2'}}")
	seen := newTopics(t, b.rig)
	l := b.start(t)
	l.reach(t, stateStreaming)
	pace := b.pace(seen, l)
	client, err := kgo.NewClient(kgo.SeedBrokers(q.addresses...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	leader := func() int32 {
		found, err := kadm.NewClient(client).ListTopics(t.Context(), b.prefix+".public.orders")
		if err != nil {
			t.Fatal(err)
		}
		return found[b.prefix+".public.orders"].Partitions[0].Leader
	}
	stop := b.load()
	before := leader()
	b.Logf("an order takes %s; broker %d is killed", pace, before)
	q.kill[before]()
	began := time.Now()
	l.eventually(t, func() error {
		if leader() == before {
			return errors.New("no other broker leads yet")
		}
		return nil
	})
	b.Logf("another leads after %s", time.Since(began))
	took := b.handover(seen, l, func() { b.rows += stop() })
	b.Logf("%d orders; the last one came %s after the load", b.rows, took)
	l.stop(t)
	b.came(seen, "exactly-once")
	for _, args := range [][]string{{"verify", "-c", b.file}, {"verify", "--log", "-c", b.file}} {
		if code, stdout, stderr := execute(t, &program{}, args...); code != exitOK {
			t.Errorf("%v: exit code %d: %s%s", args, code, stdout, stderr)
		}
	}
}

// load inserts orders until stop is called, which returns how many there were.
func (b *bench) load() (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	written, first, writer := make(chan int), b.rows+1, dial(b.T, b.source)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n += 20 {
			sql := fmt.Sprintf("INSERT INTO public.orders SELECT g, 'busy' FROM generate_series(%d, %d) g", first+n,
				first+n+19)
			if _, err := writer.conn.Exec(context.Background(), sql).ReadAll(); err != nil {
				b.Errorf("%s: %v", sql, err)
				break
			}
		}
		written <- n
	}()
	return func() int { cancel(); return <-written }
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// connectWorker is a Kafka Connect worker with Debezium's PostgreSQL connector, on the tests' broker.
type connectWorker struct {
	t   *testing.T
	url string
}

// do asks the worker's REST interface; an answer but 2xx is an error. A worker answers 409 while it
// rebalances.
func (w connectWorker) do(method, path string, body, answer any) error {
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, w.url+path, text)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s %s", method, path, response.Status, b)
	}
	if answer != nil {
		return json.Unmarshal(b, answer)
	}
	return nil
}

// must is do until it works.
func (w connectWorker) must(method, path string, body any) {
	w.t.Helper()
	eventually(w.t, func() error { return w.do(method, path, body, nil) })
}

// eventually asks until f has nothing to say.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(e2ePatience)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %s: %v", e2ePatience, err)
		}
	}
}

// state waits for a connector's state, and that of its task where it has one.
func (w connectWorker) state(name, want string) {
	w.t.Helper()
	eventually(w.t, func() error {
		var status struct {
			Connector struct{ State string }
			Tasks     []struct{ State, Trace string }
		}
		if err := w.do(http.MethodGet, "/connectors/"+name+"/status", nil, &status); err != nil {
			return err
		}
		for _, task := range status.Tasks {
			if task.State == "FAILED" {
				w.t.Fatalf("Debezium's task failed: %.2000s", task.Trace)
			}
		}
		if status.Connector.State != want || (want == "RUNNING") != (len(status.Tasks) == 1) {
			return fmt.Errorf("connector %s is %+v, want %s", name, status, want)
		}
		return nil
	})
}

// offsetsTopic finds the topic of the worker's offsets: the lab's worker names it after itself.
const offsetsTopic = "lab-connect-offsets"

// debeziumConfig is a connector's configuration on a source, with the lab's JSON converter or Confluent's
// Avro one.
func debeziumConfig(t *testing.T, r *rig, more map[string]string) map[string]string {
	t.Helper()
	u, err := url.Parse(r.source)
	if err != nil {
		t.Fatal(err)
	}
	const converter = "io.confluent.connect.avro.AvroConverter"
	c := map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "tasks.max": "1",
		"plugin.name": "pgoutput", "database.hostname": u.Hostname(), "database.port": u.Port(),
		"database.user": u.User.Username(), "database.password": "none",
		"database.dbname": strings.Trim(u.Path, "/"), "database.sslmode": "disable",
		"topic.prefix": r.prefix, "slot.name": r.prefix, "publication.name": r.prefix,
		"key.converter": converter, "key.converter.schema.registry.url": r.registry,
		"value.converter": converter, "value.converter.schema.registry.url": r.registry,
		"topic.creation.default.replication.factor": "1", "topic.creation.default.partitions": "1",
	}
	for name, value := range more {
		c[name] = value
	}
	text, err := json.Marshal(map[string]any{"name": r.prefix, "config": c})
	if err != nil {
		t.Fatal(err)
	}
	r.file = filepath.Join(t.TempDir(), "connector.json")
	if err := os.WriteFile(r.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// takeoverArgs are those of tributary in the connector's place.
func takeoverArgs(r *rig) []string {
	return []string{
		"run", "--from-debezium", r.file, "--brokers", r.brokers, "--pipeline", r.prefix,
		"--connect-offsets", offsetsTopic, "--http-listen", "127.0.0.1:0",
		"--kafka-position-topic", r.prefix + ".positions", "--kafka-ledger-topic", r.prefix + ".ledger",
	}
}

// commits writes transactions of several kinds until it is told to end, and returns how many there were.
func commits(ctx context.Context, t *testing.T, address string) <-chan int {
	count := make(chan int, 1)
	s := dial(t, address)
	go func() {
		n := 0
		pace := time.NewTicker(8 * time.Millisecond) // so that both sides keep up on any machine
		defer pace.Stop()
		for ; ctx.Err() == nil; n++ {
			<-pace.C
			sql := fmt.Sprintf("BEGIN; INSERT INTO t (id, v) SELECT %d + i, repeat('x', i) "+
				"FROM generate_series(1, %d) i; "+
				"UPDATE t SET v = 'u%d' WHERE id = %d; DELETE FROM t WHERE id = %d; COMMIT",
				n*1000, 3+n%40, n, n*1000+1, n*1000+2)
			if n%50 == 49 {
				sql = fmt.Sprintf("INSERT INTO t (id, v) SELECT %d + i, 'many' FROM generate_series(1, 700) i", n*1000)
			}
			if _, err := s.conn.Exec(context.Background(), sql).ReadAll(); err != nil {
				if ctx.Err() == nil {
					t.Errorf("%s: %v", sql, err)
				}
				break
			}
		}
		count <- n
	}()
	return count
}

// TestRealTakeover hands a slot from Debezium to tributary and back, twice, while a client writes: no
// change may be missing, none may come twice, and every schema must be the one that was there.
func TestRealTakeover(t *testing.T) {
	w := connectWorker{t, local.RealConnect(t)}
	servers := local.RealPostgres(t)
	r := newRig(t, local.Database(t, servers[len(servers)-1]), local.RealKafka(t), local.RealRegistry(t),
		"[x]", "")
	s := dial(t, r.source)
	s.exec("CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'd', n numeric(8,2) NOT NULL DEFAULT 1, " +
		"at timestamptz NOT NULL DEFAULT now()); INSERT INTO t (id) SELECT -i FROM generate_series(1, 500) i;" +
		"CREATE PUBLICATION " + r.prefix + " FOR TABLE t")
	config := debeziumConfig(t, r, nil)
	w.must(http.MethodPut, "/connectors/"+r.prefix+"/config", config)
	t.Cleanup(func() {
		w.must(http.MethodPut, "/connectors/"+r.prefix+"/stop", nil)
		w.must(http.MethodDelete, "/connectors/"+r.prefix, nil)
	})
	records := newTopics(t, r)
	streams := func() {
		t.Helper()
		w.state(r.prefix, "RUNNING")
		eventually(t, func() error {
			if s.value("SELECT count(*) FROM pg_replication_slots "+
				"WHERE active AND slot_name = '"+r.prefix+"'") != "1" {
				return fmt.Errorf("Debezium does not stream")
			}
			return nil
		})
	}
	streams()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	count := commits(ctx, t, r.source)
	for range 2 {
		grows(t, records)
		w.must(http.MethodPut, "/connectors/"+r.prefix+"/stop", nil)
		w.state(r.prefix, "STOPPED")
		l := serve(t, "", takeoverArgs(r)...)
		l.reach(t, stateStreaming)
		grows(t, records)
		l.stop(t)
		if !strings.Contains(l.log.String(), "taking over from Debezium") {
			t.Fatalf("not taken over:\n%s", l.log.tail())
		}
		w.must(http.MethodPut, "/connectors/"+r.prefix+"/resume", nil)
		streams()
	}
	cancel()
	n := <-count
	s.exec("INSERT INTO t (id, v) VALUES (-1000, 'last')")
	eventually(t, func() error {
		records.poll()
		for _, r := range records.records {
			if r.op == "c" && fmt.Sprint(r.after["v"]) == "last" {
				return nil
			}
		}
		return fmt.Errorf("the last row is not among %d records", len(records.records))
	})
	takeoverAudit(t, records.all(), n)
	for _, side := range []string{"key", "value"} {
		var versions []int
		registry := connectWorker{t, r.registry}
		err := registry.do(http.MethodGet, "/subjects/"+r.prefix+".public.t-"+side+"/versions", nil,
			&versions)
		if err != nil || len(versions) != 1 {
			t.Errorf("%s: versions %v (%v), want one", side, versions, err)
		}
	}
}

// grows waits until the topics have grown by some hundred records from now.
func grows(t *testing.T, c *topics) {
	t.Helper()
	want := len(c.all()) + 300
	eventually(t, func() error {
		if c.poll(); len(c.records) < want {
			return fmt.Errorf("%d records, want %d", len(c.records), want)
		}
		return nil
	})
}

// takeoverAudit counts the changes of every transaction of commits.
func takeoverAudit(t *testing.T, records []topicRecord, transactions int) {
	t.Helper()
	seen := map[string]int{}
	for _, r := range records {
		switch r.op {
		case "-":
		case "d":
			seen["d "+r.key]++
		default:
			seen[fmt.Sprintf("%s %v %v", r.op, r.after["id"], r.after["v"])]++
		}
	}
	once := func(what string) {
		if got := seen[what]; got != 1 {
			t.Errorf("%s: %d records, want 1", what, got)
		}
	}
	for i := 1; i <= 500; i++ {
		once(fmt.Sprintf("r %d d", -i))
	}
	for n := range transactions {
		rows, many := 3+n%40, n%50 == 49
		if many {
			rows = 700
		}
		for i := 1; i <= rows; i++ {
			v := strings.Repeat("x", i)
			if many {
				v = "many"
			}
			once(fmt.Sprintf("c %d %s", n*1000+i, v))
		}
		if !many {
			once(fmt.Sprintf("u %d u%d", n*1000+1, n))
			once(fmt.Sprintf("d id=%d", n*1000+2))
		}
	}
	t.Logf("%d transactions, %d records", transactions, len(records))
}

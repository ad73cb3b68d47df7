package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// The tests of this file stage faults that no other test meets, each by what really causes it.

// logged waits until the log tells a code. The program goes on meanwhile.
func (l *life) logged(t testing.TB, code string) {
	t.Helper()
	l.eventually(t, func() error {
		if !strings.Contains(l.log.String(), `"code":"`+code+`"`) {
			return fmt.Errorf("no %s in the log", code)
		}
		return nil
	})
}

// TestDatabaseShut has a database that does not let the role in, and one that lets nobody in: run and check
// say so, and what check says opens it.
func TestDatabaseShut(t *testing.T) {
	server := local.Postgres(t)
	b := newBench(t, server, local.Kafka(t), local.Registry(t))
	admin, database := dial(t, server), sourceDatabase(URL(b.source))
	role := b.prefix
	b.exec("CREATE ROLE " + role + " LOGIN REPLICATION PASSWORD 'x'; GRANT SELECT ON public.orders TO " + role +
		"; GRANT CREATE ON DATABASE " + database + " TO " + role + "; ALTER TABLE public.orders OWNER TO " + role)
	t.Cleanup(func() {
		admin.exec("GRANT CONNECT ON DATABASE " + database + " TO public")
		b.exec("ALTER TABLE public.orders OWNER TO postgres; DROP OWNED BY " + role + "; DROP ROLE " + role)
	})
	undo := b.as(url.UserPassword(role, "x"))
	for _, test := range []struct{ shut, code, words, fix string }{
		{
			"REVOKE CONNECT ON DATABASE " + database + " FROM public", "E111", "permission denied for database",
			`GRANT CONNECT ON DATABASE "` + database + `" TO "` + role + `";`,
		},
		{
			"ALTER DATABASE " + database + " ALLOW_CONNECTIONS false", "E119",
			"is not currently accepting connections",
			`ALTER DATABASE "` + database + `" ALLOW_CONNECTIONS true;`,
		},
	} {
		admin.exec(test.shut)
		b.fails(badCase{
			code: exitPerson, run: []string{"[" + test.code + "]", test.words, "SQLSTATE", "fix: " + test.fix},
			check: []string{"[" + test.code + "]", test.words, "fix " + test.fix},
		})
		found := b.look("source", findings{})
		found.has(test.code, test.words, test.fix)
		admin.exec(found.list[0].Fix)
	}
	b.look("source", findings{}).none("E111", "E119")
	undo()
	b.delivered()
}

// TestSnapshotDisturbed breaks the first snapshot between the survey of the tables and their reading: by the
// end of the session that holds it, and by the end of a table. Each time run tells why, and takes another
// one by itself.
func TestSnapshotDisturbed(t *testing.T) {
	server := local.Postgres(t)
	for _, test := range []struct{ code, disturb string }{
		{"E155", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND " +
			"application_name LIKE 'tributary/%' AND state = 'idle in transaction'"},
		{"E154", "DROP TABLE public.second"},
	} {
		t.Run(test.code, func(t *testing.T) {
			b := newBench(t, server, local.Kafka(t), local.Registry(t))
			b.exec("CREATE TABLE public.second (id int PRIMARY KEY); CREATE PUBLICATION " + b.prefix +
				" FOR TABLE public.orders, public.second")
			b.change("['public.*']", "")
			var done atomic.Bool
			seen := newTopics(t, b.rig)
			l := altered(t, func(o *runOptions) {
				o.crash = func(at string) error {
					if at == pointFenced && done.CompareAndSwap(false, true) {
						b.exec(test.disturb)
					}
					return nil
				}
			}, "run", "-c", b.file)
			l.logged(t, test.code)
			l.reach(t, stateStreaming)
			b.handover(seen, l, func() {})
			l.stop(t)
			b.came(seen, "exactly-once")
		})
	}
}

// TestWindowTakenAway has the broker end a transaction that takes longer than kafka.transaction_timeout: the
// window is published again, and nothing comes twice. Nobody has taken over, and nothing says so.
func TestWindowTakenAway(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.change(b.tables, fmt.Sprintf("kafka: {brokers: [%q], position_topic: PREFIX.positions, ledger_topic: "+
		"PREFIX.ledger, transaction_timeout: 4s}", b.brokers))
	var slow atomic.Bool
	l := altered(t, func(o *runOptions) {
		o.failpoint = func(passed string) {
			if passed == "flushed" && slow.CompareAndSwap(true, false) {
				timer := time.NewTimer(7 * time.Second)
				<-timer.C
			}
		}
	}, "run", "-c", b.file)
	seen := newTopics(t, b.rig)
	for _, key := range []string{"id=1", "id=2", "id=3"} { // the snapshot's window is not to be the slow one
		seen.until(l, "order "+key, func(r topicRecord) bool { return r.topic == "public.orders" && r.key == key })
	}
	slow.Store(true)
	b.handover(seen, l, func() {})
	l.logged(t, "E215")
	l.stop(t)
	b.came(seen, "exactly-once")
	if strings.Contains(l.log.String(), "E216") {
		t.Errorf("the log tells of a takeover:\n%s", l.log.tail())
	}
}

// TestTooFewReplicas has brokers that take nothing, and answer what a cluster does of which too many replicas
// are away: run waits, tells why in status and log, and goes on by itself.
func TestTooFewReplicas(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var away atomic.Bool
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		produce := request.(*kmsg.ProduceRequest)
		response := produce.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range produce.Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				refused := kmsg.NewProduceResponseTopicPartition()
				refused.Partition, refused.ErrorCode = partition.Partition, kerr.NotEnoughReplicas.Code
				answer.Partitions = append(answer.Partitions, refused)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, away.Load()
	})
	b := newBench(t, local.Postgres(t), cluster.ListenAddrs()[0], local.Registry(t))
	seen := newTopics(t, b.rig)
	l := b.rig.run(t)
	l.settled(t)
	away.Store(true)
	b.order(1)
	l.logged(t, "E212")
	s, err := l.status()
	if err != nil || !strings.Contains(s.Detail, "publish to topic "+b.prefix+".") ||
		!strings.Contains(s.Detail, "NOT_ENOUGH_REPLICAS") || !strings.HasSuffix(s.Detail, "[E212]") ||
		len(s.Problems) != 1 || s.Problems[0].Code != "E212" || s.Problems[0].Fix == "" {
		t.Errorf("the status tells %q, %+v, %v", s.Detail, s.Problems, err)
	}
	away.Store(false)
	b.handover(seen, l, func() {})
	if s, err = l.status(); err != nil || s.Detail != "" {
		t.Errorf("the status still tells %q, %v", s.Detail, err)
	}
	l.stop(t)
	b.came(seen, "exactly-once")
}

// TestPositionHeld has a transaction of the pipeline stay open, as a crash of another instance leaves it
// until Kafka ends it: check does not wait for that.
func TestPositionHeld(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.delivered()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers), kgo.TransactionalID("open"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{Topic: b.prefix + ".positions", Key: []byte("k"), Value: []byte("v")}
	if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	config, err := load(loadOptions{File: b.file})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var f findings
	checkPosition(ctx, config, &f)
	checked{t, f.list}.has("W604", "not read in time: a transaction of the pipeline is open", "tributary status")
}

// TestRepairPending asks for a repair, and then for something else, which must wait for it.
func TestRepairPending(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.delivered()
	code, _, stderr := execute(t, &program{}, "snapshot", "--repair", "-c", b.file, "--yes")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, command := range []string{"rewind --to-lsn 0/1 --yes", "replay --from-lsn 0/1"} {
		code, stdout, stderr := execute(t, &program{}, append(strings.Fields(command), "-c", b.file)...)
		if code != exitPerson {
			t.Errorf("%s: exit code %d: %s%s", command, code, stdout, stderr)
		}
		b.says(command, stderr, []string{"[E409]", "a repair was asked for at", "fix: tributary run"})
	}
}

// connectorOf writes the JSON of a connector on the bench's source, which names no plugin.
func (b *bench) connectorOf() string {
	b.Helper()
	u, err := url.Parse(b.source)
	if err != nil {
		b.Fatal(err)
	}
	password, _ := u.User.Password()
	properties := map[string]string{
		"name": b.prefix, "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
		"database.hostname": u.Hostname(), "database.port": u.Port(), "database.user": u.User.Username(),
		"database.password": password, "database.dbname": strings.Trim(u.Path, "/"),
		"database.sslmode": "disable", "topic.prefix": b.prefix, "slot.name": b.prefix,
		"publication.name": b.prefix, "table.include.list": "public.orders",
	}
	for _, side := range []string{"key", "value"} {
		properties[side+".converter"] = "io.confluent.connect.avro.AvroConverter"
		properties[side+".converter.schema.registry.url"] = b.registry
	}
	text, err := json.Marshal(properties)
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "connector.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		b.Fatal(err)
	}
	return file
}

// TestTakeoverFaults stages what a connector may leave behind: what needs no care, what needs some, and what
// no takeover can go on from, which run refuses in the same words.
func TestTakeoverFaults(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.exec("CREATE PUBLICATION " + b.prefix + " FOR TABLE public.orders")
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "offsets"); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--from-debezium", b.connectorOf(), "--brokers", b.brokers, "--pipeline", b.prefix}
	offsets := append(slices.Clone(flags), "--connect-offsets", "offsets")
	stored := func(offset string) {
		t.Helper()
		key := fmt.Sprintf(`["%s",{"server":"%[1]s"}]`, b.prefix)
		r := &kgo.Record{Topic: "offsets", Key: []byte(key), Value: []byte(offset)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	checks := func(args []string, code int, parts ...string) {
		t.Helper()
		got, stdout, stderr := execute(t, &program{}, append([]string{"check"}, args...)...)
		if got != code {
			t.Errorf("check: exit code %d, want %d:\n%s%s", got, code, stdout, stderr)
		}
		b.says("check", stdout+stderr, parts)
	}
	runs := func(parts ...string) {
		t.Helper()
		command := append([]string{"run", "--http-listen", "127.0.0.1:0"}, offsets...)
		l := altered(t, func(*runOptions) {}, command...)
		if code := l.wait(t); code != exitPerson {
			t.Errorf("run: exit code %d:\n%s", code, l.log.tail())
		}
		b.says("run", l.log.tail(), parts)
	}

	checks(offsets, exitOK, "no slot: run takes a snapshot as a new connector would [I506]", "[W600]",
		"the connector's JSON has no plugin.name", "no schema is registered yet [I506]")
	stored(`{"lsn":26507520,"lsn_commit":26507408,"messageType":"INSERT","txId":755}`)
	gone := []string{
		"slot PREFIX is gone, and connector PREFIX has last event at 0/1947900, last commit at 0/1947890", "[E502]",
	}
	checks(offsets, exitCheck, gone...)
	runs(gone...)
	b.exec("SELECT pg_create_logical_replication_slot('" + b.prefix + "', 'pgoutput')")
	checks(flags, exitOK, "nothing says what of the slot's changes Debezium has published [W505]",
		"fix tributary check --connect-offsets connect-offsets --name PREFIX")
	stored(`{"lsn":72057594037927936,"lsn_commit":72057594037927936,"messageType":"INSERT","txId":755}`)
	beyond := []string{"its offset is at 1000000/0, beyond the server's", "[E501]"}
	checks(offsets, exitCheck, beyond...)
	runs(beyond...)
	b.registered("public.orders-value", `{"type":"record","name":"Envelope","namespace":"n","fields":[`+
		`{"name":"before","type":"int"},{"name":"after","type":"int"}]}`)
	checks(offsets, exitCheck, "the schema would be a new version: at byte", "the registry refuses it [E504]")
}

// registered puts a schema into the registry, as whoever was there before has.
func (b *bench) registered(subject, text string) {
	b.Helper()
	body, err := json.Marshal(map[string]string{"schema": text})
	if err != nil {
		b.Fatal(err)
	}
	response, err := http.Post(b.registry+"/subjects/"+b.prefix+"."+subject+"/versions",
		"application/vnd.schemaregistry.v1+json", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		b.Fatalf("register %s: %s", subject, response.Status)
	}
}

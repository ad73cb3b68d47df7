package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// randomRound is how many tables one connector captures at a time.
const randomRound = 25

// randomSettings are settings of the connector of which a round takes one each.
var randomSettings = [][]string{
	{"decimal.handling.mode", "precise", "string", "double"},
	{"time.precision.mode", "adaptive", "adaptive_time_microseconds", "connect", "isostring"},
	{"interval.handling.mode", "numeric", "string"},
	{"binary.handling.mode", "bytes", "base64", "hex"},
	{"include.unknown.datatypes", "false", "true"},
	{"field.name.adjustment.mode", "none", "avro_unicode"},
	{"tombstones.on.delete", "true", "false"},
	{"schema.name.adjustment.mode", "avro", "avro_unicode"}, // Avro readers refuse other names
}

// TestRealRandomTables lets Debezium and tributary read the same random tables at the same time, each
// through a slot of its own, and compares what they wrote record by record. TRIBUTARY_TEST_TABLES says how
// many tables, 15 by default, TRIBUTARY_TEST_SEED which ones.
func TestRealRandomTables(t *testing.T) {
	w := connectWorker{t, local.RealConnect(t)}
	servers := local.RealPostgres(t)
	tables, seed := fromEnv(t, "TRIBUTARY_TEST_TABLES", 15), uint64(fromEnv(t, "TRIBUTARY_TEST_SEED", 1))
	for round := 0; round*randomRound < tables; round++ {
		chance := rand.New(rand.NewPCG(seed, uint64(round)))
		server := servers[(int(seed)+round)%len(servers)]
		t.Run(fmt.Sprintf("seed%d_round%d", seed, round), func(t *testing.T) {
			w.t = t
			randomPair(t, w, server, chance, min(randomRound, tables-round*randomRound))
		})
	}
}

func fromEnv(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// randomPair is one round.
func randomPair(t *testing.T, w connectWorker, server string, chance *rand.Rand, n int) {
	r := newRig(t, local.Database(t, server), local.RealKafka(t), local.RealRegistry(t), "[x]", "")
	s := dial(t, r.source)
	s.exec(randomSetup + "CREATE TABLE marker (id int PRIMARY KEY); INSERT INTO marker VALUES (0)")
	var tables []*randomTable
	for i := range n {
		table, sql := newRandomTable(chance, i)
		s.exec(sql)
		for range chance.IntN(4) {
			s.try(table.insert(chance))
		}
		tables = append(tables, table)
	}
	s.exec("CREATE PUBLICATION " + r.prefix + " FOR ALL TABLES")
	more := map[string]string{}
	for _, setting := range randomSettings {
		more[setting[0]] = setting[1+chance.IntN(len(setting)-1)]
	}
	t.Logf("settings %v", more)
	w.must(http.MethodPut, "/connectors/"+r.prefix+"/config", debeziumConfig(t, r, more))
	t.Cleanup(func() {
		w.must(http.MethodPut, "/connectors/"+r.prefix+"/stop", nil)
		w.must(http.MethodDelete, "/connectors/"+r.prefix, nil)
	})
	// Under the same prefix, so that schemas have the same names: only the topics are others.
	more["slot.name"] = r.prefix + "_t"
	debeziumConfig(t, r, more)
	l := serve(t, "", "run", "--from-debezium", r.file, "--brokers", r.brokers, "--pipeline", r.prefix,
		"--http-listen", "127.0.0.1:0", "--topic-routes", `[{match: "/(.*)/", replace: "their-$1"}]`,
		"--kafka-position-topic", r.prefix+".positions", "--kafka-ledger-topic", r.prefix+".ledger")
	l.reach(t, stateStreaming)
	p := newPair(t, r)
	p.meet(l, 0)
	for step := 1; step <= 3; step++ {
		for _, table := range tables {
			for range 6 {
				s.try(table.statement(chance))
			}
		}
		s.exec(fmt.Sprintf("INSERT INTO marker VALUES (%d)", step))
		p.meet(l, step) // before the shapes change: both read the catalog as it is then
		for _, table := range tables {
			s.try(table.alter(chance))
		}
	}
	l.stop(t)
	p.rest()
	p.compare()
}

// try runs a statement that may fail.
func (s *sourceConn) try(sql string) {
	_, _ = s.conn.Exec(context.Background(), sql).ReadAll() // a refused value is no value
}

// pair is what two programs have written of the same tables.
type pair struct {
	*topics
	raw map[string][]*kgo.Record // by topic
}

func newPair(t *testing.T, r *rig) *pair {
	t.Helper()
	p := &pair{topics: newTopics(t, r), raw: map[string][]*kgo.Record{}}
	p.client.Close()
	var err error
	p.client, err = kgo.NewClient(kgo.SeedBrokers(r.brokers), kgo.ConsumeRegex(),
		kgo.ConsumeTopics(`^(their-)?`+r.prefix+`\..*\..*`),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.MetadataMaxAge(500*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// meet waits until both have written a row of the marker table.
func (p *pair) meet(l *life, step int) {
	p.t.Helper()
	l.eventually(p.t, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		p.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			p.raw[r.Topic] = append(p.raw[r.Topic],
				r)
		})
		for _, who := range []string{"", "their-"} {
			if n := len(p.raw[who+p.prefix+".public.marker"]); n <= step {
				return fmt.Errorf("%smarker %d is not there", who, step)
			}
		}
		return nil
	})
}

// rest reads what the marker did not wait for: a topic that was made last is found late, and on a busy
// machine so late that its records seem to be missing on one side.
func (p *pair) rest() {
	begun, quiet := time.Now(), time.Now()
	for time.Since(quiet) < 2*time.Second || !p.even() && time.Since(begun) < 30*time.Second {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		p.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			p.raw[r.Topic], quiet = append(p.raw[r.Topic], r), time.Now()
		})
		cancel()
	}
}

// even says that both have written as many records of each table.
func (p *pair) even() bool {
	for topic, records := range p.raw {
		name, theirs := strings.CutPrefix(topic, "their-")
		if !theirs {
			name = "their-" + topic
		}
		if len(p.raw[name]) != len(records) {
			return false
		}
	}
	return true
}

// compare compares all topics, schemas first.
func (p *pair) compare() {
	p.t.Helper()
	var names []string
	for topic := range p.raw {
		names = append(names, strings.TrimPrefix(topic, "their-"))
	}
	slices.Sort(names)
	total := 0
	for _, topic := range slices.Compact(names) {
		for _, side := range []string{"-key", "-value"} {
			want, got := p.texts(topic+side), p.texts("their-"+topic+side)
			if !slices.Equal(want, got) {
				p.t.Errorf("%s%s:\nDebezium  %v\ntributary %v", topic, side, want, got)
			}
		}
		want, got := p.raw[topic], p.raw["their-"+topic]
		total += len(want)
		if len(want) != len(got) {
			p.t.Errorf("%s: Debezium wrote %d records, tributary %d", topic, len(want), len(got))
		}
		for i := range min(len(want), len(got)) {
			if a, b := p.show(want[i]), p.show(got[i]); a != b {
				p.t.Errorf("%s record %d:\nDebezium  %s\ntributary %s", topic, i, a, b)
				break
			}
		}
	}
	p.t.Logf("%d records in %d topics", total, len(p.raw)/2)
}

// texts returns every schema of a subject.
func (p *pair) texts(subject string) []string {
	p.t.Helper()
	registry := connectWorker{nil, p.registry}
	var versions []int
	if err := registry.do(http.MethodGet, "/subjects/"+subject+"/versions", nil, &versions); err != nil {
		return nil // a table without a key has none
	}
	var list []string
	for _, v := range versions {
		var one struct{ Schema string }
		if err := registry.do(http.MethodGet, fmt.Sprintf("/subjects/%s/versions/%d", subject, v), nil,
			&one); err != nil {
			p.t.Fatal(err)
		}
		list = append(list, one.Schema)
	}
	return list
}

// show writes a record without what may differ: the time of writing, the version, what a snapshot's
// transaction is, and where the last transaction before the start ended.
func (p *pair) show(r *kgo.Record) string {
	p.t.Helper()
	var b strings.Builder
	for _, data := range [][]byte{r.Key, r.Value} {
		if data == nil {
			b.WriteString("null ")
			continue
		}
		fields, err := p.avro(data)
		if err != nil {
			p.t.Fatalf("%s: %v", r.Topic, err)
		}
		for _, name := range []string{"ts_ms", "ts_us", "ts_ns"} {
			if _, isEnvelope := fields["op"]; isEnvelope {
				delete(fields, name)
			}
		}
		if source, isEnvelope := fields["source"].(map[string]any); isEnvelope {
			p.steady(source, fields["op"] == "r")
		}
		fmt.Fprintf(&b, "%v ", fields)
	}
	for _, h := range r.Headers {
		if !strings.HasSuffix(h.Key, ".runId") {
			fmt.Fprintf(&b, "%s=%s ", h.Key, h.Value)
		}
	}
	return b.String()
}

// steady leaves of a source block what is the same for both.
func (p *pair) steady(source map[string]any, snapshot bool) {
	delete(source, "version")
	if snapshot {
		for _, name := range []string{"ts_ms", "ts_us", "ts_ns", "txId", "lsn", "sequence"} {
			delete(source, name)
		}
		return
	}
	var sequence []*string
	text, _ := source["sequence"].(string)
	if json.Unmarshal([]byte(text), &sequence) == nil && len(sequence) == 2 {
		source["sequence"] = *sequence[1]
	}
}

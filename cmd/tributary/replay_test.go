package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/publisher"
)

// replayRig is a pipeline of its own on a Postgres and a Kafka, run by a role that may replicate and nothing
// more.
type replayRig struct {
	t       *testing.T
	admin   string // URL of a superuser
	brokers string
	name    string // of everything that is the rig's
	file    string // configuration
	config  Config
}

// newReplayRig makes two tables, the publication, the role and the configuration; more is YAML to add.
func newReplayRig(t *testing.T, postgres, brokers, more string) *replayRig {
	t.Helper()
	r := &replayRig{t: t, admin: local.Database(t, postgres), brokers: brokers}
	u, err := url.Parse(r.admin)
	if err != nil {
		t.Fatal("parse the database's URL")
	}
	r.name = strings.Trim(u.Path, "/")
	r.exec("CREATE TABLE public.a (id int PRIMARY KEY, v text)",
		"CREATE TABLE public.b (id int PRIMARY KEY, v text)",
		"CREATE PUBLICATION "+r.name+" FOR TABLE public.a, public.b",
		"CREATE ROLE "+r.name+" LOGIN REPLICATION PASSWORD 'replay'",
		"GRANT SELECT ON public.a, public.b TO "+r.name)
	t.Cleanup(func() { r.exec("DROP OWNED BY "+r.name, "DROP ROLE "+r.name) })
	u.User = url.UserPassword(r.name, "replay")
	r.file = filepath.Join(t.TempDir(), "config.yaml")
	text := fmt.Sprintf("source:\n  url: %q\n  tables: [public.a, public.b]\n  slot: %s\n  publication: %s\n"+
		"kafka:\n  brokers: [%q]\n  compression: %s\n"+
		"  position_topic: %s.positions\n  ledger_topic: %s.ledger\n"+
		"topic: {prefix: %s, partitions: 3}\nhttp: {listen: \"\"}\n%s", u.String(), r.name, r.name, brokers,
		testCompression, r.name, r.name, r.name, more)
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if r.config, err = load(loadOptions{File: r.file}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.dropTopics)
	return r
}

const replayJSON = "format: {key: json, value: json}\n"

func (r *replayRig) client(opts ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(r.brokers))...)
	if err != nil {
		r.t.Fatal(err)
	}
	return client
}

// dropTopics leaves a real cluster as it was.
func (r *replayRig) dropTopics() {
	client := r.client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	admin := kadm.NewClient(client)
	all, err := admin.ListTopics(ctx)
	if err != nil {
		return // an in-process cluster is gone already
	}
	var own []string
	for _, name := range all.Names() {
		if strings.HasPrefix(name, r.name+".") {
			own = append(own, name)
		}
	}
	if _, err := admin.DeleteTopics(ctx, own...); err != nil {
		r.t.Error(err)
	}
}

// exec runs statements as the superuser, each for itself.
func (r *replayRig) exec(statements ...string) {
	r.t.Helper()
	if err := r.try(statements...); err != nil {
		r.t.Error(err)
	}
}

func (r *replayRig) try(statements ...string) error {
	ctx := context.Background()
	conn, err := decoder.Connect(ctx, decoder.ConnectOptions{URL: r.admin})
	if err != nil {
		return err
	}
	defer closeConn(conn)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// command runs the program once.
func (r *replayRig) command(args ...string) (code int, output string) {
	r.t.Helper()
	code, stdout, stderr := execute(r.t, &program{run: run}, append(args, "-c", r.file)...)
	return code, stdout + stderr
}

// must is command for what must succeed.
func (r *replayRig) must(args ...string) string {
	r.t.Helper()
	code, output := r.command(args...)
	if code != exitOK {
		r.t.Fatalf("%v: exit code %d:\n%s", args, code, output)
	}
	return output
}

// start runs the pipeline until the function that it returns is called.
func (r *replayRig) start() (stop func()) {
	r.t.Helper()
	signals, ended := make(chan os.Signal, 1), make(chan int, 1)
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, signals: signals, run: run}
	go func() { ended <- p.execute(context.Background(), []string{"run", "-c", r.file}) }()
	return func() {
		r.t.Helper()
		signals <- syscall.SIGTERM
		select {
		case code := <-ended:
			if code != exitOK {
				r.t.Errorf("run: exit code %d:\n%s%s", code, out.String(), errs.String())
			}
		case <-time.After(time.Minute):
			r.t.Fatal("run does not stop")
		}
	}
}

// until waits for a condition.
func (r *replayRig) until(what string, holds func() bool) {
	r.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("not within a minute: %s", what)
		}
	}
}

func (r *replayRig) slot(name string) *decoder.Slot {
	r.t.Helper()
	conn, err := decoder.Connect(context.Background(), decoder.ConnectOptions{URL: r.admin})
	if err != nil {
		r.t.Fatal(err)
	}
	defer closeConn(conn)
	slot, err := decoder.InspectSlot(context.Background(), conn, name)
	if err != nil {
		r.t.Fatal(err)
	}
	return slot
}

func (r *replayRig) stored() *publisher.Stored {
	r.t.Helper()
	s, err := publisher.Load(context.Background(), []kgo.Opt{kgo.SeedBrokers(r.brokers)},
		r.config.Kafka.PositionTopic, r.config.Pipeline, r.config.Source.Slot)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// record is a record of a table without what may differ when it is published again.
type record struct {
	partition  int32
	key, value string
	headers    string
	replayed   bool
	// after is the end of the transaction before its own, from source.sequence; 0 for a tombstone.
	after decoder.LSN
	lsn   decoder.LSN
}

// read returns the committed records of a table's topic, by partition.
func (r *replayRig) read(topic string) []record {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := r.client(kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(20*time.Millisecond))
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		r.t.Fatal(err)
	}
	var all []record
	for partition := range int32(len(ends[topic])) {
		end, _ := ends.Lookup(topic, partition)
		client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}})
		for reached := int64(0); reached < end.Offset; {
			fetches := client.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				r.t.Fatalf("read %s: %v", topic, err)
			}
			fetches.EachRecord(func(k *kgo.Record) {
				if reached = k.Offset + 1; !k.Attrs.IsControl() {
					all = append(all, r.record(k))
				}
			})
		}
		client.RemoveConsumePartitions(map[string][]int32{topic: {partition}})
	}
	return all
}

func (r *replayRig) record(k *kgo.Record) record {
	r.t.Helper()
	one := record{partition: k.Partition, key: string(k.Key), value: string(k.Value)}
	for _, h := range k.Headers {
		switch h.Key {
		case replayHeader:
			one.replayed = true
		case "__debezium.context.runId": // of each run
		default:
			one.headers += h.Key + "=" + string(h.Value) + " "
		}
	}
	if k.Value == nil {
		return one
	}
	var fields map[string]json.RawMessage
	var source struct {
		Sequence string `json:"sequence"`
		LSN      uint64 `json:"lsn"`
	}
	if err := json.Unmarshal(k.Value, &fields); err != nil {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal(fields["source"], &source); err != nil {
		r.t.Fatal(err)
	}
	var sequence [2]*string
	if err := json.Unmarshal([]byte(source.Sequence), &sequence); err != nil {
		r.t.Fatal(err)
	}
	if sequence[0] != nil {
		n, err := strconv.ParseUint(*sequence[0], 10, 64)
		if err != nil {
			r.t.Fatal(err)
		}
		one.after = decoder.LSN(n)
	}
	one.lsn = decoder.LSN(source.LSN)
	for _, name := range []string{"ts_ms", "ts_us", "ts_ns"} {
		delete(fields, name)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		r.t.Fatal(err)
	}
	one.value = string(text)
	return one
}

// between returns the records of the transactions that committed from x up to y, by what the records say
// themselves. A tombstone follows its delete.
func between(all []record, x, y decoder.LSN) []record {
	var some []record
	inside := false
	for _, one := range all {
		if one.value != "" {
			inside = one.after >= x && one.after < y
		}
		if inside {
			some = append(some, one)
		}
	}
	return some
}

// ends returns the transaction ends that the records tell, in order.
func ends(all ...[]record) []decoder.LSN {
	seen := map[decoder.LSN]bool{}
	var list []decoder.LSN
	for _, records := range all {
		for _, one := range records {
			if one.after > 0 && !seen[one.after] {
				seen[one.after] = true
				list = append(list, one.after)
			}
		}
	}
	slices.Sort(list)
	return list
}

// load has four sessions write interleaved transactions until stop is called.
func (r *replayRig) load() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for writer := range 4 {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := writer*1_000_000 + n
				sql := fmt.Sprintf(`BEGIN; INSERT INTO public.a VALUES (%[1]d, 'one'), (%[2]d, 'two');
					UPDATE public.a SET v = v || '+' WHERE id = %[1]d; INSERT INTO public.b VALUES (%[1]d, 'x');
					UPDATE public.b SET id = -id WHERE id = %[1]d; DELETE FROM public.a WHERE id = %[2]d; COMMIT`,
					id*2, id*2+1)
				if err := r.try(sql); err != nil {
					r.t.Error(err)
					return
				}
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// same compares a replayed topic with what the pipeline published of the range.
func (r *replayRig) same(what string, want, got []record) {
	r.t.Helper()
	for i := range got {
		if !got[i].replayed {
			r.t.Fatalf("%s: record %d has no header %s", what, i, replayHeader)
		}
		got[i].replayed = false
	}
	if len(want) == 0 {
		r.t.Fatalf("%s: the range is empty", what)
	}
	if !reflect.DeepEqual(want, got) {
		for i := range min(len(want), len(got)) {
			if want[i] != got[i] {
				r.t.Fatalf("%s: %d records, want %d; record %d is\n%+v, want\n%+v", what, len(got), len(want), i, got[i],
					want[i])
			}
		}
		r.t.Fatalf("%s: %d records, want %d", what, len(got), len(want))
	}
}

// begin starts the pipeline and waits until it streams and has an anchor.
func (r *replayRig) begin() (stop func()) {
	r.t.Helper()
	stop = r.start()
	r.until("an anchor, and a position", func() bool {
		if r.slot(decoder.AnchorName(r.name)) == nil {
			return false
		}
		s := r.stored()
		if s == nil {
			return false
		}
		done, err := s.Done()
		return done && err == nil
	})
	return stop
}

// flowed waits until the pipeline has published all that is committed. It is called once.
func (r *replayRig) flowed() {
	r.t.Helper()
	r.exec("INSERT INTO public.a VALUES (-1, 'last')")
	r.until("the last row", func() bool {
		for _, one := range r.read(r.name + ".public.a") {
			if strings.Contains(one.value, `"last"`) {
				return true
			}
		}
		return false
	})
}

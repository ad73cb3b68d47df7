package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/publisher"
)

// TestParseOffset reads offsets as Debezium 3.6.1 and older ones write them.
func TestParseOffset(t *testing.T) {
	for text, want := range map[string]string{
		``:     "no offset",
		`null`: "no offset",
		`{"last_snapshot_record":true,"lsn":26506656,"txId":751,"ts_usec":1,"snapshot":"INITIAL",` +
			`"snapshot_completed":true}`: "a finished snapshot at 0/19475A0",
		`{"last_snapshot_record":false,"lsn":26506656,"txId":751,"snapshot":"INITIAL",` +
			`"snapshot_completed":false}`: "" +
			"a snapshot at 0/19475A0 that has not finished",
		`{"last_snapshot_record":true,"lsn":16,"snapshot":true}`:  "a finished snapshot at 0/10",
		`{"last_snapshot_record":false,"lsn":16,"snapshot":true}`: "a snapshot at 0/10 that has not finished",
		`{"lsn_proc":26507520,"messageType":"INSERT","lsn_commit":26507408,"lsn":26507520,"txId":755}`: "" +
			"last event at 0/1947900, last commit at 0/1947890",
		` { "lsn" : 16 } `: "last event at 0/10, last commit at 0/0",
		`{}`:               "error: not the offset of a PostgreSQL connector: it has no lsn",
		`{"file":"x"}`:     "error: not the offset of a PostgreSQL connector: it has no lsn",
		`{"lsn":"x"}`:      "error: not the offset of a PostgreSQL connector",
		`[`:                "error: not the offset of a PostgreSQL connector",
	} {
		o, err := parseOffset([]byte(text))
		got := fmt.Sprintf("error: %v", err)
		if err == nil {
			got = o.String()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: want %s, got %s", text, want, got)
		}
	}
}

// TestOffsetStart holds what is passed over to what an offset proves.
func TestOffsetStart(t *testing.T) {
	for text, want := range map[string]string{
		// Confirmed is 0/64 (100) throughout.
		`{"lsn":90,"snapshot":"INITIAL","snapshot_completed":true,"txId":5}`: "0/64 xid 0 changes 0 true",
		`{"lsn":120,"lsn_commit":110,"messageType":"INSERT","txId":5}`:       "0/6E xid 5 changes 1 false",
		`{"lsn":120,"lsn_commit":90,"messageType":"UPDATE","txId":5}`:        "0/64 xid 5 changes 1 false",
		`{"lsn":120,"messageType":"DELETE","txId":5}`:                        "0/64 xid 5 changes 1 false",
		`{"lsn":120,"lsn_commit":120,"messageType":"COMMIT","txId":5}`:       "0/78 xid 0 changes 0 true",
		`{"lsn":120,"lsn_commit":110,"messageType":"BEGIN","txId":5}`:        "0/6E xid 5 changes 0 false",
		`{"lsn":120,"lsn_commit":120,"messageType":"MESSAGE"}`:               "0/78 xid 0 changes 0 true",
	} {
		o, err := parseOffset([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		at, taken := o.start(100)
		if got := fmt.Sprintf("%s xid %d changes %d %t", at, taken.XID, taken.Changes,
			taken.Passed); got != want {
			t.Errorf("%s: want %s, got %s", text, want, got)
		}
	}
	o, err := parseOffset([]byte(`{"lsn":120,"transaction_data_collection_order_a.b":3,` +
		`"transaction_data_collection_order_a.a":1,"messageType":"INSERT","txId":5,"transaction_id":"5:120"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, taken := o.start(0); fmt.Sprint(taken.Counts) != "[{a.a 1} {a.b 3}]" {
		t.Errorf("counts %v", taken.Counts)
	}
}

func TestOffsetNewer(t *testing.T) {
	o := &connectorOffset{LSN: 100, found: true}
	for _, c := range []struct {
		stored *publisher.Stored
		want   bool
	}{
		{nil, true},
		{&publisher.Stored{Resume: 99}, true},
		{&publisher.Stored{Resume: 100}, false}, // as giveBack writes it
		{&publisher.Stored{Resume: 99, Taken: &publisher.Taken{LSN: 100}}, false},
		{&publisher.Stored{Resume: 99, Taken: &publisher.Taken{LSN: 98}}, true},
	} {
		if got := o.newer(c.stored); got != c.want {
			t.Errorf("%+v: got %t", c.stored, got)
		}
	}
}

// TestOffsetTopic writes offsets as Connect does, and reads them.
func TestOffsetTopic(t *testing.T) {
	brokers := local.Kafka(t)
	opts := []kgo.Opt{kgo.SeedBrokers(brokers)}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := t.Context()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 3, 1, nil, "offsets"); err != nil {
		t.Fatal(err)
	}
	c := TakeoverConfig{ConnectOffsets: "offsets", Connector: "c"}
	offset, err := readOffset(ctx, opts, c, "p")
	if err != nil || offset.found {
		t.Fatalf("empty: %+v, %v", offset, err)
	}
	for _, kv := range [][2]string{
		{`["c",{"server":"p"}]`, `{"lsn":1}`},
		{`["c", {"server": "p"}]`, `{"lsn":2}`},
		{`["d",{"server":"p"}]`, `{"lsn":3}`},
		{`["c",{"server":"q"}]`, `{"lsn":4}`},
		{"other", "text"},
	} {
		r := &kgo.Record{Topic: "offsets", Key: []byte(kv[0]), Value: []byte(kv[1])}
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]decoder.LSN{"d": 3, "e": 0} {
		offset, err := readOffset(ctx, opts, TakeoverConfig{"offsets", name}, "p")
		if err != nil || offset.LSN != want {
			t.Errorf("%s: %+v, %v", name, offset, err)
		}
	}
	if offset, err = readOffset(ctx, opts, c, "q"); err != nil || offset.LSN != 4 {
		t.Errorf("another prefix: %+v, %v", offset, err)
	}
	if err := writeOffset(ctx, opts, c, "q", offset.partition, 77, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	again, err := readOffset(ctx, opts, c, "q")
	if err != nil || again.LSN != 77 || again.Commit != 77 || again.Message != debeziumCommit ||
		again.partition != offset.partition {
		t.Errorf("written: %+v, %v", again, err)
	}
	_, err = readOffset(ctx, opts, TakeoverConfig{"no-such-topic", "c"}, "p")
	if exitCode(err) != exitPerson || !strings.Contains(fmt.Sprint(err), "takeover.connect_offsets") {
		t.Errorf("a topic that is not there: %v", err)
	}
	// A Kafka that is away may come back: it is asked again, and nobody is called.
	away := []kgo.Opt{
		kgo.SeedBrokers("127.0.0.1:1"), kgo.DialTimeout(100 * time.Millisecond),
		kgo.RetryTimeout(100 * time.Millisecond), kgo.RecordDeliveryTimeout(time.Second),
	}
	if _, err := readOffset(ctx, away, c, "p"); !retryable(err) {
		t.Errorf("read while Kafka is away: %v", err)
	}
	if err := writeOffset(ctx, away, c, "p", -1, 77, time.Unix(1, 0)); !retryable(err) {
		t.Errorf("written while Kafka is away: %v", err)
	}
}

var errCrashed = errors.New("crashed")

// TestCrashBeforeFirstPosition crashes at every point between the making of the slot and the first stored
// position. The slot is then there, and proves nothing: the next run must not take it for a stream that has
// its snapshot.
func TestCrashBeforeFirstPosition(t *testing.T) {
	for _, point := range []string{pointCreated, pointHeld, pointFenced} {
		t.Run(point, func(t *testing.T) {
			r := newRig(t, local.Database(t, local.Postgres(t)), local.Kafka(t), local.Registry(t),
				"[public.t]", "")
			s := dial(t, r.source)
			s.exec("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
			crashed := serve(t, point, "run", "-c", r.file)
			if code := crashed.wait(t); code != exitPerson || !strings.Contains(crashed.log.String(),
				"crashed") {
				t.Fatalf("exit code %d:\n%s", code, crashed.log.tail())
			}
			if s.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '"+r.prefix+"'") != "1" {
				t.Fatal("the crash left no slot")
			}
			s.exec("INSERT INTO t VALUES (3, 'c'); DELETE FROM t WHERE id = 1")
			if refused := r.run(t, "--snapshot-without-position", "stop"); refused.wait(t) != exitPerson ||
				!strings.Contains(refused.log.String(), "[E503]") {
				t.Fatalf("told to stop: exit code %d:\n%s", refused.code, refused.log.tail())
			}
			l := r.run(t)
			records := newTopics(t, r)
			l.reach(t, stateStreaming)
			s.exec("INSERT INTO t VALUES (4, 'd')")
			records.until(l, "row 4", func(r topicRecord) bool { return strings.Contains(r.key, "4") })
			l.stop(t)
			state := map[string]bool{}
			for _, r := range records.all() {
				switch r.op {
				case "r", "c", "u":
					state[fmt.Sprint(r.after["v"])] = true
				case "d":
					state["a"] = false
				}
			}
			if state["a"] || !state["b"] || !state["c"] || !state["d"] {
				t.Errorf("the topic leads to %v, want b, c and d", state)
			}
		})
	}
}

// serve runs the program in this process, with a crash at a point or none.
func serve(t *testing.T, point string, args ...string) *life {
	return altered(t, func(o *runOptions) {
		o.crash = func(at string) error {
			if at == point {
				return errCrashed
			}
			return nil
		}
	}, args...)
}

// altered runs the program in this process, with something of it changed.
func altered(t *testing.T, change func(o *runOptions), args ...string) *life {
	l := &life{log: &lockedBuffer{}, signals: make(chan os.Signal, 2), ended: make(chan struct{})}
	p := &program{
		stdout: l.log, stderr: l.log, signals: l.signals,
		run: func(ctx context.Context, o runOptions) error {
			change(&o)
			return run(ctx, o)
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(l.ended)
		l.code = p.execute(ctx, args)
	}()
	t.Cleanup(func() {
		cancel()
		<-l.ended
	})
	return l
}

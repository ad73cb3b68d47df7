package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/deploy/local"
)

func TestAvroReader(t *testing.T) {
	schema := avro.MustParse(`{"type":"record","name":"r","fields":[
		{"name":"z","type":["null","string"]},{"name":"n","type":["null","string"]},{"name":"a","type":"long"},
		{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}},
		{"name":"l","type":{"type":"array","items":"int"}},{"name":"m","type":{"type":"map","values":"boolean"}},
		{"name":"f","type":"double"}]}`)
	data := []byte{
		2, 4, 'h', 'i', 0, // z: branch 1, "hi"; n: branch 0
		3,             // a: -2
		4, 0xff, 0x9c, // d: -100 unscaled
		4, 2, 4, 0, // l: 1, 2
		2, 2, 'k', 1, 0, // m: k true
		0, 0, 0, 0, 0, 0, 0xf8, 0x3f, // f: 1.5
	}
	d := avroReader{data: data}
	got := string(d.value(nil, schema))
	want := `{"z":"hi","n":null,"a":-2,"d":-1.00,"l":[1,2],"m":{"k":true},"f":1.5}`
	if got != want || d.err != nil || len(d.data) != 0 {
		t.Errorf("got %s, %v, %d left", got, d.err, len(d.data))
	}
	for n := range data {
		cut := avroReader{data: data[:n]}
		if cut.value(nil, schema); cut.err == nil {
			t.Errorf("cut after %d bytes: no error", n)
		}
	}
}

func TestChanges(t *testing.T) {
	for _, test := range []struct{ value, want string }{
		{`{"before":{"id":1,"b":"x","a":2},"after":{"id":1,"b":"y","a":2},"op":"u"}`, `b: "x" -> "y"`},
		{`{"before":null,"after":{"z":1,"a":null},"op":"c"}`, `z: 1  a: null`},
		{`{"before":{"id":1},"after":null,"op":"d"}`, `id: 1`},
		{`{"before":{"id":1},"after":{"id":1},"op":"u"}`, `(no column differs)`},
		{`{"x":1}`, `{"x":1}`},
	} {
		s := shownRecord{Value: json.RawMessage(test.value)}
		var e envelope
		if err := json.Unmarshal(s.Value, &e); err != nil {
			t.Fatal(err)
		}
		s.Op = e.Op
		if got := changes(s, false); got != test.want {
			t.Errorf("%s: got %s, want %s", test.value, got, test.want)
		}
	}
}

func TestTailFilters(t *testing.T) {
	table, err := parsePattern("public.*")
	if err != nil {
		t.Fatal(err)
	}
	s := shownRecord{Topic: "p.public.a", Table: "public.a", Op: "d", Key: json.RawMessage(`{"id":7}`)}
	tombstone := shownRecord{Op: "tombstone", Key: s.Key, among: []string{"x.y", "public.a"}}
	for _, test := range []struct {
		o    tailOptions
		s    shownRecord
		want bool
	}{
		{tailOptions{}, s, true},
		{tailOptions{op: "c,d"}, s, true},
		{tailOptions{op: "c"}, s, false},
		{tailOptions{key: `"id":7`}, s, true},
		{tailOptions{key: `"id":8`}, s, false},
		{tailOptions{key: "id=7"}, s, true},
		{tailOptions{key: "id=77"}, s, false},
		{tailOptions{key: "7"}, s, true},
		{tailOptions{key: "id"}, s, false},
		{tailOptions{key: "x y"}, shownRecord{Op: "c", Key: json.RawMessage(`{"a":1,"b":"x y"}`)}, true},
		{tailOptions{key: "7"}, shownRecord{Op: "c"}, false},
		{tailOptions{table: "public.*"}, s, true},
		{tailOptions{table: "public.*"}, tombstone, true},
		{tailOptions{table: "public.*"}, shownRecord{Topic: "p.other.a", Table: "other.a"}, false},
	} {
		if got := test.o.wants(test.s, table); got != test.want {
			t.Errorf("%+v: got %t", test.o, got)
		}
	}
}

// TestTailFromLSN: each partition begins with the first change at the LSN or later, and what follows is
// shown, also what was written before and committed behind it, and the rows of a later snapshot.
func TestTailFromLSN(t *testing.T) {
	from := startLSN{100, map[string]bool{}}
	for i, test := range []struct {
		partition  int32
		op, source string
		want       bool
	}{
		{0, "r", `"lsn":40,"sequence":"[null,\"40\"]"`, false}, // of the first snapshot
		{0, "c", `"lsn":90,"sequence":"[\"80\",\"90\"]"`, false},
		{1, "d", `"lsn":95,"sequence":"[\"80\",\"95\"]"`, false},
		{1, opTombstone, "", false},
		{0, "u", `"lsn":100,"sequence":"[\"95\",\"100\"]"`, true},
		{0, "u", `"lsn":70,"sequence":"[\"120\",\"70\"]"`, true}, // of a long transaction that committed last
		{1, "d", `"lsn":60,"sequence":"[\"120\",\"60\"]"`, true}, // of the same, alone in its partition
		{1, opTombstone, "", true},
		{0, "r", `"lsn":50,"sequence":"[null,\"50\"]"`, true}, // of a snapshot that was taken later
		{2, "c", `"lsn":null,"sequence":null`, false},
	} {
		s := shownRecord{Topic: "p.public.a", Partition: test.partition, Op: test.op}
		if test.source != "" {
			value := `{"op":"` + test.op + `","source":{"schema":"public","table":"a",` + test.source + `}}`
			s.read(json.RawMessage(value))
		}
		if got := from.reached(s); got != test.want {
			t.Errorf("%d: %+v: got %t", i, s, got)
		}
	}
	all := startLSN{0, map[string]bool{}}
	if !all.reached(shownRecord{Op: opTombstone}) {
		t.Error("without an LSN a tombstone is left out")
	}
}

// TestTailFlags: operations have words, and what is none is named with the nearest.
func TestTailFlags(t *testing.T) {
	for _, test := range []struct{ op, lsn, want, wrong string }{
		{"create, d,tombstone", "0/16B3748", "c,d,tombstone", ""},
		{"creat", "", "", "did you mean create?"},
		{"c", "0/x", "", "--from-lsn"},
	} {
		o := tailOptions{op: test.op}
		err := o.parse(test.lsn)
		if err == nil && (o.op != test.want || test.wrong != "") ||
			err != nil && (test.wrong == "" || !strings.Contains(err.Error(), test.wrong)) {
			t.Errorf("%+v: %+v, %v", test, o, err)
		}
	}
	var e envelope
	for text, want := range map[string]sourceLSN{
		`{"source":{"lsn":7}}`: 7, `{"source":{"lsn":"8"}}`: 8, `{"source":{"lsn":null}}`: 0, `{"source":{}}`: 0,
	} {
		e = envelope{}
		if err := json.Unmarshal([]byte(text), &e); err != nil || e.Source.LSN != want {
			t.Errorf("%s: %d, %v", text, e.Source.LSN, err)
		}
	}
}

// TestTailRenamed looks for tombstones in topics that do not end in the tables' names: by a route, behind
// another delimiter, cleaned, and shared by two tables; and beside them at what another program wrote.
func TestTailRenamed(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.exec(`CREATE TABLE public."a b" (id int PRIMARY KEY); CREATE TABLE public.one (id int PRIMARY KEY);
		CREATE TABLE public.two (id int PRIMARY KEY); CREATE PUBLICATION ` + b.prefix + ` FOR ALL TABLES`)
	b.change("['public.*']", `topic: {prefix: PREFIX, delimiter: "_", partitions: 1, replication_factor: 1, `+
		`routes: [{match: "/.*_orders/", replace: "renamed-PREFIX"}, `+
		`{match: "/.*_(one|two)/", replace: "shared_PREFIX", schemas: true}]}`)
	l := b.rig.run(t)
	l.reach(t, stateStreaming)
	b.exec(`DELETE FROM public.orders WHERE id = 3; INSERT INTO public."a b" VALUES (5);
		DELETE FROM public."a b"; INSERT INTO public.one VALUES (6); INSERT INTO public.two VALUES (7);
		DELETE FROM public.one; DELETE FROM public.two`)
	ask := func(args ...string) string {
		t.Helper()
		signals := make(chan os.Signal, 1) // it looks for what comes until it is told to end
		defer time.AfterFunc(e2ePatience, func() { signals <- syscall.SIGINT }).Stop()
		code, out, errs := execute(t, &program{signals: signals}, append(args, "-c", b.file, "--from-beginning")...)
		if code != exitOK {
			t.Fatalf("%v: exit code %d: %s", args, code, errs)
		}
		return out
	}
	for table, key := range map[string]int{
		"public.orders": 3, "public.a b": 5, "public.one": 6, "public.two": 7,
	} {
		want := fmt.Sprintf("tombstone  %s  {\"id\":%d}\n", table, key)
		if out := ask("tail", "--table", table, "--op", "tombstone", "-n", "1"); out != want {
			t.Errorf("tombstones of %s: %q, want %q", table, out, want)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	foreign := &kgo.Record{Topic: "shared_" + b.prefix, Key: []byte{1, 2}, Value: []byte{3, 4, 5}}
	if err := client.ProduceSync(t.Context(), foreign).FirstErr(); err != nil {
		t.Fatal(err)
	}
	out := ask("tail", "--key", "(2 bytes, neither Avro with a schema id nor JSON)", "-n", "1")
	if !strings.HasPrefix(out, "-  shared_"+b.prefix) || !strings.Contains(out, "(3 bytes, neither") {
		t.Errorf("another program's record: %q", out)
	}
	l.stop(t)
}

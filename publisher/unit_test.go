package publisher

import (
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// TestPartitionOf takes its values from Kafka's Java client.
func TestPartitionOf(t *testing.T) {
	for _, c := range []struct {
		key            string
		hash           uint32
		of3, of6, of12 int32
	}{
		{"000000000102", 2377598318, 0, 0, 6},
		{"000000000104", 240126910, 1, 4, 10},
		{"000000000202", 1495885360, 1, 4, 4},
	} {
		key, _ := hex.DecodeString(c.key)
		if got := murmur2(key); got != c.hash {
			t.Errorf("murmur2(%s): want %d, got %d", c.key, c.hash, got)
		}
		for partitions, want := range map[int32]int32{3: c.of3, 6: c.of6, 12: c.of12} {
			if got := partitionOf(key, partitions); got != want {
				t.Errorf("partitionOf(%s, %d): want %d, got %d", c.key, partitions, want, got)
			}
		}
	}
	if got := int32(murmur2([]byte("21"))); got != -973932308 {
		t.Errorf("murmur2(21): want -973932308, got %d", got)
	}
	if got := partitionOf(nil, 12); got != 0 {
		t.Errorf("partitionOf(nil): want 0, got %d", got)
	}
	// The client's own hash is another implementation of the same.
	client := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 2000 {
		key := make([]byte, n%37+1)
		for i := range key {
			key[i] = byte(random.Uint32())
		}
		if want, got := client.Partition(&kgo.Record{Key: key}, 17), int(partitionOf(key, 17)); got != want {
			t.Fatalf("partitionOf(%x, 17): want %d, got %d", key, want, got)
		}
	}
}

// TestFrontier acknowledges in random orders and compares with a list that is searched from the front each
// time.
func TestFrontier(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		f := newFrontier()
		type ack struct{ flight int }
		var flights []*flight
		var windows []*window
		var acks []ack
		left := make([]int, 1+random.IntN(8))
		for i := range left {
			left[i] = random.IntN(4)
			windows = append(windows, &window{n: i})
			flights = append(flights, f.Register(windows[i], left[i]))
			for range left[i] {
				acks = append(acks, ack{i})
			}
		}
		random.Shuffle(len(acks), func(i, j int) { acks[i], acks[j] = acks[j], acks[i] })
		var got []*window
		for n := 0; ; n++ {
			var err error
			if got, err = f.Pass(got); err != nil {
				t.Fatal(err)
			}
			want := 0
			for want < len(left) && left[want] == 0 {
				want++
			}
			if len(got) != want {
				t.Fatalf("after %d acks: want %d windows passed, got %d", n, want, len(got))
			}
			if n == len(acks) {
				break
			}
			left[acks[n].flight]--
			f.Ack(flights[acks[n].flight], nil)
		}
		for i := range got {
			if got[i] != windows[i] {
				t.Fatalf("window %d passed as number %d", got[i].n, i)
			}
		}
	}
}

func TestFrontierStopsAtAnError(t *testing.T) {
	f := newFrontier()
	lost := f.Register(&window{}, 1)
	good := f.Register(&window{}, 1)
	refused := errors.New("refused")
	f.Ack(lost, refused)
	f.Ack(good, nil)
	for range 2 {
		if done, err := f.Pass(nil); !errors.Is(err, refused) || len(done) != 0 {
			t.Errorf("Pass: want %v, got %d windows, %v", refused, len(done), err)
		}
	}
}

func TestTallyJoin(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		var whole, joined tally
		stream := []byte(nil)
		for range random.IntN(4) {
			var part tally
			for range random.IntN(5) {
				key, value := make([]byte, random.IntN(40)), make([]byte, random.IntN(400))
				for i := range value {
					value[i] = byte(random.Uint32())
				}
				if random.IntN(3) == 0 {
					value = nil
				}
				part.add(key, value)
				whole.add(key, value)
				stream = append(append(stream, 0, 0, 0, byte(len(key))), key...)
				if value == nil {
					stream = append(stream, 255, 255, 255, 255)
				} else {
					stream = append(append(stream, 0, 0, byte(len(value)>>8), byte(len(value))), value...)
				}
			}
			joined.join(part)
		}
		if joined != whole {
			t.Fatalf("joined: want %+v, got %+v", whole, joined)
		}
		if want := crc32.Checksum(stream, crc32.MakeTable(crc32.Castagnoli)); whole.crc != want {
			t.Fatalf("crc: want %08x, got %08x", want, whole.crc)
		}
	}
}

func TestPositionRecord(t *testing.T) {
	s := Stored{
		Pipeline: "orders", Slot: "s1", Identity: Identity{"7301", 2, "shop"},
		Position: decoder.Position{Commit: 0x1_0000_0010, Ordinal: 7}, Resume: 0x1_0000_0000, LastCommit: 0xff,
		Epoch: 1, Window: 42, Snapshot: []byte(`{"done":true}`), Run: "r",
		Split:   &Split{Publications: []string{"p"}, Protocol: "1", LSN: 9, Relation: "public.t", Op: "u"},
		Written: time.Unix(1_700_000_000, 0).UTC(),
	}
	value, err := s.marshal()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"pipeline":"orders","slot":"s1","system_id":"7301","timeline":2,"database":"shop",` +
		`"position":{"commit":"1/10","ordinal":7},"resume":"1/0","last_commit":"0/FF","epoch":1,"window":42,` +
		`"split":{"publications":["p"],"protocol":"1","lsn":"0/9","relation":"public.t","op":"u"},` +
		`"snapshot":{"done":true},"run":"r","written":"2023-11-14T22:13:20Z"}`
	if string(value) != want {
		t.Errorf("want %s\ngot  %s", want, value)
	}
	back, err := parseStored("orders/s1", value)
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.marshal()
	if err != nil || string(again) != want {
		t.Errorf("read back: want %s\ngot %s, %v", want, again, err)
	}
	if done, err := back.Done(); !done || err != nil {
		t.Errorf("Done: got %v, %v", done, err)
	}
	for name, bad := range map[string]struct{ key, value, want string }{
		"version":     {"orders/s1", `{"version":2,"position":"elsewhere"}`, "has version 2"},
		"no JSON":     {"orders/s1", `{`, "read the position of orders/s1"},
		"another key": {"a/b", string(value), "it says that it is that of orders/s1"},
		"bad LSN":     {"orders/s1", strings.Replace(want, "1/0", "x", 1), "read the position of orders/s1"},
	} {
		if _, err := parseStored(bad.key, []byte(bad.value)); err == nil || !strings.Contains(err.Error(),
			bad.want) {
			t.Errorf("%s: want an error with %q, got %v", name, bad.want, err)
		}
	}
}

func TestVerify(t *testing.T) {
	stored := Stored{
		Pipeline: "p", Slot: "s", Identity: Identity{"7", 2, "db"}, Resume: 0x200,
		Position: decoder.Position{Commit: 0x1f0, Ordinal: 1},
	}
	good := Server{Identity: stored.Identity, Confirmed: 0x200, End: 0x300}
	if _, err := parseStored("p/s", []byte(`{"version":9}`)); ErrorCode(err) != "E401" {
		t.Errorf("a position of version 9: %v", err)
	}
	if err := stored.Verify(good); err != nil {
		t.Errorf("Verify: %v", err)
	}
	split := stored
	split.Split, split.Position = &Split{Publications: []string{"a"}, Protocol: "1"},
		decoder.Position{Commit: 0x280, Ordinal: 3}
	for name, c := range map[string]struct {
		stored Stored
		change func(*Server)
		want   string
	}{
		"system": {stored, func(s *Server) { s.Identity.SystemID = "8" }, "system identifier 7, and the " +
			"server has system identifier 8"},
		"database": {stored, func(s *Server) { s.Identity.Database = "x" }, "database db"},
		"advanced": {stored, func(s *Server) { s.Confirmed = 0x240 }, "from 0/200 to 0/240 (64 bytes of WAL)"},
		"ahead": {stored, func(s *Server) { s.End, s.Confirmed = 0x100, 0x100 }, "the history from 0/100 " +
			"to 0/200 is lost"},
		"no descent": {stored, func(s *Server) { s.Identity.Timeline = 3 }, "timeline 3 does not descend"},
		"behind": {stored, func(s *Server) {
			s.Identity.Timeline, s.History = 3,
				[]decoder.Switch{{Timeline: 2, LSN: 0x1ff}}
		}, "left it at 0/1FF"},
		"split": {
			split, func(s *Server) { s.Publications, s.Protocol = []string{"b"}, "1" },
			"publications [a]",
		},
		"split ahead": {split, func(s *Server) {
			s.Identity.Timeline, s.History = 3,
				[]decoder.Switch{{Timeline: 2, LSN: 0x27f}}
		}, "from 0/27F to 0/280"},
	} {
		server := good
		c.change(&server)
		err := c.stored.Verify(server)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want an error with %q, got %v", name, c.want, err)
			continue
		}
		var person interface{ NeedsPerson() bool }
		if !errors.As(err, &person) || !person.NeedsPerson() {
			t.Errorf("%s: want an error that needs a person", name)
		}
		codes := map[string]string{"system": "E402", "database": "E402", "advanced": "E403", "split": "E405"}
		want, named := codes[name]
		if !named {
			want = "E404" // history that was lost
		}
		if got := ErrorCode(err); got != want {
			t.Errorf("%s: code %s, want %s", name, got, want)
		}
	}
	promoted := good
	promoted.Identity.Timeline, promoted.History = 3, []decoder.Switch{{Timeline: 2, LSN: 0x200}}
	if err := stored.Verify(promoted); err != nil {
		t.Errorf("promoted behind the position: %v", err)
	}
}

// builderOf returns a builder and a table without any server.
func builderOf(t testing.TB, r *schema.Relation, o Options) (*builder, *table) {
	t.Helper()
	o.Schema.Name, o.Schema.Database = "p", "db"
	codec, err := schema.Compile(r, "p."+r.String(), o.Schema)
	if err != nil {
		t.Fatal(err)
	}
	tb := &table{
		codec: codec, topic: &topic{name: "p." + r.String(), partitions: 3}, gap: keyGap(r),
		stats: &tableStats{name: r.String()},
	}
	if o.Schema.KeyFormat == schema.Avro {
		tb.keyPrefix, tb.valuePrefix = []byte{0, 0, 0, 0, 1}, []byte{0, 0, 0, 0, 2}
	}
	b := newBuilder(&o)
	return &b, tb
}

// build returns the records of one change, one line each, headers included.
func build(t *testing.T, b *builder, tb *table, c decoder.Change) string {
	t.Helper()
	w, tx := &window{}, &decoder.Transaction{Commit: 0x99, XID: 7, Time: 1_700_000_000_000_000}
	b.numbers.reset(nil)
	b.source(tx, &c, 0, 0, time.Unix(1_700_000_001, 0))
	why, err := b.change(w, tb, tx, &c)
	if err != nil {
		return err.Error() + " [" + ErrorCode(err) + "]"
	}
	if why != filteredNot {
		return why
	}
	var lines []string
	for i := range w.n {
		r := w.record(i)
		line := string(r.Key) + " " + brief(r.Value)
		for _, h := range r.Headers {
			line += " " + h.Key + "=" + string(h.Value)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestContextHeaders(t *testing.T) {
	o := Options{Context: true, Run: "run"}
	o.Schema.KeyFormat, o.Schema.ValueFormat = schema.JSONBare, schema.JSONBare
	b, tb := builderOf(t, relationOf("items"), o)
	b.headers[0].Value = []byte("p") // builderOf sets the name only for the codec
	got := build(t, b, tb, insert(relationOf("items"), 1, "a"))
	want := "__debezium.context.connectorLogicalName=p __debezium.context.taskId=0 " +
		"__debezium.context.connectorName=postgresql __debezium.context.runId=run"
	if !strings.HasSuffix(got, want) {
		t.Errorf("want %s at the end, got %s", want, got)
	}
}

// TestEncodeAllocates holds that a row costs no allocation once its window has been filled before.
func TestEncodeAllocates(t *testing.T) {
	items := relationOf("items")
	b, tb := builderOf(t, items, Options{})
	w, tx := &window{}, &decoder.Transaction{Commit: 1, XID: 7}
	c := insert(items, 1, strings.Repeat("x", 100))
	at := time.Unix(1_700_000_000, 0)
	fill := func() {
		w.reset()
		for range 2000 {
			b.source(tx, &c, 5, 0, at)
			if _, err := b.change(w, tb, tx, &c); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill()
	if got := testing.AllocsPerRun(10, fill); got > 10 {
		t.Errorf("2000 rows: want at most 10 allocations, got %v", got)
	}
}

func BenchmarkEncode(b *testing.B) {
	items := relationOf("items")
	build, tb := builderOf(b, items, Options{})
	w, tx := &window{}, &decoder.Transaction{Commit: 1, XID: 7}
	c := insert(items, 1, strings.Repeat("x", 100))
	b.ReportAllocs()
	for b.Loop() {
		if w.n == 50_000 {
			w.reset()
		}
		build.source(tx, &c, 5, 0, time.Now())
		if _, err := build.change(w, tb, tx, &c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWindow puts finished bytes into windows, without encoding them: memory, partition, counts.
func BenchmarkWindow(b *testing.B) {
	w, to := &window{}, &topic{name: "t", partitions: 3}
	key, value, at := make([]byte, 12), make([]byte, 280), time.Now()
	b.ReportAllocs()
	b.SetBytes(int64(len(key) + len(value)))
	for b.Loop() {
		if w.n == 50_000 {
			w.reset()
		}
		r := w.next()
		r.Key = w.slabs.keep(append(w.slabs.room(), key...))
		r.Value = w.slabs.keep(append(w.slabs.room(), value...))
		w.add(r, to, at)
	}
}

// TestRollback drops the tail of a window and counts what is left.
func TestRollback(t *testing.T) {
	items := relationOf("items")
	b, tb := builderOf(t, items, Options{})
	w, tx := &window{}, &decoder.Transaction{Commit: 1}
	add := func(id int) {
		c := insert(items, id, "v")
		b.source(tx, &c, 0, 0, time.Unix(0, 0))
		if _, err := b.change(w, tb, tx, &c); err != nil {
			t.Fatal(err)
		}
	}
	for id := range 300 {
		add(id)
	}
	want := append([]tally(nil), w.tallies.byTopic[0]...)
	at, size := w.mark(), w.size
	for id := range 300 {
		add(id)
	}
	w.rollback(at)
	if w.n != 300 || w.size != size || len(w.changes) != 300 {
		t.Errorf("want 300 records of %d bytes, got %d of %d", size, w.n, w.size)
	}
	for p, count := range w.tallies.byTopic[0] {
		if count != want[p] {
			t.Errorf("partition %d: want %+v, got %+v", p, want[p], count)
		}
	}
}

// TestWindowForgetsLargeValues: a window that waits to be filled again keeps nothing of a value that needed
// memory of its own.
func TestWindowForgetsLargeValues(t *testing.T) {
	items := relationOf("items")
	b, tb := builderOf(t, items, Options{})
	w, tx := &window{}, &decoder.Transaction{Commit: 1}
	for _, size := range []int{1, 2 * slabBytes, 1} {
		c := insert(items, size, strings.Repeat("v", size))
		b.source(tx, &c, 0, 0, time.Unix(0, 0))
		if _, err := b.change(w, tb, tx, &c); err != nil {
			t.Fatal(err)
		}
	}
	w.reset()
	for i := range 3 {
		if r := w.record(i); r.Key != nil || r.Value != nil {
			t.Errorf("record %d keeps %d bytes", i, len(r.Value))
		}
	}
}

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestEnumValueAdded has labels added to an enum type and renamed in mid-stream, of which the server says
// nothing: each value comes as it was written, with a schema that has its label.
func TestEnumValueAdded(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.exec("CREATE TYPE public.mood AS ENUM ('sad', 'fine'); ALTER TABLE public.orders ADD m public.mood; " +
		"UPDATE public.orders SET m = 'sad'")
	seen := newTopics(t, b.rig)
	l := b.rig.run(t)
	l.reach(t, stateStreaming)
	want := map[string]string{}
	insert := func(label string) {
		b.rows++
		b.exec(fmt.Sprintf("INSERT INTO public.orders VALUES (%d, 'v', '%s')", b.rows, label))
		want[fmt.Sprintf("id=%d", b.rows)] = label
	}
	insert("fine")
	b.exec("ALTER TYPE public.mood ADD VALUE 'glad'")
	insert("glad")
	b.exec("ALTER TYPE public.mood RENAME VALUE 'fine' TO 'well'")
	insert("well")
	b.exec("ALTER TYPE public.mood ADD VALUE 'odd' BEFORE 'sad'")
	insert("odd")
	b.handover(seen, l, func() {})
	l.stop(t)
	for _, r := range seen.all() {
		if label, of := want[r.key]; of && fmt.Sprint(r.after["m"]) != label {
			t.Errorf("order %s came with %v, want %s", r.key, r.after["m"], label)
		}
	}
	b.came(seen, "exactly-once")
}

// TestRealSavepoint rolls 200,000 rows of a transaction back to a savepoint, with as many before it and ten
// behind: those before and behind come, each once and in order.
func TestRealSavepoint(t *testing.T) {
	b := newBench(t, local.RealPostgres(t)[0], local.RealKafka(t), local.RealRegistry(t))
	const part, rest = 200_000, 10
	seen := newTopics(t, b.rig)
	l := b.start(t)
	l.reach(t, stateStreaming)
	insert := func(from, n int) string {
		return fmt.Sprintf("INSERT INTO public.orders SELECT g, 'v' FROM generate_series(%d, %d) g; ", from,
			from+n-1)
	}
	first := b.rows + 1
	b.exec("BEGIN; " + insert(first, part) + "SAVEPOINT a; " + insert(first+part, part/2) + "SAVEPOINT b; " +
		insert(first+part+part/2, part/2) + "ROLLBACK TO a; " + insert(first+part, rest) + "COMMIT")
	b.rows += part + rest
	b.handover(seen, l, func() {})
	l.stop(t)
	b.came(seen, "exactly-once")
	last, came := map[int32]int{}, 0
	for _, r := range seen.all() {
		id, err := strconv.Atoi(strings.TrimPrefix(r.key, "id="))
		if err != nil {
			t.Fatal(err)
		}
		if r.op == "c" && id < last[r.partition] {
			t.Fatalf("order %d came behind %d", id, last[r.partition])
		}
		if r.op == "c" {
			last[r.partition] = id
			came++
		}
	}
	if came != part+rest+1 {
		t.Errorf("%d orders came, want %d and the last one", came, part+rest)
	}
}

// TestRealLargeRows has rows of 15 MB, about the default of source.max_row_bytes, in the snapshot, in one
// transaction of the live lane and in the catch-up lane: they come, and memory stays within its bound
// of 256 MiB and three times the largest. TRIBUTARY_TEST_LARGE_ROWS says how many of each, 20 by default,
// which together are beyond it, and TRIBUTARY_TEST_LARGE_BYTES how large.
func TestRealLargeRows(t *testing.T) {
	rows, large := fromEnvironment(t, "LARGE_ROWS", 20), fromEnvironment(t, "LARGE_BYTES", 15_000_000)
	for _, delivery := range []string{"exactly-once", "at-least-once"} {
		t.Run(delivery, func(t *testing.T) { largeRows(t, delivery, rows, large) })
	}
}

// fromEnvironment is what a variable of the test says instead of a default.
func fromEnvironment(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv("TRIBUTARY_TEST_" + name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func largeRows(t *testing.T, delivery string, rows, large int) {
	b := newBench(t, local.RealPostgres(t)[0], local.RealKafka(t), local.RealRegistry(t))
	configure := func(tables string) {
		b.tables = "[public.large], max_row_bytes: " + strconv.Itoa(large+1<<20) + tables
		b.rig.write(t, "delivery: "+delivery+"\nkafka: {brokers: ['"+b.brokers+"'], compression: lz4, "+
			"max_record_bytes: 64MiB, position_topic: PREFIX.positions, ledger_topic: PREFIX.ledger}\n"+
			"topic: {prefix: PREFIX, partitions: 3, replication_factor: 1, config: {max.message.bytes: '90000000'}}")
	}
	configure("")
	b.exec(fmt.Sprintf("CREATE TABLE public.one (v text); INSERT INTO public.one VALUES (repeat('x', %d)); "+
		"CREATE TABLE public.large (id int PRIMARY KEY, v text)", large))
	filled := 0
	fill := func(transactions int) { // what is stored compressed is copied as it is
		for range transactions {
			n := rows / transactions
			b.exec(fmt.Sprintf("INSERT INTO public.large SELECT g, v FROM public.one, generate_series(%d, %d) g",
				filled+1, filled+n))
			filled += n
		}
	}
	fill(1)
	_ = newTopics(t, b.rig) // they are removed at the end
	l := b.start(t)
	l.settled(t)
	within := func(what string, read, created int) {
		l.eventually(t, func() error {
			s, err := l.status()
			if err == nil && (len(s.Tables) != 1 || s.Tables[0].Read != int64(read) ||
				s.Tables[0].Created != int64(created)) {
				err = fmt.Errorf("not all rows are published: %+v", s.Tables)
			}
			return err
		})
		peak, bound := l.peak(t), 256<<20+3*large
		t.Logf("%s: %d MiB at most, the bound is %d", what, peak>>20, bound>>20)
		if peak > bound {
			t.Errorf("%s: %d MiB of memory, want at most %d", what, peak>>20, bound>>20)
		}
	}
	within("snapshot", rows, 0)
	fill(1)
	within("live", rows, rows)
	l.stop(t)
	configure(", catch_up_bytes: 8KiB")
	fill(rows) // the lane is taken between two
	l = b.start(t)
	within("catch-up", 0, rows)
	if s, err := l.status(); err != nil || s.Source.CatchUps == 0 {
		t.Errorf("the catch-up lane was not taken: %v", err)
	}
	l.stop(t)
}

// peak is the most memory that a child had resident.
func (l *life) peak(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.child.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(rest)
	if !found || len(fields) == 0 {
		t.Fatal(errors.New("the kernel does not tell the most memory"))
	}
	kib, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

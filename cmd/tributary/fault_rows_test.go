package main

import (
	"fmt"
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

package snapshot

import (
	"slices"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/schema"
)

// TestDebeziumMarkers has the markers that Debezium gives when the first and the last tables are empty, and
// natively.
func TestDebeziumMarkers(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE a_empty (id int PRIMARY KEY)", "CREATE TABLE b_rows (id int PRIMARY KEY)",
			"CREATE TABLE c_empty (id int PRIMARY KEY)", "CREATE TABLE d_one (id int PRIMARY KEY)",
			"CREATE TABLE e_one (id int PRIMARY KEY)", "CREATE TABLE f_empty (id int PRIMARY KEY)",
			"INSERT INTO b_rows VALUES (1), (2), (3)", "INSERT INTO d_one VALUES (7)", "INSERT INTO e_one VALUES (8)")
		for debezium, first := range map[bool]schema.Marker{
			true:  schema.MarkerFirstInTable,
			false: schema.MarkerFirst,
		} {
			o := db.runOptions(db.catalog(CatalogOptions{Debezium: debezium}), "public.*")
			o.Workers, o.Debezium = 1, debezium
			r := collect(o, nil)
			var got []schema.Marker
			for _, row := range r.rows {
				got = append(got, row.marker)
			}
			want := []schema.Marker{
				first, schema.MarkerTrue, schema.MarkerLastInTable, schema.MarkerLastInTable,
				schema.MarkerLast,
			}
			if r.err != nil || !slices.Equal(got, want) {
				t.Errorf("Debezium %v: got %v, %v, want %v", debezium, got, r.err, want)
			}
		}
	})
}

// TestDebeziumColumns has generated columns in Debezium's snapshot only.
func TestDebeziumColumns(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE t (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED)",
			"INSERT INTO t (id) VALUES (4)")
		for debezium, want := range map[bool]string{true: "4|8", false: "4"} {
			r := collect(db.runOptions(db.catalog(CatalogOptions{Debezium: debezium}), "public.t"), nil)
			if r.err != nil || len(r.rows) != 1 || r.rows[0].text != want {
				t.Errorf("Debezium %v: got %v, %v, want %s", debezium, r.rows, r.err, want)
			}
		}
	})
}

// TestOverride reads a table from another SELECT.
func TestOverride(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t SELECT g, g FROM "+
			"generate_series(1, 9) g")
		o := db.runOptions(db.catalog(CatalogOptions{}), "public.t")
		o.Override = func(string, string) string { return "SELECT * FROM public.t WHERE id > 7 ORDER BY id DESC" }
		r := collect(o, nil)
		if r.err != nil || len(r.rows) != 2 || r.rows[0].text != "9|9" || r.rows[1].text != "8|8" {
			t.Errorf("got %v, %v", r.rows, r.err)
		}
	})
}

func TestRemaining(t *testing.T) {
	for _, test := range []struct {
		estimate, rows int64
		rate           float64
		done           bool
		wantRows       int64
		want           time.Duration
	}{
		{1000, 500, 100, false, 1000, 5 * time.Second},
		{-1, 500, 100, false, -1, -1},
		{1000, 0, 0, false, 1000, -1},
		{1000, 1200, 100, false, 1200, -1}, // the estimate was too low: who knows
		{1000, 990, 100, true, 990, 0},
		{-1, 7, 0, true, 7, 0},
	} {
		rows, left := remaining(test.estimate, test.rows, test.rate, test.done)
		if rows != test.wantRows || left != test.want {
			t.Errorf("%+v: got %d rows, %s", test, rows, left)
		}
	}
}

// fakeCollector has units named by letters, three ranges each, none done.
func fakeCollector(tables string) *collector {
	var o Options
	for _, name := range tables {
		o.Tables = append(o.Tables, Table{Kind: 'r', Source: Source{
			Namespace: "s", Name: string(name),
			ReadKey: keyOf("id"),
		}})
	}
	o.Keeper = &Keeper{}
	return newCollector(o.withDefaults(), nil)
}

// TestProgressResumes writes a progress and reads it back into collectors with other tables.
func TestProgressResumes(t *testing.T) {
	c := fakeCollector("abcde")
	for _, u := range c.units[:2] {
		u.done, u.planned, u.sent = true, true, true
	}
	c.units[2].planned, c.units[2].keyed, c.units[2].sent, c.units[2].asked = true, true, true, true
	c.units[2].spans = []*span{{To: []string{"5"}, Last: []string{"4"}}, {
		From: []string{"5"}, Done: true,
		read: true,
	}}
	c.units[3].done, c.units[3].planned, c.units[3].sent = true, true, true
	c.nextUnit, c.rows = 4, 77
	text, err := c.progress()
	if err != nil {
		t.Fatal(err)
	}
	for tables, want := range map[string]string{
		"abcde": "ce", "acde": "ce", "cde": "ce", "abcdef": "cef",
		"abde":   "e",     // c was dropped
		"aabcde": "error", // one more before: its rows would never be read
	} {
		next := fakeCollector(tables)
		got := "error"
		if next.resume(text) == nil {
			got = openWork(next)
		}
		if got != want {
			t.Errorf("%s: %s is to be read, want %s", tables, got, want)
		}
		if next.rowsBefore != 77 {
			t.Errorf("%s: %d rows before", tables, next.rowsBefore)
		}
	}
}

// TestProgressAddedLeaf resumes with a partition that sorts before those that were done: it is read, they are
// not, and what is stored next says so.
func TestProgressAddedLeaf(t *testing.T) {
	of := func(leaves string) *collector {
		table := Table{Kind: 'p', Source: Source{Namespace: "s", Name: "root"}}
		for _, name := range leaves {
			table.Leaves = append(table.Leaves, Source{Namespace: "s", Name: string(name), ReadKey: keyOf("id")})
		}
		return newCollector(Options{Keeper: &Keeper{}, Tables: []Table{table}}.withDefaults(), nil)
	}
	c := of("bcde")
	for _, u := range c.units[:2] {
		u.done, u.planned, u.sent = true, true, true
	}
	c.nextUnit = 2
	text, err := c.progress()
	if err != nil {
		t.Fatal(err)
	}
	for leaves, want := range map[string]string{
		"bcde": "de", "abcde": "ade", "bxcde": "xde", "cde": "de",
		"acde": "ade", // one of those before was dropped: the number alone tells nothing
	} {
		next := of(leaves)
		if err := next.resume(text); err != nil {
			t.Errorf("%s: %v", leaves, err)
			continue
		}
		again, err := next.progress()
		if err != nil {
			t.Fatal(err)
		}
		if got := openWork(next); got != want {
			t.Errorf("%s: %s is to be read, want %s", leaves, got, want)
		}
		// Killed at once, the run after it has the same to do.
		third := of(leaves)
		if err := third.resume(again); err != nil {
			t.Errorf("%s: again: %v", leaves, err)
		} else if got := openWork(third); got != want {
			t.Errorf("%s: %s is to be read then, want %s", leaves, got, want)
		}
	}
}

// openWork lists the units that a collector has tasks for.
func openWork(c *collector) string {
	text := ""
	for {
		task, some, _ := c.next()
		if !some {
			return text
		}
		text += task.unit.source.Name
		c.given(task)
		if task.span == nil {
			task.unit.planned, task.unit.spans = true, []*span{}
		}
	}
}

// TestProgressKeyChanged has a table start again when it is read by another key than before.
func TestProgressKeyChanged(t *testing.T) {
	c := fakeCollector("a")
	text := []byte(`{"done_before":{"schema":"s","table":"a"},` +
		`"active":[{"schema":"s","table":"a","key":["other"],` +
		`"ranges":[{"last":["7"]}]}]}`)
	if err := c.resume(text); err != nil {
		t.Fatal(err)
	}
	if c.units[0].planned || c.units[0].spans != nil {
		t.Errorf("unit %+v", c.units[0])
	}
	for _, bad := range []string{"", "{", `{"done":false}`, `[]`} {
		if err := fakeCollector("a").resume([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

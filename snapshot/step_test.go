package snapshot

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// step runs one Step under a snapshot of its own, behind the progress of the one before.
func (d *database) step(c *Catalog, before Outcome, change func(*Options)) (Outcome, []row) {
	d.t.Helper()
	o := d.runOptions(c, "public.*")
	o.Progress, o.Budget, o.ResumeRows = before.Progress, time.Millisecond, 1000
	if change != nil {
		change(&o)
	}
	out := make(chan *decoder.Batch)
	r, taken := &run{}, make(chan struct{})
	go func() {
		defer close(taken)
		for b := range out {
			r.add(b)
		}
	}()
	outcome, err := Step(d.t.Context(), o, out)
	close(out)
	<-taken
	if err != nil {
		d.t.Fatal(err)
	}
	o.Keeper.Close()
	return outcome, r.rows
}

// TestRealSteps reads tables in many parts with changes in between. A keyed row comes once, and the rows of
// a table without a key come once too, since nothing crashes.
func TestRealSteps(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE big (id int, k text, PRIMARY KEY (k, id))",
			"INSERT INTO big SELECT g, md5(g::text) FROM generate_series(1, 4000) g",
			"CREATE TABLE loose AS SELECT g FROM generate_series(1, 500) g",
			"CREATE TABLE small (id int PRIMARY KEY)", "INSERT INTO small VALUES (1), (2)", "ANALYZE")
		c := db.catalog(CatalogOptions{})
		var rows []row
		steps := 0
		for outcome := (Outcome{}); !outcome.Done; steps++ {
			var more []row
			outcome, more = db.step(c, outcome, nil)
			rows = append(rows, more...)
			if int64(len(more)) != outcome.Rows {
				t.Fatalf("step %d sent %d rows and says %d", steps, len(more), outcome.Rows)
			}
			db.exec("UPDATE big SET id = id", "DELETE FROM big WHERE id > 4000",
				fmt.Sprintf("INSERT INTO big VALUES (%d, 'x')", 4001+steps))
		}
		if steps < 3 {
			t.Errorf("all was read in %d steps", steps)
		}
		for table, want := range map[string]int{"public.big": 4000, "public.loose": 500, "public.small": 2} {
			counts, old := ids(rows, table), 0
			for id, n := range counts {
				if n != 1 {
					t.Errorf("%s: row %s came %d times", table, id, n)
				}
				if len(id) < 4 || id <= "4000" {
					old++
				}
			}
			if old != want {
				t.Errorf("%s: %d rows came, want %d", table, old, want)
			}
		}
		if rows[0].marker != schema.MarkerFirst || rows[len(rows)-1].marker != schema.MarkerLast {
			t.Errorf("markers %d and %d", rows[0].marker, rows[len(rows)-1].marker)
		}
		t.Logf("%d steps", steps)
	})
}

// TestRealStepPart reads what a condition and a marker say.
func TestRealStepPart(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE a (id int PRIMARY KEY)", "INSERT INTO a SELECT generate_series(1, 10)")
		outcome, rows := db.step(db.catalog(CatalogOptions{}), Outcome{}, func(o *Options) {
			o.Incremental = true
			o.Where = func(schema, table string) string { return "id > 7 -- " + schema + "." + table }
		})
		if !outcome.Done || len(rows) != 3 {
			t.Errorf("%d rows, done %t", len(rows), outcome.Done)
		}
		for _, r := range rows {
			if r.marker != schema.MarkerIncremental {
				t.Errorf("row %s has marker %d", r.text, r.marker)
			}
		}
	})
}

// TestNotes shows Notes what it must note and what it must not.
func TestNotes(t *testing.T) {
	text := func(s string) schema.Datum { return schema.Datum{Kind: schema.Text, Text: []byte(s)} }
	left := schema.Datum{Kind: schema.Unchanged}
	r := &schema.Relation{Namespace: "public", Name: "t", Columns: []schema.Column{
		{Name: "id", InIdentity: true}, {Name: "id of", InIdentity: true}, {Name: "doc"},
	}}
	const stored = `{"point":"0/10","lsn":"0/10","done_before":{"schema":"public","table":"t"},"done_units":0,` +
		`"active":[{"schema":"public","table":"t","key":["id of text"],"ranges":[{"last":["m"]}]}],` +
		`"rows":5,"done":false}`
	update := func(before, after, doc schema.Datum) *decoder.Change {
		c := &decoder.Change{Op: schema.OpUpdate, Relation: r, New: schema.Row{text("1"), after, doc}}
		if before.Kind == schema.Text {
			c.Old, c.OldIsKey = schema.Row{text("1"), before, {Kind: schema.Absent}}, true
		}
		return c
	}
	other := *r
	other.Name = "other"
	for _, test := range []struct {
		name   string
		change *decoder.Change
		want   bool
	}{
		{"key moved, value left out", update(text("z"), text("b"), left), true},
		{"the same again", update(text("z"), text("b"), left), true},
		{"key moved, value sent", update(text("z"), text("b"), text("whole")), false},
		{"key stayed", update(text("b"), text("b"), left), false},
		{"no old row", update(schema.Datum{}, text("b"), left), false},
		{"an insert", &decoder.Change{
			Op: schema.OpCreate, Relation: r, New: schema.Row{text("1"), text("c"), left},
		}, false},
		{"another table", &decoder.Change{
			Op: schema.OpUpdate, Relation: &other,
			Old: schema.Row{text("1"), text("z"), left}, New: schema.Row{text("1"), text("y"), left},
		}, false},
	} {
		n, err := OpenNotes([]byte(stored))
		if err != nil || n == nil {
			t.Fatalf("open notes: %v", err)
		}
		if noted, err := n.Observe(test.change); noted != test.want || err != nil {
			t.Errorf("%s: noted %t, %v", test.name, noted, err)
		}
	}
	n, err := OpenNotes([]byte(stored))
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxAgain + 1 {
		_, err = n.Observe(update(text("z"), text(fmt.Sprint(i)), left))
		if err != nil && i < maxAgain {
			t.Fatal(err)
		}
	}
	var restart *RestartError
	if !errors.As(err, &restart) || restart.Table != "public.t" {
		t.Errorf("one key too many: %v", err)
	}
	if after, err := n.Progress(); err != nil {
		t.Error(err)
	} else if again, err := OpenNotes(after); again != nil || err != nil {
		t.Errorf("after that the table is still read in part: %s, %v", after, err)
	}
	if n, err := OpenNotes([]byte(`{"done":true}`)); n != nil || err != nil {
		t.Errorf("notes of a finished snapshot: %v, %v", n, err)
	}
}

// TestSelectAgain leaves a row to the range that is still to read it.
func TestSelectAgain(t *testing.T) {
	key := []KeyColumn{{Name: "id", Type: "integer", Schema: "pg_catalog"}}
	u := &unit{
		source: Source{Namespace: "s", Name: "t", ReadKey: key}, keyed: true,
		spans: []*span{{To: []string{"50"}, Last: []string{"20"}}, {From: []string{"50"}}, {read: true}},
	}
	s := selectAgain(u, []string{"id"}, []string{"7"})
	const want = `SELECT "id" FROM ONLY "s"."t" WHERE "id" OPERATOR("pg_catalog".=) $1::integer AND ` +
		`NOT ("id" OPERATOR("pg_catalog".>) $2::integer AND "id" OPERATOR("pg_catalog".<=) $3::integer) AND ` +
		`NOT ("id" OPERATOR("pg_catalog".>) $4::integer)`
	if s.sql != want || fmt.Sprint(s.args) != "[7 20 50 50]" {
		t.Errorf("%s with %v", s.sql, s.args)
	}
}

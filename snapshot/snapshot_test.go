package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

func (d *database) runOptions(c *Catalog, patterns ...string) Options {
	d.t.Helper()
	keeper, point := d.keeper()
	return Options{
		Connect: d.connect, Keeper: keeper, Point: point, LSN: point - 1,
		Tables: c.selected(d.t, patterns...), Relation: c.Relation,
	}
}

// ids returns how often each first column came for a table.
func ids(rows []row, table string) map[string]int {
	counts := map[string]int{}
	for _, r := range rows {
		if r.table == table {
			id, _, _ := strings.Cut(r.text, "|")
			counts[id]++
		}
	}
	return counts
}

// eachOnce fails unless the ids from..to came once each, and no others.
func eachOnce(t *testing.T, counts map[string]int, from, to int) {
	t.Helper()
	for id := from; id <= to; id++ {
		if n := counts[strconv.Itoa(id)]; n != 1 {
			t.Fatalf("id %d came %d times", id, n)
		}
	}
	if len(counts) != to-from+1 {
		t.Fatalf("%d ids, want %d", len(counts), to-from+1)
	}
}

// TestRun reads tables of every kind, and only what the slot's snapshot sees.
func TestRun(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE keyed (id int PRIMARY KEY, v text)",
			"INSERT INTO keyed SELECT g, 'v' || g FROM generate_series(1, 5000) g",
			"CREATE TABLE unkeyed (id int, v text)",
			"INSERT INTO unkeyed SELECT g, NULL FROM generate_series(1, 5000) g",
			"CREATE TABLE composite (b text COLLATE \"C\", a numeric, PRIMARY KEY (a, b))",
			"INSERT INTO composite SELECT 'x' || g, g % 70 FROM generate_series(1, 3000) g",
			"CREATE TABLE down (id int NOT NULL)", "CREATE UNIQUE INDEX ON down (id DESC)",
			"INSERT INTO down SELECT generate_series(1, 3000)",
			"CREATE TABLE empty (id int PRIMARY KEY)",
			`CREATE TABLE "We.ird ""Tbl""" ("I d" int PRIMARY KEY)`, `INSERT INTO "We.ird ""Tbl""" VALUES (1)`,
			"CREATE TABLE parent (id int PRIMARY KEY)", "CREATE TABLE child () INHERITS (parent)",
			"INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (2)",
			"CREATE TABLE nocolumns ()", "INSERT INTO nocolumns DEFAULT VALUES",
			"ANALYZE")
		c := db.catalog(CatalogOptions{})
		o := db.runOptions(c, "public.*")
		o.ResumeRows, o.Workers = 500, 3
		o.Pool = decoder.NewPool(decoder.PoolOptions{BatchBytes: 16 << 10})
		db.exec("INSERT INTO keyed VALUES (9999)", "DELETE FROM unkeyed WHERE id < 10",
			"UPDATE keyed SET v = 'later' WHERE id = 1")
		var last Report
		o.Report = func(r Report) { last = r }
		r := collect(o, nil)
		if r.err != nil {
			t.Fatal(r.err)
		}
		eachOnce(t, ids(r.rows, "public.keyed"), 1, 5000)
		eachOnce(t, ids(r.rows, "public.unkeyed"), 1, 5000)
		eachOnce(t, ids(r.rows, "public.down"), 1, 3000)
		eachOnce(t, ids(r.rows, "public.parent"), 1, 1)
		eachOnce(t, ids(r.rows, "public.child"), 2, 2)
		eachOnce(t, ids(r.rows, `public.We.ird "Tbl"`), 1, 1)
		if n := len(ids(r.rows, "public.composite")); n != 3000 {
			t.Errorf("%d rows of composite", n)
		}
		if !slices.ContainsFunc(r.rows, func(r row) bool { return r.table == "public.keyed" && r.text == "1|v1" }) {
			t.Error("row 1 is not as it was at the snapshot")
		}
		checkMarkers(t, r.rows)
		checkEnd(t, r, last)
		if n := last.Estimates["public.keyed"]; n != 5000 {
			t.Errorf("%d rows of keyed by its statistics", n)
		}
	})
}

// checkMarkers has the rules of the markers, told again.
func checkMarkers(t *testing.T, rows []row) {
	t.Helper()
	firsts, lasts := map[string]int{}, map[string]int{}
	for i, r := range rows {
		if _, seen := firsts[r.table]; !seen {
			firsts[r.table] = i
		}
		lasts[r.table] = i
	}
	for i, r := range rows {
		want := schema.MarkerTrue
		switch {
		case i == len(rows)-1:
			want = schema.MarkerLast
		case i == 0:
			want = schema.MarkerFirst
		case i == lasts[r.table]:
			want = schema.MarkerLastInTable
		case i == firsts[r.table]:
			want = schema.MarkerFirstInTable
		}
		if r.marker != want {
			t.Fatalf("row %d of %d, %s: marker %d, want %d", i, len(rows), r.table, r.marker, want)
		}
	}
}

// checkEnd has the last Progress and Report say that all is done, and none before.
func checkEnd(t *testing.T, r *run, last Report) {
	t.Helper()
	for i, text := range r.progress {
		done, _, err := ProgressDone(text)
		if err != nil {
			t.Fatal(err)
		}
		if done != (i == len(r.progress)-1) {
			t.Fatalf("progress %d of %d: done %v: %s", i, len(r.progress), done, text)
		}
	}
	if !last.Done || last.Rows != int64(len(r.rows)) || last.TablesDone != last.Tables || last.Remaining != 0 {
		t.Errorf("last report: %+v", last)
	}
}

// TestEmpty has a snapshot without a row say that it is done.
func TestEmpty(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		statements := []string{}
		for i := range 2 * maxAhead {
			statements = append(statements, fmt.Sprintf("CREATE TABLE t%03d (id int PRIMARY KEY)", i))
		}
		db.exec(statements...)
		c := db.catalog(CatalogOptions{})
		r := collect(db.runOptions(c, "public.*"), nil)
		if r.err != nil || len(r.rows) != 0 || len(r.progress) != 1 {
			t.Fatalf("%d rows, %d batches, error %v", len(r.rows), len(r.progress), r.err)
		}
		if done, _, err := ProgressDone(r.progress[0]); !done || err != nil {
			t.Fatalf("progress %s: %v", r.progress[0], err)
		}
		// One row in front keeps the first unit open while all the empty ones behind it end.
		db.exec("INSERT INTO t000 VALUES (1)")
		r = collect(db.runOptions(c, "public.*"), nil)
		if r.err != nil || len(r.rows) != 1 || r.rows[0].marker != schema.MarkerLast {
			t.Fatalf("rows %v, error %v", r.rows, r.err)
		}
	})
}

// TestResume stops runs in the middle, again and again, each time under a new snapshot, with rows inserted
// and deleted in between; what was there at all snapshots comes exactly once.
func TestResume(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		for _, workers := range []int{1, 3} {
			db.exec("DROP SCHEMA IF EXISTS s CASCADE", "CREATE SCHEMA s",
				"CREATE TABLE s.a (id int PRIMARY KEY)", "INSERT INTO s.a VALUES (1)",
				"CREATE TABLE s.big (id bigint, k text, PRIMARY KEY (k, id))",
				"INSERT INTO s.big SELECT g, md5(g::text) FROM generate_series(1, 20000) g",
				"CREATE TABLE s.c (id int PRIMARY KEY)", "INSERT INTO s.c SELECT generate_series(1, 3000)",
				"CREATE TABLE s.d (id int)", "INSERT INTO s.d SELECT generate_series(1, 300)", "ANALYZE")
			c := db.catalog(CatalogOptions{})
			var rows []row
			var progress []byte
			runs := 0
			for stop := 2; ; stop += 3 {
				o := db.runOptions(c, "s.*")
				o.Workers, o.ResumeRows, o.Progress = workers, 3000, progress
				o.Pool = decoder.NewPool(decoder.PoolOptions{BatchBytes: 32 << 10})
				r := collect(o, func(r *run) bool { return len(r.progress) == stop })
				runs++
				rows = append(rows, r.rows...)
				progress = r.progress[len(r.progress)-1]
				if r.err == nil {
					break
				}
				if !errors.Is(r.err, context.Canceled) {
					t.Fatal(r.err)
				}
				checkPrefix(t, progress, rows)
				db.exec(fmt.Sprintf("INSERT INTO s.big VALUES (%d, 'new')", 100000+stop))
			}
			if runs < 4 {
				t.Errorf("only %d runs: not much was resumed", runs)
			}
			counts := ids(rows, "s.big")
			maps.DeleteFunc(counts, func(id string, _ int) bool { return len(id) == 6 })
			eachOnce(t, counts, 1, 20000)
			eachOnce(t, ids(rows, "s.c"), 1, 3000)
			eachOnce(t, ids(rows, "s.a"), 1, 1)
			if n := len(ids(rows, "s.d")); n != 300 {
				t.Errorf("%d rows of the table without a key", n)
			}
		}
	})
}

// checkPrefix has a Progress count the rows that were delivered.
func checkPrefix(t *testing.T, text []byte, rows []row) {
	t.Helper()
	var p progress
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	if p.Rows != int64(len(rows)) || p.Done || p.DoneBefore == nil {
		t.Fatalf("%d rows delivered, progress %s", len(rows), text)
	}
}

// TestRewritten has a table rewritten, and one truncated, between snapshot and reading: to the snapshot
// they look empty.
func TestRewritten(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		for _, change := range []string{"ALTER TABLE t ALTER v TYPE bigint", "TRUNCATE t"} {
			db.exec("DROP TABLE IF EXISTS t", "CREATE TABLE t (id int PRIMARY KEY, v int)",
				"INSERT INTO t VALUES (1, 1)")
			c := db.catalog(CatalogOptions{})
			o := db.runOptions(c, "public.t")
			db.exec(change)
			r := collect(o, nil)
			var rewritten *RewrittenError
			if !errors.As(r.err, &rewritten) || rewritten.ErrorCode() != "E157" || !decoder.Retryable(r.err) {
				t.Fatalf("%s: got %v after %d rows, want a retryable rewritten error", change, r.err, len(r.rows))
			}
		}
	})
}

// TestSnapshotKept has shape changes that leave the rows where they are, and the lock gone between tables.
func TestSnapshotKept(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE a (id int PRIMARY KEY, v int, w int)", "INSERT INTO a VALUES (1, 1, 1)",
			"CREATE TABLE b (id int PRIMARY KEY)", "INSERT INTO b VALUES (1)")
		c := db.catalog(CatalogOptions{})
		o := db.runOptions(c, "public.*")
		o.Workers = 1
		db.exec("ALTER TABLE a DROP v", "ALTER TABLE a ADD x int DEFAULT 7")
		locked := "not asked"
		r := collect(o, func(r *run) bool {
			if len(r.rows) == 1 {
				locked = db.value("SELECT count(*) FROM pg_locks WHERE relation = 'public.a'::regclass")
			}
			return false
		})
		if r.err != nil {
			t.Fatal(r.err)
		}
		if r.rows[0].text != "1|1|7" || locked != "0" {
			t.Errorf("row %q, %s locks on the table read before", r.rows[0].text, locked)
		}
	})
}

// TestRefused has errors say what to do.
func TestRefused(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		role := fmt.Sprintf("snapshot_reader_%d", time.Now().UnixNano())
		db.exec("CREATE ROLE "+role+" LOGIN PASSWORD 'postgres'",
			"CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
		t.Cleanup(func() { db.exec("DROP OWNED BY "+role, "DROP ROLE "+role) })
		c := db.catalog(CatalogOptions{})
		fails := func(before string, advice string, retryable bool) {
			t.Helper()
			o := db.runOptions(c, "public.t")
			o.Connect = db.as(role)
			db.exec(before)
			r := collect(o, nil)
			if r.err == nil || !strings.Contains(r.err.Error(), advice) || decoder.Retryable(r.err) != retryable {
				t.Errorf("%s: got error %v, want one with %q, retryable %v", before, r.err, advice, retryable)
			}
		}
		fails("SELECT 1", "GRANT SELECT ON \"public\".\"t\"", false)
		db.exec("GRANT SELECT ON t TO " + role)
		db.exec("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
		fails("SELECT 1", "BYPASSRLS", false)
		db.exec("ALTER TABLE t DISABLE ROW LEVEL SECURITY")
		fails("DROP TABLE t", "dropped or renamed", true)
	})
}

// TestLargeRow has a row above the limit, which is named and not kept, and one that the server cannot send.
func TestLargeRow(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE t (id int PRIMARY KEY, v text)",
			"INSERT INTO t VALUES (1, 'x'), (2, repeat('x', 3000000)), (3, 'x')",
			"CREATE FUNCTION unsendable() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN "+
				"RAISE EXCEPTION 'out of memory' USING ERRCODE = '54000'; END $$")
		c := db.catalog(CatalogOptions{})
		o := db.runOptions(c, "public.t")
		o.MaxRowBytes = 2 << 20
		var large *decoder.RowTooLargeError
		r := collect(o, nil)
		if !errors.As(r.err, &large) || large.Bytes < 3_000_000 || large.Limit != o.MaxRowBytes ||
			!strings.Contains(large.Error(), "a row of public.t for the snapshot") || decoder.Retryable(r.err) {
			t.Errorf("got %v", r.err)
		}
		o = db.runOptions(c, "public.t")
		o.Where = func(string, string) string { return "public.unsendable()" }
		var refused *Error
		r = collect(o, nil)
		if !errors.As(r.err, &refused) || !refused.NeedsPerson() || refused.ErrorCode() != "E158" ||
			!strings.Contains(refused.Error(), "make it smaller") || decoder.Retryable(r.err) {
			t.Errorf("got %v", r.err)
		}
		o = db.runOptions(c, "public.t")
		o.MaxRowBytes = 4 << 20
		if r = collect(o, nil); r.err != nil {
			t.Error(r.err)
		}
	})
}

// TestLost has the keeper's session end under a run that waits for its reader.
func TestLost(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE a (id int PRIMARY KEY)", "INSERT INTO a VALUES (1)",
			"CREATE TABLE b (id int PRIMARY KEY)", "INSERT INTO b SELECT generate_series(1, 200000)",
			"CREATE TABLE c (id int PRIMARY KEY)")
		c := db.catalog(CatalogOptions{})
		o := db.runOptions(c, "public.*")
		o.Workers = 1
		killed := false
		r := collect(o, func(*run) bool {
			if !killed {
				db.exec(fmt.Sprintf("SELECT pg_terminate_backend(%d)", o.Keeper.conn.PID()))
				killed = true
			}
			return false
		})
		if r.err == nil || !decoder.Retryable(r.err) {
			t.Fatalf("got %v, want a retryable error", r.err)
		}
	})
}

// TestCancel has Run end with its workers while nobody takes its batches.
func TestCancel(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE a (id int PRIMARY KEY)", "INSERT INTO a SELECT generate_series(1, 200000)")
		c := db.catalog(CatalogOptions{})
		o := db.runOptions(c, "public.*")
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		if err := Run(ctx, o, make(chan *decoder.Batch)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		// A server notices a moment later that a client has gone.
		db.exec("DO $$ BEGIN FOR i IN 1..200 LOOP PERFORM pg_stat_clear_snapshot(); EXIT WHEN NOT EXISTS (" +
			"SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND " +
			"state = 'active'); PERFORM pg_sleep(0.05); IF i = 200 THEN RAISE 'sessions are still at work'; END IF; " +
			"END LOOP; END $$")
	})
}

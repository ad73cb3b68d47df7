package snapshot

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// mainSlot makes a publication of all tables and a slot. Its name is free again when the database goes.
func (d *database) mainSlot() string {
	d.t.Helper()
	name := fmt.Sprintf("snapshot_main_%d", time.Now().UnixNano())
	d.exec("CREATE PUBLICATION p FOR ALL TABLES", "SELECT pg_create_logical_replication_slot('"+name+"', "+
		"'pgoutput')")
	d.t.Cleanup(func() { d.exec("SELECT pg_drop_replication_slot('" + name + "')") })
	return name
}

// streamed decodes all that the slot holds.
func (d *database) streamed(slot string, describe func(decoder.Shape) (*schema.Relation,
	error),
) []decoder.Transaction {
	d.t.Helper()
	conn := d.open()
	result := conn.ExecParams(context.Background(), "SELECT lsn, data FROM "+
		"pg_logical_slot_get_binary_changes($1, "+
		"NULL, NULL, 'proto_version', '1', 'publication_names', 'p')", [][]byte{[]byte(slot)}, nil, nil, nil).Read()
	if result.Err != nil {
		d.t.Fatal(result.Err)
	}
	decode, batch := decoder.NewDecoder(decoder.DecoderOptions{Describe: describe}), new(decoder.Batch)
	for _, values := range result.Rows {
		lsn, err := decoder.ParseLSN(string(values[0]))
		if err != nil {
			d.t.Fatal(err)
		}
		data, err := hex.DecodeString(strings.TrimPrefix(string(values[1]), `\x`))
		if err != nil {
			d.t.Fatal(err)
		}
		if err := decode.Decode(lsn, data, batch); err != nil {
			d.t.Fatal(err)
		}
	}
	return batch.Transactions
}

// describe is the stream's describe function on a catalog.
func (c *Catalog) describe(s decoder.Shape) (*schema.Relation, error) {
	return c.Describe(context.Background(), s)
}

// writers runs n sessions that each do statements, by their number and a source of chance, until stop is
// called.
func (d *database) writers(n int, statement func(writer int, chance *rand.Rand) string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for writer := range n {
		conn := d.open()
		chance := rand.New(rand.NewPCG(1, uint64(writer)))
		all.Go(func() {
			for ctx.Err() == nil {
				_, err := conn.Exec(context.Background(), statement(writer, chance)).ReadAll()
				if err != nil {
					d.t.Error(err)
					return
				}
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// trial is one snapshot: its point, and what it saw.
type trial struct {
	point decoder.LSN
	ids   []int
}

// TestGuard reads a table under slots' snapshots while others insert, on servers that can lose rows by it.
// Each snapshot must be exactly the commits before its point, and no row may be gone from the table at the
// end.
func TestGuard(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE t (id bigserial PRIMARY KEY)")
		slot := db.mainSlot()
		stop := db.writers(8, func(int, *rand.Rand) string { return "INSERT INTO public.t DEFAULT VALUES" })
		var trials []trial
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
			trials = append(trials, db.trial())
		}
		stop()
		commits := map[int]decoder.LSN{}
		c := db.catalog(CatalogOptions{})
		for _, transaction := range db.streamed(slot, c.describe) {
			for _, change := range transaction.Changes {
				id, err := strconv.Atoi(string(change.New[0].Text))
				if err != nil {
					t.Fatal(err)
				}
				commits[id] = transaction.Commit
			}
		}
		if n := db.value("SELECT count(*) FROM public.t"); n != strconv.Itoa(len(commits)) {
			t.Errorf("%s rows in the table, %d inserts in the stream", n, len(commits))
		}
		for i, trial := range trials {
			want := 0
			for _, commit := range commits {
				if commit < trial.point {
					want++
				}
			}
			wrong := slices.ContainsFunc(trial.ids, func(id int) bool { return commits[id] >= trial.point })
			if wrong || len(trial.ids) != want {
				t.Errorf("trial %d of %d at %s: %d rows, %d commits before, some later %v", i, len(trials),
					trial.point, len(trial.ids), want, wrong)
			}
		}
		t.Logf("%d trials, %d rows", len(trials), len(commits))
	})
}

// trial reads table t under the snapshot of a new slot, behind the guard.
func (d *database) trial() trial {
	d.t.Helper()
	ctx := context.Background()
	keeper, point := d.keeper()
	defer keeper.Close()
	if err := keeper.Guard(ctx, time.Minute, slog.New(slog.DiscardHandler)); err != nil {
		d.t.Fatal(err)
	}
	results, err := keeper.conn.Exec(ctx, "SELECT id FROM public.t").ReadAll()
	if err != nil {
		d.t.Fatal(err)
	}
	r := trial{point: point}
	for _, values := range results[0].Rows {
		id, err := strconv.Atoi(string(values[0]))
		if err != nil {
			d.t.Fatal(err)
		}
		r.ids = append(r.ids, id)
	}
	return r
}

// TestWriters takes snapshots while 8 sessions insert, update, delete and change keys. Each snapshot, with
// the stream from its point on, is the table; and so is the stream from the beginning: no row was lost in
// the source.
func TestWriters(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE keyed (id int PRIMARY KEY, v text)", "CREATE TABLE other (k text PRIMARY KEY, v int)",
			"CREATE TABLE full_ (a int, b int)", "ALTER TABLE full_ REPLICA IDENTITY FULL")
		slot := db.mainSlot()
		db.exec("INSERT INTO keyed SELECT g, 'old' FROM generate_series(1, 20000) g",
			"INSERT INTO other SELECT 'k' || g, g FROM generate_series(1, 20000) g", "ANALYZE")
		c := db.catalog(CatalogOptions{Publications: []string{"p"}, KeyColumns: func(_, table string,
			_ []string,
		) []string {
			if table == "full_" {
				return []string{"a"}
			}
			return nil
		}})
		stop := db.writers(8, mixed)
		var runs []*run
		var points []decoder.LSN
		for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
			o := db.runOptions(c, "public.*")
			o.ResumeRows, o.Workers = 4000, 3
			r := collect(o, nil)
			o.Keeper.Close()
			if r.err != nil {
				t.Fatal(r.err)
			}
			runs, points = append(runs, r), append(points, o.Point)
		}
		stop()
		stream := db.streamed(slot, c.describe)
		want := db.contents("keyed", "other", "full_")
		for i, r := range append([]*run{{}}, runs...) {
			point := decoder.LSN(0)
			if i > 0 {
				point = points[i-1]
			}
			got, err := fold(r.rows, stream, point)
			if err != nil {
				t.Fatalf("snapshot %d at %s: %v", i, point, err)
			}
			if diff := differing(want, got); diff != "" {
				t.Errorf("snapshot %d of %d at %s with %d rows: %s", i, len(runs), point, len(r.rows), diff)
			}
		}
		t.Logf("%d snapshots, %d transactions, %d rows left", len(runs), len(stream), len(want))
	})
}

// mixed is a statement of a writer: each works on ids of its own, so that none waits for long.
func mixed(writer int, chance *rand.Rand) string {
	id := chance.IntN(2500)*8 + writer + 1
	switch chance.IntN(8) {
	case 0:
		return fmt.Sprintf("DELETE FROM public.keyed WHERE id = %d", id)
	case 1:
		return fmt.Sprintf("DELETE FROM public.other WHERE k = 'k%d'", id)
	case 2:
		return fmt.Sprintf("INSERT INTO public.other VALUES ('k%d', 0) ON CONFLICT (k) DO UPDATE SET v = "+
			"other.v + 1", id)
	case 3:
		return fmt.Sprintf("UPDATE public.other SET k = 'moved' || k WHERE k = 'k%d' AND NOT EXISTS "+
			"(SELECT FROM public.other WHERE k = 'movedk%[1]d')", id)
	case 4:
		return fmt.Sprintf("BEGIN; UPDATE public.keyed SET v = v || 'x' WHERE id = %d; SAVEPOINT s; "+
			"DELETE FROM public.keyed WHERE id = %[1]d; ROLLBACK TO s; INSERT INTO public.full_ SELECT %[1]d, 1 "+
			"WHERE NOT EXISTS (SELECT FROM public.full_ WHERE a = %[1]d); COMMIT", id)
	case 5:
		return fmt.Sprintf("DELETE FROM public.full_ WHERE a = %d", id)
	}
	return fmt.Sprintf("INSERT INTO public.keyed VALUES (%d, 'new') ON CONFLICT (id) DO UPDATE SET v = "+
		"'again'", id)
}

// contents returns the rows of tables by table and first column.
func (d *database) contents(tables ...string) map[string]string {
	d.t.Helper()
	conn := d.open()
	contents := map[string]string{}
	for _, table := range tables {
		results, err := conn.Exec(context.Background(), "SELECT * FROM public."+table).ReadAll()
		if err != nil {
			d.t.Fatal(err)
		}
		for _, values := range results[0].Rows {
			contents["public."+table+" "+string(values[0])] = string(values[0]) + "|" + string(values[1])
		}
	}
	return contents
}

// fold applies the stream from point on to a snapshot's rows, by table and first column. A row inserted
// twice, or removed when it is not there, is an error.
func fold(rows []row, stream []decoder.Transaction, point decoder.LSN) (map[string]string, error) {
	state := map[string]string{}
	for _, r := range rows {
		id, _, _ := strings.Cut(r.text, "|")
		if _, twice := state[r.table+" "+id]; twice {
			return nil, fmt.Errorf("%s %s is twice in the snapshot", r.table, id)
		}
		state[r.table+" "+id] = r.text
	}
	for _, transaction := range stream {
		if transaction.Commit < point {
			continue
		}
		for _, change := range transaction.Changes {
			if err := apply(state, change); err != nil {
				return nil, fmt.Errorf("transaction at %s: %w", transaction.Commit, err)
			}
		}
	}
	return state, nil
}

func apply(state map[string]string, change decoder.Change) error {
	table := change.Relation.String() + " "
	old := change.Old
	if change.Op == schema.OpUpdate && old == nil {
		old = change.New
	}
	if old != nil {
		key := table + string(old[0].Text)
		if _, there := state[key]; !there {
			return errors.New(key + " is changed but not there")
		}
		delete(state, key)
	}
	if change.New != nil {
		key := table + string(change.New[0].Text)
		if _, there := state[key]; there {
			return errors.New(key + " is there already")
		}
		state[key] = rowText(change.New)
	}
	return nil
}

// differing tells of the first few keys that differ, "" when none do.
func differing(want, got map[string]string) string {
	var all []string
	for key := range want {
		if got[key] != want[key] {
			all = append(all, fmt.Sprintf("%s: got %q, want %q", key, got[key], want[key]))
		}
	}
	for key := range got {
		if _, there := want[key]; !there {
			all = append(all, fmt.Sprintf("%s: got %q, want none", key, got[key]))
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	return fmt.Sprintf("%d differ: %s", len(all), strings.Join(all[:min(3, len(all))], "; "))
}

package snapshot

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// names returns the selected tables' names.
func names(s Selection) string {
	var all []string
	for _, t := range s.Tables {
		all = append(all, t.String())
	}
	return strings.Join(all, " ")
}

// TestTables selects by patterns, and refuses by name what has no changes.
func TestTables(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE a (id int)", "CREATE SCHEMA sales",
			"CREATE TABLE sales.a (id int PRIMARY KEY)", "CREATE VIEW v AS SELECT 1 AS x",
			"CREATE MATERIALIZED VIEW m AS SELECT 1 AS x", "CREATE UNLOGGED TABLE u (id int)",
			"CREATE FOREIGN DATA WRAPPER w", "CREATE SERVER s FOREIGN DATA WRAPPER w",
			"CREATE FOREIGN TABLE f (id int) SERVER s",
			"CREATE TABLE sales.p (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
			"CREATE TABLE sales.p_2 PARTITION OF sales.p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
			"CREATE TABLE sales.p_1 PARTITION OF sales.p FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')",
			"CREATE TABLE sales.parted (id int) PARTITION BY RANGE (id)")
		ctx := context.Background()
		native, root := db.catalog(CatalogOptions{}), db.catalog(CatalogOptions{ViaRoot: true})
		debezium := db.catalog(CatalogOptions{Debezium: true})
		for _, test := range []struct {
			catalog  *Catalog
			patterns string
			want     string // tables, or an error
			skipped  int
		}{
			{native, "public.*", "public.a public.b", 4},
			{native, "*.a public.a", "public.a sales.a", 0},
			{native, "sales.*", "sales.a sales.p_1 sales.p_2", 1},
			{native, "sales.p", "sales.p_1 sales.p_2", 0},
			{native, "sales.p_1", "sales.p_1", 0},
			{root, "sales.*", "sales.a sales.p sales.parted", 2},
			{root, "sales.p", "sales.p", 0},
			{root, "sales.p_1", "a partition of sales.p", 0},
			{native, "public.v", "public.v is a view", 0},
			{native, "public.m", "public.m is a materialized view", 0},
			{native, "public.u", "public.u is an unlogged table", 0},
			{native, "public.f", "public.f is a foreign table", 0},
			{native, "public.u*", "matches no table that has changes", 0},
			{native, "nope.* public.a no.where", "pattern nope.* matches no table\npattern no.where matches no " +
				"table", 0},
			{native, "sales.parted", "without a partition", 0},
			{native, "pg_catalog.*", "matches no table", 0},
		} {
			s, err := test.catalog.Tables(ctx, Select{Patterns: strings.Fields(test.patterns)})
			if err != nil {
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("%s: error %v, want %q", test.patterns, err, test.want)
				}
				continue
			}
			if names(s) != test.want || len(s.Skipped) != test.skipped {
				t.Errorf("%s: got %q, skipped %v, want %q", test.patterns, names(s), s.Skipped, test.want)
			}
		}
		inOrder := Select{Match: []func(_, _ string) bool{
			func(schema, table string) bool { return schema == "sales" },
			func(schema, table string) bool { return table == "a" || table == "b" },
		}}
		s, err := debezium.Tables(ctx, inOrder)
		if want := "sales.a sales.p sales.p_1 sales.p_2 sales.parted public.a " +
			"public.b"; err != nil || names(s) != want {
			t.Errorf("Debezium: got %q, %v, want %q", names(s), err, want)
		}
	})
}

// TestTableFacts has what is known of a table beside its name.
// TestKeep leaves tables out that patterns select, and still tells of a pattern that matches nothing.
func TestKeep(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)",
			"CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
			"CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (5)",
			"CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM (5) TO (9)")
		c := db.catalog(CatalogOptions{})
		for _, test := range []struct{ patterns, without, want string }{
			{"public.*", "b p_1", "public.a public.p_2"},
			{"public.a public.b", "b", "public.a"},
			{"public.aa public.b", "a", "pattern public.aa matches no table"},
			{"public.a", "a", "the table filters match no table"},
		} {
			s, err := c.Tables(context.Background(), Select{
				Patterns: strings.Fields(test.patterns),
				Keep:     func(_, table string) bool { return !slices.Contains(strings.Fields(test.without), table) },
			})
			got := names(s)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, test.want) || err == nil && got != test.want {
				t.Errorf("%s without %s: got %q, want %q", test.patterns, test.without, got, test.want)
			}
		}
	})
}

func TestTableFacts(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE EXTENSION IF NOT EXISTS citext",
			"CREATE TABLE pk (b int, a int, PRIMARY KEY (a, b))",
			"CREATE TABLE nullable (a int UNIQUE)",
			"CREATE TABLE two (z int NOT NULL, a int NOT NULL)",
			"CREATE UNIQUE INDEX two_b ON two (z)", "CREATE UNIQUE INDEX two_a ON two (a) WHERE a > 0",
			"CREATE UNIQUE INDEX two_c ON two ((a + 1))",
			"CREATE TABLE incl (a int NOT NULL, b int)", "CREATE UNIQUE INDEX ON incl (a) INCLUDE (b)",
			"CREATE TABLE part (a int)", "CREATE UNIQUE INDEX ON part (a) WHERE a > 0",
			"CREATE TABLE mixed (a int NOT NULL, b int NOT NULL)", "CREATE UNIQUE INDEX ON mixed (a DESC, b)",
			"CREATE TABLE ci (k citext PRIMARY KEY)",
			"CREATE TABLE coll (k text PRIMARY KEY)", "CREATE TABLE coll2 (k text NOT NULL)",
			"CREATE UNIQUE INDEX ON coll2 (k COLLATE \"C\")",
			"CREATE TABLE bp (k char(3) PRIMARY KEY)",
			"CREATE TABLE analysed (id int PRIMARY KEY)", "INSERT INTO analysed SELECT generate_series(1, 1000)",
			"CREATE TABLE unknown (id int PRIMARY KEY)", "INSERT INTO unknown SELECT generate_series(1, 1000)",
			"ANALYZE analysed")
		native, debezium := db.catalog(CatalogOptions{}), db.catalog(CatalogOptions{Debezium: true})
		for _, test := range []struct{ table, key, debezium, read string }{
			{"pk", "a b", "a b", "a integer pg_catalog, b integer pg_catalog"},
			{"nullable", "a", "a", ""},
			{"two", "z", "a", "z integer pg_catalog"},
			{"incl", "a", "a b", "a integer pg_catalog"},
			{"part", "", "a", ""},
			{"mixed", "a b", "a b", ""},
			{"ci", "k", "k", "k public.citext public"},
			{"coll", "k", "k", "k text pg_catalog"},
			{"coll2", "k", "k", ""},
			{"bp", "k", "k", "k bpchar pg_catalog"},
		} {
			table := native.selected(t, "public."+test.table)[0]
			var read []string
			for _, column := range table.ReadKey {
				read = append(read, column.Name+" "+column.Type+" "+column.Schema)
			}
			other := debezium.selected(t, "public."+test.table)[0]
			got := []string{strings.Join(table.Key, " "), strings.Join(other.Key, " "), strings.Join(read, ", ")}
			if want := []string{test.key, test.debezium, test.read}; !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", test.table, got, want)
			}
		}
		for table, want := range map[string]float64{"analysed": 1000, "unknown": -1, "pk": 0} {
			if got := native.selected(t, "public."+table)[0].EstimatedRows(); got != want {
				t.Errorf("%s: %g rows estimated, want %g", table, got, want)
			}
		}
	})
}

// TestReadOrders reads by keys that are easily compared wrongly, in many ranges and resumed at every batch.
func TestReadOrders(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE EXTENSION IF NOT EXISTS citext", "CREATE TYPE mood AS ENUM ('z', 'm', 'a')",
			"CREATE DOMAIN dom AS varchar(20) CHECK (length(value) > 0)")
		for i, key := range []string{
			"k citext; (CASE g % 3 WHEN 0 THEN 'AB' WHEN 1 THEN 'ab' ELSE 'Ab' END || g)::citext",
			"k char(8); (chr(65 + g % 50) || g)",
			"k text; repeat(chr(97 + g % 26), g % 5) || ' ' || g || E'\\n\"'",
			"k dom; 'd' || g",
			"k float8; CASE g WHEN 1 THEN 'NaN'::float8 WHEN 2 THEN '-Infinity' ELSE g / 3.0::float8 END",
			"k timestamptz; '2020-01-01 BC'::timestamptz + g * interval '1 month'",
			"k interval; g * interval '7 hours'",
			"k uuid; md5(g::text)::uuid",
			"k bytea; decode(md5(g::text), 'hex')",
			"k int[]; ARRAY[g % 9, -g]",
			"k mood, j int; CASE g % 3 WHEN 0 THEN 'z' WHEN 1 THEN 'm' ELSE 'a' END::mood, g",
			"k numeric, j text COLLATE \"C\"; g % 40, chr(65 + g % 3) || g",
		} {
			columns, values, _ := strings.Cut(key, "; ")
			table := fmt.Sprintf("t%d", i)
			primary := "k"
			if strings.Contains(columns, ", ") {
				primary = "k, j"
			}
			db.exec(fmt.Sprintf("CREATE TABLE %s (%s, PRIMARY KEY (%s))", table, columns, primary),
				fmt.Sprintf("INSERT INTO %s SELECT %s FROM generate_series(1, 2000) g", table, values), "ANALYZE "+table)
			c := db.catalog(CatalogOptions{})
			o := db.runOptions(c, "public."+table)
			if len(o.Tables[0].ReadKey) == 0 {
				t.Errorf("%s: no key to read by", columns)
				continue
			}
			o.ResumeRows, o.Pool = 300, decoder.NewPool(decoder.PoolOptions{BatchBytes: 20 << 10})
			seen := map[string]int{}
			runs := 0
			for progress := []byte(nil); ; runs++ {
				o.Progress = progress
				r := collect(o, func(r *run) bool { return len(r.progress) == 2 })
				for _, row := range r.rows {
					seen[row.text]++
				}
				if r.err == nil {
					break
				}
				progress = r.progress[len(r.progress)-1]
				if runs > 100 {
					t.Fatalf("%s: no end: %v, %s", columns, r.err, progress)
				}
			}
			if len(seen) != 2000 || runs < 2 {
				t.Errorf("%s: %d rows in %d runs", columns, len(seen), runs)
			}
			for text, n := range seen {
				if n != 1 {
					t.Errorf("%s: row %q came %d times", columns, text, n)
					break
				}
			}
		}
	})
}

// TestRelationIsDescribed has the catalog's own description equal what the stream's message leads to, for
// columns of every kind of type and identity.
func TestRelationIsDescribed(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE DOMAIN d1 AS numeric(10, 2) NOT NULL",
			"CREATE DOMAIN d2 AS d1", "CREATE TYPE pair AS (a int, b int)",
			"CREATE TABLE t (id bigserial PRIMARY KEY, n numeric(9, 4) NOT NULL DEFAULT 1.5, m mood DEFAULT 'ok', "+
				"ms mood[], d d2, ds d1[], p pair, r int4range, v varchar(7), iv int2vector, pt point, "+
				"g int GENERATED ALWAYS AS (1 + 1) STORED)",
			"COMMENT ON TABLE t IS 'a table'", "COMMENT ON COLUMN t.v IS 'a column'",
			"ALTER TABLE t DROP COLUMN p", "CREATE TABLE f (a int, b text)", "ALTER TABLE f REPLICA IDENTITY FULL",
			"CREATE TABLE i (a int, b int NOT NULL UNIQUE)", "ALTER TABLE i REPLICA IDENTITY USING INDEX i_b_key",
			`CREATE TABLE "We.ird ""Tbl""" ("I d" int PRIMARY KEY)`)
		slot := db.mainSlot()
		db.exec("INSERT INTO t (v, d) VALUES ('x', 1)", "INSERT INTO f VALUES (1)", "INSERT INTO i VALUES (1, 2)",
			`INSERT INTO "We.ird ""Tbl""" VALUES (1)`)
		c := db.catalog(CatalogOptions{Publications: []string{"p"}})
		described := 0
		db.streamed(slot, func(s decoder.Shape) (*schema.Relation, error) {
			r, err := c.Describe(context.Background(), s)
			if err != nil {
				return nil, err
			}
			again, err := c.Relation(context.Background(), s.OID)
			if err != nil {
				return nil, err
			}
			if again != r {
				t.Errorf("%s:\n described %+v\n its own   %+v", r, r, again)
			}
			described++
			return r, nil
		})
		if described != 4 {
			t.Errorf("%d tables described", described)
		}
		checkRelation(t, db, c)
	})
}

// checkRelation spells out what is expected of table t.
func checkRelation(t *testing.T, db *database, c *Catalog) {
	t.Helper()
	r, err := c.Relation(context.Background(), c.selected(t, "public.t")[0].OID)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, column := range r.Columns {
		text := fmt.Sprintf("%s %s.%s %c %d", column.Name, column.Type.Namespace, column.Type.Name,
			column.Type.Kind, column.TypMod)
		if elem := column.Type.Elem; elem != nil {
			text += fmt.Sprintf(" of %s %c", elem.Name, elem.Kind)
			if elem.Base != nil {
				text += fmt.Sprintf(" over %s %d", elem.Base.Name, elem.BaseTypMod)
			}
		}
		if column.Type.Base != nil {
			text += fmt.Sprintf(" over %s %d", column.Type.Base.Name, column.Type.BaseTypMod)
		}
		if column.Type.Labels != nil {
			text += " " + strings.Join(column.Type.Labels, ",")
		}
		if column.NotNull {
			text += " not null"
		}
		if column.Default != nil {
			text += " default " + *column.Default
		}
		if column.InIdentity {
			text += " identity"
		}
		got = append(got, text+column.Comment)
	}
	want := []string{
		"id pg_catalog.int8 b -1 not null default nextval('public.t_id_seq'::regclass) identity",
		"n pg_catalog.numeric b 589832 not null default 1.5",
		"m public.mood e -1 sad,ok default 'ok'::public.mood",
		"ms public._mood a -1 of mood e",
		"d public.d2 d -1 over numeric 655366 not null",
		"ds public._d1 a -1 of d1 d over numeric 655366",
		"r pg_catalog.int4range r -1", "v pg_catalog.varchar b 11a column", "iv pg_catalog.int2vector b -1",
		"pt pg_catalog.point b -1",
	}
	// A domain over a NOT NULL domain is not NOT NULL itself in the catalog, though it refuses a NULL.
	want[4] = strings.TrimSuffix(want[4], " not null")
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if r.Comment != "a table" || !slices.Equal(r.Key, []int{0}) || r.Identity != schema.IdentityDefault {
		t.Errorf("relation %+v", r)
	}
}

// TestDescribeIsAuthority has a message of columns and types that the catalog has lost, and enum labels
// that it gained.
func TestDescribeIsAuthority(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TYPE mood AS ENUM ('sad')", "CREATE TYPE gone AS ENUM ('x')",
			"CREATE TABLE t (id int PRIMARY KEY, m mood, g gone)", "CREATE TABLE dropped (a int PRIMARY KEY, b int)")
		slot := db.mainSlot()
		db.exec("INSERT INTO t VALUES (1, 'sad', 'x')", "INSERT INTO dropped VALUES (1)",
			"ALTER TABLE t DROP COLUMN g",
			"DROP TYPE gone", "ALTER TYPE mood ADD VALUE 'ok'", "ALTER TABLE t RENAME id TO ident",
			"DROP TABLE dropped")
		native, debezium := db.catalog(CatalogOptions{}), db.catalog(CatalogOptions{Debezium: true})
		db.streamed(slot, func(s decoder.Shape) (*schema.Relation, error) {
			if s.Name == "t" {
				checkAuthority(t, db, s, native, debezium)
			}
			r, err := native.Describe(context.Background(), s)
			if err == nil && s.Name == "dropped" && (!slices.Equal(r.Key, []int{0}) || len(r.Columns) != 2) {
				t.Errorf("a dropped table: %+v", r)
			}
			return r, err
		})
	})
}

func checkAuthority(t *testing.T, db *database, s decoder.Shape, native, debezium *Catalog) {
	t.Helper()
	ctx := context.Background()
	for _, c := range []*Catalog{native, debezium} {
		r, err := c.Describe(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		id, mood, gone := r.Columns[0], r.Columns[1], r.Columns[2]
		if id.Name != "id" || id.NotNull || len(r.Key) != 0 || len(mood.Type.Labels) != 2 {
			t.Errorf("got %+v, type %+v", r, mood.Type)
		}
		if gone.Type.Name != "gone" || gone.Type.Namespace != "public" || gone.Type.Kind != schema.KindBase {
			t.Errorf("the dropped type: %+v", gone.Type)
		}
	}
	db.exec("ALTER TYPE mood ADD VALUE 'fine'")
	for c, want := range map[*Catalog]int{native: 3, debezium: 2} {
		r, err := c.Describe(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(r.Columns[1].Type.Labels); got != want {
			t.Errorf("%d labels after a third was added, want %d", got, want)
		}
	}
}

// TestPublication has a column list and a row filter apply to the snapshot, and rows of leaves under their
// root.
func TestPublication(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		ctx := context.Background()
		db.exec("CREATE TABLE m (id int, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
			"CREATE TABLE m_1 (v text, id int NOT NULL, day date NOT NULL)",
			"ALTER TABLE m ATTACH PARTITION m_1 FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')",
			"CREATE TABLE m_2 PARTITION OF m FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
			"INSERT INTO m VALUES (1, '2023-05-05', 'old'), (2, '2024-05-05', 'new')",
			"CREATE TABLE t (id int PRIMARY KEY, secret text, v int)", "INSERT INTO t VALUES (1, 's', 1), (2, 's', 2)",
			"CREATE PUBLICATION roots FOR TABLE m WITH (publish_via_partition_root = true)")
		root := db.catalog(CatalogOptions{Publications: []string{"roots"}, ViaRoot: true})
		o := db.runOptions(root, "public.m")
		o.Workers = 1
		r := collect(o, nil)
		if r.err != nil || len(r.rows) != 2 || r.rows[0].text != "1|2023-05-05|old" ||
			r.rows[1].table != "public.m" || r.rows[1].marker != schema.MarkerLast {
			t.Errorf("via root: %+v, %v", r.rows, r.err)
		}
		if root.ServerVersion() < versionColumnLists {
			return
		}
		db.exec("CREATE PUBLICATION few FOR TABLE t (id, v) WHERE (v > 1)",
			"CREATE PUBLICATION all_ FOR TABLE t (id, v)")
		for publications, want := range map[string]int{"few": 1, "few all_": 2} {
			c := db.catalog(CatalogOptions{Publications: strings.Fields(publications)})
			r := collect(db.runOptions(c, "public.t"), nil)
			if r.err != nil || len(r.rows) != want || r.rows[want-1].text != "2|2" {
				t.Errorf("%s: %+v, %v", publications, r.rows, r.err)
			}
		}
		s, err := db.catalog(CatalogOptions{Publications: []string{"few"}}).Tables(ctx,
			Select{Patterns: []string{"*.*"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range s.Tables {
			if table.Published != (table.Name == "t") {
				t.Errorf("%s published: %v", table, table.Published)
			}
		}
	})
}

// TestReconnect has a catalog go on when its session was ended.
func TestReconnect(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE t (id int)")
		c := db.catalog(CatalogOptions{})
		for range 2 {
			db.exec(fmt.Sprintf("SELECT pg_terminate_backend(%d)", c.conn.PID()))
			if got := c.selected(t, "public.t"); len(got) != 1 {
				t.Fatalf("got %v", got)
			}
		}
	})
}

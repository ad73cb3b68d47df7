package snapshot

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/schema"
)

// TestAltered holds what an ALTER TABLE is said to lead to against what it leads to.
func TestAltered(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TYPE mood AS ENUM ('sad', 'ok')",
			"CREATE TABLE parent (id int PRIMARY KEY)",
			`CREATE TABLE "We ird" (gone int, id bigserial PRIMARY KEY, n numeric(9, 2) DEFAULT 1, v varchar(7),
				b int NOT NULL, a int NOT NULL, p int REFERENCES parent, g int GENERATED ALWAYS AS (7) STORED)`,
			`ALTER TABLE "We ird" DROP COLUMN gone`,
			`CREATE UNIQUE INDEX z ON "We ird" (a)`, `CREATE UNIQUE INDEX y ON "We ird" (b)`,
			`COMMENT ON COLUMN "We ird".v IS 'text'`, `COMMENT ON TABLE "We ird" IS 'odd'`,
			`INSERT INTO "We ird" (a, b) VALUES (1, 2)`)
		writer := db.open() // writes on, and is not waited for
		write := func(sql string) {
			t.Helper()
			if _, err := writer.Exec(context.Background(), sql).ReadAll(); err != nil {
				t.Fatal(err)
			}
		}
		write(`BEGIN; UPDATE public."We ird" SET a = 3`)
		c := db.catalog(CatalogOptions{})
		oid := c.selected(t, `public."We ird"`)[0].OID
		var want []*schema.Relation
		all := []string{
			"ADD COLUMN m mood NOT NULL DEFAULT 'ok', ADD COLUMN x int", "ALTER COLUMN v TYPE text",
			"RENAME COLUMN v TO w", "DROP COLUMN n", "ALTER COLUMN b DROP NOT NULL",
			`DROP CONSTRAINT "We ird_pkey"`, "ADD PRIMARY KEY (a, b)",
			"ADD COLUMN h int GENERATED ALWAYS AS (1) STORED",
		}
		for _, actions := range all[:1] {
			r, err := c.Altered(context.Background(), oid, actions)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, r)
		}
		write("COMMIT")
		for i, actions := range all {
			r, err := c.Altered(context.Background(), oid, copyNames(actions))
			if err != nil {
				t.Fatalf("%s: %v", actions, err)
			}
			if i < len(want) && !reflect.DeepEqual(r, want[i]) {
				t.Errorf("%s: beside a writer\n%+v\nwithout one\n%+v", actions, want[i], r)
			}
			db.exec(`ALTER TABLE "We ird" ` + actions)
			is, err := c.Relation(context.Background(), oid)
			if err != nil || !reflect.DeepEqual(r, is) {
				t.Errorf("%s: %v\n said %+v\n is   %+v", actions, err, r, is)
			}
		}
	})
}

// copyNames is an action in the names that the copy has: constraints are named after their table.
func copyNames(actions string) string {
	return strings.ReplaceAll(actions, `"We ird_pkey"`, alteredCopy+"_pkey")
}

// TestAlteredLeavesNothing: neither what was tried nor what was refused is seen afterwards.
func TestAlteredLeavesNothing(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE t (id int PRIMARY KEY, v text)")
		const count = "SELECT count(*) || ' ' || (SELECT count(*) FROM pg_attribute " +
			"WHERE attrelid = 'public.t'::regclass) FROM pg_class WHERE relkind = 'r' " +
			"AND relnamespace <> 'pg_catalog'::regnamespace"
		before := db.value(count)
		c := db.catalog(CatalogOptions{})
		oid := c.selected(t, "public.t")[0].OID
		for actions, want := range map[string]string{
			"ADD COLUMN x int":                 "",
			"ADD COLUMN x int; COMMIT":         "cannot insert multiple commands",
			"ADD COLUMN x nosuchtype":          `type "nosuchtype" does not exist`,
			"RENAME TO other":                  "renames the table",
			"ADD COLUMN x int; DROP TABLE t":   "cannot insert multiple commands",
			"SET SCHEMA public":                "temporary",
			"ADD COLUMN x int) ON COMMIT DROP": "syntax error",
		} {
			_, err := c.Altered(context.Background(), oid, actions)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", actions, err, want)
			}
			if after := db.value(count); after != before {
				t.Errorf("%s: %s tables and columns, before %s", actions, after, before)
			}
		}
		if r, err := c.Relation(context.Background(), oid); err != nil || len(r.Columns) != 2 {
			t.Errorf("the connection is of use no more: %v", err)
		}
	})
}

// TestAlteredUnderColumnList: a column list publishes no new column, and a renamed one still.
func TestAlteredUnderColumnList(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE t (id int PRIMARY KEY, v text, w text)")
		list := "CREATE PUBLICATION p FOR TABLE t (id, v)"
		c := db.catalog(CatalogOptions{Publications: []string{"p"}})
		if c.ServerVersion() < versionColumnLists {
			list = "CREATE PUBLICATION p FOR TABLE t"
		}
		db.exec(list)
		oid := c.selected(t, "public.t")[0].OID
		for actions, want := range map[string]string{
			"ADD COLUMN x int":     "id v",
			"RENAME COLUMN v TO u": "id u",
		} {
			if c.ServerVersion() < versionColumnLists {
				want = map[string]string{"id v": "id v w x", "id u": "id u w"}[want]
			}
			r, err := c.Altered(context.Background(), oid, actions)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, column := range r.Columns {
				names = append(names, column.Name)
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("%s: want %s, got %s", actions, want, got)
			}
		}
	})
}

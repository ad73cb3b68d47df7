package snapshot

import (
	"slices"
	"strings"
	"testing"
)

func keyOf(columns ...string) []KeyColumn {
	var key []KeyColumn
	for _, column := range columns {
		key = append(key, KeyColumn{Name: column, Type: "integer", Schema: "pg_catalog"})
	}
	return key
}

func TestSelectRows(t *testing.T) {
	one := Source{Namespace: "s", Name: `o"dd`, ReadKey: keyOf("id")}
	two := Source{Namespace: "s", Name: "t", ReadKey: keyOf("a", "b"), Filter: "(v > 0)"}
	down := Source{Namespace: "s", Name: "t", ReadKey: keyOf("id")}
	down.ReadKey[0].Descending = true
	for _, test := range []struct {
		name string
		unit unit
		span span
		want string
		args []string
	}{
		{
			"whole",
			unit{source: one, keyed: true},
			span{},
			`SELECT "id", "v" FROM ONLY "s"."o""dd" ORDER BY "id"`, nil,
		},
		{
			"range",
			unit{source: one, keyed: true},
			span{From: []string{"1"}, To: []string{"9"}},
			`SELECT "id", "v" FROM ONLY "s"."o""dd" WHERE "id" OPERATOR("pg_catalog".>) $1::integer AND ` +
				`"id" OPERATOR("pg_catalog".<=) $2::integer ORDER BY "id"`,
			[]string{"1", "9"},
		},
		{
			"resumed",
			unit{source: one, keyed: true},
			span{From: []string{"1"}, Last: []string{"5"}},
			`SELECT "id", "v" FROM ONLY "s"."o""dd" WHERE "id" OPERATOR("pg_catalog".>) $1::integer ORDER BY "id"`,
			[]string{"5"},
		},
		{
			"composite, key not selected, filter",
			unit{source: two, keyed: true},
			span{From: []string{"1", "2"}},
			`SELECT "id", "v", "a", "b" FROM ONLY "s"."t" WHERE ((v > 0)) AND ROW("a", "b") ` +
				`OPERATOR("pg_catalog".>) ROW($1::integer, $2::integer) ORDER BY "a", "b"`,
			[]string{"1", "2"},
		},
		{
			"descending",
			unit{source: down, keyed: true},
			span{From: []string{"9"}, To: []string{"1"}},
			`SELECT "id", "v" FROM ONLY "s"."t" WHERE "id" OPERATOR("pg_catalog".<) $1::integer AND ` +
				`"id" OPERATOR("pg_catalog".>=) $2::integer ORDER BY "id" DESC`,
			[]string{"9", "1"},
		},
		{
			"blocks",
			unit{source: Source{Namespace: "s", Name: "t"}},
			span{From: []string{"10"}, To: []string{"20"}},
			`SELECT "id", "v" FROM ONLY "s"."t" WHERE ctid >= '(10,0)'::tid AND ctid < '(20,0)'::tid`, nil,
		},
		{
			"override",
			unit{source: two, override: "SELECT 1"},
			span{},
			`SELECT "id", "v" FROM (SELECT 1) AS overridden`, nil,
		},
	} {
		got := selectRows(&test.unit, &test.span, []string{"id", "v"})
		if got.sql != test.want || !slices.Equal(got.args, test.args) {
			t.Errorf("%s:\n got %s %q\nwant %s %q", test.name, got.sql, got.args, test.want, test.args)
		}
	}
}

func TestSpanCount(t *testing.T) {
	for _, test := range []struct {
		rows          float64
		pages         int64
		workers, want int
	}{
		{0, 0, 2, 1},
		{100, 1, 2, 1},
		{1000, 9, 2, 1},
		{1001, 9, 2, 2},
		{5000, 9, 2, 5},
		{1e9, 9, 2, 16},
		{1e9, 9, 9, 32},
		{1e9, 9, 1, 1},
		{-1, 10, 2, 1},
		{-1, 100, 2, 6}, // never analysed: by its size
	} {
		if got := spanCount(Source{RelTuples: test.rows, Pages: test.pages}, test.workers, 1000); got != test.want {
			t.Errorf("%+v: got %d ranges", test, got)
		}
	}
}

func TestPageSpans(t *testing.T) {
	for _, test := range []struct {
		pages int64
		count int
		want  string
	}{
		{0, 4, "-"}, {1, 4, "-"}, {3, 8, "-1 1-2 2-"}, {100, 4, "-25 25-50 50-75 75-"}, {7, 2, "-3 3-"},
	} {
		var texts []string
		for _, sp := range pageSpans(test.pages, test.count) {
			texts = append(texts, strings.Join(sp.From, "")+"-"+strings.Join(sp.To, ""))
		}
		if got := strings.Join(texts, " "); got != test.want {
			t.Errorf("%d pages in %d: got %q, want %q", test.pages, test.count, got, test.want)
		}
	}
}

// TestStoredOrder has the order in which the rows of a table with a key are read.
func TestStoredOrder(t *testing.T) {
	for _, test := range []struct {
		name     string
		rows     float64
		debezium bool
		ordered  bool
	}{
		{"a small table, Debezium", 1000, true, false},
		{"a small table", 1000, false, true},
		{"a large table, Debezium", 1001, true, true},
		{"a large table", 1001, false, true},
	} {
		u := unit{source: Source{Namespace: "s", Name: "t", RelTuples: test.rows, ReadKey: keyOf("id")}}
		if !u.plan(1, 1000, versionTIDRange, test.debezium) {
			t.Fatalf("%s: not planned", test.name)
		}
		sql := selectRows(&u, u.spans[0], []string{"id"}).sql
		if strings.Contains(sql, ` ORDER BY "id"`) != test.ordered {
			t.Errorf("%s: %s", test.name, sql)
		}
	}
}

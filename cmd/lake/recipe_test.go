package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRecipes holds each recipe to what a change log needs, and has each of them in TestRealLake.
func TestRecipes(t *testing.T) {
	files, err := filepath.Glob("../../deploy/connect/*.json")
	if err != nil || len(files) != len(recipes) {
		t.Fatalf("%d recipes are run, %d are there (%v)", len(recipes), len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if !slices.ContainsFunc(recipes, func(r recipe) bool { return r.name == name }) {
			t.Errorf("%s is not run", name)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var config map[string]string
		if err := json.Unmarshal(content, &config); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := map[string]string{"consumer.override.isolation.level": "read_committed"}
		switch {
		case strings.HasPrefix(name, "confluent"):
			want["behavior.on.null.values"], want["timestamp.field"] = "ignore", "source.ts_ms"
			want["schema.compatibility"], want["partition.field.name"] = "NONE", ""
			want["transforms.at.offset.field"] = "_offset"
		case name == "aiven-s3-parquet":
			want["transforms.live.predicate"], want["transforms.at.offset.field"] = "tombstone", "_offset"
		case name == "iceberg-log":
			want["transforms.at.offset.field"] = "_offset"
		}
		for key, value := range want {
			if config[key] != value {
				t.Errorf("%s: %s is %q, want %q", name, key, config[key], value)
			}
		}
		for key, value := range config {
			if strings.Contains(key, "secret") || strings.Contains(key, "password") {
				t.Errorf("%s: %s is %q; credentials come from the worker", name, key, value)
			}
		}
	}
}

// TestExternals reads the DDL of the log.
func TestExternals(t *testing.T) {
	l := &lake{deploy: "../../deploy", edits: strings.NewReplacer()}
	tables, err := l.externals()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range captured {
		columns := tables[table]
		var names []string
		for _, c := range columns {
			names = append(names, c.name)
			for _, f := range c.fields {
				if f.kind == "" {
					t.Errorf("%s: %s.%s has a type that is not known here", table, c.name, f.name)
				}
			}
			if c.kind == "" && len(c.fields) == 0 {
				t.Errorf("%s: %s has a type that is not known here", table, c.name)
			}
		}
		if got := strings.Join(names, " "); got != "before after source op ts_ms _partition _offset" {
			t.Errorf("%s: columns %s", table, got)
		}
		if before, after := columns[0].duckType(), columns[1].duckType(); before != after ||
			!strings.HasPrefix(before, `STRUCT("`+keyOf(table)+`" INTEGER, `) {
			t.Errorf("%s: before is %s, after %s", table, before, after)
		}
	}
}

func TestForDuck(t *testing.T) {
	const table = "CREATE TABLE lake.t (\n  a string\n"
	for sql, want := range map[string]string{
		"SELECT 1": "SELECT 1",
		table + ") LOCATION 's3://b/t/' TBLPROPERTIES ('x' = 'y')": table + ")",
		"CREATE TABLE lake.t\nWITH (x = 'y', partitioned_by = ARRAY['c'])\nAS SELECT a, c FROM x": "COPY " +
			"(SELECT a, c FROM x) TO '/d/t' (FORMAT parquet, COMPRESSION snappy, PARTITION_BY (c))",
	} {
		if got := forDuck(sql, "/d"); got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
}

// TestBeside has a log compared with the article's rows.
func TestBeside(t *testing.T) {
	row := func(id, op, address, address2, district, city string) logRow {
		return logRow{id: id, op: op, columns: map[string]string{
			"address": address, "address2": address2, "district": district, "city_id": city,
		}}
	}
	good := []logRow{
		row("100", "r", "a", "", "d", "1"), row("100", "u", "123 CDC Test Lane", "", "d", "1"),
		row("101", "r", "a", "", "d", "1"), row("101", "u", "a", "Apartment #2201", "d", "1"),
		row("101", "u", "a", "Apartment #2202", "d", "1"),
		row("102", "r", "a", "", "d", "1"), row("102", "u", "a", "", "d", "601"),
		row("102", "u", "a", "", "Lake Turkana", "601"),
		row("103", "r", "a", "", "d", "1"), row("104", "r", "a", "", "d", "1"),
		{id: "104", op: "d"},
		row("105", "r", "a", "", "d", "1"),
	}
	without := func(i int) []logRow { return slices.Delete(slices.Clone(good), i, i+1) }
	for _, test := range []struct {
		name string
		rows []logRow
		want string // part of the error; empty for none
	}{
		{"all", good, ""},
		{"an update is missing", without(3), "address 101"},
		{"the delete is missing", without(10), "11 records, want 12"},
		{"a row is missing", without(8), "address 103: 0 states"},
		{"an update twice", slices.Insert(slices.Clone(good), 8, good[7]), "address 102, record 4"},
	} {
		var out strings.Builder
		err := (&lake{out: &out}).beside(test.rows)
		if test.want == "" && err != nil || test.want != "" && !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: want %q, got %v", test.name, test.want, err)
		}
	}
}

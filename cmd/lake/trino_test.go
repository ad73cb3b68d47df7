package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local/pagila"
)

// envTrino is the URL of a Trino, the engine that Athena's is made of. It has a catalog hive over the S3
// server, with hive.partition-projection-enabled, hive.parquet.use-column-names and
// hive.non-managed-table-writes-enabled, and a JDBC catalog iceberg in the database iceberg of the last
// server of RealPostgres, which the test empties. No run in CI has it: it takes 1 GB to fetch.
const envTrino = "TRIBUTARY_TEST_TRINO"

// trino runs statements.
type trino struct{ url string }

// run runs a statement and returns its rows.
func (c trino) run(ctx context.Context, sql string) (result, error) {
	body := strings.NewReader(sql)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/v1/statement", body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Trino-User", "lake")
	request.Header.Set("X-Trino-Time-Zone", "UTC")
	rows := result{}
	for {
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, err
		}
		var page struct {
			NextURI string
			Columns []struct{ Name string }
			Data    [][]json.RawMessage
			Error   *struct{ ErrorName, Message string }
		}
		err = errors.Join(json.NewDecoder(response.Body).Decode(&page), response.Body.Close())
		switch {
		case err != nil:
			return nil, fmt.Errorf("read Trino's answer: %s: %w", response.Status, err)
		case page.Error != nil:
			return nil, fmt.Errorf("%s: %s in %s", page.Error.ErrorName, page.Error.Message, sql)
		}
		for _, values := range page.Data {
			row := map[string]json.RawMessage{}
			for i, value := range values {
				row[page.Columns[i].Name] = value
			}
			rows = append(rows, row)
		}
		if page.NextURI == "" {
			return rows, nil
		}
		if request, err = http.NewRequestWithContext(ctx, http.MethodGet, page.NextURI, nil); err != nil {
			return nil, err
		}
	}
}

var (
	externalWhole = regexp.MustCompile("(?s)^CREATE EXTERNAL TABLE lake\\.(\\w+) \\((.*)\n" +
		"\\) PARTITIONED BY \\(`dt` string\\) STORED AS PARQUET LOCATION '([^']*)'\nTBLPROPERTIES \\((.*)\\)$")
	structField = regexp.MustCompile(`(\w+):(\w+)`)
	property    = regexp.MustCompile(`'([^']+)' = '([^']*)'`)
)

// externalForTrino returns the DDL of an external table in Trino's words; name is the table's.
func externalForTrino(sql string) (trinoSQL, name string, err error) {
	m := externalWhole.FindStringSubmatch(sql)
	if m == nil {
		return "", "", fmt.Errorf("not the external table that is expected: %s", sql)
	}
	columns := structField.ReplaceAllString(m[2], `"$1" $2`)
	columns = strings.NewReplacer("`", `"`, "struct<", "row(", ">", ")", " string", " varchar").Replace(columns)
	p := map[string]string{}
	for _, pair := range property.FindAllStringSubmatch(m[4], -1) {
		p[pair[1]] = pair[2]
	}
	return fmt.Sprintf(`CREATE TABLE lake.%s (%s,
  dt varchar WITH (partition_projection_type = '%s', partition_projection_format = '%s',
    partition_projection_range = ARRAY['%s'], partition_projection_interval = %s,
    partition_projection_interval_unit = '%s')
) WITH (format = 'PARQUET', external_location = '%s', partitioned_by = ARRAY['dt'],
  partition_projection_enabled = %s, partition_projection_location_template = '%s')`, m[1], columns,
		strings.ToUpper(p["projection.dt.type"]), p["projection.dt.format"],
		strings.ReplaceAll(p["projection.dt.range"], ",", "', '"), p["projection.dt.interval"],
		p["projection.dt.interval.unit"], m[3], p["projection.enabled"], p["storage.location.template"]), m[1], nil
}

// onTrino runs every statement of deploy/athena on Trino, in its own words for what is Athena's: log.sql,
// current.sql, article.sql and merge.sql over the Parquet of a recipe, cdc.sql over iceberg-cdc's tables.
func onTrino(t *testing.T, l *lake, c trino) {
	log := recipe{"confluent-s3-parquet", parquet}
	schema := "hive." + l.prefix
	here := strings.NewReplacer("s3://my-lake/log/pagila.", "s3://"+bucket+"/"+l.folder(log)+"/"+l.prefix+".",
		"s3://my-lake/", "s3://"+bucket+"/"+l.prefix+"/trino/",
		"lake.address_current", "iceberg."+l.prefix+".address_current",
		"lake.public_", "iceberg."+namespace+".public_", "lake.", schema+".")
	run := func(sql string) result {
		t.Helper()
		found, err := c.run(t.Context(), here.Replace(sql))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	file := func(name string) []string {
		t.Helper()
		all, err := l.athena(name)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	t.Cleanup(func() {
		for _, s := range []string{schema, "iceberg." + l.prefix} {
			if _, err := c.run(context.Background(), "DROP SCHEMA IF EXISTS "+s+" CASCADE"); err != nil {
				t.Error(err)
			}
		}
	})
	run("CREATE SCHEMA " + schema) // for CREATE DATABASE
	run("CREATE SCHEMA iceberg." + l.prefix)
	for _, sql := range file("log.sql")[1:] {
		sql, name, err := externalForTrino(sql)
		if err != nil {
			t.Fatal(err)
		}
		run(sql)
		in := run(`SELECT DISTINCT "$path" LIKE '%/dt=' || dt || '/%' AS folder FROM lake.` + name)
		if len(in) != 1 || text(in[0], "folder") != "true" {
			t.Errorf("%s: the partitions that are computed are not the folders: %v", name, in)
		}
	}
	for _, sql := range file("current.sql") {
		run(sql)
	}
	articleOnTrino(t, l, file("article.sql"), run)
	merge := file("merge.sql")
	run(strings.ReplaceAll(icebergEnd.ReplaceAllString(merge[0], ")"), " string", " varchar"))
	run(merge[1])
	run(merge[1]) // changes nothing
	cdc := file("cdc.sql")
	for _, sql := range cdc[:len(captured)] {
		run(sql)
	}
	lives(t, l, run(cdc[len(captured)]))
	for _, table := range captured {
		for _, view := range []string{table, table + "_of_cdc"} {
			same(t, l, table, view, run("SELECT * FROM lake."+view))
		}
	}
	merged := run("SELECT * FROM lake.address_current")
	for _, row := range merged {
		delete(row, "log_offset")
	}
	same(t, l, "address", "address_current", merged)
}

// articleOnTrino runs article.sql.
func articleOnTrino(t *testing.T, l *lake, article []string, run func(string) result) {
	t.Helper()
	lives(t, l, run(article[0]))
	if five := run(article[1]); len(five) != 5 || text(five[4], "address_id") != "105" {
		t.Errorf("present rows of 100 to 105: %v", five)
	}
	run(strings.Replace(article[2], "write_compression = 'SNAPPY', ", "", 1))
	if n := text(run("SELECT count(*) AS n FROM lake.address_by_country")[0], "n"); n != "100" {
		t.Errorf("the refined table has %s rows, want 100", n)
	}
}

// lives holds the log of addresses 100 to 105 against the article's rows, and looks for the delete.
func lives(t *testing.T, l *lake, found result) {
	t.Helper()
	var a answer
	if err := a.takeEleven(found); err != nil {
		t.Fatal(err)
	}
	if err := l.beside(a.eleven); err != nil {
		t.Fatal(err)
	}
	if one := a.eleven[len(a.eleven)-2]; one.id != "104" || one.op != "d" {
		t.Errorf("the last record but one is %s of %s, want d of 104", one.op, one.id)
	}
}

// same compares a view's rows with a table's.
func same(t *testing.T, l *lake, table, view string, found result) {
	t.Helper()
	want, err := l.rowsOf(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	have, err := keyed(found, table)
	if err != nil {
		t.Fatal(err)
	}
	differing := pagila.Differences(view, "lake", have, want)
	for i, difference := range differing {
		if i < 5 {
			t.Error(difference)
		}
	}
	t.Logf("Trino: %s: rows %d, differing %d", view, len(have), len(differing))
}

// trinoCatalog returns the address of the database that Trino's catalog iceberg is in, emptied.
func trinoCatalog(t *testing.T, server string) string {
	t.Helper()
	catalog := strings.Replace(server, "/postgres?", "/iceberg?", 1)
	if err := execute(t.Context(), catalog, "DROP SCHEMA public CASCADE; CREATE SCHEMA public"); err != nil {
		t.Fatal(err)
	}
	return catalog
}

// TestExternalForTrino has the log's DDL in Trino's words.
func TestExternalForTrino(t *testing.T) {
	l := &lake{deploy: "../../deploy", edits: strings.NewReplacer()}
	all, err := l.athena("log.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range all[1:] {
		got, name, err := externalForTrino(sql)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{
			"CREATE TABLE lake." + name + " (", `"before" row("`, "partition_projection_type = 'DATE'",
			"partition_projection_range = ARRAY['2024-01-01', 'NOW']", "partition_projection_interval = 1,",
		} {
			if !strings.Contains(got, part) {
				t.Errorf("%s: no %s in %s", name, part, got)
			}
		}
	}
}

// onTrinoIfThere is the part of TestRealLake that needs a Trino.
func onTrinoIfThere(t *testing.T, l *lake) {
	if url := os.Getenv(envTrino); url != "" {
		t.Run("Trino", func(t *testing.T) { onTrino(t, l, trino{url}) })
	}
}

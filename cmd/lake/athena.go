package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The statements of deploy/athena are written for Athena. DuckDB runs them as they are but for three, whose
// form is Athena's own: an external table, whose columns are compared with the objects instead; the end of
// an Iceberg table; and the properties of CREATE TABLE AS, which become those of a COPY.

// athena returns the statements of a file.
func (l *lake) athena(name string) ([]string, error) {
	content, err := os.ReadFile(filepath.Join(l.deploy, "athena", name))
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			lines = append(lines, line)
		}
	}
	var all []string
	for _, sql := range strings.Split(l.edits.Replace(strings.Join(lines, "")), ";") {
		if sql = strings.TrimSpace(sql); sql != "" {
			all = append(all, sql)
		}
	}
	return all, nil
}

var (
	icebergEnd = regexp.MustCompile(`(?s)\) LOCATION '[^']*' TBLPROPERTIES \(.*\)$`)
	createAs   = regexp.MustCompile(`(?s)^CREATE TABLE lake\.(\w+)\s+WITH \((.*?)\)\s+AS (SELECT.*)$`)
	partition  = regexp.MustCompile(`partitioned_by = ARRAY\['(\w+)'\]`)
)

// forDuck returns a statement as DuckDB takes it. What Athena would write under s3:// goes under dir.
func forDuck(sql, dir string) string {
	if m := createAs.FindStringSubmatch(sql); m != nil {
		by := partition.FindStringSubmatch(m[2])[1]
		return fmt.Sprintf("COPY (%s) TO '%s' (FORMAT parquet, COMPRESSION snappy, PARTITION_BY (%s))",
			m[3], filepath.Join(dir, m[1]), by)
	}
	return icebergEnd.ReplaceAllString(sql, ")")
}

// column is a column of an external table, with the fields of a struct.
type column struct {
	name, kind string // kind is DuckDB's name of the type, empty for a struct
	fields     []column
}

var (
	externalTable  = regexp.MustCompile(`(?s)^CREATE EXTERNAL TABLE lake\.(\w+)_log \((.*?)\n\) PARTITIONED BY`)
	externalColumn = regexp.MustCompile("`(\\w+)` ([^\\n]*?),?(?:\\n|$)")
	kinds          = map[string]string{
		"int": "INTEGER", "bigint": "BIGINT", "string": "VARCHAR", "boolean": "BOOLEAN",
	}
)

// externals returns the columns of each external table, by the table in Postgres.
func (l *lake) externals() (map[string][]column, error) {
	statements, err := l.athena("log.sql")
	if err != nil {
		return nil, err
	}
	all := map[string][]column{}
	for _, sql := range statements {
		m := externalTable.FindStringSubmatch(sql)
		if m == nil {
			continue
		}
		for _, c := range externalColumn.FindAllStringSubmatch(m[2], -1) {
			one := column{name: c[1], kind: kinds[c[2]]}
			if inner, found := strings.CutPrefix(c[2], "struct<"); found {
				for _, field := range strings.Split(strings.TrimSuffix(inner, ">"), ",") {
					name, kind, _ := strings.Cut(field, ":")
					one.fields = append(one.fields, column{name: name, kind: kinds[kind]})
				}
			}
			all[m[1]] = append(all[m[1]], one)
		}
	}
	return all, nil
}

// duckType returns a column's type as DuckDB writes it.
func (c column) duckType() string {
	if c.fields == nil {
		return c.kind
	}
	var parts []string
	for _, f := range c.fields {
		parts = append(parts, `"`+f.name+`" `+f.duckType())
	}
	return "STRUCT(" + strings.Join(parts, ", ") + ")"
}

// jsonColumns returns columns as DuckDB's reader of JSON wants to be told.
func jsonColumns(columns []column) string {
	var parts []string
	for _, c := range columns {
		parts = append(parts, `"`+c.name+`": '`+c.duckType()+`'`)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// typesOf returns a query for the types that a table of DuckDB has in the columns of an external table, and
// the answer that would be right.
func typesOf(table string, columns []column) (sql, want string) {
	var have, wanted []string
	add := func(path, kind string) {
		have = append(have, "typeof("+path+")")
		wanted = append(wanted, kind)
	}
	for _, c := range columns {
		if c.fields == nil {
			add(`"`+c.name+`"`, c.kind)
		}
		for _, f := range c.fields {
			add(`"`+c.name+`"."`+f.name+`"`, f.kind)
		}
	}
	sql = "SELECT concat_ws(' ', " + strings.Join(have, ", ") + ") AS types FROM lake." + table + "_log LIMIT 1"
	return sql, strings.Join(wanted, " ")
}

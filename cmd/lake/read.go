package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"github.com/tributary-cdc/tributary/deploy/local/pagila"
)

// captured are the tables that the recipes take to the lake.
var captured = []string{"address", "city", "country", "customer"}

// files returns local copies of what a sink has written of a table, in the order of their names.
func (l *lake) files(ctx context.Context, r recipe, table string) ([]string, error) {
	var keys []object
	var err error
	switch r.layout {
	case iceberg, icebergRow:
		name := table + "_log"
		if r.layout == icebergRow {
			name = "public_" + table
		}
		var names []string
		names, err = l.icebergFiles(ctx, name)
		for _, name := range names {
			keys = append(keys, object{Key: name})
		}
	default:
		keys, err = l.s3.list(ctx, l.folder(r)+"/"+l.prefix+".public."+table+"/")
	}
	var paths []string
	for _, o := range keys {
		if err != nil {
			break
		}
		var path string
		if path, err = l.fetch(ctx, r, o); err == nil {
			paths = append(paths, path)
		}
	}
	return paths, err
}

// fetch returns a local copy of an object, which is fetched once: another ETag is another object.
func (l *lake) fetch(ctx context.Context, r recipe, o object) (string, error) {
	path := filepath.Join(l.dir, "objects", hash([]byte(o.Key+o.ETag)))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	content, err := l.s3.get(ctx, o.Key)
	if err == nil && r.layout == avroFile {
		content, err = asJSON(content)
	}
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, content, 0o600)
}

// asJSON turns an Avro file into lines of JSON, which DuckDB reads without an extension.
func asJSON(content []byte) ([]byte, error) {
	reader, err := ocf.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("read an Avro object: %w", err)
	}
	var out bytes.Buffer
	for {
		var value any
		switch err := reader.Decode(&value); {
		case errors.Is(err, io.EOF):
			return out.Bytes(), nil
		case err != nil:
			return nil, fmt.Errorf("read an Avro object: %w", err)
		}
		line, err := reader.Schema().EncodeJSON(value)
		if err != nil {
			return nil, fmt.Errorf("read an Avro object: %w", err)
		}
		out.Write(line)
		out.WriteByte('\n')
	}
}

// records calls f with the fields that a schema names of each record of one of Iceberg's Avro files.
func records[T any](ctx context.Context, l *lake, location, fields string, f func(T) error) error {
	schema, err := avro.Parse(fields)
	if err != nil {
		return err
	}
	content, err := l.s3.get(ctx, inBucket(location))
	if err != nil {
		return err
	}
	reader, err := ocf.NewReader(bytes.NewReader(content), ocf.WithReaderSchema(schema))
	if err != nil {
		return fmt.Errorf("read %s: %w", location, err)
	}
	for {
		var record T
		switch err := reader.Decode(&record); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", location, err)
		}
		if err := f(record); err != nil {
			return err
		}
	}
}

// inBucket turns s3://bucket/key into the key.
func inBucket(location string) string { return strings.TrimPrefix(location, "s3://"+bucket+"/") }

// load returns statements that make DuckDB's lake.<table>_log of what a sink has written of each table, and
// lake.public_<table> where it writes rows; or none while a table has nothing.
func (l *lake) load(ctx context.Context, r recipe) ([]string, error) {
	statements := []string{"CREATE SCHEMA lake"}
	for _, table := range captured {
		paths, err := l.files(ctx, r, table)
		if err != nil || len(paths) == 0 {
			return nil, err
		}
		list := "['" + strings.Join(paths, "', '") + "']"
		columns := l.columns[table]
		var sql string
		switch r.layout {
		case parquet, iceberg:
			sql = table + "_log AS SELECT * FROM read_parquet(" + list + ", union_by_name = true)"
		case icebergRow:
			sql = "public_" + table + " AS SELECT * FROM read_parquet(" + list + ", union_by_name = true)"
		case avroFile, jsonFile:
			sql = table + "_log AS SELECT * FROM read_json(" + list + ", format = 'newline_delimited', columns = " +
				jsonColumns(columns) + ")"
		case jsonWrap:
			// What a transform would put into the value stands beside it, or in the object's name.
			value := column{name: "value", fields: slices.DeleteFunc(slices.Clone(columns), func(c column) bool {
				return c.name[0] == '_'
			})}
			sql = table + `_log AS SELECT value.*, 0 AS "_partition", "offset" AS "_offset" FROM read_json(` + list +
				", format = 'newline_delimited', columns = {value: '" + value.duckType() +
				"', \"offset\": 'BIGINT'}) WHERE value IS NOT NULL"
		}
		statements = append(statements, "CREATE TABLE lake."+sql)
	}
	return statements, nil
}

// rowsOf reads a table of Postgres.
func (l *lake) rowsOf(ctx context.Context, name string) (map[string]pagila.Row, error) {
	for _, t := range pagila.Tables {
		if t.Name == name {
			return pagila.Rows(ctx, l.conn, "public", t)
		}
	}
	return nil, fmt.Errorf("no table %s", name)
}

// keyOf is the column of a table's key.
func keyOf(table string) string { return table + "_id" }

// current reads the rows of one of the views that tell the present state, each as a record's after, from a
// column with the row as JSON.
func current(results result, table string) (map[string]pagila.Row, error) {
	var rows result
	for _, one := range results {
		var values map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text(one, "row")), &values); err != nil {
			return nil, fmt.Errorf("read a row of %s: %w", table, err)
		}
		rows = append(rows, values)
	}
	return keyed(rows, table)
}

// keyed returns rows by their keys, of which each has one.
func keyed(results result, table string) (map[string]pagila.Row, error) {
	found := map[string]pagila.Row{}
	for _, values := range results {
		row := pagila.Row{}
		for name, value := range values {
			row[name] = string(value)
		}
		key := row[keyOf(table)]
		if found[key] != nil {
			return nil, fmt.Errorf("%s: two rows of key %s", table, key)
		}
		found[key] = row
	}
	return found, nil
}

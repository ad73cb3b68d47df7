package main

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	publication = "bench"
	// perTransaction is how many rows of a backlog share a transaction.
	perTransaction = 1000
	// table is the table of all data that has one.
	table = "public.t"
	// fewRows is how many rows of one table come after each other where there are many tables.
	fewRows = 3
)

// data is what a backlog is made of. Each has a database of its own, in which all tables are published.
type data struct {
	name string
	// create makes the tables.
	create string
	// before is what is written before the backlog, nil for nothing.
	before func(rows int) string
	// fill writes so many changes behind those of warm.
	fill func(rows int) string
	// warm writes the backlog's first changes, warmed of them, which are not measured: each table's first change
	// costs a topic, and its schemas.
	warm   string
	warmed int
	// tables is how many there are beside the one called t; 0 is that one.
	tables int
	// share is what part of options.rows its rows are; fixed, if not 0, is how many there are in any case.
	share float64
	fixed int
	// runs bounds the turns, 0 is as many as options say.
	runs int
}

// rows is how many changes are measured, in whole transactions.
func (d *data) rows(o *options) int {
	n := int(float64(o.rows) * d.share)
	if d.fixed > 0 {
		n = d.fixed
	}
	return max(n/perTransaction, 1) * perTransaction
}

// names are the tables'.
func (d *data) names() []string {
	if d.tables == 0 {
		return []string{table}
	}
	names := make([]string, d.tables)
	for i := range names {
		names[i] = fmt.Sprintf("%s_%d", table, i)
	}
	return names
}

// narrowColumns are those of rows of some 60 bytes, and narrowValues their values for a row i.
const (
	narrowColumns = "(id bigint PRIMARY KEY, a int, b int, c int, at timestamptz, v text)"
	narrowValues  = "i, i * 7, 42, now(), 'abcdefghijklmnopqrstuv'"
)

// batches is a statement run for chunk = 0, 1, ... in a transaction each; EACH in it is perTransaction.
func batches(rows int, statement string) string {
	return fmt.Sprintf("DO $$ BEGIN FOR chunk IN 0..%d LOOP %s; COMMIT; END LOOP; END $$", rows/perTransaction-1,
		strings.ReplaceAll(statement, "EACH", strconv.Itoa(perTransaction)))
}

// inserts returns what fills t, with the values behind the key.
func inserts(values string) func(rows int) string {
	return func(rows int) string {
		return batches(rows, "INSERT INTO public.t SELECT chunk * EACH + i, "+values+
			" FROM generate_series(1, EACH) i")
	}
}

// updates returns what changes each row of t once.
func updates(set string) func(rows int) string {
	return func(rows int) string {
		return batches(rows, "UPDATE public.t SET "+set+" WHERE id > chunk * EACH AND id <= (chunk + 1) * EACH")
	}
}

// narrow is the rows that the bars are about.
func narrow() data {
	return data{
		name: "narrow", create: "CREATE TABLE public.t " + narrowColumns, fill: inserts(narrowValues), share: 1,
	}
}

// wide is rows of 30 columns and 1 KB.
func wide() data {
	columns, values := []string{"id bigint PRIMARY KEY"}, []string{}
	for c := 1; c < 10; c++ {
		columns, values = append(columns, fmt.Sprintf("n%d int", c)), append(values, fmt.Sprintf("i * %d", c))
	}
	for c := range 20 {
		columns = append(columns, fmt.Sprintf("t%d text", c))
		values = append(values, fmt.Sprintf("rpad(md5((i + %d)::text), 46, 'wide')", c))
	}
	return data{
		name: "wide", create: "CREATE TABLE public.t (" + strings.Join(columns, ", ") + ")",
		fill: inserts(strings.Join(values, ", ")), share: 0.2,
	}
}

// full is updates under REPLICA IDENTITY FULL: each has the row twice.
func full() data {
	return data{
		name: "full",
		create: "CREATE TABLE public.t " + narrowColumns + "; " +
			"ALTER TABLE public.t REPLICA IDENTITY FULL",
		before: inserts(narrowValues), fill: updates("a = a + 1, at = now()"), share: 0.5,
	}
}

// toast is updates of rows with 8 KB stored out of line: three of four do not touch it, so that the stream
// has a placeholder for it.
func toast() data {
	const doc = "(SELECT string_agg(md5((i * 1000 + k)::text), '') FROM generate_series(1, 256) k)"
	return data{
		name: "toast",
		create: "CREATE TABLE public.t (id bigint PRIMARY KEY, n int, doc text); " +
			"ALTER TABLE public.t ALTER doc SET STORAGE EXTERNAL",
		before: inserts("0, " + doc),
		fill:   updates("n = n + 1, doc = CASE WHEN id % 4 = 0 THEN reverse(doc) ELSE doc END"),
		share:  0.05,
	}
}

// manyTables is narrow rows, a few of each table in turn.
func manyTables(tables, runs int) data {
	d := data{
		name: fmt.Sprintf("tables-%d", tables), tables: tables, warmed: tables, share: 0.3, runs: runs,
	}
	each := "DO $$ BEGIN FOR n IN 0..%d LOOP EXECUTE format('%s', n); " +
		"IF n %% 100 = 99 THEN COMMIT; END IF; END LOOP; END $$"
	d.create = fmt.Sprintf(each, tables-1, "CREATE TABLE public.t_%s "+narrowColumns)
	d.warm = fmt.Sprintf(each, tables-1, "INSERT INTO public.t_%s (id) VALUES (0)")
	d.fill = func(rows int) string {
		return fmt.Sprintf("DO $$ BEGIN FOR n IN 0..%d LOOP "+
			"EXECUTE format('INSERT INTO public.t_%%s SELECT %%s + i, %s FROM generate_series(1, %d) i', "+
			"n %% %d, n * %[3]d); IF n %% 300 = 299 THEN COMMIT; END IF; END LOOP; END $$",
			rows/fewRows-1, strings.ReplaceAll(narrowValues, "'", "''"), fewRows, tables)
	}
	return d
}

// oneTransaction is narrow rows that commit together.
func oneTransaction() data {
	d := narrow()
	d.name, d.runs = "one-transaction", 1
	d.fill = func(rows int) string {
		return fmt.Sprintf("INSERT INTO public.t SELECT i, %s FROM generate_series(1, %d) i", narrowValues, rows)
	}
	d.share = 10
	return d
}

// labRows is what the lab measures Debezium with, so that its figures stand beside ours.
func labRows() data {
	return data{
		name: "lab", create: "CREATE TABLE public.t (id bigint PRIMARY KEY, k int NOT NULL, c text)",
		fill: inserts("i % 1000, rpad(md5(i::text), 100, md5((-i)::text))"), fixed: debeziumRows,
	}
}

package snapshot

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// unitName names a unit across runs.
type unitName struct {
	Schema     string `json:"schema"`
	Table      string `json:"table"`
	LeafSchema string `json:"leaf_schema,omitempty"`
	Leaf       string `json:"leaf,omitempty"`
}

// unit is one relation to read: a table, or a leaf of one.
type unit struct {
	name   unitName
	table  *tableState
	source Source
	// override is a SELECT to read from instead, "" for none.
	override string
	// spans are nil until the unit is planned; next is the first that no worker has.
	planned bool
	keyed   bool
	spans   []*span
	next    int
	// where is a condition on the rows besides, "" for none.
	where string
	// again are the keys of rows to be read once more: see Notes.
	again [][]string
	// asked says that a worker was asked where to split the unit.
	asked bool
	// sent says that rows were sent; done that all were.
	sent, done bool
}

// span is a range of a unit's rows: from is exclusive, to inclusive, both in the order of the read key; nil
// is open. A range of blocks has one number in each, from inclusive and to exclusive.
type span struct {
	From []string `json:"from,omitempty"`
	To   []string `json:"to,omitempty"`
	// Last is the key of the last row that was delivered.
	Last []string `json:"last,omitempty"`
	Done bool     `json:"done,omitempty"`

	// read says that the worker has come to the end; waiting counts its batches that were not sent yet.
	read    bool
	waiting int
	// follows says that a worker is about to read a heavy row of it.
	follows bool
}

// Limits of a plan.
const (
	// maxSpans bounds what a Progress says of one unit.
	maxSpans = 32
	// sampleRows is about how many rows are sampled to choose boundaries.
	sampleRows = 20_000
	// rowsPerPage guesses the rows of a table that was never analysed: 8 KiB blocks, 130 bytes a row.
	rowsPerPage = 60
)

// makeUnits lists what is to be read, in order: the order of the tables, and of the leaves by name. It must
// be the same in every run, since a Progress knows what is done by what comes before.
func makeUnits(tables []*tableState, override, where func(schema, table string) string) []*unit {
	var units []*unit
	for _, t := range tables {
		name := unitName{Schema: t.table.Namespace, Table: t.table.Name}
		// A view of the whole partitioned table replaces all leaves.
		if sql := override(name.Schema, name.Table); sql != "" || t.table.Kind != 'p' {
			t.units = append(t.units, &unit{name: name, table: t, source: t.table.Source, override: sql})
		} else {
			for _, leaf := range t.table.Leaves {
				name.LeafSchema, name.Leaf = leaf.Namespace, leaf.Name
				t.units = append(t.units, &unit{name: name, table: t, source: leaf})
			}
		}
		for _, u := range t.units {
			u.where = where(name.Schema, name.Table)
		}
		units = append(units, t.units...)
	}
	return units
}

// estimate returns about how many rows s has, to decide by and not to show.
func (s Source) estimate() float64 {
	if s.RelTuples >= 0 {
		return s.RelTuples
	}
	return float64(s.Pages) * rowsPerPage
}

// spanCount returns into how many ranges a source is split. One worker gains nothing by more than one: a
// range is resumed within.
func spanCount(s Source, workers, resumeRows int) int {
	if workers < 2 {
		return 1
	}
	parts := math.Ceil(s.estimate() / float64(resumeRows))
	return int(min(max(parts, 1), float64(min(8*workers, maxSpans))))
}

// Postgres 14 is the first that reads a range of blocks without reading the table.
const versionTIDRange = 14_00_00

// plan decides how the unit is read, unless the server must be asked where to split it: then it returns
// false. stored says that the rows of a small table are to come in the order in which they are stored, as
// Debezium reads all.
func (u *unit) plan(workers, resumeRows, version int, stored bool) bool {
	count := spanCount(u.source, workers, resumeRows)
	small := u.source.estimate() <= float64(resumeRows)
	keyed := len(u.source.ReadKey) > 0 && u.override == "" && !(stored && small)
	if keyed && count > 1 {
		return false
	}
	u.planned, u.keyed, u.spans = true, keyed, keySpans(nil)
	if !keyed && u.override == "" && version >= versionTIDRange {
		u.spans = pageSpans(u.source.Pages, count)
	}
	return true
}

// keySpans returns the ranges between boundaries, which are in order.
func keySpans(boundaries [][]string) []*span {
	spans := []*span{{}}
	for _, boundary := range boundaries {
		spans[len(spans)-1].To = boundary
		spans = append(spans, &span{From: boundary})
	}
	return spans
}

// pageSpans splits blocks evenly. The last range is open: the table may have grown since it was measured,
// and though the snapshot sees none of that, a range costs nothing.
func pageSpans(pages int64, count int) []*span {
	count = int(max(1, min(int64(count), pages)))
	boundaries := make([][]string, 0, count-1)
	for i := 1; i < count; i++ {
		boundaries = append(boundaries, []string{strconv.FormatInt(pages*int64(i)/int64(count), 10)})
	}
	return keySpans(boundaries)
}

// statement is SQL with its parameters.
type statement struct {
	sql  string
	args []string
}

// arg adds a parameter and returns how SQL refers to it.
func (s *statement) arg(value string) string {
	s.args = append(s.args, value)
	return "$" + strconv.Itoa(len(s.args))
}

// selectRows is the statement that reads a range. columns are those of the table's relation; the key's
// columns that are not among them follow.
func selectRows(u *unit, sp *span, columns []string) statement {
	var s statement
	if u.keyed {
		key := u.source.ReadKey
		s.sql = selectFrom(u, columns, s.keyBounds(key, sp)) + " ORDER BY " + orderBy(key)
	} else {
		s.sql = selectFrom(u, columns, pageBounds(sp))
	}
	return s
}

// selectFrom writes a SELECT of a unit's columns under conditions and the unit's own.
func selectFrom(u *unit, columns, conditions []string) string {
	list := make([]string, 0, len(columns)+len(u.source.ReadKey))
	for _, column := range withKey(u, columns) {
		list = append(list, quote(column))
	}
	from := "ONLY " + u.source.sql()
	if u.override != "" {
		from = "(" + u.override + ") AS overridden"
	}
	var where []string
	if u.source.Filter != "" && u.override == "" {
		where = append(where, "("+u.source.Filter+")")
	}
	if u.where != "" {
		// A comment at its end must not swallow the parenthesis.
		where = append(where, "("+u.where+"\n)")
	}
	where = append(where, conditions...)
	text := "SELECT " + strings.Join(list, ", ") + " FROM " + from
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}
	return text
}

// values returns the parameters as the protocol takes them.
func (s *statement) values() [][]byte {
	values := make([][]byte, len(s.args))
	for i, arg := range s.args {
		values[i] = []byte(arg)
	}
	return values
}

// withKey returns the columns that are selected for a unit.
func withKey(u *unit, columns []string) []string {
	all := slices.Clone(columns)
	if u.keyed {
		for _, key := range u.source.ReadKey {
			if !slices.Contains(all, key.Name) {
				all = append(all, key.Name)
			}
		}
	}
	return all
}

// keyBounds writes the conditions of a range of keys, behind the last key delivered.
func (s *statement) keyBounds(key []KeyColumn, sp *span) []string {
	behind, upTo := ">", "<="
	if key[0].Descending {
		behind, upTo = "<", ">="
	}
	var where []string
	if from := sp.start(); from != nil {
		where = append(where, s.compare(key, behind, from))
	}
	if sp.To != nil {
		where = append(where, s.compare(key, upTo, sp.To))
	}
	return where
}

// start returns the key behind which reading begins, nil for the first row.
func (sp *span) start() []string {
	if sp.Last != nil {
		return sp.Last
	}
	return sp.From
}

// compare writes a comparison of the key as a whole. The operator is named with its schema: the search path
// is pg_catalog alone, where another operator of that name may fit a type of an extension badly (citext as
// text).
func (s *statement) compare(key []KeyColumn, operator string, values []string) string {
	left, right := make([]string, len(key)), make([]string, len(key))
	for i, column := range key {
		left[i] = quote(column.Name)
		right[i] = s.arg(values[i]) + "::" + column.Type
	}
	operator = " OPERATOR(" + quote(key[0].Schema) + "." + operator + ") "
	if len(key) == 1 {
		return left[0] + operator + right[0]
	}
	return "ROW(" + strings.Join(left, ", ") + ")" + operator + "ROW(" + strings.Join(right, ", ") + ")"
}

// pageBounds writes the conditions of a range of blocks.
func pageBounds(sp *span) []string {
	var where []string
	if sp.From != nil {
		where = append(where, fmt.Sprintf("ctid >= '(%s,0)'::tid", sp.From[0]))
	}
	if sp.To != nil {
		where = append(where, fmt.Sprintf("ctid < '(%s,0)'::tid", sp.To[0]))
	}
	return where
}

// orderBy writes the key's columns as ORDER BY has them. All run the index's way, so no sort is needed.
func orderBy(key []KeyColumn) string {
	terms := make([]string, len(key))
	for i, column := range key {
		terms[i] = quote(column.Name)
		if column.Descending {
			terms[i] += " DESC"
		}
	}
	return strings.Join(terms, ", ")
}

// selectBoundaries is the statement that chooses count-1 keys which split a source into about equal ranges,
// from a sample of its blocks. Row n of the c sampled ones is in part n*count/c, and a boundary is where
// the part changes. REPEATABLE has the same snapshot split the same way.
func selectBoundaries(s Source, count int) string {
	names := make([]string, len(s.ReadKey))
	inner := make([]string, len(s.ReadKey))
	for i, column := range s.ReadKey {
		names[i] = fmt.Sprintf("k%d", i)
		inner[i] = quote(column.Name) + " AS " + names[i]
	}
	percent := min(100, max(0.01, 100*sampleRows/max(1, s.estimate())))
	return fmt.Sprintf(`SELECT %s FROM (
	SELECT %s, row_number() OVER (ORDER BY %s) AS n, count(*) OVER () AS c
	FROM ONLY %s TABLESAMPLE SYSTEM (%g) REPEATABLE (1)) AS sample
	WHERE n < c AND n * %[6]d / c <> (n - 1) * %[6]d / c ORDER BY n`,
		strings.Join(names, ", "), strings.Join(inner, ", "), orderBy(s.ReadKey), s.sql(), percent, count)
}

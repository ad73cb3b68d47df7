package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tributary-cdc/tributary/schema"
)

// relationFacts is a row of pg_class. Parent is the partitioned table that it is a part of, 0 for none:
// inheritance of the old kind makes tables of their own.
type relationFacts struct {
	OID         uint32  `json:"oid"`
	Namespace   string  `json:"namespace"`
	Name        string  `json:"name"`
	Kind        string  `json:"kind"`
	Persistence string  `json:"persistence"`
	Parent      uint32  `json:"parent"`
	Identity    string  `json:"identity"`
	RelTuples   float64 `json:"reltuples"`
	RelPages    int64   `json:"relpages"`
}

// relationsQuery lists everything that a pattern could mean. Materialized views and foreign tables are
// among them to be refused by name, and other sessions' temporary tables.
const relationsQuery = `
	SELECT c.oid::bigint, n.nspname AS namespace, c.relname AS name, c.relkind::text AS kind,
		c.relpersistence::text AS persistence, c.relreplident::text AS identity,
		c.reltuples, c.relpages,
		coalesce((SELECT i.inhparent::bigint FROM pg_catalog.pg_inherits i
			WHERE c.relispartition AND i.inhrelid = c.oid), 0) AS parent
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
		AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_toast%'
	ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`

// reasonUnlogged is what SQL can mend.
const reasonUnlogged = "an unlogged table: its changes are not in the write-ahead log " +
	"(ALTER TABLE ... SET LOGGED)"

// refused says why a relation of a kind has no changes to capture, "" when it has.
func (f *relationFacts) refused() string {
	switch {
	case f.Kind == "v":
		return "a view: capture the tables that it reads"
	case f.Kind == "m":
		return "a materialized view: its contents are not in the write-ahead log's logical stream"
	case f.Kind == "f":
		return "a foreign table: capture it on its own server"
	case f.Persistence == "t":
		return "a temporary table: its changes are not in the write-ahead log"
	case f.Persistence == "u":
		return reasonUnlogged
	}
	return ""
}

// tables is one resolution of patterns: everything there is, and what was chosen of it so far. Problems are
// gathered, so that a person sees all of them at once.
type tables struct {
	catalog   *Catalog
	all       []relationFacts
	byOID     map[uint32]*relationFacts
	children  map[uint32][]*relationFacts
	published map[tableName]published
	chosen    map[uint32]int // the rank of what chose it
	skipped   map[uint32]string
	keep      func(schema, table string) bool
	problems  []error
}

// tableName is a table's schema and name.
type tableName struct{ schema, table string }

// Tables finds the tables that s selects. An error names every pattern that matches nothing and every
// relation that a pattern without wildcards names and that has no changes.
//
// A partitioned table stands for its leaves, each a table of its own, or under ViaRoot for itself.
func (c *Catalog) Tables(ctx context.Context, s Select) (Selection, error) {
	patterns, problems := parsePatterns(s.Patterns)
	if len(problems) > 0 {
		return Selection{}, errors.Join(problems...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.loadTables(ctx)
	if err != nil {
		return Selection{}, fmt.Errorf("list tables: %w", err)
	}
	t.keep = s.Keep
	for rank, p := range patterns {
		t.choosePattern(rank, p)
	}
	for rank, match := range s.Match {
		t.chooseMatch(rank, match)
	}
	if len(s.Match)+len(s.Patterns) > 0 && len(t.chosen) == 0 && len(t.problems) == 0 {
		t.problems = append(t.problems, errors.New("the table filters match no table that has changes"))
	}
	if len(t.problems) > 0 {
		return Selection{}, selectionError{fmt.Errorf("select tables: %w", errors.Join(t.problems...))}
	}
	return t.selection(ctx)
}

// parsePatterns reads all patterns, and tells of all that are wrong.
func parsePatterns(texts []string) (patterns []*pattern, problems []error) {
	for _, text := range texts {
		p, err := parsePattern(text)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		patterns = append(patterns, p)
	}
	return patterns, problems
}

// loadTables lists all relations at once: patterns are matched here, not by the server, whose LIKE knows no
// sets.
func (c *Catalog) loadTables(ctx context.Context) (*tables, error) {
	all, err := query[relationFacts](ctx, c, relationsQuery)
	if err != nil {
		return nil, err
	}
	t := &tables{
		catalog: c, all: all, byOID: map[uint32]*relationFacts{},
		children: map[uint32][]*relationFacts{}, chosen: map[uint32]int{}, skipped: map[uint32]string{},
	}
	for i := range all {
		f := &all[i]
		t.byOID[f.OID] = f
		if f.Parent != 0 {
			t.children[f.Parent] = append(t.children[f.Parent], f)
		}
	}
	if err := c.loadPublications(ctx); err != nil {
		return nil, err
	}
	t.published = c.published
	return t, nil
}

// choosePattern chooses what p matches. What it names exactly must be there and have changes.
func (t *tables) choosePattern(rank int, p *pattern) {
	found, reasons := false, []string(nil)
	for i := range t.all {
		f := &t.all[i]
		if !p.match(f.Namespace, f.Name) {
			continue
		}
		if t.keep != nil && !t.keep(f.Namespace, f.Name) {
			found = true // left out by wish is no typing error
			continue
		}
		reason := t.choose(rank, f)
		found = found || reason == ""
		if reason != "" {
			reasons = append(reasons, fmt.Sprintf("%s.%s is %s", f.Namespace, f.Name, reason))
		}
	}
	switch {
	case found:
	case len(reasons) == 0:
		t.problems = append(t.problems, fmt.Errorf("pattern %s matches no table", p.text))
	case p.exact:
		t.problems = append(t.problems, errors.New(reasons[0]))
	default:
		t.problems = append(t.problems, fmt.Errorf("pattern %s matches no table that has changes: %s",
			p.text, reasons[0]))
	}
}

// chooseMatch chooses what a predicate holds for.
func (t *tables) chooseMatch(rank int, match func(schema, table string) bool) {
	for i := range t.all {
		f := &t.all[i]
		// Debezium does not report views and the like: its expressions are meant for tables.
		if match(f.Namespace, f.Name) && (t.keep == nil || t.keep(f.Namespace, f.Name)) {
			t.choose(rank, f)
		}
	}
}

// choose takes a relation, or the leaves that it stands for, and returns why not when it cannot.
func (t *tables) choose(rank int, f *relationFacts) (reason string) {
	if reason := f.refused(); reason != "" {
		t.skipped[f.OID] = reason
		return reason
	}
	_, published := t.published[tableName{f.Namespace, f.Name}]
	if t.catalog.options.ViaRoot && f.Parent != 0 && !published {
		root := t.root(f)
		reason := fmt.Sprintf("a partition of %s.%s, under whose name the publication publishes it",
			root.Namespace, root.Name)
		t.skipped[f.OID] = reason
		return reason
	}
	if f.Kind == "p" && !t.catalog.options.ViaRoot {
		chosen := 0
		for _, leaf := range t.leaves(f) {
			if t.keep != nil && !t.keep(leaf.Namespace, leaf.Name) {
				continue
			}
			if t.choose(rank, leaf) == "" {
				chosen++
			}
		}
		if !t.catalog.options.Debezium {
			if chosen == 0 {
				t.skipped[f.OID] = "a partitioned table without a partition that has changes"
			}
			return t.skipped[f.OID]
		}
		// Debezium captures the partitioned table as well, and so reads its rows twice.
	}
	if _, again := t.chosen[f.OID]; !again {
		t.chosen[f.OID] = rank
	}
	return ""
}

// root returns the topmost table that f is a part of.
func (t *tables) root(f *relationFacts) *relationFacts {
	for f.Parent != 0 && t.byOID[f.Parent] != nil {
		f = t.byOID[f.Parent]
	}
	return f
}

// leaves returns the partitions below f that are not partitioned themselves, by name.
func (t *tables) leaves(f *relationFacts) []*relationFacts {
	var leaves []*relationFacts
	for _, child := range t.children[f.OID] {
		if child.Kind == "p" {
			leaves = append(leaves, t.leaves(child)...)
		} else {
			leaves = append(leaves, child)
		}
	}
	slices.SortFunc(leaves, byName)
	return leaves
}

// byName orders as Debezium orders tables: by the bytes of schema and name, not by a locale.
func byName(a, b *relationFacts) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// selection looks up what is known of the chosen tables. Debezium reads tables in the order of the
// expressions in its include list, and by name within one.
func (t *tables) selection(ctx context.Context) (Selection, error) {
	var order []*relationFacts
	for oid := range t.chosen {
		order = append(order, t.byOID[oid])
	}
	slices.SortFunc(order, byName)
	if t.catalog.options.Debezium {
		slices.SortStableFunc(order, func(a, b *relationFacts) int {
			return cmp.Compare(t.chosen[a.OID], t.chosen[b.OID])
		})
	}
	details, err := t.catalog.loadDetails(ctx, t.withLeaves(order))
	if err != nil {
		return Selection{}, fmt.Errorf("look up tables: %w", err)
	}
	var s Selection
	for _, f := range order {
		s.Tables = append(s.Tables, t.table(f, details))
	}
	for oid, reason := range t.skipped {
		f := t.byOID[oid]
		one := Skipped{Name: f.Namespace + "." + f.Name, Reason: reason}
		if reason == reasonUnlogged {
			one.Fix = "ALTER TABLE " + quote(f.Namespace) + "." + quote(f.Name) + " SET LOGGED;"
		}
		s.Skipped = append(s.Skipped, one)
	}
	slices.SortFunc(s.Skipped, func(a, b Skipped) int { return cmp.Compare(a.Name, b.Name) })
	return s, nil
}

// withLeaves returns the OIDs of tables and of the leaves that they are read from.
func (t *tables) withLeaves(order []*relationFacts) []uint32 {
	var oids []uint32
	for _, f := range order {
		oids = append(oids, f.OID)
		if f.Kind == "p" {
			for _, leaf := range t.leaves(f) {
				oids = append(oids, leaf.OID)
			}
		}
	}
	return oids
}

// table puts a Table together.
func (t *tables) table(f *relationFacts, details map[uint32]*tableDetails) Table {
	facts, published := t.published[tableName{f.Namespace, f.Name}]
	d := details[f.OID]
	table := Table{
		Source:     t.source(f, d, facts.filter),
		Kind:       f.Kind[0],
		Identity:   schema.Identity(f.Identity[0]),
		Published:  published,
		Selectable: d.Selectable,
		RLS:        d.RLS,
	}
	table.Key = t.catalog.messageKey(f.Namespace, f.Name, d.Columns, d.Indexes)
	if f.Kind != "p" {
		return table
	}
	for _, leaf := range t.leaves(f) {
		if leaf.Kind == "r" {
			table.Leaves = append(table.Leaves, t.source(leaf, details[leaf.OID], facts.filter))
		}
	}
	return table
}

// source puts together what is needed to read a relation. filter is that of the table which the relation's
// rows are published under.
func (t *tables) source(f *relationFacts, d *tableDetails, filter string) Source {
	s := Source{OID: f.OID, Namespace: f.Namespace, Name: f.Name, Pages: d.Pages, Filter: filter}
	switch {
	case d.Pages == 0:
		s.RelTuples = 0
	case f.RelPages == 0:
		// Never analysed: Postgres 14 and later have -1 rows here, 13 has 0.
		s.RelTuples = -1
	default:
		// As the planner does: the density of the last analysis, and the size of today.
		s.RelTuples = f.RelTuples / float64(f.RelPages) * float64(d.Pages)
	}
	s.ReadKey = readKey(d.Indexes)
	return s
}

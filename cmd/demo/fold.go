package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// fold is what a reader who keeps the last record of each key knows of the tables.
type fold struct {
	rows    map[string]map[string]row // by table, then by key
	records int
	counts  map[string]int // records by table
}

func newFold() *fold {
	f := &fold{rows: map[string]map[string]row{}, counts: map[string]int{}}
	for _, t := range tables {
		f.rows[t.name] = map[string]row{}
	}
	return f
}

// add takes the next record in, and returns the row that was there before, nil if there was none.
func (f *fold) add(r received) row {
	f.records++
	f.counts[r.table]++
	before := f.rows[r.table][r.key]
	if r.after == nil {
		delete(f.rows[r.table], r.key)
	} else {
		f.rows[r.table][r.key] = r.after
	}
	return before
}

// changes lists the columns that differ between two rows, as "column: old -> new". Where there was no row
// before, or is none afterwards, it lists all columns of the other.
func changes(before, after row) []string {
	names := map[string]bool{}
	for name := range before {
		names[name] = true
	}
	for name := range after {
		names[name] = true
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch old, new := before[name], after[name]; {
		case before == nil:
			lines = append(lines, name+": "+new)
		case after == nil:
			lines = append(lines, name+": "+old)
		case old != new:
			lines = append(lines, name+": "+old+" -> "+new)
		}
	}
	return lines
}

// differences compares the fold of one table with its rows in the database, key by key.
func differences(name string, folded, rows map[string]row) []string {
	var found []string
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		switch r, ok := folded[key]; {
		case !ok:
			found = append(found, fmt.Sprintf("%s %s: in the table, not in the topic", name, key))
		case !maps.Equal(r, rows[key]):
			found = append(found, fmt.Sprintf("%s %s: %s (topic -> table)", name, key,
				strings.Join(changes(r, rows[key]), ", ")))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(folded)) {
		if _, ok := rows[key]; !ok {
			found = append(found, fmt.Sprintf("%s %s: in the topic, not in the table", name, key))
		}
	}
	return found
}

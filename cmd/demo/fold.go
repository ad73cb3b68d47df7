package main

import "github.com/tributary-cdc/tributary/deploy/local/pagila"

// row is a row's columns by name, each value as JSON text.
type row = pagila.Row

// fold is what a reader who keeps the last record of each key knows of the tables.
type fold struct {
	rows    map[string]map[string]row // by table, then by key
	records int
	counts  map[string]int // records by table
}

func newFold() *fold {
	f := &fold{rows: map[string]map[string]row{}, counts: map[string]int{}}
	for _, t := range pagila.Tables {
		f.rows[t.Name] = map[string]row{}
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

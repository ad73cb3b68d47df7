package pagila

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Changes lists the columns that differ between two rows, as "column: old -> new". Where there was no row
// before, or is none afterwards, it lists all columns of the other.
func Changes(before, after Row) []string {
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

// Differences compares a table as its records tell it with its rows in the database, key by key, and says
// what differs; what names the records' place, such as "topic".
func Differences(name, what string, folded, rows map[string]Row) []string {
	var found []string
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		switch r, ok := folded[key]; {
		case !ok:
			found = append(found, fmt.Sprintf("%s %s: in the table, not in the %s", name, key, what))
		case !maps.Equal(r, rows[key]):
			found = append(found, fmt.Sprintf("%s %s: %s (%s -> table)", name, key,
				strings.Join(Changes(r, rows[key]), ", "), what))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(folded)) {
		if _, ok := rows[key]; !ok {
			found = append(found, fmt.Sprintf("%s %s: in the %s, not in the table", name, key, what))
		}
	}
	return found
}

package main

import (
	"fmt"
	"strings"
)

// articleRows are the eleven rows that the article's query shows of addresses 100 to 105, in a lake that a
// poller filled: by address, what the last change of each row was.
var articleRows = map[string][]string{
	"100": {"", "address = 123 CDC Test Lane"},
	"101": {"", "address2 = Apartment #2201", "address2 = Apartment #2202"},
	"102": {"", "city_id = 601", "district = Lake Turkana"},
	"103": {""},
	"104": {""}, // deleted: nothing tells
	"105": {""},
}

// logRow is one record of the log, as the query of the eleven rows shows it.
type logRow struct {
	id, op, offset string
	columns        map[string]string // address, address2, district, city_id
}

// change says what differs from the record before.
func (r logRow) change(before logRow) string {
	switch {
	case r.op == "d":
		return "deleted"
	case before.id != r.id:
		return ""
	}
	var parts []string
	for _, name := range []string{"address", "address2", "district", "city_id"} {
		if r.columns[name] != before.columns[name] {
			parts = append(parts, name+" = "+r.columns[name])
		}
	}
	return strings.Join(parts, ", ")
}

// beside prints the article's rows next to the log's, and says whether the log has each of them, once, in
// the same order, and beside them the one delete.
func (l *lake) beside(rows []logRow) error {
	l.say("%-39s  %s", "the article's lake: 11 rows", fmt.Sprintf("this lake's log: %d records", len(rows)))
	seen := map[string]int{}
	var problems []string
	var before logRow
	for _, r := range rows {
		change, left := r.change(before), ""
		n := seen[r.id]
		switch states := articleRows[r.id]; {
		case r.op == "d" && r.id == "104":
			left = "     (still there, for ever)"
		case n < len(states):
			left = r.id + "  " + states[n]
			seen[r.id]++
		}
		if r.op != "d" && left != r.id+"  "+change {
			problems = append(problems, fmt.Sprintf("address %s, record %d: %q", r.id, n+1, change))
		}
		l.say("%-39s  %-3s  %s  %s", left, r.id, r.op, change)
		before = r
	}
	total := 0
	for id, states := range articleRows {
		total += len(states)
		if seen[id] != len(states) {
			problems = append(problems, fmt.Sprintf("address %s: %d states, want %d", id, seen[id], len(states)))
		}
	}
	if len(rows) != total+1 {
		problems = append(problems, fmt.Sprintf("%d records, want %d", len(rows), total+1))
	}
	if len(problems) > 0 {
		return fmt.Errorf("the log is not what the statements made: %s", strings.Join(problems, "; "))
	}
	return nil
}

// say prints one line.
func (l *lake) say(format string, args ...any) {
	fmt.Fprintln(l.out, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

package main

import (
	"fmt"
	"slices"
	"strings"
)

// verdict is what is wrong with one key's events, if anything.
type verdict struct {
	fault    string
	lost     int
	first    int // the first event of the journal's list that came by the stream
	repeated int
}

// streamed counts the events that came by the stream; truncations count for the table, not for its keys.
func (v verdict) streamed(want []event, key string) int {
	n := 0
	for _, e := range want[v.first:] {
		if e.op != 't' || key == "" {
			n++
		}
	}
	return n
}

// same says whether a record tells of an event of the journal.
func same(want, got event) bool {
	switch {
	case got.op == 'r':
		if want.op == 'd' || want.op == 't' {
			return false
		}
	case want.op != got.op, want.xid != got.xid:
		return false
	}
	return want.seq == got.seq && (got.hash == "" || want.hash == got.hash && want.num == got.num)
}

// present says whether a row is there after an event.
func present(e event) bool { return e.op != 'd' && e.op != 't' }

// exact expects what came to be the end of the journal's list, each event once. Where it begins depends on
// the snapshot: a row read by it is the row as it was at that place.
func exact(want, got []event) verdict {
	streamed := 0
	for _, e := range got {
		if e.op != 'r' {
			streamed++
		}
	}
	v := verdict{first: max(0, len(want)-streamed)}
	if streamed > len(want) {
		v.fault = fmt.Sprintf("%d events came, and there are %d", streamed, len(want))
		return v
	}
	at, read := len(want)-streamed, 0 // the next event of the journal
	for i, e := range got {
		if e.op == 'r' {
			if read++; at == 0 || !same(want[at-1], e) {
				v.fault = fmt.Sprintf("record %d is a row of the snapshot that was not so then", i+1)
				return v
			}
			continue
		}
		if !same(want[at], e) {
			v.fault = fmt.Sprintf("record %d is not the one that was to come", i+1)
			return v
		}
		at++
	}
	if first := v.first; first > 0 && present(want[first-1]) && read == 0 && !vanishes(want[first:]) {
		v.fault = "the row that the snapshot should have read has not come"
	}
	return v
}

// vanishes says whether a row is deleted at some time: a snapshot that a crash interrupted goes on at a
// later point of the stream, and does not read what is gone by then.
func vanishes(events []event) bool {
	return slices.ContainsFunc(events, func(e event) bool { return !present(e) })
}

// repeating allows to go back, any number of times, and to go on from there.
func repeating(want, got []event) verdict {
	v := verdict{}
	at, first, greatest := -1, len(want), -1
	for i, e := range got {
		switch next := at + 1; {
		case e.op != 'r' && at >= 0 && next < len(want) && same(want[next], e):
			at = next
		default:
			found := find(want, e, at, at < 0)
			if found < 0 && e.op == 't' {
				continue // a repeated truncation of the table, from before the key was first written
			}
			if found < 0 {
				v.fault = fmt.Sprintf("record %d is not the one that was to come, nor one before it", i+1)
				return v
			}
			if at >= 0 {
				v.repeated++
			}
			at = found
		}
		if e.op != 'r' {
			first = min(first, at)
		} else {
			first = min(first, at+1)
		}
		greatest = max(greatest, at)
	}
	if at != len(want)-1 && (len(got) > 0 || present(want[len(want)-1])) {
		v.fault = fmt.Sprintf("the last record is event %d of %d", at+1, len(want))
		return v
	}
	v.first = min(first, len(want))
	return v
}

// find looks for the event that a record tells of: at or before a place, or anywhere when it is the first.
func find(want []event, e event, at int, anywhere bool) int {
	if anywhere {
		at = len(want) - 1
	}
	for i := at; i >= 0; i-- {
		if same(want[i], e) {
			return i
		}
	}
	return -1
}

// classify counts, for a key that is not as it should be, what is missing, what is there more than once,
// and else what is at the wrong place.
func classify(want, got []event, v verdict) (lost, doubled, disordered int) {
	type name struct {
		op       byte
		seq, xid int64
	}
	nameOf := func(e event) name { return name{e.op, e.seq, e.xid} }
	left, first := map[name]int{}, len(want)
	for _, e := range got {
		left[nameOf(e)]++
	}
	for i, e := range want {
		if left[nameOf(e)] > 0 {
			first = min(first, i)
			left[nameOf(e)]--
		} else if i > first {
			lost++
		}
	}
	for n, times := range left {
		if n.op != 'r' {
			doubled += times
		}
	}
	lost = max(lost, v.lost)
	if lost+doubled == 0 {
		disordered = 1
	}
	return lost, doubled, disordered
}

// story writes events in short.
func story(events []event) string {
	var b strings.Builder
	for i, e := range events {
		if skipped := len(events) - 14; skipped > 0 && i < skipped {
			if i == 0 {
				fmt.Fprintf(&b, "(%d more) ", skipped)
			}
			continue
		}
		fmt.Fprintf(&b, "%c%d/%d ", e.op, e.seq, e.xid)
	}
	return b.String()
}

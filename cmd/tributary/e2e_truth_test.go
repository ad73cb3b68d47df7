package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// event is one thing that happened to a key: op is c, u, d or t. image is the row afterwards, old the one
// before, as the journal has them.
type event struct {
	seq        int
	op         string
	old, image map[string]any
}

// expectation is what the topics of one pipeline must hold.
type expectation struct {
	viaRoot bool
	skipT   bool // truncates are not published, and the tables that have them not captured
	repeats int  // how often at-least-once may have begun anew, 0 in exactly-once
	calm    bool // nothing was truncated or rewritten while the snapshot was taken
	loaded  []*loadTable
}

// topicTable is a table or partition that has a topic of its own.
type topicTable struct {
	*loadTable
	late   bool               // a snapshot read it at a second point
	events map[string][]event // by key; by id where there is none
	rows   map[string]map[string]any
}

// unavailable stands for a large value that an update did not touch.
const unavailable = "__debezium_unavailable_value"

// truth reads journal and tables: what must be in each topic, by the topic's name without its prefix.
func (e expectation) truth(t testing.TB, s *sourceConn) map[string]*topicTable {
	t.Helper()
	all, byName := map[string]*topicTable{}, map[string]*topicTable{}
	for _, table := range e.loaded {
		if table.truncated && e.skipT {
			continue
		}
		names := []string{table.name}
		if len(table.leaves) > 0 && !e.viaRoot {
			names = table.leaves
		}
		for _, name := range names {
			one := &topicTable{table, false, map[string][]event{}, map[string]map[string]any{}}
			byName[table.namespace+"."+name], all[topicPart(table.namespace)+"."+topicPart(name)] = one, one
			query := fmt.Sprintf("SELECT to_jsonb(r) FROM %s.%s r", quotedName(table.namespace), quotedName(name))
			for _, row := range s.rows(query) {
				image := parseImage(t, row[0])
				one.rows[keyOf(table, image)] = image
			}
		}
		for _, leaf := range table.leaves {
			if e.viaRoot {
				byName[table.namespace+"."+leaf] = byName[table.namespace+"."+table.name]
			}
		}
	}
	for i, row := range s.rows("SELECT name, op, coalesce(old, 'null'), coalesce(new, 'null') " +
		"FROM audit.journal " +
		"ORDER BY seq") {
		if one := byName[row[0]]; one != nil {
			one.note(i+1, row[1], parseImage(t, row[2]), parseImage(t, row[3]))
		}
	}
	return all
}

// note adds a journal's entry to the events of its keys.
func (one *topicTable) note(seq int, op string, before, after map[string]any) {
	add := func(op string, at map[string]any) {
		key := keyOf(one.loadTable, at)
		one.events[key] = append(one.events[key], event{seq, op, before, after})
	}
	switch {
	case op == "TRUNCATE":
		one.events[""] = append(one.events[""], event{seq: seq, op: "t"})
	case op == "INSERT":
		add("c", after)
	case op == "DELETE":
		add("d", before)
	case one.key == nil || keyOf(one.loadTable, before) == keyOf(one.loadTable, after):
		add("u", after)
	default:
		add("d", before)
		add("c", after)
	}
}

// topicPart makes a name fit for a topic, as Debezium does.
func topicPart(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && topicName.MatchString(string(r)) {
			return r
		}
		return '_'
	}, name)
}

// fieldName makes a column's name fit for Avro.
func fieldName(column string) string {
	var b strings.Builder
	for i, u := range utf16.Encode([]rune(column)) {
		if i == 0 && u >= '0' && u <= '9' {
			b.WriteByte('_')
		}
		if word := strings.ContainsRune("_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
			rune(u)); word {
			b.WriteByte(byte(u))
		} else {
			b.WriteByte('_')
		}
	}
	return b.String()
}

// parseImage reads a row's JSON, with numbers as they are written. Generated columns are not in it.
func parseImage(t testing.TB, text string) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	var image map[string]any
	if err := decoder.Decode(&image); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(image, func(column string, _ any) bool { return strings.HasPrefix(column, "gen_") })
	return image
}

// keyOf is the canonical key of a row; a table without one is told apart by id.
func keyOf(table *loadTable, image map[string]any) string {
	columns := table.key
	if columns == nil {
		columns = []string{"id"}
	}
	key := map[string]any{}
	for _, column := range columns {
		key[fieldName(column)] = image[column]
	}
	return canonical(key)
}

// check compares all records with the truth.
func (e expectation) check(t testing.TB, s *sourceConn, records []topicRecord) {
	t.Helper()
	truth, seen := e.truth(t, s), map[string][]topicRecord{}
	for _, r := range records {
		seen[r.topic] = append(seen[r.topic], r)
	}
	for topic := range seen {
		if truth[topic] == nil {
			t.Errorf("topic %s belongs to no table: it has %d records", topic, len(seen[topic]))
		}
	}
	var first int64 // that all rows of the first snapshot have as their LSN
	for _, r := range records {
		if r.op == "r" && (first == 0 || r.lsn < first) {
			first = r.lsn
		}
	}
	for _, r := range records {
		if one := truth[r.topic]; one != nil && r.op == "r" && r.lsn != first {
			one.late = true
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(truth)) {
		if one := truth[topic]; one.late && e.calm {
			t.Errorf("%s: a second snapshot, although nothing disturbed the first", topic)
		}
		e.checkTopic(t, topic, truth[topic], seen[topic])
	}
}

// checkTopic compares the records of a topic, key by key.
func (e expectation) checkTopic(t testing.TB, topic string, one *topicTable, records []topicRecord) {
	t.Helper()
	byKey, partition, keyless := map[string][]topicRecord{}, map[string]int32{}, 0
	for _, r := range records {
		key := r.key
		switch {
		case one.key == nil && one.late && r.op == "r":
			continue // there is no key to say where it stands among the others
		case one.key == nil && r.op == "-":
			keyless-- // a null value behind each delete, with a null key
			continue
		case r.op == "t":
			if r.key != "" {
				t.Errorf("%s: a truncate with key %s", topic, r.key)
			}
		case one.key == nil && r.key != "":
			t.Errorf("%s: key %s of a table that has none", topic, r.key)
		case one.key == nil:
			image := r.after
			if image == nil {
				image = r.before
				keyless++
			}
			key = canonical(map[string]any{"id": image["id"]})
		case r.key == "":
			t.Errorf("%s: a record %s without a key", topic, r.op)
		}
		if at, known := partition[key]; one.key != nil && known && at != r.partition {
			t.Errorf("%s: key %s is in partitions %d and %d", topic, key, at, r.partition)
		}
		partition[key] = r.partition
		byKey[key] = append(byKey[key], r)
	}
	if keyless != 0 {
		t.Errorf("%s: %d tombstones are missing", topic, keyless)
	}
	e.inLogOrder(one, byKey)

	for key := range one.events {
		if byKey[key] == nil {
			byKey[key] = nil // its events may all be before the snapshot, and end in a delete
		}
	}
	for key := range one.rows {
		if byKey[key] == nil {
			t.Errorf("%s: key %s is in the table, not in the topic", topic, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		truncates := one.events[""]
		if key == "" {
			continue // they are among the events of each key
		}
		events := slices.Concat(one.events[key], truncates)
		slices.SortFunc(events, func(a, b event) int { return a.seq - b.seq })
		list := slices.Concat(byKey[key], byKey[""])
		if len(truncates) > 0 {
			slices.SortFunc(list, func(a, b topicRecord) int { return int(a.offset - b.offset) })
		}
		if err := e.checkKey(one, events, list, one.rows[key]); err != nil {
			t.Errorf("%s: key %s: %v\nevents %s\nrecords %s", topic, key, err, eventOps(events), recordOps(list))
		}
	}
}

// inLogOrder orders the records of rows without a key, which are in any partition: the log's order is left.
// What a restart repeats comes to stand beside what it repeats, and goes.
func (e expectation) inLogOrder(one *topicTable, byKey map[string][]topicRecord) {
	if one.key != nil {
		return
	}
	for id, list := range byKey {
		slices.SortStableFunc(list, func(a, b topicRecord) int { return int(a.lsn - b.lsn) })
		if e.repeats > 0 {
			byKey[id] = slices.CompactFunc(list, func(a, b topicRecord) bool {
				return a.op == b.op && a.lsn == b.lsn
			})
		}
	}
}

// checkKey compares what happened to one key with its records: those of the stream must be the last of what
// happened, all of them, in that order; what a snapshot read must be the row at its place among them. It
// must have read the row that was there before, unless it read the table late: at a second point, after the
// first was lost.
func (e expectation) checkKey(one *topicTable, events []event, list []topicRecord, row map[string]any) error {
	list, err := e.withoutRepeats(one, list)
	if err != nil {
		return err
	}
	streamed := 0
	for _, r := range list {
		if r.op != "r" {
			streamed++
		}
	}
	if streamed > len(events) {
		return fmt.Errorf("%d records of %d events", streamed, len(events))
	}
	at := len(events) - streamed
	if state := stateBefore(events, at); state != nil && !one.late && (len(list) == 0 || list[0].op != "r") {
		return fmt.Errorf("it was there before the stream, and no snapshot read it")
	}
	var folded map[string]any // what a reader of the topic knows
	for i, r := range list {
		if r.op == "r" {
			// The server reads old rows under the table's newest columns.
			err = sameRow(narrowed(one, stateBefore(events, at), r.after), nil, r.after)
		} else {
			err = events[at].matches(one, r)
			at++
		}
		if err != nil {
			return fmt.Errorf("record %d at offset %d: %w", i, r.offset, err)
		}
		folded = carry(folded, r.after)
	}
	switch {
	case one.late && one.key == nil:
		return nil // its late rows have no place among the others
	case (row == nil) != (folded == nil):
		return fmt.Errorf("in the table %v, in the fold %v", row != nil, folded != nil)
	case row == nil:
		return nil
	}
	return sameRow(row, row, folded)
}

// narrowed is a row of a table whose columns DDL may have changed under a snapshot, with those that were
// read.
func narrowed(one *topicTable, state, read map[string]any) map[string]any {
	same := len(state) == len(read)
	for column := range state {
		_, found := read[fieldName(column)]
		same = same && found
	}
	if !strings.HasPrefix(one.name, "ddl_") || state == nil || same {
		return state
	}
	row := maps.Clone(read)
	row["id"] = state["id"]
	return row
}

// stateBefore is the row as it was before an event, nil for none.
func stateBefore(events []event, at int) map[string]any {
	if at == 0 || events[at-1].op == "d" || events[at-1].op == "t" {
		return nil
	}
	return events[at-1].image
}

// matches compares a record with an event.
func (want event) matches(one *topicTable, r topicRecord) error {
	if r.op != want.op {
		return fmt.Errorf("it is %s, want %s", r.op, want.op)
	}
	if want.op == "d" || want.op == "t" {
		if r.after != nil {
			return fmt.Errorf("%s with a row after", r.op)
		}
		if want.op == "d" && one.full {
			return sameRow(want.old, nil, r.before)
		}
		return nil
	}
	return sameRow(want.image, want.old, r.after)
}

// carry is a row with what the record before had where the new one says that it did not change.
func carry(before, after map[string]any) map[string]any {
	row := maps.Clone(after)
	for column, value := range after {
		if old, found := before[column]; found && value == unavailable {
			row[column] = old
		}
	}
	return row
}

// withoutRepeats folds tombstones into their deletes, and in at-least-once removes what a restart repeated:
// always a suffix of what was there.
func (e expectation) withoutRepeats(one *topicTable, list []topicRecord) ([]topicRecord, error) {
	var kept []topicRecord
	place, last, buried, repeats := map[string]int{}, -1, map[int]bool{}, 0
	for i, r := range list {
		if r.op == "-" {
			if i == 0 || list[i-1].op != "d" {
				return nil, fmt.Errorf("a tombstone that follows no delete")
			}
			buried[last] = true
			continue
		}
		id := fmt.Sprint(r.op, r.lsn)
		at, known := place[id]
		switch {
		case !known:
			place[id], at = len(kept), len(kept)
			kept = append(kept, r)
		case e.repeats == 0:
			return nil, fmt.Errorf("record %s at %x is doubled", r.op, r.lsn)
		}
		if at != last+1 {
			repeats++
		}
		if at > last+1 || repeats > e.repeats {
			return nil, fmt.Errorf("after record %d comes %d, at repeat %d of %d", last, at, repeats, e.repeats)
		}
		last = at
	}
	for i, r := range kept {
		if r.op == "d" && one.key != nil && !buried[i] {
			return nil, fmt.Errorf("delete %d has no tombstone", i)
		}
	}
	return kept, nil
}

// sameRow compares a row of the journal with one of a record: the same columns, the same values. old is the
// row before, whose large values need not come again.
func sameRow(want, old, got map[string]any) error {
	if len(want) != len(got) {
		return fmt.Errorf("columns %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	for column, value := range want {
		found, there := got[fieldName(column)]
		if !there {
			return fmt.Errorf("column %s is missing", column)
		}
		text, isText := value.(string)
		if found == unavailable && isText && len(text) > 2000 && reflect.DeepEqual(old[column], value) {
			continue
		}
		if !sameValue(value, found) {
			return fmt.Errorf("column %s: got %T %.60q, want %.60q", column, found, fmt.Sprint(found),
				fmt.Sprint(value))
		}
	}
	return nil
}

// sameValue compares a value of to_jsonb with a decoded one.
func sameValue(want, got any) bool {
	text, isText := want.(string)
	if reflect.DeepEqual(want, got) {
		return true
	}
	switch x := got.(type) {
	case nil, bool:
		return want == got
	case int32:
		if day, err := time.Parse(time.DateOnly, text); isText && err == nil {
			return day.Unix()/86400 == int64(x)
		}
		return fmt.Sprint(want) == fmt.Sprint(x)
	case int64:
		if at, err := time.Parse("2006-01-02T15:04:05.999999", text); isText && err == nil {
			return at.UnixMicro() == x
		}
		return fmt.Sprint(want) == fmt.Sprint(x)
	case float32:
		return fmt.Sprint(want) == fmt.Sprint(x)
	case float64:
		rat, ok := new(big.Rat).SetString(fmt.Sprint(want))
		if !ok { // NaN and infinities
			return strings.TrimPrefix(fmt.Sprint(x), "+") == strings.TrimSuffix(text, "inity")
		}
		exact, _ := rat.Float64()
		return exact == x
	case *big.Rat:
		rat, ok := new(big.Rat).SetString(fmt.Sprint(want))
		return ok && rat.Cmp(x) == 0
	case []byte:
		return isText && text == `\x`+hex.EncodeToString(x)
	case []any:
		list, ok := want.([]any)
		return ok && slices.EqualFunc(list, x, sameValue)
	case string:
		return sameText(want, text, isText, x)
	}
	return false
}

// sameText compares text, an instant, or JSON.
func sameText(want any, text string, isText bool, got string) bool {
	if !isText {
		decoder, value := json.NewDecoder(strings.NewReader(got)), any(nil)
		decoder.UseNumber()
		return decoder.Decode(&value) == nil && reflect.DeepEqual(want, value)
	}
	a, errA := time.Parse(time.RFC3339Nano, text)
	b, errB := time.Parse(time.RFC3339Nano, got)
	return text == got || errA == nil && errB == nil && a.Equal(b)
}

func eventOps(events []event) string {
	var parts []string
	for _, e := range events {
		parts = append(parts, fmt.Sprintf("%s#%d", e.op, e.seq))
	}
	return strings.Join(parts, " ")
}

func recordOps(records []topicRecord) string {
	var parts []string
	for _, r := range records {
		parts = append(parts, fmt.Sprintf("%s@%d(%x)", r.op, r.offset, r.lsn))
	}
	return strings.Join(parts, " ")
}

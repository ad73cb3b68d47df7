package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/schema"
)

// relation is a table of a key, a text that may be TOASTed, and a number.
func relation(key ...int) *schema.Relation {
	base := func(oid uint32, name string) *schema.Type {
		return &schema.Type{OID: oid, Namespace: "pg_catalog", Name: name, Kind: schema.KindBase}
	}
	return &schema.Relation{
		OID: 1, Namespace: "public", Name: "t", Identity: schema.IdentityDefault, Key: key,
		Columns: []schema.Column{
			{Name: "id", Type: base(20, "int8"), TypMod: -1, InIdentity: true, NotNull: true},
			{Name: "a", Type: base(25, "text"), TypMod: -1},
			{Name: "n", Type: base(1700, "numeric"), TypMod: -1},
		},
	}
}

// unsent stands for a value that was not sent.
const unsent = "<unsent>"

// values makes a row of texts; a missing one is null.
func values(width int, texts ...string) schema.Row {
	row := make(schema.Row, width)
	for i, text := range texts {
		row[i] = schema.Datum{Kind: schema.Text, Text: []byte(text)}
		if text == unsent {
			row[i] = schema.Datum{Kind: schema.Unchanged}
		}
	}
	return row
}

// change is one record of a test's log. A tombstone has op 0.
type change struct {
	op        schema.Op
	row       string // values with blanks between; of a delete the key
	lsn, txID int64
	time      int64 // 0 is the cut's
	partition int32
}

// cutTime is when the tests' cut is taken.
const cutTime = 1_000_000_000_000_000

// bench is a codec of a relation, and what reads its records back.
type bench struct {
	t        *testing.T
	relation *schema.Relation
	codec    *schema.Codec
	reader   *Reader
	spill    *Spill
	json     bool
	added    map[string]Added
	samples  int
}

func newBench(t *testing.T, r *schema.Relation, format schema.Format) *bench {
	t.Helper()
	b := &bench{t: t, relation: r, json: format != schema.Avro, reader: NewReader(nil)}
	var err error
	b.codec, err = schema.Compile(r, "p.public.t", schema.Options{
		Name: "p", KeyFormat: format,
		ValueFormat: format,
	})
	if err != nil {
		t.Fatal(err)
	}
	if b.spill, err = NewSpill(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.spill.Close() })
	return b
}

// key returns a key as it stands in a record.
func (b *bench) key(row schema.Row) []byte {
	if !b.codec.HasKey() {
		return nil
	}
	key, err := b.codec.AppendKey(b.prefix(b.codec.KeySchema(), 1), row)
	if err != nil {
		b.t.Fatal(err)
	}
	return key
}

// prefix is what stands before a datum in Avro. The schema goes to the reader, as a registry would have it.
func (b *bench) prefix(text string, id byte) []byte {
	if b.json {
		return nil
	}
	if b.reader.forms[uint32(id)] == nil {
		f, err := b.reader.newForm(text)
		if err != nil {
			b.t.Fatal(err)
		}
		b.reader.forms[uint32(id)] = f
	}
	return []byte{0, 0, 0, 0, id}
}

// record returns a change's key and value.
func (b *bench) record(c change) (key, value []byte) {
	row := values(len(b.relation.Columns), strings.Fields(c.row)...)
	if c.op != schema.OpTruncate {
		key = b.key(row)
	}
	if c.op == 0 {
		return key, nil
	}
	e := schema.Envelope{Op: c.op, After: row, Source: schema.Source{
		LSN:        uint64(c.lsn),
		LastCommit: uint64(c.lsn) - 1,
		TxID:       c.txID, HasTxID: true, Time: cutTime,
	}}
	if c.time != 0 {
		e.Source.Time = c.time
	}
	switch c.op {
	case schema.OpDelete:
		e.After, e.Before = nil, row
	case schema.OpTruncate:
		e.After = nil
	case schema.OpRead:
		e.Source.Snapshot = schema.MarkerTrue
	}
	value, err := b.codec.AppendValue(b.prefix(b.codec.ValueSchema(), 2), &e)
	if err != nil {
		b.t.Fatal(err)
	}
	return key, value
}

// fold compares rows with changes, at a cut where 100 and 105 run and everything below 110 is finished.
func (b *bench) fold(rows []string, changes []change) Table {
	b.t.Helper()
	cut, err := ParseCut("100:110:105,100", cutTime)
	if err != nil {
		b.t.Fatal(err)
	}
	f, err := NewFold(FoldOptions{
		Table: "public.t", Topic: "p.public.t", Codec: b.codec,
		Rows:    float64(len(rows)),
		Columns: len(b.relation.Columns), Cut: cut, Reader: b.reader, Spill: b.spill,
		Samples: max(3, b.samples), Added: b.added,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, row := range rows {
		if err := f.Row(values(len(b.relation.Columns), strings.Fields(row)...)); err != nil {
			b.t.Fatal(err)
		}
	}
	for _, c := range changes {
		key, value := b.record(c)
		if err := f.Record(b.t.Context(), c.partition, key, value); err != nil {
			b.t.Fatal(err)
		}
	}
	result, err := f.Result(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// goodRows and goodLog agree: a snapshot, changes of all kinds, a key change, an unsent value, and what the
// cut does not see.
var (
	goodRows = []string{"1 one 1.5", "2 long 9", "4 four 4", "9 new 3"}
	goodLog  = []change{
		{op: 'r', row: "1 one 1", txID: 90},
		{op: 'r', row: "2 long 2", txID: 90},
		{
			op: 'r', row: "3 three 3",
			txID: 90,
		},
		{op: 'u', row: "1 one 1.5", lsn: 10, txID: 91},
		{op: 'u', row: "2 <unsent> 9", lsn: 20, txID: 92},
		{op: 'd', row: "3", lsn: 30, txID: 93},
		{row: "3"},
		{op: 'c', row: "4 four 4", lsn: 40, txID: 94},
		{op: 'u', row: "4 other 4", lsn: 50, txID: 105}, // still runs at the cut
		{op: 'c', row: "8 new 3", lsn: 60, txID: 95},
		{op: 'd', row: "8", lsn: 70, txID: 96},
		{row: "8"},
		{op: 'c', row: "9 new 3", lsn: 70, txID: 96},
		{op: 'd', row: "1", lsn: 80, txID: 111},
		{row: "1"},                                      // begins behind the cut
		{op: 'c', row: "7 seven 7", lsn: 90, txID: 100}, // still runs
	}
)

// without returns the log without the record of index i, with returns it with more behind that.
func without(i int) []change { return slices.Delete(slices.Clone(goodLog), i, i+1) }

func with(i int, more ...change) []change { return slices.Insert(slices.Clone(goodLog), i+1, more...) }

// folds are logs with one thing wrong each, or with something that only looks so.
var folds = []struct {
	name string
	rows []string
	log  []change
	want string // missing extra differing doubled backward, and what the samples hold
}{
	{"clean", goodRows, goodLog, "0 0 0 0 0"},
	{"a row missing", append(slices.Clone(goodRows), "5 five 5"), goodLog, `1 0 0 0 0 {"id":5}`},
	{"an insert missing", goodRows, without(7), `1 0 0 0 0 {"id":4}`},
	{"an update missing", goodRows, without(3), `0 0 1 0 0 {"id":1} [n]`},
	{"a value differs", append([]string{"1 two 1.5"}, goodRows[1:]...), goodLog, `0 0 1 0 0 {"id":1} [a]`},
	{"a delete missing, its tombstone there", goodRows, without(5), "0 0 0 0 0"}, // as compaction leaves it
	{
		"a delete and its tombstone missing", goodRows, slices.Delete(slices.Clone(goodLog), 5, 7),
		`0 1 0 0 0 {"id":3}`,
	},
	{"a tombstone missing", goodRows, without(6), "0 0 0 0 0"}, // the delete says it; the log's audit finds it
	{"a key change's insert missing", goodRows, without(12), `1 0 0 0 0 {"id":9}`},
	{
		"a key change's delete missing", goodRows, slices.Delete(slices.Clone(goodLog), 10, 12),
		`0 1 0 0 0 {"id":8}`,
	},
	{
		"a stray record", goodRows, with(7, change{op: 'c', row: "6 stray 6", lsn: 45, txID: 94}),
		`0 1 0 0 0 {"id":6}`,
	},
	{"an update doubled", goodRows, with(3, goodLog[3]), "0 0 0 1 0"},
	{"two updates out of order", goodRows, slices.Insert(without(3), 3, change{
		op: 'u', row: "1 one 1.5",
		lsn:  10,
		txID: 91,
	}, change{op: 'u', row: "1 zero 0", lsn: 9, txID: 91}), `0 0 1 0 1 {"id":1} [a n]`},
	{"a row read twice", goodRows, with(0, goodLog[0]), "0 0 0 0 0"},
	{"an old epoch's transaction", goodRows, slices.Concat([]change{{
		op: 'c', row: "6 old 6", lsn: 1,
		txID: 4_000_000_000,
		time: 1,
	}}, goodLog), `0 1 0 0 0 {"id":6}`},
	{"a truncate", []string{"6 late 6"}, with(14, change{op: 't', lsn: 85, txID: 97},
		change{op: 'c', row: "6 late 6", lsn: 95, txID: 98, partition: 1}), "0 0 0 0 0"},
	{"a truncate behind the cut", goodRows, with(14, change{op: 't', lsn: 85, txID: 111}), "0 0 0 0 0"},
	{"a snapshot behind the truncate", []string{"1 one 1"}, []change{
		{op: 'r', row: "1 one 1", lsn: 5, txID: 98},
		{op: 'r', row: "2 two 2", lsn: 5, txID: 96},
		{op: 't', lsn: 10, txID: 97, partition: 1},
	}, "0 0 0 0 0"},
	{"a snapshot behind the cut", []string{"1 one 1"}, []change{
		{op: 'c', row: "1 one 1", lsn: 3, txID: 95},
		{op: 'r', row: "1 two 2", lsn: 5, txID: 111},
	}, "0 0 0 0 0"},
}

// TestFold: each mistake is found in every format, as what it is.
func TestFold(t *testing.T) {
	for _, test := range folds {
		for name, format := range map[string]schema.Format{
			"avro": schema.Avro, "json": schema.JSONBare,
			"json with schemas": schema.JSONSchemas,
		} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				r := newBench(t, relation(0), format).fold(test.rows, test.log)
				got := fmt.Sprintf("%d %d %d %d %d", r.Missing, r.Extra, r.Differing, r.Doubled, r.Backward)
				for _, key := range append(r.MissingKeys, r.ExtraKeys...) {
					got += " " + key
				}
				for _, d := range r.DifferingKeys {
					got += fmt.Sprint(" ", d.Key, " ", d.Columns)
				}
				if got != test.want {
					t.Errorf("got %s, want %s: %+v", got, test.want, r)
				}
				if clean := strings.HasPrefix(test.want, "0 0 0 0 0"); r.Clean(false) != clean {
					t.Errorf("clean is %t: %+v", !clean, r)
				}
			})
		}
	}
}

// TestFoldCounts: what is no difference is counted where it is the case.
func TestFoldCounts(t *testing.T) {
	r := newBench(t, relation(0), schema.Avro).fold(goodRows, goodLog)
	if r.Rows != 4 || r.Records != 10 || r.Beyond != 3 || r.Placeholders != 1 || r.Unresolved != 0 ||
		r.ReadAgain != 0 {
		t.Errorf("good log: %+v", r)
	}
	log := slices.Clone(goodLog)
	log[1] = change{op: 'r', row: "2 <unsent> 2", txID: 90} // no real value anywhere
	r = newBench(t, relation(0), schema.Avro).fold(goodRows, log)
	if r.Unresolved != 1 || !r.Clean(false) {
		t.Errorf("a placeholder without a real value: %+v", r)
	}
	log[1] = change{op: 'r', row: "2 short 2", txID: 90} // the last real value is another than the table's
	r = newBench(t, relation(0), schema.Avro).fold(goodRows, log)
	if r.Differing != 1 || r.Placeholders != 1 || !slices.Equal(r.DifferingKeys[0].Columns, []string{"a"}) {
		t.Errorf("a wrong value behind a placeholder: %+v", r)
	}
	r = newBench(t, relation(0), schema.Avro).fold(goodRows, with(0, goodLog[0]))
	if r.ReadAgain != 1 {
		t.Errorf("a row read again: %+v", r)
	}
	if r = newBench(t, relation(0), schema.Avro).fold(goodRows, with(3, goodLog[3])); !r.Clean(true) {
		t.Errorf("a repetition where repetitions may be: %+v", r)
	}
}

// TestFoldKeyless: a table without a key is a multiset while nothing is changed in it.
func TestFoldKeyless(t *testing.T) {
	log := []change{
		{op: 'r', row: "1 a 1", txID: 90},
		{op: 'c', row: "1 a 1", lsn: 1, txID: 91},
		{op: 'c', row: "2 b 2", lsn: 2, txID: 92},
	}
	for _, test := range []struct {
		name           string
		rows           []string
		log            []change
		missing, extra int64
		clean          bool
	}{
		{"clean", []string{"1 a 1", "2 b 2", "1 a 1"}, log, 0, 0, true},
		{"one of two equal rows", []string{"1 a 1", "2 b 2"}, log, 0, 1, false},
		{"three of two equal rows", []string{"1 a 1", "1 a 1", "1 a 1", "2 b 2"}, log, 1, 0, false},
		{
			"a delete",
			[]string{"1 a 1"},
			append(slices.Clone(log), change{
				op: 'd', row: "1 a 1", lsn: 9,
				txID: 93,
			}), 0, 0,
			false,
		},
	} {
		r := newBench(t, relation(), schema.Avro).fold(test.rows, test.log)
		if r.Missing != test.missing || r.Extra != test.extra || r.Clean(false) != test.clean ||
			(r.NotComparable != "") != (test.name == "a delete") {
			t.Errorf("%s: %+v", test.name, r)
		}
	}
}

// TestFoldColumnAdded: rows from before are compared in the columns that they have.
func TestFoldColumnAdded(t *testing.T) {
	now := relation(0)
	b := newBench(t, now, schema.Avro)
	old := newBench(t, &schema.Relation{
		OID: 1, Namespace: "public", Name: "t", Identity: 'd', Key: []int{0},
		Columns: now.Columns[:2],
	}, schema.Avro)
	f, err := NewFold(FoldOptions{
		Codec: b.codec, Columns: 3, Reader: b.reader, Spill: b.spill, Rows: -1,
		Samples: 3,
		Cut:     Cut{xmax: 110, time: cutTime},
	})
	if err != nil {
		t.Fatal(err)
	}
	old.reader = b.reader
	for _, row := range []string{"1 one 5", "2 two 2", "3 three 3"} {
		if err := f.Row(values(3, strings.Fields(row)...)); err != nil {
			t.Fatal(err)
		}
	}
	add := func(b *bench, c change) {
		key, value := b.record(c)
		if b == old && len(value) > 4 {
			value[4] = 3 // an id of its own
		}
		if err := f.Record(t.Context(), 0, key, value); err != nil {
			t.Fatal(err)
		}
	}
	if b.reader.forms[3], err = b.reader.newForm(old.codec.ValueSchema()); err != nil {
		t.Fatal(err)
	}
	add(old, change{op: 'c', row: "1 one", lsn: 1, txID: 90})
	add(old, change{op: 'c', row: "2 other", lsn: 2, txID: 90})
	add(b, change{op: 'c', row: "3 three 3", lsn: 3, txID: 91})
	r, err := f.Result(nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Older != 2 || r.Differing != 1 || r.DifferingKeys[0].Key != `{"id":2}` {
		t.Errorf("%+v", r)
	}
}

// TestFoldMalformed: bytes that are no record make the table unclean, and no value of them an error.
func TestFoldMalformed(t *testing.T) {
	b := newBench(t, relation(0), schema.Avro)
	key, value := b.record(goodLog[0])
	f, err := NewFold(FoldOptions{Codec: b.codec, Columns: 3, Reader: b.reader, Spill: b.spill, Samples: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{value[:len(value)-1], append(slices.Clone(value), 0), []byte("secret"), {}} {
		if err := f.Record(t.Context(), 0, key, bad); err != nil {
			t.Errorf("%x: %v", bad, err)
		}
	}
	if r, err := f.Result(nil); err != nil || r.Malformed != 4 || r.Clean(true) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestFoldSpills folds more than the buffers hold, with several records for each key.
func TestFoldSpills(t *testing.T) {
	const n = 20_000
	var rows []string
	var log []change
	for i := range n {
		rows = append(rows, fmt.Sprintf("%d v%d %d", i, i, i))
		log = append(log, change{op: 'c', row: fmt.Sprintf("%d old 0", i), lsn: int64(i + 1), txID: 90})
	}
	for i := range n {
		log = append(log, change{op: 'u', row: rows[i], lsn: int64(n + i + 1), txID: 91})
	}
	log[n+777].row = "777 wrong 777"
	b := newBench(t, relation(0), schema.Avro)
	r := b.fold(rows, log)
	if r.Missing+r.Extra != 0 || r.Differing != 1 || r.DifferingKeys[0].Key != `{"id":777}` {
		t.Errorf("%+v", r)
	}
	if b.spill.Bytes() < n*3*10 {
		t.Errorf("only %d bytes were spilled", b.spill.Bytes())
	}
}

// TestCut: 32-bit ids are taken for the epoch that they can be of.
func TestCut(t *testing.T) {
	const epoch = 1 << 32
	cut, err := ParseCut(fmt.Sprintf("%d:%d:%d", 3*epoch-5, 3*epoch+10, 3*epoch-5), cutTime)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		txID, time int64
		snapshot   bool
		want       bool
	}{
		{9, cutTime, false, true},
		{10, cutTime, false, false},
		{epoch - 5, cutTime, false, false}, // runs
		{epoch - 4, cutTime, false, true},
		{epoch / 4, cutTime, false, false},               // after the cut
		{epoch / 4, cutTime - 2*epochSlack, false, true}, // an epoch before
		{epoch - 5, cutTime - 2*epochSlack, false, true}, // likewise
		{3*epoch + 10, cutTime, true, true},              // a snapshot that sees no more than the cut
		{3*epoch + 11, cutTime, true, false},             // one that may
		{-1, cutTime, false, true},
		{3*epoch + 9, 0, false, true}, // no id, a whole one
	} {
		if got := cut.Sees(&Record{TxID: test.txID, Time: test.time, Snapshot: test.snapshot}); got != test.want {
			t.Errorf("%+v: %t", test, got)
		}
	}
	for _, bad := range []string{"", "1:2", "1:x:", "1:2:x"} {
		if _, err := ParseCut(bad, 0); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

package schema

import (
	"errors"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// refused is a value that is not written: part of what the *ValueError, or Compile's error, says.
type refused string

// leftOut is a column that is not in the schema.
type leftOut struct{}

// difference is one row of the README's table "Differences from Debezium", shown by one value of column c.
type difference struct {
	row    string // what stands in its first column
	column string // as testColumn reads it
	datum  Datum
	marker Marker
	change func(*Column, *Options) // what else the case needs
	// What after holds in column c. A refused native value is null under WriteNull, but for a rule that
	// cannot be applied.
	debezium, native any
	// other sets what the row's last column names; carried is the value that then comes of it.
	other   func(*Options)
	carried any
}

// The rows that no value of a column shows, each with the package and the test that shows both sides.
var differencesElsewhere = map[string]string{
	"`source.snapshot` with `ignore_default_for_nullables`":     "schema TestCodecNullWithDefault",
	"key of zeros under REPLICA IDENTITY INDEX":                 "publisher TestKeyOfZeros",
	"key of a NOT NULL column that is excluded from the rows +": "schema TestExcludedKey",
	"snapshot's `source.lsn`":                                   "cmd/tributary TestSnapshotLSN",
	"numeric with a negative scale +":                           "schema TestNegativeScale",
	"order of a snapshot's rows":                                "snapshot TestStoredOrder",
	"tables that match later":                                   "cmd/tributary TestTablesLater",
	"enum labels added later":                                   "snapshot TestDescribeIsAuthority",
	"key of a unique index with INCLUDE or WHERE":               "snapshot TestTableFacts",
	"snapshot of a partitioned table":                           "snapshot TestTables",
	"snapshot's `first` marker, first table empty":              "snapshot TestDebeziumMarkers",
	"publication": "cmd/tributary TestPublicationScope",
	"source types of serials and plain numerics, snapshot +": "schema TestSnapshotSourceTypes",
	"tables that share a topic":                              "publisher TestSharedTopic",
	"table or operation that the publication leaves out":     "cmd/tributary TestTolerated",
}

const placeholderForTest = "__debezium_unavailable_value"

// rule returns the change that puts rules on column c.
func rule(rules ...ColumnRule) func(*Column, *Options) {
	for i := range rules {
		rules[i].Columns = regexp.MustCompile(`\.c$`)
	}
	return func(_ *Column, o *Options) { o.Columns = slices.Clone(rules) }
}

func notNull(c *Column, _ *Options)       { c.NotNull = true }
func doubles(_ *Column, o *Options)       { o.Decimal = DecimalDouble }
func stringNumbers(_ *Column, o *Options) { o.Decimal = DecimalString }
func isoTimes(_ *Column, o *Options)      { o.Time = TimeISOString }
func base64Bytes(_ *Column, o *Options)   { o.Binary = BinaryBase64 }
func excludeC(o *Options)                 { o.Columns[0].Action = Exclude }
func preciseDecimals(o *Options)          { o.Decimal = DecimalPrecise }
func stringDecimals(o *Options)           { o.Decimal = DecimalString }
func stringTimes(o *Options)              { o.Time = TimeISOString }
func stringIntervals(o *Options)          { o.Interval = IntervalString }
func publishedGenerated(o *Options)       { o.Generated = true }
func nullsOfDefaults(o *Options)          { o.Debezium, o.IgnoreDefaultForNullables = true, true }
func generated(c *Column, _ *Options)     { c.Generated = true }
func withDefault(text string) func(*Column, *Options) {
	return func(c *Column, _ *Options) { c.Default = &text }
}

// columnDifferences are the rows about columns. The values on Debezium's side are recorded ones, or follow
// from the description of its format.
func columnDifferences() []difference {
	return []difference{
		{
			row: "NULL in a nullable column with a default", column: "text", change: withDefault("'new'::text"),
			debezium: "new", other: nullsOfDefaults,
		},
		{
			row: "stored generated column +", column: "int4", datum: textOf("6"), marker: MarkerFirst,
			change: generated, debezium: int32(6), native: leftOut{}, other: publishedGenerated, carried: int32(6),
		},
		{row: "`name` in the stream", column: "name", datum: textOf("a"), native: "a"},
		{
			row: "`name` in the stream", column: "name", datum: textOf("a"), change: notNull,
			debezium: "", native: "a",
		},
		{row: "`bit[]` +", column: "_bit/3", datum: textOf("{101}"), native: leftOut{}},
		{row: "`bit` without length +", column: "bit", datum: textOf("1"), debezium: true, native: []byte{1}},
		{
			row: "NaN, infinity in `numeric[]`", column: "_numeric", datum: textOf("{1,NaN}"),
			change: stringNumbers, native: []any{"1", "NAN"},
		},
		{
			row: "infinite dates and BC in arrays", column: "_date", datum: textOf("{infinity,\"0044-03-15 BC\"}"),
			debezium: []any{int32(-622191234), int32(-703383)}, native: []any{int32(-2147472692), int32(-735160)},
		},
		{
			row: "infinite dates and BC in arrays", column: "_timestamptz", datum: textOf("{-infinity,infinity}"),
			debezium: []any{"+292269055-12-02T23:00:00.000000Z", "infinity"}, native: []any{"-infinity", "infinity"},
		},
		{
			row: "multi-dimensional arrays", column: "_int4", datum: textOf("{{1,2},{3,4}}"),
			debezium: []any{nil, nil}, native: refused("one dimension"),
		},
		{
			row: "TOAST placeholder of cut or hashed text", column: "text", datum: Datum{Kind: Unchanged},
			change: rule(ColumnRule{Action: Truncate, Length: 4}), debezium: "__de", native: placeholderForTest,
		},
		{
			row: "TOAST placeholder of cut or hashed text", column: "text", datum: Datum{Kind: Unchanged},
			change:   rule(ColumnRule{Action: Hash, Hash: "MD5"}),
			debezium: "b68a35a717adc5b3ef2aae46edb4545a", native: placeholderForTest,
		},
		{
			row: "TOAST placeholder of base64 bytea and text-like arrays", column: "bytea",
			datum: Datum{Kind: Unchanged}, change: base64Bytes, native: "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
		},
		{
			row: "TOAST placeholder of base64 bytea and text-like arrays", column: "_citext",
			datum: Datum{Kind: Unchanged}, native: []any{placeholderForTest},
		},
		{
			row: "TOAST placeholder of base64 bytea and text-like arrays", column: "_enum(a)",
			datum: Datum{Kind: Unchanged}, native: []any{placeholderForTest},
		},
	}
}

// ruleDifferences are the rows about masks, hashes and cuts.
func ruleDifferences() []difference {
	mask, hash := ColumnRule{Action: Mask, Length: 3}, ColumnRule{Action: Hash, Hash: "MD5"}
	cut := ColumnRule{Action: Truncate, Length: 3}
	const row = "mask or hash of uuid, json, numbers, arrays"
	const id = "0b4d6f3e-7c1a-4f0e-9d43-3f1c1e0f5a77"
	propagated := func(c *Column, o *Options) {
		rule(hash)(c, o)
		o.PropagateColumns = regexp.MustCompile(`\.c$`)
	}
	return []difference{
		{
			row: row, column: "uuid", datum: textOf(id), change: rule(mask), debezium: id,
			native: refused("exclude it"), other: excludeC, carried: leftOut{},
		},
		{
			row: row, column: "json", datum: textOf("{}"), change: rule(hash), debezium: "{}",
			native: refused("exclude it"),
		},
		{
			row: row, column: "int4", datum: textOf("7"), change: rule(mask), debezium: int32(7),
			native: refused("exclude it"),
		},
		{
			row: row, column: "_text", datum: textOf("{a}"), change: rule(mask), debezium: []any{"a"},
			native: refused("exclude it"),
		},
		{
			row: "cut of uuid, json", column: "uuid", datum: textOf(id), change: rule(cut), debezium: id[:3],
			native: refused("exclude it"), other: excludeC, carried: leftOut{},
		},
		{
			row: "cut inside of a character of two UTF-16 units", column: "text", datum: textOf("ab\U0001f600"),
			change: rule(cut), debezium: "ab?", native: "ab",
		},
		{
			row: "several rules for one column +", column: "text", datum: textOf("abcdef"),
			change: rule(mask, cut), debezium: "abc", native: "***",
		},
		{
			row: "hash and `columns.source_types` for one column +", column: "text", datum: textOf("a"),
			change: propagated, debezium: "a", native: "0cc175b9c0f1b6a831c399e269772661",
		},
	}
}

// numberDifferences are the rows about numbers and intervals.
func numberDifferences() []difference {
	const nan, precise = "numeric NaN, infinity in precise mode", "numeric/655366" // numeric(10,2)
	const inNumeric, infinite = "interval in numeric mode", "infinite interval"
	unscaled := new(big.Int).Exp(big.NewInt(10), big.NewInt(400), nil)
	huge := unscaled.String()
	return []difference{
		{
			row: nan, column: precise, datum: textOf("NaN"), native: refused("decimal.handling.mode=string"),
			other: stringDecimals, carried: "NAN",
		},
		{
			row: nan, column: "numeric", datum: textOf("-Infinity"), native: refused("decimal.handling.mode=string"),
			other: stringDecimals, carried: "NEGATIVE_INFINITY",
		},
		{
			row: "numeric beyond a double in double mode", column: "numeric", datum: textOf(huge), change: doubles,
			debezium: math.Inf(1), native: refused("decimal.handling.mode=string"),
			other: preciseDecimals, carried: map[string]any{"scale": int32(0), "value": unscaled.Bytes()},
		},
		{
			row: inNumeric, column: "interval", datum: textOf("100000 years 00:00:00.000001"),
			debezium: int64(3155760000000000000), native: int64(3155760000000000001),
			other: stringIntervals, carried: "P100000Y0M0DT0H0M0.000001S",
		},
		{
			row: inNumeric, column: "interval", datum: textOf("178000000 years"), debezium: int64(math.MaxInt64),
			native: refused("interval.handling.mode=string"),
			other:  stringIntervals, carried: "P178000000Y0M0DT0H0M0S",
		},
		{
			row: infinite, column: "interval", datum: textOf("infinity"), debezium: int64(0),
			native: refused("infinite interval"),
		},
		{
			row: infinite, column: "interval", datum: textOf("-infinity"),
			change:   func(_ *Column, o *Options) { o.Interval = IntervalString },
			debezium: "P0Y0M0DT0H0M0S", native: refused("infinite interval"),
		},
	}
}

// timeDifferences are the rows about dates and times.
func timeDifferences() []difference {
	const dates = "date infinity, dates BC in a snapshot"
	const midnight, outside = "`24:00` of timetz and isostring", "timestamp out of range"
	last := textOf("294276-12-31 23:59:59.999999")
	return []difference{
		{
			row: "`time[]`", column: "_time", datum: textOf("{01:02:03.456789,24:00:00}"),
			debezium: []any{int64(3723456000), int64(0)}, native: []any{int64(3723456789), int64(86400000000)},
		},
		{
			row: dates, column: "date", datum: textOf("infinity"), marker: MarkerTrue,
			debezium: int32(-622191234), native: int32(-2147472692),
		},
		{
			row: dates, column: "date", datum: textOf("-infinity"), marker: MarkerTrue,
			debezium: int32(-625821272), native: int32(-2147472691),
		},
		{
			row: dates, column: "date", datum: textOf("0044-03-15 BC"), marker: MarkerTrue,
			debezium: int32(-703383), native: int32(-735160),
		},
		{
			row: midnight, column: "timetz", datum: textOf("24:00:00+00"), debezium: "00:00:00Z",
			native: "24:00:00Z",
		},
		{
			row: midnight, column: "time", datum: textOf("24:00:00"), change: isoTimes, debezium: "00:00:00Z",
			native: "24:00:00Z",
		},
		{
			row: outside, column: "timestamp", datum: last, debezium: int64(-9223372036853775810),
			native: refused("time.precision.mode=isostring"),
			other:  stringTimes, carried: "+294276-12-31T23:59:59.999999Z",
		},
		{
			row: "timestamp beyond 2262 in nanoseconds", column: "timestamp", datum: textOf("2300-01-01 00:00:00"),
			change: func(_ *Column, o *Options) { o.Time = TimeNanos },
			native: refused("time.precision.mode=microseconds"),
			other:  stringTimes, carried: "2300-01-01T00:00:00Z",
		},
	}
}

func allDifferences() []difference {
	return slices.Concat(columnDifferences(), ruleDifferences(), numberDifferences(), timeDifferences())
}

// TestDifferences shows each difference from Debezium on both sides.
func TestDifferences(t *testing.T) {
	for _, d := range allDifferences() {
		t.Run(d.row+"/"+d.column, func(t *testing.T) {
			debezium := d.check(t, "debezium", func(o *Options) { o.Debezium = true }, d.debezium)
			native := d.check(t, "native", func(*Options) {}, d.native)
			if reflect.DeepEqual(d.debezium, d.native) {
				t.Errorf("both sides are %v", d.native)
			}
			text, isRefused := d.native.(refused)
			if schemas := strings.HasSuffix(d.row, " +"); native != "" && schemas != (debezium != native) {
				t.Errorf("the row says that the schemas differ: %v\n%s\n%s", schemas, debezium, native)
			}
			if isRefused && text != "exclude it" {
				d.check(t, "native, WriteNull", func(o *Options) { o.Unrepresentable = WriteNull }, nil)
			}
			if d.other != nil {
				d.check(t, "by another switch", d.other, d.carried)
			}
		})
	}
}

// check writes the value under the options that set makes, and compares it with what is wanted. It returns
// the schema, none when there is none.
func (d *difference) check(t *testing.T, who string, set func(*Options), want any) string {
	t.Helper()
	c, o := testColumn(d.column), Options{Name: "p"}
	if d.change != nil {
		d.change(&c, &o)
	}
	set(&o)
	key := Column{Name: "id", Type: int4Type, TypMod: -1, NotNull: true, InIdentity: true}
	r := &Relation{Namespace: "public", Name: "t", Columns: []Column{key, c}, Key: []int{0}}
	var value []byte
	codec, err := Compile(r, "p.public.t", o)
	if err == nil {
		e := Envelope{Op: OpRead, After: Row{textOf("1"), d.datum}, Source: Source{Snapshot: d.marker}}
		value, err = codec.AppendValue(nil, &e)
	}
	if text, isRefused := want.(refused); isRefused || err != nil {
		var value *ValueError
		if err == nil || !isRefused || !strings.Contains(err.Error(), string(text)) ||
			text != "exclude it" && !errors.As(err, &value) {
			t.Errorf("%s: error %v, want %v", who, err, want)
		}
		if codec == nil {
			return ""
		}
		return codec.ValueSchema()
	}
	got, there := avroDecode(t, codec.ValueSchema(), value)["after"].(map[string]any)["c"]
	if _, out := want.(leftOut); out == there || there && !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %#v (a column: %v), want %#v", who, got, there, want)
	}
	return codec.ValueSchema()
}

// TestNegativeScale has the schemas of numeric(5,-3), a difference whose value on Debezium's side has two
// thousand zeros.
func TestNegativeScale(t *testing.T) {
	r := &Relation{Namespace: "public", Name: "t", Columns: []Column{testColumn("numeric/329729")}}
	for debezium, want := range map[bool][2]string{
		true:  {`"scale":2045,"precision":5,`, "12000" + strings.Repeat("0", 2045)},
		false: {`"scale":0,"precision":8,`, "12000"},
	} {
		codec := mustCompile(t, r, Options{Debezium: debezium})
		if !strings.Contains(codec.ValueSchema(), want[0]) {
			t.Errorf("Debezium %v: %s is not in %s", debezium, want[0], codec.ValueSchema())
		}
		w := writer{}
		if err := codec.row[0].write(&w, []byte("12000")); err != nil {
			t.Fatal(err)
		}
		reader := datumReader{rest: w.dst}
		if got := fromTwos(reader.take(reader.long())).String(); got != want[1] {
			t.Errorf("Debezium %v: got a number of %d digits, want %d", debezium, len(got), len(want[1]))
		}
	}
}

// TestSnapshotSourceTypes has the source type of a serial, as in the recorded scenario propagate_snapshot.
func TestSnapshotSourceTypes(t *testing.T) {
	filled := "nextval('s'::regclass)"
	r := &Relation{Namespace: "public", Name: "t", Columns: []Column{testColumn("int4"), testColumn("numeric")}}
	r.Columns[0].Default, r.Columns[1].Name = &filled, "n"
	for _, test := range []struct {
		debezium, snapshot bool
		want               [2]string
	}{
		{true, true, [2]string{`type":"SERIAL"`, `"NUMERIC","__debezium.source.column.length":"0","__`}},
		{true, false, [2]string{`type":"INT4"`, `length":"131089","__debezium.source.column.scale":"0"`}},
		{false, false, [2]string{`type":"INT4"`, `length":"131089","__debezium.source.column.scale":"0"`}},
	} {
		r.Snapshot = test.snapshot // the catalog sets it for Debezium only
		text := mustCompile(t, r, Options{
			Debezium: test.debezium, PropagateColumns: regexp.MustCompile("."),
		}).ValueSchema()
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%+v: %s is not in %s", test, want, text)
			}
		}
	}
}

// TestExcludedKey has the key of a column that a rule excludes, as in the recorded scenario exclude_key:
// Debezium forgets that it is NOT NULL.
func TestExcludedKey(t *testing.T) {
	for debezium, want := range map[bool]string{
		true:  `{"name":"name","type":["null","string"],"default":null}`,
		false: `{"name":"name","type":"string"}`,
	} {
		r := ordersTable()
		r.Key = []int{1}
		codec := mustCompile(t, r, ruleOptions(debezium, ColumnRule{Action: Exclude}))
		if !strings.Contains(codec.KeySchema(), want) {
			t.Errorf("Debezium %v: %s is not in %s", debezium, want, codec.KeySchema())
		}
		// In a snapshot it knows of NOT NULL, but does not read the column: exclude_key_snapshot.
		r.Snapshot = true
		codec = mustCompile(t, r, ruleOptions(debezium, ColumnRule{Action: Exclude}))
		row := make(Row, len(r.Columns))
		row[1] = textOf("k")
		key, err := codec.AppendSnapshotKey(nil, row)
		got := map[bool]string{true: "\x00", false: "\x02k"}[debezium]
		if err != nil || string(key) != got || !strings.Contains(codec.KeySchema(), `"type":"string"}`) {
			t.Errorf("Debezium %v: snapshot key %q (%v), want %q, under %s", debezium, key, err, got,
				codec.KeySchema())
		}
	}
}

// TestDifferencesAreInTheReadme holds the README's table and the tests to each other.
func TestDifferencesAreInTheReadme(t *testing.T) {
	shown := map[string]bool{}
	for _, d := range allDifferences() {
		shown[d.row] = true
	}
	for row, where := range differencesElsewhere {
		folder, name, _ := strings.Cut(where, " ")
		files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(folder), "*_test.go"))
		if err != nil || !slices.ContainsFunc(files, func(file string) bool {
			text, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(text), "\nfunc "+name+"(t *testing.T) {")
		}) {
			t.Errorf("%s: %s has no %s (%v)", row, folder, name, err)
		}
		shown[row] = true
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "\n### Differences from Debezium\n")
	table, _, _ = strings.Cut(table, "\n#")
	for _, line := range strings.Split(table, "\n") {
		cells := strings.Split(line, " | ")
		row := strings.TrimPrefix(cells[0], "| ")
		if len(cells) < 3 || row == "what" {
			continue
		}
		if !shown[row] {
			t.Errorf("no test shows the README's row %q", row)
		}
		delete(shown, row)
	}
	for row := range shown {
		t.Errorf("the README's table has no row %q", row)
	}
}

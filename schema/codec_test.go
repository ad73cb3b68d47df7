package schema

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/avro"
)

// builtin returns a built-in type as the catalog describes it.
func builtin(oid uint32, name string) *Type {
	return &Type{OID: oid, Namespace: "pg_catalog", Name: name, Kind: KindBase}
}

// The types of the tests' tables.
var (
	int4Type    = builtin(23, "int4")
	int8Type    = builtin(20, "int8")
	textType    = builtin(25, "text")
	varcharType = builtin(1043, "varchar")
	numericType = builtin(1700, "numeric")
	boolType    = builtin(16, "bool")
	float8Type  = builtin(701, "float8")
	byteaType   = builtin(17, "bytea")
	tstzType    = builtin(1184, "timestamptz")
	boxType     = builtin(603, "box")
)

func textOf(s string) Datum { return Datum{Kind: Text, Text: []byte(s)} }

func ptrTo(s string) *string { return &s }

// ordersTable is the worked example of a table, with a nullable default.
func ordersTable() *Relation {
	return &Relation{
		OID: 16385, Namespace: "inventory", Name: "orders", Identity: IdentityDefault, Key: []int{0},
		Columns: []Column{
			{Name: "id", Type: int4Type, TypMod: -1, NotNull: true, InIdentity: true},
			{Name: "name", Type: textType, TypMod: -1, NotNull: true},
			{Name: "amount", Type: numericType, TypMod: 10<<16 + 2 + 4},
			{Name: "created_at", Type: tstzType, TypMod: -1, NotNull: true},
			{Name: "status", Type: varcharType, TypMod: 24, Default: ptrTo("'new'::character varying")},
		},
	}
}

func ordersRow() Row {
	return Row{textOf("1"), textOf("Al"), textOf("12.34"), textOf("2024-03-01 10:20:30.123456+00"), {}}
}

func ordersEnvelope() Envelope {
	return Envelope{
		Op: OpCreate, After: ordersRow(), Time: 1709288430600456789,
		Source: Source{
			Time: 1709288430500123, LSN: 24023128, LastCommit: 24023119, TxID: 556, HasTxID: true,
		},
	}
}

func ordersOptions() Options { return Options{Name: "pg1", Database: "shop", Version: "3.6.1.Final"} }

func mustCompile(tb testing.TB, r *Relation, o Options) *Codec {
	tb.Helper()
	c, err := Compile(r, Topic(o.Name, r.Namespace, r.Name), o)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// avroDecode decodes a datum with a library that had no part in writing it; nothing may be left over.
func avroDecode(tb testing.TB, text string, datum []byte) map[string]any {
	tb.Helper()
	s, err := avro.Parse(text)
	if err != nil {
		tb.Fatalf("parse %s: %v", text, err)
	}
	var v map[string]any
	rest, err := s.Decode(datum, &v)
	if err != nil || len(rest) > 0 {
		tb.Fatalf("decode %x: %v, %d bytes left", datum, err, len(rest))
	}
	return v
}

// after decodes what a codec makes of a row as after.
func after(tb testing.TB, c *Codec, row Row) map[string]any {
	tb.Helper()
	value, err := c.AppendValue(nil, &Envelope{Op: OpCreate, After: row})
	if err != nil {
		tb.Fatal(err)
	}
	return avroDecode(tb, c.ValueSchema(), value)["after"].(map[string]any)
}

func TestCodecIndependentDecoder(t *testing.T) {
	r := &Relation{Namespace: "public", Name: "t", Key: []int{0, 2}, Columns: []Column{
		{Name: "id", Type: int8Type, TypMod: -1, NotNull: true},
		{Name: "b", Type: boolType, TypMod: -1},
		{Name: "name", Type: textType, TypMod: -1, NotNull: true},
		{Name: "f", Type: float8Type, TypMod: -1},
		{Name: "raw", Type: byteaType, TypMod: -1},
		{Name: "none", Type: textType, TypMod: -1},
		{Name: "shape", Type: boxType, TypMod: -1},
	}}
	c := mustCompile(t, r, ordersOptions())
	row := Row{
		textOf("-9223372036854775808"), textOf("t"), textOf("d\u00e9\x01"), textOf("-0.125"),
		textOf(`\x00ff`),
		{},
		textOf("(1,1),(0,0)"),
	}
	want := map[string]any{
		"id": int64(math.MinInt64), "b": true, "name": "d\u00e9\x01", "f": -0.125,
		"raw": []byte{0, 255}, "none": nil,
	}
	if got := after(t, c, row); !reflect.DeepEqual(got, want) {
		t.Errorf("after is %#v, want %#v", got, want)
	}
	key, err := c.AppendKey(nil, row)
	if err != nil {
		t.Fatal(err)
	}
	wantKey := map[string]any{"id": int64(math.MinInt64), "name": "d\u00e9\x01"}
	if got := avroDecode(t, c.KeySchema(), key); !reflect.DeepEqual(got, wantKey) {
		t.Errorf("key is %#v, want %#v", got, wantKey)
	}
	if got := c.Omitted(); !reflect.DeepEqual(got, []string{"shape box"}) {
		t.Errorf("omitted %q", got)
	}
}

func TestCodecEnvelopeFields(t *testing.T) {
	c := mustCompile(t, ordersTable(), ordersOptions())
	e := ordersEnvelope()
	e.Before = ordersRow()
	e.Source.Snapshot, e.Source.XMin = MarkerLastInTable, 77
	e.Source.Origin, e.Source.OriginLSN = "elsewhere", 99
	e.Transaction = Transaction{TxID: 4294967295, LSN: 1 << 40, TotalOrder: 3, CollectionOrder: 2}
	value, err := c.AppendValue(nil, &e)
	if err != nil {
		t.Fatal(err)
	}
	v := avroDecode(t, c.ValueSchema(), value)
	source := map[string]any{
		"version": "3.6.1.Final", "connector": "postgresql", "name": "pg1", "ts_ms": int64(1709288430500),
		"snapshot": "last_in_data_collection", "db": "shop", "sequence": `["24023119","24023128"]`,
		"ts_us": int64(1709288430500123), "ts_ns": int64(1709288430500123000), "schema": "inventory",
		"table": "orders", "txId": int64(556), "lsn": int64(24023128), "xmin": int64(77),
		"origin": "elsewhere", "origin_lsn": int64(99),
	}
	if !reflect.DeepEqual(v["source"], source) {
		t.Errorf("source is %v, want %v", v["source"], source)
	}
	block := map[string]any{
		"id": "4294967295:1099511627776", "total_order": int64(3), "data_collection_order": int64(2),
	}
	if !reflect.DeepEqual(v["transaction"], block) {
		t.Errorf("transaction is %v, want %v", v["transaction"], block)
	}
	if v["op"] != "c" || v["ts_ms"] != int64(1709288430600) || v["ts_us"] != int64(1709288430600456) ||
		v["ts_ns"] != int64(1709288430600456789) {
		t.Errorf("op and times are %v %v %v %v", v["op"], v["ts_ms"], v["ts_us"], v["ts_ns"])
	}
	if v["before"] == nil || !reflect.DeepEqual(v["before"], v["after"]) {
		t.Errorf("before is %v, after %v", v["before"], v["after"])
	}
}

// TestGoldenIndependentDecoder reads what we write for the recorded rows with another library: what it
// encodes again must be the same bytes.
func TestGoldenIndependentDecoder(t *testing.T) {
	paths, err := filepath.Glob("testdata/golden/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	decoded := 0
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		g := readGolden(t, path)
		o := g.options(t, name)
		if o.ValueFormat != Avro || name == "names_unicode" { // Debezium's name there is no Avro name
			continue
		}
		for i := range g.changes {
			c := &g.changes[i]
			if c.Relation < 0 {
				continue
			}
			r := g.relations[c.Relation]
			codec, err := Compile(r, Topic(name, r.Namespace, r.Name), o)
			if err != nil {
				t.Fatal(err)
			}
			e, _ := c.envelope(t)
			value, err := codec.AppendValue(nil, &e)
			var unrepresentable *ValueError
			if errors.As(err, &unrepresentable) {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			s, err := avro.Parse(codec.ValueSchema())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var v any
			rest, err := s.Decode(value, &v)
			if err != nil || len(rest) > 0 {
				t.Errorf("%s: decode: %v, %d bytes left", name, err, len(rest))
				continue
			}
			again, err := s.Encode(&v)
			if err != nil || !bytes.Equal(again, value) {
				t.Errorf("%s: encoded again (%v)\ngot  %x\nwant %x", name, err, again, value)
			}
			decoded++
		}
	}
	if decoded < 200 {
		t.Errorf("decoded %d values only", decoded)
	}
}

func TestCodecNullWithDefault(t *testing.T) {
	// The order of a union with a default is the value first, so null is branch 1.
	for _, test := range []struct {
		name             string
		debezium, ignore bool
		status           any
		snapshot         any
	}{
		{"native", false, false, nil, "false"},
		{"Debezium", true, false, "new", "false"},
		{"Debezium with ignore.default.for.nullables", true, true, nil, nil},
		{"native ignores the converter's setting", false, true, nil, "false"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := ordersOptions()
			o.Debezium, o.IgnoreDefaultForNullables = test.debezium, test.ignore
			c := mustCompile(t, ordersTable(), o)
			e := ordersEnvelope()
			value, err := c.AppendValue(nil, &e)
			if err != nil {
				t.Fatal(err)
			}
			v := avroDecode(t, c.ValueSchema(), value)
			if got := v["after"].(map[string]any)["status"]; got != test.status {
				t.Errorf("status is %v, want %v", got, test.status)
			}
			if got := v["source"].(map[string]any)["snapshot"]; got != test.snapshot {
				t.Errorf("snapshot is %v, want %v", got, test.snapshot)
			}
		})
	}
}

func TestCodecKeyOnlyOldTuple(t *testing.T) {
	row := Row{textOf("1"), {Kind: Absent}, {Kind: Absent}, {Kind: Absent}, {Kind: Absent}}
	got := after(t, mustCompile(t, ordersTable(), ordersOptions()), row)
	want := map[string]any{
		"id": int32(1), "name": "", "amount": nil, "created_at": "1970-01-01T00:00:00Z", "status": nil,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("row is %#v, want %#v", got, want)
	}
}

// TestCodecIncrementalSnapshot has what a recorded row of an incremental snapshot shows: no position of
// its own, and a sequence at the last commit.
func TestCodecIncrementalSnapshot(t *testing.T) {
	c := mustCompile(t, ordersTable(), ordersOptions())
	e := Envelope{
		Op: OpRead, After: ordersRow(),
		Source: Source{Snapshot: MarkerIncremental, LastCommit: 2088951264},
	}
	value, err := c.AppendValue(nil, &e)
	if err != nil {
		t.Fatal(err)
	}
	source := avroDecode(t, c.ValueSchema(), value)["source"].(map[string]any)
	if source["snapshot"] != "incremental" || source["lsn"] != nil || source["txId"] != nil ||
		source["sequence"] != `["2088951264","2088951264"]` {
		t.Errorf("source is %v", source)
	}
}

func TestCodecUnchanged(t *testing.T) {
	o := ordersOptions()
	o.Placeholder = []byte("gone")
	c := mustCompile(t, ordersTable(), o)
	row := ordersRow()
	row[1].Kind, row[1].Text = Unchanged, nil
	row[2] = Datum{Kind: Unchanged} // numeric has no placeholder: null, as the column is nullable
	if got := after(t, c, row); got["name"] != "gone" || got["amount"] != nil {
		t.Errorf("name is %v, amount %v", got["name"], got["amount"])
	}
	r := ordersTable()
	r.Columns[2].NotNull = true
	dst := []byte("kept")
	dst, err := mustCompile(t, r, o).AppendValue(dst, &Envelope{Op: OpUpdate, After: row})
	var unsent *ValueError
	if !errors.As(err, &unsent) || unsent.Column != "amount" || string(dst) != "kept" {
		t.Errorf("unsent NOT NULL numeric: %v, dst %q", err, dst)
	}
}

func TestCodecUnrepresentable(t *testing.T) {
	row := ordersRow()
	row[2] = textOf("NaN")
	e := Envelope{Op: OpCreate, After: row}
	stop := mustCompile(t, ordersTable(), ordersOptions())
	dst, err := stop.AppendValue([]byte("kept"), &e)
	var refused *ValueError
	if !errors.As(err, &refused) || string(dst) != "kept" {
		t.Fatalf("NaN: %v, dst %q", err, dst)
	}
	if refused.Table != "inventory.orders" || refused.Column != "amount" || refused.Type != "numeric" ||
		!strings.Contains(refused.Mode, "decimal.handling.mode") {
		t.Errorf("refused as %+v", refused)
	}
	told := err.Error()
	for _, part := range []string{"inventory.orders", "amount", "numeric", refused.Reason, refused.Mode} {
		if !strings.Contains(told, part) {
			t.Errorf("%q does not say %q", told, part)
		}
	}
	o := ordersOptions()
	o.Unrepresentable = WriteNull
	if got := after(t, mustCompile(t, ordersTable(), o), row)["amount"]; got != nil {
		t.Errorf("amount is %v, want null", got)
	}
	r := ordersTable()
	r.Columns[2].NotNull = true
	if _, err := mustCompile(t, r, o).AppendValue(nil, &e); !errors.As(err, &refused) {
		t.Errorf("NaN in a NOT NULL column: %v", err)
	}
	// A codec that refused a value writes the next one as if nothing had been.
	good := ordersEnvelope()
	value, err := stop.AppendValue(nil, &good)
	fresh, freshErr := mustCompile(t, ordersTable(), ordersOptions()).AppendValue(nil, &good)
	if err != nil || freshErr != nil || string(value) != string(fresh) {
		t.Errorf("after a refusal: %x (%v), want %x (%v)", value, err, fresh, freshErr)
	}
}

func TestCodecBadInput(t *testing.T) {
	c := mustCompile(t, ordersTable(), ordersOptions())
	row := ordersRow()
	for name, bad := range map[string]Row{
		"short row": row[:4],
		"long row":  append(row[:5:5], Datum{}),
		"no number": {textOf("1x"), row[1], row[2], row[3], row[4]},
	} {
		dst, err := c.AppendValue([]byte("kept"), &Envelope{Op: OpCreate, After: bad})
		if err == nil || !strings.Contains(err.Error(), "inventory.orders") || string(dst) != "kept" {
			t.Errorf("%s: value: %v, dst %q", name, err, dst)
		}
		if dst, err = c.AppendKey([]byte("kept"), bad); err == nil || string(dst) != "kept" {
			t.Errorf("%s: key: %v, dst %q", name, err, dst)
		}
		if dst, err = c.AppendKeyHeader([]byte("kept"), bad); err == nil || string(dst) != "kept" {
			t.Errorf("%s: key header: %v, dst %q", name, err, dst)
		}
	}
	twice := ordersTable()
	twice.Columns[1].Name, twice.Columns[2].Name = "a b", "a_b"
	if _, err := Compile(twice, "t", ordersOptions()); err == nil || !strings.Contains(err.Error(), "a_b") {
		t.Errorf("two columns of one field name: %v", err)
	}
}

func TestCodecWithoutKey(t *testing.T) {
	r := ordersTable()
	r.Key = nil
	if c := mustCompile(t, r, ordersOptions()); c.HasKey() || c.KeySchema() != "" {
		t.Errorf("a table without a key has key schema %q", c.KeySchema())
	}
}

func TestCodecGeneratedColumns(t *testing.T) {
	r := ordersTable()
	r.Columns[4].Generated = true
	for _, test := range []struct {
		name string
		set  func(*Options)
		want bool
	}{
		{"native", func(*Options) {}, false},
		{"published", func(o *Options) { o.Generated = true }, true},
		{"Debezium", func(o *Options) { o.Debezium = true }, true},
	} {
		o := ordersOptions()
		test.set(&o)
		if _, got := after(t, mustCompile(t, r, o), ordersRow())["status"]; got != test.want {
			t.Errorf("%s: the generated column is written: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestCodecComments(t *testing.T) {
	r := ordersTable()
	r.Comment, r.Columns[1].Comment = "all orders", "who \"ordered\""
	o := ordersOptions()
	if text := mustCompile(t, r, o).ValueSchema(); strings.Contains(text, "connect.doc") {
		t.Errorf("comments in %s", text)
	}
	o.Comments = true
	text := mustCompile(t, r, o).ValueSchema()
	for _, part := range []string{
		`{"name":"name","type":{"type":"string","connect.doc":"who \"ordered\""}}`,
		`],"connect.doc":"all orders","connect.name":"pg1.inventory.orders.Value"}`,
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
}

func TestCodecAllocations(t *testing.T) {
	e := ordersEnvelope()
	e.Before = ordersRow()
	e.Before[4] = textOf("packed")
	for _, format := range []Format{Avro, JSONBare, JSONSchemas} {
		o := ordersOptions()
		o.KeyFormat, o.ValueFormat = format, format
		c := mustCompile(t, ordersTable(), o)
		room := make([]byte, 0, 16<<10)
		run := func() {
			if _, err := c.AppendValue(room, &e); err != nil {
				t.Fatal(err)
			}
			if _, err := c.AppendKey(room, e.After); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("format %d: %v allocations per row", format, n)
		}
	}
}

func BenchmarkAppendValue(b *testing.B) {
	for _, test := range []struct {
		name   string
		format Format
	}{{"avro", Avro}, {"json", JSONBare}} {
		b.Run(test.name, func(b *testing.B) {
			o := ordersOptions()
			o.ValueFormat = test.format
			c := mustCompile(b, ordersTable(), o)
			e := ordersEnvelope()
			room := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				value, err := c.AppendValue(room, &e)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(value)))
			}
		})
	}
}

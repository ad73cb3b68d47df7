package schema

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// tableLines returns the tab-separated fields of the lines of a file in testdata.
func tableLines(t testing.TB, name string, fields int) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]string
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		parts := strings.Split(line, "\t")
		if len(parts) != fields {
			t.Fatalf("%s:%d: %d fields, want %d", name, i+1, len(parts), fields)
		}
		lines = append(lines, parts)
	}
	return lines
}

// testColumn returns the column that a description such as numeric/524294 or _enum(a,b) stands for.
func testColumn(description string) Column {
	c := Column{Name: "c", TypMod: -1}
	if base, ok := strings.CutPrefix(description, "domain("); ok {
		base := testColumn(strings.TrimSuffix(base, ")"))
		c.Type = &Type{Name: "d", Kind: KindDomain, Base: base.Type, BaseTypMod: base.TypMod}
		return c
	}
	if elem, ok := strings.CutPrefix(description, "_"); ok {
		item := testColumn(elem)
		c.Type = &Type{Name: "_" + item.Type.Name, Kind: KindArray, Elem: item.Type}
		c.TypMod = item.TypMod
		return c
	}
	if labels, ok := strings.CutPrefix(description, "enum("); ok {
		labels := strings.Split(strings.TrimSuffix(labels, ")"), ",")
		c.Type = &Type{Name: "mood", Kind: KindEnum, Labels: labels}
		return c
	}
	if kind, ok := strings.CutPrefix(description, "other("); ok {
		c.Type = &Type{Name: "pair", Kind: TypeKind(kind[0])}
		return c
	}
	name, mod, ok := strings.Cut(description, "/")
	if ok {
		n, err := strconv.Atoi(mod)
		if err != nil {
			panic(err)
		}
		c.TypMod = int32(n)
	}
	c.Type = &Type{Name: name, Namespace: "public", Kind: KindBase, OID: 99999}
	for i := range pgTypes {
		if pgTypes[i].name == name && pgTypes[i].oid != 0 {
			c.Type.OID, c.Type.Namespace = pgTypes[i].oid, "pg_catalog"
		}
	}
	return c
}

// testOptions returns the options that a list such as decimal=string stands for.
func testOptions(t testing.TB, list string) Options {
	t.Helper()
	var o Options
	for _, option := range strings.Split(list, ",") {
		switch option {
		case "-":
		case "decimal=double":
			o.Decimal = DecimalDouble
		case "decimal=string":
			o.Decimal = DecimalString
		case "time=adaptive_time_microseconds":
			o.Time = TimeAdaptiveMicros
		case "time=connect":
			o.Time = TimeConnect
		case "time=isostring":
			o.Time = TimeISOString
		case "time=microseconds":
			o.Time = TimeMicros
		case "time=nanoseconds":
			o.Time = TimeNanos
		case "interval=string":
			o.Interval = IntervalString
		case "hstore=map":
			o.Hstore = HstoreMap
		case "binary=base64":
			o.Binary = BinaryBase64
		case "binary=base64-url-safe":
			o.Binary = BinaryBase64URL
		case "binary=hex":
			o.Binary = BinaryHex
		case "unknown=true":
			o.UnknownTypes = true
		case "money=1":
			o.MoneyDigits = 1
		case "money=4":
			o.MoneyDigits = 4
		default:
			t.Fatalf("unknown option %s", option)
		}
	}
	return o
}

// compileOne compiles a table of one column.
func compileOne(t testing.TB, o Options, c Column) (column, bool) {
	t.Helper()
	compiled, ok, err := o.column(&Relation{Namespace: "public", Name: "t", Columns: []Column{c}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return compiled, ok
}

// datumReader decodes Avro by a Connect schema, independently of the writer.
type datumReader struct {
	rest []byte
	err  error
}

func (r *datumReader) take(n int64) []byte {
	if n < 0 || n > int64(len(r.rest)) {
		r.err, r.rest = fmt.Errorf("%d bytes wanted, %d left", n, len(r.rest)), nil
		return make([]byte, 8)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *datumReader) long() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.err = errors.New("bad varint")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// value returns a datum as canonical JSON.
func (r *datumReader) value(n *node) string {
	if n.optional {
		nullBranch := int64(0)
		if n.def != nil {
			nullBranch = 1
		}
		if branch := r.long(); branch == nullBranch {
			return "null"
		} else if branch != 1-nullBranch {
			r.err = fmt.Errorf("branch %d", branch)
		}
	}
	switch n.kind {
	case nodeBoolean:
		return strconv.FormatBool(r.take(1)[0] == 1)
	case nodeInt8, nodeInt16, nodeInt32, nodeInt64:
		return strconv.FormatInt(r.long(), 10)
	case nodeFloat32:
		v := math.Float32frombits(binary.LittleEndian.Uint32(r.take(4)))
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	case nodeFloat64:
		return strconv.FormatFloat(math.Float64frombits(binary.LittleEndian.Uint64(r.take(8))), 'g', -1, 64)
	case nodeString:
		return strconv.Quote(string(r.take(r.long())))
	case nodeBytes:
		return `"0x` + hex.EncodeToString(r.take(r.long())) + `"`
	case nodeStruct:
		parts := make([]string, len(n.fields))
		for i, f := range n.fields {
			parts[i] = f.name + ":" + r.value(f.node)
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	var items []string
	for count := r.long(); count != 0 && r.err == nil; count = r.long() {
		for range count {
			key := ""
			if n.kind == nodeMap {
				key = string(r.take(r.long())) + ":"
			}
			items = append(items, key+r.value(n.items))
		}
	}
	return "[" + strings.Join(items, ",") + "]"
}

// canonical returns an expected value, given in JSON, in the form of datumReader.value.
func canonical(t testing.TB, n *node, text json.RawMessage) string {
	t.Helper()
	if string(text) == "null" {
		return "null"
	}
	read := func(v any) {
		if err := json.Unmarshal(text, v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	switch n.kind {
	case nodeFloat32, nodeFloat64:
		word := strings.Trim(string(text), `"`)
		v, err := strconv.ParseFloat(word, 64)
		if err != nil {
			t.Fatal(err)
		}
		if n.kind == nodeFloat32 {
			return strconv.FormatFloat(v, 'g', -1, 32)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case nodeString, nodeBytes:
		var s string
		read(&s)
		return strconv.Quote(s)
	case nodeArray:
		var items []json.RawMessage
		read(&items)
		parts := make([]string, len(items))
		for i, item := range items {
			parts[i] = canonical(t, n.items, item)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case nodeMap, nodeStruct:
		return canonicalObject(t, n, text)
	}
	return string(text)
}

// canonicalObject is canonical for maps and structs, whose entries keep their order.
func canonicalObject(t testing.TB, n *node, text json.RawMessage) string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	var parts []string
	for i := 0; ; i++ {
		token, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		if token == json.Delim('{') {
			continue
		}
		key, ok := token.(string)
		if !ok {
			break
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
		part := n.items
		if n.kind == nodeStruct {
			part = n.fields[len(parts)].node
		}
		parts = append(parts, key+":"+canonical(t, part, value))
	}
	if n.kind == nodeMap {
		return "[" + strings.Join(parts, ",") + "]"
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func TestTypes(t *testing.T) {
	for i, line := range tableLines(t, "types.txt", 7) {
		source, options, who, typ := line[0], line[1], line[2], line[3]
		what, input, want := line[4], line[5], line[6]
		for _, debezium := range []bool{false, true} {
			if debezium && who == "native" || !debezium && who == "debezium" {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d/%s/%v", source, i, typ, debezium), func(t *testing.T) {
				o := testOptions(t, options)
				o.Debezium = debezium
				var text string
				if err := json.Unmarshal([]byte(input), &text); err != nil {
					t.Fatal(err)
				}
				for _, snapshot := range []bool{false, true} {
					if what == "stream" && snapshot || what == "snapshot" && !snapshot {
						continue
					}
					checkType(t, o, testColumn(typ), what, snapshot, text, want)
				}
			})
		}
	}
}

// checkType checks one line of types.txt in one phase.
func checkType(t *testing.T, o Options, c Column, what string, snapshot bool, text, want string) {
	t.Helper()
	compiled, ok := compileOne(t, o, c)
	if ok == (want == "omitted") {
		t.Fatalf("column has a form: %v, want %s", ok, want)
	}
	if !ok {
		return
	}
	w := writer{snapshot: snapshot}
	var err error
	switch {
	case what == "zero":
		compiled.zero(&w)
	case what != "toast":
		err = compiled.write(&w, []byte(text))
	case (compiled.unchanged == nil) != (want == "none"):
		t.Fatalf("has a placeholder: %v, want %s", compiled.unchanged != nil, want)
	case want == "none":
		return
	default:
		err = compiled.unchanged(&w)
	}
	if reason, refused := strings.CutPrefix(want, "!"); refused {
		var u *unrepresentable
		if !errors.As(err, &u) || !strings.Contains(u.reason+" "+u.mode, reason) {
			t.Fatalf("error %v, want an unrepresentable with %q", err, reason)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	n := *compiled.node
	n.optional = false // the branch is the caller's
	r := datumReader{rest: w.dst}
	got := r.value(&n)
	if r.err != nil || len(r.rest) > 0 {
		t.Fatalf("datum %x: %v, %d bytes left", w.dst, r.err, len(r.rest))
	}
	if want := canonical(t, &n, json.RawMessage(want)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if what == "toast" || what == "zero" {
		return
	}
	j := writer{snapshot: snapshot, json: true}
	if err := compiled.write(&j, []byte(text)); err != nil || !json.Valid(j.dst) {
		t.Errorf("as JSON: %s, %v", j.dst, err)
	}
}

// TestStructs compares the Avro text of the types that are records with Debezium's.
func TestStructs(t *testing.T) {
	const geometry = `"namespace":"io.debezium.data.geometry","fields":[{"name":"wkb","type":"bytes"},` +
		`{"name":"srid","type":["null","int"],"default":null}],"connect.doc":"`
	for typ, want := range map[string]string{
		"numeric": `{"type":"record","name":"VariableScaleDecimal","namespace":"io.debezium.data","fields":[` +
			`{"name":"scale","type":"int"},{"name":"value","type":"bytes"}],"connect.doc":"Variable scaled decimal",` +
			`"connect.version":1,"connect.name":"io.debezium.data.VariableScaleDecimal"}`,
		"point": `{"type":"record","name":"Point","namespace":"io.debezium.data.geometry","fields":[` +
			`{"name":"x","type":"double"},{"name":"y","type":"double"},` +
			`{"name":"wkb","type":["null","bytes"],"default":null},` +
			`{"name":"srid","type":["null","int"],"default":null}],"connect.doc":"Geometry (POINT)",` +
			`"connect.version":1,"connect.name":"io.debezium.data.geometry.Point"}`,
		"geometry": `["null",{"type":"record","name":"Geometry",` + geometry + `Geometry","connect.version":1,` +
			`"connect.name":"io.debezium.data.geometry.Geometry"}]`,
		"geography": `{"type":"record","name":"Geography",` + geometry + `Geography","connect.version":1,` +
			`"connect.name":"io.debezium.data.geometry.Geography"}`,
		"vector": `{"type":"array","items":"double","connect.version":1,` +
			`"connect.name":"io.debezium.data.DoubleVector"}`,
		"sparsevec": `{"type":"record","name":"SparseDoubleVector","namespace":"io.debezium.data","fields":[` +
			`{"name":"dimensions","type":{"type":"int","connect.type":"int16"}},{"name":"vector","type":` +
			`{"type":"array","items":{"type":"record","name":"MapEntry",` +
			`"namespace":"io.confluent.connect.avro","fields":[` +
			`{"name":"key","type":{"type":"int","connect.type":"int16"}},{"name":"value","type":"double"}]}}}],` +
			`"connect.doc":"Sparse double vector","connect.version":1,` +
			`"connect.name":"io.debezium.data.SparseDoubleVector"}`,
	} {
		c := testColumn(typ)
		c.NotNull = true
		compiled, _ := compileOne(t, Options{}, c)
		if got := string(avroText(nil, compiled.node)); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", typ, got, want)
		}
	}
}

// sameString compares two JSON strings, which may be escaped in different ways.
func sameString(a, b string) bool {
	var x, y string
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && x == y
}

func TestDefaults(t *testing.T) {
	for _, line := range tableLines(t, "defaults.txt", 5) {
		t.Run(strings.Join(line[:4], "/"), func(t *testing.T) {
			var expression string
			if err := json.Unmarshal([]byte(line[3]), &expression); err != nil {
				t.Fatal(err)
			}
			for _, debezium := range []bool{false, true} {
				c := testColumn(line[2])
				c.Default = &expression
				o := testOptions(t, line[1])
				o.Debezium = debezium
				compiled, ok := compileOne(t, o, c)
				if !ok {
					t.Fatal("column has no form")
				}
				got := "none"
				if compiled.node.def != nil {
					got = string(appendAvroDefault(nil, compiled.node))
				}
				if got != line[4] && !sameString(got, line[4]) {
					t.Errorf("got %s, want %s", got, line[4])
				}
			}
		})
	}
}

// TestAbsentGeometry checks the one type that is nullable in the schema where its column is not: what an
// old tuple does not hold is Debezium's empty collection there, an unsent value is null.
func TestAbsentGeometry(t *testing.T) {
	c := testColumn("geometry")
	c.NotNull = true
	r := &Relation{Namespace: "public", Name: "t", Columns: []Column{c}}
	codec, err := Compile(r, "t", Options{Debezium: true})
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[Kind]string{
		Absent:    `{wkb:"0x010700000000000000",srid:null}`,
		Unchanged: "null",
	} {
		w := &writer{}
		if err := codec.appendDatum(w, &codec.row[0], Datum{Kind: kind}); err != nil {
			t.Fatal(err)
		}
		reader := datumReader{rest: w.dst}
		if got := reader.value(codec.row[0].node); got != want || reader.err != nil {
			t.Errorf("kind %d: got %s, want %s (%v)", kind, got, want, reader.err)
		}
	}
}

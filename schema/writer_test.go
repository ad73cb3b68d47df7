package schema

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestJavaFloat has what Double.toString and Float.toString of Java 19 and later print.
func TestJavaFloat(t *testing.T) {
	for _, test := range []struct {
		v    float64
		bits int
		want string
	}{
		{0, 64, "0.0"},
		{math.Copysign(0, -1), 64, "-0.0"},
		{1, 64, "1.0"},
		{-2.5, 64, "-2.5"},
		{0.1, 64, "0.1"},
		{0.001, 64, "0.001"},
		{0.00099, 64, "9.9E-4"},
		{1e-4, 64, "1.0E-4"},
		{9999999, 64, "9999999.0"},
		{1e7, 64, "1.0E7"},
		{-1.2345678e8, 64, "-1.2345678E8"},
		{1e23, 64, "1.0E23"},
		{2e-10, 64, "2.0E-10"},
		{math.MaxFloat64, 64, "1.7976931348623157E308"},
		{math.SmallestNonzeroFloat64, 64, "4.9E-324"},
		{2 * math.SmallestNonzeroFloat64, 64, "9.9E-324"},
		{math.NaN(), 64, `"NaN"`},
		{math.Inf(1), 64, `"Infinity"`},
		{math.Inf(-1), 64, `"-Infinity"`},
		{float64(float32(0.1)), 32, "0.1"},
		{math.MaxFloat32, 32, "3.4028235E38"},
		{math.SmallestNonzeroFloat32, 32, "1.4E-45"},
	} {
		if got := string(appendJavaFloat([]byte("x"), test.v, test.bits)); got != "x"+test.want {
			t.Errorf("%v of %d bits is %s, want %s", test.v, test.bits, got[1:], test.want)
		}
	}
}

func TestJSONString(t *testing.T) {
	for in, want := range map[string]string{
		"":                              `""`,
		"plain <&> text/":               `"plain <&> text/"`,
		"q\" b\\":                       `"q\" b\\"`,
		"\b\f\n\r\t":                    `"\b\f\n\r\t"`,
		"\x00\x1f\x7f":                  "\"\\u0000\\u001F\x7f\"",
		"\u00e9\u2028\U0001f600":        "\"\u00e9\u2028\U0001f600\"",
		"cut \xf0\x9f\x98":              "\"cut \ufffd\ufffd\ufffd\"",
		"\xff mid \xc3":                 "\"\ufffd mid \ufffd\"",
		strings.Repeat("a", 300) + "\n": `"` + strings.Repeat("a", 300) + `\n"`,
	} {
		if got := string(appendJSONString([]byte(nil), in)); got != want {
			t.Errorf("string %q is %s, want %s", in, got, want)
		}
		if got := string(appendJSONString([]byte(nil), []byte(in))); got != want {
			t.Errorf("bytes %q are %s, want %s", in, got, want)
		}
	}
}

// FuzzJSONString lets encoding/json read what we wrote.
func FuzzJSONString(f *testing.F) {
	for _, seed := range []string{"", "a\"\\\x00\x7f", "\xff\xc3\x28", "\U0001f600\xf0\x9f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		var out string
		if err := json.Unmarshal(appendJSONString([]byte(nil), in), &out); err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		if utf8.ValidString(in) && out != in {
			t.Fatalf("%q came back as %q", in, out)
		}
	})
}

// TestWriterNests writes one of everything in both forms.
func TestWriterNests(t *testing.T) {
	optional := &node{kind: nodeString, optional: true}
	defaulted := &node{kind: nodeString, optional: true, def: literalString("d")}
	write := func(w *writer) {
		w.structBegin()
		w.fieldName(0, "a")
		w.arrayBegin(2)
		w.item(0)
		w.present(optional)
		w.text([]byte("x"))
		w.item(1)
		w.null(optional)
		w.arrayEnd(2)
		w.fieldName(1, "m")
		w.mapBegin(2)
		w.mapKey(0, []byte("k"))
		w.integer(-1)
		w.mapKey(1, []byte("l"))
		w.integer(64)
		w.mapEnd(2)
		w.fieldName(2, "e")
		w.arrayBegin(0)
		w.arrayEnd(0)
		w.fieldName(3, "f")
		w.mapBegin(0)
		w.mapEnd(0)
		w.fieldName(4, "b")
		w.bytes([]byte{0, 255})
		w.fieldName(5, "d")
		w.null(defaulted)
		w.fieldName(6, "v")
		w.present(defaulted)
		writeLiteral(w, defaulted)
		w.fieldName(7, "t")
		w.boolean(true)
		w.structEnd()
	}
	asJSON, asAvro := writer{json: true}, writer{}
	write(&asJSON)
	write(&asAvro)
	wantJSON := `{"a":["x",null],"m":{"k":-1,"l":64},"e":[],"f":{},"b":"AP8=","d":null,"v":"d","t":true}`
	if got := string(asJSON.dst); got != wantJSON {
		t.Errorf("JSON is %s, want %s", got, wantJSON)
	}
	wantAvro := "\x04\x02\x02x\x00\x00" + "\x04\x02k\x01\x02l\x80\x01\x00" + "\x00" + "\x00" +
		"\x04\x00\xff" + "\x02" + "\x00\x02d" + "\x01"
	if got := string(asAvro.dst); got != wantAvro {
		t.Errorf("Avro is %x, want %x", got, wantAvro)
	}
}

// TestDefaultTexts has the texts of a default in each form, of wire.md's rules: Avro has bytes as one
// character each, JSON as base64.
func TestDefaultTexts(t *testing.T) {
	for _, test := range []struct {
		node             *node
		avro, json, data string
	}{
		{
			&node{kind: nodeBytes, def: literalBytes([]byte{4, 0xd2})},
			"\"\\u0004\u00d2\"", `"BNI="`, "\x04\x04\xd2",
		},
		{&node{kind: nodeBoolean, def: literalBool(true)}, "true", "true", "\x01"},
		{&node{kind: nodeInt16, def: literalInt(-1)}, "-1", "-1", "\x01"},
		{&node{kind: nodeFloat32, def: literalFloat(1.5)}, "1.5", "1.5", "\x00\x00\xc0\x3f"},
		{
			&node{kind: nodeFloat64, def: literalFloat(1e10)},
			"1.0E10", "1.0E10", "\x00\x00\x00\x20\x5f\xa0\x02\x42",
		},
		{&node{kind: nodeString, def: literalString("q\"")}, `"q\""`, `"q\""`, "\x04q\""},
	} {
		if got := string(appendAvroDefault(nil, test.node)); got != test.avro {
			t.Errorf("Avro default is %s, want %s", got, test.avro)
		}
		if got := string(connectJSON(nil, test.node)); !strings.HasSuffix(got, `,"default":`+test.json+`}`) {
			t.Errorf("JSON schema is %s, want default %s", got, test.json)
		}
		var w writer
		if writeLiteral(&w, test.node); string(w.dst) != test.data {
			t.Errorf("datum is %x, want %x", w.dst, test.data)
		}
	}
}

func TestAvroTextNames(t *testing.T) {
	point := func(optional bool) *node {
		return &node{
			kind: nodeStruct, name: "g.Point", version: 1, doc: "a point", optional: optional,
			fields: []field{{"x", &node{kind: nodeFloat64}}},
		}
	}
	n := &node{kind: nodeStruct, name: "g.Top", fields: []field{
		{"a", point(true)},
		{"b", point(false)},
		{"c", &node{kind: nodeArray, items: point(true)}},
		{"d", &node{kind: nodeStruct, fields: []field{{"p", point(false)}}}},
		{"e", &node{kind: nodeStruct, optional: true, fields: []field{{"i", &node{kind: nodeInt16}}}}},
		{"f", &node{kind: nodeMap, optional: true, items: &node{kind: nodeString, optional: true}}},
	}}
	want := `{"type":"record","name":"Top","namespace":"g","fields":[` +
		`{"name":"a","type":["null",{"type":"record","name":"Point","fields":[{"name":"x","type":"double"}],` +
		`"connect.doc":"a point","connect.version":1,"connect.name":"g.Point"}],"default":null},` +
		`{"name":"b","type":"Point"},` +
		`{"name":"c","type":{"type":"array","items":["null","Point"]}},` +
		`{"name":"d","type":{"type":"record","name":"ConnectDefault","namespace":"io.confluent.connect.avro",` +
		`"fields":[{"name":"p","type":"g.Point"}]}},` +
		`{"name":"e","type":["null",{"type":"record","name":"ConnectDefault2",` +
		`"namespace":"io.confluent.connect.avro",` +
		`"fields":[{"name":"i","type":{"type":"int","connect.type":"int16"}}]}],"default":null},` +
		`{"name":"f","type":["null",{"type":"map","values":["null","string"]}],"default":null}],` +
		`"connect.name":"g.Top"}`
	if got := string(avroText(nil, n)); got != want {
		t.Errorf("schema differs at byte %d\ngot  %s\nwant %s", firstDifference(got, want), got, want)
	}
}

package schema

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var updateTypes = flag.Bool("update-types", false, "write TYPES.md anew; read the difference")

// typesHead stands above the generated tables.
const typesHead = "# Types\n\n" +
	"What each Postgres type becomes in a record, under each mode. Written from the type table by a\n" +
	"test, which fails when this file is not what the table says; what values look like is held against\n" +
	"recordings of Debezium 3.6.1.\n\n" +
	"A type is given as Kafka Connect's type, with its semantic name where it has one. A nullable\n" +
	"column is the union of null and that type. Arrays are arrays of the item's type, unless the second\n" +
	"table says otherwise; a domain is its base type; an enum is `string io.debezium.data.Enum` with\n" +
	"its labels as a parameter. A column of a type that is not here is left out, or with\n" +
	"`format.unknown_types: true` is the bytes of its text.\n\n" +
	"| Postgres | by default | in other modes |\n" +
	"|---|---|---|\n"

// modes are the settings under which a type may have another form.
var modes = []struct {
	name string
	o    Options
}{
	{"decimal: double", Options{Decimal: DecimalDouble}},
	{"decimal: string", Options{Decimal: DecimalString}},
	{"time: adaptive_time_microseconds", Options{Time: TimeAdaptiveMicros}},
	{"time: connect", Options{Time: TimeConnect}},
	{"time: isostring", Options{Time: TimeISOString}},
	{"time: microseconds", Options{Time: TimeMicros}},
	{"time: nanoseconds", Options{Time: TimeNanos}},
	{"interval: string", Options{Interval: IntervalString}},
	{"hstore: map", Options{Hstore: HstoreMap}},
	{"binary: base64", Options{Binary: BinaryBase64}},
	{"binary: hex", Options{Binary: BinaryHex}},
}

var kindNames = [...]string{
	nodeBoolean: "boolean", nodeInt8: "int8", nodeInt16: "int16", nodeInt32: "int32", nodeInt64: "int64",
	nodeFloat32: "float32", nodeFloat64: "float64", nodeString: "string", nodeBytes: "bytes", nodeArray: "array",
	nodeMap: "map", nodeStruct: "struct",
}

// formText says what a type becomes.
func formText(o Options, typ *Type, typmod int32) string {
	f, ok := formOf(request{options: &o, typ: typ, typmod: typmod, notNull: true})
	if !ok {
		return "left out"
	}
	return nodeText(f.node)
}

func nodeText(n *node) string {
	text := kindNames[n.kind]
	switch n.kind {
	case nodeArray:
		text += " of " + nodeText(n.items)
	case nodeMap:
		text += " of " + nodeText(n.items)
	}
	if n.name != "" {
		text += " " + n.name
	}
	return text
}

// TestTypesReference: TYPES.md is what the type table says.
func TestTypesReference(t *testing.T) {
	var b strings.Builder
	b.WriteString(typesHead)
	numeric := int32(10<<16 | 2 + 4)
	for _, line := range []struct {
		name   string
		typmod int32
	}{
		{"numeric(10,2)", numeric}, {"bit(8)", 8}, {"bit(1)", 1}, {"time(3)", 3}, {"timestamp(3)", 3}, {"", -1},
	} {
		for _, p := range pgTypes {
			name := line.name
			if base, _, _ := strings.Cut(name, "("); name != "" && base != p.name || p.form == nil {
				continue
			} else if name == "" {
				name = p.name
			}
			typ := &Type{OID: p.oid, Name: p.name, Kind: KindBase, Namespace: "pg_catalog"}
			if p.oid == 0 {
				typ.Namespace = "public"
			}
			plain := formText(Options{}, typ, line.typmod)
			var others []string
			for _, m := range modes {
				if other := formText(m.o, typ, line.typmod); other != plain {
					others = append(others, "`"+m.name+"` "+other)
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", name, plain, strings.Join(others, "; "))
		}
	}
	b.WriteString("\n| array of | what becomes of it |\n|---|---|\n")
	rules := map[arrayRule]string{
		itemsRequired: "its items are never null in the schema", noArray: "left out", unknownItems: "left out",
		itemsBroken: "left out natively; the schema of one item with `compatibility: debezium`",
	}
	for _, p := range pgTypes {
		if rule := rules[p.items]; rule != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", p.name, rule)
		}
	}
	const file = "TYPES.md"
	if *updateTypes {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != b.String() {
		t.Errorf("%s is not what the type table says: go test ./schema -run TestTypesReference -update-types",
			file)
	}
}

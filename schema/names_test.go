package schema

import (
	"strings"
	"testing"
)

func TestTopic(t *testing.T) {
	long := strings.Repeat("t", 300)
	for _, test := range []struct{ prefix, namespace, table, want string }{
		{"pg1", "public", "orders", "pg1.public.orders"},
		{"pg1", "Mixed Case", "Order Lines", "pg1.Mixed_Case.Order_Lines"},
		{"my-srv", "public", "dash-table", "my-srv.public.dash-table"},
		{"p", "public", "gr\u00f6\u00dfe", "p.public.gr__e"},
		{"p", "public", "\U0001f600", "p.public.__"}, // two UTF-16 units
		{"p", "", "t", "p.t"},
		{"", "public", "t", "public.t"},
		{"p", "public", long, ("p.public." + long)[:249]},
		{".", "", "", "_"},
		{"..", "", "", "__"},
	} {
		if got := Topic(test.prefix, test.namespace, test.table); got != test.want {
			t.Errorf("topic of %q %q %q is %q, want %q", test.prefix, test.namespace, test.table, got, test.want)
		}
	}
}

func TestAdjustNames(t *testing.T) {
	for _, test := range []struct{ name, avroSchema, avroField, unicodeField string }{
		{"a b-c", "a_b_c", "a_b_c", "a_u0020b_u002dc"},
		{"x.y", "x.y", "x_y", "x_u002ey"},
		{"1st", "_1st", "_1st", "_u0031st"},
		{"a.1st", "a.1st", "a_1st", "a_u002e1st"},
		{"gr\u00f6\u00dfe", "gr__e", "gr__e", "gr_u00f6_u00dfe"},
		{"\u0153\u4e2d", "__", "__", "_u153_u4e2d"},
		{"under_score", "under_score", "under_score", "under_u005fscore"},
		{"Plain9", "Plain9", "Plain9", "Plain9"},
	} {
		if got := adjustSchemaName(test.name, NameAvro); got != test.avroSchema {
			t.Errorf("schema name %q is %q, want %q", test.name, got, test.avroSchema)
		}
		if got := adjustFieldName(test.name, NameAvro); got != test.avroField {
			t.Errorf("field name %q is %q, want %q", test.name, got, test.avroField)
		}
		if got := adjustFieldName(test.name, NameAvroUnicode); got != test.unicodeField {
			t.Errorf("field name %q in Unicode is %q, want %q", test.name, got, test.unicodeField)
		}
		if got := adjustFieldName(test.name, NameNone); got != test.name {
			t.Errorf("field name %q is %q without adjustment", test.name, got)
		}
	}
}

// TestFieldNamesFollowTheConverter has Debezium's rule that one Avro converter is enough for field names
// to be adjusted.
func TestFieldNamesFollowTheConverter(t *testing.T) {
	for _, test := range []struct {
		key, value Format
		set, want  NameMode
	}{
		{Avro, Avro, NameNone, NameAvro},
		{JSONBare, Avro, NameNone, NameAvro},
		{Avro, JSONSchemas, NameNone, NameAvro},
		{JSONBare, JSONSchemas, NameNone, NameNone},
		{Avro, Avro, NameAvroUnicode, NameAvroUnicode},
		{JSONBare, JSONBare, NameAvro, NameAvro},
	} {
		o := Options{KeyFormat: test.key, ValueFormat: test.value, FieldNames: test.set}
		if got := o.fieldNames(); got != test.want {
			t.Errorf("%+v: mode %d, want %d", test, got, test.want)
		}
	}
}

package schema

import (
	"bytes"
	"testing"
)

// keyTable has a key of every shape that a key column's form may have.
func keyTable() (*Relation, Row) {
	columns := []struct {
		name, text string
		typ        *Type
		mod        int32
		nullable   bool
		def        *string
	}{
		{"b", "t", boolType, -1, false, nil},
		{"i", "-7", int4Type, -1, false, nil},
		{"l", "1234567890123", int8Type, -1, true, ptrTo("5")},
		{"f", "1.25", float8Type, -1, false, nil},
		{"t", "a \"text\" \u00e9", textType, -1, true, nil},
		{"raw", `\x00ff10`, byteaType, -1, false, nil},
		{"price", "12.30", numericType, 10<<16 + 2 + 4, false, nil},
		{"any", "0.001", numericType, -1, true, nil},
		{"at", "2024-03-01 10:20:30.5+00", tstzType, -1, false, nil},
	}
	r := &Relation{Namespace: "public", Name: "k", Identity: IdentityDefault}
	row := Row{}
	for i, c := range columns {
		r.Columns = append(r.Columns, Column{
			Name: c.name, Type: c.typ, TypMod: c.mod, NotNull: !c.nullable, Default: c.def, InIdentity: true,
		})
		r.Key = append(r.Key, i)
		row = append(row, textOf(c.text))
	}
	r.Columns = append(r.Columns, Column{Name: "rest", Type: textType, TypMod: -1})
	return r, append(row, Datum{Kind: Absent})
}

// TestKeyRow writes a key, reads it back as a row, and has the codec write the same key and the same before
// of it as of the texts.
func TestKeyRow(t *testing.T) {
	for _, format := range []Format{Avro, JSONBare, JSONSchemas} {
		r, row := keyTable()
		o := ordersOptions()
		o.KeyFormat, o.ValueFormat = format, format
		c := mustCompile(t, r, o)
		nulls := append(Row(nil), row...)
		nulls[2], nulls[4], nulls[7] = Datum{}, Datum{}, Datum{}
		for _, row := range []Row{row, nulls} {
			key, err := c.AppendKey(nil, row)
			if err != nil {
				t.Fatal(err)
			}
			back := c.KeyRow(key)
			if back == nil {
				t.Fatalf("format %v: the key is none", format)
			}
			again, err := c.AppendKey(nil, back)
			if err != nil || !bytes.Equal(again, key) {
				t.Errorf("format %v: key %q became %q, %v", format, key, again, err)
			}
			want, err := c.AppendValue(nil, &Envelope{Op: OpDelete, Before: row})
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.AppendValue(nil, &Envelope{Op: OpDelete, Before: back})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("format %v: before\n%q, want\n%q, %v", format, got, want, err)
			}
			for end := range key { // a key cut off is none, and nothing is read behind its end
				if c.KeyRow(key[:end:end]) != nil {
					t.Errorf("format %v: %d of %d bytes were taken for a key", format, end, len(key))
				}
			}
			if c.KeyRow(append(key, 0)) != nil && format == Avro {
				t.Error("a byte behind the key was passed over")
			}
		}
	}
}

// TestKeyRowOther has keys that a codec cannot write as a row.
func TestKeyRowOther(t *testing.T) {
	o := ordersOptions()
	o.ValueFormat = JSONBare
	if c := mustCompile(t, ordersTable(), o); c.KeyRow([]byte{2}) != nil {
		t.Error("a key in Avro went into a value in JSON")
	}
	o.ValueFormat = Avro
	r := ordersTable()
	r.Key = nil
	if c := mustCompile(t, r, o); c.KeyRow([]byte{2}) != nil {
		t.Error("a table without a key has one")
	}
}

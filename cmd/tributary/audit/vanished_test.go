package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/tributary-cdc/tributary/schema"
)

// TestVanished folds a log by key and takes the table's keys away.
func TestVanished(t *testing.T) {
	b := newBench(t, relation(0), schema.Avro)
	v := NewVanished(VanishedOptions{
		Table: "public.t", Codec: b.codec, Rows: 3, Reader: b.reader,
		Spill: b.spill,
	})
	for _, c := range []change{
		{op: schema.OpRead, row: "1 a"},
		{op: schema.OpCreate, row: "2 a"},
		{op: schema.OpUpdate, row: "2 b"},
		{op: schema.OpCreate, row: "3 a"},
		{op: schema.OpDelete, row: "3"},
		{op: 0, row: "3"},
		{op: schema.OpCreate, row: "4 a"},
		{op: 0, row: "4"}, // compaction has left the tombstone alone
		{op: schema.OpCreate, row: "5 a"},
		{op: schema.OpDelete, row: "5"},
		{op: schema.OpCreate, row: "5 b"},
		{op: schema.OpTruncate},
		{op: schema.OpCreate, row: "6 a"},
	} {
		key, value := b.record(c)
		if err := v.Record(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	key, _ := b.record(change{op: schema.OpCreate, row: "7 a"})
	if err := v.Record(t.Context(), key, []byte{0, 0, 0, 0, 2, 1}); err != nil {
		t.Errorf("a value that is none, under a key: %v", err)
	}
	var foreign *KeyError
	err := v.Record(t.Context(), []byte("not ours"), nil)
	if !errors.As(err, &foreign) || !foreign.NeedsPerson() {
		t.Errorf("a key that is none: %v", err)
	}
	for _, row := range []string{"2", "6", "100"} {
		absent := values(3, row)
		absent[1].Kind, absent[2].Kind = schema.Absent, schema.Absent
		if err := v.Row(absent); err != nil {
			t.Fatal(err)
		}
	}
	var gone []string
	if err := v.Each(func(raw []byte) error {
		id, _ := binary.Varint(raw[5:])
		gone = append(gone, fmt.Sprint(id))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(gone)
	if fmt.Sprint(gone) != "[1 5 7]" {
		t.Errorf("%v have vanished, want 1, 5 and 7", gone)
	}
}

// TestVanishedVersions has a key stand in a topic under two schemas: while the table has it nothing is
// deleted; when it has gone, both are.
func TestVanishedVersions(t *testing.T) {
	b := newBench(t, relation(0), schema.Avro)
	old := relation(0)
	old.Columns[0].Type = &schema.Type{OID: 23, Namespace: "pg_catalog", Name: "int4", Kind: schema.KindBase}
	narrow, err := schema.Compile(old, "p.public.t", schema.Options{Name: "p"})
	if err != nil {
		t.Fatal(err)
	}
	v := NewVanished(VanishedOptions{
		Table: "public.t", Codec: b.codec, Rows: -1, Reader: b.reader,
		Spill: b.spill,
	})
	for id := range 2 {
		_, value := b.record(change{op: schema.OpCreate, row: fmt.Sprint(id)})
		key, err := narrow.AppendKey(b.prefix(narrow.KeySchema(), 9), values(3, fmt.Sprint(id)))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range [][]byte{key, b.key(values(3, fmt.Sprint(id)))} {
			if err := v.Record(t.Context(), key, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := v.Row(values(3, "0")); err != nil {
		t.Fatal(err)
	}
	var schemas []byte
	if err := v.Each(func(raw []byte) error {
		if id, _ := binary.Varint(raw[5:]); id != 1 {
			t.Errorf("key %d has vanished", id)
		}
		schemas = append(schemas, raw[4])
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(schemas)
	if !slices.Equal(schemas, []byte{1, 9}) {
		t.Errorf("deleted under schemas %v", schemas)
	}
}

package publisher

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// recordCase is a change of a relation, and the records that it makes.
type recordCase struct {
	name     string
	relation *schema.Relation
	o        Options
	change   decoder.Change
	want     string
}

func someRecords() []recordCase {
	items := relationOf("items")
	full := relationOf("items")
	full.Identity = schema.IdentityFull
	static := []kgo.RecordHeader{{Key: "team", Value: []byte("x")}}
	return []recordCase{
		{
			"read", items,
			Options{},
			decoder.Change{Op: schema.OpRead, New: rowOf(1, "a")},
			`{"id":1} {"before":null,"after":{"id":1,"v":"a"},"transaction":null,"op":"r"}`,
		},
		{
			"update without old", items,
			Options{Headers: static},
			decoder.Change{Op: schema.OpUpdate, New: rowOf(1,
				"a")},
			`{"id":1} {"before":null,"after":{"id":1,"v":"a"},"transaction":null,"op":"u"} team=x`,
		},
		{
			"update of the same key", full,
			Options{},
			decoder.Change{
				Op: schema.OpUpdate, Old: rowOf(1, "a"),
				New: rowOf(1, "b"),
			},
			`{"id":1} {"before":{"id":1,"v":"a"},"after":{"id":1,"v":"b"},"transaction":null,"op":"u"}`,
		},
		{
			"key change", items,
			Options{Headers: static},
			decoder.Change{Op: schema.OpUpdate, Old: keyOnly(1), OldIsKey: true, New: rowOf(2, "b")},
			`{"id":1} {"before":{"id":1,"v":null},"after":null,"transaction":null,"op":"d"} ` +
				`__debezium.newkey={"id":2} team=x
{"id":1} null __debezium.newkey={"id":2} team=x
{"id":2} {"before":null,"after":{"id":2,"v":"b"},"transaction":null,"op":"c"} __debezium.oldkey={"id":1} ` +
				`team=x`,
		},
		{
			"key change, numbered, no tombstone", full,
			Options{Transactions: true, NoTombstones: true},
			decoder.Change{Op: schema.OpUpdate, LSN: 5, Old: rowOf(1, "a"), New: rowOf(2, "b")},
			`{"id":1} {"before":{"id":1,"v":"a"},"after":null,"transaction":{"id":"7:5","total_order":1,` +
				`"data_collection_order":1},"op":"d"} __debezium.newkey={"id":2}
{"id":2} {"before":null,"after":{"id":2,"v":"b"},"transaction":{"id":"7:5","total_order":2,` +
				`"data_collection_order":2},"op":"c"} __debezium.oldkey={"id":1}`,
		},
	}
}

func moreRecords() []recordCase {
	items := relationOf("items")
	full := relationOf("items")
	full.Identity = schema.IdentityFull
	keyless := relationOf("items")
	keyless.Key = nil
	foreign := relationOf("items")
	foreign.Identity, foreign.Columns[0].InIdentity, foreign.Columns[1].InIdentity = schema.IdentityIndex,
		false, true
	return []recordCase{
		{
			"delete of a keyless table", keyless,
			Options{},
			decoder.Change{Op: schema.OpDelete, Old: rowOf(1, "a")},
			` {"before":{"id":1,"v":"a"},"after":null,"transaction":null,"op":"d"}` + "\n null",
		},
		{
			"truncate", items,
			Options{},
			decoder.Change{Op: schema.OpTruncate},
			` {"before":null,"after":null,"transaction":null,"op":"t"}`,
		},
		{
			"unchanged", full,
			Options{SkipUnchanged: true},
			decoder.Change{Op: schema.OpUpdate, Old: rowOf(1, "a"), New: rowOf(1, "a")},
			"unchanged",
		},
		{
			"unchanged, key only", items,
			Options{SkipUnchanged: true},
			decoder.Change{Op: schema.OpUpdate, New: rowOf(1, "a")},
			`{"id":1} {"before":null,"after":{"id":1,"v":"a"},"transaction":null,"op":"u"}`,
		},
		{
			"key outside of the identity", foreign,
			Options{},
			decoder.Change{
				Op: schema.OpDelete, Ordinal: 4,
				Old: keyOnly(0), OldIsKey: true,
			},
			"write key of public.items for change 4 of the transaction that commits at 0/99: key column id is not " +
				"part of " +
				"the replica identity: ALTER TABLE public.items REPLICA IDENTITY FULL (or DEFAULT, when the key is the " +
				"primary key) [E153]",
		},
	}
}

func TestRecords(t *testing.T) {
	json := schema.Options{KeyFormat: schema.JSONBare, ValueFormat: schema.JSONBare}
	for _, c := range append(someRecords(), moreRecords()...) {
		t.Run(c.name, func(t *testing.T) {
			c.o.Schema = json
			c.change.Relation = c.relation
			b, tb := builderOf(t, c.relation, c.o)
			if got := build(t, b, tb, c.change); got != c.want {
				t.Errorf("want\n%s\ngot\n%s", c.want, got)
			}
		})
	}
}

// TestKeyChangeHalves leaves out the halves of a key change by what each is, as in the recorded scenario
// skip_ops.
func TestKeyChangeHalves(t *testing.T) {
	r := relationOf("items")
	const deleted, tombstone = `{"id":1} {"before":{"id":1,"v":"a"}`, `{"id":1} null`
	const created = `{"id":2} {"before":null,"after":{"id":2,"v":"a"}`
	for _, test := range []struct {
		skip             []schema.Op
		deletes, creates bool
	}{
		{nil, true, true},
		{[]schema.Op{schema.OpDelete}, false, true},
		{[]schema.Op{schema.OpCreate}, true, false},
		{[]schema.Op{schema.OpDelete, schema.OpCreate}, false, false},
	} {
		o := Options{Skip: test.skip, Transactions: true}
		o.Schema.KeyFormat, o.Schema.ValueFormat = schema.JSONBare, schema.JSONBare
		b, tb := builderOf(t, r, o)
		c := decoder.Change{Op: schema.OpUpdate, Relation: r, Old: rowOf(1, "a"), New: rowOf(2, "a")}
		got := build(t, b, tb, c)
		if strings.Contains(got, deleted) != test.deletes || strings.Contains(got, tombstone) != test.deletes ||
			strings.Contains(got, created) != test.creates {
			t.Errorf("without %s:\n%s", test.skip, got)
		}
		want := int64(0)
		for _, made := range []bool{test.deletes, test.creates} {
			if made {
				want++
			}
		}
		if b.numbers.total != want {
			t.Errorf("without %s: counts as %d changes, want %d", test.skip, b.numbers.total, want)
		}
	}
}

// TestNumberMessage counts logical messages in a transaction, each as a table of its own, as in the recorded
// scenario messages_two; the order of the counts is that of a Java hash table.
func TestNumberMessage(t *testing.T) {
	b := newBuilder(&Options{Transactions: true})
	b.numbers.reset(nil)
	b.numbers.add("public.t", 1)
	b.envelope.Source.TxID, b.envelope.Source.LSN = 5, 0x10
	b.numberMessage(&decoder.Change{Op: schema.OpMessage, LSN: 0x10, Transactional: true})
	want := schema.Transaction{TxID: 5, LSN: 0x10, TotalOrder: 2, CollectionOrder: 1}
	if b.envelope.Transaction != want {
		t.Errorf("got %+v, want %+v", b.envelope.Transaction, want)
	}
	b.envelope.Transaction = schema.Transaction{}
	b.numberMessage(&decoder.Change{Op: schema.OpMessage, LSN: 0x20})
	if b.envelope.Transaction != (schema.Transaction{}) || b.numbers.total != 2 {
		t.Errorf("a message outside of a transaction: %+v, %d", b.envelope.Transaction, b.numbers.total)
	}
	b.numbers.reset(nil)
	for _, name := range []string{"public.t", "public.c", "public.p_1", "public.p_2"} {
		b.numbers.add(name, 1)
	}
	var names []string
	for _, c := range b.numbers.inOrder(nil) {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "public.c public.t public.p_2 public.p_1" {
		t.Errorf("order %s", got)
	}
}

// TestKeyOfZeros has a table whose replica identity is an index on v and whose key is id, as in the recorded
// scenario identity_index_other: the old row of a delete has no id.
func TestKeyOfZeros(t *testing.T) {
	r := relationOf("items")
	r.Identity, r.Columns[0].InIdentity, r.Columns[1].InIdentity = schema.IdentityIndex, false, true
	old := rowOf(1, "a")
	old[0] = schema.Datum{Kind: schema.Absent}
	byIndex := *r
	byIndex.Key = []int{1} // what source.key_columns makes of it
	for _, test := range []struct {
		name     string
		relation *schema.Relation
		debezium bool
		want     string
	}{
		{
			"debezium", r, true,
			`{"id":0} {"before":{"id":0,"v":"a"},"after":null,"transaction":null,"op":"d"}` + "\n" + `{"id":0} null`,
		},
		{"native", r, false, "key column id is not part of the replica identity"},
		{
			"by another switch", &byIndex, false,
			`{"v":"a"} {"before":{"id":0,"v":"a"},"after":null,"transaction":null,"op":"d"}` + "\n" +
				`{"v":"a"} null`,
		},
	} {
		var o Options
		o.Schema.KeyFormat, o.Schema.ValueFormat = schema.JSONBare, schema.JSONBare
		o.Schema.Debezium = test.debezium
		b, tb := builderOf(t, test.relation, o)
		c := decoder.Change{Op: schema.OpDelete, Relation: test.relation, Old: old, OldIsKey: true}
		if got := build(t, b, tb, c); !strings.Contains(got, test.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
}

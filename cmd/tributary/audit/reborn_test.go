package audit

import (
	"testing"

	"github.com/tributary-cdc/tributary/schema"
)

// TestFoldReborn compares a table that has dropped a column and added one of the same name: a row whose last
// record is older has the new column's beginning, not the dropped one's value. Whatever else differs does.
func TestFoldReborn(t *testing.T) {
	rows := []string{"1 one", "2 two", "3 three 3", "4 four 9", "5 five", "6 six", "7 seven"}
	log := []change{
		{op: 'c', row: "1 one 7", lsn: 1, txID: 90},
		{op: 'c', row: "2 two 7", lsn: 2, txID: 96}, // behind the addition
		{op: 'c', row: "3 three 3", lsn: 3, txID: 90},
		{op: 'c', row: "4 four 7", lsn: 4, txID: 90}, // to what no row had without a default
		{op: 'r', row: "5 five 7", txID: 95},
		{op: 'r', row: "6 six 7", txID: 97}, // of a snapshot behind the addition
		{op: 'c', row: "7 other 7", lsn: 7, txID: 90},
	}
	keys := func(r Table) string {
		text := ""
		for _, d := range r.DifferingKeys {
			text += d.Key
			for _, c := range d.Columns {
				text += " " + c
			}
			text += "; "
		}
		return text
	}
	for _, test := range []struct {
		name  string
		added map[string]Added
		older int64
		want  string
	}{
		{
			"no column was added", nil, 0,
			`{"id":1} n; {"id":2} n; {"id":4} n; {"id":5} n; {"id":6} n; {"id":7} a n; `,
		},
		{"added", map[string]Added{"n": {XID: 95}}, 3, `{"id":2} n; {"id":4} n; {"id":6} n; {"id":7} a; `},
		{
			"added with a default",
			map[string]Added{"n": {XID: 95, Filled: true}},
			4,
			`{"id":2} n; {"id":6} n; {"id":7} a; `,
		},
	} {
		b := newBench(t, relation(0), schema.Avro)
		b.added, b.samples = test.added, 10
		r := b.fold(rows, log)
		if got := keys(r); got != test.want || r.Older != test.older {
			t.Errorf("%s: %d older, want %d; differing %s, want %s", test.name, r.Older, test.older, got, test.want)
		}
	}
}

// TestFoldRebornPlaceholder: an unsent value is not that of a column that was dropped.
func TestFoldRebornPlaceholder(t *testing.T) {
	b := newBench(t, relation(0), schema.Avro)
	b.added = map[string]Added{"a": {XID: 95}}
	r := b.fold([]string{"1 new 2"}, []change{
		{op: 'c', row: "1 dropped 1", lsn: 1, txID: 90},
		{op: 'u', row: "1 <unsent> 2", lsn: 2, txID: 96},
	})
	if r.Differing != 0 || r.Unresolved != 1 || !r.Clean(false) {
		t.Errorf("%+v", r)
	}
}

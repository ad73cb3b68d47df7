package publisher

import (
	"testing"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// TestTaken gives a publisher streams whose first transaction another program has published in part. The
// stream of each is transaction 1 with the changes a1 to a4 at LSNs 1101, 1102, 1102, 1104, then
// transaction 2 with b1, whose LSN lies among those of the first.
func TestTaken(t *testing.T) {
	for name, c := range map[string]struct {
		taken *Taken
		want  string
	}{
		"nothing":               {nil, "1 2 3 4 5"},
		"another transaction":   {&Taken{XID: 9, LSN: 1102, Changes: 1}, "1 2 3 4 5"},
		"the first change":      {&Taken{XID: 1, LSN: 1101, Changes: 1}, "2 3 4 5"},
		"one of a shared LSN":   {&Taken{XID: 1, LSN: 1102, Changes: 1}, "3 4 5"},
		"both of a shared LSN":  {&Taken{XID: 1, LSN: 1102, Changes: 2}, "4 5"},
		"only its beginning":    {&Taken{XID: 1, LSN: 1100}, "1 2 3 4 5"},
		"all of it":             {&Taken{XID: 1, LSN: 1104, Changes: 1}, "5"},
		"an LSN without change": {&Taken{XID: 1, LSN: 1103, Changes: 1}, "4 5"},
		"passed":                {&Taken{XID: 1, LSN: 1104, Changes: 1, Passed: true}, "1 2 3 4 5"},
	} {
		for _, limit := range []int{1, 50} {
			r := newRig(t)
			r.o.Start, r.o.Taken, r.o.WindowRecords = 1000, c.taken, limit
			a := relationOf("a")
			at := func(lsn decoder.LSN, id int) decoder.Change {
				return decoder.Change{LSN: lsn, Op: schema.OpCreate, Relation: a, New: rowOf(id, "v")}
			}
			s := newStory()
			s.transaction(at(1101, 1), at(1102, 2), at(1102, 3), at(1104, 4))
			s.transaction(at(1103, 5))
			whole := s.cut()
			// The progress before the stream stores a position: what is taken must outlive it.
			r.must(&decoder.Batch{Progress: []byte(`{"done":true}`)})
			_, err := r.feed(func(stored *Stored) []*decoder.Batch {
				if (stored.Taken == nil) != (c.taken == nil) {
					t.Errorf("%s: stored %+v", name, stored.Taken)
				}
				return after([]*decoder.Batch{whole}, stored.Resume)
			})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for id := 1; id <= 5; id++ {
				for _, rec := range r.read("p.public.a") {
					if string(rec.Key) == `{"id":`+string(rune('0'+id))+`}` {
						got += " " + string(rune('0'+id))
					}
				}
			}
			if got != " "+c.want {
				t.Errorf("%s, windows of %d: want %s, got%s", name, limit, c.want, got)
			}
			if k := r.stored().Taken; k != nil && !k.Passed {
				t.Errorf("%s: behind the transaction it is still %+v", name, k)
			}
		}
	}
}

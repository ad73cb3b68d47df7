package snapshot

import (
	"fmt"
	"testing"

	"github.com/tributary-cdc/tributary/decoder"
)

// TestHeavyRows reads tables of rows of which there is room for one at a time, small ones in between, by
// several workers: each comes once, no two are on their way at once but for those held back for their
// marker, and the markers are where they belong.
func TestHeavyRows(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		const tables, each, bytes = 3, 4, 17_000_000
		for i := range tables {
			db.exec(fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY, v text)", i),
				fmt.Sprintf("INSERT INTO t%d SELECT g, CASE WHEN g %% 3 = %d THEN 'small' ELSE repeat('x', %d) END "+
					"FROM generate_series(1, %d) g", i, i%3, bytes, each))
		}
		c := db.catalog(CatalogOptions{})
		o := db.runOptions(c, "public.*")
		o.Workers, o.Pool, o.MaxRowBytes = 3, decoder.NewPool(decoder.PoolOptions{}), 2*bytes
		out, done := make(chan *decoder.Batch), make(chan error, 1)
		go func() {
			done <- Run(t.Context(), o, out)
			close(out)
		}()
		var rows []row
		largest := 0
		for b := range out {
			leave := b.Unload() // as one that publishes it
			for i := range b.Transactions {
				for k := range b.Transactions[i].Changes {
					change := &b.Transactions[i].Changes[k]
					largest = max(largest, len(change.New[1].Text))
					text := string(change.New[0].Text) + "|"
					rows = append(rows, row{change.Relation.String(), text, change.Marker})
				}
			}
			b.Release()
			if leave != nil {
				leave()
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for i := range tables {
			eachOnce(t, ids(rows, fmt.Sprintf("public.t%d", i)), 1, each)
		}
		if largest != bytes {
			t.Errorf("the largest value has %d bytes, want %d", largest, bytes)
		}
		checkMarkers(t, rows)
		if !o.Pool.Admit(1 << 30) {
			t.Error("room was not given back")
		}
	})
}

package snapshot

import (
	"context"
	"io"
	"testing"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
)

// benchRows is the size of the table that benchmarks read: 6 columns, some 70 bytes of text a row.
const benchRows = 500_000

func benchDatabase(b *testing.B) *database {
	servers := local.Servers(b)
	db := newDatabase(b, servers[len(servers)-1])
	db.exec("CREATE TABLE t (id bigint PRIMARY KEY, a int, b text, c timestamptz, d numeric(12,2), e bool)",
		"INSERT INTO t SELECT g, g % 1000, 'name ' || g, '2024-01-01'::timestamptz + g * interval '1 s', g / "+
			"7.0, g % 2 = 0 "+
			"FROM generate_series(1, 500000) g", "VACUUM ANALYZE t")
	return db
}

// BenchmarkRun reads a table into batches that are thrown away, by the number of workers.
func BenchmarkRun(b *testing.B) {
	for name, workers := range map[string]int{"1 worker": 1, "2 workers": 2} {
		b.Run(name, func(b *testing.B) {
			db := benchDatabase(b)
			c := db.catalog(CatalogOptions{})
			for b.Loop() {
				b.StopTimer() // the creation of a slot waits for others
				o := db.runOptions(c, "public.t")
				o.Workers = workers
				b.StartTimer()
				out, done := make(chan *decoder.Batch, 2), make(chan error, 1)
				go func() { done <- Run(context.Background(), o, out); close(out) }()
				for batch := range out {
					batch.Release()
				}
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				o.Keeper.Close()
			}
			b.ReportMetric(float64(benchRows*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkCopy is the measure of it: COPY of the same rows to nowhere.
func BenchmarkCopy(b *testing.B) {
	db := benchDatabase(b)
	conn := db.open()
	for b.Loop() {
		if _, err := conn.CopyTo(context.Background(), io.Discard, "COPY public.t TO STDOUT"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(benchRows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

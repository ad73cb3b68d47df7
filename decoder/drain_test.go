package decoder

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// BenchmarkDrain reads a backlog of a million narrow rows in transactions of a thousand, decodes and
// discards them.
func BenchmarkDrain(b *testing.B) {
	const rows, perTransaction = 1_000_000, 1000
	for _, u := range local.Servers(b) {
		admin := dial(b, ConnectOptions{URL: u})
		version := ServerVersion(admin)
		b.Run(fmt.Sprintf("Postgres%d", version/10000), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				db := newDatabase(b, u, dial(b, ConnectOptions{URL: u}), version)
				s := db.backlog(rows, perTransaction)
				b.StartTimer()
				began := time.Now()
				reads, bytes := db.drain(s, rows)
				seconds := time.Since(began).Seconds()
				b.ReportMetric(rows/seconds, "rows/s")
				b.ReportMetric(float64(bytes)/seconds/1e6, "MB/s")
				b.ReportMetric(float64(reads), "batches")
			}
		})
	}
}

// backlog writes rows behind a slot and opens its stream.
func (db *database) backlog(rows, perTransaction int) *Stream {
	db.exec("CREATE TABLE public.t (id bigint PRIMARY KEY, a int, b int, c int, at timestamptz, v text)")
	db.exec(`CREATE PUBLICATION "Pub ""1" FOR TABLE public.t`)
	created, err := CreateSlot(context.Background(), CreateOptions{Connect: db.connect, Name: db.slotName()})
	if err != nil {
		db.t.Fatal(err)
	}
	closeQuietly(created.Conn)
	db.exec(fmt.Sprintf(`DO $$ BEGIN FOR n IN 0..%d LOOP
		INSERT INTO public.t SELECT n * %d + i, i, i * 7, 42, now(), 'abcdefghijklmnopqrstuv'
		FROM generate_series(1, %[2]d) i; COMMIT; END LOOP; END $$`, rows/perTransaction-1, perTransaction))
	s, err := Open(context.Background(), db.options())
	if err != nil {
		db.t.Fatal(err)
	}
	return s
}

// drain takes batches until so many rows have come.
func (db *database) drain(s *Stream, rows int) (batches, bytes int) {
	ctx, cancel := context.WithCancel(context.Background())
	out, done := make(chan *Batch, 1), make(chan error, 1)
	go func() { done <- s.Run(ctx, out) }()
	for rows > 0 {
		select {
		case b := <-out:
			for _, t := range b.Transactions {
				rows -= len(t.Changes)
			}
			batches++
			bytes += b.Bytes()
			b.Release()
		case err := <-done:
			db.t.Fatal(err)
		}
	}
	cancel()
	_ = <-done
	return batches, bytes
}

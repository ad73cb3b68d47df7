package decoder

import (
	"fmt"
	"testing"

	"github.com/jackc/pglogrepl"
)

// benchmarkRow is one kind of row message and the relation it is of.
type benchmarkRow struct {
	name          string
	relation, row []byte
}

// benchmarkRows are the shapes that the notes on throughput measure: narrow, full identity, wide.
func benchmarkRows() []benchmarkRow {
	shape := func(columns int) ([]byte, []any) {
		relation := wireMessage('R', uint32(7), "public", "t", byte('d'), uint16(columns))
		var values []any
		for i := range columns {
			relation = append(relation, wireMessage(1, fmt.Sprintf("c%d", i), uint32(25), int32(-1))...)
			values = append(values, "value of 15 byt")
		}
		return relation, values
	}
	narrow, six := shape(6)
	wide, twenty := shape(20)
	return []benchmarkRow{
		{"insert 6 columns", narrow, wireMessage('I', uint32(7), tuple('N', six...))},
		{"update full 6 columns", narrow, wireMessage('U', uint32(7), tuple('O', six...), tuple('N', six...))},
		{"update 6 columns", narrow, wireMessage('U', uint32(7), tuple('N', six...))},
		{"delete 6 columns", narrow, wireMessage('D', uint32(7), tuple('K', "1", nil, nil, nil, nil, nil))},
		{"insert 20 columns", wide, wireMessage('I', uint32(7), tuple('N', twenty...))},
	}
}

// BenchmarkDecode decodes one row a time into batches from a pool.
func BenchmarkDecode(b *testing.B) {
	for _, row := range benchmarkRows() {
		b.Run(row.name, func(b *testing.B) {
			d := NewDecoder(DecoderOptions{Describe: describeAll})
			pool := NewPool(PoolOptions{})
			batch := pool.Get()
			for _, m := range [][]byte{row.relation, beginMessage(1)} {
				if err := d.Decode(1, m, batch); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(row.row)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(1, row.row, batch); err != nil {
					b.Fatal(err)
				}
				if batch.Full() {
					batch.Release()
					batch = pool.Get()
				}
			}
		})
	}
}

// BenchmarkTransactions decodes transactions of one row: begin, insert, commit.
func BenchmarkTransactions(b *testing.B) {
	row := benchmarkRows()[0]
	d := NewDecoder(DecoderOptions{Describe: describeAll})
	pool := NewPool(PoolOptions{})
	batch := pool.Get()
	if err := d.Decode(1, row.relation, batch); err != nil {
		b.Fatal(err)
	}
	first, last := beginMessage(1), commitMessage(1, 2)
	b.ReportAllocs()
	for b.Loop() {
		d.previous = 0 // the same transaction again
		for _, m := range [][]byte{first, row.row, last} {
			if err := d.Decode(1, m, batch); err != nil {
				b.Fatal(err)
			}
		}
		if batch.Full() {
			batch.Release()
			batch = pool.Get()
		}
	}
}

// BenchmarkPglogrepl is the yardstick: the parser that the decoder does without.
func BenchmarkPglogrepl(b *testing.B) {
	for _, row := range benchmarkRows() {
		b.Run(row.name, func(b *testing.B) {
			b.SetBytes(int64(len(row.row)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pglogrepl.Parse(row.row); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestRowsAllocateNothing is the promise that decoding makes no garbage once the pool is warm.
func TestRowsAllocateNothing(t *testing.T) {
	for _, row := range benchmarkRows() {
		t.Run(row.name, func(t *testing.T) {
			d := NewDecoder(DecoderOptions{Describe: describeAll})
			pool := NewPool(PoolOptions{})
			decode := func(m []byte, batch *Batch) {
				if err := d.Decode(1, m, batch); err != nil {
					t.Fatal(err)
				}
			}
			batch := pool.Get()
			decode(row.relation, batch)
			first, last := beginMessage(1), commitMessage(1, 2)
			fillBatch := func() {
				d.previous = 0 // the same transaction again
				decode(first, batch)
				for !batch.Full() {
					decode(row.row, batch)
				}
				decode(last, batch)
				batch.Release()
				batch = pool.Get()
			}
			for range 10 {
				fillBatch()
			}
			if got := testing.AllocsPerRun(10, fillBatch); got > 0 {
				t.Errorf("%v allocations for a batch of thousands of rows", got)
			}
		})
	}
}

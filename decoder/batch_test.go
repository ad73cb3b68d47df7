package decoder

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/tributary-cdc/tributary/schema"
)

// fillWith adds one transaction of n changes with a row of two columns each, whose values tell the change.
func fillWith(b *Batch, name string, n int) {
	b.Begin(Transaction{First: true, Last: true, Origin: name})
	for i := range n {
		text := b.Copy(fmt.Appendf(nil, "%s %d", name, i))
		row := b.Row(2)
		row[0], row[1] = schema.Datum{Kind: schema.Text, Text: text}, schema.Datum{}
		c := b.Add()
		c.Op, c.New, c.Ordinal = schema.OpCreate, row, uint64(i+1)
	}
}

// checkFilled compares a batch's contents with what fillWith wrote.
func checkFilled(t *testing.T, b *Batch) {
	t.Helper()
	for _, transaction := range b.Transactions {
		for i, c := range transaction.Changes {
			want := fmt.Sprintf("%s %d", transaction.Origin, i)
			if string(c.New[0].Text) != want || c.New[1].Kind != schema.Null || c.Ordinal != uint64(i+1) {
				t.Fatalf("change %d of %s is %d, %q", i, transaction.Origin, c.Ordinal, c.New[0].Text)
			}
			if c.Relation != nil || c.Old != nil || c.Content != nil {
				t.Fatalf("change %d of %s has something of an earlier one", i, transaction.Origin)
			}
		}
	}
}

func TestBatchKeepsWhatItGrowsPast(t *testing.T) {
	pool := NewPool(PoolOptions{BatchBytes: 64 << 10})
	for round := range 5 {
		b := pool.Get()
		for n := range 60 {
			fillWith(b, fmt.Sprintf("round %d transaction %d", round, n), n*n)
		}
		if got := len(b.Transactions); got != 60 {
			t.Fatalf("%d transactions", got)
		}
		checkFilled(t, b)
		b.Release()
	}
}

func TestBatchIsFullByBytes(t *testing.T) {
	pool := NewPool(PoolOptions{BatchBytes: 10_000})
	b := pool.Get()
	for i := 0; !b.Full(); i++ {
		if b.Bytes() >= 10_000 {
			t.Fatal("full is not full")
		}
		fillWith(b, "x", 1)
		if i > 1000 {
			t.Fatal("never full")
		}
	}
	if b.Bytes() < 10_000 || b.Bytes() > 11_000 {
		t.Errorf("full at %d bytes", b.Bytes())
	}
	b.Confirm, b.Progress = 1, []byte("{}")
	b.Release()
	again := pool.Get()
	if again != b || !again.Empty() || again.Bytes() != 0 || again.Full() {
		t.Errorf("got again: empty %t, %d bytes", again.Empty(), again.Bytes())
	}
}

func TestPoolIsBounded(t *testing.T) {
	pool := NewPool(PoolOptions{BatchBytes: 32 << 10, FreeBytes: 100 << 10})
	var all []*Batch
	for range 50 {
		b := pool.Get()
		fillWith(b, "x", 100)
		all = append(all, b)
	}
	for _, b := range all {
		b.Release()
		b.Release() // does nothing
	}
	kept := 0
	for _, b := range pool.free {
		kept += b.held()
	}
	if kept != pool.freeBytes || kept > 100<<10 || kept < 50<<10 {
		t.Errorf("keeps %d bytes in %d batches, counts %d", kept, len(pool.free), pool.freeBytes)
	}
	for range len(pool.free) {
		pool.Get()
	}
	if pool.freeBytes != 0 {
		t.Errorf("%d bytes counted in an empty pool", pool.freeBytes)
	}
}

// TestHugeValueIsNotKept checks that after a row larger than a batch nothing of it stays.
func TestHugeValueIsNotKept(t *testing.T) {
	pool := NewPool(PoolOptions{BatchBytes: 64 << 10})
	b := pool.Get()
	b.Begin(Transaction{})
	row := b.Row(1)
	row[0] = schema.Datum{Kind: schema.Text, Text: b.Copy(bytes.Repeat([]byte("x"), 16<<20))}
	c := b.Add()
	c.New, c.Content = row, row[0].Text
	if !b.Full() {
		t.Error("not full")
	}
	b.Release()
	again := pool.Get()
	if held := again.held(); held > 64<<10 {
		t.Errorf("holds %d bytes", held)
	}
	for _, v := range again.datums.chunk {
		if v.Text != nil {
			t.Fatal("a datum points to the value")
		}
	}
	for _, c := range again.changes.chunk {
		if c.Content != nil || c.New != nil {
			t.Fatal("a change points to the value")
		}
	}
}

func TestEmptyPiecesAreNotNil(t *testing.T) {
	b := new(Batch)
	if b.Row(0) == nil || b.Copy(nil) == nil {
		t.Error("an empty row or value is nil, which means that there is none")
	}
}

// TestPiecesCannotGrowIntoEachOther appends to what a batch handed out.
func TestPiecesCannotGrowIntoEachOther(t *testing.T) {
	b := new(Batch)
	first, second := b.Copy([]byte("first")), b.Copy([]byte("second"))
	_ = append(first, "overwrites"...)
	if string(second) != "second" {
		t.Errorf("got %q", second)
	}
}

// TestPoolFromManyGoroutines is for the race detector: batches are filled in one goroutine and released in
// another.
func TestPoolFromManyGoroutines(t *testing.T) {
	pool := NewPool(PoolOptions{BatchBytes: 4 << 10, FreeBytes: 16 << 10})
	var all sync.WaitGroup
	for g := range 4 {
		batches := make(chan *Batch, 2)
		all.Go(func() {
			defer close(batches)
			for i := range 200 {
				b := pool.Get()
				fillWith(b, fmt.Sprintf("%d %d", g, i), 20)
				batches <- b
			}
		})
		all.Go(func() {
			for b := range batches {
				checkFilled(t, b)
				b.Release()
			}
		})
	}
	all.Wait()
}

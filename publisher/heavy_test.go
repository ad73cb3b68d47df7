package publisher

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// TestHeavyRows has rows come of which there is room for one at a time, in one transaction with small ones in
// between, and in a snapshot: the next is let in while its predecessor's transaction is open, and all come.
func TestHeavyRows(t *testing.T) {
	for _, mode := range []Mode{ExactlyOnce, AtLeastOnce} {
		t.Run(mode.String(), func(t *testing.T) {
			rig := newRig(t)
			rig.o.Mode, rig.o.MaxRecordBytes, rig.o.WindowRecords = mode, 16<<20, 40
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			p, err := Open(ctx, rig.o)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			in, done := make(chan *decoder.Batch), make(chan error, 1)
			go func() { done <- p.Run(ctx, in) }()
			pool, relation, ids := decoder.NewPool(decoder.PoolOptions{}), relationOf("rows"), 0
			put := func(heavy bool, header decoder.Transaction, op schema.Op) {
				t.Helper()
				const room = 30 << 20
				value := "small"
				if heavy { // the room is what counts: less of a value makes the test as strict
					value = strings.Repeat("v", 3<<20)
					if err := pool.Await(ctx, room); err != nil {
						t.Fatalf("row %d found no room: the one before is not delivered", ids)
					}
				}
				b := pool.Get()
				if heavy {
					b.Carry(room)
				}
				b.Begin(header)
				ids++
				*b.Add() = decoder.Change{Op: op, Relation: relation, Ordinal: uint64(ids), New: rowOf(ids, value)}
				if header.Last {
					b.Confirm = header.End
				}
				if op == schema.OpRead {
					b.Progress = []byte(`{"rows":` + strconv.Itoa(ids) + `}`)
				}
				select {
				case in <- b:
				case <-ctx.Done():
					t.Fatal("nobody takes the batch")
				}
			}
			for range 4 {
				put(true, decoder.Transaction{Commit: 100}, schema.OpRead)
			}
			header := decoder.Transaction{Commit: 200, First: true}
			for i := range 40 {
				put(i%4 == 0, header, schema.OpCreate)
				header.First = false
			}
			header.Last, header.End = true, 208
			put(true, header, schema.OpCreate)
			close(in)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if got := len(rig.read("p.public.rows")); got != ids {
				t.Errorf("%d records, want %d", got, ids)
			}
			if p.Confirmed() != 208 {
				t.Errorf("confirmed %s, want 208", p.Confirmed())
			}
			if err := pool.Await(ctx, 1<<30); err != nil {
				t.Error("room was not given back")
			}
		})
	}
}

// TestSpillMovesHeavyRows has a small transaction wait in the window that a heavy row begins: it goes first
// and alone, and the heavy value is not copied.
func TestSpillMovesHeavyRows(t *testing.T) {
	from, to := new(window), new(window)
	at := &topic{name: "t", partitions: 1}
	add := func(w *window, value []byte) {
		r := w.next()
		r.Value = value
		w.add(r, at, time.Now())
	}
	add(from, []byte("before"))
	mark := from.mark()
	large := make([]byte, slabBytes+1)
	add(from, large)
	add(from, []byte("behind"))
	left := 0
	from.heavy = []func(){func() { left++ }}
	from.move(mark, to, 0)
	if from.n != 1 || to.n != 2 || &to.record(0).Value[0] != &large[0] ||
		string(to.record(1).Value) != "behind" {
		t.Fatalf("%d and %d records", from.n, to.n)
	}
	promise := to.promise(func(*kgo.Record, error) {})
	promise(to.record(0), nil)
	if left != 0 || len(to.record(0).Value) != 0 {
		t.Errorf("left %d, %d bytes kept", left, len(to.record(0).Value))
	}
	if promise(to.record(1), nil); left != 1 {
		t.Errorf("left %d times, want once", left)
	}
}

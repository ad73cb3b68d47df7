package decoder

import (
	"runtime"
	"sync"

	"github.com/tributary-cdc/tributary/schema"
)

// defaultBatchBytes is PoolOptions.BatchBytes by default: some 3,000 narrow rows, so that what a batch
// costs is spread thin, and a few batches on their way stay small.
const defaultBatchBytes = 1 << 20

// garbageBytes is how much of large values is left to the garbage collector before it is told. By itself it
// would let the heap grow to twice what is in use, and each of them is there several times: as it was read,
// as it is published, and in Kafka's client.
const garbageBytes = 16 << 20

// PoolOptions bound the memory of batches.
type PoolOptions struct {
	// BatchBytes is the size from which a batch is Full; 0 means 1 MiB. A batch exceeds it by at most one
	// message.
	BatchBytes int
	// FreeBytes is how much memory of released batches is kept for the next ones; 0 means 8 x BatchBytes.
	FreeBytes int
}

func (o PoolOptions) withDefaults() PoolOptions {
	if o.BatchBytes <= 0 {
		o.BatchBytes = defaultBatchBytes
	}
	if o.FreeBytes <= 0 {
		o.FreeBytes = 8 * o.BatchBytes
	}
	return o
}

// Pool makes batches and takes back their memory. It is safe for use by many goroutines: a batch is got by
// the one that fills it and released by the one that has published it.
type Pool struct {
	options PoolOptions
	release func(*Batch) // put, made once: a method value made for each Get would be garbage

	mu        sync.Mutex // guards what follows
	free      []*Batch
	freeBytes int
	large     int // bytes of batches with large values since the collector was told
	heavy     int // bytes of heavy messages that were admitted, see room.go
	left      int // bytes of those that have left since memory was given back
}

// NewPool returns a Pool that holds no memory yet.
func NewPool(o PoolOptions) *Pool {
	p := &Pool{options: o.withDefaults()}
	p.release = p.put
	return p
}

// Get returns an empty batch, with the memory of a released one when there is any.
func (p *Pool) Get() *Batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.free) - 1
	if last < 0 {
		return &Batch{limit: p.options.BatchBytes, release: p.release, pool: p}
	}
	b := p.free[last]
	p.free[last] = nil
	p.free = p.free[:last]
	p.freeBytes -= b.held()
	b.release = p.release
	return b
}

// put takes b back, or leaves it to the garbage collector when enough is kept already.
func (p *Pool) put(b *Batch) {
	large, heavy := 0, b.heavy
	if b.large {
		large = b.used
	}
	b.reset()
	held := b.held()
	p.mu.Lock()
	if p.freeBytes+held <= p.options.FreeBytes {
		p.freeBytes += held
		p.free = append(p.free, b)
	}
	p.large += large
	p.heavy -= heavy
	p.left += heavy
	due := p.large >= garbageBytes
	if due {
		p.large = 0
	}
	p.mu.Unlock()
	if due {
		runtime.GC() // takes a while, in which others may get batches
	}
}

// Bytes returns how much memory the batch's contents take: values, rows, changes and transactions.
func (b *Batch) Bytes() int { return b.used }

// Large says that the batch has a value, or a row, that needed memory of its own.
func (b *Batch) Large() bool { return b.large }

// Full says that the batch has reached its pool's BatchBytes and should be handed over.
func (b *Batch) Full() bool { return b.used >= b.bound() }

// Empty says that the batch tells nothing: neither a transaction nor a Confirm nor a Progress.
func (b *Batch) Empty() bool {
	return len(b.Transactions) == 0 && b.Confirm == 0 && b.Progress == nil
}

// Begin appends t, without changes, as the transaction that Add adds to.
func (b *Batch) Begin(t Transaction) {
	t.Changes = nil
	b.Transactions = append(b.Transactions, t)
	b.used += transactionSize
}

// Add appends a zero change to the batch's last transaction and returns it to be filled in; the pointer is
// valid until the next Add. It must follow a Begin.
func (b *Batch) Add() *Change {
	t := &b.Transactions[len(b.Transactions)-1]
	t.Changes = b.changes.extend(t.Changes, b.bound())
	b.used += changeSize
	c := &t.Changes[len(t.Changes)-1]
	*c = Change{}
	return c
}

// Row returns memory for a tuple of n columns. The caller must write all of it: it holds an earlier tuple.
func (b *Batch) Row(n int) schema.Row {
	row, large := b.datums.take(n, b.bound())
	b.large = b.large || large
	b.used += n * datumSize
	return row
}

// Copy returns a copy of p in the batch's memory, or p itself where that is the batch's to keep. The caller
// may write to it, but not append.
func (b *Batch) Copy(p []byte) []byte {
	if b.adopting && Heavy(len(p)) {
		b.adopted, b.large = true, true
		b.used += len(p)
		return p[:len(p):len(p)]
	}
	c, large := b.bytes.take(len(p), b.bound())
	b.large = b.large || large
	b.used += len(p)
	copy(c, p)
	return c
}

// bound is the size that makes the batch full, and the most that one of its slabs keeps.
func (b *Batch) bound() int {
	if b.limit > 0 {
		return b.limit
	}
	return defaultBatchBytes
}

// held returns the bytes that the batch keeps over a reset.
func (b *Batch) held() int {
	return b.bytes.held() + b.datums.held() + b.changes.held() + cap(b.Transactions)*transactionSize
}

// reset empties the batch and keeps its memory.
func (b *Batch) reset() {
	if b.large {
		// What was too large to keep is still pointed to by rows and changes in memory that is kept.
		clear(b.datums.chunk)
		clear(b.changes.chunk)
		b.large = false
	}
	b.bytes.reset()
	b.datums.reset()
	b.changes.reset()
	b.Transactions = b.Transactions[:0]
	b.Confirm, b.Urgent, b.Progress, b.Covered, b.used, b.open = 0, false, nil, nil, 0, false
	b.heavy, b.adopting, b.adopted = 0, false, false
}

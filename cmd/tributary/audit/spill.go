package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"os"

	"github.com/tributary-cdc/tributary/schema"
)

const (
	// bucketKeys is about how many keys a bucket is made for, and maxBuckets bounds their number and with it the
	// buffers: 1024 buckets of 8 KiB each, for a table's two sides.
	bucketKeys  = 16 << 10
	maxBuckets  = 1024
	bufferBytes = 8 << 10
)

// Spill is a file without a name that holds what memory should not. Its maker closes it.
type Spill struct {
	file *os.File
	end  int64
}

// NewSpill makes a file in a directory, by default the system's for temporary files. It is unlinked at
// once, so that nothing stays of it whatever happens. It holds keys and hashes.
func NewSpill(dir string) (*Spill, error) {
	file, err := os.CreateTemp(dir, "tributary-verify-*")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("unlink a temporary file: %w", err), file.Close())
	}
	return &Spill{file: file}, nil
}

// Bytes returns how much the file has come to hold.
func (s *Spill) Bytes() int64 { return s.end }

// Close frees the file.
func (s *Spill) Close() error { return s.file.Close() }

// extent is where in the file a block lies.
type extent struct{ at, length int64 }

// buckets are entries by the hash of their key, in the order in which they were added. All entries of a key
// are in one bucket.
type buckets struct {
	spill   *Spill
	seed    maphash.Seed
	buffers [][]byte
	blocks  [][]extent
}

// bucketCount returns how many buckets suit a number of rows; an unknown one is negative.
func bucketCount(rows float64) int {
	if rows < 0 {
		return 64
	}
	return min(maxBuckets, 1<<bits.Len(uint(rows)/bucketKeys))
}

func newBuckets(s *Spill, seed maphash.Seed, n int) *buckets {
	return &buckets{spill: s, seed: seed, buffers: make([][]byte, n), blocks: make([][]extent, n)}
}

// entry is one row of the table, or one record of the log.
type entry struct {
	key []byte
	op  schema.Op // 0 for a tombstone that no delete stands before
	// at is source.lsn; of a snapshot's row its xmax.
	at      uint64
	by      uint64 // the transaction, where it matters
	version int
	hashes  []uint32
	raw     []byte // the key as it stands in the topic, of Vanished
}

// add appends an entry; nothing of it is kept.
func (b *buckets) add(e *entry) error {
	i := int(maphash.Bytes(b.seed, e.key) % uint64(len(b.buffers)))
	p := b.buffers[i]
	if p == nil {
		p = make([]byte, 0, bufferBytes)
	}
	p = binary.AppendUvarint(p, uint64(len(e.key)))
	p = append(append(p, e.key...), byte(e.op))
	p = binary.AppendUvarint(p, e.at)
	p = binary.AppendUvarint(p, e.by)
	p = binary.AppendUvarint(p, uint64(e.version))
	p = binary.AppendUvarint(p, uint64(len(e.hashes)))
	for _, h := range e.hashes {
		p = binary.LittleEndian.AppendUint32(p, h)
	}
	p = append(binary.AppendUvarint(p, uint64(len(e.raw))), e.raw...)
	b.buffers[i] = p
	if len(p) < bufferBytes-bufferBytes/8 {
		return nil
	}
	return b.flush(i)
}

// flush writes a bucket's buffer out.
func (b *buckets) flush(i int) error {
	p := b.buffers[i]
	if len(p) == 0 {
		return nil
	}
	if _, err := b.spill.file.WriteAt(p, b.spill.end); err != nil {
		return fmt.Errorf("write a temporary file: %w", err)
	}
	b.blocks[i] = append(b.blocks[i], extent{b.spill.end, int64(len(p))})
	b.spill.end += int64(len(p))
	b.buffers[i] = p[:0]
	if cap(p) > 2*bufferBytes {
		b.buffers[i] = nil // one large key
	}
	return nil
}

// seal writes everything out and frees the buffers.
func (b *buckets) seal() error {
	for i := range b.buffers {
		if err := b.flush(i); err != nil {
			return err
		}
		b.buffers[i] = nil
	}
	return nil
}

// each calls do with a bucket's entries, whose memory is valid until do returns.
func (b *buckets) each(i int, do func(*entry)) error {
	var e entry
	var block []byte
	for _, x := range b.blocks[i] {
		if int64(cap(block)) < x.length {
			block = make([]byte, x.length)
		}
		block = block[:x.length]
		if _, err := b.spill.file.ReadAt(block, x.at); err != nil {
			return fmt.Errorf("read a temporary file: %w", err)
		}
		for p := block; len(p) > 0; {
			p = e.read(p)
			do(&e)
		}
	}
	return nil
}

// read reads an entry and returns what stands behind it. Nobody else can have written to the file.
func (e *entry) read(p []byte) []byte {
	number := func() uint64 {
		n, size := binary.Uvarint(p)
		p = p[size:]
		return n
	}
	length := number()
	e.key, p = p[:length], p[length:]
	e.op, p = schema.Op(p[0]), p[1:]
	e.at, e.by = number(), number()
	e.version = int(number())
	e.hashes = e.hashes[:0]
	for n := number(); n > 0; n-- {
		e.hashes = append(e.hashes, binary.LittleEndian.Uint32(p))
		p = p[4:]
	}
	length = number()
	e.raw, p = p[:length], p[length:]
	return p
}

package decoder

import (
	"unsafe"

	"github.com/tributary-cdc/tributary/schema"
)

// What one element of each kind takes of memory.
const (
	datumSize       = int(unsafe.Sizeof(schema.Datum{}))
	changeSize      = int(unsafe.Sizeof(Change{}))
	transactionSize = int(unsafe.Sizeof(Transaction{}))
)

// firstChunkBytes is small, so that an idle pipeline's batches of a row or two stay small.
const firstChunkBytes = 8 << 10

// slab hands out pieces of one chunk of memory, one behind the other, and takes all of them back at once.
// A chunk that is used up is followed by one of twice its size; the pieces in it keep it alive, the slab
// forgets it. So a slab that is used again and again for the same amount comes to make no garbage at all. Its
// zero value is ready.
type slab[T any] struct {
	chunk []T
	used  int
}

// take returns a piece of n elements. It holds whatever was in that memory before. A piece of more than limit
// bytes is made for itself and not kept: large says so.
func (s *slab[T]) take(n, limit int) (piece []T, large bool) {
	if n == 0 {
		return []T{}, false // not nil: a tuple without columns is a tuple
	}
	if n > len(s.chunk)-s.used {
		if n*s.size() > limit {
			return make([]T, n), true
		}
		s.next(n, limit)
	}
	from := s.used
	s.used += n
	return s.chunk[from:s.used:s.used], false
}

// extend returns piece, the last one taken or nil, with one element more. When the chunk is used up, it
// moves.
func (s *slab[T]) extend(piece []T, limit int) []T {
	from := s.used - len(piece)
	if s.used == len(s.chunk) {
		from = 0
		s.next(2*len(piece)+1, limit)
		s.used = copy(s.chunk, piece)
	}
	s.used++
	return s.chunk[from:s.used:s.used]
}

// next makes the next chunk, for at least n elements.
func (s *slab[T]) next(n, limit int) {
	length := max(2*len(s.chunk), firstChunkBytes/s.size())
	s.chunk = make([]T, max(n, min(length, limit/s.size())))
	s.used = 0
}

// reset takes all pieces back.
func (s *slab[T]) reset() { s.used = 0 }

// size returns the bytes that one element takes.
func (*slab[T]) size() int {
	var zero T
	return int(unsafe.Sizeof(zero))
}

// held returns the bytes that the slab keeps over a reset.
func (s *slab[T]) held() int { return len(s.chunk) * s.size() }

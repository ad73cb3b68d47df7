package decoder

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// wireBytes is the size of the read buffer when no larger message is in it: large enough for a read to be
	// worth its system call.
	wireBytes = 256 << 10
	// readAheadBytes is what one read takes when TLS asks for a record header of 5 bytes.
	readAheadBytes = 128 << 10
	// The walsender sends each message by itself. Above busyRate a read waits for lowWaterBytes, or busyWait,
	// so that it returns many messages; below it returns the first byte: a fixed mark would add its wait
	// to every quiet commit.
	busyRate      = 2 << 20 // bytes a second
	busyWindow    = 20 * time.Millisecond
	busyWait      = time.Millisecond
	lowWaterBytes = 64 << 10
	// writeTimeout bounds the sending of a status; the server's kernel takes thousands of them unread.
	writeTimeout = 30 * time.Second
)

// socket is the network connection below TLS. It reads ahead, as TLS asks for a few bytes at a time, and it
// reaches the kernel's options, which a TLS connection hides.
type socket struct {
	net.Conn
	raw syscall.RawConn // nil when the connection has none

	// mu guards what was read ahead. pgconn reads from two goroutines when a command is cancelled: the one that
	// closes the connection drains it while that which it began to read in the background still waits.
	mu     sync.Mutex
	ahead  []byte
	ahead0 int // ahead[ahead0:ahead1] was read and not yet handed out
	ahead1 int

	lowWater int // its owner's
}

func newSocket(conn net.Conn) *socket {
	s := &socket{Conn: conn, lowWater: 1}
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	s.setUserTimeout(writeTimeout)
	return s
}

// Read hands out what was read ahead before it reads more; a read as large as the read-ahead goes past it.
func (s *socket) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ahead0 == s.ahead1 {
		if len(p) >= readAheadBytes {
			return s.Conn.Read(p)
		}
		if s.ahead == nil {
			s.ahead = make([]byte, readAheadBytes)
		}
		n, err := s.Conn.Read(s.ahead)
		s.ahead0, s.ahead1 = 0, n
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, s.ahead[s.ahead0:s.ahead1])
	s.ahead0 += n
	return n, nil
}

// RowTooLargeError says that one message is larger than StreamOptions.MaxRowBytes. Nothing of it was kept.
type RowTooLargeError struct {
	Bytes, Limit int
	Relation     uint32 // OID of the table, 0 when unknown
	Table        string // schema.table, "" when unknown
	Commit       LSN    // start of the transaction's commit record; 0 for a row of a snapshot
}

func (e *RowTooLargeError) Error() string {
	table := e.Table
	if table == "" {
		table = fmt.Sprintf("relation %d", e.Relation)
	}
	what := "a row of " + table + " for the snapshot"
	if e.Commit > 0 {
		what = fmt.Sprintf("a change of %s in the transaction at %s", table, e.Commit)
	}
	return fmt.Sprintf("read %s: %d bytes, the limit is %d: raise source.max_row_bytes, or leave the large "+
		"column out of the publication", what, e.Bytes, e.Limit)
}

// NeedsPerson is true: the same row comes again.
func (e *RowTooLargeError) NeedsPerson() bool { return true }

// wire frames the server's messages in one reused buffer. One goroutine owns it.
type wire struct {
	conn   net.Conn
	socket *socket // below conn, nil in tests
	limit  int     // most bytes of one message

	buf   []byte
	r, w  int // buf[r:w] was read and not yet consumed
	heavy int // bytes that were admitted for the message that has begun, see room.go

	busy        bool
	windowStart time.Time
	windowBytes int
	lastRead    time.Time // when bytes last came
}

func newWire(conn net.Conn, s *socket, limit int) *wire {
	now := time.Now()
	return &wire{
		conn: conn, socket: s, limit: limit, buf: make([]byte, wireBytes),
		windowStart: now, lastRead: now,
	}
}

// peek returns the first message that is complete, without consuming it; size is its length on the wire, 0
// when there is none. The body is valid until the next fill.
//
//	kind 1 | length 4, itself included | body
func (w *wire) peek() (kind byte, body []byte, size int, err error) {
	have := w.buf[w.r:w.w]
	if len(have) < 5 {
		return 0, nil, 0, nil
	}
	length := int(binary.BigEndian.Uint32(have[1:]))
	if length < 4 {
		return 0, nil, 0, fmt.Errorf("read message 0x%02x: length %d, want at least 4", have[0], length)
	}
	if length > w.limit {
		return 0, nil, 0, w.tooLarge(have, length)
	}
	if len(have) < 1+length {
		return 0, nil, 0, nil
	}
	return have[0], have[5 : 1+length], 1 + length, nil
}

// tooLarge names the table, whose OID stands behind the headers of a row message:
//
//	'd' 1 | length 4 | 'w' 1 | start, end, time 24 | I, U or D 1 | relation 4
//	'D' 1 | length 4 | columns 2 | 8 4 | LSN 8 | length 4 | I, U or D 1 | relation 4
func (w *wire) tooLarge(have []byte, length int) error {
	e := &RowTooLargeError{Bytes: length, Limit: w.limit}
	at := 0
	switch {
	case len(have) >= 35 && have[0] == 'd' && have[5] == 'w':
		at = 30
	case len(have) >= 28 && have[0] == 'D':
		at = 23
	default:
		return e
	}
	if k := have[at]; k == 'I' || k == 'U' || k == 'D' {
		e.Relation = binary.BigEndian.Uint32(have[at+1:])
	}
	return e
}

// pending returns the size of the message that has begun and is not complete, 0 when there is none.
func (w *wire) pending() int {
	have := w.buf[w.r:w.w]
	if len(have) < 5 {
		return 0
	}
	size := 1 + int(binary.BigEndian.Uint32(have[1:]))
	if size <= len(have) || size > w.limit+1 {
		return 0 // peek knows what to say
	}
	return size
}

// skip consumes a message that peek returned.
func (w *wire) skip(size int) { w.r += size }

// part consumes a message that peek returned and gives its memory away: what follows it moves.
func (w *wire) part(size int) {
	rest := w.buf[w.r+size : w.w]
	w.buf = make([]byte, max(wireBytes, len(rest)))
	w.r, w.w = 0, copy(w.buf, rest)
}

// fill makes one read and returns how many bytes came; 0 without an error means that the deadline passed
// first.
func (w *wire) fill(deadline time.Time) (int, error) {
	w.room()
	now := time.Now()
	w.tune(now)
	if w.busy {
		if soon := now.Add(busyWait); soon.Before(deadline) {
			deadline = soon
		}
	}
	if err := w.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := w.conn.Read(w.buf[w.w:])
	// Bytes that came with an error count; the error comes again at the next read.
	if n > 0 {
		w.w += n
		w.windowBytes += n
		w.lastRead = time.Now()
		return n, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, nil
	}
	return 0, err
}

// room makes space for what must follow: the rest of the message that has begun, or a read worth making. The
// buffer grows to one message's size, and back when that is consumed.
func (w *wire) room() {
	if w.r == w.w {
		w.r, w.w = 0, 0
		if len(w.buf) > wireBytes {
			w.buf = make([]byte, wireBytes)
		}
		return
	}
	need := wireBytes / 4
	if have := w.buf[w.r:w.w]; len(have) >= 5 {
		if length := int(binary.BigEndian.Uint32(have[1:])); length <= w.limit {
			need = max(need, 1+length-len(have))
		}
	}
	if len(w.buf)-w.w >= need {
		return
	}
	to := w.buf
	if total := w.w - w.r + need; total > len(to) {
		to = make([]byte, total)
	}
	w.w = copy(to, w.buf[w.r:w.w])
	w.r, w.buf = 0, to
}

// tune sets the low-water mark by the rate of the last window.
func (w *wire) tune(now time.Time) {
	// A window is longer than one wait for the mark, so that a wait cannot look like silence.
	elapsed := now.Sub(w.windowStart)
	if elapsed < busyWindow {
		return
	}
	w.busy = float64(w.windowBytes) >= busyRate*elapsed.Seconds()
	w.windowStart, w.windowBytes = now, 0
	mark := 1
	if w.busy {
		mark = lowWaterBytes
	}
	w.mark(mark)
}

// lend makes the connection fit to be read by others for a while: they wait for a few bytes, for which a
// low-water mark would have them wait for ever.
func (w *wire) lend() error {
	w.busy = false
	w.mark(1)
	return w.conn.SetDeadline(time.Time{})
}

// mark sets the low-water mark.
func (w *wire) mark(mark int) {
	if w.socket != nil && w.socket.lowWater != mark {
		w.socket.setLowWater(mark)
		w.socket.lowWater = mark
	}
}

// send writes all of p.
func (w *wire) send(p []byte) error {
	if err := w.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := w.conn.Write(p)
	return err
}

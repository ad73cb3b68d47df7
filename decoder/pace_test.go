package decoder

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// server is the other end of a stream in virtual time: it counts statuses and says what a test wants.
type server struct {
	conn net.Conn

	mu   sync.Mutex // guards told
	told told
}

// told is what a client has told a server.
type told struct {
	statuses int
	flush    LSN
	largest  time.Duration // between two statuses
	last     time.Time
	ended    bool // got CopyDone
}

// seen returns what the client has told so far.
func (v *server) seen() told {
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.told
}

// listen reads what the client sends until it closes.
func (v *server) listen() {
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(v.conn, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(v.conn, body); err != nil {
			return
		}
		if head[0] == 'X' {
			v.conn.Close()
			return
		}
		v.note(head[0], body)
	}
}

func (v *server) note(kind byte, body []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case kind == 'd' && body[0] == 'r':
		v.told.statuses++
		v.told.flush = LSN(binary.BigEndian.Uint64(body[9:]))
		v.told.largest = max(v.told.largest, time.Since(v.told.last))
		v.told.last = time.Now()
	case kind == 'c':
		v.told.ended = true
	}
}

// say sends one CopyData.
func (v *server) say(t *testing.T, body []byte) {
	if _, err := v.conn.Write(piece('d', body)); err != nil {
		t.Error(err)
	}
}

func keepalive(walEnd LSN, reply byte) []byte {
	body := binary.BigEndian.AppendUint64([]byte{'k'}, uint64(walEnd))
	return append(append(body, make([]byte, 8)...), reply)
}

// emptyTransaction is BEGIN and COMMIT of a transaction, as 13 and 14 send those that publish nothing.
func emptyTransaction(commit, end LSN) [][]byte {
	head := append([]byte{'w'}, make([]byte, 24)...)
	begin := binary.BigEndian.AppendUint64(append(append([]byte{}, head...), 'B'), uint64(commit))
	begin = append(begin, make([]byte, 12)...)
	done := binary.BigEndian.AppendUint64(append(append([]byte{}, head...), 'C', 0), uint64(commit))
	done = binary.BigEndian.AppendUint64(done, uint64(end))
	return [][]byte{begin, append(done, make([]byte, 8)...)}
}

// pair is a stream with a server in virtual time.
func pair(o StreamOptions, interval time.Duration) (*Stream, *server) {
	client, far := net.Pipe()
	o.Slot, o.Decoder = "s", DecoderOptions{Describe: describeText, KeepEmpty: true}
	o = o.withDefaults()
	now := time.Now()
	s := &Stream{
		o: o, decoder: NewDecoder(o.Decoder), wire: newWire(client, nil, o.MaxRowBytes),
		batch: o.Pool.Get(), pacer: pacer{interval: interval, last: now},
	}
	v := &server{conn: far, told: told{last: now}}
	go v.listen()
	return s, v
}

func TestStatusesWhileThePublisherIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := pair(StreamOptions{}, 10*time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		go func() {
			for _, m := range emptyTransaction(100, 200) {
				v.say(t, m)
			}
		}()
		if err := s.Run(ctx, make(chan *Batch)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("want the context's end, got %v", err)
		}
		got := v.seen()
		if got.statuses < 29 || got.statuses > 31 || got.largest > 10*time.Second+wake {
			t.Errorf("%d statuses in 5 minutes, at most %s apart", got.statuses, got.largest)
		}
		if got.flush != 0 {
			t.Errorf("nothing is durable, but %s was confirmed", got.flush)
		}
	})
}

func TestStatusesInAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := pair(StreamOptions{}, time.Second)
		failed := errors.New("failed")
		err := s.Hold(context.Background(), func(context.Context) error {
			<-time.After(time.Minute)
			return failed
		})
		if !errors.Is(err, failed) {
			t.Errorf("want what the function returned, got %v", err)
		}
		if n := v.seen().statuses; n < 54 || n > 60 {
			t.Errorf("%d statuses in a minute", n)
		}
		v.conn.Close()
		err = s.Hold(context.Background(), func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		})
		var lost *ConnectionLostError
		if !errors.As(err, &lost) || lost.ErrorCode() != "E108" {
			t.Errorf("broken connection: want a ConnectionLostError, got %v", err)
		}
		s.wire.conn.Close()
	})
}

// Confirmed moves on and reaches the server soon, never backwards; a stop waits for what was delivered.
func TestStopWaitsForWhatWasDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		var confirmed atomic.Uint64
		durable := func() LSN { return LSN(confirmed.Load()) }
		s, v := pair(StreamOptions{Stop: stop, Confirmed: durable}, 10*time.Second)
		out := make(chan *Batch, 1)
		done := make(chan error, 1)
		go func() { done <- s.Run(context.Background(), out) }()
		for _, m := range emptyTransaction(100, 200) {
			v.say(t, m)
		}
		b := <-out
		if b.Confirm != 200 {
			t.Errorf("confirm: want 0/C8, got %s", b.Confirm)
		}
		confirmed.Store(150)
		<-time.After(300 * time.Millisecond)
		if flush := v.seen().flush; flush != 150 {
			t.Errorf("300 ms after Confirmed moved: want 0/96, got %s", flush)
		}
		confirmed.Store(120)
		close(stop)
		<-time.After(3 * time.Second)
		select {
		case err := <-done:
			t.Errorf("the stop did not wait: %v", err)
		default:
		}
		confirmed.Store(200)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := v.seen(); got.flush != 200 || !got.ended {
			t.Errorf("last status confirms %s, CopyDone %t", got.flush, got.ended)
		}
	})
}

func TestStopTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		s, v := pair(StreamOptions{Stop: stop, StopTimeout: 5 * time.Second}, 10*time.Second)
		out := make(chan *Batch, 1)
		done := make(chan error, 1)
		go func() { done <- s.Run(context.Background(), out) }()
		for _, m := range emptyTransaction(100, 200) {
			v.say(t, m)
		}
		<-out
		close(stop)
		began := time.Now()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("stopped after %s", took)
		}
		if got := v.seen(); got.flush != 0 || !got.ended {
			t.Errorf("last status confirms %s, CopyDone %t", got.flush, got.ended)
		}
	})
}

// A server that wants to shut down asks again after each answer. What cannot be confirmed ends the stream.
func TestServerShutdownWhileNothingIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := pair(StreamOptions{}, 10*time.Second)
		out := make(chan *Batch, 10)
		done := make(chan error, 1)
		go func() { done <- s.Run(context.Background(), out) }()
		began := time.Now()
		tick := time.NewTicker(replyGap)
		defer tick.Stop()
		var err error
		for err == nil {
			select {
			case err = <-done:
			case <-tick.C:
				if _, broken := v.conn.Write(piece('d', keepalive(500, 1))); broken != nil {
					err = <-done
				}
			}
		}
		if !errors.Is(err, ErrServerShutdown) || !Retryable(err) {
			t.Errorf("want a shutdown, got %v", err)
		}
		if took := time.Since(began); took < stormPatience || took > stormPatience+time.Second {
			t.Errorf("ended after %s", took)
		}
		if got := v.seen(); !got.ended || got.flush != 0 {
			t.Errorf("CopyDone %t, confirmed %s", got.ended, got.flush)
		}
	})
}

// Keepalives travel by the channel, are merged while it is full, and never overtake data.
func TestKeepalivesAreMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := pair(StreamOptions{}, 10*time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		out := make(chan *Batch, 1)
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx, out) }()
		for _, m := range emptyTransaction(100, 200) {
			v.say(t, m)
		}
		for walEnd := LSN(300); walEnd <= 900; walEnd += 100 {
			v.say(t, keepalive(walEnd, 0))
			<-time.After(time.Second)
		}
		first, second := <-out, <-out
		if first.Confirm != 200 || len(first.Transactions) != 1 || second.Confirm != 900 ||
			len(second.Transactions) != 0 {
			t.Errorf("want data up to 0/C8 and a keepalive at 0/384, got %s and %s", first.Confirm, second.Confirm)
		}
		<-time.After(time.Second)
		select {
		case b := <-out:
			t.Errorf("one more batch, confirming %s", b.Confirm)
		default:
		}
		cancel()
		_ = <-done
	})
}

package decoder

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// pieces reads a text in pieces of random size.
type pieces struct {
	random *rand.Rand
	text   []byte
}

func (r *pieces) Read(p []byte) (int, error) {
	if len(r.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.text[:min(1+r.random.IntN(100_000), len(r.text))])
	r.text = r.text[n:]
	return n, nil
}

// TestFramer has messages of all sizes come in pieces: they come out as they were, and before a heavy one is
// begun somebody is asked, who has not seen more than four bytes of it.
func TestFramer(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 1))
		var sent, got []byte
		begins := map[int]int{} // of heavy messages, by where they begin
		for _, size := range []int{0, 1, 70_000, heavyBytes, 3, heavyBytes - 5, heavyBytes + 9, heavyBytes, 0} {
			if Heavy(size + 4) {
				begins[len(sent)] = size + 4
			}
			sent = append(sent, piece('D', make([]byte, size))...)
		}
		f := &framer{r: &pieces{random, sent}}
		asked := 0
		f.before = func(bytes int) error {
			asked++
			if at := len(got) - 4; begins[at] != bytes {
				t.Fatalf("seed %d: asked for %d bytes at %d, want one of %v", seed, bytes, at, begins)
			}
			return nil
		}
		p := make([]byte, 150_000)
		for {
			n, err := f.Read(p[:1+random.IntN(len(p))])
			got = append(got, p[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, sent) || asked != len(begins) {
			t.Fatalf("seed %d: %d of %d bytes, asked %d times for %d heavy messages", seed, len(got), len(sent),
				asked, len(begins))
		}
	}
	refused := errors.New("refused")
	f := &framer{r: bytes.NewReader(piece('D', make([]byte, heavyBytes)))}
	f.before = func(int) error { return refused }
	if _, err := io.Copy(io.Discard, f); !errors.Is(err, refused) {
		t.Errorf("want the refusal, got %v", err)
	}
}

// TestRoom gives room to as many heavy messages as are promised, and to a larger one alone.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(PoolOptions{})
		const half = roomBytes / 2
		if one, two := p.Admit(half), p.Admit(half); !one || !two || p.Admit(heavyBytes) {
			t.Fatal("want room for two halves and no more")
		}
		first, second := p.Get(), p.Get()
		first.Carry(half)
		second.Carry(half)
		leave := second.Unload()
		second.Release()
		if p.Admit(heavyBytes) || second.Unload() != nil {
			t.Fatal("what was unloaded is not left yet")
		}
		first.Release()
		if !p.Admit(half) {
			t.Fatal("a released batch leaves its room")
		}
		const whole = 5 * roomBytes
		admitted := make(chan error, 1)
		go func() { admitted <- p.Await(t.Context(), whole) }()
		synctest.Wait()
		p.Leave(half)
		if p.Admit(whole) {
			t.Fatal("there is something left")
		}
		leave()
		if err := <-admitted; err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, io.ErrNoProgress)
		defer cancel()
		if err := p.Await(ctx, heavyBytes); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("want the cause, got %v", err)
		}
	})
}

// TestWirePart gives a message's memory away: what is read behind it does not touch it.
func TestWirePart(t *testing.T) {
	w := newWire(nil, nil, 1<<30)
	message, rest := piece('d', bytes.Repeat([]byte("m"), wireBytes)), piece('d', []byte("rest"))
	w.buf = append(append([]byte(nil), message...), rest...)
	w.w = len(w.buf)
	_, body, size, err := w.peek()
	if err != nil || size != len(message) {
		t.Fatalf("size %d, %v", size, err)
	}
	w.part(size)
	clear(w.buf[w.w:])
	_, next, _, err := w.peek()
	if err != nil || string(next) != "rest" || len(w.buf) != wireBytes {
		t.Errorf("%q follows in a buffer of %d bytes, %v", next, len(w.buf), err)
	}
	clear(next)
	if !bytes.Equal(body, message[5:]) {
		t.Error("the message has changed")
	}
}

package decoder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// piece is a message as a server would send it.
func piece(kind byte, body []byte) []byte {
	p := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	return append(p, body...)
}

// However the network cuts the bytes, the same messages come out, and the buffer is no larger afterwards.
func TestWireFraming(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var sent [][]byte
	var stream []byte
	for i := range 300 {
		size := random.IntN(5000)
		if i%50 == 7 {
			size = wireBytes + random.IntN(3*wireBytes)
		}
		body := make([]byte, size)
		for j := range body {
			body[j] = byte(random.Uint32())
		}
		sent = append(sent, body)
		stream = append(stream, piece('d', body)...)
	}
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		for len(stream) > 0 {
			n := min(1+random.IntN(70000), len(stream))
			if _, err := server.Write(stream[:n]); err != nil {
				return
			}
			stream = stream[n:]
		}
	}()
	w := newWire(client, nil, 8<<20)
	for i := 0; i < len(sent); {
		kind, body, size, err := w.peek()
		if err != nil {
			t.Fatal(err)
		}
		if size == 0 {
			if _, err := w.fill(time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if kind != 'd' || !bytes.Equal(body, sent[i]) {
			t.Fatalf("message %d of %d bytes differs", i, len(sent[i]))
		}
		w.skip(size)
		i++
	}
	if _, err := w.fill(time.Now().Add(time.Second)); err == nil {
		t.Error("want the end, got nil")
	}
	if len(w.buf) != wireBytes {
		t.Errorf("buffer of %d bytes afterwards, want %d", len(w.buf), wireBytes)
	}
}

func TestWirePeekRefuses(t *testing.T) {
	row := append(append([]byte{'w'}, make([]byte, 24)...), 'I', 0, 0, 0x40, 0x01)
	large := append([]byte{'d', 0, 0x20, 0, 0}, row...)
	for _, test := range []struct {
		name     string
		bytes    []byte
		relation uint32
		large    bool
	}{
		{"length below itself", []byte{'d', 0, 0, 0, 3}, 0, false},
		{"larger than the limit", []byte{'d', 0xff, 0xff, 0xff, 0xff}, 0, true},
		{"larger than the limit, table known", large, 16385, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWire(nil, nil, 1<<20)
			w.w = copy(w.buf, test.bytes)
			_, _, size, err := w.peek()
			var tooLarge *RowTooLargeError
			if err == nil || size != 0 || errors.As(err, &tooLarge) != test.large {
				t.Fatalf("got size %d, %v", size, err)
			}
			if test.large && tooLarge.Relation != test.relation {
				t.Errorf("relation: want %d, got %d", test.relation, tooLarge.Relation)
			}
		})
	}
}

// A read ahead of what was asked for is handed out before more is read.
func TestSocketReadsAhead(t *testing.T) {
	client, server := net.Pipe()
	s := newSocket(client)
	want := make([]byte, 300000)
	for i := range want {
		want[i] = byte(i * 7)
	}
	go func() {
		defer server.Close()
		_, _ = server.Write(want)
	}()
	var got []byte
	for _, size := range []int{5, 100, 1, 200000, 5} {
		p := make([]byte, size)
		n, err := io.ReadFull(s, p)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p[:n]...)
	}
	if !bytes.Equal(got, want[:len(got)]) {
		t.Error("bytes lost, doubled or out of order")
	}
}

// The mark is high only while much arrives.
func TestWireTune(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(nil, &socket{lowWater: 1}, 1<<20)
		for _, step := range []struct {
			bytes int
			mark  int
		}{{busyRate / 10, 1}, {busyRate / 5, lowWaterBytes}, {busyRate / 5, lowWaterBytes}, {1000, 1}} {
			// A tenth of a second at this rate.
			timer := time.NewTimer(100 * time.Millisecond)
			<-timer.C
			w.windowBytes = step.bytes
			if step.mark == 1 && step.bytes > 1000 {
				w.windowBytes /= 2
			}
			w.tune(time.Now())
			if w.socket.lowWater != step.mark {
				t.Errorf("%d bytes in 100 ms: want mark %d, got %d", step.bytes, step.mark, w.socket.lowWater)
			}
		}
	})
}

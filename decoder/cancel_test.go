package decoder

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// TestSocketTwoReaders has two goroutines read one socket, as pgconn's do when a command is cancelled while a
// read is under way in the background: each byte goes to one of them, and the detector of races is silent.
func TestSocketTwoReaders(t *testing.T) {
	client, server := net.Pipe()
	s := newSocket(client)
	const total = 1 << 20
	go func() {
		defer server.Close()
		p := make([]byte, 1000)
		for sent := 0; sent < total; {
			n, err := server.Write(p[:min(len(p), total-sent)])
			if err != nil {
				return
			}
			sent += n
		}
	}()
	var mu sync.Mutex // guards got
	var all sync.WaitGroup
	got := 0
	for _, size := range []int{5, 8192} {
		all.Go(func() {
			p := make([]byte, size)
			for {
				n, err := s.Read(p)
				mu.Lock()
				got += n
				mu.Unlock()
				if errors.Is(err, os.ErrDeadlineExceeded) {
					continue
				}
				if err != nil {
					if !errors.Is(err, io.EOF) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	all.Wait()
	if got != total {
		t.Errorf("%d bytes came, want %d", got, total)
	}
}

// TestCancelledReads cancels commands on a connection that reads ahead while their results come, again and
// again: pgconn drains and closes it behind our back.
func TestCancelledReads(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		options := db.connect
		options.Replication, options.bulk = false, true
		for i := range 40 {
			conn, err := Connect(t.Context(), options)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%8)*500*time.Microsecond)
			// Arguments fill the way to the server while rows fill the way back.
			rows := conn.ExecParams(ctx, "SELECT repeat('x', 1000), length($1::text) FROM generate_series(1, 100000)",
				[][]byte{bytes.Repeat([]byte("x"), i%2<<20)}, nil, nil, nil)
			for rows.NextRow() {
				if ctx.Err() != nil {
					break
				}
			}
			_, err = rows.Close()
			cancel()
			if err == nil {
				t.Error("the command ended before it was cancelled")
			}
			closeQuietly(conn)
			select {
			case <-conn.CleanupDone():
			case <-time.After(20 * time.Second):
				t.Fatal("the connection is not closed")
			}
		}
	})
}

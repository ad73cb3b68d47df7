package decoder

import (
	"context"
	"net"
	"testing"
	"time"
)

// A host that takes a connection and says nothing, as one does that has just failed over, comes back.
func TestSilentServerIsRetried(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, err = Connect(context.Background(), ConnectOptions{
		URL:     "postgres://u@" + listener.Addr().String() + "/db?sslmode=disable",
		Timeout: 50 * time.Millisecond,
	})
	if err == nil || !Retryable(err) {
		t.Errorf("want an error that is worth another try, got %v", err)
	}
	bounded, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = Connect(bounded, ConnectOptions{
		URL: "postgres://u@" + listener.Addr().String() + "/db?sslmode=disable",
	})
	if err == nil || !Retryable(err) {
		t.Errorf("within a caller's bound: want an error that is worth another try, got %v", err)
	}
	// A bound that a caller has set is no verdict on the server either.
	if err := fault("ask", context.DeadlineExceeded); !Retryable(err) {
		t.Errorf("want an error that is worth another try, got %v", err)
	}
	if err := fault("ask", context.Canceled); Retryable(err) {
		t.Errorf("who has cancelled does not want another try, got %v", err)
	}
}

package decoder

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A stream that is stopped in the midst of a transaction tells its receiver that nothing more comes, and
// waits for it whatever is confirmed: what it has may be a part that confirms nothing.
func TestStopWaitsForTheReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop, received := make(chan struct{}), make(chan struct{})
		var told time.Time
		ended := func() <-chan struct{} { told = time.Now(); return received }
		s, v := pair(StreamOptions{Stop: stop, Ended: ended}, 10*time.Second)
		out := make(chan *Batch, 1)
		done := make(chan error, 1)
		go func() { done <- s.Run(context.Background(), out) }()
		v.say(t, emptyTransaction(100, 200)[0])
		close(stop)
		began := time.Now()
		<-time.After(3 * time.Second)
		if got := v.seen(); got.ended || s.Status().Closed {
			t.Error("the session has ended before the receiver was done")
		}
		close(received)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if told.Sub(began) > time.Second || time.Since(began) > 4*time.Second {
			t.Errorf("told after %s, ended after %s", told.Sub(began), time.Since(began))
		}
		if !v.seen().ended || !s.Status().Closed {
			t.Error("the session has not ended")
		}
	})
}

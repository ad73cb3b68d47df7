package decoder

import (
	"testing"
	"time"
)

// TestTurned: a stream whose batches nobody takes comes round all the same; one whose owner does not come
// back is seen not to.
func TestTurned(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.prepare()
		o, release := db.options(), make(chan struct{})
		reached := make(chan struct{})
		first := true
		o.Observe = func(*Batch, *Change) {
			if first {
				first = false
				close(reached)
				<-release
			}
		}
		r, s := db.run(o)
		turns := func() bool {
			before := s.Status().Turned
			return !before.IsZero() && s.Status().Turned.After(before) || time.Since(before) < wake
		}
		waitFor(t, "the stream's turn", turns)
		db.exec("INSERT INTO public.t VALUES (1)")
		<-reached
		waitFor(t, "a stream that does not turn", func() bool { return time.Since(s.Status().Turned) > 3*wake })
		close(release)
		waitFor(t, "the stream's turn", turns)
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

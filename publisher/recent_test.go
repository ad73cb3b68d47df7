package publisher

import (
	"testing"
	"time"
)

// TestRecent holds the quantiles of a minute against those of the latencies themselves, and lets the minute
// pass.
func TestRecent(t *testing.T) {
	var r recent
	if got := r.status(time.Now()); got != (RecentStatus{}) {
		t.Errorf("of nothing: %+v", got)
	}
	begin := time.Unix(1_800_000_000, 0) // on the edge of a slice
	table := &tableStats{}
	// A hundred windows in ten seconds, of 1 to 100 ms.
	for i := range 100 {
		now := begin.Add(time.Duration(i) * 100 * time.Millisecond)
		committed := now.Add(-time.Duration(i+1) * time.Millisecond)
		r.delivered(now, &window{
			size: 1000, changes: []change{{table: table}, {table: table}, {}},
			span: span{changes: true, minTime: committed.UnixMicro()},
		})
	}
	now := begin.Add(10 * time.Second)
	r.delivered(now, &window{size: 500, changes: []change{{table: table}}}) // of a snapshot: it has no commit
	got := r.status(now)
	for _, q := range []struct {
		name      string
		got, want time.Duration
	}{{"p50", got.P50, 50 * time.Millisecond}, {"p99", got.P99, 99 * time.Millisecond}} {
		if q.got < q.want || float64(q.got) > float64(q.want)*latencyGrowth {
			t.Errorf("%s: got %v, want %v or up to a tenth more", q.name, q.got, q.want)
		}
	}
	if got.Windows != 100 || got.ChangesPerSecond != 20.1 || got.BytesPerSecond != 10050 {
		t.Errorf("after ten seconds: %+v", got)
	}
	// The first slice has left after a minute, and all of them after another.
	if got := r.status(begin.Add(recentSpan)); got.Windows != 50 {
		t.Errorf("after a minute: %+v", got)
	}
	got = r.status(begin.Add(2 * recentSpan))
	if got.Windows != 0 || got.P99 != 0 || got.ChangesPerSecond != 0 {
		t.Errorf("after two minutes: %+v", got)
	}
	for _, d := range []time.Duration{-time.Second, 0, latencyFloor, time.Millisecond, time.Hour, 1 << 62} {
		class := latencyClass(d)
		if class < 0 || class >= latencyClasses || class < latencyClasses-1 && latencyOf(class) < d-d/1000 {
			t.Errorf("%v is of class %d, up to %v", d, class, latencyOf(class))
		}
	}
}

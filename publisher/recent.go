package publisher

import (
	"math"
	"time"
)

// The last minute is kept in slices, so that what is older leaves in small steps.
const (
	recentSlice  = 5 * time.Second
	recentSlices = 12
	// recentSpan is what RecentStatus is about.
	recentSpan = recentSlice * recentSlices
)

// The latencies' classes grow by a tenth from a tenth of a millisecond, to more than an hour: a quantile is
// exact to a tenth, and the memory bounded. What is shorter or longer counts as the first or the last class.
const (
	latencyFloor   = 100 * time.Microsecond
	latencyGrowth  = 1.1
	latencyClasses = 192
)

// RecentStatus is what was delivered in the last minute.
type RecentStatus struct {
	// Windows have latencies: those with changes of the stream. P50 and P99 are of the time from the commit of a
	// window's oldest change until the window was acknowledged, as in tributary_event_latency_seconds; rounded
	// up by less than a tenth, 0 without Windows.
	Windows  int
	P50, P99 time.Duration
	// ChangesPerSecond and BytesPerSecond are means, of rows of snapshots too; bytes are those of keys and
	// values.
	ChangesPerSecond, BytesPerSecond float64
}

// recent counts what is delivered. The zero value has seen nothing; its owner guards it.
type recent struct {
	first  time.Time // delivery ever
	slices [recentSlices]recentCount
}

// recentCount is one slice: that of the time number times recentSlice.
type recentCount struct {
	number         int64
	changes, bytes int
	windows        int
	latencies      [latencyClasses]uint32
}

// at returns the slice of a moment, emptied if it was that of an earlier one.
func (r *recent) at(now time.Time) *recentCount {
	number := now.UnixNano() / int64(recentSlice)
	s := &r.slices[number%recentSlices]
	if s.number != number {
		*s = recentCount{number: number}
	}
	if r.first.IsZero() {
		r.first = now
	}
	return s
}

// delivered counts a window.
func (r *recent) delivered(now time.Time, w *window) {
	s := r.at(now)
	s.bytes += w.size
	for i := range w.changes {
		if w.changes[i].table != nil {
			s.changes++
		}
	}
	if w.span.changes {
		s.windows++
		s.latencies[latencyClass(now.Sub(time.UnixMicro(w.span.minTime)))]++
	}
}

func latencyClass(d time.Duration) int {
	if d <= latencyFloor {
		return 0
	}
	class := math.Ceil(math.Log(float64(d)/float64(latencyFloor)) / math.Log(latencyGrowth))
	return min(int(class), latencyClasses-1)
}

// latencyOf is the upper end of a class.
func latencyOf(class int) time.Duration {
	return time.Duration(float64(latencyFloor) * math.Pow(latencyGrowth, float64(class)))
}

// status sums the last minute up.
func (r *recent) status(now time.Time) RecentStatus {
	var sum recentCount
	newest := now.UnixNano() / int64(recentSlice)
	for i := range r.slices {
		s := &r.slices[i]
		if s.number <= newest-recentSlices || s.number > newest {
			continue
		}
		sum.windows += s.windows
		sum.changes += s.changes
		sum.bytes += s.bytes
		for class, n := range s.latencies {
			sum.latencies[class] += n
		}
	}
	if r.first.IsZero() {
		return RecentStatus{}
	}
	// The newest slice is not over: what is summed up began with the oldest one, or with the first delivery.
	began := time.Unix(0, (newest-recentSlices+1)*int64(recentSlice))
	if r.first.After(began) {
		began = r.first
	}
	seconds := max(now.Sub(began), time.Second).Seconds()
	return RecentStatus{
		Windows: sum.windows, P50: sum.quantile(0.5), P99: sum.quantile(0.99),
		ChangesPerSecond: float64(sum.changes) / seconds, BytesPerSecond: float64(sum.bytes) / seconds,
	}
}

// quantile is the latency that a part of the windows did not exceed, 0 where there is none.
func (s *recentCount) quantile(part float64) time.Duration {
	if s.windows == 0 {
		return 0
	}
	left := int(math.Ceil(part * float64(s.windows)))
	for class, n := range s.latencies {
		if left -= int(n); left <= 0 {
			return latencyOf(class)
		}
	}
	return latencyOf(latencyClasses - 1)
}

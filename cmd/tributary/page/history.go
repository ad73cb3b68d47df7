package page

import (
	"sync"
	"time"
)

const (
	// sampleEvery and samples bound the charts: an hour in steps of five seconds.
	sampleEvery = 5 * time.Second
	samples     = 720
)

// sample is one point of each chart: seconds since 1970, then what the charts' series show.
type sample [8]float64

// history keeps the last hour. Safe for concurrent use.
type history struct {
	mu     sync.Mutex // guards all below
	ring   [samples]sample
	next   int // where the next one goes, and how many there ever were
	before Counters
	at     time.Time
}

// add takes what the counters say now. The first call only begins: a rate needs two.
func (h *history) add(now time.Time, c Counters) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seconds := now.Sub(h.at).Seconds()
	// A total that fell is that of a pipeline that began anew.
	rate := func(before, now float64) float64 {
		if now < before {
			before = 0
		}
		return (now - before) / seconds
	}
	if b := h.before; !h.at.IsZero() && seconds > 0 {
		h.ring[h.next%samples] = sample{
			float64(now.UnixMilli()) / 1000, c.LagBytes, c.RetainedBytes, c.LagSeconds,
			rate(b.Created, c.Created), rate(b.Updated, c.Updated), rate(b.Deleted, c.Deleted),
			rate(b.Reads, c.Reads),
		}
		h.next++
	}
	h.before, h.at = c, now
}

// since returns the samples after the first n that there ever were, and how many there are now.
func (h *history) since(n int) ([]sample, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n = max(n, h.next-samples)
	var list []sample
	for i := n; i < h.next; i++ {
		list = append(list, h.ring[i%samples])
	}
	return list, h.next
}

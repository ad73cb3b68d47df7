package publisher

import "sync"

// Frontier turns acknowledgements in any order into progress in one: a window is passed when it and all
// windows before it are acknowledged whole.
type Frontier struct {
	mu      sync.Mutex // guards all below; the only lock that Kafka's promises take
	flights []*flight  // in the order of Register, the oldest first
	err     error
	wake    chan struct{} // has room for one; filled when there is something for Pass
}

// flight is a window whose records are on their way.
type flight struct {
	window *window
	left   int // records not yet acknowledged
}

// newFrontier returns a Frontier with nothing in flight.
func newFrontier() *Frontier { return &Frontier{wake: make(chan struct{}, 1)} }

// Register counts a window as in flight. It must be called before the window's first Produce: a promise may
// come from within it, and a window counted later could be passed while it is half sent.
func (f *Frontier) Register(w *window, records int) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := &flight{window: w, left: records}
	f.flights = append(f.flights, fl)
	if records == 0 {
		f.signal()
	}
	return fl
}

// Ack counts one record of a flight as acknowledged, or keeps the first error for good.
func (f *Frontier) Ack(fl *flight, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		if f.err == nil {
			f.err = err
		}
		f.signal()
		return
	}
	if fl.left--; fl.left == 0 && fl == f.flights[0] {
		f.signal()
	}
}

// Pass appends the windows that are now passed to done, in order, and forgets them. After an error no window
// is ever passed again: what was acknowledged behind a lost record is not progress.
func (f *Frontier) Pass(done []*window) ([]*window, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return done, f.err
	}
	n := 0
	for n < len(f.flights) && f.flights[n].left == 0 {
		done = append(done, f.flights[n].window)
		n++
	}
	f.flights = append(f.flights[:0], f.flights[n:]...)
	return done, nil
}

// InFlight returns how many windows are on their way.
func (f *Frontier) InFlight() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.flights)
}

// each calls do for the windows in flight, in order.
func (f *Frontier) each(do func(*window)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fl := range f.flights {
		do(fl.window)
	}
}

// signal wakes whoever waits for Pass.
func (f *Frontier) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

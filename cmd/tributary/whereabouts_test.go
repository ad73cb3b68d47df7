package main

import (
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
)

// TestWhereabouts: a position is told as the time by which the server had written it, and a backlog as the
// time that it takes at the present pace.
func TestWhereabouts(t *testing.T) {
	begin := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	after := func(n int) time.Time { return begin.Add(time.Duration(n) * watchInterval) }
	var w whereabouts
	if w.when(begin, 5) != nil {
		t.Error("a time from nothing")
	}
	// The server writes 100 bytes a look, but for two in which it rests; we confirm 300 a look from far behind.
	ends := []decoder.LSN{1000, 1100, 1200, 1200, 1200, 1300}
	for i, end := range ends {
		w.add(after(i), end, decoder.LSN(100+i*150))
	}
	for lsn, want := range map[decoder.LSN]int{
		1: -1, 1000: -1, 1001: 1, 1100: 1, 1101: 2, 1200: 2, 1201: 5, 1400: 9,
	} {
		got := w.when(after(9), lsn)
		if (got == nil) != (want < 0) || got != nil && !got.Equal(after(want)) {
			t.Errorf("%d: got %v, want that of look %d", lsn, got, want)
		}
	}
	// 30 bytes a second are confirmed and 12 written, so that the 450 that are left take 25 seconds.
	if pace, left := w.pace(); pace != 30 || left == nil || *left != 25 {
		t.Errorf("pace %v, left %v", pace, left)
	}
	for i := range 2 * maxLooks {
		w.add(after(10+i), decoder.LSN(2000+i), 850)
	}
	if pace, left := w.pace(); pace != 0 || left != nil || len(w.seen) != maxLooks || len(w.paces) > 13 {
		t.Errorf("standing still: pace %v, left %v, %d and %d looks", pace, left, len(w.seen), len(w.paces))
	}
	if w.add(after(9000), 7, 7); len(w.seen) != 1 || w.when(after(9001), 7) != nil {
		t.Error("another server's looks are kept")
	}
}

package main

import (
	"time"

	"github.com/tributary-cdc/tributary/decoder"
)

const (
	// maxLooks bounds what is remembered of when the server wrote what: an hour in which it writes all the time,
	// longer otherwise.
	maxLooks = 720
	// paceSpan is what a pace rests on.
	paceSpan = time.Minute
)

// lsnLook is where things were at a moment.
type lsnLook struct {
	at                time.Time
	server, confirmed decoder.LSN
}

// whereabouts remembers when the server's WAL ended where, so that a person reads a position as a time. The
// zero value has seen nothing; its owner guards it.
type whereabouts struct {
	seen  []lsnLook // at which the server had written more; the oldest first
	paces []lsnLook // of paceSpan
}

// add takes a look.
func (w *whereabouts) add(now time.Time, server, confirmed decoder.LSN) {
	look := lsnLook{now, server, confirmed}
	if n := len(w.seen); n > 0 && server < w.seen[n-1].server {
		w.seen, w.paces = nil, nil // another server, or a restored one
	}
	if n := len(w.seen); n == 0 || server > w.seen[n-1].server {
		w.seen = append(w.seen, look)
		w.seen = w.seen[max(0, len(w.seen)-maxLooks):]
	}
	for len(w.paces) > 0 && now.Sub(w.paces[0].at) > paceSpan {
		w.paces = w.paces[1:]
	}
	w.paces = append(w.paces, look)
}

// when is by when the server had written a position, nil where that was before the first look. What it wrote
// since the last look is of now.
func (w *whereabouts) when(now time.Time, lsn decoder.LSN) *time.Time {
	if lsn == 0 || len(w.seen) == 0 || lsn <= w.seen[0].server {
		return nil
	}
	at := now
	for i := len(w.seen) - 1; i >= 0 && w.seen[i].server >= lsn; i-- {
		at = w.seen[i].at
	}
	at = at.UTC()
	return &at
}

// whenText is when for a position as the status has it.
func (w *whereabouts) whenText(now time.Time, text string) *time.Time {
	lsn, err := decoder.ParseLSN(text)
	if err != nil {
		return nil // empty: unknown
	}
	return w.when(now, lsn)
}

// pace is how fast what is confirmed grows, in bytes a second, and how long it takes to come up with the
// server at that; nil when it does not.
func (w *whereabouts) pace() (bytesPerSecond float64, left *float64) {
	if len(w.paces) < 2 {
		return 0, nil
	}
	first, last := w.paces[0], w.paces[len(w.paces)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 || last.confirmed < first.confirmed || first.confirmed == 0 {
		return 0, nil
	}
	bytesPerSecond = float64(last.confirmed-first.confirmed) / seconds
	gains := bytesPerSecond - float64(last.server-first.server)/seconds
	if gains <= 0 || last.server <= last.confirmed {
		return bytesPerSecond, nil
	}
	until := float64(last.server-last.confirmed) / gains
	return bytesPerSecond, &until
}

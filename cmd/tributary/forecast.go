package main

import (
	"fmt"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
)

const (
	// forecastSpan is the past that a forecast rests on: long enough that one checkpoint, which moves a
	// restart point by a segment at a time, is not taken for a trend.
	forecastSpan = 5 * time.Minute
	// forecastNear is when a forecast becomes a warning: time enough for a person to act.
	forecastNear = time.Hour
	// ownBacklog is how far behind our own position must be for us to be called the cause.
	ownBacklog = 64 << 20
)

// statusForecast says when the WAL that the slot keeps will reach its limit, should things go on so.
type statusForecast struct {
	// LimitBytes is how much may be kept: by the server's max_slot_wal_keep_size or source.wal_limit,
	// whichever is less; null when neither is set.
	LimitBytes *int64 `json:"limit_bytes"`
	// BytesPerSecond is how fast what is kept grows; negative when it shrinks.
	BytesPerSecond float64 `json:"bytes_per_second"`
	// Seconds until the limit; null when it is not being approached.
	Seconds *float64 `json:"seconds"`
	// Holder says who keeps the WAL: us, a transaction, or another slot; empty while little is kept.
	Holder string `json:"holder"`
	// HolderKind is the same in one word, of holderKinds; empty likewise.
	HolderKind string `json:"holder_kind"`
}

// The kinds of what keeps WAL.
const (
	holderBacklog     = "backlog"     // this pipeline, which is behind
	holderTransaction = "transaction" // a transaction at the source
	holderSlot        = "slot"        // another slot
	holderCheckpoint  = "checkpoint"  // nothing: the server has not moved the slot yet
)

var holderKinds = []string{holderBacklog, holderTransaction, holderSlot, holderCheckpoint}

// retention is one look at how much WAL a slot keeps.
type retention struct {
	at       time.Time
	retained int64
	limit    int64 // -1 for none
}

// forecast foretells from what was seen. The zero value has seen nothing.
type forecast struct {
	seen   []retention // the oldest first, over forecastSpan
	holder string
	kind   string // of holderKinds
}

// observe takes a look at the slot, with the limit that the configuration sets, 0 for none.
func (f *forecast) observe(now time.Time, slot *decoder.Slot, own int64, holder decoder.Holder) {
	if slot == nil || slot.Lost() {
		f.seen, f.holder, f.kind = nil, "", ""
		return
	}
	r := retention{now, slot.RetainedBytes, -1}
	if slot.SafeBytes >= 0 {
		r.limit = slot.RetainedBytes + slot.SafeBytes
	}
	if own > 0 && (r.limit < 0 || own < r.limit) {
		r.limit = own
	}
	for len(f.seen) > 0 && now.Sub(f.seen[0].at) > forecastSpan {
		f.seen = f.seen[1:]
	}
	f.seen = append(f.seen, r)
	f.kind, f.holder = holderSentence(slot, holder)
}

// rate is how fast what is kept grows, in bytes a second.
func (f *forecast) rate() float64 {
	if len(f.seen) < 2 {
		return 0
	}
	first, last := f.seen[0], f.seen[len(f.seen)-1]
	return float64(last.retained-first.retained) / last.at.Sub(first.at).Seconds()
}

// status is the forecast for a person; nil when nothing was seen.
func (f *forecast) status() *statusForecast {
	if len(f.seen) == 0 {
		return nil
	}
	last := f.seen[len(f.seen)-1]
	s := &statusForecast{BytesPerSecond: f.rate(), Holder: f.holder, HolderKind: f.kind}
	if last.limit < 0 {
		return s
	}
	s.LimitBytes = &last.limit
	left := float64(max(0, last.limit-last.retained))
	if s.BytesPerSecond > 0 || left == 0 {
		seconds := 0.0
		if left > 0 {
			seconds = left / s.BytesPerSecond
		}
		s.Seconds = &seconds
	}
	return s
}

// near says whether the limit is reached within a time.
func (s *statusForecast) near(within time.Duration) bool {
	return s != nil && s.Seconds != nil && *s.Seconds < within.Seconds()
}

// sentence says the forecast in plain words; empty when there is nothing to fear.
func (s *statusForecast) sentence() string {
	if !s.near(forecastNear) {
		return ""
	}
	until := time.Duration(*s.Seconds * float64(time.Second)).Round(time.Second)
	text := fmt.Sprintf("The slot reaches its limit of %s of WAL in about %s", size(*s.LimitBytes), until)
	if until == 0 {
		text = fmt.Sprintf("The slot has reached its limit of %s of WAL", size(*s.LimitBytes))
	}
	if s.Holder != "" {
		text += ": " + s.Holder
	}
	return text + "."
}

// holderSentence says who keeps the WAL. A transaction is the cause when the slot's reader has confirmed
// nearly all, and the restart point stays behind all the same.
func holderSentence(slot *decoder.Slot, h decoder.Holder) (kind, sentence string) {
	behind := int64(0)
	if slot.ServerEnd > slot.Confirmed {
		behind = int64(slot.ServerEnd - slot.Confirmed)
	}
	switch {
	case slot.RetainedBytes < ownBacklog:
		return "", ""
	case behind >= ownBacklog:
		return holderBacklog, fmt.Sprintf("this pipeline has %s to publish", size(behind))
	case h.Transaction != nil:
		return holderTransaction, "a transaction keeps it from moving: " + h.Transaction.String()
	case h.Other != nil:
		return holderSlot, fmt.Sprintf("%s keeps %s", h.Other, size(h.Other.RetainedBytes))
	}
	return holderCheckpoint, "the server moves it at its next checkpoint"
}

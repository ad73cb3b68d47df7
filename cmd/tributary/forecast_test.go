package main

import (
	"strings"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
)

const gib = 1 << 30

// keeps is a slot that keeps so much, may keep so much more, and is so far behind.
func keeps(retained, safe int64, behind decoder.LSN) *decoder.Slot {
	return &decoder.Slot{
		Name: "s", RetainedBytes: retained, SafeBytes: safe, Confirmed: 1 << 40, ServerEnd: 1<<40 + behind,
	}
}

var (
	nobody  decoder.Holder
	blocked = decoder.Holder{Transaction: &decoder.Blocker{
		PID: 77, User: "u", Database: "d", State: "idle in transaction", Since: time.Hour,
	}}
	another = decoder.Holder{Other: &decoder.Slot{Name: "old", RetainedBytes: 9 * gib}}
)

// forecasts are looks a minute apart and what is foretold from them.
var forecasts = []struct {
	name     string
	slots    [2]*decoder.Slot
	own      int64
	holder   decoder.Holder
	seconds  float64 // -1 for none
	sentence string
}{
	{"steady", [2]*decoder.Slot{keeps(1000, gib, 0), keeps(1000, gib, 0)}, 0, nobody, -1, ""},
	{"shrinks", [2]*decoder.Slot{keeps(2*gib, gib, gib), keeps(gib, 2*gib, gib)}, 0, nobody, -1, ""},
	{
		"behind",
		[2]*decoder.Slot{keeps(gib, 2*gib, gib), keeps(2*gib, gib, 2*gib)},
		0, blocked, 60,
		"The slot reaches its limit of 3.0 GiB of WAL in about 1m0s: this pipeline has 2.0 GiB to publish.",
	},
	{
		"held by a transaction",
		[2]*decoder.Slot{keeps(gib, 2*gib, 0), keeps(2*gib, gib, 0)},
		0, blocked, 60,
		"a transaction keeps it from moving: pid 77 (u, application \"\" in d, idle in transaction)",
	},
	{
		"another slot",
		[2]*decoder.Slot{keeps(gib, 2*gib, 0), keeps(2*gib, gib, 0)},
		0, another, 60,
		"slot old (nobody reads it) keeps 9.0 GiB",
	},
	{
		"hours left",
		[2]*decoder.Slot{keeps(gib, 200*gib, gib), keeps(gib+gib/4, 200*gib, gib)},
		0, nobody, 48000,
		"",
	},
	{"no limit", [2]*decoder.Slot{keeps(gib, -1, gib), keeps(2*gib, -1, gib)}, 0, nobody, -1, ""},
	{
		"own limit",
		[2]*decoder.Slot{keeps(gib, 9*gib, gib), keeps(2*gib, 8*gib, gib)},
		4 * gib, nobody, 120,
		"The slot reaches its limit of 4.0 GiB",
	},
	{
		"reached",
		[2]*decoder.Slot{keeps(5*gib, -1, gib), keeps(5*gib, -1, gib)},
		4 * gib, nobody, 0,
		"The slot has reached its limit of 4.0 GiB",
	},
	{"lost", [2]*decoder.Slot{keeps(gib, 0, 0), {Status: "lost"}}, 0, nobody, -1, ""},
	{"gone", [2]*decoder.Slot{keeps(gib, 0, 0), nil}, 0, nobody, -1, ""},
}

// TestForecast: when the limit is reached is foretold from what the last minutes did, and who is the cause.
func TestForecast(t *testing.T) {
	begin := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, test := range forecasts {
		var f forecast
		for i, s := range test.slots {
			f.observe(begin.Add(time.Duration(i)*time.Minute), s, test.own, test.holder)
		}
		s, seconds := f.status(), -1.0
		if s != nil && s.Seconds != nil {
			seconds = *s.Seconds
		}
		if seconds != test.seconds {
			t.Errorf("%s: want %v s, got %v", test.name, test.seconds, seconds)
		}
		if got := s.sentence(); !strings.Contains(got, test.sentence) || test.sentence == "" && got != "" {
			t.Errorf("%s: want %q, got %q", test.name, test.sentence, got)
		}
	}
	var f forecast
	for i := range 200 { // what is older than the span does not count
		f.observe(begin.Add(time.Duration(i)*time.Minute), keeps(int64(min(i, 100))*gib, -1, 0), 0, nobody)
	}
	if f.rate() != 0 || len(f.seen) > 7 {
		t.Errorf("rate %v from %d looks", f.rate(), len(f.seen))
	}
}

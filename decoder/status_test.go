package decoder

import (
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
)

func TestAppendStatus(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 123456000, time.UTC)
	got := appendStatus(nil, 0x16B3748, 0, now, true)
	want := "64" + "00000026" + "72" + "00000000016b3748" + "0000000000000000" + "0000000000000000" +
		"000303c2fd77f240" + "01"
	if hex.EncodeToString(got[:6]) != want[:12] || len(got) != 39 {
		t.Fatalf("envelope: want %s, got %x", want[:12], got)
	}
	if flush := hex.EncodeToString(got[14:22]); flush != "0000000000000000" {
		t.Errorf("a flush of 0 was replaced by %s", flush)
	}
	if write := hex.EncodeToString(got[6:14]); write != "00000000016b3748" {
		t.Errorf("write: got %s", write)
	}
	// The server's own encoding of the same time, read by another library.
	message := slices.Concat(make([]byte, 8), got[30:38], []byte{0})
	keepalive, err := pglogrepl.ParsePrimaryKeepaliveMessage(message)
	if err != nil || !keepalive.ServerTime.Equal(now) {
		t.Errorf("time: want %s, got %s, %v", now, keepalive.ServerTime, err)
	}
	if got[38] != 1 || appendStatus(nil, 1, 1, now, false)[38] != 0 {
		t.Error("the reply flag is not what was asked for")
	}
}

func TestPacerDue(t *testing.T) {
	base := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return base.Add(d) }
	fresh := pacer{interval: 10 * time.Second, last: base, flush: 100}
	asked := fresh
	asked.ask(at(time.Second))
	storm := fresh
	for range stormRate + 1 {
		storm.ask(at(time.Second))
	}
	storm.sent(at(time.Second), 100)
	oversleeping := fresh
	oversleeping.nudge = true
	impatient := pacer{interval: 50 * time.Millisecond, last: base, flush: 100}
	for _, test := range []struct {
		name      string
		pacer     pacer
		confirmed LSN
		want      time.Time
	}{
		{"nothing new", fresh, 100, at(10 * time.Second)},
		{"confirmed went back", fresh, 50, at(10 * time.Second)},
		{"confirmed moved", fresh, 101, at(confirmInterval)},
		{"server that oversleeps", oversleeping, 100, at(nudgeInterval)},
		{"confirmed moved, short interval", impatient, 101, at(50 * time.Millisecond)},
		{"reply wanted", asked, 100, at(replyGap)},
		{"confirmed moved in a storm", storm, 101, at(time.Second + replyGap)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.pacer.due(test.confirmed); !got.Equal(test.want) {
				t.Errorf("want %s, got %s", test.want.Sub(base), got.Sub(base))
			}
		})
	}
}

func TestPacerStorm(t *testing.T) {
	base := time.Unix(1000, 0)
	for _, test := range []struct {
		name     string
		gap      time.Duration // between demands
		lasts    time.Duration
		storm    bool
		shutdown bool
	}{
		{"one in half a timeout", 500 * time.Millisecond, 10 * time.Second, false, false},
		{"five a second", 200 * time.Millisecond, 10 * time.Second, false, false},
		{"a burst", 10 * time.Millisecond, 200 * time.Millisecond, true, false},
		{"a burst that lasts", 10 * time.Millisecond, 5 * time.Second, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pacer{interval: 10 * time.Second, last: base}
			now := base
			for ; now.Sub(base) < test.lasts; now = now.Add(test.gap) {
				p.ask(now)
				p.sent(now, 0)
			}
			if got := p.storm(now); got != test.storm {
				t.Errorf("storm: want %t, got %t", test.storm, got)
			}
			if got := p.shutdown(now); got != test.shutdown {
				t.Errorf("shutdown: want %t, got %t", test.shutdown, got)
			}
			if later := now.Add(3 * time.Second); p.storm(later) {
				t.Error("the storm goes on in silence")
			}
		})
	}
}

// The server is asked to show itself once in an interval, and never as an answer to its own question.
func TestPacerWantsReplies(t *testing.T) {
	base := time.Unix(1000, 0)
	p := pacer{interval: 10 * time.Second, last: base}
	wanted := 0
	for i := range 100 {
		now := base.Add(time.Duration(i) * time.Second)
		answering := i%2 == 1
		if answering {
			p.ask(now)
		}
		if p.sent(now, 0) {
			wanted++
			if answering {
				t.Errorf("second %d: the answer asks back", i)
			}
		}
	}
	if wanted != 10 {
		t.Errorf("want 10 in 100 s, got %d", wanted)
	}
}

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// turnsOf are turns of a million rows at these rates.
func turnsOf(rates ...float64) []turn {
	turns := make([]turn, len(rates))
	for i, r := range rates {
		turns[i] = turn{rows: 1e6, seconds: 1e6 / r, cost: cost{client: 2, server: -1, broker: 1, rss: 100}}
	}
	return turns
}

func TestSummary(t *testing.T) {
	l := summary("live/narrow", turnsOf(300, 100, 200), turnsOf(100, 100, 50), nil)
	switch {
	case l.Rate != 200 || l.Min != 100 || l.Max != 300 || l.Runs != 3:
		t.Errorf("rates: %+v", l)
	case l.ToRaw == nil || *l.ToRaw != 3: // the median of 3, 1, 4, and not the ratio of medians
		t.Errorf("ratio to raw: %v", *l.ToRaw)
	case l.ToOther != nil || l.Server != nil:
		t.Errorf("what was not measured: %+v", l)
	case *l.Client != 2 || *l.Broker != 1 || *l.RSS != 100:
		t.Errorf("costs: %+v", l)
	}
	all := map[string][]turn{"a": turnsOf(400, 100), "b": turnsOf(200, 300)}
	if got := toSlowest(turnsOf(100, 100), []string{"a", "b"}, all); *got != 0.75 {
		t.Errorf("ratio to the slowest stage: want the median of 0.5 and 1, got %v", *got)
	}
	if got := toSlowest(turnsOf(100, 100), []string{"a", "c"}, all); got != nil {
		t.Errorf("a stage that was not measured: %v", *got)
	}
	var peer line
	peer.peers(turnsOf(10), turnsOf(50), turnsOf(200))
	if *peer.Live != 5 || *peer.CatchUp != 20 || *peer.PerCPU != 1 || *peer.Memory != 1 {
		t.Errorf("Debezium: %+v", peer)
	}
}

// TestSelection holds which cases words select, with what they need.
func TestSelection(t *testing.T) {
	for _, test := range []struct{ words, group, want string }{
		{"live", "narrow", "raw/narrow live/narrow live/narrow/at-least-once"},
		{"live", "wide", "raw/wide live/wide"},
		{"catchup/wide", "wide", "raw/wide catchup/wide"},
		{"catchup/wide", "narrow", ""},
		{"tables-1", "tables-100", ""},
		{"encode", "narrow", "encode/narrow"},
		{"snapshot", "narrow", "encode/narrow producer/narrow raw/copy snapshot/narrow"},
		{"raw/pg_recvlogical, wide", "narrow", "raw/narrow raw/pg_recvlogical"},
	} {
		o := &options{kind: test.words}
		for _, g := range groups(o) {
			if g.data.name != test.group || g.readers(o)[0].kind != byDrain || g.readers(o)[0].name[:4] != "raw/" {
				continue
			}
			var got []string
			for _, r := range o.missing(g.readers(o), nil) {
				got = append(got, r.name)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s in %s: want %s, got %s", test.words, test.group, test.want, got)
			}
		}
	}
}

// TestGoesOn holds that what is in the file is not measured again, unless another case is compared with it.
func TestGoesOn(t *testing.T) {
	o := &options{out: filepath.Join(t.TempDir(), "bench.jsonl")}
	for _, name := range []string{"raw/wide", "live/wide"} {
		if err := o.print([]line{summary(name, turnsOf(1), nil, nil)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := readLines(o.out)
	if err != nil {
		t.Fatal(err)
	}
	done := casesOf(lines)
	var got []string
	for _, r := range o.missing(lanes(o, "wide", false), done) {
		got = append(got, r.name)
	}
	if want := []string{"raw/wide", "catchup/wide"}; !slices.Equal(got, want) {
		t.Errorf("want %s, got %s", want, got)
	}
	if err := o.print([]line{summary("raw/wide", turnsOf(2), nil, nil)}, done); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(o.out)
	if err != nil || strings.Count(string(text), "\n") != 2 {
		t.Errorf("want two lines still, got %s, %v", text, err)
	}
}

// TestSight holds where the measurement begins.
func TestSight(t *testing.T) {
	var s sight
	for _, step := range []struct {
		n      int64
		begins bool
	}{{0, false}, {5, false}, {10, true}, {10, false}, {30, false}} {
		if got := s.add(step.n, 10); got != step.begins {
			t.Errorf("%d records: begins %t", step.n, got)
		}
	}
	if s.already != 10 || s.seen != 30 || s.last.Before(s.first) || time.Since(s.first) > time.Minute {
		t.Errorf("%+v", s)
	}
}

// TestLab names what to set where there is no lab.
func TestLab(t *testing.T) {
	o := &options{lab: filepath.Join(t.TempDir(), "lab")}
	err := o.servers(t.Context())
	if err == nil || !strings.Contains(err.Error(), "TRIBUTARY_TEST_POSTGRES is not set") {
		t.Errorf("got %v", err)
	}
}

// TestShow prints the table without columns that nothing stands in.
func TestShow(t *testing.T) {
	var b strings.Builder
	lines := []line{summary("raw/x", turnsOf(100), nil, nil), summary("live/x", turnsOf(150), turnsOf(100), nil)}
	if err := show(&b, lines); err != nil {
		t.Fatal(err)
	}
	const want = `    case  rows/s  min  max  x raw  client  broker  MiB  runs
   raw/x     100  100  100              2       1  100     1
  live/x     150  150  150    1.5       2       1  100     1
`
	if b.String() != want {
		t.Errorf("want\n%s\ngot\n%s", want, b.String())
	}
}

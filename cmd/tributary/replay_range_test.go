package main

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/publisher"
)

// TestReplay replays ranges on the embedded server.
func TestReplay(t *testing.T) {
	replayRanges(t, newReplayRig(t, local.Postgres(t), local.Kafka(t), replayJSON))
}

// TestRealReplay does so on each real server.
func TestRealReplay(t *testing.T) {
	brokers := local.RealKafka(t)
	for _, server := range local.RealPostgres(t) {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal("parse a server's URL")
		}
		t.Run(u.Host, func(t *testing.T) { replayRanges(t, newReplayRig(t, server, brokers, replayJSON)) })
	}
}

// replayRanges replays a range while the pipeline goes on under load, again after a restart when its slot is
// long past it, and asks for what cannot be had. The role may replicate, and is no superuser.
func replayRanges(t *testing.T, r *replayRig) {
	stop := r.begin()
	stopLoad := r.load()
	var marks []decoder.LSN
	r.until("a hundred transactions", func() bool {
		marks = ends(r.read(r.name+".public.a"), r.read(r.name+".public.b"))
		return len(marks) > 100
	})
	x, y := marks[20], marks[80]
	began := time.Now()
	output := r.must("replay", "--from-lsn", x.String(), "--until-lsn", fmt.Sprint(uint64(y)))
	t.Logf("replay under load took %s: %s", time.Since(began), output)
	if !strings.Contains(output, fmt.Sprintf("replayed %s to %s: 60 transactions", x, y)) {
		t.Errorf("replay says\n%s", output)
	}
	stopLoad()
	r.flowed()
	mainA, mainB := r.read(r.name+".public.a"), r.read(r.name+".public.b")
	r.same("a", between(mainA, x, y), r.read(r.name+".public.a.replay"))
	r.same("b", between(mainB, x, y), r.read(r.name+".public.b.replay"))

	stop()
	stop = r.start()
	r.until("the slot past the range", func() bool { return r.slot(r.name).Confirmed > y })
	r.must("replay", "--from-lsn", x.String(), "--until-lsn", y.String(), "--table", "public.b",
		"--topic-suffix", ".2")
	r.same("b again", between(mainB, x, y), r.read(r.name+".public.b.2"))
	if code, output := r.command("slots", "list"); code != exitOK || strings.Contains(output, replaySuffix) ||
		!strings.Contains(output, decoder.AnchorName(r.name)) {
		t.Errorf("slots after the replay:\n%s", output)
	}
	r.times(mainB)
	r.refusals(mainA)
	stop()
}

// times replays by commit time: a time in the ledger, and the records of its transaction and those behind it.
func (r *replayRig) times(mainB []record) {
	t := r.t
	t.Helper()
	output := r.must("positions", "--json", "-n", "1000")
	found := regexp.MustCompile(`"last_commit": "([^"]+)"`).FindAllStringSubmatch(output, -1)
	if len(found) < 3 {
		t.Fatalf("positions shows %d windows with commits:\n%s", len(found), output)
	}
	at := found[len(found)/2][1]
	output = r.must("replay", "--from-time", at, "--table", "public.b", "--topic-suffix", ".time")
	from, err := decoder.ParseLSN(regexp.MustCompile(`replayed (\S+) to`).FindStringSubmatch(output)[1])
	if err != nil {
		t.Fatal(err)
	}
	r.same("b by time", between(mainB, from, 1<<63), r.read(r.name+".public.b.time"))
	r.untilTime(mainB, from, at, found[len(found)*3/4][1])
	shown := r.must("positions", "--at", at)
	for _, want := range []string{"replayable", "tributary replay --from-lsn", "epoch"} {
		if !strings.Contains(shown, want) {
			t.Errorf("positions --at says\n%s", shown)
		}
	}
}

// untilTime replays up to a time: what committed by then, by the records' own word, and nothing behind it.
func (r *replayRig) untilTime(mainB []record, from decoder.LSN, at, until string) {
	r.t.Helper()
	output := r.must("replay", "--from-time", at, "--until-time", until, "--table", "public.b", "--topic-suffix",
		".until")
	end, err := time.Parse(time.RFC3339Nano, until)
	if err != nil {
		r.t.Fatal(err)
	}
	committed := regexp.MustCompile(`"source":\{.*?"ts_us":(\d+)`)
	want, behind, late := between(mainB, from, 1<<63), 0, false
	want = slices.DeleteFunc(want, func(one record) bool {
		if one.value == "" {
			return late // a tombstone goes with the record before it
		}
		found := committed.FindStringSubmatch(one.value)
		if found == nil {
			r.t.Fatalf("a record without a commit time: %s", one.value)
		}
		micros, err := strconv.ParseInt(found[1], 10, 64)
		if err != nil {
			r.t.Fatal(err)
		}
		if late = micros > end.UnixMicro(); late {
			behind++
		}
		return late
	})
	if len(want) == 0 || behind == 0 {
		r.t.Fatalf("%d records by %s, %d behind it: the test shows nothing\n%s", len(want), until, behind, output)
	}
	r.same("b until a time", want, r.read(r.name+".public.b.until"))
}

// refusals asks for what cannot be had.
func (r *replayRig) refusals(mainA []record) {
	t := r.t
	t.Helper()
	inside := decoder.LSN(0)
	for i, one := range slices.Backward(mainA) {
		// The second insert's own LSN, of a transaction with some before it.
		if strings.Contains(one.value, `"two"`) && strings.Contains(one.value, `"op":"c"`) && i < len(mainA)/2 {
			inside = one.lsn
		}
	}
	s := r.stored()
	for _, test := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"--from-lsn", "0/10"}, exitUsage, []string{"[E408]", "0/10 is too old", "new snapshot"}},
		{[]string{"--from-lsn", "FFFF/0"}, exitUsage, []string{"FFFF/0 lies beyond the end", "available is"}},
		{
			[]string{"--from-lsn", inside.String()},
			exitUsage,
			[]string{"in the middle of a transaction", "name ", "to have it whole", "to begin behind it"},
		},
		{[]string{"--from-time", "2001-01-01"}, exitUsage, []string{"too old", "available is", "to begin with it"}},
		{[]string{"--from-time", "2099-01-01"}, exitUsage, []string{"beyond the end", "last transaction"}},
		{[]string{"--from-lsn", s.Resume.String(), "--until-lsn", "FFFF/0"}, exitUsage, []string{"beyond the end"}},
		{[]string{"--from-lsn", s.Resume.String(), "--table", "c.c"}, exitUsage, []string{"no captured table"}},
		{[]string{"--from-lsn", s.Resume.String()}, exitOK, []string{": 0 transactions, 0 records"}},
		{[]string{"--from-lsn", "x"}, exitUsage, []string{"want two hexadecimal numbers"}},
		{nil, exitUsage, []string{"--from-lsn LSN or --from-time TIME"}},
	} {
		code, output := r.command(append([]string{"replay"}, test.args...)...)
		for _, want := range test.want {
			if code != test.code || !strings.Contains(output, want) {
				t.Errorf("replay %v: exit code %d:\n%s", test.args, code, output)
				break
			}
		}
	}
	if code, output := r.command("rewind", "--to-lsn", s.Resume.String()); code != exitFailed ||
		!strings.Contains(output, "must be stopped first") {
		t.Errorf("rewind of a running pipeline: exit code %d:\n%s", code, output)
	}
}

// TestReplayElsewhere asks of positions that belong to another server or timeline.
func TestReplayElsewhere(t *testing.T) {
	slot := func(name string, at decoder.LSN) *decoder.Slot {
		return &decoder.Slot{
			Name: name, Plugin: "pgoutput", Database: "db", Status: "reserved", Confirmed: at, ServerEnd: 9000,
		}
	}
	stored := func(system string, timeline int) *publisher.Stored {
		return &publisher.Stored{
			Pipeline: "p", Slot: "s", Resume: 2000,
			Identity: publisher.Identity{SystemID: system, Timeline: timeline, Database: "db"},
		}
	}
	var c Config
	c.Source.Slot, c.Replay.Keep = "s", 1
	for _, test := range []struct {
		name string
		w    past
		at   decoder.LSN
		want string // "" is admitted
	}{
		{"admitted", past{stored: stored("7", 2)}, 1500, ""},
		{"server", past{stored: stored("8", 2)}, 1500, "in system identifier 8, and the server has"},
		{"before the switch", past{stored: stored("7", 1)}, 1500, ""},
		{"behind the switch", past{stored: stored("7", 1)}, 1700, "timeline 2 left at 0/640"},
		{"no anchor", past{stored: stored("7", 2), anchor: &decoder.Slot{}}, 1500, "s_anchor, from which"},
		{"lost", past{stored: stored("7", 2), anchor: &decoder.Slot{Name: "x", Status: "lost"}}, 1500, "is lost"},
	} {
		w := test.w
		w.config, w.system = c, decoder.System{ID: "7", Timeline: 2, Database: "db"}
		w.history, w.main = []decoder.Switch{{Timeline: 1, LSN: 1600}}, slot("s", 2000)
		switch {
		case w.anchor == nil:
			w.anchor = slot("s_anchor", 1000)
		case w.anchor.Name == "":
			w.anchor = nil
		}
		err := w.admit(test.at)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/publisher"
)

// TestRealReplayInterrupted stops a replay inside of a transaction that takes many windows. What it prints
// goes on where it stopped: in the end each record is there once.
func TestRealReplayInterrupted(t *testing.T) {
	r := newReplayRig(t, local.Postgres(t), local.Kafka(t), replayJSON)
	stop := r.begin()
	r.exec("INSERT INTO public.b VALUES (1, 'before')",
		"INSERT INTO public.a SELECT n, repeat('x', 100) FROM generate_series(1, 60000) n",
		"INSERT INTO public.b VALUES (2, 'behind')")
	r.flowed()
	stop()
	mainA, mainB := r.read(r.name+".public.a"), r.read(r.name+".public.b")
	x := ends(mainA, mainB)[0]
	// Small windows, so that there are many to stop between; the transaction is of many batches, since what
	// is in flight at the stop is finished.
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	small := strings.Replace(string(text), "kafka:\n", "kafka:\n  window_records: 500\n", 1)
	if err := os.WriteFile(r.file, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	signals, ended := make(chan os.Signal, 1), make(chan int, 1)
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs, signals: signals, run: run}
	go func() { ended <- p.execute(t.Context(), []string{"replay", "-c", r.file, "--from-lsn", x.String()}) }()
	r.until("some of the replay", func() bool {
		s, err := publisher.Load(context.Background(), []kgo.Opt{kgo.SeedBrokers(r.brokers)},
			r.config.Kafka.PositionTopic, r.config.Pipeline, replaySlot(r.config))
		return err == nil && s != nil && s.Split != nil && s.Position.Ordinal > 200
	})
	signals <- syscall.SIGTERM
	if code := <-ended; code != exitOK {
		t.Fatalf("interrupted: exit code %d:\n%s%s", code, out.String(), errs.String())
	}
	found := regexp.MustCompile(`to go on: tributary (replay .*)`).FindStringSubmatch(out.String())
	if found == nil {
		t.Fatalf("interrupted, it says\n%s%s", out.String(), errs.String())
	}
	if partial := r.read(r.name + ".public.a.replay"); len(partial) < 200 || len(partial) >= 60000 {
		t.Errorf("%d records when it was interrupted", len(partial))
	}
	output := r.must(strings.Fields(found[1])...)
	t.Logf("%s%s", out.String(), output)
	r.same("a", between(mainA, x, 1<<63), r.read(r.name+".public.a.replay"))
	r.same("b", between(mainB, x, 1<<63), r.read(r.name+".public.b.replay"))
}

// TestReplayOldDefinition replays rows from before a change of their table: with the schema of the first
// time, which is named.
func TestReplayOldDefinition(t *testing.T) {
	r := newReplayRig(t, local.Postgres(t), local.Kafka(t),
		"delivery: at-least-once\nschema_registry: {url: "+fmt.Sprintf("%q", local.Registry(t))+"}\n")
	stop := r.begin()
	x := r.slot(r.name).Confirmed
	r.exec("INSERT INTO public.b VALUES (0, 'zero')", "INSERT INTO public.b VALUES (1, 'one')",
		"ALTER TABLE public.b ADD COLUMN more int", "INSERT INTO public.b VALUES (2, 'two', 2)")
	topic := r.name + ".public.b"
	r.until("three records", func() bool { return len(r.values(topic)) == 3 })
	output := r.must("replay", "--from-lsn", x.String(), "--same-topics")
	first, again := r.values(topic)[:3], r.values(topic)[3:]
	if len(again) != 3 {
		t.Fatalf("%d records replayed to the same topic:\n%s", len(again), output)
	}
	for i := range first {
		// The five bytes before a value are the registry's: the schema's id.
		if !bytes.Equal(first[i][:5], again[i][:5]) || len(first[i]) != len(again[i]) {
			t.Errorf("record %d has schema id %v, at first %v", i, again[i][:5], first[i][:5])
		}
	}
	want := fmt.Sprintf("%s-value: the table's definition has changed since: schema id %d was used", topic,
		first[0][4])
	if !strings.Contains(output, want) {
		t.Errorf("want %q in\n%s", want, output)
	}
	stop()
}

// values returns the committed values of keys 0 to 2 in their order; what was replayed comes last.
func (r *replayRig) values(topic string) [][]byte {
	r.t.Helper()
	client := r.client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(20*time.Millisecond))
	defer client.Close()
	var all []*kgo.Record
	for quiet := 0; quiet < 3; {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		fetches := client.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			quiet++
		}
		all = append(all, fetches.Records()...)
	}
	var values [][]byte
	for _, replayed := range []bool{false, true} {
		for id := range 3 {
			for _, one := range all {
				if one.Key[5]/2 == byte(id) && replayed == hasHeader(one, replayHeader) {
					values = append(values, one.Value)
				}
			}
		}
	}
	return values
}

func hasHeader(r *kgo.Record, name string) bool {
	for _, h := range r.Headers {
		if h.Key == name {
			return true
		}
	}
	return false
}

// TestSlots lists, shows and drops, and check names the orphan.
func TestSlots(t *testing.T) {
	r := newReplayRig(t, local.Postgres(t), local.Kafka(t), replayJSON)
	r.begin()()
	orphan := r.name + "_old_anchor"
	r.exec("SELECT pg_create_logical_replication_slot('" + orphan + "', 'pgoutput')")
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"slots list", exitOK, "orphan: slot " + r.name + "_old does not exist"},
		{"slots list --json", exitOK, `"role": "anchor"`},
		{"slots show", exitOK, "slot       " + r.name + " (pipeline)"},
		{"slots show " + r.name + "_anchor", exitOK, "(anchor)"},
		{"slots show nobody", exitUsage, "slot nobody does not exist in this database"},
		{"slots drop", exitUsage, "name the slots to drop"},
		{"slots drop " + orphan, exitUsage, "nothing was changed: --yes does it"},
		{"check --only source", exitOK, "tributary slots drop " + orphan},
		{"slots drop --yes " + orphan, exitOK, orphan + " dropped"},
		{"slots drop --yes " + r.name, exitOK, r.name + "_anchor dropped"},
		{"slots list", exitOK, "none"},
		{"replay --from-lsn 0/10", exitPerson, "does not exist"},
	} {
		code, output := r.command(strings.Fields(test.args)...)
		if code != test.code || !strings.Contains(output, test.want) {
			t.Errorf("%s: exit code %d:\n%s", test.args, code, output)
		}
	}
	asked := ""
	for answer, code := range map[string]int{"n\n": exitFailed, "\n": exitUsage, "Y\n": exitOK} {
		p := &program{ask: func(question string) (string, error) { asked = question; return answer, nil }}
		if err := p.confirm("Drop 1 slot?"); exitCode(err) != code || asked != "Drop 1 slot? [y/N] " {
			t.Errorf("answer %q to %q: %v", answer, asked, err)
		}
	}
}

func TestParsePoint(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		lsn, at string
		want    point
		err     string
	}{
		{lsn: "0/16B3748", want: point{lsn: 0x16B3748}},
		{lsn: "23803720", want: point{lsn: 0x16B3748}},
		{lsn: "0", err: "want two hexadecimal numbers"},
		{lsn: "0/0", err: "there is nothing at it"},
		{lsn: "16B3748", err: "or the number that source.lsn is"},
		{at: "2026-01-31T11:00:00+01:00", want: point{time: now.Add(-2 * time.Hour)}},
		{at: "2026-01-31 10:00:00", want: point{time: now.Add(-2 * time.Hour)}},
		{at: "-2h", want: point{time: now.Add(-2 * time.Hour)}},
		{at: "2h", err: "is no time"},
		{lsn: "0/1", at: "-1h", err: "exclude each other"},
	} {
		got, err := parsePoint("from", test.lsn, test.at, now)
		switch {
		case test.err != "":
			if err == nil || !strings.Contains(err.Error(), test.err) || exitCode(err) != exitUsage {
				t.Errorf("%q %q: want %q, got %v", test.lsn, test.at, test.err, err)
			}
		case err != nil || got.lsn != test.want.lsn || !got.time.Equal(test.want.time):
			t.Errorf("%q %q: got %+v, %v", test.lsn, test.at, got, err)
		}
	}
	if both(decoder.LSN(0x16B3748)) != "0/16B3748 (23803720)" {
		t.Error(both(0x16B3748))
	}
}

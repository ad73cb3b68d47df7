package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestBench measures a slot's backlog, and holds that nothing but a scratch topic comes and goes.
func TestBench(t *testing.T) {
	r := newReplayRig(t, local.Postgres(t), local.Kafka(t), replayJSON+"replay: {keep: 0}\n")
	if code, output := r.command("bench", "--yes"); code != exitPerson || !strings.Contains(output, r.name) {
		t.Errorf("without a slot: exit code %d:\n%s", code, output)
	}
	r.exec("SELECT pg_create_logical_replication_slot('" + r.name + "', 'pgoutput')")
	if code, output := r.command("bench", "--yes"); code != exitFailed || !strings.Contains(output, "[E611]") {
		t.Errorf("nothing in the slot: exit code %d:\n%s", code, output)
	}
	r.exec("DO $$ BEGIN FOR n IN 0..39 LOOP INSERT INTO public.a SELECT n * 500 + i, repeat('v', 500) " +
		"FROM generate_series(1, 500) i; COMMIT; END LOOP; END $$")
	if code, output := r.command("bench"); code != exitUsage || !strings.Contains(output, "--yes does it") {
		t.Errorf("without --yes: exit code %d:\n%s", code, output)
	}
	slot, topics := r.slot(r.name), r.topicNames()
	var report benchReport
	text := r.must("bench", "--yes", "--json", "--rows", "20000")
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatal(err)
	}
	for i, want := range benchStages() {
		s := report.Stages[i]
		if s.Stage != want || s.Rows == 0 && s.Note == "" || s.Rows > 0 && (s.Rate <= 0 || s.Seconds <= 0) {
			t.Errorf("stage %s: %+v", want, s)
		}
	}
	for i, want := range map[int]int{2: 20_000, 3: 20_000} {
		// A stage ends with the batch, or the window, that reaches what was asked for.
		if got := report.Stages[i].Rows; got < want || got > 2*want {
			t.Errorf("%s: %d rows, want %d", report.Stages[i].Stage, got, want)
		}
	}
	if !strings.HasPrefix(report.Bottleneck, "The bottleneck is ") {
		t.Errorf("bottleneck: %q", report.Bottleneck)
	}
	other := r.must("bench", "--yes", "--only", "produce", "--rows", "9000", "--delivery", "at-least-once")
	if !strings.Contains(other, "at-least-once") || strings.Contains(other, "encode") {
		t.Errorf("one stage, at-least-once:\n%s", other)
	}
	now := r.slot(r.name)
	if now.Confirmed != slot.Confirmed || r.slot(decoder.SiblingName(r.name, benchSuffix)) != nil {
		t.Errorf("the slot was at %s, is at %s", slot.Confirmed, now.Confirmed)
	}
	if got := r.topicNames(); got != topics {
		t.Errorf("topics: were %s, are %s", topics, got)
	}
	r.exec("ALTER ROLE " + r.name + " NOREPLICATION")
	if code, output := r.command("bench", "--yes"); code == exitOK || !strings.Contains(output, "[E1") {
		t.Errorf("without the right to replicate: exit code %d:\n%s", code, output)
	}
}

// topicNames are the cluster's topics.
func (r *replayRig) topicNames() string {
	r.t.Helper()
	client := r.client()
	defer client.Close()
	all, err := kadm.NewClient(client).ListTopics(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.Join(all.Names(), " ")
}

// TestBottleneck holds the sentence to the stage that is the slowest.
func TestBottleneck(t *testing.T) {
	stages := func(read, sql, encode, produce, cpu float64) []stageReport {
		return []stageReport{
			{Stage: stageRead, Rate: read, PerM: cpu},
			{Stage: stageReadSQL, Rate: sql, PerM: cpu},
			{Stage: stageEncode, Rate: encode, PerM: cpu},
			{Stage: stageProduce, Rate: produce, PerM: cpu},
		}
	}
	for want, given := range map[string][]stageReport{
		"The bottleneck is reading: the server's walsender and the way to it bring 100,000 rows/s; far " +
			"behind (source.catch_up_bytes) it reads through SQL, and then the bottleneck is Kafka: the brokers " +
			"and the way to them take 300,000 rows/s, compression included.": stages(1e5, 4e5, 5e5, 3e5, 0.1),
		"The bottleneck is encoding, which one processor does, at 90,000 rows/s.": stages(1e5, 1e5, 9e4, 3e5, 0.1),
		"The bottleneck is this machine: its 2 processors can take all stages to 67,000 rows/s " +
			"together.": stages(1e5, 0, 2e5, 3e5, 10),
		"": stages(1e5, 1e5, 0, 3e5, 0.1),
	} {
		r := benchReport{CPUs: 2, Stages: given}
		if r.complete(); r.Bottleneck != want {
			t.Errorf("want %q\n got %q", want, r.Bottleneck)
		}
	}
}

// TestBenchReport prints a report for people.
func TestBenchReport(t *testing.T) {
	var b strings.Builder
	r := benchReport{
		Slot: "s", From: "0/1", Until: "0/2", Tables: 1, Delivery: "exactly-once", CPUs: 2,
		Stages: []stageReport{
			{Stage: stageRead, Rows: 1_000_000, Rate: 182_345, PerM: 1.25},
			{Stage: stageReadSQL, Note: "permission denied"},
		},
	}
	if err := writeBench(&b, r); err != nil {
		t.Fatal(err)
	}
	const want = `slot s from 0/1 to 0/2, 1 table, exactly-once, 2 processors
stage     rows       rows/s   CPU s per million
read      1,000,000  182,345  1.25
read-sql  not measured: permission denied
`
	if b.String() != want {
		t.Errorf("want\n%s\ngot\n%s", want, b.String())
	}
}

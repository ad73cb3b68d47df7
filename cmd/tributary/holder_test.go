package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
)

// holding looks at a slot as the pipeline does, and returns what is told of who keeps its WAL.
func (s *sourceConn) holding(slot string) *statusForecast {
	s.t.Helper()
	looked, err := decoder.InspectSlot(s.t.Context(), s.conn, slot)
	if err != nil || looked == nil {
		s.t.Fatalf("slot %s: %v, %v", slot, looked, err)
	}
	holder, err := decoder.FindHolder(s.t.Context(), s.conn, looked)
	if err != nil {
		s.t.Fatal(err)
	}
	var g gauges
	return g.observe(looked, 0, ownBacklog, holder)
}

// fill has the server write segments of 16 MB.
func (s *sourceConn) fill(segments int) {
	s.t.Helper()
	for range segments {
		s.exec("SELECT pg_logical_emit_message(false, 'x', 'x'); SELECT pg_switch_wal()")
	}
}

// names holds what is told of a slot's holder against the words that it is to be told in, as a sentence and
// as a metric.
func (s *sourceConn) names(slot, kind string, sentences []string) {
	s.t.Helper()
	told := s.holding(slot)
	b := newBoard(defaultConfig())
	b.Feed(func() status {
		now := b.Base()
		now.State, now.Forecast, now.Warnings = stateStreaming, told, []string{told.sentence()}
		return now
	})
	var text strings.Builder
	if err := writeStatus(&text, b.Status()); err != nil {
		s.t.Fatal(err)
	}
	unfolded := strings.Join(strings.Fields(text.String()), " ")
	for _, want := range append(sentences, "warning: The slot has reached its limit of 64.0 MiB of WAL: ") {
		if told.HolderKind != kind || !strings.Contains(unfolded, strings.TrimSpace(want)) {
			s.t.Errorf("%s: %q is not told of %+v:\n%s", kind, want, told, text.String())
		}
	}
	var series strings.Builder
	for _, one := range holderKinds {
		fmt.Fprintf(&series, "tributary_slot_holder{holder=%q} %v\n", one, truth(one == kind))
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(statusCollector{b})
	if err := testutil.GatherAndCompare(registry, strings.NewReader("# HELP tributary_slot_holder What keeps "+
		"the slot's WAL, where that is much: one of them is 1 then.\n# TYPE tributary_slot_holder gauge\n"+
		series.String()), "tributary_slot_holder"); err != nil {
		s.t.Errorf("%s: %v", kind, err)
	}
}

// TestHolders has, one after another, all that can keep a slot's WAL on a real server: an open transaction, a
// prepared one, another slot, and this pipeline itself. Each is named in the sentence, in the metric, and on
// the surfaces that have the sentence.
func TestHolders(t *testing.T) {
	server, err := local.Start(t.Context(), local.Options{Parameters: map[string]string{
		"wal_level": "logical", "max_prepared_transactions": "2", "autovacuum": "off",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	s, writer := dial(t, server.URL()), dial(t, server.URL())
	s.exec("CREATE TABLE t (id int)")
	s.exec("SELECT pg_create_logical_replication_slot('old', 'pgoutput')")
	s.fill(2)
	s.exec("CHECKPOINT")
	s.exec("SELECT pg_create_logical_replication_slot('ours', 'pgoutput')")
	writer.exec("BEGIN; INSERT INTO t VALUES (1)")
	pid := writer.value("SELECT pg_backend_pid()")
	s.fill(5)
	advance := func() { s.exec("SELECT pg_replication_slot_advance('ours', pg_current_wal_lsn())") }
	advance() // all is confirmed, and the slot's WAL stays
	named := func(kind string, sentences ...string) { t.Helper(); s.names("ours", kind, sentences) }
	named(holderTransaction, "a transaction keeps it from moving: pid "+pid+" (postgres, application",
		"in postgres, idle in transaction), transaction ")
	writer.exec("PREPARE TRANSACTION 'two phases'")
	named(holderTransaction,
		`a transaction keeps it from moving: prepared transaction "two phases" of postgres in postgres, `)
	s.exec("ROLLBACK PREPARED 'two phases'")
	named(holderSlot, "slot old (nobody reads it) keeps 1") // some 112 MB
	s.exec("SELECT pg_drop_replication_slot('old')")
	named(holderCheckpoint, "the server moves it at its next checkpoint")
	s.fill(5)
	named(holderBacklog, "this pipeline has ", " MiB to publish")
	// The alert that somebody else is the cause asks for the same words.
	alerts, err := os.ReadFile("../../deploy/monitoring/alerts.yaml")
	want := fmt.Sprintf(`tributary_slot_holder{holder=~"%s|%s"}`, holderTransaction, holderSlot)
	if err != nil || !strings.Contains(string(alerts), want) {
		t.Errorf("no alert has %s: %v", want, err)
	}
}

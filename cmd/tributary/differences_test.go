package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/snapshot"
)

// The rows of the README's table "Differences from Debezium" that the wiring decides. What records hold is
// shown in package schema.

// TestSnapshotLSN has the source.lsn of a snapshot's rows.
func TestSnapshotLSN(t *testing.T) {
	at := &decoder.CreatedSlot{Point: 200, Restart: 100}
	for compatibility, want := range map[string]decoder.LSN{"debezium": 200, "native": 100} {
		p := new(pipeline)
		p.Config.Compatibility = compatibility
		if o := p.snapshotOptions(at, job{}); o.LSN != want || o.Point != at.Point {
			t.Errorf("%s: rows at %d of the snapshot at %d, want %d", compatibility, o.LSN, o.Point, want)
		}
	}
}

// TestTolerated has what the publication may lack: with --from-debezium a table that it leaves out is
// snapshotted all the same.
func TestTolerated(t *testing.T) {
	for code, want := range map[string]bool{
		decoder.FindingTableMissing: true, decoder.FindingOperationMissing: true, decoder.FindingNoIdentity: true,
		decoder.FindingPublicationMissing: false,
	} {
		if got := tolerated(decoder.Finding{Code: code, Blocking: true}); got != want {
			t.Errorf("%s tolerated: %v", code, got)
		}
	}
}

// TestTablesLater has the stream meet a table that matches and was not there at the start.
func TestTablesLater(t *testing.T) {
	name := decoder.TableName{Namespace: "public", Name: "later"}
	for compatibility, captures := range map[string]bool{"debezium": true, "native": false} {
		var log bytes.Buffer
		p := new(pipeline)
		p.Config.Compatibility, p.Config.Source.Tables = compatibility, []Pattern{everything()}
		p.Log = slog.New(slog.NewTextHandler(&log, nil))
		if got := p.captures(name); got != captures {
			t.Errorf("%s: captured %v, want %v", compatibility, got, captures)
		}
		if told := strings.Contains(log.String(), "public.later"); told == captures {
			t.Errorf("%s: the log tells of it: %v: %s", compatibility, told, log.String())
		}
		p.captured = map[decoder.TableName]bool{name: true} // as a restart finds it
		if !p.captures(name) {
			t.Errorf("%s: not captured after a restart", compatibility)
		}
	}
}

// TestPublicationScope has what is published when nothing else is asked for.
func TestPublicationScope(t *testing.T) {
	debezium, err := loadConnector(t, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	native, err := load(loadOptions{Flags: map[string]string{
		"source.url": "postgres://db/shop", "source.tables": "public.a", "topic.prefix": "p",
		"kafka.brokers": "kafka:9092", "schema_registry.url": "http://registry:8081",
	}})
	if err != nil {
		t.Fatal(err)
	}
	own, err := loadConnector(t, nil, map[string]string{"source.create_publication": "filtered"})
	if err != nil {
		t.Fatal(err)
	}
	var table snapshot.Table
	table.Namespace, table.Name, table.Kind = "public", "a", 'r'
	for _, test := range []struct {
		name   string
		config Config
		want   decoder.Scope
	}{
		{"debezium", debezium, decoder.AllTables},
		{"native", native, decoder.NamedTables},
		{"by another switch", own, decoder.NamedTables},
	} {
		o := publicationOptions(test.config, []snapshot.Table{table})
		if o.Scope != test.want || len(o.Tables) != 1 || o.Tables[0].Name != "a" {
			t.Errorf("%s: scope %d of %v, want %d", test.name, o.Scope, o.Tables, test.want)
		}
	}
}

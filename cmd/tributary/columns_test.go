package main

import (
	"strings"
	"testing"
	"time"
)

// TestColumns gives long names, positions and texts to the commands that print tables: no line is wider than
// a terminal, but a fix, which is to be pasted.
func TestColumns(t *testing.T) {
	name := strings.Repeat("long_name_", 6) + "end"
	const lsn = "FFFFFFFF/FFFFFFFF"
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	s := fixedStatus()
	s.Detail, s.Error.Text = "", strings.Repeat("the server closed the connection ", 6)
	s.Source.Address, s.Source.Slot, s.Source.LaneReason = name+":5432", name, s.Error.Text
	s.Position.Confirmed, s.Position.Published, s.Position.Server = lsn, lsn, lsn
	s.Tables[0].Table, s.Warnings = "public."+name, []string{s.Error.Text}
	slot := shownSlot{Role: "pipeline", Orphan: s.Error.Text}
	slot.Name, slot.Confirmed, slot.Status, slot.ActivePID = name, lsn, "unreserved", 4194304
	bytes := int64(1023 << 20)
	topic := shownTopic{
		Topic: "prefix.public." + name, Table: "public.a, public.b, public." + name, Exists: true, Offsets: 1e9,
		Bytes: &bytes,
	}
	window := shownWindow{Epoch: 100, Window: 1e6, LSN: lsn, Decimal: 1<<63 - 1, Last: &at, Records: 1e6}
	for what, write := range map[string]func(*strings.Builder) error{
		"status":     func(b *strings.Builder) error { return writeStatus(b, s) },
		"slots list": func(b *strings.Builder) error { return writeSlots(b, []shownSlot{slot}) },
		"slots show": func(b *strings.Builder) error { return writeSlot(b, slot) },
		"topics":     func(b *strings.Builder) error { return writeTopics(b, []shownTopic{topic}, true) },
		"positions": func(b *strings.Builder) error {
			return writePositions(b, shownPositions{Windows: []shownWindow{window}}, positionsOptions{})
		},
	} {
		var b strings.Builder
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(b.String(), "\n") {
			if len([]rune(line)) > usageColumns && !strings.HasPrefix(line, "fix: ") {
				t.Errorf("%s: %d columns: %s", what, len([]rune(line)), line)
			}
		}
	}
}

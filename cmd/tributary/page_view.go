package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tributary-cdc/tributary/cmd/tributary/page"
	"github.com/tributary-cdc/tributary/decoder"
)

// moods is how each state is to be felt.
var moods = map[string]page.Mood{
	stateStarting: page.Busy, statePreflight: page.Busy, stateStandby: page.Idle, stateSnapshot: page.Busy,
	stateStreaming: page.Good, stateRetrying: page.Warn, stateFailed: page.Bad,
}

// newPage makes the status page of a board.
func newPage(b *board, ended <-chan struct{}) (*page.Page, error) {
	return page.New(page.Options{
		View:     func() page.View { return viewOf(b.Status()) },
		Counters: func() page.Counters { return countersOf(b.Status()) },
		Settings: func() []page.Setting { return b.settings },
		Errors:   func() []page.Known { return knownErrors(b.chronicle.occurred()) },
		Ended:    ended,
	})
}

// knownErrors is the catalogue with what came of it in this process, which stands first, the latest of all at
// the top.
func knownErrors(met map[string]codeCount) []page.Known {
	var all []page.Known
	for _, e := range catalogue() {
		came := met[e.Code]
		all = append(all, page.Known{
			Code: e.Code, Sentence: e.Sentence, Cause: e.Cause, Fix: e.Fix, Count: came.count, Last: came.last,
		})
	}
	slices.SortStableFunc(all, func(x, y page.Known) int { return y.Last.Compare(x.Last) })
	return all
}

// countersOf is what the charts show.
func countersOf(s status) page.Counters {
	c := page.Counters{
		LagBytes: float64(s.Lag.ConfirmedBytes), RetainedBytes: float64(s.Lag.RetainedBytes),
		LagSeconds: s.Lag.Seconds,
	}
	for _, t := range s.Tables {
		c.Created += float64(t.Created)
		c.Updated += float64(t.Updated)
		c.Deleted += float64(t.Deleted)
		c.Reads += float64(t.Read)
	}
	return c
}

// viewOf tells a status to a person.
func viewOf(s status) page.View {
	v := page.View{
		Pipeline: s.Pipeline, State: strings.ToUpper(s.State), Mood: moods[s.State], Role: "leader",
		Host: s.Program.Host, Version: s.Program.Version, Since: s.Since, Started: s.Program.Started,
		Now: s.Time, Sentence: sentence(s), Tiles: tilesOf(s), Positions: positionsOf(s.Position),
		Warnings: s.Warnings, Facts: factsOf(s), Replay: replayOf(s.Anchor, s.Position.Published),
	}
	if s.State == stateStandby {
		v.Role = "standby"
	}
	if s.Error != nil {
		v.Fix = s.Error.Fix
	}
	if r := s.Snapshot; r != nil {
		v.Snapshot = snapshotOf(r)
	}
	for _, j := range s.Snapshots {
		tables := strings.Join(j.Tables, ", ")
		v.Snapshots = append(v.Snapshots, page.Job{
			ID: j.ID, Kind: j.Kind, State: j.State, Tables: textOr(tables, "all"), Asked: j.Asked,
		})
	}
	for _, t := range s.Tables {
		v.Tables = append(v.Tables, tableOf(t))
	}
	for _, p := range s.Problems {
		v.Problems = append(v.Problems, page.Problem{
			Code: p.Code, Text: p.Text, Fix: p.Fix, First: p.First, Last: p.Last, Count: p.Count,
		})
	}
	for _, c := range s.SchemaChanges {
		one := page.Change{Time: c.Time, Table: c.Table, What: c.What, Subject: c.Subject}
		if c.SchemaID != 0 {
			one.Refer = fmt.Sprintf("id %d", c.SchemaID)
		}
		v.Changes = append(v.Changes, one)
	}
	return v
}

// tilesOf are the numbers that matter: how late, how much, how dangerous, how troubled.
func tilesOf(s status) []page.Tile {
	var total int64
	for _, t := range s.Tables {
		total += t.Read + t.Created + t.Updated + t.Deleted + t.Truncated
	}
	retained := page.Tile{
		Title: "WAL retained", Value: size(s.Lag.RetainedBytes), Mood: page.Good, Fraction: -1,
		Detail: "no limit is set: max_slot_wal_keep_size guards the source's disk",
	}
	if safe := s.Lag.SafeBytes; safe != nil {
		limit := s.Lag.RetainedBytes + *safe
		retained.Detail = fmt.Sprintf("%s until the slot is lost", size(max(*safe, 0)))
		retained.Fraction = fraction(s.Lag.RetainedBytes, limit)
	}
	switch {
	case s.Forecast.near(forecastNear):
		retained.Mood = page.Warn
		retained.Detail = s.Forecast.sentence()
	case s.Source.WALStatus == "extended":
		retained.Mood = page.Warn
	}
	switch s.Source.WALStatus {
	case "unreserved", "lost":
		retained.Mood, retained.Detail = page.Bad, "the slot is "+s.Source.WALStatus
	}
	problems := page.Tile{Title: "Errors in the last hour", Mood: page.Good, Fraction: -1, Detail: "none"}
	count := 0
	for _, p := range s.Problems {
		if s.Time.Sub(p.Last) < time.Hour {
			count += p.Count
			problems.Mood, problems.Detail = page.Warn, "the latest is below"
		}
	}
	problems.Value = thousands(int64(count))
	published := page.Tile{
		Title: "Published", Mood: page.Good, Fraction: -1,
		Value: fmt.Sprintf("%s rows/s, %s/s", thousands(int64(math.Round(s.Recent.ChangesPerSecond))),
			size(int64(s.Recent.BytesPerSecond))),
		Detail: fmt.Sprintf("%s since the start, %s records in %s windows", thousands(total),
			thousands(s.Kafka.Records), thousands(s.Kafka.Windows)),
	}
	return []page.Tile{latencyTile(s), published, retained, problems}
}

// latencyTile is how long a change takes, and how far behind the pipeline is.
func latencyTile(s status) page.Tile {
	tile := page.Tile{
		Title: "Commit to Kafka", Value: "no change", Mood: page.Good, Fraction: -1,
		Detail: fmt.Sprintf("in the last minute; %.1f s behind, %s of WAL not confirmed", s.Lag.Seconds,
			size(s.Lag.ConfirmedBytes)),
	}
	if s.Recent.P50 != nil && s.Recent.P99 != nil {
		tile.Value = fmt.Sprintf("p50 %s, p99 %s", latencyText(*s.Recent.P50), latencyText(*s.Recent.P99))
	}
	return tile
}

// latencyText is a time of at most three digits.
func latencyText(seconds float64) string {
	switch {
	case seconds < 0.00995:
		return fmt.Sprintf("%.1f ms", seconds*1000)
	case seconds < 0.9995:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	case seconds < 99.5:
		return fmt.Sprintf("%.1f s", seconds)
	}
	return span(time.Duration(seconds * float64(time.Second)))
}

// fraction is a part of a whole, between 0 and 1.
func fraction(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(1, max(0, float64(part)/float64(whole)))
}

// positionsOf is the way from what the source keeps to what it has written. What is unknown is left out.
func positionsOf(at statusLSNs) []page.Position {
	var list []page.Position
	before := decoder.LSN(0)
	written := func(at *time.Time) time.Time {
		if at == nil {
			return time.Time{}
		}
		return *at
	}
	for _, step := range []page.Position{
		{
			Name: "restart", LSN: at.Restart, Written: written(at.Times.Restart),
			Meaning: "the source keeps its WAL from here on",
		},
		{
			Name: "confirmed", LSN: at.Confirmed, Written: written(at.Times.Confirmed),
			Meaning: "the source knows that all before this is published",
		},
		{
			Name: "published", LSN: at.Published, Written: written(at.Times.Published),
			Meaning: "Kafka holds all before this",
		},
		{
			Name: "received", LSN: at.Received, Written: written(at.Times.Received), Meaning: "read from the source",
		},
		{
			Name: "server", LSN: at.Server, Written: written(at.Times.Server), Meaning: "the end of the source's WAL",
		},
	} {
		lsn, err := decoder.ParseLSN(step.LSN)
		if err != nil || lsn == 0 {
			continue
		}
		step.Decimal = uint64(lsn)
		if before != 0 && lsn > before {
			step.Gap = size(int64(lsn - before))
		}
		before = max(before, lsn)
		list = append(list, step)
	}
	return list
}

func snapshotOf(r *statusSnapshot) *page.Snapshot {
	one := &page.Snapshot{
		Running: r.Running, Point: r.Point, Table: r.Table, Fraction: -1,
		Tables: fmt.Sprintf("%d of %d", r.TablesDone, r.Tables), Rows: thousands(r.Rows),
	}
	if r.Estimate != nil {
		one.Rows += " of about " + thousands(*r.Estimate)
		one.Fraction = fraction(r.Rows, *r.Estimate)
	}
	if !r.Running {
		return one
	}
	for _, t := range r.Open {
		part := page.Part{
			Table: t.Table, Rows: thousands(t.Rows) + " of an unknown number", Fraction: -1,
			Chunks: fmt.Sprintf("%d of %d", t.ChunksDone, t.Chunks),
		}
		if t.Estimate != nil {
			part.Rows = fmt.Sprintf("%s of about %s", thousands(t.Rows), thousands(*t.Estimate))
			part.Fraction = fraction(t.Rows, *t.Estimate)
		}
		one.Parts = append(one.Parts, part)
	}
	one.Rate = thousands(int64(r.RowsPerSecond)) + " rows/s"
	one.Remaining = "nobody knows how much is left: a table was never analysed"
	if r.ETASeconds != nil {
		left := time.Duration(*r.ETASeconds * float64(time.Second)).Round(time.Second)
		one.Remaining = "about " + left.String() + " left"
	}
	return one
}

func tableOf(t statusTable) page.Table {
	one := page.Table{
		Name: t.Table, Topic: t.Topic, Key: strings.Join(t.Key, ", "), Identity: t.Identity,
		Read: thousands(t.Read), Created: thousands(t.Created), Updated: thousands(t.Updated),
		Deleted: thousands(t.Deleted), Emptied: thousands(t.Truncated),
		Tombstones: thousands(t.Tombstones), Rate: fmt.Sprintf("%.1f", t.PerSecond),
	}
	if t.KeySchema > 0 || t.ValueSchema > 0 {
		one.Schemas = fmt.Sprintf("%d, %d", t.KeySchema, t.ValueSchema)
	}
	if t.LastSeen != nil {
		one.Last = *t.LastSeen
	}
	if t.Identity != "" && len(t.Key) == 0 {
		one.Warning = "no key: its records have none, and are all in partition 0"
	}
	return one
}

// replayOf says what of the past can be published again; nil where nothing is kept for it.
func replayOf(a statusAnchor, published string) *page.Replay {
	if a.Slot == "" || a.KeepBytes == 0 {
		return nil
	}
	return &page.Replay{
		From: a.Confirmed, To: published, Retained: size(a.RetainedBytes), Kept: size(a.KeepBytes),
		Command: "tributary replay --from-lsn " + a.Confirmed, Problem: a.Problem,
	}
}

// factsOf names the parts, for whoever looks for them.
func factsOf(s status) []page.Fact {
	facts := []page.Fact{
		{Name: "source", Text: s.Source.Address + "/" + s.Source.Database},
		{Name: "server version", Text: s.Source.ServerVersion},
		{Name: "slot", Text: s.Source.Slot},
		{Name: "publication", Text: s.Source.Publication},
		{Name: "lane", Text: s.Source.Lane},
		{Name: "delivery", Text: s.Kafka.Delivery},
		{Name: "tributary", Text: strings.TrimSpace(s.Program.Version + " " + s.Program.Revision)},
	}
	kept := facts[:0]
	for _, f := range facts {
		if f.Text != "" {
			kept = append(kept, f)
		}
	}
	return kept
}

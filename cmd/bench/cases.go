package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
)

const (
	// catchUpBytes has a backlog of a fifth of a million narrow rows read by the catch-up lane.
	catchUpBytes = "32MiB"

	// before ends the cases of the program that -before names.
	before = "@before"

	exactly = "exactly-once"
	atLeast = "at-least-once"

	// turnLimit bounds one reader's turn.
	turnLimit = 20 * time.Minute
)

// turn is one reader's one reading.
type turn struct {
	rows    int
	seconds float64
	cost    cost
}

func (t turn) rate() float64 { return float64(t.rows) / t.seconds }
func (t turn) rss() float64  { return t.cost.rss }

// kind is how a reader reads.
type kind int

const (
	byDrain    kind = iota // the replication protocol, discarded
	byReceive              // pg_recvlogical to nowhere
	bySQL                  // the SQL function, discarded
	byCopy                 // COPY of the table, discarded
	byStage                // one stage of tributary alone: tributary bench
	byLane                 // tributary
	byRows                 // tributary's first snapshot
	byDebezium             // Debezium, as the lab measures it
)

// reader is a case: one way to read the data of its group.
type reader struct {
	name   string
	kind   kind
	mode   string // delivery; empty for yardsticks
	binary string
	// catchUp is source.catch_up_bytes; empty leaves it out, for programs that do not know it.
	catchUp string
	stage   string   // of byStage; of byDebezium its profile
	beside  []string // the cases that its ratios need
}

// The cases of narrow rows have names that others refer to.
const (
	caseRaw      = "raw/narrow"
	caseEncode   = "encode/narrow"
	caseProducer = "producer/narrow"
	caseCopy     = "raw/copy"
	caseSnapshot = "snapshot/narrow"
)

// raw is the case that a case's rate is compared with.
func (r *reader) raw() string {
	switch r.kind {
	case byCopy, byRows:
		return caseCopy
	case byStage:
		return "" // it does not read
	case byDebezium:
		return "raw/lab"
	}
	_, rest, _ := strings.Cut(r.name, "/")
	rest, _, _ = strings.Cut(rest, "/")
	if r.kind == byReceive {
		return caseRaw
	}
	return "raw/" + strings.TrimSuffix(rest, before)
}

// lesser is the same case in at-least-once mode, empty where there is none.
func (r *reader) lesser() string {
	if r.mode != exactly || r.kind == byRows {
		return ""
	}
	return r.name + "/" + atLeast
}

// lanes are both lanes over a kind of data, beside the one that reads and discards.
func lanes(o *options, name string, withAtLeast bool) []reader {
	readers := []reader{
		{name: "raw/" + name, kind: byDrain},
		{name: "live/" + name, kind: byLane, mode: exactly, binary: o.binary, catchUp: "0"},
		{name: "catchup/" + name, kind: byLane, mode: exactly, binary: o.binary, catchUp: catchUpBytes},
	}
	for _, r := range readers[1:] {
		if withAtLeast {
			r.name, r.mode = r.name+"/"+atLeast, atLeast
			readers = append(readers, r)
		}
	}
	if o.before != "" {
		r := reader{name: "live/" + name + before, kind: byLane, mode: exactly, binary: o.before}
		readers = append(readers, r)
	}
	return readers
}

// narrowReaders are the ways to read narrow rows: all there are.
func narrowReaders(o *options) []reader {
	stage := func(name, stage, mode string) reader {
		return reader{name: name, kind: byStage, stage: stage, mode: mode, binary: o.binary}
	}
	return append(lanes(o, "narrow", true),
		reader{name: "raw/pg_recvlogical", kind: byReceive},
		reader{name: "sql/narrow", kind: bySQL},
		stage(caseEncode, "encode", exactly),
		stage(caseProducer, "produce", exactly),
		stage(caseProducer+"/"+atLeast, "produce", atLeast),
		reader{name: caseCopy, kind: byCopy},
		reader{
			name: caseSnapshot, kind: byRows, mode: exactly, binary: o.binary, catchUp: "0",
			beside: []string{caseCopy, caseEncode, caseProducer},
		})
}

// backlogs has readers of one backlog take turns, and returns a line for each.
func (b *bench) backlogs(ctx context.Context, g group, readers []reader) ([]line, error) {
	end, err := b.backlog(ctx)
	if err != nil {
		return nil, err
	}
	runs := b.runs
	if g.data.runs > 0 {
		runs = min(runs, g.data.runs)
	}
	turns := make(map[string][]turn)
	for n := range runs {
		for _, r := range readers {
			t, err := b.read(ctx, r, end)
			if err != nil {
				return nil, err
			}
			progress(r.name, n, t)
			turns[r.name] = append(turns[r.name], t)
		}
	}
	var lines []line
	for _, r := range readers {
		l := summary(r.name, turns[r.name], turns[r.raw()], turns[r.lesser()])
		switch r.kind {
		case byRows:
			l.ToSlowest = toSlowest(turns[r.name], r.beside, turns)
		case byDebezium:
			l.peers(turns[r.name], turns[r.beside[0]], turns[r.beside[1]])
		}
		lines = append(lines, l)
	}
	return lines, b.dropSlot(ctx, b.slot("backlog"))
}

// read is one reader's turn.
func (b *bench) read(ctx context.Context, r reader, end decoder.LSN) (turn, error) {
	switch r.kind {
	case byCopy:
		return b.yardstick(ctx, "copy", b.url)
	case byDebezium:
		return b.debezium(ctx, r.stage)
	}
	b.turns++
	slot := b.slot(itoa(b.turns))
	if r.kind == byRows {
		// The pipeline makes the slot.
		t, err := b.pipeline(ctx, r, slot, "initial", nil)
		if err != nil {
			return t, err
		}
		return t, b.dropSlot(ctx, slot)
	}
	err := execute(ctx, b.conn,
		"SELECT pg_copy_logical_replication_slot('"+b.slot("backlog")+"', '"+slot+"')")
	if err != nil {
		return turn{}, err
	}
	t, err := b.readSlot(ctx, r, slot, end)
	if err != nil {
		return t, err
	}
	return t, b.dropSlot(ctx, slot)
}

// readSlot has one reader read a copy of the backlog.
func (b *bench) readSlot(ctx context.Context, r reader, slot string, end decoder.LSN) (turn, error) {
	switch r.kind {
	case byDrain:
		return b.yardstick(ctx, "drain", b.url, slot, itoa(b.rows), itoa(b.data.warmed))
	case bySQL:
		return b.yardstick(ctx, "sql", b.url, slot, itoa(b.rows))
	case byReceive:
		return b.receive(ctx, slot, end.String())
	case byStage:
		return b.stage(ctx, r, slot)
	}
	return b.pipeline(ctx, r, slot, "no_data", func() (bool, error) {
		confirmed, err := ask(ctx, b.conn, "SELECT confirmed_flush_lsn >= '"+end.String()+
			"' FROM pg_replication_slots WHERE slot_name = '"+slot+"'")
		return confirmed == "t", err
	})
}

// toSlowest compares turns with the slowest of the cases beside them, nil when one was not measured.
func toSlowest(turns []turn, beside []string, all map[string][]turn) *float64 {
	if slices.ContainsFunc(beside, func(name string) bool { return len(all[name]) == 0 }) {
		return nil
	}
	slowest := func(n int) float64 {
		rates := make([]float64, len(beside))
		for i, name := range beside {
			rates[i] = all[name][n].rate()
		}
		return slices.Min(rates)
	}
	values := make([]float64, len(turns))
	for n, t := range turns {
		values[n] = t.rate() / slowest(n)
	}
	return rounded(median(values), 3)
}

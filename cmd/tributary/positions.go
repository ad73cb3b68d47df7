package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
)

// positionsOptions says which positions to show.
type positionsOptions struct {
	at     time.Time
	lsn    decoder.LSN
	n      int
	asJSON bool
}

// shownWindow is a delivery window as `positions` shows it.
type shownWindow struct {
	Epoch   uint64     `json:"epoch"`
	Window  uint64     `json:"window"`
	LSN     string     `json:"lsn"` // up to where everything is published with it
	Decimal uint64     `json:"decimal"`
	First   *time.Time `json:"first_commit,omitempty"`
	Last    *time.Time `json:"last_commit,omitempty"`
	Records int64      `json:"records"`
	Written time.Time  `json:"written"`
}

// shownPositions is what `positions` prints.
type shownPositions struct {
	Pipeline  string        `json:"pipeline"`
	Slot      string        `json:"slot"`
	Published string        `json:"published,omitempty"` // empty when no position is stored
	Decimal   uint64        `json:"decimal,omitempty"`
	Written   *time.Time    `json:"written,omitempty"`
	From      string        `json:"replayable_from,omitempty"` // empty when nothing can be replayed
	Until     string        `json:"replayable_until,omitempty"`
	Windows   []shownWindow `json:"windows"`
	bytes     int64         // of WAL between From and Until
}

func (p *program) positionsCommand() *cobra.Command {
	var o positionsOptions
	var at, lsn string
	cmd := &cobra.Command{
		Use:   "positions",
		Short: "Show what was published when, and what can be replayed",
		Long: "positions reads the ledger: up to which LSN each delivery window published, and\n" +
			"when its transactions committed. Such an LSN is one to replay from or to rewind\n" +
			"to; everything that committed before it is published, nothing behind it.\n" +
			"--convert writes LSNs in their other forms and how far they are apart, and asks\n" +
			"nobody: it needs no configuration.",
		Example: "  tributary positions -c tributary.yaml --at 2026-01-31T15:04:05Z\n" +
			"  tributary positions -c tributary.yaml --lsn 23803720 -n 3\n" +
			"  tributary positions --convert 0/16B3748,23900000",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	set := cmd.Flags()
	set.StringVar(&at, "at", "", "the last windows that committed before this `TIME`; -15m is 15 minutes ago")
	set.StringVar(&lsn, "lsn", "", "the last windows up to this `LSN`, 0/16B3748 or as a number")
	set.IntVarP(&o.n, "number", "n", 10, "how many")
	set.BoolVar(&o.asJSON, "json", false, "print JSON")
	var convert []string
	timeline, segment := uint32(1), walSegment.String()
	set.StringSliceVar(&convert, "convert", nil, "write these `LSNS` in their other forms, and how far each\n"+
		"is from the one before")
	set.Uint32Var(&timeline, "timeline", timeline, "with --convert: the timeline of the WAL files")
	set.StringVar(&segment, "wal-segment-size", segment, "with --convert: the `SIZE` of the WAL files")
	exclude(cmd, "at", "lsn", "convert")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if convert != nil {
			return p.convertLSNs(convert, timeline, segment, o.asJSON)
		}
		if at != "" {
			if o.at, err = parseTime(at, time.Now()); err != nil {
				return usageError{fmt.Errorf("--at: %w", err)}
			}
		}
		if lsn != "" {
			if o.lsn, err = parseLSN(lsn); err != nil {
				return usageError{fmt.Errorf("--lsn: %w", err)}
			}
		}
		if o.n < 1 {
			return usageError{fmt.Errorf("--number %d: want 1 at least", o.n)}
		}
		config, err := flags.load()
		if err != nil {
			return err
		}
		return p.positions(cmd.Context(), config, o)
	}
	return cmd
}

// convertLSNs answers --convert.
func (p *program) convertLSNs(texts []string, timeline uint32, segment string, asJSON bool) error {
	bytes, err := parseBytes(segment)
	if err != nil {
		return usageError{fmt.Errorf("--wal-segment-size: %w", err)}
	}
	list, err := lsnForms(texts, timeline, bytes)
	if err != nil {
		return usageError{fmt.Errorf("--convert: %w", err)}
	}
	if asJSON {
		return writeJSON(p.stdout, list)
	}
	return writeLSNs(p.stdout, list)
}

func (p *program) positions(ctx context.Context, c Config, o positionsOptions) error {
	w, err := openPast(ctx, c)
	if err != nil {
		return err
	}
	defer w.close()
	shown := shownPositions{Pipeline: c.Pipeline, Slot: c.Source.Slot, Windows: []shownWindow{}}
	if s := w.stored; s != nil {
		shown.Published, shown.Decimal, shown.Written = s.Resume.String(), uint64(s.Resume), &s.Written
	}
	if from, until := w.window(); until != 0 {
		shown.From, shown.Until, shown.bytes = from.String(), until.String(), int64(until-from)
	}
	if shown.Windows, err = w.windows(ctx, o); err != nil {
		return err
	}
	if o.asJSON {
		return writeJSON(p.stdout, shown)
	}
	return writePositions(p.stdout, shown, o)
}

// windows returns the last windows that o wants, the latest last.
func (w *past) windows(ctx context.Context, o positionsOptions) ([]shownWindow, error) {
	client, err := kafkaOptions(ctx, w.config)
	if err != nil {
		return nil, err
	}
	var last recent
	c := w.config
	err = publisher.History(ctx, client, c.Kafka.LedgerTopic, c.Pipeline, c.Source.Slot, time.Time{},
		func(l publisher.LedgerRecord) error {
			if o.wants(l) {
				last.add(showWindow(l), o.n)
			}
			return nil
		})
	return last.list(), err
}

// wants says whether a window is among those asked for. A window without a change counts by when it was
// written.
func (o positionsOptions) wants(l publisher.LedgerRecord) bool {
	latest := l.Written
	if len(l.CommitTimes) == 2 {
		latest = l.CommitTimes[1]
	}
	return (o.at.IsZero() || latest.Before(o.at)) && (o.lsn == 0 || l.Resume <= o.lsn)
}

func showWindow(l publisher.LedgerRecord) shownWindow {
	s := shownWindow{
		Epoch: l.Epoch, Window: l.Window, LSN: l.Resume.String(), Decimal: uint64(l.Resume), Written: l.Written,
	}
	if len(l.CommitTimes) == 2 {
		s.First, s.Last = &l.CommitTimes[0], &l.CommitTimes[1]
	}
	for _, partitions := range l.Partitions {
		for _, counted := range partitions {
			s.Records += counted.Records
		}
	}
	return s
}

// recent keeps the latest windows of an epoch before the ones of the next.
type recent struct{ ring []shownWindow }

// add puts a window in its place; those of several partitions of the ledger come out of order.
func (r *recent) add(s shownWindow, most int) {
	i := len(r.ring)
	for i > 0 && (r.ring[i-1].Epoch > s.Epoch || r.ring[i-1].Epoch == s.Epoch && r.ring[i-1].Window > s.Window) {
		i--
	}
	r.ring = append(r.ring, shownWindow{})
	copy(r.ring[i+1:], r.ring[i:])
	r.ring[i] = s
	if len(r.ring) > most {
		r.ring = append(r.ring[:0], r.ring[1:]...)
	}
}

func (r *recent) list() []shownWindow {
	if r.ring == nil {
		return []shownWindow{}
	}
	return r.ring
}

func writePositions(w io.Writer, s shownPositions, o positionsOptions) error {
	var b strings.Builder
	fmt.Fprintf(&b, "pipeline %s  slot %s\n", s.Pipeline, s.Slot)
	if s.Written == nil {
		b.WriteString("published  nothing\n")
	} else {
		fmt.Fprintf(&b, "published  %s (%d), stored at %s\n", s.Published, s.Decimal, instant(s.Written))
	}
	if s.Until == "" {
		b.WriteString("replayable nothing: there is no anchor (replay.keep, tributary run)\n")
	} else {
		fmt.Fprintf(&b, "replayable %s to %s, %s of WAL\n", s.From, s.Until, size(s.bytes))
	}
	if o.lsn != 0 {
		fmt.Fprintf(&b, "asked for  %s\n", both(o.lsn))
	}
	if len(s.Windows) == 0 {
		b.WriteString("\nno window is in the ledger for that\n")
	} else {
		fmt.Fprintf(&b, "\n%5s %7s %-17s %19s  %-19s %7s\n", "epoch", "window", "lsn", "as a number", "last commit",
			"records")
	}
	for _, one := range s.Windows {
		fmt.Fprintf(&b, "%5d %7d %-17s %19d  %-19.19s %7d\n", one.Epoch, one.Window, one.LSN, one.Decimal,
			instant(one.Last), one.Records)
	}
	if n := len(s.Windows); n > 0 && !o.at.IsZero() {
		fmt.Fprintf(&b, "\nat %s: %s\n  tributary replay --from-lsn %[2]s\n", o.at.UTC().Format(time.RFC3339),
			s.Windows[n-1].LSN)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// instant writes a time, a dash for none.
func instant(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
)

// nearBytes is how far before a position the transactions around it are looked for at first.
const nearBytes = 64 << 20

// The suffixes of the slots that serve the pipeline's own.
const (
	scanSuffix   = "_scan"   // temporary: looks for a boundary between transactions
	replaySuffix = "_replay" // temporary: is replayed from
	rewindSuffix = "_rewind" // becomes the pipeline's slot
)

// point is a place in the log that a person names: an LSN, or a commit time. Zero is neither.
type point struct {
	lsn  decoder.LSN
	time time.Time
}

func (p point) given() bool { return p.lsn != 0 || !p.time.IsZero() }

// parsePoint reads the pair of flags --NAME-lsn and --NAME-time.
func parsePoint(name, lsn, at string, now time.Time) (p point, err error) {
	switch {
	case lsn != "" && at != "":
		return p, usageError{fmt.Errorf("--%s-lsn and --%s-time exclude each other", name, name)}
	case lsn != "":
		if p.lsn, err = parseLSN(lsn); err != nil {
			return p, usageError{fmt.Errorf("--%s-lsn: %w", name, err)}
		}
	case at != "":
		if p.time, err = parseTime(at, now); err != nil {
			return p, usageError{fmt.Errorf("--%s-time: %w", name, err)}
		}
	}
	return p, nil
}

// parseLSN reads an LSN as Postgres writes it, or as the number that source.lsn of a record is.
func parseLSN(text string) (decoder.LSN, error) {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && n > 0 {
		return decoder.LSN(n), nil
	}
	lsn, err := decoder.ParseLSN(text)
	if err == nil && lsn == 0 {
		err = fmt.Errorf("LSN %q: there is nothing at it", text)
	}
	if err != nil {
		return 0, fmt.Errorf("%w, or the number that source.lsn is", err)
	}
	return lsn, nil
}

// timeForms are how a time may be given; without a zone it is UTC.
var timeForms = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999Z07:00", "2006-01-02 15:04:05",
	"2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02",
}

// parseTime reads a time, or how long ago it was: -15m.
func parseTime(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d <= 0 {
		return now.Add(d), nil
	}
	for _, form := range timeForms {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: want 2026-01-31T15:04:05Z, \"2026-01-31 15:04:05\" "+
		"(UTC), or -15m for fifteen minutes ago", text)
}

// past is what of the log can be read again.
type past struct {
	config  Config
	connect decoder.ConnectOptions
	conn    *pgconn.PgConn
	system  decoder.System
	history []decoder.Switch
	// The pipeline's slot and its anchor, nil where there is none.
	main, anchor *decoder.Slot
	stored       *publisher.Stored // the pipeline's position, nil for none
	// progress is told from where on a search looks. It may be nil.
	progress func(from decoder.LSN)
}

// openPast looks at the source and the stored position. Whoever calls it closes it.
func openPast(ctx context.Context, c Config) (*past, error) {
	w := &past{config: c, connect: sourceOptions(c)}
	if err := w.identify(ctx); err != nil {
		return nil, err
	}
	var err error
	if w.conn, err = decoder.Connect(ctx, w.connect); err != nil {
		return nil, err
	}
	if err := w.look(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *past) close() { closeConn(w.conn) }

// identify asks who the server is.
func (w *past) identify(ctx context.Context) error {
	replication := w.connect
	replication.Replication = true
	conn, err := decoder.Connect(ctx, replication)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if w.system, err = decoder.IdentifySystem(ctx, conn); err != nil {
		return err
	}
	w.history, err = decoder.TimelineHistory(ctx, conn, w.system.Timeline)
	return err
}

// look reads the slots and the stored position.
func (w *past) look(ctx context.Context) (err error) {
	if w.main, err = decoder.InspectSlot(ctx, w.conn, w.config.Source.Slot); err != nil {
		return err
	}
	if w.anchor, err = decoder.InspectSlot(ctx, w.conn, decoder.AnchorName(w.config.Source.Slot)); err != nil {
		return err
	}
	client, err := kafkaOptions(ctx, w.config)
	if err != nil {
		return err
	}
	w.stored, err = publisher.Load(ctx, client, w.config.Kafka.PositionTopic, w.config.Pipeline,
		w.config.Source.Slot)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil
	}
	return err
}

func (w *past) identity() publisher.Identity {
	return publisher.Identity{SystemID: w.system.ID, Timeline: w.system.Timeline, Database: w.system.Database}
}

// window is what can be replayed: the transactions that commit from the first position on and before the
// second. Both are 0 when nothing can.
func (w *past) window() (from, until decoder.LSN) {
	if w.anchor == nil || w.anchor.Lost() || w.main == nil {
		return 0, 0
	}
	until = w.main.Confirmed
	if s := w.stored; s != nil && s.Identity == w.identity() && s.Resume <= w.main.ServerEnd {
		until = max(until, s.Resume) // the server is told of it later
	}
	return w.anchor.Confirmed, until
}

// rangeError is a place in the log that cannot be gone back to.
type rangeError struct {
	what        string // what was asked for, and why not
	from, until decoder.LSN
	instead     string
}

// Error names the range that is available, and what to do instead.
func (e *rangeError) Error() string {
	available := "nothing can be replayed"
	if e.until != 0 {
		available = fmt.Sprintf("available is what committed from %s to %s", e.from, e.until)
	}
	return e.what + ": " + available + ": " + e.instead
}

// ErrorCode is that of a range that is not there.
func (e *rangeError) ErrorCode() string { return "E408" }

// ExitCode is that of a wrong command line: other words help.
func (e *rangeError) ExitCode() int { return exitUsage }

const olderInstead = "what is older is in the topics as far as they reach back (tributary tail " +
	"--from-beginning); or take a new snapshot, with snapshot.mode: always"

func (w *past) refuse(instead, format string, args ...any) error {
	from, until := w.window()
	return &rangeError{fmt.Sprintf(format, args...), from, until, instead}
}

// known says whether anything can be replayed at all: the server must be the one that the position was taken
// on, and have the anchor.
func (w *past) known() error {
	slot, s := w.config.Source.Slot, w.stored
	name := decoder.AnchorName(slot)
	switch {
	case s != nil && s.Repair != nil:
		return &publisher.RepairError{Key: s.Pipeline + "/" + s.Slot, Asked: s.Repair.Asked}
	case s != nil && s.Identity.SystemID != w.system.ID:
		return needsPerson{&publisher.IdentityError{
			Key: s.Pipeline + "/" + s.Slot, What: "system identifier",
			Stored: s.Identity.SystemID, Found: w.system.ID, Resume: s.Resume,
		}}
	case w.main == nil:
		return needsPerson{&decoder.SlotMissingError{Slot: slot, Database: w.system.Database}}
	case w.anchor == nil && w.config.Replay.Keep == 0:
		return w.refuse("set replay.keep for the time to come; "+olderInstead,
			"replay.keep is 0, so that nothing is kept")
	case w.anchor == nil:
		return w.refuse("tributary run makes it, for the time to come; "+olderInstead,
			"slot %s, from which is replayed, does not exist", name)
	case w.anchor.Lost():
		return w.refuse("tributary run makes it anew, for the time to come; "+olderInstead,
			"slot %s, from which is replayed, is %s %s", name, w.anchor.Status, w.anchor.Reason)
	}
	return w.anchor.Usable(w.system.Database)
}

// admit says whether what follows a position can be read.
func (w *past) admit(x decoder.LSN) error {
	if err := w.known(); err != nil {
		return err
	}
	from, until := w.window()
	if s := w.stored; s != nil && s.Identity.Timeline != w.system.Timeline {
		left, descends := decoder.LeftAt(w.history, s.Identity.Timeline)
		if !descends || x > left {
			return needsPerson{w.refuse("choose a position on the server's own timeline; consumers may hold changes "+
				"that the server has not: take a new snapshot",
				"%s is of timeline %d, which the server's timeline %d left at %s", x, s.Identity.Timeline,
				w.system.Timeline, left)}
		}
	}
	switch {
	case x < from:
		return w.refuse(olderInstead, "%s is too old: its WAL is not kept any more", x)
	case x > until:
		return w.refuse("what follows, tributary run publishes by itself",
			"%s lies beyond the end: published is up to %s", x, until)
	}
	return nil
}

// start is a place to go on from: transactions that commit at or after lsn follow, and the one before them
// ended at lastCommit.
type start struct{ lsn, lastCommit decoder.LSN }

// locate turns a point into a place between two transactions, or says why it is none.
func (w *past) locate(ctx context.Context, p point) (start, error) {
	if p.lsn == 0 {
		return w.locateTime(ctx, p.time)
	}
	if err := w.admit(p.lsn); err != nil {
		return start{}, err
	}
	from, _ := w.window()
	near := max(p.lsn-min(p.lsn, nearBytes), from)
	b, err := w.search(ctx, near, decoder.LocateOptions{At: p.lsn})
	if err == nil && b.Before.Commit == 0 && near > from {
		b, err = w.search(ctx, from, decoder.LocateOptions{At: p.lsn})
	}
	if err != nil {
		return start{}, err
	}
	found := start{p.lsn, b.Before.End}
	t, whole := b.Straddling, b.Before.End
	switch {
	case b.Before.End > p.lsn:
		t, whole = b.Before, b.Before.LastCommit
	case p.lsn == from, t.Commit == 0:
		return found, nil
	}
	if known, err := w.published(ctx, p.lsn); known || err != nil {
		return found, err
	}
	return start{}, w.refuse(
		fmt.Sprintf("name %s to have it whole, or %s to begin behind it", max(whole, from), t.End),
		"%s is in the middle of a transaction, which began at %s and committed from %s to %s", p.lsn, t.Begin,
		t.Commit, t.End)
}

// locateTime finds the first transaction that committed at or after a time.
func (w *past) locateTime(ctx context.Context, at time.Time) (start, error) {
	if err := w.known(); err != nil {
		return start{}, err
	}
	from, _ := w.window()
	b, err := w.search(ctx, from, decoder.LocateOptions{Time: at.UnixMicro()})
	text := at.UTC().Format(time.RFC3339Nano)
	switch {
	case err != nil:
		return start{}, err
	case b.Next.Commit == 0:
		last := "no transaction is there"
		if b.Before.Commit != 0 {
			last = "the last transaction committed at " + commitTime(b.Before)
		}
		return start{}, w.refuse("what follows, tributary run publishes by itself",
			"%s lies beyond the end: %s", text, last)
	case b.Before.Commit == 0:
		return start{}, w.refuse(fmt.Sprintf("name %s to begin with it; %s", from, olderInstead),
			"%s is too old: the first transaction whose WAL is kept committed at %s", text, commitTime(b.Next))
	}
	return start{b.Before.End, b.Before.End}, nil
}

func commitTime(t decoder.Transaction) string {
	return time.UnixMicro(t.Time).UTC().Format(time.RFC3339Nano)
}

// search looks for a boundary from a position on, on a temporary copy of the anchor.
func (w *past) search(
	ctx context.Context, from decoder.LSN, o decoder.LocateOptions,
) (decoder.Boundary, error) {
	_, o.Until = w.window()
	if o.Until <= from {
		return decoder.Boundary{}, nil
	}
	if w.progress != nil {
		w.progress(from)
	}
	o.Source = w.anchor.Name
	o.Stream = decoder.StreamOptions{
		Connect: w.connect, Slot: decoder.SiblingName(w.config.Source.Slot, scanSuffix), Start: from,
		Publications: []string{w.config.Source.Publication}, MaxRowBytes: int(w.config.Source.MaxRowBytes),
		CatchUp: catchUpOptions(w.config.Source),
	}
	return decoder.Locate(ctx, o)
}

// published says whether everything was once published up to exactly a position, though it is no
// transaction's end: such a position is in the ledger, and where a run or a replay stopped.
func (w *past) published(ctx context.Context, x decoder.LSN) (bool, error) {
	c := w.config
	if w.stored != nil && w.stored.Resume == x {
		return true, nil
	}
	client, err := kafkaOptions(ctx, c)
	if err != nil {
		return false, err
	}
	replayed, err := publisher.Load(ctx, client, c.Kafka.PositionTopic, c.Pipeline, replaySlot(c))
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return false, err
	}
	if replayed != nil && replayed.Resume == x {
		return true, nil
	}
	found := false
	err = publisher.History(ctx, client, c.Kafka.LedgerTopic, c.Pipeline, c.Source.Slot, time.Time{},
		func(l publisher.LedgerRecord) error {
			found = found || l.Resume == x
			return nil
		})
	return found, err
}

// replaySlot names a replay in positions, ledger and transactional.id: no slot's name has a slash, so it is
// nobody else's.
func replaySlot(c Config) string { return c.Source.Slot + "/replay" }

// both writes an LSN in its two forms.
func both(lsn decoder.LSN) string {
	return strings.TrimSpace(fmt.Sprintf("%s (%d)", lsn, uint64(lsn)))
}

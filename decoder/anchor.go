package decoder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// anchorSuffix makes the name of the anchor of a slot.
	anchorSuffix = "_anchor"
	// defaultAnchorInterval is how often an anchor is looked after.
	defaultAnchorInterval = 10 * time.Second
	// An advance reads again what lies between the anchor's restart_lsn and its position, so small steps cost
	// more than they free: a step is an eighth of what is kept, within these, and never all of it.
	minAnchorStep, maxAnchorStep = 16 << 20, 1 << 30
)

// AnchorName is the name of a slot's anchor.
func AnchorName(slot string) string { return SiblingName(slot, anchorSuffix) }

// SiblingName is the name of a slot that serves another: its name, cut where Postgres would refuse it, and a
// suffix.
func SiblingName(slot, suffix string) string { return slot[:min(len(slot), 63-len(suffix))] + suffix }

// AnchorOptions say which slot to keep an anchor behind.
type AnchorOptions struct {
	Connect ConnectOptions
	Slot    string // required
	// Keep is how many bytes of WAL the anchor may fall behind the slot, before it moves an eighth of them;
	// at most half of the server's max_slot_wal_keep_size is used. 0 or less removes an anchor that is
	// there.
	Keep int64
	// Interval is how often it is looked after; 0 means 10 s.
	Interval time.Duration
	// Logger gets the life story and warnings; nil is silence.
	Logger *slog.Logger
}

// AnchorStatus is what an Anchor knows of itself at one moment.
type AnchorStatus struct {
	Name string
	// Confirmed and Restart are the anchor's positions, 0 when there is none; RetainedBytes is how much WAL
	// it keeps from being removed.
	Confirmed, Restart LSN
	RetainedBytes      int64
	// Keep is the distance in use.
	Keep int64
	// Advances counts what this run did, ReadBytes the WAL that the server read for it, Took how long that
	// took; LastTook is the latest's.
	Advances       int
	ReadBytes      int64
	Took, LastTook time.Duration
	// Problem is why there is no anchor, or it does not move; empty when all is well.
	Problem string
}

// Anchor keeps a copy of a slot some way behind it, so that what lies between can be read again. It serves
// convenience alone: nothing that befalls it stops anything. Run is called once, Status from any goroutine.
type Anchor struct {
	o AnchorOptions

	// What follows belongs to the goroutine that calls Run.
	conn    *pgconn.PgConn
	touched time.Time // when the anchor was last in use, which ends its idle time

	mu     sync.Mutex // guards status
	status AnchorStatus
}

// NewAnchor returns an Anchor that does nothing yet.
func NewAnchor(o AnchorOptions) *Anchor {
	o.Connect.Replication = false
	if o.Interval <= 0 {
		o.Interval = defaultAnchorInterval
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Anchor{o: o, status: AnchorStatus{Name: AnchorName(o.Slot), Keep: o.Keep}}
}

// Status returns what the anchor knows of itself.
func (a *Anchor) Status() AnchorStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

// Run looks after the anchor until ctx ends. What goes wrong is logged once, told in the status, and tried
// again.
func (a *Anchor) Run(ctx context.Context) {
	defer func() { closeQuietly(a.conn) }()
	tick := time.NewTicker(a.o.Interval)
	defer tick.Stop()
	for {
		err := a.look(ctx)
		if ctx.Err() != nil {
			return
		}
		a.tell(err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// tell notes how a look went, and logs a problem when it is another than before.
func (a *Anchor) tell(err error) {
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	a.mu.Lock()
	known := a.status.Problem == problem
	a.status.Problem = problem
	a.mu.Unlock()
	if err != nil && !known {
		a.o.Logger.Warn("anchor not kept, the pipeline goes on", "anchor", AnchorName(a.o.Slot), "err", err)
	}
}

// look makes the anchor if there is none, and moves it when it is too far behind or idle for too long.
func (a *Anchor) look(ctx context.Context) error {
	if a.conn == nil || a.conn.IsClosed() {
		var err error
		if a.conn, err = Connect(ctx, a.o.Connect); err != nil {
			return err
		}
	}
	slot, err := InspectSlot(ctx, a.conn, a.o.Slot)
	if err != nil {
		return err
	}
	anchor, err := InspectSlot(ctx, a.conn, AnchorName(a.o.Slot))
	if err != nil {
		return err
	}
	a.note(anchor, a.o.Keep)
	switch {
	case slot == nil || slot.Lost():
		return nil // the stream says so, and better
	case a.o.Keep <= 0:
		return a.remove(ctx, anchor)
	case anchor == nil:
		return a.make(ctx)
	case anchor.Lost():
		a.o.Logger.Warn("anchor lost, made anew: nothing older can be replayed any more", "anchor", anchor.Name,
			"lsn", anchor.Confirmed, "reason", anchor.Reason, "status", anchor.Status)
		return a.remake(ctx)
	case anchor.Plugin != slot.Plugin || anchor.Database != slot.Database:
		return fmt.Errorf("slot %s is not ours: it has plugin %q and belongs to database %q: rename or drop it",
			anchor.Name, anchor.Plugin, anchor.Database)
	case anchor.Confirmed > slot.Confirmed:
		// Somebody moved it, or made the main slot anew further back.
		a.o.Logger.Warn("anchor stood before its slot, made anew", "anchor", anchor.Name, "lsn", anchor.Confirmed,
			"slot", slot.Confirmed)
		return a.remake(ctx)
	}
	return a.follow(ctx, slot, anchor)
}

// note makes a look visible to Status.
func (a *Anchor) note(anchor *Slot, keep int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status.Keep, a.status.Confirmed, a.status.Restart, a.status.RetainedBytes = keep, 0, 0, 0
	if anchor != nil {
		a.status.Confirmed, a.status.Restart = anchor.Confirmed, anchor.Restart
		a.status.RetainedBytes = anchor.RetainedBytes
	}
}

// remove drops an anchor that is not wanted.
func (a *Anchor) remove(ctx context.Context, anchor *Slot) error {
	if anchor == nil {
		return nil
	}
	if err := DropSlot(ctx, a.conn, anchor.Name); err != nil {
		return err
	}
	a.o.Logger.Info("anchor dropped, nothing is to be kept for replay", "anchor", anchor.Name)
	a.note(nil, a.o.Keep)
	return nil
}

func (a *Anchor) remake(ctx context.Context) error {
	if err := DropSlot(ctx, a.conn, AnchorName(a.o.Slot)); err != nil {
		return err
	}
	return a.make(ctx)
}

func (a *Anchor) make(ctx context.Context) error {
	name := AnchorName(a.o.Slot)
	if err := CopySlot(ctx, a.conn, a.o.Slot, name, false); err != nil {
		return err
	}
	made, err := InspectSlot(ctx, a.conn, name)
	if err != nil || made == nil {
		return err
	}
	a.touched = time.Now()
	a.note(made, a.o.Keep)
	a.o.Logger.Info("anchor made", "anchor", name, "lsn", made.Confirmed, "keep_bytes", a.o.Keep)
	return nil
}

// follow moves the anchor a step nearer when it has fallen behind too far, and otherwise touches it often
// enough not to be taken for idle.
func (a *Anchor) follow(ctx context.Context, slot, anchor *Slot) error {
	limits, err := readAnchorLimits(ctx, a.conn)
	if err != nil {
		return err
	}
	keep := limits.bound(a.o.Keep)
	a.note(anchor, keep)
	to, due := anchorTarget(slot.Confirmed, anchor.Confirmed, keep)
	// Idle is what nobody acquires. The first look does not know since when that is.
	if !due && (limits.idle <= 0 || !a.touched.IsZero() && time.Since(a.touched) < limits.idle/3) {
		return nil
	}
	began := time.Now()
	reached, err := AdvanceSlot(ctx, a.conn, anchor.Name, to)
	if err != nil {
		return err
	}
	a.touched = time.Now()
	took, read := a.touched.Sub(began), int64(0)
	if reached > anchor.Restart {
		read = int64(reached - anchor.Restart)
	}
	moved, err := InspectSlot(ctx, a.conn, anchor.Name)
	if err != nil {
		return err
	}
	a.note(moved, keep)
	a.mu.Lock()
	a.status.Advances++
	a.status.ReadBytes += read
	a.status.Took += took
	a.status.LastTook = took
	a.mu.Unlock()
	if due {
		a.o.Logger.Info("anchor advanced", "anchor", anchor.Name, "from", anchor.Confirmed, "lsn", reached,
			"read_bytes", read, "took", took)
	}
	return nil
}

// anchorTarget is where an anchor belongs, and whether it is worth moving there now. Where it is not, the
// target is where it stands.
func anchorTarget(slot, anchor LSN, keep int64) (to LSN, due bool) {
	if slot <= anchor || int64(slot-anchor) <= keep {
		return anchor, false
	}
	step := min(max(keep/8, min(minAnchorStep, keep/2)), maxAnchorStep)
	return slot - LSN(keep-step), true
}

// anchorLimits are the server's settings that end slots.
type anchorLimits struct {
	keep int64         // max_slot_wal_keep_size in bytes, -1 for none
	idle time.Duration // idle_replication_slot_timeout, 0 for none
}

// bound returns how much of a distance the server's limit allows for.
func (l anchorLimits) bound(keep int64) int64 {
	if l.keep < 0 {
		return keep
	}
	return min(keep, l.keep/2)
}

// settingUnits are pg_settings' units of size, in bytes, and of time.
var settingUnits = map[string]int64{
	"kB": 1 << 10, "8kB": 8 << 10, "MB": 1 << 20,
	"ms": int64(time.Millisecond), "s": int64(time.Second), "min": int64(time.Minute),
}

func readAnchorLimits(ctx context.Context, conn *pgconn.PgConn) (anchorLimits, error) {
	limits := anchorLimits{keep: -1}
	rows, err := simpleQuery(ctx, conn, `SELECT name, setting, coalesce(unit, '') FROM pg_catalog.pg_settings
		WHERE name IN ('max_slot_wal_keep_size', 'idle_replication_slot_timeout')`)
	if err != nil {
		return limits, fault("read the limits of slots", err)
	}
	for _, row := range rows {
		n, err := strconv.ParseInt(row[1], 10, 64)
		unit := settingUnits[row[2]]
		switch {
		case err != nil || unit == 0:
			return limits, fmt.Errorf("read the limits of slots: %s is %q in units of %q: %w", row[0], row[1], row[2],
				errors.Join(err, errors.ErrUnsupported))
		case row[0] == "idle_replication_slot_timeout":
			limits.idle = time.Duration(n * unit)
		case n >= 0:
			limits.keep = n * unit
		}
	}
	return limits, nil
}

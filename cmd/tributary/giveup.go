package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/decoder"
)

// giveUpNear is how near source.wal_limit must be for the slot to be given up: one minute is a few looks at
// the slot, and less than it takes to fill what is left of a disk.
const giveUpNear = time.Minute

// walLimitError is a slot that was given up, as the configuration says, before it filled the source's disk.
type walLimitError struct {
	slot           string
	retained       int64
	limit          Bytes
	confirmed, end decoder.LSN
	holder         string
}

// Error names the gap: what committed in it is in no topic.
func (e *walLimitError) Error() string {
	text := fmt.Sprintf("slot %s keeps %s of WAL, and source.wal_limit is %s: it is given up, to save the "+
		"source's disk, and what committed after %s, when the source stood at %s, is not published", e.slot,
		size(e.retained), e.limit, e.confirmed, e.end)
	if e.holder != "" {
		text += "; what kept the WAL: " + e.holder
	}
	return text
}

// ErrorCode is that of a slot that was given up.
func (e *walLimitError) ErrorCode() string { return "E410" }

// NeedsPerson is true: a slot does not come back.
func (e *walLimitError) NeedsPerson() bool { return true }

// overLimit returns the error that gives the slot up, nil while it may stay. The server's own limit is the
// server's to keep.
func (p *pipeline) overLimit(slot *decoder.Slot, told *statusForecast) error {
	limit := p.Config.Source.WALLimit
	if slot == nil || limit == 0 || p.Config.Source.WALLimitAction != "drop" {
		return nil
	}
	near := told.near(giveUpNear) && *told.LimitBytes == int64(limit)
	if slot.RetainedBytes < int64(limit) && !near {
		return nil
	}
	e := &walLimitError{
		slot: slot.Name, retained: slot.RetainedBytes, limit: limit, confirmed: slot.Confirmed, end: slot.ServerEnd,
	}
	if told != nil {
		e.holder = told.Holder
	}
	return e
}

// giveUpPatience bounds one attempt to drop the slots.
const giveUpPatience = 3 * time.Second

// keptError is a slot that is to be given up and could not be dropped: it still fills the disk.
type keptError struct {
	reason *walLimitError
	cause  error
}

// Error has the reason, and what is in the way.
func (e *keptError) Error() string {
	return fmt.Sprintf("%v; it could not be dropped, and fills the disk until it is: %v", e.reason, e.cause)
}

// Unwrap returns what was in the way.
func (e *keptError) Unwrap() error { return e.cause }

// ErrorCode is that of a slot that was given up.
func (e *keptError) ErrorCode() string { return e.reason.ErrorCode() }

// Retryable is true: the next attempt finds the slot over its limit, and drops it.
func (e *keptError) Retryable() bool { return true }

// giveUp drops the slot and its anchor once the stream is closed. The anchor goes first: while the slot is
// there, another attempt finds both.
func (p *pipeline) giveUp(reason *walLimitError) error {
	ctx, cancel := context.WithTimeout(context.Background(), giveUpPatience)
	defer cancel()
	conn, err := p.ordinary(ctx)
	if err != nil {
		return &keptError{reason, err}
	}
	defer closeConn(conn)
	for _, name := range []string{decoder.AnchorName(reason.slot), reason.slot} {
		if err := dropSoon(ctx, conn, name); err != nil {
			return &keptError{reason, err}
		}
	}
	p.Log.Error("slot given up, as source.wal_limit_action says", "slot", reason.slot, "confirmed",
		reason.confirmed.String())
	return reason
}

// dropSoon drops a slot as soon as the session that held it is gone.
func dropSoon(ctx context.Context, conn *pgconn.PgConn, slot string) error {
	for {
		err := decoder.DropSlot(ctx, conn, slot)
		var busy *decoder.SlotBusyError
		if !errors.As(err, &busy) {
			return err
		}
		if err := wait(ctx, standbyInterval/5); err != nil {
			return busy
		}
	}
}

package publisher

import (
	"context"
	"fmt"

	"github.com/tributary-cdc/tributary/decoder"
)

// What becomes of a transaction that is larger than a window: it goes in several, which are delivered
// together unless they exceed what is delivered together. Then it is split, and the stored position is one
// inside of it.

// makeRoom hands over a window that is full, and waits until it is taken: the limits hold for whole
// transactions and for snapshot rows too, not only for what splits a transaction.
func (e *encoder) makeRoom(ctx context.Context) error {
	if e.due() && e.part.reached(e.w.n, e.w.size) {
		return e.handOver(ctx)
	}
	return nil
}

// keepWithin hands over what there is of the open transaction, when it is as much as a window or a delivery
// window holds.
func (e *encoder) keepWithin(ctx context.Context, t *decoder.Transaction) error {
	records, size := e.w.n-e.start.records, e.w.size-e.start.size
	var err error
	switch {
	case e.whole.reached(e.gone.records+records, e.gone.bytes+size):
		err = e.cut(ctx)
	case e.part.reached(records, size):
		err = e.spill(ctx, t)
	default:
		return nil
	}
	e.look() // it may have waited
	return err
}

// unload takes over what the batch carries of a heavy row, until the window that has its records is
// acknowledged. There may be no room for another before that, so such a window does not wait for the rest of
// its transaction. Where the records are small, or none, the batch gives it back by itself.
func (e *encoder) unload(ctx context.Context, b *decoder.Batch, t *decoder.Transaction) error {
	if e.w.n == 0 || e.open && !e.part.reached(e.w.n-e.start.records, e.w.size-e.start.size) {
		return nil
	}
	leave := b.Unload()
	if leave == nil {
		return nil
	}
	e.w.heavy = append(e.w.heavy, leave)
	if !e.open {
		return nil
	}
	return e.keepWithin(ctx, t)
}

// spilled says that a part of the open transaction is with the taker.
func (e *encoder) spilled() bool { return e.gone != limits{} }

// spill hands over a part of a transaction that is too large for a window, to be delivered together with
// its rest. What was whole before it goes first and alone: so it is delivered even if the rest never comes.
func (e *encoder) spill(ctx context.Context, t *decoder.Transaction) error {
	first := !e.spilled()
	if first && e.start.records > 0 {
		whole, start := e.w, e.start
		if err := e.take(ctx); err != nil {
			return err
		}
		whole.move(start, e.w, t.Time)
		whole.after = e.startAt
		if err := e.give(ctx, whole); err != nil {
			return err
		}
		e.handed = e.startAt.resume
	}
	e.gone.records += e.w.n
	e.gone.bytes += e.w.size
	e.keepTail()
	e.w.open, e.w.first = true, first
	if err := e.give(ctx, e.w); err != nil {
		return err
	}
	if err := e.take(ctx); err != nil {
		return err
	}
	e.start = e.w.mark()
	return nil
}

// cut hands over the window in the middle of a transaction.
func (e *encoder) cut(ctx context.Context) error {
	e.keepTail()
	split := e.tail
	split.Publications, split.Protocol = e.o.Publications, e.o.Protocol
	if e.o.Transactions {
		split.Counts = e.b.numbers.copied()
	}
	e.at.split, e.cutOff = &split, e.made()
	if err := e.handOver(ctx); err != nil {
		return err
	}
	e.begin()
	return nil
}

// made is how much the open transaction has made so far.
func (e *encoder) made() limits {
	return limits{
		e.cutOff.records + e.gone.records + e.w.n - e.start.records,
		e.cutOff.bytes + e.gone.bytes + e.w.size - e.start.size,
	}
}

// keepTail notes what the last change was, before its batch goes.
func (e *encoder) keepTail() {
	if e.last != nil {
		e.tail = Split{LSN: e.last.LSN, Relation: relationName(e.last), Op: string(e.last.Op)}
		e.last = nil
	}
}

// relationName returns the table of a change, empty for a logical message.
func relationName(c *decoder.Change) string {
	if c.Relation == nil {
		return ""
	}
	return c.Relation.String()
}

// skips says that a change is published already, and checks that what it finds at the stored position is what
// was there.
func (e *encoder) skips(p decoder.Position, c *decoder.Change) (bool, error) {
	order := p.Compare(e.skip)
	if e.expect == nil {
		return order <= 0, nil
	}
	if order > 0 {
		return false, e.missing()
	}
	if order == 0 && c.LSN == e.expect.LSN && relationName(c) == e.expect.Relation &&
		string(c.Op) == e.expect.Op {
		e.expect = nil
	}
	return true, nil
}

// missing says that the change at the stored position did not come again.
func (e *encoder) missing() error {
	return &SplitError{Key: e.o.positionKey(), Position: e.skip, Reason: fmt.Sprintf(
		"operation %s on %s at %s was the last one published, and the server does not send it there any more",
		e.expect.Op, e.expect.Relation, e.expect.LSN)}
}

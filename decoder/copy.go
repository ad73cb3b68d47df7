package decoder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/schema"
)

// copyPatience is how long a copy waits for a slot of its name to go. A temporary one goes with its session,
// whose end the server needs a moment to notice.
const copyPatience = 5 * time.Second

// straddleBytes is how far behind a position a transaction is looked for that began before it: a transaction
// that is open for longer is not.
const straddleBytes = 16 << 20

// CopySlot makes the slot to as a copy of the slot from, on any connection: it begins where from stands. A
// temporary copy belongs to the connection's session and vanishes with it. The source may be in use. The
// server copies neither failover nor two_phase. A slot to that exists already is a *SlotBusyError after some
// seconds, a source that can no longer be read a *SlotLostError, an unknown one a *SlotMissingError.
func CopySlot(ctx context.Context, conn *pgconn.PgConn, from, to string, temporary bool) error {
	for _, name := range []string{from, to} {
		if err := ValidateSlotName(name); err != nil {
			return err
		}
	}
	query := fmt.Sprintf("SELECT pg_catalog.pg_copy_logical_replication_slot(%s, %s, %t)",
		quoteLiteral(from), quoteLiteral(to), temporary)
	tick := time.NewTicker(wake)
	defer tick.Stop()
	for began := time.Now(); ; {
		_, err := simpleQuery(ctx, conn, query)
		err = fault(fmt.Sprintf("copy slot %s to %s", from, to), err)
		var refused *ServerError
		switch {
		case !errors.As(err, &refused):
			return err
		case refused.Code == codeUndefinedObject:
			return missingSlot(ctx, conn, from)
		case refused.Code == codeDuplicateObject && time.Since(began) > copyPatience:
			return busySlot(ctx, conn, to)
		case refused.Code != codeDuplicateObject:
			return explainCopy(ctx, conn, from, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("copy slot %s to %s: %w", from, to, context.Cause(ctx))
		}
	}
}

// missingSlot says where a slot is not.
func missingSlot(ctx context.Context, conn *pgconn.PgConn, name string) error {
	database, err := currentDatabase(ctx, conn)
	if err != nil {
		return err
	}
	return &SlotMissingError{Slot: name, Database: database}
}

// explainCopy asks the view why a copy was refused: the server says of a lost slot only that it reserves no
// WAL.
func explainCopy(ctx context.Context, conn *pgconn.PgConn, from string, err error) error {
	if slot, lookup := InspectSlot(ctx, conn, from); lookup == nil && slot != nil && slot.Lost() {
		return &SlotLostError{
			Slot: from, Status: slot.Status, Reason: slot.Reason, Confirmed: slot.Confirmed,
			Cause: err,
		}
	}
	return err
}

// AdvanceSlot moves a slot that nobody reads forward to lsn, on any connection, and returns where it stands
// then. The server reads the WAL in between, and what is before it from the slot's restart_lsn on.
func AdvanceSlot(ctx context.Context, conn *pgconn.PgConn, name string, lsn LSN) (LSN, error) {
	doing := fmt.Sprintf("advance slot %s to %s", name, lsn)
	rows, err := simpleQuery(ctx, conn, fmt.Sprintf(
		"SELECT end_lsn FROM pg_catalog.pg_replication_slot_advance(%s, %s)",
		quoteLiteral(name), quoteLiteral(lsn.String())))
	err = fault(doing, err)
	var refused *ServerError
	switch {
	case errors.As(err, &refused) && refused.Code == codeObjectInUse:
		return 0, busySlot(ctx, conn, name)
	case errors.As(err, &refused) && refused.Code == codeUndefinedObject:
		return 0, missingSlot(ctx, conn, name)
	case err != nil:
		return 0, err
	case len(rows) != 1 || len(rows[0]) != 1:
		return 0, fmt.Errorf("%s: want 1 row, got %d", doing, len(rows))
	}
	return ParseLSN(rows[0][0])
}

// SetFailover has a slot copied to standbys, from Postgres 17 on, on a replication connection. It is for
// copies, which never have it.
func SetFailover(ctx context.Context, conn *pgconn.PgConn, name string) error {
	_, err := simpleQuery(ctx, conn, "ALTER_REPLICATION_SLOT "+quoteIdentifier(name)+" (FAILOVER true)")
	return fault("set failover of slot "+name, err)
}

// OpenCopy opens a stream on a temporary copy of the slot source, which is left alone. The copy is called
// o.Slot, and goes with the stream. o.Conn is ignored.
func OpenCopy(ctx context.Context, source string, o StreamOptions) (*Stream, error) {
	o.Connect.Replication, o.CatchUp.Stay = true, true
	conn, err := Connect(ctx, o.Connect)
	if err != nil {
		return nil, err
	}
	// On the connection that will stream: no other may read a temporary slot.
	if err := CopySlot(ctx, conn, source, o.Slot, true); err != nil {
		closeQuietly(conn)
		return nil, err
	}
	o.Conn = conn
	return Open(ctx, o)
}

// LocateOptions say where to look for a boundary between transactions.
type LocateOptions struct {
	// Stream says how to reach a temporary copy of the slot Source: its Slot is the copy's name, its Start
	// where to begin; a transaction before what is looked for must lie behind it for Boundary.Before to be
	// known. Describe is not needed.
	Stream StreamOptions
	Source string
	// At is the position to look for. When it is 0, Time is: microseconds since 1970.
	At   LSN
	Time int64
	// Until is where the search ends without a find.
	Until LSN
}

// Boundary is a place between two transactions of a stream, in commit order.
type Boundary struct {
	// Before is the last transaction that commits before the place, Next the first that does not, both
	// without their changes. Either is zero when it was not met.
	Before, Next Transaction
	// Straddling is a transaction that began before the position At and commits behind it, not too far away;
	// zero when there is none, or when At is where Before ended.
	Straddling Transaction
}

// Locate finds the transactions between which a position, or a time, stands: Next is the first one whose
// commit record starts at or behind At, or that committed at or after Time.
func Locate(ctx context.Context, o LocateOptions) (Boundary, error) {
	// No table is captured, and no transaction left out: what comes is boundaries alone.
	o.Stream.Decoder = DecoderOptions{KeepEmpty: true, Describe: describeNothing}
	stream, err := OpenCopy(ctx, o.Source, o.Stream)
	if err != nil {
		return Boundary{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out, ended := make(chan *Batch, 1), make(chan error, 1)
	go func() {
		defer close(out)
		ended <- stream.Until(ctx, o.Until, out)
	}()
	var b Boundary
	found := false
	for batch := range out { // to its end, so that the goroutine ends
		for i := range batch.Transactions {
			if t := &batch.Transactions[i]; !found && !t.isLone() {
				found = b.meet(t, o)
			}
		}
		batch.Release()
		if found {
			cancel()
		}
	}
	err = <-ended
	if closing := stream.Close(); err == nil && closing != nil {
		err = closing
	}
	if found {
		return b, nil
	}
	return b, err
}

// meet takes one transaction, and says whether nothing more is to be learnt.
func (b *Boundary) meet(t *Transaction, o LocateOptions) bool {
	header := *t
	header.Changes = nil
	if o.At > 0 && t.Commit < o.At || o.At == 0 && t.Time < o.Time {
		b.Before = header
		return false
	}
	if b.Next.Commit == 0 {
		b.Next = header
	}
	if o.At == 0 || b.Before.End == o.At {
		return true
	}
	if t.Begin < o.At {
		b.Straddling = header
	}
	return b.Straddling.Commit > 0 || t.Commit > o.At+straddleBytes
}

// isLone says that a transaction is a logical message outside of any.
func (t *Transaction) isLone() bool { return t.End == t.Commit }

// describeNothing captures no table.
func describeNothing(Shape) (*schema.Relation, error) { return nil, nil }

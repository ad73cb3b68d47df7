package decoder

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// blockerInterval is how often a creation that waits says what for.
const blockerInterval = 3 * time.Second

// CreateOptions say which slot to make.
type CreateOptions struct {
	Connect ConnectOptions
	Name    string // required
	// Temporary slots vanish with their session.
	Temporary bool
	// Failover has the slot copied to standbys, from Postgres 17 on; before it is an error. Not for
	// temporary slots.
	Failover bool
	// Progress, when set, is told every few seconds what the creation waits for: the server must see every
	// transaction end that had written when it began, anywhere in the cluster.
	Progress func([]Blocker)
	// Past, when set, is told several times a second, while the creation waits for a transaction to end, an
	// LSN that the consistent point will not be before. It is called from another goroutine.
	Past func(LSN)
}

// Blocker is a transaction whose end the creation of a slot waits for.
type Blocker struct {
	// PID is the session's; 0 for a prepared transaction, which Prepared names.
	PID             int
	Prepared        string
	Database, User  string
	ApplicationName string
	State           string
	Since           time.Duration // age of the transaction
}

// String describes the transaction for a person.
func (b Blocker) String() string {
	since := b.Since.Round(time.Second)
	if b.PID == 0 {
		return fmt.Sprintf("prepared transaction %q of %s in %s, %s old", b.Prepared, b.User, b.Database, since)
	}
	return fmt.Sprintf("pid %d (%s, application %q in %s, %s), transaction %s old", b.PID,
		b.User, b.ApplicationName, b.Database, b.State, since)
}

// CreatedSlot is a slot just made, and the session that made it.
type CreatedSlot struct {
	Name string
	// Point is the consistent point: the stream begins with the transactions whose commit record starts at
	// or after it, and Snapshot shows the rows of all those before.
	Point LSN
	// Snapshot is the exported snapshot's name, valid until the next command on Conn.
	Snapshot string
	// Restart is the slot's restart_lsn, read right after the creation.
	Restart LSN
	// Conn made the slot. The owner of the CreatedSlot closes it, or gives it to Open, once a keeper has
	// imported the snapshot.
	Conn *pgconn.PgConn
}

// CreateSlot makes a logical slot for pgoutput and exports its snapshot. It waits for writing transactions to
// end, for as long as ctx lets it; given up, it has the server stop too, and leaves no slot behind.
//
// Rows must not be read under the snapshot before an ordinary session sees what it sees: on servers without
// the fix of autumn 2026 such a read destroys rows.
func CreateSlot(ctx context.Context, o CreateOptions) (*CreatedSlot, error) {
	if err := ValidateSlotName(o.Name); err != nil {
		return nil, err
	}
	o.Connect.Replication = true
	conn, err := Connect(ctx, o.Connect)
	if err != nil {
		return nil, err
	}
	command, err := createCommand(o, ServerVersion(conn))
	if err != nil {
		closeQuietly(conn)
		return nil, err
	}
	rows, err := createWatched(ctx, o, conn, command)
	if err != nil {
		closeQuietly(conn)
		return nil, err
	}
	created := &CreatedSlot{Name: rows[0][0], Snapshot: rows[0][2], Conn: conn}
	if created.Point, err = ParseLSN(rows[0][1]); err == nil {
		created.Restart, err = restartOf(ctx, o)
	}
	if err != nil {
		closeQuietly(conn)
		return nil, errors.Join(err, dropOrphan(ctx, o))
	}
	return created, nil
}

// createCommand writes the command in the words of the server's version; the old words stay understood, but
// know no FAILOVER.
func createCommand(o CreateOptions, version int) (string, error) {
	command := "CREATE_REPLICATION_SLOT " + quoteIdentifier(o.Name)
	if o.Temporary {
		command += " TEMPORARY"
	}
	command += " LOGICAL pgoutput "
	switch {
	case o.Failover && version < 170000:
		return "", fmt.Errorf("create slot %s: failover needs Postgres 17, the server is %d", o.Name, version/10000)
	case o.Failover && o.Temporary:
		return "", fmt.Errorf("create slot %s: a temporary slot cannot have failover", o.Name)
	case o.Failover:
		return command + "(SNAPSHOT 'export', FAILOVER true)", nil
	case version >= 150000:
		return command + "(SNAPSHOT 'export')", nil
	}
	return command + "EXPORT_SNAPSHOT", nil
}

// createWatched runs the command; beside it another connection tells what it waits for.
func createWatched(
	ctx context.Context, o CreateOptions, conn *pgconn.PgConn, command string,
) ([][]string, error) {
	type answer struct {
		rows [][]string
		err  error
	}
	done := make(chan answer, 1)
	if o.Past != nil {
		watched, stop := make(chan struct{}), make(chan struct{})
		go func() { defer close(watched); watchPast(ctx, o, conn.PID(), stop) }()
		defer func() { close(stop); <-watched }()
	}
	// Not under ctx: pgconn would leave the server creating. Giving up is a CancelRequest, below.
	go func() {
		rows, err := simpleQuery(context.WithoutCancel(ctx), conn, command)
		done <- answer{rows, err}
	}()
	tick := time.NewTicker(blockerInterval)
	defer tick.Stop()
	for {
		select {
		case a := <-done:
			if a.err != nil {
				return nil, createFault(ctx, o, a.err)
			}
			if len(a.rows) != 1 || len(a.rows[0]) != 4 {
				return nil, fmt.Errorf("create slot %s: want 1 row of 4 columns, got %d rows", o.Name, len(a.rows))
			}
			return a.rows, nil
		case <-tick.C:
			if o.Progress != nil {
				// Without an answer there is nothing to tell; the creation itself goes on.
				if blockers, err := blockersOf(ctx, o); err == nil {
					o.Progress(blockers)
				}
			}
		case <-ctx.Done():
			return nil, giveUp(ctx, o, conn, func() { <-done })
		}
	}
}

// createFault types a refusal of the creation.
func createFault(ctx context.Context, o CreateOptions, err error) error {
	err = fault("create slot "+o.Name, err)
	var refused *ServerError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Code {
	case codeDuplicateObject:
		// Another instance was quicker; the next attempt finds the slot, and whoever holds it.
		refused.transient = true
		refused.Advice = "use it, or drop it: it may be another pipeline's"
	case codeNotInState:
		refused.Advice = "set wal_level to logical (on RDS rds.logical_replication to 1) and restart the server"
	}
	return err
}

// giveUp has the server stop creating, waits until it has, and drops the slot if it was quicker.
func giveUp(ctx context.Context, o CreateOptions, conn *pgconn.PgConn, wait func()) error {
	cause := fmt.Errorf("create slot %s: given up: %w", o.Name, context.Cause(ctx))
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	// Without it the server goes on creating when its client is gone, and the next attempt meets the slot.
	canceled := conn.CancelRequest(after)
	if canceled != nil {
		canceled = fmt.Errorf("create slot %s: ask the server to stop: %w", o.Name, fault("cancel", canceled))
	}
	// A server that does not stop is left: closing the connection is the last word.
	stop := context.AfterFunc(after, func() { _ = conn.Conn().Close() })
	wait()
	stop()
	return errors.Join(cause, canceled, dropOrphan(after, o))
}

// dropOrphan drops the slot that a failed creation may have left. A temporary one goes with its session.
func dropOrphan(ctx context.Context, o CreateOptions) error {
	if o.Temporary {
		return nil
	}
	o.Connect.Replication = false
	conn, err := Connect(ctx, o.Connect)
	if err != nil {
		return fmt.Errorf("look for what is left of slot %s: %w", o.Name, err)
	}
	defer closeQuietly(conn)
	return dropWhenFree(ctx, conn, o.Name)
}

// dropWhenFree drops a slot as soon as the session that made it is gone.
func dropWhenFree(ctx context.Context, conn *pgconn.PgConn, name string) error {
	tick := time.NewTicker(wake)
	defer tick.Stop()
	for {
		err := DropSlot(ctx, conn, name)
		var busy *SlotBusyError
		if !errors.As(err, &busy) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// restartOf reads the slot's restart_lsn on another connection: a command on the one that made it would end
// the snapshot.
func restartOf(ctx context.Context, o CreateOptions) (LSN, error) {
	o.Connect.Replication = false
	conn, err := Connect(ctx, o.Connect)
	if err != nil {
		return 0, err
	}
	defer closeQuietly(conn)
	slot, err := InspectSlot(ctx, conn, o.Name)
	if err != nil {
		return 0, err
	}
	if slot == nil {
		// A temporary slot goes with its session; one that stays was dropped, and the next attempt makes it anew.
		return 0, &ConnectionLostError{
			Doing: "create slot " + o.Name,
			Cause: errors.New("it is gone already: the server restarted, or ended the session that made it"),
		}
	}
	return slot.Restart, nil
}

// blockersOf lists the transactions with an xid, oldest first.
func blockersOf(ctx context.Context, o CreateOptions) ([]Blocker, error) {
	o.Connect.Replication = false
	conn, err := Connect(ctx, o.Connect)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(conn)
	return runningTransactions(ctx, conn)
}

// runningTransactions lists those with an xid, prepared ones among them, the oldest first.
func runningTransactions(ctx context.Context, conn *pgconn.PgConn) ([]Blocker, error) {
	rows, err := simpleQuery(ctx, conn, `SELECT pid, '', coalesce(datname, ''), coalesce(usename, ''),
			application_name, coalesce(state, ''),
			coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - xact_start)::bigint, 0)
		FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL
		UNION ALL SELECT 0, gid, database, owner, '', 'prepared',
			coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - prepared)::bigint, 0)
		FROM pg_catalog.pg_prepared_xacts ORDER BY 7 DESC LIMIT 20`)
	if err != nil {
		return nil, fault("read pg_stat_activity", err)
	}
	blockers := make([]Blocker, len(rows))
	for i, row := range rows {
		b := Blocker{Prepared: row[1], Database: row[2], User: row[3], ApplicationName: row[4], State: row[5]}
		var seconds int64
		if _, err := fmt.Sscan(strings.Join([]string{row[0], row[6]}, " "), &b.PID, &seconds); err != nil {
			return nil, fmt.Errorf("read pg_stat_activity: %w", err)
		}
		b.Since = time.Duration(seconds) * time.Second
		blockers[i] = b
	}
	return blockers, nil
}

package snapshot

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Keeper is a transaction that holds a slot's snapshot open, so that the connection which made the slot can
// go on to stream from it. Workers import the snapshot from the keeper. It is not safe for use by several
// goroutines; while Run uses it, only Run may.
type Keeper struct {
	conn    *pgconn.PgConn
	connect ConnectFunc
	// name is what workers import: the keeper's own export.
	name string
	// seen is the snapshot: what it counts as finished.
	seen txSnapshot
	// time is the transaction's CURRENT_TIMESTAMP in microseconds since 1970, the time of all rows.
	time    int64
	version int
	guarded bool
}

// OpenKeeper imports the snapshot that slot creation exported and exports it again. Once it returns, the
// connection that made the slot may run its next command, which ends the first export. It reads no user
// table. connect is kept for the guard.
func OpenKeeper(ctx context.Context, connect ConnectFunc, snapshot string) (*Keeper, error) {
	conn, err := connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to keep the snapshot: %w", err)
	}
	k := &Keeper{conn: conn, connect: connect}
	if err := k.open(ctx, snapshot); err != nil {
		closeQuietly(conn)
		return nil, err
	}
	return k, nil
}

// keeperFacts is what the keeper learns in its transaction. Its time is put together from whole numbers:
// Postgres 13 extracts the epoch as a float. The transaction id of Debezium's rows would be txid_current(),
// which assigns one and so makes the creation of other slots wait for this transaction; the snapshot's xmax
// is as good a label.
const keeperFacts = `SELECT pg_catalog.pg_export_snapshot() AS name,
	pg_catalog.pg_current_snapshot()::text AS seen,
	extract(epoch FROM pg_catalog.date_trunc('second', now()))::bigint * 1000000
		+ extract(microseconds FROM now())::bigint % 1000000 AS micros`

// open begins the transaction. The first statement in it must be the import: a snapshot taken before would
// stay.
func (k *Keeper) open(ctx context.Context, snapshot string) error {
	const doing = "import the slot's snapshot"
	if err := begin(ctx, k.conn, snapshot); err != nil {
		return fault(doing, err)
	}
	type facts struct {
		Name   string `json:"name"`
		Seen   string `json:"seen"`
		Micros int64  `json:"micros"`
	}
	rows, err := queryJSON[facts](ctx, k.conn, keeperFacts)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if k.seen, err = parseSnapshot(rows[0].Seen); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if k.version, err = serverVersion(ctx, k.conn); err != nil {
		return err
	}
	k.name, k.time = rows[0].Name, rows[0].Micros
	return nil
}

// Time returns the time of the snapshot's rows, in microseconds since 1970.
func (k *Keeper) Time() int64 { return k.time }

// XMax returns what FullXID of the snapshot's rows is: the first transaction that it does not know.
func (k *Keeper) XMax() uint64 { return k.seen.xmax }

// Close ends the keeper's transaction, and with it the snapshot as far as no worker holds it.
func (k *Keeper) Close() { closeQuietly(k.conn) }

// ping proves that the snapshot is still held, and keeps an idle connection from being cut on the way.
func (k *Keeper) ping(ctx context.Context) error {
	if _, err := k.conn.Exec(ctx, "SELECT 1").ReadAll(); err != nil {
		return &LostError{Doing: "keep the snapshot open", Cause: fault("ask the server", err)}
	}
	return nil
}

// begin starts a transaction that sees an exported snapshot. Isolation below repeatable read would take a new
// snapshot for each statement.
func begin(ctx context.Context, conn *pgconn.PgConn, snapshot string) error {
	_, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "+
		"SET TRANSACTION SNAPSHOT "+literal(snapshot)).ReadAll()
	return err
}

// closeQuietly ends a connection whose work is over or lost: an error would change nothing.
func closeQuietly(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// quote quotes a name for SQL.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes a string for SQL; standard_conforming_strings is pinned.
func literal(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }

// sql returns the relation's name for SQL.
func (s Source) sql() string { return quote(s.Namespace) + "." + quote(s.Name) }

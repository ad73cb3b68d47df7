package decoder

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// pastInterval is how often a creation that waits says where its consistent point cannot be any more.
const pastInterval = 100 * time.Millisecond

// The consistent point of a slot is at a record of running transactions (xl_running_xacts) that was written
// after all those have ended which the creation waits for. So while it waits for one that still runs, the
// point is behind everything that has been written:
//
//  1. w = where the WAL ends
//  2. the creating session waits for transaction X, and a snapshot taken now has X running
//     => every record before w was written while X ran, and lists it: the point is not before w
//
// The order matters: a transaction leaves the running ones before it gives up its lock.
const (
	walEndQuery  = "SELECT pg_catalog.pg_current_wal_insert_lsn()"
	waitingQuery = `SELECT count(*) FROM pg_catalog.pg_locks
		WHERE pid = %d AND NOT granted AND locktype = 'transactionid' AND transactionid::text::numeric IN (
			SELECT x::text::numeric %% 4294967296
			FROM pg_catalog.pg_snapshot_xip(pg_catalog.pg_current_snapshot()) AS x)`
)

// watchPast tells o.Past, until done closes, below which LSN the consistent point cannot be. It is not needed
// for the creation, so whatever goes wrong here only ends the telling.
func watchPast(ctx context.Context, o CreateOptions, creator uint32, done <-chan struct{}) {
	tick := time.NewTicker(pastInterval)
	defer tick.Stop()
	o.Connect.Replication = false
	var conn *pgconn.PgConn
	defer func() { closeQuietly(conn) }()
	for {
		select {
		case <-tick.C:
		case <-done:
			return
		case <-ctx.Done():
			return
		}
		if conn == nil {
			var err error
			if conn, err = Connect(ctx, o.Connect); err != nil {
				return
			}
		}
		lsn, waits, err := pointPast(ctx, conn, creator)
		if err != nil {
			return
		}
		if waits {
			o.Past(lsn)
		}
	}
}

// pointPast returns the LSN that the consistent point is not before, if the creation waits.
func pointPast(ctx context.Context, conn *pgconn.PgConn, creator uint32) (lsn LSN, waits bool, err error) {
	end, err := simpleQuery(ctx, conn, walEndQuery)
	if err != nil {
		return 0, false, err
	}
	waiting, err := simpleQuery(ctx, conn, fmt.Sprintf(waitingQuery, creator))
	if err != nil {
		return 0, false, err
	}
	lsn, err = ParseLSN(end[0][0])
	return lsn, waiting[0][0] != "0", err
}

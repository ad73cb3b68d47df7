package snapshot

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Why there is a guard. On a server without the fix of autumn 2026 a slot's snapshot counts a transaction as
// committed as soon as its commit record is decoded, and this can go wrong for good:
//
//	backend                         slot creation                    reader under the slot's snapshot
//	writes the commit record
//	                                decodes it: committed
//	                                exports the snapshot
//	                                                                 finds a row of the transaction: it is not
//	                                                                 in the snapshot's running ones, so its
//	                                                                 commit status is looked up: not committed
//	                                                                 (the backend has not written it yet), not
//	                                                                 running: so aborted. This is noted in the
//	                                                                 row: HEAP_XMIN_INVALID
//	marks itself committed
//
// The row is then dead for everybody. A session that takes its snapshot in the ordinary way waits for the
// last step: what it counts as finished has its commit status written. So nothing is read before an
// ordinary session counts as finished everything that the slot's snapshot does.

// txSnapshot is a pg_snapshot: transactions below xmax and not in running are finished.
type txSnapshot struct {
	text string
	// xmax is the first transaction that had not been assigned, or not finished, when the snapshot was taken.
	xmax    uint64
	running []uint64 // ascending
}

// parseSnapshot reads pg_snapshot's text form, xmin:xmax:xip,xip.
func parseSnapshot(text string) (txSnapshot, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return txSnapshot{}, fmt.Errorf("pg_snapshot %q: want xmin:xmax:xip_list", text)
	}
	s := txSnapshot{text: text}
	var err error
	if s.xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return txSnapshot{}, fmt.Errorf("pg_snapshot %q: xmax: %w", text, err)
	}
	if parts[2] == "" {
		return s, nil
	}
	for xip := range strings.SplitSeq(parts[2], ",") {
		x, err := strconv.ParseUint(xip, 10, 64)
		if err != nil {
			return txSnapshot{}, fmt.Errorf("pg_snapshot %q: xip_list: %w", text, err)
		}
		s.running = append(s.running, x)
	}
	slices.Sort(s.running)
	return s, nil
}

// finished says whether the snapshot counts x as committed or aborted.
func (s txSnapshot) finished(x uint64) bool {
	_, running := slices.BinarySearch(s.running, x)
	return x < s.xmax && !running
}

// unsafe returns the transactions that s counts as finished and now does not: first the newest one below
// s.xmax, when now has not come as far, then those that run.
func (s txSnapshot) unsafe(now txSnapshot) []uint64 {
	var xids []uint64
	// now's running ones are those below its xmax. When that is behind, transactions between the two xmax are
	// finished for s and not even listed for now: looking at the list alone would miss them.
	if now.xmax < s.xmax {
		xids = append(xids, s.xmax-1)
	}
	for _, x := range now.running {
		if s.finished(x) {
			xids = append(xids, x)
		}
	}
	return xids
}

// How often the guard looks: most waits are shorter than the first pause.
const (
	guardFirstPause  = 500 * time.Microsecond
	guardMaxPause    = 50 * time.Millisecond
	guardLogInterval = 5 * time.Second
)

// Guard waits until reading with the keeper's snapshot cannot harm the source; usually that is below a
// millisecond. Run calls it before it reads. It stops with a *GuardError after timeout.
func (k *Keeper) Guard(ctx context.Context, timeout time.Duration, logger *slog.Logger) error {
	if k.guarded {
		return nil
	}
	conn, err := k.connect(ctx)
	if err != nil {
		return fmt.Errorf("connect to guard the snapshot: %w", err)
	}
	defer closeQuietly(conn)
	if err := guard(ctx, conn, k.seen, timeout, logger); err != nil {
		return err
	}
	k.guarded = true
	return nil
}

// guard is Guard on a session of its own, which must not be in a transaction: there its snapshot would
// stand still.
func guard(ctx context.Context, conn *pgconn.PgConn, seen txSnapshot, timeout time.Duration,
	logger *slog.Logger,
) error {
	started, logged, pause := time.Now(), time.Now(), guardFirstPause
	for {
		now, err := currentSnapshot(ctx, conn)
		if err != nil {
			return err
		}
		blockers := seen.unsafe(now)
		if len(blockers) == 0 {
			return nil
		}
		waited := time.Since(started)
		if waited >= timeout {
			who, err := owners(ctx, conn, blockers)
			if err != nil {
				return err
			}
			return &GuardError{Waited: waited.Round(time.Millisecond).String(), Blockers: who}
		}
		if time.Since(logged) >= guardLogInterval {
			logged = time.Now()
			who, err := owners(ctx, conn, blockers)
			if err != nil {
				return err
			}
			logger.Info("waiting for commits that the snapshot counts as finished",
				"waited", waited.Round(time.Second), "blockers", who)
		}
		if err := wait(ctx, pause); err != nil {
			return fmt.Errorf("guard the snapshot: %w", err)
		}
		pause = min(2*pause, guardMaxPause)
	}
}

// wait returns after d, or with ctx's cause when that ends first.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// currentSnapshot asks an ordinary session what it counts as finished.
func currentSnapshot(ctx context.Context, conn *pgconn.PgConn) (txSnapshot, error) {
	result := conn.ExecParams(ctx, "SELECT pg_catalog.pg_current_snapshot()::text", nil, nil, nil, nil).Read()
	if result.Err != nil {
		return txSnapshot{}, fault("guard the snapshot", result.Err)
	}
	return parseSnapshot(string(result.Rows[0][0]))
}

// owners says who runs the transactions: sessions, and prepared transactions. Their views have the low 32
// bits of an xid only. A session is not shown to a role without pg_read_all_stats: then the list is shorter
// than xids.
func owners(ctx context.Context, conn *pgconn.PgConn, xids []uint64) ([]string, error) {
	short := make([]uint32, len(xids))
	for i, x := range xids {
		short[i] = uint32(x)
	}
	type owner struct {
		Text string `json:"text"`
	}
	rows, err := queryJSON[owner](ctx, conn, `
		SELECT pg_catalog.format('pid %s (%s, application %s, %s, waits for %s) runs transaction %s',
			pid, usename, application_name, state, coalesce(wait_event, 'nothing'), backend_xid) AS text
		FROM pg_catalog.pg_stat_activity WHERE backend_xid::text = ANY ($1::text[])
		UNION ALL
		SELECT pg_catalog.format('prepared transaction %s of %s runs transaction %s', gid, owner, transaction)
		FROM pg_catalog.pg_prepared_xacts WHERE transaction::text = ANY ($1::text[])`, array(short))
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(rows))
	for i, row := range rows {
		texts[i] = row.Text
	}
	return texts, nil
}

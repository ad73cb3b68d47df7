package decoder

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// statsVersion is the first server that has pg_stat_replication_slots.
const statsVersion = 140000

// SlotStats is what the server has had to write to its own disk to decode a slot's transactions, since the
// statistics were reset: those larger than logical_decoding_work_mem. Protocol 1 sends no transaction before
// its end, so that nothing is ever streamed.
type SlotStats struct {
	SpilledTransactions, SpilledBytes int64
}

// InspectSlotStats looks a slot's statistics up on any connection; nil without an error means that there are
// none: before Postgres 14, or of a slot that nobody has read yet.
func InspectSlotStats(ctx context.Context, conn *pgconn.PgConn, name string) (*SlotStats, error) {
	if ServerVersion(conn) < statsVersion {
		return nil, nil
	}
	rows, err := simpleQuery(ctx, conn, "SELECT spill_txns, spill_bytes FROM "+
		"pg_catalog.pg_stat_replication_slots WHERE slot_name = "+quoteLiteral(name))
	if err != nil {
		return nil, fault("read pg_stat_replication_slots", err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	var s SlotStats
	if s.SpilledTransactions, err = strconv.ParseInt(rows[0][0], 10, 64); err == nil {
		s.SpilledBytes, err = strconv.ParseInt(rows[0][1], 10, 64)
	}
	if err != nil {
		return nil, fmt.Errorf("read pg_stat_replication_slots: slot %s: %w", name, err)
	}
	return &s, nil
}

// ClockOffset asks how far the server's clock is ahead of ours; negative is behind. The answer is taken to
// be as old as half the time that the question took, and is as exact as that.
func ClockOffset(ctx context.Context, conn *pgconn.PgConn) (time.Duration, error) {
	const doing = "read the server's clock"
	asked := time.Now()
	rows, err := simpleQuery(ctx, conn,
		"SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint")
	took := time.Since(asked)
	if err != nil {
		return 0, fault(doing, err)
	}
	micros, err := strconv.ParseInt(rows[0][0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", doing, err)
	}
	return time.UnixMicro(micros).Sub(asked.Add(took / 2)), nil
}

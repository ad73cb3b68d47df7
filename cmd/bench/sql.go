package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// sqlChunk is how many messages one call of the function returns, at least: enough for what each call
// decodes again not to show.
const sqlChunk = 500_000

// drainSQL reads and discards a slot's rows by the SQL function: sql URL SLOT ROWS. It is what the catch-up
// lane could reach with nothing behind it, and nothing decoded.
func drainSQL(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: bench sql URL SLOT ROWS")
	}
	rows, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	conn, err := pgconn.Connect(ctx, args[0])
	if err != nil {
		return err
	}
	if err := execute(ctx, conn, "SET work_mem = '128MB'"); err != nil {
		return err
	}
	query := fmt.Sprintf(`SELECT lsn, data FROM pg_logical_slot_get_binary_changes('%s', NULL, %d,
		'proto_version', '1', 'publication_names', '%s')`, args[1], sqlChunk, publication)
	r, began := reading{}, time.Now()
	for r.Rows < rows {
		n, err := readChanges(ctx, conn, query)
		if err != nil {
			return fmt.Errorf("read slot %s: %w", args[1], err)
		}
		if n == 0 {
			return fmt.Errorf("read slot %s: %d rows, want %d", args[1], r.Rows, rows)
		}
		r.Rows += n
	}
	r.Seconds = time.Since(began).Seconds()
	if err := conn.Close(ctx); err != nil {
		return err
	}
	return r.print()
}

// readChanges makes one call and counts its inserts.
func readChanges(ctx context.Context, conn *pgconn.PgConn, query string) (rows int, err error) {
	result := conn.ExecParams(ctx, query, nil, nil, nil, []int16{1})
	for result.NextRow() {
		if data := result.Values()[1]; len(data) > 0 && data[0] == 'I' {
			rows++
		}
	}
	_, err = result.Close()
	return rows, err
}

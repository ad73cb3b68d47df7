package main

import (
	"context"
	"fmt"
)

// moveOn assigns a transaction id where Debezium's snapshot does: its commit is written to the log behind
// the slot's consistent point. Without it an idle server's first change would begin at that very point, and
// have the LSN that the snapshot's rows have, by which consumers tell what came first. A standby cannot
// assign any, and need not: its log goes on by itself.
func (p *pipeline) moveOn(ctx context.Context) error {
	if !p.debezium() {
		return nil
	}
	conn, err := p.ordinary(ctx)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	const sql = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 0 ELSE pg_catalog.txid_current() END"
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("assign a transaction id behind the slot's point: %w", err)
	}
	return nil
}

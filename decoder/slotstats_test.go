package decoder

import (
	"testing"
	"time"
)

// TestSlotStats: a transaction larger than the server's memory for it is seen to be spilled, by any role.
// Before Postgres 14 there is nothing to see, and that is no error.
func TestSlotStats(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		conn, reader := dial(t, db.connect), db.slotName()
		query(t, conn, "CREATE TABLE public.large (n int, text text)")
		query(t, conn, "CREATE PUBLICATION "+db.name+" FOR TABLE public.large")
		query(t, conn, "SELECT pg_create_logical_replication_slot('"+reader+"', 'pgoutput')")
		query(t, conn, "INSERT INTO public.large SELECT n, repeat('x', 100) FROM generate_series(1, 5000) AS n")
		query(t, conn, "SET logical_decoding_work_mem = '64kB'")
		query(t, conn, "SELECT count(*) FROM pg_logical_slot_peek_binary_changes('"+reader+
			"', NULL, NULL, 'proto_version', '1', 'publication_names', '"+db.name+"')")
		asker := dial(t, db.connect)
		query(t, asker, "CREATE ROLE "+reader+" LOGIN")
		t.Cleanup(func() { query(t, asker, "RESET SESSION AUTHORIZATION; DROP ROLE "+reader) })
		query(t, asker, "SET SESSION AUTHORIZATION "+reader)
		waitFor(t, "the statistics", func() bool {
			s, err := InspectSlotStats(t.Context(), asker, reader)
			if err != nil {
				t.Fatal(err)
			}
			if ServerVersion(asker) < statsVersion {
				return s == nil
			}
			return s != nil && s.SpilledTransactions == 1 && s.SpilledBytes > 64<<10
		})
		if s, err := InspectSlotStats(t.Context(), asker, "nobody"); s != nil || err != nil {
			t.Errorf("statistics of a slot that is not there: %+v, %v", s, err)
		}
		// Server and test are one machine.
		if offset, err := ClockOffset(t.Context(), asker); err != nil || offset.Abs() > 5*time.Second {
			t.Errorf("the server's clock is ahead by %s, %v", offset, err)
		}
	})
}

package decoder

import (
	"context"
	"testing"
)

// TestFindHolder: an open transaction and a slot that is further behind are found, by a role without rights.
func TestFindHolder(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		ctx := context.Background()
		admin := dial(t, db.connect)
		older, newer := db.slotName()+"_a", db.slotName()+"_b"
		for _, name := range []string{older, newer} {
			query(t, admin, "SELECT pg_create_logical_replication_slot('"+name+"', 'pgoutput')")
			query(t, admin, "CREATE TABLE public."+name+" AS SELECT generate_series(1, 1000) AS n; CHECKPOINT")
		}
		writer := dial(t, db.connect)
		query(t, writer, "BEGIN; INSERT INTO public."+newer+" VALUES (1)")
		slot, err := InspectSlot(ctx, admin, newer)
		if err != nil {
			t.Fatal(err)
		}
		query(t, admin, "CREATE ROLE "+newer+" LOGIN")
		t.Cleanup(func() { query(t, admin, "RESET SESSION AUTHORIZATION; DROP ROLE "+newer) })
		query(t, admin, "SET SESSION AUTHORIZATION "+newer)
		h, err := FindHolder(ctx, admin, slot)
		if err != nil {
			t.Fatal(err)
		}
		if h.Transaction == nil || h.Other == nil || h.Other.Restart >= slot.Restart {
			t.Errorf("want a transaction and a slot, got %+v", h)
		}
		query(t, writer, "ROLLBACK")
	})
}

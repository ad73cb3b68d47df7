package decoder

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// Holder is what keeps a slot's restart point, and with it the WAL, from moving.
type Holder struct {
	// Transaction is the oldest that still runs and was there when the slot's restart point was; nil when
	// none was seen. A slot cannot move past a running transaction, whatever its reader confirms.
	Transaction *Blocker
	// Other is the slot that keeps the most WAL of all, when it is not the one asked about: the disk fills
	// with what it keeps.
	Other *Slot
}

// FindHolder looks for what keeps a slot from moving besides its own reader. It needs no more rights than
// any role has. The transaction is the oldest with an xid, which is the one that restart_lsn waits for.
func FindHolder(ctx context.Context, conn *pgconn.PgConn, slot *Slot) (Holder, error) {
	var h Holder
	running, err := runningTransactions(ctx, conn)
	if err != nil {
		return h, err
	}
	if len(running) > 0 {
		h.Transaction = &running[0]
	}
	slots, err := querySlots(ctx, conn,
		"WHERE restart_lsn IS NOT NULL AND slot_name <> "+quoteLiteral(slot.Name))
	if err != nil {
		return h, err
	}
	for i := range slots {
		if s := &slots[i]; s.Restart < slot.Restart && (h.Other == nil || s.Restart < h.Other.Restart) {
			h.Other = s
		}
	}
	return h, nil
}

// String names the slot, and who reads it, for a person.
func (s *Slot) String() string {
	who := "nobody reads it"
	if s.Active {
		who = fmt.Sprintf("pid %d reads it", s.ActivePID)
	}
	return fmt.Sprintf("slot %s (%s)", s.Name, who)
}

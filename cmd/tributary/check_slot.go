package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/decoder"
)

// checkSlot asks for the slot's state, and for room for it.
func checkSlot(ctx context.Context, c Config, conn *pgconn.PgConn, s serverFacts, f *findings) {
	slot, err := decoder.InspectSlot(ctx, conn, c.Source.Slot)
	if err != nil {
		f.fault("slot", err, "")
		return
	}
	if slot == nil {
		if s.usedSlots >= s.slots {
			f.add("E115", "slot", fmt.Sprintf("all %d replication slots are in use", s.slots),
				fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d;   -- then restart the server", s.slots+5))
			return
		}
		f.ok("slot", c.Source.Slot+" does not exist yet: run creates it")
		return
	}
	if err := slot.Usable(sourceDatabase(c.Source.URL)); err != nil {
		f.fault("slot", err, slotFix(c, slot))
		return
	}
	text := fmt.Sprintf("%s at %s, %s of WAL retained, %s", slot.Name, slot.Confirmed, size(slot.RetainedBytes),
		slot.Status)
	if slot.SafeBytes >= 0 {
		text += fmt.Sprintf(", %s until it can be lost", size(slot.SafeBytes))
	}
	if slot.Failover {
		text += ", kept over a failover"
	}
	switch {
	case slot.Active:
		f.add("W130", "slot", fmt.Sprintf("%s is in use by pid %d: run stands by until it is free", slot.Name,
			slot.ActivePID),
			fmt.Sprintf("SELECT application_name, client_addr, backend_start FROM pg_stat_activity WHERE pid = %d;",
				slot.ActivePID))
	case slot.Status == "unreserved":
		f.add("W126", "slot", text+": its WAL may go at the next checkpoint", "")
	default:
		f.ok("slot", text)
	}
	checkHorizon(ctx, c, conn, slot, f)
}

// checkHorizon compares the publication's age with what the slot decodes by. The names are the
// configuration's, which validate has let through, and quoted.
func checkHorizon(ctx context.Context, c Config, conn *pgconn.PgConn, slot *decoder.Slot, f *findings) {
	results := conn.ExecParams(ctx, `SELECT age(p.xmin) <= age(s.catalog_xmin) FROM pg_publication p,
		pg_replication_slots s WHERE p.pubname = $1 AND s.slot_name = $2`,
		[][]byte{[]byte(c.Source.Publication), []byte(slot.Name)}, nil, nil, nil).Read()
	if results.Err != nil {
		f.fault("publication", results.Err, "")
		return
	}
	if len(results.Rows) == 1 && string(results.Rows[0][0]) == "t" {
		f.add("W158", "publication", fmt.Sprintf("%s was made or altered after the point that slot %s decodes from",
			c.Source.Publication, slot.Name),
			ownCommand(c, "slots drop "+slot.Name)+"   # where it is new and nothing was read from it yet")
	}
}

func slotFix(c Config, slot *decoder.Slot) string {
	if slot.Lost() {
		return repairCommand(c)
	}
	return "tributary check --source-slot " + textOr(identifier(c.Topic.Prefix), "tributary") +
		"_2   # another name"
}

// checkSurroundings asks for what delays a slot's creation, fills the disk, or is known to be faulty.
func checkSurroundings(s serverFacts, f *findings) {
	if s.oldest != "" {
		f.add("W152", "transaction", "creating a slot waits for an open transaction: "+s.oldest,
			fmt.Sprintf("SELECT pg_terminate_backend(%[1]d);   -- undoes its work; it is: SELECT state, query "+
				"FROM pg_stat_activity WHERE pid = %[1]d;", s.oldestPID))
	}
	if s.prepared != "" {
		f.add("W153", "transaction", "creating a slot waits for a prepared transaction: "+s.prepared,
			s.rollback)
	}
	if s.walKeep == "-1" {
		f.add("W151", "wal kept", "max_slot_wal_keep_size is -1: while tributary is stopped, the slot "+
			"may fill the "+
			"server's disk", "")
	}
	if fault := minorFault(s.number); fault != "" {
		f.add("W154", "version", fmt.Sprintf("PostgreSQL %s: %s", s.version, fault), "")
	}
	if s.workMemory < 64<<10 {
		f.add("I155", "memory", fmt.Sprintf("logical_decoding_work_mem is %s", size(int64(s.workMemory)<<10)), "")
	}
}

// minorFault names the worst fault of logical decoding that a release has and a later minor repairs, as the
// release notes tell; empty when none is known.
func minorFault(number int) string {
	major, minor := number/10000, number%10000
	for _, fixed := range []struct {
		minors map[int]int // by major: the first minor that has the repair
		fault  string
	}{
		{
			map[int]int{13: 21, 14: 18, 15: 13, 16: 9, 17: 5},
			"changes can be lost behind a DDL statement that takes a weak lock",
		},
		{
			map[int]int{13: 22, 14: 19, 15: 14, 16: 10, 17: 6},
			"decoding can run out of memory, and confirmed_flush_lsn can move back",
		},
		{
			map[int]int{14: 21, 15: 16, 16: 12, 17: 8, 18: 2},
			"a slot can be invalidated while it is created",
		},
		{
			map[int]int{14: 23, 15: 18, 16: 14, 17: 10, 18: 4},
			"a walsender can keep the server from shutting down",
		},
	} {
		if first, known := fixed.minors[major]; known && minor < first {
			return fmt.Sprintf("%s; repaired in %d.%d", fixed.fault, major, first)
		}
	}
	return ""
}

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestRealSequenceByLSN has a consumer that takes the record of the highest source.lsn for the latest, as
// Hudi and ClickHouse do, after a first snapshot at whose point a transaction was open: its rows were
// written before the point, and it commits after it. Natively that consumer is right; with Debezium's
// bytes it keeps the snapshot's row for ever, which shows that the case is the one that is meant.
func TestRealSequenceByLSN(t *testing.T) {
	servers := local.RealPostgres(t)
	server := servers[len(servers)-1]
	for compatibility, want := range map[string]string{"native": "after", "debezium": "before"} {
		t.Run(compatibility, func(t *testing.T) { sequenceByLSN(t, server, compatibility, want) })
	}
}

// sequenceByLSN takes a first snapshot under an open transaction and folds the topic by source.lsn: row 1
// must be what is wanted of it.
func sequenceByLSN(t *testing.T, server, compatibility, want string) {
	address := local.Database(t, server)
	admin := dial(t, address)
	admin.exec("CREATE TABLE parcel (id int PRIMARY KEY, v text); CREATE TABLE other (id int);" +
		"INSERT INTO parcel SELECT g, 'before' FROM generate_series(1, 3) g")
	r := newRig(t, address, local.Kafka(t), local.Registry(t), "[public.parcel]",
		"compatibility: "+compatibility)
	admin.exec("CREATE PUBLICATION " + r.prefix + " FOR TABLE parcel")
	read := newTopics(t, r)

	// A slot is consistent once two generations of transactions have ended: those that it found, and those
	// that began until then. One that begins after the first generation's end may be open at the point.
	first, second, open := dial(t, address), dial(t, address), dial(t, address)
	first.exec("BEGIN; INSERT INTO other VALUES (1)")
	l := r.run(t)
	l.awaits(t, admin, first)
	second.exec("BEGIN; INSERT INTO other VALUES (2)")
	first.exec("COMMIT")
	l.awaits(t, admin, second)
	open.exec("BEGIN; UPDATE parcel SET v = 'after' WHERE id = 1")
	written := admin.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
	second.exec("COMMIT")
	l.reach(t, stateStreaming)
	open.exec("COMMIT")
	read.until(l, "the update", func(r topicRecord) bool { return r.op == "u" })
	l.stop(t)

	records := read.all()
	update := records[slices.IndexFunc(records, func(r topicRecord) bool { return r.op == "u" })]
	if limit, err := strconv.ParseInt(written, 10, 64); err != nil || update.lsn >= limit {
		t.Fatalf("the update is at %d, not before the point, which is after %s (%v)", update.lsn, written, err)
	}
	slices.SortStableFunc(records, func(a, b topicRecord) int { return cmp.Compare(a.lsn, b.lsn) })
	folded := map[string]any{}
	for _, r := range records {
		folded[r.key] = r.after["v"]
	}
	if len(folded) != 3 || folded["id=1"] != want || folded["id=2"] != "before" {
		t.Errorf("%s, %s: by source.lsn the rows are %v, want id=1 %s", admin.value("SHOW server_version"),
			compatibility, folded, want)
	}
	if now := admin.value("SELECT v FROM parcel WHERE id = 1"); now != "after" {
		t.Errorf("the table has %s", now)
	}
}

// awaits waits until the creation of a slot waits for the end of a session's transaction.
func (l *life) awaits(t testing.TB, admin, session *sourceConn) {
	t.Helper()
	sql := fmt.Sprintf("SELECT count(*) FROM pg_locks w JOIN pg_locks h USING (transactionid) "+
		"WHERE w.locktype = 'transactionid' AND NOT w.granted AND h.granted AND h.pid = %d",
		session.conn.PID())
	l.eventually(t, func() error {
		if admin.value(sql) != "1" {
			return fmt.Errorf("the slot does not wait for session %d", session.conn.PID())
		}
		return nil
	})
}

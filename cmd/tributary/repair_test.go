package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// repairOf returns the command that a log's last error ends with.
func repairOf(t testing.TB, log string) []string {
	t.Helper()
	_, command, found := strings.Cut(log, "\nfix: tributary ")
	if !found || !strings.HasPrefix(command, "snapshot --repair -c ") {
		t.Fatalf("the error names no repair:\n%s", log)
	}
	command, _, _ = strings.Cut(command, "\n")
	return strings.Fields(command)
}

// whileGone changes orders that no stream tells of: one is deleted, one updated, one gets another key, one is
// new.
func (b *bench) whileGone() {
	b.Helper()
	b.exec("DELETE FROM public.orders WHERE id = 1; UPDATE public.orders SET v = 'changed' WHERE id = 2; " +
		"UPDATE public.orders SET id = 1003 WHERE id = 3; INSERT INTO public.orders VALUES (2000, 'new')")
}

// repaired runs the command that the pipeline's last error gave, and the pipeline, and holds topics and
// ledger against the tables.
func (b *bench) repaired(log string) {
	b.Helper()
	code, stdout, stderr := execute(b.T, &program{}, append(repairOf(b.T, log), "--yes")...)
	if code != exitOK || !strings.Contains(stdout, "the next run repairs: tributary run -c "+b.file) {
		b.Fatalf("the repair that was advised: exit code %d: %s%s", code, stdout, stderr)
	}
	seen := newTopics(b.T, b.rig)
	l := b.rig.run(b.T)
	b.mended(seen, l)
	l.stop(b.T)
	if n := strings.Count(l.log.String(), `"msg":"repair done"`); n != 1 {
		b.Errorf("%d repairs, want 1:\n%s", n, l.log.tail())
	}
}

// mended waits until no snapshot is left, streams one more change, and holds topics and ledger against the
// tables: with verify, and by a fold of its own.
func (b *bench) mended(seen *topics, l *life) {
	b.Helper()
	l.settled(b.T)
	b.exec("DELETE FROM public.orders WHERE id = -1; INSERT INTO public.orders VALUES (-1, 'the end')")
	seen.until(l, "the end", func(r topicRecord) bool { return r.op == "c" && r.key == "id=-1" })
	for _, more := range []string{"--json", "--log"} {
		if code, stdout, stderr := execute(b.T, &program{}, "verify", "-c", b.file, more); code != exitOK {
			b.Errorf("verify %s: exit code %d: %s%s", more, code, stdout, stderr)
		}
	}
	held := map[string]string{}
	for _, r := range seen.all() {
		switch {
		case r.topic != "public.orders":
		case r.op == "d", r.op == "-":
			delete(held, r.key)
		default:
			held[r.key] = fmt.Sprint(r.after["v"])
		}
	}
	rows := b.sourceConn.rows("SELECT id, v FROM public.orders")
	for _, row := range rows {
		if held["id="+row[0]] != row[1] {
			b.Errorf("order %s is %q, and the topic holds %q", row[0], row[1], held["id="+row[0]])
		}
	}
	if len(held) != len(rows) {
		b.Errorf("the topic leads to %d orders, the table has %d: %v", len(held), len(rows), held)
	}
}

// TestRealRepairKilled kills a repair again and again, in its rows and in its deletes, with writers beside
// it. No delete comes twice, and the topic leads to the table.
func TestRealRepairKilled(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.write(t, "snapshot: {pause: 30ms, resume_rows: 1000}")
	b.exec("CREATE TABLE public.more (a text, b numeric(10,2), c timestamptz, v int, PRIMARY KEY (a, b, c)); " +
		"INSERT INTO public.orders SELECT g, 'old' FROM generate_series(10000, 29999) g; " +
		"INSERT INTO public.more SELECT 'key ' || g, g / 100.0, '2020-01-01'::timestamptz + g * interval '1 " +
		"min', g " +
		"FROM generate_series(1, 5000) g; ANALYZE")
	b.tables = "['public.*']"
	b.write(t, "snapshot: {pause: 30ms, resume_rows: 1000}")
	b.exec("CREATE PUBLICATION " + b.prefix + " FOR TABLE public.orders, public.more")
	seen := newTopics(t, b.rig)
	l := b.rig.run(t)
	l.settled(t)
	l.stop(t)
	b.idle()
	b.exec("SELECT pg_drop_replication_slot('" + b.prefix + "'); DELETE FROM public.orders WHERE id % 2 = 0; " +
		"UPDATE public.more SET v = -1 WHERE v < 100; DELETE FROM public.more WHERE v % 3 = 0; ANALYZE")
	refused := b.rig.run(t)
	if code := refused.wait(t); code != exitPerson {
		t.Fatalf("exit code %d:\n%s", code, refused.log.tail())
	}
	code, stdout, stderr := execute(t, &program{}, append(repairOf(t, refused.log.String()), "--yes")...)
	if code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	writer := dial(t, b.source)
	for i := range 4 {
		child := b.start(t)
		child.eventually(t, func() error {
			s, err := child.status()
			if err == nil && len(s.Snapshots) == 0 && s.State != stateStreaming {
				err = fmt.Errorf("no repair in state %s", s.State)
			}
			return err
		})
		writer.exec(fmt.Sprintf("UPDATE public.orders SET v = 'round %d' WHERE id %% 1000 = 1; "+
			"DELETE FROM public.orders WHERE id %% 1000 = %d", i, 3+2*i))
		pause := time.NewTimer(time.Duration(i) * 150 * time.Millisecond)
		<-pause.C
		child.kill(t)
	}
	l = b.rig.run(t)
	b.mended(seen, l)
	l.stop(t)
	deleted := map[string]int{}
	for _, r := range seen.all() {
		if r.op == "d" {
			if deleted[r.topic+r.key]++; deleted[r.topic+r.key] > 1 {
				t.Errorf("%s %s was deleted %d times", r.topic, r.key, deleted[r.topic+r.key])
			}
			if r.before == nil {
				t.Errorf("the delete of %s %s has no row before", r.topic, r.key)
			}
		}
	}
	if n := len(deleted); n < 10000 {
		t.Errorf("%d keys were deleted", n)
	}
}

package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// snapshotRows waits until the snapshot has sent some rows in this life.
func (l *life) snapshotRows(t testing.TB, least int64) {
	t.Helper()
	l.eventually(t, func() error {
		s, err := l.status()
		if err == nil && (s.Snapshot == nil || s.Snapshot.Running && s.Snapshot.Rows < least) {
			err = fmt.Errorf("the snapshot has not sent %d rows", least)
		}
		return err
	})
}

// settled waits until no snapshot is left to be taken.
func (l *life) settled(t testing.TB) {
	t.Helper()
	l.eventually(t, func() error {
		s, err := l.status()
		if err == nil && (s.State != stateStreaming || len(s.Snapshots) > 0) {
			err = fmt.Errorf("state %s, %d snapshots left", s.State, len(s.Snapshots))
		}
		return err
	})
}

// bigWriters change random rows of the table big until stop is called.
func bigWriters(t testing.TB, address string, rows int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for w := range 2 {
		conn := dial(t, address)
		all.Go(func() {
			for i := w; ctx.Err() == nil; i += 2 {
				id := i * 7919 % rows
				conn.exec(fmt.Sprintf("BEGIN; UPDATE big SET v = v || 'x' WHERE id = %d; "+
					"DELETE FROM big WHERE id = %d; "+
					"INSERT INTO big VALUES (%d, 'new'); COMMIT; UPDATE big SET id = id + 10000000 WHERE id = %d",
					id, (id*31)%rows, rows+1+i, (id*17)%rows))
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// snapshotResumes kills a pipeline in its first snapshot and in a later part of it, while writers go on,
// and counts.
func snapshotResumes(t *testing.T, server, brokers, registry string, rows int) {
	address := local.Database(t, server)
	admin := dial(t, address)
	admin.exec(fmt.Sprintf("CREATE TABLE big (id bigint PRIMARY KEY, v text); "+
		"INSERT INTO big SELECT g, 'row ' || g FROM generate_series(1, %d) g; ANALYZE big; "+
		"CREATE TABLE loose (n int); ALTER TABLE loose REPLICA IDENTITY FULL; "+
		"INSERT INTO loose SELECT generate_series(1, 100)",
		rows))
	r := newRig(t, address, brokers, registry, "['public.*']",
		fmt.Sprintf("snapshot: {pause: 100ms, resume_rows: %d, workers: 2}", rows/10))
	admin.exec("CREATE PUBLICATION " + r.prefix + " FOR TABLE big, loose")
	read := newTopics(t, r)
	stop := bigWriters(t, address, rows)
	first := r.start(t)
	first.snapshotRows(t, int64(rows/20))
	first.kill(t)
	second := r.start(t)
	second.snapshotRows(t, int64(rows/20))
	second.kill(t)
	third := r.run(t)
	third.settled(t)
	stop()
	admin.exec("INSERT INTO big VALUES (-1, 'the end')")
	read.until(third, "the last row", func(r topicRecord) bool { return r.key == "id=-1" })
	third.stop(t)
	if log := first.log.String(); !strings.Contains(log, "its rows come again after a crash") ||
		!strings.Contains(log, `"table":"public.loose"`) || strings.Contains(log, `"table":"public.big"`) {
		t.Errorf("the log does not name the table that is read in no order:\n%s", first.log.tail())
	}
	reads, held := map[string]int{}, map[string]string{}
	total := 0
	for _, r := range read.all() {
		if r.topic != "public.big" {
			continue
		}
		if r.op == "r" {
			reads[r.key]++
			total++
		}
		switch r.op {
		case "r", "c", "u":
			held[r.key] = fmt.Sprint(r.after["v"])
		case "d":
			delete(held, r.key)
		}
	}
	twice := 0
	for key, n := range reads {
		if n > 1 {
			twice++
			t.Logf("%s was read %d times", key, n)
		}
	}
	if twice > 0 {
		t.Errorf("%d keys were read more than once, of %d reads", twice, total)
	}
	table := admin.rows("SELECT id, v FROM big")
	differing := 0
	for _, row := range table {
		if held["id="+row[0]] != row[1] {
			differing++
		}
	}
	if differing > 0 || len(held) != len(table) {
		t.Errorf("%d of %d rows differ, the topic holds %d", differing, len(table), len(held))
	}
	t.Logf("%d rows read, %d in the table at the end", total, len(table))
}

// TestRealSnapshotResumes does so with real servers, and as many rows as TRIBUTARY_TEST_SNAPSHOT_ROWS says.
func TestRealSnapshotResumes(t *testing.T) {
	brokers, registry := local.RealKafka(t), local.RealRegistry(t)
	rows := fromEnvironment(t, "SNAPSHOT_ROWS", 300_000)
	for _, server := range local.RealPostgres(t) {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal("the address of a server is none")
		}
		t.Run(u.Host, func(t *testing.T) { snapshotResumes(t, server, brokers, registry, rows) })
	}
}

// TestSnapshotResumes does so with servers in this process.
func TestSnapshotResumes(t *testing.T) {
	snapshotResumes(t, local.Postgres(t), local.Kafka(t), local.Registry(t), 60_000)
}

// TestSnapshotKeyChange moves a row from where a snapshot has not come yet to where it has been, by an
// update that leaves a large value out.
func TestSnapshotKeyChange(t *testing.T) {
	address := local.Database(t, local.Postgres(t))
	admin := dial(t, address)
	const rows = 8_000
	admin.exec(fmt.Sprintf("CREATE TABLE docs (id int PRIMARY KEY, doc text, n int); "+
		"ALTER TABLE docs ALTER doc SET STORAGE EXTERNAL; "+
		"INSERT INTO docs SELECT g * 2, repeat(md5(g::text), 100), g FROM generate_series(1, %d) g; "+
		"ANALYZE docs", rows))
	r := newRig(t, address, local.Kafka(t), local.Registry(t), "['public.*']",
		"snapshot: {pause: 150ms, resume_rows: 1000, workers: 1}\n"+
			"kafka: {brokers: [BROKERS], compression: "+testCompression+", window_records: 500, "+
			"position_topic: PREFIX.positions, ledger_topic: PREFIX.ledger}")
	replaceBrokers(t, r)
	admin.exec("CREATE PUBLICATION " + r.prefix + " FOR TABLE docs")
	read := newTopics(t, r)
	first := r.start(t)
	first.snapshotRows(t, 500)
	first.kill(t)
	admin.exec(fmt.Sprintf("UPDATE docs SET id = 1 WHERE id = %d", 2*rows))
	second := r.run(t)
	second.settled(t)
	admin.exec("INSERT INTO docs VALUES (-1)")
	read.until(second, "the last row", func(r topicRecord) bool { return r.key == "id=-1" })
	second.stop(t)
	ops, reads := "", map[string]int{}
	var last map[string]any
	for _, r := range read.all() {
		if r.op == "r" {
			reads[r.key]++
		}
		if r.key == "id=1" {
			ops, last = ops+r.op, r.after
		}
	}
	whole := admin.value("SELECT doc FROM docs WHERE id = 1")
	if ops != "cr" || last["doc"] != whole {
		t.Errorf("the moved row came as %q and has %d bytes at the end, want cr and %d: was it read too early?",
			ops, len(fmt.Sprint(last["doc"])), len(whole))
	}
	for key, n := range reads {
		if n > 1 {
			t.Errorf("%s was read %d times", key, n)
		}
	}
	if len(reads) != rows {
		t.Errorf("%d rows were read, want %d", len(reads), rows)
	}
}

// replaceBrokers writes the brokers where a configuration names them by a word.
func replaceBrokers(t testing.TB, r *rig) {
	t.Helper()
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.ReplaceAll(string(text), "BROKERS", "'"+r.brokers+"'"))
	if err := os.WriteFile(r.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// withToken configures an address that takes requests, and a token for them.
func withToken(t testing.TB) string {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "http: {listen: '127.0.0.1:0', token_from: 'file:" + secret + "'}"
}

// asker returns the snapshot command, to be told what it must answer.
func asker(t *testing.T, r *rig, l *life) func(code int, want string, args ...string) {
	_, rest, _ := strings.Cut(l.log.String(), `"address":"http://`)
	at, _, _ := strings.Cut(rest, `"`)
	return func(code int, want string, args ...string) {
		t.Helper()
		args = append([]string{"snapshot", "-c", r.file, "--addr", at}, args...)
		got, stdout, stderr := execute(t, &program{}, args...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("snapshot %v: exit code %d, printed %s%s", args, got, stdout, stderr)
		}
	}
}

// TestLaterSnapshots asks a running pipeline for snapshots: by the command, by a signal, and by adding a
// table.
func TestLaterSnapshots(t *testing.T) {
	address := local.Database(t, local.Postgres(t))
	admin := dial(t, address)
	admin.exec("CREATE TABLE a (id int PRIMARY KEY, v int); " +
		"INSERT INTO a SELECT g, g FROM generate_series(1, 50) g; " +
		"CREATE TABLE b (n int); INSERT INTO b SELECT generate_series(1, 20); " +
		"ALTER TABLE b REPLICA IDENTITY FULL; " +
		"CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late SELECT generate_series(1, 30); " +
		"CREATE TABLE signals (id varchar(42) PRIMARY KEY, type varchar(32), data varchar(2048))")
	r := newRig(t, address, local.Kafka(t), local.Registry(t), "[public.a, public.b, public.signals]",
		"snapshot: {signal_table: public.signals}\n"+withToken(t))
	admin.exec("CREATE PUBLICATION " + r.prefix + " FOR ALL TABLES")
	read := newTopics(t, r)
	l := r.run(t)
	l.settled(t)
	ask := asker(t, r, l)
	ask(exitOK, "done", "--table", "public.[ab]", "--where", "true -- all")
	ask(exitOK, "done", "--table", "public.a", "--where", "id <= 5")
	ask(exitFailed, "matches no captured table", "--table", "public.late")
	ask(exitFailed, "does not bear the token", "--table", "public.a", "--http-token-from", "env:PATH")
	ask(exitFailed, "no such snapshot", "--cancel", "requested-1")
	ask(exitOK, "0 snapshots ended", "--cancel", "all")
	admin.exec(`INSERT INTO signals VALUES ('one', 'execute-snapshot', ` +
		`'{"data-collections": ["public.b"]}'), ('three', 'no such', NULL), ` +
		`('two', 'execute-snapshot', '{"data-collections": ["public.nothing"]}'), ` +
		`('four', 'execute-snapshot', 'no JSON')`)
	read.until(l, "the signal's rows", countOf("public.b", 60))
	l.stop(t)
	r.tables = "[public.a, public.b, public.signals, public.late]"
	r.write(t, "")
	l = r.run(t)
	read.until(l, "the added table's rows", countOf("public.late", 30))
	l.settled(t)
	l.stop(t)
	counts := map[string]int{}
	for _, r := range read.all() {
		counts[r.topic+" "+r.op]++
	}
	want := map[string]int{"public.a r": 105, "public.b r": 60, "public.signals c": 4, "public.late r": 30}
	if fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("records %v, want %v\n%s", counts, want, l.log.tail())
	}
}

// countOf says when so many rows of a table were read.
func countOf(topic string, rows int) func(topicRecord) bool {
	return func(r topicRecord) bool {
		if r.topic == topic && r.op == "r" {
			rows--
		}
		return rows == 0
	}
}

// TestSnapshotWaits holds up a later snapshot by an open transaction: the stream goes on meanwhile, and the
// status says who is waited for.
func TestSnapshotWaits(t *testing.T) {
	address := local.Database(t, local.Postgres(t))
	admin, blocker := dial(t, address), dial(t, address)
	admin.exec("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 10); " +
		"CREATE TABLE signals (id varchar(42) PRIMARY KEY, type varchar(32), data varchar(2048))")
	r := newRig(t, address, local.Kafka(t), local.Registry(t), "['public.*']",
		"snapshot: {signal_table: public.signals}")
	admin.exec("CREATE PUBLICATION " + r.prefix + " FOR TABLE a, signals")
	read := newTopics(t, r)
	l := r.run(t)
	l.settled(t)
	blocker.exec("BEGIN; INSERT INTO a VALUES (100)")
	pid := blocker.value("SELECT pg_backend_pid()")
	admin.exec(`INSERT INTO signals VALUES ('one', 'execute-snapshot', '{"data-collections": ["public.a"]}')`)
	l.eventually(t, func() error {
		s, err := l.status()
		if err == nil && !strings.Contains(s.Detail, "pid "+pid+" ") {
			err = fmt.Errorf("the status does not name pid %s: %s", pid, s.Detail)
		}
		return err
	})
	admin.exec(`INSERT INTO signals VALUES ('two', 'stop-snapshot', '{"data-collections": ["public.a"]}')`)
	l.settled(t) // though the transaction is still open
	admin.exec(`INSERT INTO signals VALUES ('three', 'execute-snapshot', '{"data-collections": ["public.a"]}')`)
	admin.exec("INSERT INTO a VALUES (11)")
	read.until(l, "a row from beside the open transaction",
		func(r topicRecord) bool { return r.op == "c" && r.key == "id=11" })
	blocker.exec("COMMIT")
	read.until(l, "the rows", countOf("public.a", 10+12))
	l.settled(t)
	l.stop(t)
	ops := ""
	for _, r := range read.all() {
		if r.key == "id=100" || r.key == "id=11" {
			ops += r.op
		}
	}
	if strings.Count(ops, "c") != 2 || strings.Count(ops, "r") != 2 || !strings.HasPrefix(ops, "c") {
		t.Errorf("the two rows came as %q", ops)
	}
}

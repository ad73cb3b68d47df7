package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/cmd/tributary/audit"
	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
)

// verified is a pipeline that runs, and its database.
type verified struct {
	t              *testing.T
	file, prefix   string
	address, kafka string
	admin          *pgconn.PgConn
}

// newVerified starts a pipeline of three tables, which ends with the test.
func newVerified(t *testing.T) *verified {
	t.Helper()
	v := &verified{t: t, prefix: "verify", address: local.Database(t, local.Postgres(t)), kafka: local.Kafka(t)}
	v.admin = v.connect()
	v.exec(`CREATE TABLE item (id bigint PRIMARY KEY, name text, price numeric, big text, tags int[]);
		ALTER TABLE item ALTER big SET STORAGE EXTERNAL;
		CREATE TABLE pair (a text, b int, at timestamptz DEFAULT now(), PRIMARY KEY (a, b));
		CREATE TABLE line (x int, y text);
		ALTER TABLE line REPLICA IDENTITY FULL;
		INSERT INTO item SELECT i, 'n' || i, i * 1.1, repeat('b', 3000), ARRAY[i] FROM generate_series(1, 60) i;
		INSERT INTO pair SELECT 'p' || i, i FROM generate_series(1, 40) i;
		INSERT INTO line SELECT i % 5, 'l' FROM generate_series(1, 30) i;
		CREATE PUBLICATION verify FOR TABLE item, pair, line WITH (publish = 'insert,update,delete,truncate')`)
	v.file = filepath.Join(t.TempDir(), "verify.yaml")
	text := fmt.Sprintf(`source: {url: %q, tables: [public.*], publication: verify, slot: %s}
kafka: {brokers: [%q], compression: %s}
schema_registry: {url: %q}
topic: {prefix: verify, partitions: 3, replication_factor: 1}
skipped_operations: [none]
http: {listen: ''}
replay: {keep: 0B}
`, v.address, "verify_"+strings.ToLower(filepath.Base(t.TempDir())), v.kafka, testCompression,
		local.Registry(t))
	if err := os.WriteFile(v.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	signals, ended := make(chan os.Signal, 1), make(chan struct{})
	var log bytes.Buffer // read when the program has ended
	p := &program{stdout: &log, stderr: &log, signals: signals, run: run}
	go func() {
		defer close(ended)
		if code := p.execute(context.Background(), []string{"run", "-c", v.file}); code != exitOK {
			t.Errorf("run: exit code %d: %s", code, log.String())
		}
	}()
	t.Cleanup(func() {
		signals <- syscall.SIGTERM
		<-ended
	})
	return v
}

func (v *verified) connect() *pgconn.PgConn {
	v.t.Helper()
	conn, err := pgconn.Connect(context.Background(), v.address)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { closeConn(conn) })
	return conn
}

func (v *verified) exec(sql string) {
	v.t.Helper()
	if _, err := v.admin.Exec(context.Background(), sql).ReadAll(); err != nil {
		v.t.Fatalf("%s: %v", sql, err)
	}
}

// verify runs the command.
func (v *verified) verify(args ...string) (code int, stdout, stderr string) {
	return execute(v.t, &program{}, append([]string{"verify", "-c", v.file}, args...)...)
}

// clean runs the command until it says what it is waited for to say.
func (v *verified) clean(args ...string) string {
	v.t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for {
		code, stdout, stderr := v.verify(args...)
		if code == exitOK {
			return stdout
		}
		// Only what comes first may be in the way.
		if stdout != "" || !strings.Contains(stderr, "nothing has been published") &&
			!strings.Contains(stderr, "no window") && !strings.Contains(stderr, "not finished") {
			v.t.Fatalf("verify %v: exit code %d: %s%s", args, code, stdout, stderr)
		}
		select {
		case <-tick.C:
		case <-deadline:
			v.t.Fatalf("verify %v: exit code %d: %s", args, code, stderr)
		}
	}
}

// write changes the tables in small transactions until stop is called, some of them open at the same time.
func (v *verified) write() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for writer := range 3 {
		conn, chance := v.connect(), rand.New(rand.NewPCG(7, uint64(writer)))
		all.Go(func() {
			for ctx.Err() == nil {
				id := 1 + chance.IntN(60)
				for _, sql := range []string{
					"BEGIN",
					fmt.Sprintf("UPDATE item SET price = price + 1 WHERE id = %d", id),
					fmt.Sprintf("INSERT INTO line VALUES (%d, 'w')", id),
					fmt.Sprintf("UPDATE pair SET a = a || 'x', at = clock_timestamp() WHERE b = %d", id),
					"SELECT pg_sleep(0.003)",
					fmt.Sprintf("DELETE FROM item WHERE id = %d AND price > 300", id),
					fmt.Sprintf("INSERT INTO item VALUES (%d, 'again', 1, repeat('c', 2500), '{}') "+
						"ON CONFLICT DO NOTHING", id),
					[]string{"COMMIT", "COMMIT", "ROLLBACK"}[chance.IntN(3)],
				} {
					if _, err := conn.Exec(context.Background(), sql).ReadAll(); err != nil {
						v.t.Errorf("%s: %v", sql, err)
						return
					}
				}
			}
		})
	}
	stop = func() {
		cancel()
		all.Wait()
	}
	v.t.Cleanup(stop) // before the connections are closed
	return stop
}

// TestVerify: nothing is wrong while writers go on, and what is spoilt behind the pipeline's back is found.
func TestVerify(t *testing.T) {
	v := newVerified(t)
	v.clean("--json")
	stop := v.write()
	for range 3 {
		v.clean("--json")
		v.clean("--log")
	}
	stop()
	var report verifyReport
	if err := json.Unmarshal([]byte(v.clean("--json")), &report); err != nil || !report.Clean ||
		len(report.Tables) != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
	if item := report.Tables[0]; item.Rows < 60 || item.Records <= item.Rows || item.Placeholders == 0 {
		t.Errorf("the comparison compares little: %+v", item)
	}

	v.exec(`ALTER TABLE item DROP tags; ALTER TABLE item ADD tags int[]`)
	if said := v.clean("--table", "public.item"); !strings.Contains(said, "from before a column was added") {
		t.Errorf("after a column was dropped and added again under its name: %s", said)
	}

	v.exec(`ALTER PUBLICATION verify SET (publish = 'insert')`)
	v.exec(`DELETE FROM item WHERE id = 7; UPDATE pair SET at = '2001-01-01' WHERE b = 9`)
	v.exec(`ALTER PUBLICATION verify SET (publish = 'insert,update,delete,truncate')`)
	code, stdout, _ := v.verify()
	if code != exitFailed || !strings.Contains(stdout, `extra      {"id":7}`) || !strings.Contains(stdout,
		`"b":9} in at`) {
		t.Errorf("after a delete and an update that nobody saw: exit code %d: %s", code, stdout)
	}
	if code, stdout, _ = v.verify("--table", "public.line"); code != exitOK {
		t.Errorf("a table that nothing is wrong with: exit code %d: %s", code, stdout)
	}
	v.clean("--log") // the log is as it was written

	v.repeat("verify.public.line")
	if code, stdout, _ = v.verify("--table", "public.l*"); code != exitFailed || !strings.Contains(stdout,
		"1 extra") {
		t.Errorf("after a stray record: exit code %d: %s", code, stdout)
	}
	code, stdout, _ = v.verify("--log", "--json")
	var log audit.Log
	if err := json.Unmarshal([]byte(stdout), &log); err != nil || code != exitFailed || log.Found != 1 ||
		log.Problems[0].What != "unaccounted" {
		t.Errorf("the log after a stray record: exit code %d: %s", code, stdout)
	}
}

// repeat writes the first record of a topic again.
func (v *verified) repeat(topic string) {
	v.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(v.kafka), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		v.t.Fatal(err)
	}
	defer client.Close()
	first := client.PollRecords(v.t.Context(), 1).Records()[0]
	again := &kgo.Record{Topic: topic, Partition: first.Partition, Key: first.Key, Value: first.Value}
	if err := client.ProduceSync(v.t.Context(), again).FirstErr(); err != nil {
		v.t.Fatal(err)
	}
}

// TestVerifyRefuses: what cannot be verified is said before anything is read.
func TestVerifyRefuses(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"verify --log --table a.b -c testdata/short.good.yaml", "leave out --table"},
		{"verify", "source.url: missing"},
		{"verify extra", "takes no argument"},
	} {
		code, _, stderr := execute(t, &program{}, strings.Fields(test.args)...)
		if code != exitUsage || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: exit code %d: %s", test.args, code, stderr)
		}
	}
}

// TestEndOfRecord: the next record's place is behind a page's header, where no record ends.
func TestEndOfRecord(t *testing.T) {
	for lsn, want := range map[decoder.LSN]decoder.LSN{
		0x1000000: 0x1000000, 0x1000018: 0x1000000, 0x1000028: 0x1000000, 0x1002018: 0x1002000,
		0x1002020: 0x1002020,
	} {
		if got := endOfRecord(lsn, 8192); got != want {
			t.Errorf("%s: %s, want %s", lsn, got, want)
		}
	}
}

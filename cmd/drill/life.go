package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/deploy/local"
)

const (
	// The timeouts are short, so that a frozen process outlasts them.
	senderTimeout      = 4 * time.Second
	transactionTimeout = 5 * time.Second
	// peakLimit is what an instance's resident memory may come to, in MiB.
	peakLimit = 256
	// prior is how many rows each table has before the snapshot.
	prior = 40
)

// life is one pipeline from its first snapshot on, with a Postgres of its own.
type life struct {
	s       settings
	dir     string
	prefix  string // of its topics
	version string // of Postgres
	faults  []fault

	postgres *local.Server
	standby  *local.Server // nil where the server has none
	kafka    string
	catchUp  int // source.catch_up_bytes
	links    *links
	fleet    *fleet
	log      *reader
	truth    *truth
	late     atomic.Pointer[error]
	closers  []func()

	mu       sync.Mutex // guards database
	database string     // where the writers connect to
}

// address is the database past all proxies; it is another one after a promotion.
func (l *life) address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.database
}

// begin starts the servers, fills the tables and writes the configuration; the pipeline starts with the
// first round.
func begin(ctx context.Context, s settings, round int) (l *life, err error) {
	l = &life{
		s: s, kafka: s.kafka, faults: faults(s), truth: newTruth(), catchUp: 256 << 20,
		prefix: fmt.Sprintf("drill%d_%d_%d", s.seed, round, time.Now().Unix()),
	}
	defer func() {
		if err != nil {
			l.close(context.WithoutCancel(ctx))
		}
	}()
	l.dir = filepath.Join(s.state, l.prefix)
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return l, err
	}
	registry := s.registry
	if registry == "" {
		address, stop := local.StartRegistry()
		l.closers, registry = append(l.closers, stop), address
	}
	switch {
	case s.kafkaStart != "": // an earlier drill may have left it dead
		if err := l.startKafka(ctx); err != nil {
			return l, err
		}
	case l.kafka == "":
		address, stop, err := local.StartKafka()
		if err != nil {
			return l, err
		}
		l.closers, l.kafka = append(l.closers, stop), address
	}
	if err := l.startPostgres(ctx, random(s, round, writerCount+2).IntN(2) == 0); err != nil {
		return l, err
	}
	if l.links, err = openLinks(l.postgres.URL(), l.kafka, registry); err != nil {
		return l, err
	}
	l.closers = append(l.closers, l.links.close)
	if err := l.fill(ctx); err != nil {
		return l, err
	}
	if l.log, err = openReader(l.kafka, registry, l.prefix, s.delivery == "exactly-once"); err != nil {
		return l, err
	}
	l.closers = append(l.closers, l.log.client.Close)
	size := 1 + random(s, round, writerCount+1).IntN(2)
	if random(s, round, writerCount+3).IntN(3) > 0 {
		l.catchUp = laneBytes
		l.faults = append(l.faults, withPrefix(laneFaults(l.standby != nil), s.only)...)
	}
	l.fleet, err = newFleet(s.binary, l.dir, size, l.config(registry))
	return l, err
}

// startPostgres starts the server, and where it can have one a standby to be promoted.
func (l *life) startPostgres(ctx context.Context, twins bool) (err error) {
	parameters := map[string]string{
		"wal_sender_timeout": strconv.Itoa(int(senderTimeout.Milliseconds())), "max_connections": "60",
	}
	if twins, err = l.failsOver(ctx, twins); err != nil {
		return err
	}
	if twins {
		// So nothing is published that a promotion could lose.
		parameters["synchronized_standby_slots"] = local.StandbySlot
	}
	l.postgres, err = local.Start(ctx, local.Options{Bin: l.s.postgresBin, Parameters: parameters})
	if err != nil {
		return err
	}
	l.closers = append(l.closers, func() { _ = l.postgres.Stop() }) // its data go with it
	l.database = l.postgres.URL()
	if !twins {
		return nil
	}
	l.closers = append(l.closers, func() {
		if l.standby != nil {
			_ = l.standby.Stop()
		}
	})
	l.standby, err = l.postgres.Standby(ctx, local.Options{})
	l.faults = append(l.faults, withPrefix([]fault{{"promote", 5, promote}}, l.s.only)...)
	return err
}

// failsOver says whether the server knows slots that a standby has too, if that is wanted.
func (l *life) failsOver(ctx context.Context, wanted bool) (bool, error) {
	if !wanted || l.s.postgresBin == "" {
		return wanted, nil
	}
	program := filepath.Join(l.s.postgresBin, "postgres")
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return false, fmt.Errorf("ask %s for its version: %w", program, err)
	}
	words := strings.Fields(string(out))
	major, _, _ := strings.Cut(words[len(words)-1], ".")
	number, err := strconv.Atoi(major)
	return number >= 17, err
}

// fill makes the tables, and the topics that need one partition.
func (l *life) fill(ctx context.Context) error {
	conn, err := pgconn.Connect(ctx, l.address())
	if err != nil {
		return err
	}
	defer closeSession(conn)
	version, err := conn.Exec(ctx, "SHOW server_version").ReadAll()
	if err != nil {
		return err
	}
	l.version = string(version[0].Rows[0][0])
	if err := createTables(ctx, conn, prior); err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(l.kafka))
	if err != nil {
		return err
	}
	defer client.Close()
	for i := range tableCount {
		if kindOf(i) != truncated {
			continue
		}
		topic := l.prefix + ".drill." + tableName(i)
		if err := createTopic(ctx, client, topic, l.s.patience); err != nil {
			return fmt.Errorf("make topic of %s: %w", tableName(i), err)
		}
	}
	return nil
}

// createTopic makes a topic of one partition, again while a busy broker does not answer.
func createTopic(ctx context.Context, client *kgo.Client, topic string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, topic)
		if err == nil || errors.Is(err, kerr.TopicAlreadyExists) || ctx.Err() != nil {
			return err
		}
		pause(ctx, time.Second)
	}
}

// config is the pipeline's file, but for the address that it serves its status at.
func (l *life) config(registry string) string {
	path := ""
	if u, err := url.Parse(registry); err == nil { // openLinks has parsed it
		path = u.Path
	}
	return fmt.Sprintf(`source:
  url: "postgres://postgres:postgres@%s/postgres?sslmode=disable"
  tables: [drill.*]
  exclude_tables: [drill.journal, drill.unpublished, drill.ends]
  create_publication: "true"
  publication: drill
  slot: drill
  slot_failover: %t
  catch_up_bytes: %d
  catch_up_reopen: 64MiB
kafka:
  brokers: ["%s"]
  transaction_timeout: %s
  window_records: 2000
  position_topic: %s.positions
  ledger_topic: %s.ledger
schema_registry: {url: "http://%s%s"}
topic: {prefix: %s, partitions: 3, replication_factor: 1}
delivery: %s
skipped_operations: [none]
snapshot: {mode: initial, workers: 2, resume_rows: 200}
log: {format: text}
`, l.links.at("postgres"), l.standby != nil, l.catchUp, l.links.at("kafka"), transactionTimeout, l.prefix,
		l.prefix, l.links.at("registry"), path, l.prefix, l.s.delivery)
}

// close ends everything and removes the topics; logs stay.
func (l *life) close(ctx context.Context) {
	if l.fleet != nil {
		l.fleet.kill(ctx)
	}
	if l.log != nil {
		l.log.remove(ctx)
	}
	for i := len(l.closers) - 1; i >= 0; i-- {
		l.closers[i]()
	}
}

// pause waits for a scaled time.
func (l *life) pause(ctx context.Context, d time.Duration) {
	pause(ctx, time.Duration(float64(d)*l.s.scale))
}

// exec runs a statement past all proxies.
func (l *life) exec(ctx context.Context, sql string) error {
	conn, err := pgconn.Connect(ctx, l.address())
	if err != nil {
		return err
	}
	defer closeSession(conn)
	return conn.Exec(ctx, sql).Close()
}

// confirmed says whether the slot has passed the last row that settle wrote.
func (l *life) confirmed(ctx context.Context) bool {
	conn, err := pgconn.Connect(ctx, l.address())
	if err != nil {
		return false
	}
	defer closeSession(conn)
	const sql = `SELECT confirmed_flush_lsn >= (SELECT last FROM drill.ends)
		FROM pg_replication_slots WHERE slot_name = 'drill'`
	rows, err := conn.Exec(ctx, sql).ReadAll()
	return err == nil && len(rows[0].Rows) == 1 && string(rows[0].Rows[0][0]) == "t"
}

// settle writes one last row and waits until it has come, the snapshot is complete and all is confirmed.
func (l *life) settle(ctx context.Context, round int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, l.s.patience,
		fmt.Errorf("the last row of round %d has not come after %s; the log ends:\n%s", round, l.s.patience,
			tail(l.fleet.members[0].log)))
	defer cancel()
	key := strconv.Itoa(-round)
	last := "INSERT INTO drill.t00 (id, n) VALUES (" + key + ", 0); DELETE FROM drill.ends"
	if err := l.exec(ctx, last); err != nil {
		return fmt.Errorf("write the last row of round %d: %w", round, err)
	}
	if err := l.exec(ctx, "INSERT INTO drill.ends SELECT pg_current_wal_insert_lsn()"); err != nil {
		return err
	}
	for !l.log.has("t00", key) || !l.log.complete || !l.confirmed(ctx) {
		if err := l.log.poll(ctx, 250*time.Millisecond); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if died := l.fleet.check(); len(died) > 0 {
			return fmt.Errorf("round %d: %s", round, died[0])
		}
	}
	return l.log.drain(ctx, l.s.patience)
}

// verify has the program audit itself: a second opinion, which must be the same. Without a result it could
// not read something, such as a broker that is not up again, and is run again.
func (l *life) verify(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, l.s.patience)
	defer cancel()
	args = append([]string{"verify", "--config", l.fleet.members[0].config}, args...)
	for {
		var said, trouble bytes.Buffer
		cmd := exec.CommandContext(ctx, l.s.binary, args...)
		cmd.Stdout, cmd.Stderr = &said, &trouble
		err := cmd.Run()
		if err == nil {
			return nil
		}
		if said.Len() > 0 || ctx.Err() != nil {
			var out []string
			for text := range strings.Lines(said.String()) {
				if strings.Contains(text, "WRONG") || strings.Contains(text, "    ") && len(out) > 0 {
					out = append(out, text)
				}
			}
			text := strings.Join(out, "") + trouble.String()
			return fmt.Errorf("tributary %s: %w:\n%s", strings.Join(args, " "), err, text[:min(len(text), 4000)])
		}
		pause(ctx, time.Second)
	}
}

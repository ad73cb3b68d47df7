package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
)

const (
	// closeTimeout bounds the removal of what was made.
	closeTimeout = time.Minute
	// removers is how many subjects are removed at a time.
	removers = 8
)

// bench is the servers while one kind of data is measured.
type bench struct {
	options
	data  data
	rows  int    // of the backlog, without those of warm
	name  string // of the database; what is made in Kafka and in the registry begins with it
	dir   string // configuration and logs of the pipelines
	url   string // of the database
	admin *pgconn.PgConn
	conn  *pgconn.PgConn // on the database
	kafka *kadm.Client
	turns int
	made  []string // topic prefixes
	stop  func()   // ends a registry of our own, nil for the servers'
}

// open makes a database with the tables.
func open(ctx context.Context, o options, d data) (*bench, error) {
	b := &bench{
		options: o, data: d, rows: d.rows(&o),
		name: fmt.Sprintf("bench_%d_%s", os.Getpid(), strings.ReplaceAll(d.name, "-", "_")),
	}
	parsed, err := url.Parse(o.postgres)
	if err != nil {
		return nil, errors.New("TRIBUTARY_TEST_POSTGRES: not a URL")
	}
	parsed.Path = "/" + b.name
	b.url = parsed.String()
	if b.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, err
	}
	if d.tables > 0 {
		// A real one takes longer to register twenty thousand schemas, and to forget them, than all else together.
		b.registry, b.stop = local.StartRegistry()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(o.kafka, ",")...),
		kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("make the Kafka client: %w", err)
	}
	b.kafka = kadm.NewClient(client)
	if b.admin, err = pgconn.Connect(ctx, o.postgres); err != nil {
		return nil, err
	}
	if err := execute(ctx, b.admin, "CREATE DATABASE "+b.name); err != nil {
		return nil, err
	}
	if b.conn, err = pgconn.Connect(ctx, b.url); err != nil {
		return nil, err
	}
	for _, sql := range []string{d.create, "CREATE PUBLICATION " + publication + " FOR ALL TABLES"} {
		if err := execute(ctx, b.conn, sql); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// topics are those of a pipeline's tables.
func (b *bench) topics(prefix string) []string {
	names := b.data.names()
	for i := range names {
		names[i] = prefix + "." + names[i]
	}
	return names
}

// close removes what was made, as far as the servers let it.
func (b *bench) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	tidy := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench: tidy up:", err)
		}
	}
	tidy(execute(ctx, b.admin, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
		WHERE database = '`+b.name+`' AND NOT active`))
	tidy(b.conn.Close(ctx))
	tidy(execute(ctx, b.admin, "DROP DATABASE IF EXISTS "+b.name+" WITH (FORCE)"))
	tidy(b.admin.Close(ctx))
	for _, prefix := range b.made {
		tidy(b.forget(ctx, prefix))
	}
	b.kafka.Close()
	if b.stop != nil {
		b.stop()
	}
	tidy(os.RemoveAll(b.dir))
}

// forget removes a pipeline's topics and subjects.
func (b *bench) forget(ctx context.Context, prefix string) error {
	own := b.topics(prefix)
	if _, err := b.kafka.DeleteTopics(ctx, append(own, prefix+".positions", prefix+".ledger")...); err != nil {
		return err
	}
	if b.stop != nil { // the registry goes as a whole
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(removers)
	for _, topic := range own {
		group.Go(func() error {
			return errors.Join(b.forgetSubject(ctx, topic+"-key"), b.forgetSubject(ctx, topic+"-value"))
		})
	}
	return group.Wait()
}

// forgetSubject removes a subject, softly and then for good.
func (b *bench) forgetSubject(ctx context.Context, subject string) error {
	for _, query := range []string{"", "?permanent=true"} {
		request, err := http.NewRequestWithContext(ctx, http.MethodDelete,
			b.registry+"/subjects/"+url.PathEscape(subject)+query, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		// Read to its end, so that the connection serves the next request.
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return errors.Join(err, answer.Body.Close())
		}
		if err := answer.Body.Close(); err != nil {
			return err
		}
	}
	return nil
}

// execute runs statements.
func execute(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("run %.40q: %w", sql, err)
	}
	return nil
}

// ask returns the first column of a query's first row, empty without one.
func ask(ctx context.Context, conn *pgconn.PgConn, sql string) (string, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", fmt.Errorf("run %.40q: %w", sql, err)
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return "", nil
	}
	return string(results[0].Rows[0][0]), nil
}

// backlog writes the rows behind a slot and returns where the log then ends.
func (b *bench) backlog(ctx context.Context) (decoder.LSN, error) {
	var statements []string
	if b.data.before != nil {
		statements = append(statements, b.data.before(b.rows))
	}
	statements = append(statements,
		"SELECT pg_create_logical_replication_slot('"+b.slot("backlog")+"', 'pgoutput')")
	if b.data.warm != "" {
		statements = append(statements, b.data.warm)
	}
	for _, sql := range append(statements, b.data.fill(b.rows)) {
		if err := execute(ctx, b.conn, sql); err != nil {
			return 0, err
		}
	}
	end, err := ask(ctx, b.conn, "SELECT pg_current_wal_insert_lsn()")
	if err != nil {
		return 0, err
	}
	// What dirty pages and unhinted rows cost is not to fall on whoever reads first.
	for _, sql := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
		if err := execute(ctx, b.conn, sql); err != nil {
			return 0, err
		}
	}
	return decoder.ParseLSN(end)
}

// slot names one of the bench's slots.
func (b *bench) slot(suffix string) string { return b.name + "_" + suffix }

// dropSlot removes a slot that its reader has left.
func (b *bench) dropSlot(ctx context.Context, name string) error {
	_, err := wait(ctx, "slot "+name+" to be free", time.Minute, func() (bool, error) {
		active, err := ask(ctx, b.conn, "SELECT active FROM pg_replication_slots WHERE slot_name = '"+name+"'")
		return active == "f", err
	})
	if err != nil {
		return err
	}
	return execute(ctx, b.conn, "SELECT pg_drop_replication_slot('"+name+"')")
}

// configure writes a pipeline's configuration and returns its topic prefix and its path.
func (b *bench) configure(r reader, slot, snapshot string) (prefix, path string, err error) {
	b.turns++
	prefix = fmt.Sprintf("%s_%d", b.name, b.turns)
	b.made = append(b.made, prefix)
	path = filepath.Join(b.dir, prefix+".yaml")
	catchUp := "" // which programs before the catch-up lane do not know
	if r.catchUp != "" {
		catchUp = ", catch_up_bytes: " + r.catchUp
	}
	config := fmt.Sprintf(`source: {url: %s, tables: ["public.*"], publication: %s, slot: %s%s}
kafka: {brokers: [%s], position_topic: %s.positions, ledger_topic: %s.ledger}
schema_registry: {url: %s}
topic: {prefix: %s}
delivery: %s
replay: {keep: 0}
snapshot: {mode: %s}
http: {listen: "127.0.0.1:0"}
`, quoted(b.url), publication, slot, catchUp, quoted(b.options.kafka), prefix, prefix,
		quoted(b.registry), prefix, r.mode, snapshot)
	return prefix, path, os.WriteFile(path, []byte(config), 0o600)
}

// quoted writes a YAML string; JSON's are.
func quoted(text string) string {
	p, err := json.Marshal(text)
	if err != nil {
		panic("bench: a string has no JSON form")
	}
	return string(p)
}

// pollInterval is how often a condition is looked at.
const pollInterval = 10 * time.Millisecond

// wait looks until a condition holds, and returns how long that took.
func wait(ctx context.Context, what string, limit time.Duration,
	holds func() (bool, error),
) (time.Duration, error) {
	began := time.Now()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if ok, err := holds(); ok || err != nil {
			return time.Since(began), err
		}
		if time.Since(began) > limit {
			return 0, fmt.Errorf("wait for %s: not after %s", what, limit)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

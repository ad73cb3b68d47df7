package snapshot

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/schema"
)

// database is a database of its own on a real server.
type database struct {
	t   testing.TB
	url string
}

// onServers runs test against a fresh database on every server.
func onServers(t *testing.T, test func(t *testing.T, db *database)) {
	for _, server := range local.Servers(t) {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal("parse a URL of a server")
		}
		t.Run(u.Host, func(t *testing.T) { test(t, newDatabase(t, server)) })
	}
}

func newDatabase(t testing.TB, server string) *database {
	admin := &database{t: t, url: server}
	name := fmt.Sprintf("snapshot_%d_%d", os.Getpid(), time.Now().UnixNano())
	admin.exec("CREATE DATABASE " + name)
	t.Cleanup(func() {
		// A session that was left a moment ago may still hold its slot.
		admin.exec("DO $$ BEGIN FOR i IN 1..200 LOOP EXIT WHEN NOT EXISTS (SELECT FROM pg_replication_slots "+
			"WHERE active AND database = '"+name+"'); PERFORM pg_sleep(0.05); END LOOP; END $$",
			"DROP DATABASE "+name+" WITH (FORCE)")
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return &database{t: t, url: u.String()}
}

func (d *database) options() decoder.ConnectOptions { return decoder.ConnectOptions{URL: d.url} }

// as returns the connect function of another role, whose password is that of the embedded server's owner.
func (d *database) as(role string) ConnectFunc {
	u, err := url.Parse(d.url)
	if err != nil {
		d.t.Fatal(err)
	}
	u.User = url.UserPassword(role, "postgres")
	return func(ctx context.Context) (*pgconn.PgConn, error) {
		return decoder.Connect(ctx, decoder.ConnectOptions{URL: u.String()})
	}
}

func (d *database) connect(ctx context.Context) (*pgconn.PgConn, error) {
	return decoder.Connect(ctx, d.options())
}

func (d *database) open() *pgconn.PgConn {
	d.t.Helper()
	conn, err := d.connect(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { closeQuietly(conn) })
	return conn
}

// exec runs statements, each a transaction of its own.
func (d *database) exec(statements ...string) {
	d.t.Helper()
	conn, err := d.connect(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	defer closeQuietly(conn)
	statements = append([]string{"SET search_path = public"}, statements...)
	for _, statement := range statements {
		if _, err := conn.Exec(context.Background(), statement).ReadAll(); err != nil {
			d.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// value returns the one value of a query as text.
func (d *database) value(query string) string {
	d.t.Helper()
	conn, err := d.connect(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	defer closeQuietly(conn)
	results, err := conn.Exec(context.Background(), query).ReadAll()
	if err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return string(results[0].Rows[0][0])
}

func (d *database) catalog(o CatalogOptions) *Catalog {
	d.t.Helper()
	o.Connect = d.connect
	c, err := OpenCatalog(context.Background(), o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// keeper makes a temporary slot, whose session is ended again, and a keeper of its snapshot.
func (d *database) keeper() (*Keeper, decoder.LSN) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	slot, err := decoder.CreateSlot(ctx, decoder.CreateOptions{
		Connect: d.options(), Temporary: true,
		Name: fmt.Sprintf("snapshot_%d_%d", os.Getpid(), time.Now().UnixNano()),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	defer closeQuietly(slot.Conn)
	k, err := OpenKeeper(ctx, d.connect, slot.Snapshot)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(k.Close)
	return k, slot.Point
}

// row is a delivered row, as text.
type row struct {
	table, text string
	marker      schema.Marker
}

// run is one Run and what came out of it.
type run struct {
	rows     []row
	progress [][]byte
	err      error
}

// collect runs a snapshot to its end, or until stop says so after a batch.
func collect(o Options, stop func(*run) bool) *run {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, done, r := make(chan *decoder.Batch), make(chan error, 1), &run{}
	go func() { done <- Run(ctx, o, out) }()
	for {
		select {
		case b := <-out:
			r.add(b)
			if stop != nil && stop(r) {
				cancel()
				r.err = <-done
				return r
			}
		case r.err = <-done:
			return r
		}
	}
}

func (r *run) add(b *decoder.Batch) {
	for _, transaction := range b.Transactions {
		for _, change := range transaction.Changes {
			r.rows = append(r.rows, row{change.Relation.String(), rowText(change.New), change.Marker})
		}
	}
	r.progress = append(r.progress, append([]byte(nil), b.Progress...))
	b.Release()
}

// rowText writes a row as Postgres writes a composite, near enough.
func rowText(r schema.Row) string {
	texts := make([]string, len(r))
	for i, datum := range r {
		switch datum.Kind {
		case schema.Null:
			texts[i] = "NULL"
		case schema.Text:
			texts[i] = string(datum.Text)
		default:
			texts[i] = fmt.Sprintf("kind %d", datum.Kind)
		}
	}
	return strings.Join(texts, "|")
}

// selected returns the tables that patterns select.
func (c *Catalog) selected(t testing.TB, patterns ...string) []Table {
	t.Helper()
	s, err := c.Tables(context.Background(), Select{Patterns: patterns})
	if err != nil {
		t.Fatal(err)
	}
	return s.Tables
}

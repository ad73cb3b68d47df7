package decoder

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/schema"
)

// onServers runs f in a database of its own on each server that the environment names, or the embedded one.
// The database and its slots are dropped again.
func onServers(t *testing.T, f func(t *testing.T, db *database)) {
	t.Helper()
	for _, u := range local.Servers(t) {
		admin := dial(t, ConnectOptions{URL: u})
		version := ServerVersion(admin)
		t.Run(fmt.Sprintf("Postgres%d", version/10000), func(t *testing.T) {
			f(t, newDatabase(t, u, admin, version))
		})
	}
}

// onLanes is onServers, with the slot read live and, from the start and whenever that is possible, through
// SQL.
func onLanes(t *testing.T, f func(t *testing.T, db *database)) {
	t.Helper()
	for _, lane := range []string{"live", "catch-up"} {
		t.Run(lane, func(t *testing.T) {
			onServers(t, func(t *testing.T, db *database) {
				if lane == "catch-up" {
					db.catchUp = eager
					db.catchUp.wait = true
				}
				f(t, db)
			})
		})
	}
}

// eager is behind at once, and reads little at a time.
var eager = CatchUpOptions{Bytes: 1, interval: 10 * time.Millisecond, least: 64 << 10}

// databases makes the names of databases unique in this process.
var databases atomic.Int64

// database is a database for one test.
type database struct {
	t       testing.TB
	name    string
	url     string
	version int
	connect ConnectOptions
	catchUp CatchUpOptions
	// crossings is how often receive has had the lane: a short stream may end before its first look.
	crossings uint64
	admin     *pgconn.PgConn // on the server's first database
	conn      *pgconn.PgConn // on this one
}

func newDatabase(t testing.TB, u string, admin *pgconn.PgConn, version int) *database {
	t.Helper()
	parsed, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	db := &database{
		t: t, version: version, admin: admin,
		name: fmt.Sprintf("stream_%d_%d", os.Getpid(), databases.Add(1)),
	}
	query(t, admin, "CREATE DATABASE "+db.name)
	parsed.Path = "/" + db.name
	db.url = parsed.String()
	db.connect = ConnectOptions{URL: db.url, ApplicationName: "tributary/test"}
	t.Cleanup(db.drop)
	db.conn = dial(t, db.connect)
	return db
}

// drop removes the database with its slots, also when the test has left some.
func (db *database) drop() {
	closeQuietly(db.conn)
	query(db.t, db.admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+db.name+"'")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, row := range query(db.t, db.admin,
		"SELECT slot_name FROM pg_replication_slots WHERE NOT temporary AND database = '"+db.name+"'") {
		if err := dropWhenFree(ctx, db.admin, row[0]); err != nil {
			db.t.Error(err)
		}
	}
	waitFor(db.t, "the database's slots to be gone", func() bool {
		return len(query(db.t, db.admin, "SELECT 1 FROM pg_replication_slots WHERE database = '"+db.name+"'")) == 0
	})
	query(db.t, db.admin, "DROP DATABASE "+db.name+" WITH (FORCE)")
	closeQuietly(db.admin)
}

// exec runs SQL in the database.
func (db *database) exec(sql string) [][]string {
	db.t.Helper()
	return query(db.t, db.conn, sql)
}

// slotName is unique in the cluster, as slots are.
func (db *database) slotName() string { return db.name + "_slot" }

// slot looks the database's slot up.
func (db *database) slot() *Slot {
	db.t.Helper()
	s, err := InspectSlot(context.Background(), db.conn, db.slotName())
	if err != nil {
		db.t.Fatal(err)
	}
	return s
}

// prepare makes a table, a publication and the slot, and returns the slot.
func (db *database) prepare() *CreatedSlot {
	db.t.Helper()
	db.exec("CREATE TABLE public.t (id bigint PRIMARY KEY, v text); CREATE TABLE public.unpublished (id bigint)")
	db.exec(`CREATE PUBLICATION "Pub ""1" FOR TABLE public.t`)
	created, err := CreateSlot(context.Background(), CreateOptions{Connect: db.connect, Name: db.slotName()})
	if err != nil {
		db.t.Fatal(err)
	}
	return created
}

// options streams the slot that prepare made.
func (db *database) options() StreamOptions {
	return StreamOptions{
		Connect: db.connect, Slot: db.slotName(), Publications: []string{`Pub "1`},
		Decoder: DecoderOptions{Describe: describeText}, CatchUp: db.catchUp,
	}
}

// describeText takes every column for a text.
func describeText(s Shape) (*schema.Relation, error) {
	r := &schema.Relation{OID: s.OID, Namespace: s.Namespace, Name: s.Name, Identity: s.Identity}
	for _, c := range s.Columns {
		r.Columns = append(r.Columns, schema.Column{
			Name: c.Name, Type: &schema.Type{OID: 25, Name: "text"},
			TypMod: -1, InIdentity: c.Key,
		})
	}
	return r, nil
}

// stream opens the slot's stream and closes it with the test.
func (db *database) stream(o StreamOptions) *Stream {
	db.t.Helper()
	s, err := Open(context.Background(), o)
	if err != nil {
		db.t.Fatal(err)
	}
	db.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			db.t.Logf("close: %v", err)
		}
	})
	return s
}

// streaming reads a stream as a publisher would, in goroutines that end with the test.
type streaming struct {
	t         testing.TB
	out       chan *Batch
	stop      chan struct{}
	done      chan error
	confirmed atomic.Uint64
	rows      atomic.Int64
	refuse    atomic.Bool // takes batches, but confirms nothing
}

func (db *database) run(o StreamOptions) (*streaming, *Stream) {
	db.t.Helper()
	r := &streaming{t: db.t, out: make(chan *Batch, 1), stop: make(chan struct{}), done: make(chan error, 1)}
	o.Stop, o.Confirmed = r.stop, func() LSN { return LSN(r.confirmed.Load()) }
	s := db.stream(o)
	go func() {
		r.done <- s.Run(context.Background(), r.out)
		close(r.out)
	}()
	go r.publish()
	return r, s
}

// publish counts rows and confirms what it has counted.
func (r *streaming) publish() {
	for b := range r.out {
		for _, t := range b.Transactions {
			r.rows.Add(int64(len(t.Changes)))
		}
		if b.Confirm > 0 && !r.refuse.Load() {
			r.confirmed.Store(uint64(b.Confirm))
		}
		b.Release()
	}
}

// end stops the stream and returns what Run returned.
func (r *streaming) end() error {
	r.t.Helper()
	close(r.stop)
	return r.wait(20 * time.Second)
}

func (r *streaming) wait(limit time.Duration) error {
	r.t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(limit):
		r.t.Fatalf("Run did not return in %s", limit)
		return nil
	}
}

// dial connects and disconnects with the test.
func dial(t testing.TB, o ConnectOptions) *pgconn.PgConn {
	t.Helper()
	conn, err := Connect(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeQuietly(conn) })
	return conn
}

func query(t testing.TB, conn *pgconn.PgConn, sql string) [][]string {
	t.Helper()
	rows, err := simpleQuery(context.Background(), conn, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return rows
}

// waitFor polls until the condition holds.
func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

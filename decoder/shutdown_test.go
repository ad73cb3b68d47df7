package decoder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// onMortalServers runs f with servers of its own, which may be stopped, of those versions that the
// environment names a server of.
func onMortalServers(t *testing.T, majors []int, f func(t *testing.T, m *mortal)) {
	t.Helper()
	for _, u := range local.RealPostgres(t) {
		admin := dial(t, ConnectOptions{URL: u})
		version := ServerVersion(admin)
		if !slices.Contains(majors, version/10000) {
			continue
		}
		t.Run(fmt.Sprintf("Postgres%d", version/10000), func(t *testing.T) {
			bin := query(t, admin, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")[0][0]
			server, err := local.Start(t.Context(), local.Options{Bin: bin})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := server.Stop(); err != nil {
					t.Error(err)
				}
			})
			f(t, &mortal{server: server, version: version})
		})
	}
}

// mortal is a server that may be stopped.
type mortal struct {
	server  *local.Server
	version int
	db      *database
}

// database makes a database for one test.
func (m *mortal) database(t *testing.T) *database {
	t.Helper()
	m.db = newDatabase(t, m.server.URL(), m.connect(t, ConnectOptions{URL: m.server.URL()}), m.version)
	return m.db
}

func (m *mortal) connect(t *testing.T, o ConnectOptions) *pgconn.PgConn {
	t.Helper()
	conn, err := Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// stop stops the server in the way of pg_ctl stop -m fast and returns how long it took beyond what the
// machine's load explains. Afterwards the server runs again.
func (m *mortal) stop(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	query(t, m.db.admin, "CHECKPOINT")
	pace := time.Since(began)
	began = time.Now()
	if err := m.server.Control(t.Context(), "-m", "fast", "stop"); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("the server stopped after %s, a checkpoint takes %s", took, pace)
	if err := m.server.Control(t.Context(), "start"); err != nil {
		t.Fatal(err)
	}
	m.db.admin = m.connect(t, ConnectOptions{URL: m.server.URL()})
	m.db.conn = m.connect(t, m.db.connect)
	return took - 10*pace
}

// The server waits for its clients to have what it has sent: those that are idle, that have seen only what
// is not published, and that can confirm nothing at all.
func TestShutdownOfTheServer(t *testing.T) {
	onMortalServers(t, []int{15, 18}, func(t *testing.T, m *mortal) {
		for _, refuse := range []bool{false, true} {
			name := map[bool]string{false: "everything is confirmed", true: "nothing is confirmed"}[refuse]
			t.Run(name, func(t *testing.T) {
				db := m.database(t)
				created := db.prepare()
				o := db.options()
				o.Conn = created.Conn
				r, _ := db.run(o)
				db.exec("INSERT INTO public.t VALUES (1, 'v')")
				waitFor(t, "a change", func() bool { return r.rows.Load() == 1 })
				r.refuse.Store(refuse)
				db.exec("INSERT INTO public.unpublished SELECT generate_series(1, 10000)")
				took := m.stop(t)
				var coded interface{ ErrorCode() string }
				if err := r.wait(time.Second); !errors.Is(err, ErrServerShutdown) || !errors.As(err, &coded) ||
					coded.ErrorCode() != "E109" {
					t.Errorf("want a shutdown, got %v", err)
				}
				if took > 2*time.Second {
					t.Errorf("the server was kept from stopping for %s", took)
				}
			})
		}
	})
}

// While nothing is read the server's wish to stop cannot be heard, but must not be refused either.
func TestShutdownOfTheServerWhileBlocked(t *testing.T) {
	onMortalServers(t, []int{18}, func(t *testing.T, m *mortal) {
		for _, name := range []string{"channel", "hold", "channel, in the catch-up lane"} {
			t.Run(name, func(t *testing.T) {
				hold := name == "hold"
				db := m.database(t)
				created := db.prepare()
				db.exec("INSERT INTO public.t SELECT i, repeat('x', 100) FROM generate_series(1, 100000) i")
				o := db.options()
				o.Conn = created.Conn
				if !hold && name != "channel" {
					o.CatchUp = eager
					o.CatchUp.wait = true
				}
				s := db.stream(o)
				done := make(chan error, 1)
				go func() {
					if !hold {
						done <- s.Run(context.Background(), make(chan *Batch))
						return
					}
					done <- s.Hold(context.Background(), func(ctx context.Context) error {
						<-ctx.Done()
						return context.Cause(ctx)
					})
				}()
				waitFor(t, "the stream to stand still", func() bool {
					return s.Status().Holding || !s.Status().Blocked.IsZero()
				})
				if status := s.Status(); !hold && name != "channel" && status.Lane != "catch-up" {
					t.Errorf("lane %s: %s", status.Lane, status.Refusal)
				}
				took := m.stop(t)
				if err := <-done; !errors.Is(err, ErrServerShutdown) {
					t.Errorf("want a shutdown, got %v", err)
				}
				if took > 2*time.Second {
					t.Errorf("the server was kept from stopping for %s", took)
				}
			})
		}
	})
}

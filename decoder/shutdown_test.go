package decoder

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

const (
	shutdownVariable = "TRIBUTARY_TEST_POSTGRES_SHUTDOWN"
	restartVariable  = "TRIBUTARY_TEST_POSTGRES_RESTART"
)

// onMortalServer runs f with a server that may be shut down, and a function that does it the way pg_ctl
// stop -m fast does and returns how long it took. Afterwards the server runs again.
func onMortalServer(t *testing.T, f func(t *testing.T, db *database, stop func() time.Duration)) {
	t.Helper()
	url, restart := os.Getenv(shutdownVariable), os.Getenv(restartVariable)
	if url == "" || restart == "" {
		t.Skipf("%s (URL of a server that may be shut down) and %s (command that starts it again) are not set",
			shutdownVariable, restartVariable)
	}
	admin := dial(t, ConnectOptions{URL: url})
	db := newDatabase(t, url, admin, ServerVersion(admin))
	t.Cleanup(func() {
		if text, err := exec.Command("sh", "-c", restart).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", restart, err, text)
		}
		waitFor(t, "the server to start", func() bool {
			var err error
			db.admin, err = Connect(context.Background(), ConnectOptions{URL: url})
			return err == nil
		})
	})
	f(t, db, func() time.Duration {
		began := time.Now()
		// A server's own shell knows its pid; the connection ends with the server.
		_, _ = simpleQuery(context.Background(), admin,
			"COPY (SELECT) TO PROGRAM 'kill -INT $(head -1 postmaster.pid)'")
		waitFor(t, "the server to stop", func() bool {
			conn, err := Connect(context.Background(), ConnectOptions{URL: url})
			closeQuietly(conn)
			var lost *ConnectionLostError
			return errors.As(err, &lost)
		})
		return time.Since(began)
	})
}

func TestShutdownOfTheServer(t *testing.T) {
	for _, test := range []struct {
		name   string
		refuse bool // the publisher confirms nothing
		limit  time.Duration
	}{
		{"everything is confirmed", false, 2 * time.Second},
		{"nothing is confirmed", true, stormPatience + 2*time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			onMortalServer(t, func(t *testing.T, db *database, stop func() time.Duration) {
				created := db.prepare()
				o := db.options()
				o.Conn = created.Conn
				r, _ := db.run(o)
				db.exec("INSERT INTO public.t VALUES (1, 'v')")
				waitFor(t, "a change", func() bool { return r.rows.Load() == 1 })
				r.refuse.Store(test.refuse)
				db.exec("INSERT INTO public.unpublished SELECT generate_series(1, 10000)")
				took := stop()
				if err := r.wait(time.Second); !errors.Is(err, ErrServerShutdown) {
					t.Errorf("want a shutdown, got %v", err)
				}
				t.Logf("the server stopped after %s", took)
				if took > test.limit {
					t.Errorf("the server was kept from stopping for %s", took)
				}
			})
		})
	}
}

// While nothing is read the server's wish to stop cannot be heard, but must not be refused either.
func TestShutdownOfTheServerWhileBlocked(t *testing.T) {
	for _, hold := range []bool{false, true} {
		name := map[bool]string{false: "channel", true: "hold"}[hold]
		t.Run(name, func(t *testing.T) {
			onMortalServer(t, func(t *testing.T, db *database, stop func() time.Duration) {
				db.exec("ALTER DATABASE " + db.name + " SET wal_sender_timeout = '3s'")
				created := db.prepare()
				db.exec("INSERT INTO public.t SELECT i, repeat('x', 100) FROM generate_series(1, 300000) i")
				o := db.options()
				o.Conn = created.Conn
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
				took := stop()
				if err := <-done; !errors.Is(err, ErrServerShutdown) {
					t.Errorf("want a shutdown, got %v", err)
				}
				t.Logf("the server stopped after %s", took)
				if took > 6*time.Second {
					t.Errorf("the server was kept from stopping for %s", took)
				}
			})
		})
	}
}

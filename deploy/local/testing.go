package local

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The variables that name real servers, and the one that makes their absence a failure.
const (
	envPostgres = "TRIBUTARY_TEST_POSTGRES" // URLs of superusers, separated by spaces
	envKafka    = "TRIBUTARY_TEST_KAFKA"    // bootstrap address
	envRegistry = "TRIBUTARY_TEST_REGISTRY" // URL
	envConnect  = "TRIBUTARY_TEST_CONNECT"  // URL of a Kafka Connect worker with Debezium
	envS3       = "TRIBUTARY_TEST_S3"       // URL of an S3 server with the key test and the secret testtest
	envRequired = "TRIBUTARY_TEST_REQUIRED" // not empty: a test without its server fails
)

// shared is the server that all tests of this process use. It is never stopped: it ends with the process.
var shared struct {
	mu     sync.Mutex // guards what follows; held while the server starts
	server *Server
	err    error
}

// Postgres returns the URL of a superuser of the embedded server that all tests of this process share. It
// starts with the first call.
func Postgres(t testing.TB) string {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start(context.Background(), Options{})
	}
	if shared.err != nil {
		t.Fatalf("local.Postgres: %v", shared.err)
	}
	return shared.server.URL()
}

// Kafka returns the bootstrap address of an in-process Kafka of this test's own.
func Kafka(t testing.TB) string {
	t.Helper()
	brokers, stop, err := StartKafka()
	if err != nil {
		t.Fatalf("local.Kafka: %v", err)
	}
	t.Cleanup(stop)
	return brokers
}

// Registry returns the URL of an in-process schema registry of this test's own.
func Registry(t testing.TB) string {
	t.Helper()
	address, stop := StartRegistry()
	t.Cleanup(stop)
	return address
}

// RealPostgres returns the URLs of the servers in TRIBUTARY_TEST_POSTGRES, each of a superuser.
func RealPostgres(t testing.TB) []string {
	t.Helper()
	return strings.Fields(real(t, envPostgres))
}

// Servers returns the URLs in TRIBUTARY_TEST_POSTGRES, or the embedded server's where the environment names
// none: for tests that are to run on every server there is.
func Servers(t testing.TB) []string {
	t.Helper()
	if urls := strings.Fields(os.Getenv(envPostgres)); len(urls) > 0 {
		return urls
	}
	return []string{Postgres(t)}
}

// RealKafka returns the bootstrap address in TRIBUTARY_TEST_KAFKA.
func RealKafka(t testing.TB) string {
	t.Helper()
	return real(t, envKafka)
}

// RealRegistry returns the URL in TRIBUTARY_TEST_REGISTRY.
func RealRegistry(t testing.TB) string {
	t.Helper()
	return real(t, envRegistry)
}

// RealConnect returns the URL in TRIBUTARY_TEST_CONNECT: a Kafka Connect worker with Debezium's PostgreSQL
// connector, on the broker of RealKafka.
func RealConnect(t testing.TB) string {
	t.Helper()
	return real(t, envConnect)
}

// RealS3 returns the URL in TRIBUTARY_TEST_S3: a server that the sinks of RealConnect's worker write to.
func RealS3(t testing.TB) string {
	t.Helper()
	return real(t, envS3)
}

// real returns the value of a variable, or ends the test.
func real(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" && os.Getenv(envRequired) != "" {
		t.Fatalf("%s is not set, and %s wants every test to run", name, envRequired)
	}
	if value == "" {
		t.Skipf("%s is not set", name)
	}
	return value
}

// Database makes an empty database on the server of address, and drops it, its slots and the connections to
// it when the test ends. It returns address with the new database's name.
func Database(t testing.TB, address string) string {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatalf("local.Database: the address is not a URL")
	}
	name := "test_" + strings.ToLower(rand.Text()[:12])
	if err := execute(address, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		t.Fatalf("local.Database: create %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := dropDatabase(address, name); err != nil {
			t.Errorf("local.Database: drop %s: %v", name, err)
		}
	})
	target.Path = "/" + name
	return target.String()
}

// dropDatabase drops a database whatever still holds it: a slot forbids it, and so does a connection.
func dropDatabase(address, name string) error {
	const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%[1]s';
		SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '%[1]s'`
	var err error
	// A terminated walsender needs a moment to give back its slot, and a client may connect again meanwhile.
	deadline := time.After(10 * time.Second)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if err = execute(address, fmt.Sprintf(end, name)); err == nil {
			err = execute(address, "DROP DATABASE "+name)
		}
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-deadline:
			return err
		}
	}
}

// execute runs statements on a connection of its own.
func execute(address, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.Exec(ctx, sql).Close()
}

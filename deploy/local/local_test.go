package local

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"
)

// query returns the first value of a statement's result.
func query(t *testing.T, address, sql string) string {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	results, err := conn.Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return ""
	}
	return string(results[0].Rows[0][0])
}

func TestPostgres(t *testing.T) {
	address := Postgres(t)
	if got := query(t, address, "SHOW wal_level"); got != "logical" {
		t.Errorf("wal_level: want logical, got %s", got)
	}
	if again := Postgres(t); again != address {
		t.Errorf("a second call: want the same server %s, got %s", address, again)
	}
	_, err := pgconn.Connect(t.Context(), strings.Replace(address, ":"+password+"@", ":wrong@", 1))
	if err == nil || !strings.Contains(err.Error(), "28P01") {
		t.Errorf("wrong password: want SQLSTATE 28P01, got %v", err)
	}
}

func TestDatabase(t *testing.T) {
	server := Postgres(t)
	var name string
	t.Run("with a slot that is left behind", func(t *testing.T) {
		address := Database(t, server)
		name = query(t, address, "SELECT current_database()")
		query(t, address, "SELECT pg_create_logical_replication_slot('left_behind', 'pgoutput')")
		idle, err := pgconn.Connect(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = idle.Close(context.Background()) })
	})
	count := "SELECT count(*) FROM pg_database WHERE datname = '" + name + "'"
	if got := query(t, server, count); got != "0" {
		t.Errorf("databases called %s afterwards: want 0, got %s", name, got)
	}
	slots := query(t, server, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'left_behind'")
	if slots != "0" {
		t.Errorf("slots left behind: want 0, got %s", slots)
	}
}

// TestServerEndsWithItsProcess kills a process that started a server. It runs this test binary again as
// that process.
func TestServerEndsWithItsProcess(t *testing.T) {
	const variable = "LOCAL_TEST_CHILD"
	if file := os.Getenv(variable); file != "" {
		server, err := Start(t.Context(), Options{Parameters: map[string]string{"wal_level": "replica"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file+".new", []byte(server.URL()+" "+server.Dir()), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		select {} // until killed
	}
	file := t.TempDir() + "/server"
	child := exec.Command(os.Args[0], "-test.run=^TestServerEndsWithItsProcess$", "-test.timeout=60s")
	child.Env = append(os.Environ(), variable+"="+file)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var text []byte
	eventually(t, "the child's server", func() (err error) {
		text, err = os.ReadFile(file)
		return err
	})
	address, dir, _ := strings.Cut(string(text), " ")
	if got := query(t, address, "SHOW wal_level"); got != "replica" {
		t.Errorf("wal_level: want replica, got %s", got)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // It was killed.
	eventually(t, "the end of the server", func() error {
		if _, err := os.Stat(dir); err == nil {
			return os.ErrExist
		}
		return nil
	})
	if _, err := pgconn.Connect(t.Context(), address); err == nil {
		t.Error("the server still answers after its process was killed")
	}
}

// eventually asks until f is content.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(60 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("%s: still %v after 60 s", what, err)
		}
	}
}

func TestStartError(t *testing.T) {
	_, err := Start(t.Context(), Options{Parameters: map[string]string{"wal_level": "nonsense"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "wal_level"`) {
		t.Errorf("want the server's own reason, got %v", err)
	}
}

func TestKafka(t *testing.T) {
	client, err := kgo.NewClient(kgo.SeedBrokers(Kafka(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRegistry(t *testing.T) {
	address := Registry(t)
	record := `{"type":"record","name":"R","fields":[{"name":"x","type":"%"}]}`
	tests := []struct {
		name, subject, schema string
		want                  int
	}{
		{"first", "s", strings.Replace(record, "%", "int", 1), http.StatusOK},
		{"same again", "s", strings.Replace(record, "%", "int", 1), http.StatusOK},
		{"wider", "s", strings.Replace(record, "%", "long", 1), http.StatusOK},
		{"incompatible with the latest", "s", strings.Replace(record, "%", "boolean", 1), http.StatusConflict},
		{"an older version again", "s", strings.Replace(record, "%", "int", 1), http.StatusOK},
		{"another subject", "s2", strings.Replace(record, "%", "string", 1), http.StatusOK},
		{"not Avro", "s2", `{"type":"recordd"}`, http.StatusUnprocessableEntity},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body, err := json.Marshal(map[string]string{"schema": test.schema})
			if err != nil {
				t.Fatal(err)
			}
			url := address + "/subjects/" + test.subject + "/versions"
			response, err := http.Post(url, "application/json", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != test.want {
				t.Errorf("status: want %d, got %d", test.want, response.StatusCode)
			}
		})
	}
}

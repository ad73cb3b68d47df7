package decoder

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// TestCapture makes the transcripts anew from the servers that TRIBUTARY_CAPTURE_POSTGRES names, superuser
// URLs with a space between. It creates a database, a slot and whatever the scenarios say, and drops them
// again.
//
//	TRIBUTARY_CAPTURE_POSTGRES="postgres://..." go test ./decoder -run TestCapture
func TestCapture(t *testing.T) {
	const variable = "TRIBUTARY_CAPTURE_POSTGRES"
	urls := strings.Fields(os.Getenv(variable))
	if len(urls) == 0 {
		t.Skipf("%s is not set", variable)
	}
	paths, err := filepath.Glob("testdata/wal/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range urls {
		for _, path := range paths {
			name := strings.TrimSuffix(filepath.Base(path), ".sql")
			t.Run(name, func(t *testing.T) { capture(t, url, name, path) })
		}
	}
}

// capturing is one scenario while it runs.
type capturing struct {
	t        *testing.T
	url      string
	sessions map[string]*pgconn.PgConn
	session  string
}

const captureName = "tributary_capture"

// capture runs one scenario and writes its transcript.
func capture(t *testing.T, url, name, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	admin := captureConnect(t, url, "", nil)
	version := admin.ParameterStatus("server_version")
	major, _, _ := strings.Cut(version, ".")
	var least string
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "-- min "); found {
			least = strings.TrimSpace(rest)
		}
		if setting, found := strings.CutPrefix(line, "-- needs "); found {
			if captureExec(t, admin, "SHOW "+setting) == "0" {
				t.Skipf("%s is 0", strings.TrimSpace(setting))
			}
		}
	}
	if major < least {
		t.Skipf("needs Postgres %s, this is %s", least, major)
	}
	captureExec(t, admin, "DROP DATABASE IF EXISTS "+captureName+" WITH (FORCE)")
	captureExec(t, admin, "CREATE DATABASE "+captureName)
	defer captureDrop(t, admin)

	setup, rest, _ := strings.Cut(string(text), "\n-- stream\n")
	stream, teardown, _ := strings.Cut(rest, "\n-- teardown\n")
	c := &capturing{t: t, url: url, sessions: make(map[string]*pgconn.PgConn), session: "main"}
	defer c.close()
	c.run(setup)
	if !strings.Contains(setup, "CREATE PUBLICATION") {
		c.run("CREATE PUBLICATION tributary FOR ALL TABLES;")
	}
	replication := captureConnect(t, url, captureName, map[string]string{"replication": "database"})
	captureExec(t, replication, "CREATE_REPLICATION_SLOT "+captureName+" TEMPORARY LOGICAL pgoutput")
	c.session = "main"
	c.run(stream)
	tr := transcript{
		name: name,
		path: filepath.Join("testdata/wal", name+"."+major+".txt"),
		header: append([]string{"# PostgreSQL " + strings.Fields(version)[0]},
			captureComment(string(text))...),
		messages: captureWAL(t, replication, major, c.flushed()),
	}
	replication.Close(t.Context())
	c.session = "main"
	c.run(teardown)
	tr.changes = render(decodeAll(t, NewDecoder(DecoderOptions{Describe: describeAll}), tr.messages))
	if err := os.WriteFile(tr.path, tr.format(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// captureDrop drops the database once the server has noticed that the replication connection is closed.
func captureDrop(t *testing.T, admin *pgconn.PgConn) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for range 500 {
		const slots = "SELECT countChanges(*) FROM pg_replication_slots WHERE slot_name = '" + captureName + "'"
		if captureExec(t, admin, slots) == "0" {
			captureExec(t, admin, "DROP DATABASE "+captureName+" WITH (FORCE)")
			return
		}
		<-ticker.C
	}
	t.Fatalf("slot %s is still there", captureName)
}

// captureComment quotes the scenario in the transcript, in ASCII.
func captureComment(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimRight("# "+line, "\n"))
	}
	return lines
}

// run executes the statements of sql, each of which ends a line with a semicolon, on the session that is
// named last.
func (c *capturing) run(sql string) {
	statement := ""
	for line := range strings.Lines(sql) {
		line = strings.TrimSpace(line)
		if name, found := strings.CutPrefix(line, "-- session "); found {
			c.session = name
		}
		if line == "" || strings.HasPrefix(line, "--") {
			continue
		}
		statement += line + "\n"
		if strings.HasSuffix(line, ";") {
			captureExec(c.t, c.conn(), statement)
			statement = ""
		}
	}
}

// conn returns the connection of the session named last.
func (c *capturing) conn() *pgconn.PgConn {
	if c.sessions[c.session] == nil {
		c.sessions[c.session] = captureConnect(c.t, c.url, captureName, nil)
	}
	return c.sessions[c.session]
}

// flushed makes sure that all WAL so far is flushed, and says where it ends. The first statement commits,
// which flushes also what a message outside of a transaction left.
func (c *capturing) flushed() LSN {
	captureExec(c.t, c.conn(), "SET synchronous_commit = on")
	captureExec(c.t, c.conn(), "CREATE TEMPORARY TABLE flush_all (a int)")
	rows := captureExec(c.t, c.conn(), "SELECT pg_current_wal_flush_lsn()")
	lsn, err := ParseLSN(rows)
	if err != nil {
		c.t.Fatal(err)
	}
	return lsn
}

func (c *capturing) close() {
	for _, conn := range c.sessions {
		conn.Close(c.t.Context())
	}
}

func captureConnect(t *testing.T, url, database string, parameters map[string]string) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	if database != "" {
		config.Database = database
	}
	config.RuntimeParams = map[string]string{
		"DateStyle": "ISO", "IntervalStyle": "postgres", "TimeZone": "UTC", "bytea_output": "hex",
		"extra_float_digits": "3", "client_encoding": "UTF8", "lc_monetary": "C",
	}
	for name, value := range parameters {
		config.RuntimeParams[name] = value
	}
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// captureExec executes sql and returns its first value as text.
func captureExec(t *testing.T, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	results, err := conn.Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return ""
	}
	return string(results[0].Rows[0][0])
}

// captureWAL reads the slot from its start until a keepalive says that the server has read up to end.
func captureWAL(t *testing.T, conn *pgconn.PgConn, major string, end LSN) []walMessage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	arguments := []string{"proto_version '1'", "publication_names 'tributary'"}
	if major >= "14" {
		arguments = append(arguments, "messages 'true'")
	}
	err := pglogrepl.StartReplication(ctx, conn, captureName, 0,
		pglogrepl.StartReplicationOptions{PluginArgs: arguments})
	if err != nil {
		t.Fatal(err)
	}
	var messages []walMessage
	for {
		message, err := conn.ReceiveMessage(ctx)
		if err != nil {
			t.Fatal(fmt.Errorf("read up to %s: %w", end, err))
		}
		data, isCopy := message.(*pgproto3.CopyData)
		if !isCopy {
			t.Fatalf("unexpected %T", message)
		}
		switch data.Data[0] {
		case pglogrepl.XLogDataByteID:
			x, err := pglogrepl.ParseXLogData(data.Data[1:])
			if err != nil {
				t.Fatal(err)
			}
			messages = append(messages, walMessage{LSN(x.WALStart), append([]byte(nil), x.WALData...)})
		case pglogrepl.PrimaryKeepaliveMessageByteID:
			k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data.Data[1:])
			if err != nil {
				t.Fatal(err)
			}
			if LSN(k.ServerWALEnd) >= end {
				return append(messages, walMessage{start: LSN(k.ServerWALEnd)})
			}
		}
	}
}

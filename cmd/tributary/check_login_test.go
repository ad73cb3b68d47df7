package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// oldServer plays a server that lets everybody in and says that it is Postgres 12. It ends with the test.
func oldServer(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			backend := pgproto3.NewBackend(conn, conn)
			if _, err := backend.ReceiveStartupMessage(); err == nil {
				backend.Send(&pgproto3.AuthenticationOk{})
				backend.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "12.22"})
				backend.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
				backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
				_ = backend.Flush()      // a client that has gone needs nothing
				_, _ = backend.Receive() // it goes
			}
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

// TestServerTooOld has run and check tell a server that is too old before anything is asked of it.
func TestServerTooOld(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.source = "postgres://u@" + oldServer(t) + "/db?sslmode=disable"
	b.write(t, "")
	words := []string{"[E120]", "the server is PostgreSQL 12.22: want 13 or newer"}
	b.fails(badCase{
		code: exitPerson, run: append([]string{"fix: SHOW server_version;"}, words...),
		check: append([]string{"fix SHOW server_version;"}, words...),
	})
}

// TestSecretAge: check tells how old the password is that it uses, where its source tells.
func TestSecretAge(t *testing.T) {
	s := newAWSStub(t)
	s.podIdentity(t)
	file := writeFile(t, "password", "right")
	old := time.Now().Add(-75 * time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGPASSWORD", "right")
	for from, want := range map[string]string{
		"file:" + file:   "file:" + file + ", read at each connection; last changed 3 days ago",
		"env:PGPASSWORD": "env:PGPASSWORD: a variable changes with a restart only",
		"secretsmanager:cdc#password": "secretsmanager:cdc#password, read at each connection; " +
			"last changed 5 hours ago",
		"ssm:/cdc/password": "ssm:/cdc/password, read at each connection; last changed 30 minutes ago",
		"file:/no/such":     "",
		"":                  "",
	} {
		c := defaultConfig()
		c.Source.PasswordFrom = SecretSource(from)
		f := findings{now: time.Now}
		checkSecret(t.Context(), c, &f)
		got := ""
		if len(f.list) == 1 && f.list[0].Level == levelOK {
			got = f.list[0].Text
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", from, got, want)
		}
	}
}

// byIAM logs in as RDS has it: with a token, over TLS, while the parameter group allows tokens for sessions
// and not for replication. The server is an ordinary one, whose pg_hba.conf takes any password.
func (b *bench) byIAM(server *local.Server, certificate string) {
	b.Helper()
	newAWSStub(b.T).podIdentity(b.T)
	file := filepath.Join(server.Dir(), "data", "pg_hba.conf")
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("hostssl all iam all trust\n"), text...), 0o600); err != nil {
		b.Fatal(err)
	}
	b.exec("CREATE ROLE rds_replication; CREATE ROLE iam LOGIN REPLICATION; GRANT rds_replication TO iam;" +
		`ALTER ROLE iam SET "rds.iam_auth_for_replication" = '0'`)
	b.exec("SELECT pg_reload_conf()")
	source := b.source
	b.source = strings.Replace(strings.Replace(source, "postgres:postgres@", "iam@", 1), "sslmode=disable",
		"sslmode=verify-full&sslrootcert="+certificate, 1)
	b.change(b.tables+", auth: rds_iam", "")
	var found checked
	eventually(b.T, func() error {
		found = b.look("source", findings{})
		for _, f := range found.list {
			if f.Code == "E138" {
				return nil
			}
		}
		return wants(found.text(), "E138")
	})
	found.has("E138", "iam logs in by IAM, and rds.iam_auth_for_replication is 0",
		"ParameterName=rds.iam_auth_for_replication,ParameterValue=1")
	found.fine("secret", "an IAM token, made anew for each connection")
	found.fine("connection", " on RDS as iam, TLSv1.3, sslmode verify-full, certificate of 127.0.0.1 until ")
	b.exec(`ALTER ROLE iam SET "rds.iam_auth_for_replication" = '1'`)
	b.look("source", findings{}).none("E138")
	b.exec("DROP ROLE iam; DROP ROLE rds_replication")
	b.tables, b.source = strings.TrimSuffix(b.tables, ", auth: rds_iam"), source
	b.change(b.tables, "")
}

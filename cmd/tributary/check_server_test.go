package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
)

// certificate writes a self-signed certificate for 127.0.0.1 and its key into a directory.
func certificate(t *testing.T, dir string, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: end,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: der}, "server.key": {Type: "EC PRIVATE KEY", Bytes: secret},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		giveTo(t, path)
	}
}

// strict is a server with as little of everything as lets it start.
func strict(t *testing.T) *local.Server {
	t.Helper()
	server, err := local.Start(t.Context(), local.Options{Parameters: map[string]string{
		"wal_level": "replica", "max_wal_senders": "1", "max_replication_slots": "1", "max_connections": "12",
		"max_prepared_transactions": "2", "logical_decoding_work_mem": "64kB",
		"listen_addresses":       "127.0.0.1,127.0.0.2",
		"max_slot_wal_keep_size": "64MB",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// TestCheckServer stages what a server's settings can get wrong, and has run say the same.
func TestCheckServer(t *testing.T) {
	server := strict(t)
	b := newBench(t, server.URL(), local.Kafka(t), local.Registry(t))
	b.exec("BEGIN; INSERT INTO public.orders VALUES (90, 'x'); PREPARE TRANSACTION 'late'")
	found := b.look("source", findings{long: time.Millisecond})
	found.has("E112", "replica: the server writes no logical changes", "ALTER SYSTEM SET wal_level = logical;")
	found.has("W153", "late of postgres, prepared", "ROLLBACK PREPARED 'late';   -- in database ")
	found.has("I155", "logical_decoding_work_mem is 64.0 KiB", "logical_decoding_work_mem = '256MB'")
	found.none("W151")
	for _, f := range found.list {
		if f.Code == "W153" {
			b.exec(f.Fix)
		}
	}
	b.look("source", findings{long: time.Millisecond}).none("W153")
	b.fails(badCase{code: exitPerson, run: []string{
		"[E112]", "wal_level",
		"fix: ALTER SYSTEM SET wal_level = logical;",
	}})
	found.has("W154", "repaired in 18.", "SELECT version();")
	b.exec("ALTER SYSTEM SET wal_level = logical")
	b.exec("SELECT pg_reload_conf()")
	eventually(t, func() error {
		return wants(b.value("SELECT pending_restart FROM pg_settings WHERE name = 'wal_level'"), "t")
	})
	b.look("source", findings{}).has("E112", "a change waits for a restart", "restart")
	b.encrypted(server)
	b.occupied()
}

// encrypted gives the server a certificate that has expired, then one that soon will.
func (b *bench) encrypted(server *local.Server) {
	b.Helper()
	data := filepath.Join(server.Dir(), "data")
	plain := b.source
	mode := func(text string) {
		b.source = strings.Replace(plain, "sslmode=disable", text, 1)
		b.write(b.T, "")
	}
	mode("sslmode=require")
	b.look("source", findings{}).has("E104", "speaks no TLS", "sslmode=disable")
	b.fails(badCase{code: exitPerson, run: []string{"[E104]", "speaks no TLS"}})
	certificate(b.T, data, time.Now().Add(-24*time.Hour))
	b.exec("ALTER SYSTEM SET ssl = on")
	if err := server.Control(b.Context(), "-m", "fast", "restart"); err != nil {
		b.Fatal(err)
	}
	b.sourceConn = dial(b.T, plain)
	verify := "sslmode=verify-full&sslrootcert=" + filepath.Join(data, "server.crt")
	mode(verify)
	b.look("source", findings{}).has("E103", "certificate has expired", "date -u; openssl s_client -starttls "+
		"postgres -connect "+sourceAddress(URL(b.source))+" </dev/null | openssl x509 -noout -dates")
	b.fails(badCase{code: exitPerson, run: []string{
		"[E103]", "certificate has expired",
		"fix: date -u; openssl s_client -starttls postgres -connect 127.0.0.1:",
	}})
	certificate(b.T, data, time.Now().Add(4*24*time.Hour+12*time.Hour))
	b.exec("SELECT pg_reload_conf()")
	mode(verify)
	eventually(b.T, func() error {
		found := b.look("source", findings{})
		for _, f := range found.list {
			if f.Code == "W161" && strings.Contains(f.Text, "in 4 days") && strings.Contains(f.Fix, "-connect "+
				sourceAddress(URL(b.source))+" </dev/null | openssl x509 -noout -dates") {
				return nil
			}
		}
		return fmt.Errorf("no warning of a certificate that soon expires: %s", found.text())
	})
	b.source = strings.Replace(strings.Replace(plain, "127.0.0.1", "127.0.0.2", 1), "disable", "require", 1)
	b.write(b.T, "")
	b.look("source", findings{}).has("W157", "sslmode=require verifies nobody", "sslmode=verify-full")
	mode("sslmode=disable")
	b.byIAM(server, filepath.Join(data, "server.crt"))
}

// occupied uses up slots, walsenders and connections, and closes pg_hba.conf.
func (b *bench) occupied() {
	b.Helper()
	b.exec("SELECT pg_create_logical_replication_slot('elsewhere', 'pgoutput')")
	found := b.look("source", findings{})
	found.has("E115", "all 1 replication slots are in use", "ALTER SYSTEM SET max_replication_slots = 6;")
	found.has("W129", "no replication slot is left for it among 1", "max_replication_slots")
	l := b.rig.run(b.T) // it tries again until a slot is free
	eventually(b.T, func() error {
		if !strings.Contains(l.log.String(), `"code":"E115"`) {
			return fmt.Errorf("no E115 in the log:\n%s", l.log.String())
		}
		return nil
	})
	l.stop(b.T)
	b.exec("SELECT pg_drop_replication_slot('elsewhere')")
	b.behind()
	u, err := url.Parse(b.source)
	if err != nil {
		b.Fatal(err)
	}
	query := u.Query()
	query.Set("replication", "database")
	u.RawQuery = query.Encode()
	sender, err := pgconn.Connect(context.Background(), u.String())
	if err != nil {
		b.Fatal(err)
	}
	b.look("source", findings{}).has("E116", "all 1 walsenders are in use",
		"ALTER SYSTEM SET max_wal_senders = 6;")
	_ = sender.Close(context.Background())
	b.exec("CREATE ROLE poor LOGIN REPLICATION PASSWORD 'x' CONNECTION LIMIT 0; CREATE ROLE shut " +
		"LOGIN PASSWORD 'x'")
	undo := b.as(url.UserPassword("poor", "x"))
	b.look("source", findings{}).has("E110", "too many connections for role", "pg_stat_activity")
	undo()
	file := b.value("SHOW hba_file")
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("host all shut 127.0.0.1/32 reject\n"), text...),
		0o600); err != nil {
		b.Fatal(err)
	}
	b.exec("SELECT pg_reload_conf()")
	undo = b.as(url.UserPassword("shut", "x"))
	eventually(b.T, func() error {
		for _, f := range b.look("source", findings{}).list {
			if f.Code == "E106" && strings.Contains(f.Fix, "into pg_hba.conf") {
				return nil
			}
		}
		return fmt.Errorf("pg_hba.conf still lets it in")
	})
	undo()
}

// behind has a slot fall behind what the server may keep, and no checkpoint yet that removes it.
func (b *bench) behind() {
	b.Helper()
	b.exec("SELECT pg_create_logical_replication_slot('" + b.prefix + "', 'pgoutput')")
	for range 8 { // segments of 16 MB
		b.exec("SELECT pg_logical_emit_message(false, 'x', 'x'); SELECT pg_switch_wal()")
	}
	b.look("source", findings{}).has("W126", "its WAL may go at the next checkpoint",
		"ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();")
	b.exec("SELECT pg_drop_replication_slot('" + b.prefix + "')")
}

// wants is an error unless two texts are the same.
func wants(got, want string) error {
	if got != want {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}

// TestRealCheckTwoServers has an address lead to two servers by turns, as a reader endpoint does.
func TestRealCheckTwoServers(t *testing.T) {
	urls := local.RealPostgres(t)
	if len(urls) < 2 {
		t.Skip("TRIBUTARY_TEST_POSTGRES names one server only")
	}
	b := newBench(t, urls[0], local.Kafka(t), local.Registry(t))
	dial(t, urls[1]).exec("CREATE DATABASE " + b.prefix)
	t.Cleanup(func() { dial(t, urls[1]).exec("DROP DATABASE " + b.prefix + " WITH (FORCE)") })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var turn atomic.Int64
	go relay(listener, func() string {
		return sourceAddress(URL(urls[turn.Add(1)%2]))
	})
	u, err := url.Parse(b.source)
	if err != nil {
		t.Fatal(err)
	}
	dial(t, urls[0]).exec("CREATE DATABASE " + b.prefix)
	t.Cleanup(func() { dial(t, urls[0]).exec("DROP DATABASE " + b.prefix + " WITH (FORCE)") })
	u.Host, u.Path = listener.Addr().String(), "/"+b.prefix
	b.source = u.String()
	b.write(t, "")
	b.look("source", findings{}).has("E118", "reach two servers", "pg_is_in_recovery")
}

// relay connects each client to the address that next gives.
func relay(listener net.Listener, next func() string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", next())
		if err != nil {
			_ = client.Close()
			continue
		}
		go pump(client, server)
		go pump(server, client)
	}
}

func pump(from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = to.Close()
	_ = from.Close()
}

// TestRealCheckPooler puts PgBouncer in front of each server: as it is installed, it refuses the
// settings that
// are asked for; told to ignore them, it drops them without a word.
func TestRealCheckPooler(t *testing.T) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Skip("pgbouncer is not installed (apt-get install pgbouncer)")
	}
	server := local.RealPostgres(t)[0]
	for name, more := range map[string]string{
		"refuses": "",
		"drops": "ignore_startup_parameters = " + strings.Join(slices.Collect(maps.Keys(
			decoder.PinnedParameters(true))), ",") + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, server, local.Kafka(t), local.Registry(t))
			u, err := url.Parse(b.source)
			if err != nil {
				t.Fatal(err)
			}
			u.Host = pooler(t, program, u, more)
			b.source = u.String()
			b.write(t, "")
			b.look("source", findings{}).has("E114", "", "replication=database' -c IDENTIFY_SYSTEM")
			b.fails(badCase{code: exitPerson, run: []string{"[E114]", "fix: psql "}})
		})
	}
}

// pooler starts PgBouncer in front of a server, and returns its address.
func pooler(t *testing.T, program string, u *url.URL, more string) string {
	t.Helper()
	dir := t.TempDir()
	port, err := local.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("[databases]\n* = host=%s port=%s\n[pgbouncer]\nlisten_addr = "+
		"127.0.0.1\nlisten_port = %d\n"+
		"auth_type = any\nunix_socket_dir =\npool_mode = transaction\n%s", u.Hostname(), u.Port(), port, more)
	config = strings.Replace(config, "* = host", "* = user="+u.User.Username()+" host", 1)
	path := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"-q", path}
	if os.Getuid() == 0 { // it refuses to run as root
		for at := dir; at != "/tmp" && at != "/"; at = filepath.Dir(at) {
			if err := os.Chmod(at, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		args = []string{"-q", "-u", "nobody", path}
	}
	var log bytes.Buffer
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	address := "127.0.0.1:" + strconv.Itoa(port)
	eventually(t, func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	return address
}

// giveTo gives a file to the user that Postgres runs as: it refuses a key that is somebody else's.
func giveTo(t *testing.T, path string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

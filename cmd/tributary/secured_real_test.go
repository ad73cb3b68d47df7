package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
)

// securedPostgres starts a server of the program files of a real one, with TLS.
func securedPostgres(t *testing.T, real string, a *authority) (server *local.Server, data string) {
	t.Helper()
	bin := dial(t, real).value("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
	server, err := local.Start(t.Context(), local.Options{Bin: bin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	data = filepath.Join(server.Dir(), "data")
	certFile, keyFile := a.issue("good", "localhost", time.Hour)
	give(t, data, map[string]string{"server.crt": certFile, "server.key": keyFile, "root.crt": a.file})
	s := dial(t, server.URL())
	s.exec("ALTER SYSTEM SET ssl_ca_file = 'root.crt'")
	s.exec("ALTER SYSTEM SET ssl = on")
	s.exec("SELECT pg_reload_conf()")
	return server, data
}

// give puts copies of files into a server's data directory, as the server's user wants them.
func give(t *testing.T, data string, files map[string]string) {
	t.Helper()
	owner, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	ids := owner.Sys().(*syscall.Stat_t)
	for name, from := range files {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(data, name)
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(to, int(ids.Uid), int(ids.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// connectOutcome is what becomes of a connect: "" for a session over TLS.
func connectOutcome(t *testing.T, o decoder.ConnectOptions) string {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := decoder.Connect(ctx, o)
	if err != nil {
		return err.Error()
	}
	defer conn.Close(ctx)
	results, err := conn.Exec(ctx, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").ReadAll()
	if err != nil || len(results) != 1 || string(results[0].Rows[0][0]) != "t" {
		return fmt.Sprintf("not over TLS: %v", err)
	}
	return ""
}

// TestRealPostgresTLS: an address that says nothing of TLS is verified in full, and each way in which a
// certificate may be wrong is refused by name. SCRAM passwords that change are read again; certificates log
// in too.
func TestRealPostgresTLS(t *testing.T) {
	servers := local.RealPostgres(t)
	for _, real := range []string{servers[0], servers[len(servers)-1]} {
		a, stranger := newAuthority(t), newAuthority(t)
		server, data := securedPostgres(t, real, a)
		u, err := url.Parse(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		// The capital letters make it a name like any other: for localhost TLS is not the default.
		address := "postgres://cdc@LOCALHOST:" + u.Port() + "/postgres"
		s := dial(t, server.URL())
		s.exec("CREATE ROLE cdc LOGIN REPLICATION PASSWORD 'first'; CREATE ROLE certified LOGIN REPLICATION")
		secret := writeFile(t, "secret", "first\n")
		c := defaultConfig()
		c.Source.PasswordFrom = SecretSource("file:" + secret)
		outcome := func(more string) string {
			c.Source.URL = URL(address + more)
			return connectOutcome(t, sourceOptions(c))
		}
		trusted := "?sslrootcert=" + a.file
		becomes := func(what, more, want string) {
			t.Helper()
			eventually(t, func() error {
				got := outcome(more)
				if (want == "") != (got == "") || !strings.Contains(got, want) {
					return fmt.Errorf("%s: got %q, want %q", what, got, want)
				}
				return nil
			})
		}
		becomes("verify-full, SCRAM", trusted, "")
		becomes("no authority", "", "failed to verify certificate: x509: certificate signed by unknown authority")
		becomes("another authority", "?sslrootcert="+stranger.file, "signed by unknown authority")
		s.exec("ALTER ROLE cdc PASSWORD 'second'")
		becomes("old password", trusted, "SQLSTATE 28P01")
		if err := os.WriteFile(secret, []byte("second"), 0o600); err != nil {
			t.Fatal(err)
		}
		becomes("new password", trusted, "")
		certFile, keyFile := a.issue("client", "certified", time.Hour)
		give(t, data, map[string]string{"pg_hba.conf": writeFile(t, "hba",
			"hostssl all certified all cert\nhost all all all scram-sha-256\nhost replication all all "+
				"scram-sha-256\n")})
		s.exec("SELECT pg_reload_conf()")
		address = strings.Replace(address, "cdc@", "certified@", 1)
		becomes("client certificate", trusted+"&sslcert="+certFile+"&sslkey="+keyFile, "")
		becomes("no client certificate", trusted, "SQLSTATE 28000")
		address = strings.Replace(address, "certified@", "cdc@", 1)
		wrongCertificates(t, a, s, data, address+trusted, becomes)
	}
}

// wrongCertificates has the server show certificates that verify-full must refuse.
func wrongCertificates(t *testing.T, a *authority, s *sourceConn, data, address string,
	becomes func(what, more, want string),
) {
	t.Helper()
	trusted := address[strings.IndexByte(address, '?'):]
	for _, wrong := range []struct {
		name, want string
		until      time.Duration
	}{
		{"db.example", "certificate is valid for db.example, not LOCALHOST", time.Hour},
		{"localhost", "certificate has expired or is not yet valid", -time.Hour},
	} {
		certFile, keyFile := a.issue("wrong", wrong.name, wrong.until)
		give(t, data, map[string]string{"server.crt": certFile, "server.key": keyFile})
		s.exec("SELECT pg_reload_conf()")
		becomes(wrong.want, trusted, wrong.want)
		config := writeFile(t, "c.yaml", fmt.Sprintf("source: {url: %q, tables: [a.b]}\nkafka: {brokers: "+
			"['h:1']}\n"+
			"topic: {prefix: t}\nschema_registry: {url: 'http://h'}\n", address))
		code, stdout, _ := execute(t, &program{}, "check", "-c", config, "--only", "source")
		if code != exitCheck || !strings.Contains(strings.Join(strings.Fields(stdout), " "), wrong.want) {
			t.Errorf("check: exit code %d, %s", code, stdout)
		}
	}
}

// securedKafka is a broker with a listener for each login; the names are those of the listeners.
type securedKafka struct {
	address map[string]string
	ca      string
}

// secret words of the broker's users.
const kafkaWord = "kafka-s3cr3t-canary"

// kafkaListeners are the listeners, with their protocol and the certificate that they show.
var kafkaListeners = []struct{ name, protocol, cert string }{
	{"INTERNAL", "PLAINTEXT", ""},
	{"CONTROLLER", "PLAINTEXT", ""},
	{"SCRAM", "SASL_SSL", "good"},
	{"PLAIN", "SASL_SSL", "good"},
	{"MTLS", "SSL", "good"},
	{"EXPIRED", "SSL", "expired"},
	{
		"OTHER", "SSL",
		"other",
	},
}

// newSecuredKafka starts a broker of the program files of the one that the environment names.
func newSecuredKafka(t *testing.T, a *authority) *securedKafka {
	t.Helper()
	java, err := local.KafkaProgram(local.RealKafka(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, issued := range map[string]struct {
		host  string
		until time.Duration
	}{"good": {"localhost", time.Hour}, "expired": {"localhost", -time.Hour}, "other": {
		"kafka.example",
		time.Hour,
	}} {
		certFile, keyFile := a.issue("kafka-"+name, issued.host, issued.until)
		var both []byte
		for _, file := range []string{keyFile, certFile} {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			both = append(both, text...)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".pem"), both, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k := &securedKafka{address: map[string]string{}, ca: a.file}
	var listeners, advertised, protocols []string
	more := ""
	for _, l := range kafkaListeners {
		port, err := local.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		k.address[l.name] = fmt.Sprintf("localhost:%d", port)
		listeners = append(listeners, fmt.Sprintf("%s://127.0.0.1:%d", l.name, port))
		if l.name != "CONTROLLER" {
			advertised = append(advertised, l.name+"://"+k.address[l.name])
		}
		protocols = append(protocols, l.name+":"+l.protocol)
		if l.cert != "" {
			more += fmt.Sprintf("listener.name.%s.ssl.keystore.location=%s\n", strings.ToLower(l.name),
				filepath.Join(dir, l.cert+".pem"))
		}
	}
	config := filepath.Join(dir, "server.properties")
	text := fmt.Sprintf(kafkaProperties, strings.Replace(k.address["CONTROLLER"], "localhost", "127.0.0.1", 1),
		strings.Join(listeners, ","), strings.Join(advertised, ","), strings.Join(protocols, ","),
		filepath.Join(dir, "data"), a.file, kafkaWord) + more
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, err := java.Start(t.Context(), config, "SCRAM-SHA-512=[name=writer,password="+kafkaWord+"]",
		"SCRAM-SHA-256=[name=writer,password="+kafkaWord+"]")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return k
}

const kafkaProperties = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%s
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
listeners=%s
advertised.listeners=%s
listener.security.protocol.map=%s
log.dirs=%s
ssl.keystore.type=PEM
ssl.truststore.type=PEM
ssl.truststore.location=%s
sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256
listener.name.scram.scram-sha-512.sasl.jaas.config=\
  org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.scram.scram-sha-256.sasl.jaas.config=\
  org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.plain.sasl.enabled.mechanisms=PLAIN
listener.name.plain.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  user_writer="%s" user_clerk="kafka-s3cr3t-canary";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:writer;User:CN=writer
listener.name.mtls.ssl.client.auth=required
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.cleaner.dedupe.buffer.size=16777216
`

// TestRealLogins writes to a real broker over each login, and is refused with words that say why. Then a
// pipeline runs from a Postgres to a Kafka that both want TLS and SCRAM.
func TestRealLogins(t *testing.T) {
	servers := local.RealPostgres(t)
	a, stranger := newAuthority(t), newAuthority(t)
	k := newSecuredKafka(t, a)
	secret, wrong := writeFile(t, "kafka", kafkaWord), writeFile(t, "wrong", "wr0ng-canary")
	certFile, keyFile := a.issue("writer", "writer", time.Hour)
	trusted := fmt.Sprintf("tls: {ca_file: %q}", a.file)
	user := func(auth, file string) string {
		return ", auth: " + auth + ", user: writer, password_from: 'file:" + file + "'"
	}
	mtls := fmt.Sprintf("tls: {ca_file: %q, cert_file: %q, key_file: %q}, auth: mtls", a.file, certFile, keyFile)
	tests := []struct{ listener, settings, want string }{
		{"SCRAM", trusted + user("scram_sha_512", secret), "ok producer exactly-once"},
		{"SCRAM", trusted + user("scram_sha_256", secret), "ok producer exactly-once"},
		{"PLAIN", trusted + user("plain", secret), "ok producer exactly-once"},
		{"MTLS", mtls, "ok producer exactly-once"},
		{"SCRAM", trusted + user("scram_sha_512", wrong), "the cluster refuses user writer (SASL scram_sha_512)"},
		{"PLAIN", trusted + user("plain", wrong), "the cluster refuses user writer (SASL plain)"},
		{"PLAIN", trusted + user("scram_sha_512", secret), "the cluster does not offer scram_sha_512"},
		{"MTLS", trusted, "the broker wants a client's certificate"},
		{"SCRAM", "tls: {enabled: true}" + user("scram_sha_512", secret), "an authority that is not known here"},
		{
			"SCRAM", fmt.Sprintf("tls: {ca_file: %q}", stranger.file) + user("scram_sha_512", secret),
			"an authority that is not known here",
		},
		{"EXPIRED", trusted, "out of its time: x509: certificate has expired"},
		{"OTHER", trusted, "for another name: x509: certificate is valid for kafka.example, not localhost"},
	}
	t.Run("check", func(t *testing.T) {
		for i, test := range tests {
			t.Run(fmt.Sprint(i, test.listener), func(t *testing.T) {
				t.Parallel() // some wait for their patience to end
				config := writeFile(t, "c.yaml", fmt.Sprintf("source: {url: 'postgres://u@h/db', tables: [a.b]}\n"+
					"kafka: {brokers: [%q], %s}\ntopic: {prefix: t}\nschema_registry: {url: 'http://h'}\n",
					k.address[test.listener], test.settings))
				_, stdout, stderr := execute(t, &program{}, "check", "-c", config, "--only", "kafka")
				got := strings.Join(strings.Fields(stdout+stderr), " ")
				if !strings.Contains(got, test.want) || strings.Contains(got, "canary") {
					t.Errorf("%s: want %s, got\n%s%s", test.settings, test.want, stdout, stderr)
				}
			})
		}
	})
	t.Run("rights", func(t *testing.T) { granted(t, servers[len(servers)-1], k, trusted, secret) })
	securedPipeline(t, servers[len(servers)-1], a, k, trusted+user("scram_sha_512", secret))
}

// securedPipeline takes a snapshot and a change from a Postgres to a Kafka, both by TLS and SCRAM.
func securedPipeline(t *testing.T, real string, a *authority, k *securedKafka, kafka string) {
	t.Helper()
	server, _ := securedPostgres(t, real, a)
	s := dial(t, server.URL())
	s.exec("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if s.value("SHOW ssl") != "on" {
			return errors.New("TLS is not on yet")
		}
		return nil
	})
	source := "postgres://postgres@LOCALHOST:" + u.Port() + "/postgres?sslrootcert=" + a.file
	r := newRig(t, source, k.address["INTERNAL"], local.Registry(t), "[public.t]", fmt.Sprintf(
		"source: {url: %q, password_from: 'file:%s', tables: [public.t], slot: PREFIX, publication: PREFIX}\n"+
			"kafka: {brokers: [%q], position_topic: PREFIX.positions, ledger_topic: PREFIX.ledger, %s}\n",
		source, writeFile(t, "pg", "postgres"), k.address["SCRAM"], kafka))
	records := newTopics(t, r)
	l := r.run(t)
	l.reach(t, stateStreaming)
	s.exec("INSERT INTO t VALUES (2)")
	records.until(l, "the change", func(r topicRecord) bool { return r.op == "c" })
	l.stop(t)
	if got := len(records.all()); got != 2 {
		t.Errorf("%d records, want the row and the change", got)
	}
	if strings.Contains(l.log.String(), "canary") || strings.Contains(l.log.String(), kafkaWord) {
		t.Error("the log shows a password")
	}
}

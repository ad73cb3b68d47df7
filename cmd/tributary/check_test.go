package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// checked is what check finds, with a clock and a patience of the test's own.
type checked struct {
	t    *testing.T
	list []finding
}

// look asks the parts of check, as the command does.
func (b *bench) look(only string, how findings) checked {
	b.Helper()
	config, err := load(loadOptions{File: b.file})
	if err != nil {
		b.Fatal(err)
	}
	if how.now == nil {
		how.now = time.Now
	}
	if how.long == 0 {
		how.long = 5 * time.Minute
	}
	list := check(b.Context(), config, strings.Fields(only), &how)
	for _, f := range list {
		if unfilled.MatchString(f.Fix) {
			b.Errorf("a name that is known is left to the reader: %+v", f)
		}
	}
	return checked{b.T, list}
}

// unfilled is what stands in the catalogue for names that check knows.
var unfilled = regexp.MustCompile(`\b(NAME|SLOT|GID|HOST:PORT)\b`)

// has fails the test unless there is a finding with the code, the part of its text, and of its fix. A finding
// with a code says why, and has a fix.
func (c checked) has(code, text, fix string) {
	c.t.Helper()
	for _, f := range c.list {
		if f.Code == code && strings.Contains(f.Text+" "+f.Name, text) && strings.Contains(f.Fix, fix) {
			if f.Why == "" || f.Fix == "" {
				c.t.Errorf("%s without why or fix: %+v", code, f)
			}
			return
		}
	}
	c.t.Errorf("no %s with %q and fix %q among\n%s", code, text, fix, c.text())
}

// fine fails the test unless something is told to be well in these words.
func (c checked) fine(name, text string) {
	c.t.Helper()
	for _, f := range c.list {
		if f.Level == levelOK && f.Name == name && strings.Contains(f.Text, text) {
			return
		}
	}
	c.t.Errorf("%s is not ok with %q among\n%s", name, text, c.text())
}

// none fails the test when there is a finding with the code.
func (c checked) none(codes ...string) {
	c.t.Helper()
	for _, f := range c.list {
		if isOneOf(f.Code, codes) {
			c.t.Errorf("unwanted: %+v", f)
		}
	}
}

func (c checked) text() string {
	var b strings.Builder
	if err := writeFindings(&b, defaultConfig(), c.list, false); err != nil {
		c.t.Fatal(err)
	}
	return b.String()
}

// TestCheckTables stages what can be wrong with tables and publication, and repairs one of it by what check
// says.
func TestCheckTables(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	role := b.prefix
	b.exec(`CREATE TABLE public.bare (v text); ALTER TABLE public.bare REPLICA IDENTITY FULL;
		INSERT INTO public.bare VALUES (1);
		CREATE TABLE public.other (id int PRIMARY KEY, u int NOT NULL UNIQUE, v int);
		ALTER TABLE public.other REPLICA IDENTITY USING INDEX other_u_key;
		CREATE UNLOGGED TABLE public.fast (id int PRIMARY KEY);
		CREATE TYPE public.pair AS (a int, b int);
		CREATE TABLE public.odd (id int PRIMARY KEY, p public.pair); INSERT INTO public.odd VALUES (1);
		CREATE TABLE public.secret (id int PRIMARY KEY); ALTER TABLE public.secret ENABLE ROW LEVEL SECURITY;
		CREATE TABLE public.closed (id int PRIMARY KEY);
		CREATE TABLE public.doubled (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
		CREATE FUNCTION public.aurora_version() RETURNS int LANGUAGE sql AS 'SELECT 16';
		CREATE ROLE ` + role + ` LOGIN REPLICATION PASSWORD 'x';
		GRANT SELECT ON public.orders, public.bare, public.other, public.odd, public.secret TO ` + role + `;
		GRANT SELECT ON public.doubled TO ` + role + `;
		CREATE PUBLICATION ` + role + ` FOR TABLE public.orders WHERE (id > 0), public.bare, public.odd,
			public.doubled, public.other (id, u), public.closed WITH (publish = 'insert, update',
			publish_via_partition_root = false)`)
	t.Cleanup(func() { b.exec("DROP OWNED BY " + role + "; DROP ROLE " + role) })
	b.change("['public.*'], publish_via_root: true", "")
	b.source = strings.Replace(b.source, "postgres:postgres@", role+":x@", 1)
	b.write(t, "skipped_operations: [none]")
	found := b.look("source", findings{})
	for _, want := range [][3]string{
		{"E132", "does not publish table public.secret", `ADD TABLE ONLY "public"."secret";`},
		{"E133", "publishes insert, update only", "SET (publish = 'insert, update, delete"},
		{"E136", "row security would hide rows", `ALTER ROLE "` + role + `" BYPASSRLS;`},
		{"E137", "the role may not read it", `GRANT SELECT ON "public"."closed" TO "` + role + `";`},
		{"W141", "has publish_via_partition_root false, not true", "SET (publish_via_partition_root = true);"},
		{"W142", "only the rows of public.orders for which", `ADD TABLE ONLY "public"."orders"; COMMIT;`},
		{"W143", "public.other", `ADD TABLE ONLY "public"."other"; COMMIT;`},
		{"W144", "public.other", ""},
		{"W145", "has no key: its records have none", `ALTER TABLE "public"."bare" ADD PRIMARY KEY`},
		{"W146", "has no unique key to read by", `ANALYZE "public"."bare";`},
		{"W147", "among 3 partitions", "partitions: 1"},
		{"W151", "max_slot_wal_keep_size is -1", "ALTER SYSTEM SET max_slot_wal_keep_size"},
		{"I148", "not captured: an unlogged table", `ALTER TABLE "public"."fast" SET LOGGED;`},
		{
			"I149", "replica identity DEFAULT: deletes carry only the key, and large values of v",
			`ALTER TABLE "public"."orders" REPLICA IDENTITY FULL`,
		},
		{"I150", "left out, for their types have no form: p", "unknown_types: true"},
		{"I159", "how many rows it has is unknown", `ANALYZE "public"."odd";`},
		{"I160", "left out, for the server computes them: twice", "publish_generated_columns = stored"},
	} {
		found.has(want[0], want[1], want[2])
	}
	found.fine("connection", " on Aurora as "+role)
	mended := []string{"E132", "E133", "E137", "I159", "W141", "W142", "W143"}
	for _, f := range found.list {
		if isOneOf(f.Code, mended) {
			b.exec(f.Fix) // by the superuser: what is shown can be pasted
		}
	}
	b.look("source", findings{}).none(mended...)
}

// TestCheckMoments stages what passes: transactions, clocks, slots in use, publications of another time.
func TestCheckMoments(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.look("source", findings{}).has("I131", "does not exist yet: run creates it", "CREATE PUBLICATION")
	b.change("['public.*']", "")
	b.look("source", findings{}).has("E131", "run does not create it: source.tables has a pattern",
		`CREATE PUBLICATION "`+b.prefix+`" FOR TABLE`)
	b.fails(badCase{code: exitPerson, run: []string{
		"[E131]", "publication PREFIX does not exist", `fix: CREATE PUBLICATION "PREFIX" FOR TABLE`,
	}})
	b.change("[public.orders], create_publication: 'false'", "")
	b.look("source", findings{}).has("E131", "does not exist", "CREATE PUBLICATION")
	other := dial(t, b.source)
	other.exec("BEGIN; INSERT INTO public.orders VALUES (100, 'open')")
	b.look("source", findings{long: time.Millisecond}).has("W152", "pid ",
		"pg_terminate_backend("+other.value("SELECT pg_backend_pid()")+");")
	other.exec("ROLLBACK")
	hour := func() time.Time { return time.Now().Add(time.Hour) }
	b.look("source", findings{now: hour}).has("W156", "differs from this machine's by -1h0m", "timedatectl")
	b.exec("SELECT pg_create_logical_replication_slot('" + b.prefix + "', 'pgoutput');" +
		"SELECT pg_create_logical_replication_slot('" + b.prefix + "_idle', 'pgoutput');" +
		"CREATE PUBLICATION " + b.prefix + " FOR TABLE public.orders")
	found := b.look("source", findings{})
	found.has("W158", "was made or altered after the point that slot",
		"tributary slots drop "+b.prefix+"   # where it is new")
	found.has("W127", b.prefix+"_idle is read by nobody", "pg_drop_replication_slot('"+b.prefix+"_idle')")
	b.exec("SELECT pg_create_logical_replication_slot('" + b.prefix + "_gone_anchor', 'pgoutput')")
	b.look("source", findings{}).has("W127", b.prefix+"_gone_anchor keeps ", "tributary slots drop "+b.prefix+
		"_gone_anchor")
	b.change("[public.orders], publish_via_root: true", "")
	b.look("source", findings{}).none("E131")
	b.source = strings.Replace(b.source, "/test_", "/tset_", 1)
	b.write(t, "")
	b.look("source", findings{}).has("E107", "does not exist", "dbname=postgres' -c 'SELECT datname")
}

// TestCheckPlaces stages wrong names and ports of all three servers, and what the command makes of them.
func TestCheckPlaces(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	source, brokers, registry := b.source, b.brokers, b.registry
	for _, place := range []struct{ address, source, kafka, registry string }{
		{"name.invalid:1", "E101", "E201", "E307"}, {"127.0.0.1:1", "E102", "E202", "E301"},
	} {
		b.source, b.brokers = "postgres://u@"+place.address+"/db?sslmode=disable", place.address
		b.registry = "http://" + place.address
		b.write(t, "")
		found := b.look("", findings{})
		found.has(place.source, "", "source.url")
		found.has(place.kafka, "", "")
		found.has(place.registry, "", "")
		code, stdout, _ := execute(t, &program{}, "check", "-c", b.file, "--json")
		var list []finding
		if err := json.Unmarshal([]byte(stdout), &list); err != nil || code != exitCheck || list[0].Code == "" {
			t.Errorf("exit code %d, %v: %s", code, err, stdout)
		}
	}
	b.source, b.brokers, b.registry = source, brokers, registry
	b.write(t, "")
	for args, want := range map[string]int{"": exitOK, " --fail-on warn": exitCheck} {
		code, stdout, stderr := execute(t, &program{environ: []string{"TRIBUTARY_SOURCE_URK=x"}},
			strings.Fields("check -c "+b.file+args)...)
		if code != want || !strings.Contains(stdout, "[W603]") || !strings.Contains(stdout,
			"Nothing was changed.") {
			t.Errorf("check%s: exit code %d\n%s%s", args, code, stdout, stderr)
		}
		for _, line := range strings.Split(stdout, "\n") {
			if len([]rune(line)) > usageColumns && !strings.HasPrefix(line, "        fix  ") {
				t.Errorf("%d columns: %s", len([]rune(line)), line)
			}
		}
	}
	b.graces()
	before := debug.SetMemoryLimit(16 << 20)
	b.look("runtime", findings{}).has("W601", "the limit is 16.0 MiB (GOMEMLIMIT)", "window_bytes")
	debug.SetMemoryLimit(before)
}

// graces tells the process of several grace periods of its pod.
func (b *bench) graces() {
	b.Helper()
	for grace, level := range map[string]string{"30": levelWarn, "60": levelOK, "soon": levelSkip} {
		b.Setenv(graceVariable, grace)
		found := b.look("runtime", findings{})
		switch level {
		case levelOK:
			found.fine("grace", "1m0s to stop, for windows of at most 40s")
		case levelWarn:
			found.has("W602", "killed 30s after it is told to stop, and a window may take 40s",
				"terminationGracePeriodSeconds: 60 ")
		default:
			found.none("W602")
		}
	}
}

// TestCheckTopics stages topics that do not fit.
func TestCheckTopics(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.exec("CREATE TABLE public.bare (v text); ALTER TABLE public.bare REPLICA IDENTITY FULL")
	b.change("[public.orders, public.bare]", "topic: {prefix: PREFIX, partitions: 3, replication_factor: 2}")
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	create := func(topic string, config map[string]string) {
		t.Helper()
		values := map[string]*string{}
		for key, value := range config {
			values[key] = &value
		}
		if _, err := admin.CreateTopic(t.Context(), 1, 1, values, topic); err != nil {
			t.Fatal(err)
		}
	}
	create(b.prefix+".public.orders", map[string]string{"max.message.bytes": "1000", "min.insync.replicas": "2"})
	create(b.prefix+".public.bare", map[string]string{"cleanup.policy": "compact"})
	create(b.prefix+".positions", map[string]string{"cleanup.policy": "delete"})
	found := b.look("source kafka", findings{})
	found.has("E211", "topic.replication_factor is 2, but there are 1 brokers", "replication_factor: 1")
	found.has("W221", "public.orders has 1 partitions", "partitions: 1")
	found.has("W222", "takes records of 1000 bytes", "--add-config max.message.bytes=")
	found.has("E226", "has 1 replica, and min.insync.replicas is 2", "--add-config min.insync.replicas=1")
	found.has("W223", "public.bare is compacted", "cleanup.policy=delete")
	found.has("E220", ".positions has cleanup.policy=delete", "cleanup.policy=compact")
}

// TestCheckRights stages logins and rights that are missing, against brokers that ask for both.
func TestCheckRights(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	t.Setenv("KAFKA_SECRET", "right")
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "root", "right"), kfake.User("PLAIN", "clerk", "right"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b.brokers = cluster.ListenAddrs()[0]
	as := func(auth, user string) {
		b.change(b.tables, fmt.Sprintf("kafka: {brokers: [%q], auth: %s, user: %s, password_from: "+
			"'env:KAFKA_SECRET', "+
			"position_topic: PREFIX.positions, ledger_topic: PREFIX.ledger}", b.brokers, auth, user))
	}
	as("plain", "clerk")
	found := b.look("source kafka", findings{})
	found.has("E207", "writing exactly-once is not allowed", "--transactional-id tributary/")
	found.has("E206", "TOPIC_AUTHORIZATION_FAILED", "kafka-acls.sh --bootstrap-server "+b.brokers+
		" --command-config FILE --add --allow-principal User:clerk")
	b.change(b.tables, fmt.Sprintf("delivery: at-least-once\nkafka: {brokers: [%q], auth: plain, user: clerk, "+
		"password_from: 'env:KAFKA_SECRET'}", b.brokers))
	b.look("kafka", findings{}).has("E208", "writing at-least-once is not allowed",
		"--operation IdempotentWrite "+
			"--cluster")
	as("plain", "root")
	found = b.look("source kafka", findings{})
	found.none("E204", "E205", "E206", "E207")
	found.has("W224", "sends the password in clear", "kafka: {tls: {enabled: true}}")
	t.Setenv("KAFKA_SECRET", "wrong")
	b.look("kafka", findings{}).has("E204", "of user root (SASL plain)", "kafka-configs.sh")
	b.change(b.tables, fmt.Sprintf("kafka: {brokers: [%q]}", b.brokers))
	b.look("kafka", findings{}).has("E205", "ends the connection: the port is one for", "auth: plain")
	b.change(b.tables, fmt.Sprintf("kafka: {brokers: [%q], tls: {enabled: true}}", b.brokers))
	b.look("kafka", findings{}).has("E203", "the port speaks no TLS", "kafka: {tls: {enabled: false}}")
	b.change(b.tables, fmt.Sprintf("kafka: {brokers: [%q], tls: {ca_file: /no/such}}", b.brokers))
	b.look("kafka", findings{}).has("E606", "/no/such", "openssl x509")
}

// TestCheckBrokers stages a broker that names itself wrongly, and one that allows short transactions only.
func TestCheckBrokers(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{
		"transaction.max.timeout.ms": "1000",
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b := newBench(t, local.Postgres(t), cluster.ListenAddrs()[0], local.Registry(t))
	b.fails(badCase{code: exitPerson, run: []string{
		"[E225]", "transaction.max.timeout.ms",
		"fix: kafka: {transact",
	}})
	cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.MetadataResponse)
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host, broker.Port = "broker.invalid", 9092
		response.Brokers = append(response.Brokers, broker)
		return response, nil, true
	})
	b.look("kafka", findings{}).has("E218", "broker.invalid: no address is known", "advertised.listeners")
	b.brokersDefaults()
	b.otherName()
	registry := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(registry.Close)
	b.registry = registry.URL
	b.write(t, "")
	b.look("registry", findings{}).has("E308", "certificate", "")
}

// brokersDefaults has brokers whose settings for new topics do not fit.
func (b *bench) brokersDefaults() {
	b.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.BrokerConfigs(map[string]string{
		"default.replication.factor": "1", "min.insync.replicas": "2", "message.max.bytes": "1000",
	}))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(cluster.Close)
	kafka := fmt.Sprintf("kafka: {brokers: [%q]}", cluster.ListenAddrs()[0])
	b.change(b.tables, kafka+"\ntopic: {prefix: PREFIX}")
	found := b.look("kafka", findings{})
	found.has("W225", "default.replication.factor is 1, of 2 brokers", "topic: {replication_factor: 2}")
	found.has("E226", "new topics get 1 replica, and the brokers' min.insync.replicas is 2",
		"topic: {replication_factor: 2}")
	found.has("W222", "new topics take records of 1000 bytes (message.max.bytes)",
		"topic: {config: {max.message.bytes: '1004108'}}")
	b.change(b.tables, kafka+"\ntopic: {prefix: PREFIX, replication_factor: 2, partitions: 6, "+
		"config: {max.message.bytes: '1004108'}}")
	found = b.look("kafka", findings{})
	found.none("W225", "E226", "W222")
	found.fine("defaults", "new topics get 6 partitions, 2 replicas, cleanup.policy ")
}

// otherName has a broker of a cluster that speaks TLS give itself a name that its certificate has not: the
// bootstrap address is fine, and no record would arrive.
func (b *bench) otherName() {
	b.Helper()
	a := newAuthority(b.T)
	certFile, keyFile := a.issue("broker", "localhost", time.Hour)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(a.server(certFile, keyFile, false)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(cluster.Close)
	listener, err := net.Listen("tcp", "127.0.0.2:0") // leads to the same broker, and is not in its certificate
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	seed := cluster.ListenAddrs()[0]
	go relay(listener, func() string { return seed })
	cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.MetadataResponse)
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host, broker.Port = "127.0.0.2", int32(listener.Addr().(*net.TCPAddr).Port)
		response.Brokers = append(response.Brokers, broker)
		return response, nil, true
	})
	b.change(b.tables, fmt.Sprintf("kafka: {brokers: [%q], tls: {ca_file: %q}}", seed, a.file))
	found := b.look("kafka", findings{})
	found.fine("tls", seed+": certificate verified, until ")
	found.has("E203", listener.Addr().String()+": the server's certificate is for another name",
		"openssl s_client -connect "+listener.Addr().String())
}

// TestCheckSchemas stages what a registry may say of the schemas that run would register.
func TestCheckSchemas(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.delivered()
	b.look("source registry", findings{}).none("E304", "I307", "W308")
	b.exec("ALTER TABLE public.orders ADD COLUMN more text")
	b.look("source registry", findings{}).has("I307", "public.orders would be a new version",
		"tributary schema diff public.orders")
	b.exec("ALTER TABLE public.orders DROP COLUMN more, ADD COLUMN must int NOT NULL DEFAULT 1;" +
		"ALTER TABLE public.orders ALTER COLUMN must DROP DEFAULT")
	b.look("source registry", findings{}).has("E304", "the schema of public.orders is refused: ",
		"curl -X PUT "+b.registry+"/config/"+b.prefix+".public.orders-value -H ")
	b.exec("INSERT INTO public.orders VALUES (200, 'x', 1)")
	b.fails(badCase{code: exitPerson, run: []string{
		"[E304]", "register schema PREFIX.public.orders-value: it is not compatible with the versions before it",
		"fix: curl -X PUT " + b.registry + "/config/PREFIX.public.orders-value -H ",
	}})
	put := func(path, body string) {
		t.Helper()
		request, err := http.NewRequestWithContext(context.Background(), http.MethodPut, b.registry+path,
			strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		response, err := http.DefaultClient.Do(request)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(response, err)
		}
		_ = response.Body.Close()
	}
	put("/config/"+b.prefix+".public.orders-value", `{"compatibility":"NONE"}`)
	b.look("source registry", findings{}).has("W308", "its own compatibility is NONE",
		"curl -X PUT "+b.registry+"/config/"+b.prefix+".public.orders-value")
	put("/config", `{"compatibility":"NONE"}`)
	put("/mode", `{"mode":"READONLY"}`)
	found := b.look("source registry", findings{})
	found.has("W308", "compatibility is NONE", "curl -X PUT "+b.registry+"/config")
	found.has("E306", "is READONLY", "curl -X PUT "+b.registry+"/mode")
}

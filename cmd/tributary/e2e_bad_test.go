package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// badCase is a mistake that must end in one clear error, of which nothing is lost once it is repaired.
type badCase struct {
	name string
	// prepare makes the mistake, and returns what repairs it.
	prepare func(b *bench) (repair func())
	code    int // of run
	// run is what its error must say: what, where, why and the fix; check the same of check, nil when check
	// cannot see it. PREFIX stands for the rig's.
	run, check []string
}

// bench is a database with a table of orders, and a rig that captures it.
type bench struct {
	*testing.T
	*rig
	*sourceConn
	rows int // orders so far
}

const ordersTable = "CREATE TABLE public.orders (id int PRIMARY KEY, v text)"

func newBench(t *testing.T, server, brokers, registry string) *bench {
	t.Helper()
	address := local.Database(t, server)
	b := &bench{T: t, sourceConn: dial(t, address), rig: newRig(t, address, brokers, registry,
		"[public.orders]", "")}
	b.exec(ordersTable)
	b.order(3)
	return b
}

// order adds n rows.
func (b *bench) order(n int) {
	b.Helper()
	for range n {
		b.rows++
		b.exec(fmt.Sprintf("INSERT INTO public.orders VALUES (%d, 'order %[1]d')", b.rows))
	}
}

// delivered runs the program until the last order is there, and counts every one of them.
func (b *bench) delivered() {
	b.Helper()
	b.order(1)
	topics := newTopics(b.T, b.rig)
	l := b.rig.run(b.T)
	last := fmt.Sprintf("id=%d", b.rows)
	topics.until(l, "the last order", func(r topicRecord) bool {
		return r.topic == "public.orders" &&
			r.key == last
	})
	l.reach(b.T, stateStreaming)     // what was streamed before the point of a snapshot is not all
	l.eventually(b.T, func() error { // it is made beside the stream
		if b.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '"+b.prefix+"_anchor'") == "0" {
			return errors.New("the anchor is not there yet")
		}
		return nil
	})
	l.stop(b.T)
	seen := map[string]int{}
	for _, r := range topics.all() {
		if r.topic == "public.orders" {
			seen[r.op+r.key]++
		}
	}
	// A snapshot that is taken behind the slot's beginning reads again what was streamed before.
	for id := range b.rows {
		key := fmt.Sprintf("id=%d", id+1)
		if r, c := seen["r"+key], seen["c"+key]; r+c == 0 || r > 1 || c > 1 {
			b.Errorf("order %s was read %d times and streamed %d times", key, r, c)
		}
	}
}

// says fails the test unless a text has all parts, and each once: an error is told one time.
func (b *bench) says(command, text string, parts []string) {
	b.Helper()
	for _, part := range parts {
		part = strings.ReplaceAll(part, "PREFIX", b.prefix)
		if !strings.Contains(flat(text), part) {
			b.Errorf("%s does not say %q:\n%s", command, part, text)
		}
	}
	if strings.Contains(text, "goroutine ") || strings.Contains(text, "%!") {
		b.Errorf("%s: %s", command, text)
	}
}

// flat is a text without check's line breaks.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

// fails holds run and check against what they must say, and returns what run said.
func (b *bench) fails(c badCase) string {
	b.Helper()
	if c.check != nil {
		code, stdout, stderr := execute(b.T, &program{}, "check", "-c", b.file)
		if want := map[bool]int{true: exitUsage, false: exitCheck}[c.code == exitUsage]; code != want {
			b.Errorf("check: exit code %d, want %d", code, want)
		}
		b.says("check", stdout+stderr, c.check)
	}
	l := b.rig.run(b.T)
	if code := l.wait(b.T); code != c.code {
		b.Errorf("run: exit code %d, want %d", code, c.code)
	}
	_, last, _ := strings.Cut(l.log.String(), "\ntributary: ")
	if c.code == exitUsage {
		last = l.log.String()
	}
	if strings.Count("\n"+l.log.String(), "\ntributary: ") != 1 {
		b.Errorf("run tells more than one error, or none:\n%s", l.log.String())
	}
	b.says("run", last, c.run)
	return last
}

// sourceCases are mistakes at the source.
var sourceCases = []badCase{
	{
		name: "wrong password", code: exitPerson,
		prepare: func(b *bench) func() { return b.as(url.UserPassword("postgres", "wrong")) },
		run: []string{
			"[E105]",
			"connect to 127.0.0.1:", "password authentication failed", "28P01",
			"check user and password",
		},
		check: []string{"password authentication failed", "fix", "--source-password-from"},
	},
	{
		name: "role without REPLICATION", code: exitPerson,
		prepare: func(b *bench) func() {
			role := b.prefix
			b.exec("CREATE ROLE " + role + " LOGIN PASSWORD 'x'; GRANT SELECT ON public.orders TO " + role)
			b.Cleanup(func() { b.exec("DROP OWNED BY " + role + "; DROP ROLE " + role) })
			undo := b.as(url.UserPassword(role, "x"))
			return func() { undo() }
		},
		run:   []string{"[E113]", "permission denied", "42501", "REPLICATION"},
		check: []string{"PREFIX has not the attribute REPLICATION", `ALTER ROLE "PREFIX" REPLICATION;`},
	},
	{
		name: "slot of another plugin", code: exitPerson,
		prepare: func(b *bench) func() {
			b.exec("SELECT pg_create_logical_replication_slot('" + b.prefix + "', 'test_decoding')")
			return func() { b.exec("SELECT pg_drop_replication_slot('" + b.prefix + "')") }
		},
		run:   []string{"[E124]", "slot PREFIX", "test_decoding", "pgoutput"},
		check: []string{"slot PREFIX", "test_decoding", "pgoutput", "--source-slot"},
	},
	{
		name: "slot of another database", code: exitPerson,
		prepare: func(b *bench) func() {
			elsewhere := dial(b.T, local.Database(b.T, local.Postgres(b.T)))
			elsewhere.exec("SELECT pg_create_logical_replication_slot('" + b.prefix + "', 'pgoutput')")
			return func() { elsewhere.exec("SELECT pg_drop_replication_slot('" + b.prefix + "')") }
		},
		run:   []string{"[E124]", "slot PREFIX", "database test_"},
		check: []string{"slot PREFIX", "database test_", "--source-slot"},
	},
	{
		name: "no key and no identity", code: exitPerson,
		prepare: func(b *bench) func() {
			b.exec("CREATE TABLE public.bare (v text)")
			b.change("[public.orders, public.bare]", "")
			return func() { b.exec("ALTER TABLE public.bare REPLICA IDENTITY FULL") }
		},
		run: []string{
			"[E134]",
			"table public.bare has no primary key", "refuses its updates and deletes",
			`ALTER TABLE "public"."bare" REPLICA IDENTITY FULL`,
		},
		check: []string{
			"table public.bare has no primary key",
			`ALTER TABLE "public"."bare" REPLICA IDENTITY FULL`,
		},
	},
	{
		name: "table missing from the publication", code: exitPerson,
		prepare: func(b *bench) func() {
			b.exec("CREATE TABLE public.other (id int PRIMARY KEY); CREATE PUBLICATION " + b.prefix +
				" FOR TABLE public.other")
			return func() { b.exec("ALTER PUBLICATION " + b.prefix + " ADD TABLE public.orders") }
		},
		run: []string{
			"[E132]",
			"publication PREFIX", "public.orders",
			`ALTER PUBLICATION "PREFIX" ADD TABLE ONLY "public"."orders"`,
		},
		check: []string{
			"publication PREFIX", "public.orders",
			`ALTER PUBLICATION "PREFIX" ADD TABLE ONLY "public"."orders"`,
		},
	},
	{
		name: "no such table", code: exitPerson,
		prepare: func(b *bench) func() {
			b.change("[public.ordres]", "")
			return func() { b.change("[public.orders]", "") }
		},
		run:   []string{"[E135]", "pattern public.ordres matches no table"},
		check: []string{"pattern public.ordres matches no table", `\dt *.*`},
	},
	{
		name: "two tables of one topic", code: exitPerson,
		prepare: func(b *bench) func() {
			b.exec(`CREATE TABLE public."a b" (id int PRIMARY KEY); CREATE TABLE public."a+b" (id int PRIMARY KEY)`)
			b.change("[public.orders, 'public.a?b']", "")
			return func() { b.change("[public.orders]", "") }
		},
		run: []string{
			"[E213]", "public.a b", "public.a+b", "topic PREFIX.public.a_b",
			"route one of them elsewhere",
		},
		check: []string{"public.a b", "topic PREFIX.public.a_b", "topic: {routes:"},
	},
}

// as gives the configuration another user, and returns what undoes that.
func (b *bench) as(user *url.Userinfo) func() {
	b.Helper()
	before := b.source
	u, err := url.Parse(before)
	if err != nil {
		b.Fatal(err)
	}
	u.User = user
	b.source = u.String()
	b.write(b.T, "")
	return func() {
		b.source = before
		b.write(b.T, "")
	}
}

// change writes the configuration anew.
func (b *bench) change(tables, more string) {
	b.Helper()
	b.tables = tables
	b.write(b.T, more)
}

// kafkaCases are mistakes at Kafka and in the configuration.
var kafkaCases = []badCase{
	{
		name: "topic missing and not to be created", code: exitPerson,
		prepare: func(b *bench) func() {
			b.change(b.tables, "topic: {prefix: PREFIX, partitions: 3, replication_factor: 1, create: false}")
			return func() { b.change(b.tables, "") }
		},
		run: []string{
			"[E209]",
			"topic PREFIX", "topics are not to be created", "kafka-topics.sh",
			"--create --topic PREFIX",
		},
		check: []string{"PREFIX.public.orders is missing, and topic.create is false", "kafka-topics.sh"},
	},
	{
		name: "unknown configuration key", code: exitUsage,
		prepare: func(b *bench) func() {
			b.change(b.tables, "kafak: {brokers: [a:1]}")
			return func() { b.change(b.tables, "") }
		},
		run:   []string{"[E601]", "PREFIX.yaml:6:1", "kafak", "unknown key", "did you mean kafka?", "^"},
		check: []string{"PREFIX.yaml:6:1", "kafak", "unknown key", "did you mean kafka?", "^"},
	},
	{
		name: "pattern that is none", code: exitUsage,
		prepare: func(b *bench) func() {
			b.change("[orders]", "")
			return func() { b.change("[public.orders]", "") }
		},
		run:   []string{"[E601]", "PREFIX.yaml:1:", "source.tables", `pattern "orders": want schema.table`},
		check: []string{"PREFIX.yaml:1:", "source.tables", `pattern "orders": want schema.table`},
	},
}

// TestBadInput makes one mistake after another, and repairs it.
func TestBadInput(t *testing.T) {
	server, brokers, registry := local.Postgres(t), local.Kafka(t), local.Registry(t)
	for _, c := range append(append([]badCase(nil), sourceCases...), kafkaCases...) {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, server, brokers, registry)
			repair := c.prepare(b)
			b.fails(c)
			b.order(1)
			repair()
			b.delivered()
		})
	}
}

// TestTopicCreationRefused has a broker that refuses to make the table's topic: by a policy, and for what the
// topic is to be made with.
func TestTopicCreationRefused(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var refusal atomic.Int32 // Kafka's number, 0 for none
	cluster.ControlKey(int16(kmsg.CreateTopics), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		wanted := request.(*kmsg.CreateTopicsRequest)
		response := wanted.ResponseKind().(*kmsg.CreateTopicsResponse)
		refused := false
		for _, topic := range wanted.Topics {
			answer := kmsg.NewCreateTopicsResponseTopic()
			answer.Topic = topic.Topic
			if code := int16(refusal.Load()); strings.HasSuffix(topic.Topic, ".orders") && code != 0 {
				refused, answer.ErrorCode = true, code
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, refused
	})
	b := newBench(t, local.Postgres(t), cluster.ListenAddrs()[0], local.Registry(t))
	for code, answer := range map[string]*kerr.Error{"E214": kerr.PolicyViolation, "E227": kerr.InvalidConfig} {
		refusal.Store(int32(answer.Code))
		b.fails(badCase{
			code: exitPerson,
			run: []string{
				"[" + code + "]",
				"topic PREFIX.public.orders", "Kafka refuses to make it", answer.Message,
				"kafka-topics.sh --bootstrap-server", "--create --topic PREFIX.public.orders --partitions 3",
			},
			check: []string{
				"[" + code + "]", "PREFIX.public.orders is missing and cannot be created", answer.Message,
				"kafka-topics.sh",
			},
		})
	}
	refusal.Store(0)
	b.order(1)
	b.delivered()
}

package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// mistake is one that a newcomer makes in the configuration: what it replaces in the file, and what check
// must say of it. The fix is pasted where it belongs. Where it only shows what is wrong, shows is what it
// must show, and the newcomer writes the right words then; where check names the word that was meant, that.
type mistake struct {
	name, right, wrong string
	usage              bool // the file is refused as a whole
	says               []string
	typo               string // the wrong word, in whose place the one that was meant is written
	shows              string
	byHand             bool // the fix, or the sentence, only says what is wrong
}

// TestNewcomer makes a mistake in each of the settings that a first configuration has: check finds each, says
// what to type, and is content once that is done.
func TestNewcomer(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	target, err := url.Parse(b.registry)
	if err != nil {
		t.Fatal(err)
	}
	// A registry that has its API under a path, as Apicurio has it.
	proxy := httputil.NewSingleHostReverseProxy(target)
	api := httptest.NewServer(http.StripPrefix("/apis/ccompat/v7", proxy))
	t.Cleanup(api.Close)
	b.registry = api.URL + "/apis/ccompat/v7"
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	b.change("[public.orders]", "delivery: exactly-once")
	text, err := os.ReadFile(b.file)
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	u, err := url.Parse(b.source)
	if err != nil {
		t.Fatal(err)
	}
	mistakes := append(b.sourceMistakes(u.Port()), b.otherMistakes(taken.Addr().String())...)
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) { b.stumbles(t, good, m) })
	}
}

// stumbles makes one mistake, and mends it.
func (b *bench) stumbles(t *testing.T, good string, m mistake) {
	check := func(text string, want int) string {
		t.Helper()
		if err := os.WriteFile(b.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := execute(t, &program{}, "check", "-c", b.file)
		if code != want {
			t.Errorf("exit code %d, want %d:\n%s%s", code, want, stdout, stderr)
		}
		return stdout + stderr
	}
	wrong := strings.Replace(good, m.right, m.wrong, 1)
	if wrong == good {
		t.Fatalf("the file has no %s", m.right)
	}
	here, list, said := *b, []finding(nil), ""
	here.T = t // that of this subtest
	if m.usage {
		said = check(wrong, exitUsage)
	} else {
		list, said = here.finds(wrong)
	}
	for _, part := range m.says {
		if !strings.Contains(flat(said), part) {
			t.Errorf("check does not say %q:\n%s", part, said)
		}
	}
	mended := mending{file: good}
	for _, f := range list {
		if f.Level == levelFail {
			if mended = here.paste(f.Fix, wrong); mended.out != "" && !strings.Contains(mended.out, m.shows) {
				t.Errorf("%s does not show %q:\n%s", f.Fix, m.shows, mended.out)
			}
			break // what follows of it goes with it
		}
	}
	if meant := meantWord.FindStringSubmatch(said); m.typo != "" && meant != nil {
		mended = mending{file: strings.Replace(wrong, m.typo, meant[1], 1), mend: true}
	}
	if mended.mend == m.byHand {
		t.Errorf("mended by what is told: %t, want %t:\n%s", mended.mend, !m.byHand, said)
	}
	if !mended.mend {
		mended.file = good
	}
	check(mended.file, exitOK)
}

// finds has check look at a configuration, once, and returns what it finds and how it tells that.
func (b *bench) finds(text string) ([]finding, string) {
	b.Helper()
	if err := os.WriteFile(b.file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	code, list := b.found()
	if code != exitCheck {
		b.Errorf("exit code %d", code)
	}
	return list, checked{b.T, list}.text()
}

// sourceMistakes are those under source.
func (b *bench) sourceMistakes(port string) []mistake {
	psql := "fix psql 'host=127.0.0.1 port=" + port + " user=postgres dbname="
	return []mistake{
		{name: "host", right: "127.0.0.1:" + port, wrong: "db.invalid:5432", says: []string{
			"db.invalid: no address is known for this name", "[E101]", "fix getent hosts db.invalid",
		}, byHand: true},
		{name: "port", right: ":" + port + "/", wrong: ":1/", says: []string{
			"127.0.0.1:1: nothing listens there", "[E102]", "fix nc -vz 127.0.0.1 1",
		}, byHand: true},
		{name: "database", right: "/test_", wrong: "/tset_", says: []string{
			"does not exist", "[E107]", psql + "postgres' -c 'SELECT datname FROM pg_database'",
		}, shows: "test_", byHand: true},
		{name: "password", right: "postgres:postgres@", wrong: "postgres@", says: []string{
			"[E105]", "fix export PGPASSWORD=...; tributary check -c " + b.file +
				" --source-password-from env:PGPASSWORD",
		}, shows: "0 failures", byHand: true},
		{
			name: "no such secret", right: ", tables:", wrong: ", password_from: 'env:PGPASSWORD_OF_CDX', tables:",
			says: []string{"variable PGPASSWORD_OF_CDX is not set", "[E604]", "fix export PGPASSWORD_OF_CDX=..."},
		},
		{name: "TLS", right: "sslmode=disable", wrong: "sslmode=require", says: []string{
			"the server speaks no TLS", "[E104]", "fix ?sslmode=disable # at the end of source.url",
		}},
		{name: "table", right: "[public.orders]", wrong: "[public.order]", says: []string{
			"pattern public.order matches no table", "[E135]", psql, "did you mean public.orders?",
		}, typo: "public.order", shows: "orders"},
		{name: "slot", right: "slot: e2e_", wrong: "slot: E2E-", usage: true, says: []string{
			"source.slot: a slot's name is made of 1 to 63 of a-z, 0-9 and _", "^", "[E601]",
		}, byHand: true},
		{name: "publication", right: ", tables:", wrong: ", create_publication: 'false', tables:", says: []string{
			"does not exist; it must be made before the slot", "[E131]", `fix CREATE PUBLICATION "` + b.prefix + `"`,
		}},
	}
}

// otherMistakes are those at Kafka, the registry and the program itself.
func (b *bench) otherMistakes(taken string) []mistake {
	return []mistake{
		{name: "brokers", right: b.brokers, wrong: "127.0.0.1:1", says: []string{
			"127.0.0.1:1: nothing listens there", "[E202]", "fix nc -vz 127.0.0.1 1 # kafka.brokers",
		}, byHand: true},
		{name: "Kafka's TLS", right: "compression:", wrong: "tls: {enabled: true}, compression:", says: []string{
			b.brokers + " shakes no hands: the port speaks no TLS", "[E203]", "fix kafka: {tls: {enabled: false}}",
		}},
		{name: "registry", right: "/apis/ccompat/v7", wrong: "", says: []string{
			"it refuses with 404", "[E305]", fmt.Sprintf("fix schema_registry: {url: %q}", b.registry),
		}},
		{name: "replicas", right: "replication_factor: 1", wrong: "replication_factor: 3", says: []string{
			"topic.replication_factor is 3, but there are 1 brokers", "[E211]",
			"fix topic: {replication_factor: 1}", "1 failure",
		}},
		{name: "prefix", right: "prefix: e2e_", wrong: "prefix: 'e2e %'#", usage: true, says: []string{
			"[E601]", "^",
		}, byHand: true},
		{
			name: "listen", right: "listen: '127.0.0.1:0'", wrong: "listen: '" + taken + "'",
			says: []string{"address already in use", "[E603]", "fix ss -ltnp"}, shows: taken, byHand: true,
		},
		{name: "delivery", right: "exactly-once", wrong: "exactly_once", usage: true, says: []string{
			`delivery: "exactly_once" is not one of`, "did you mean exactly-once?", "[E601]",
		}, typo: "exactly_once"},
		{name: "key", right: "schema_registry:", wrong: "schema_regstry:", usage: true, says: []string{
			"schema_regstry: unknown key: did you mean schema_registry?", "[E601]",
		}, typo: "schema_regstry"},
	}
}

package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestSchemaCommands: what is shown is what the registry has, and a change is foretold without a trace.
func TestSchemaCommands(t *testing.T) {
	schemaCommands(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
}

func TestRealSchemaCommands(t *testing.T) {
	schemaCommands(t, local.RealPostgres(t)[0], local.RealKafka(t), local.RealRegistry(t))
}

func schemaCommands(t *testing.T, server, brokers, registry string) {
	b := newBench(t, server, brokers, registry)
	subject := b.prefix + ".public.orders-value"
	expect := func(code int, want []string, args ...string) string {
		t.Helper()
		got, out, errs := execute(t, &program{}, append(args, "-c", b.file)...)
		if got != code {
			t.Errorf("%v: exit code %d, want %d", args, got, code)
		}
		for _, part := range want {
			if !strings.Contains(out+errs, part) {
				t.Errorf("%v: no %q in\n%s%s", args, part, out, errs)
			}
		}
		return out
	}
	expect(exitOK, []string{subject + "  not registered yet", `"name": "before"`}, "schema", "show",
		"public.orders")
	expect(exitOK, []string{"no schema is registered yet"}, "schema", "diff", "public.orders")
	b.delivered()
	registered := registeredSchema(t, registry, subject)
	text := expect(exitOK, nil, "schema", "show", "public.orders", "--only", "value")
	if text != registered+"\n" {
		t.Errorf("shown\n%s\nregistered\n%s", text, registered)
	}
	expect(exitOK, []string{subject + "  version 1, id "}, "schema", "show", "public.orders")
	expect(exitOK, []string{`"version": 1`, `"topic": "` + b.prefix + `.public.orders"`}, "schema", "show",
		"public.orders", "--json")
	expect(exitOK, []string{"is this schema: nothing is new"}, "schema", "diff", "public.orders")
	expect(exitOK, []string{`+ note  ["null","string"] = null`, "which the registry takes"}, "schema", "diff",
		"public.orders", "--alter", "ALTER TABLE ONLY public.orders ADD COLUMN note text;")
	expect(exitCheck, []string{`+ n  "int"`, "refused after version 1", "fix: "}, "schema", "diff",
		"public.orders", "--alter", "ADD COLUMN n int NOT NULL")
	expect(exitCheck, []string{`"verdict": "refused"`, `"field": "n"`}, "schema", "diff", "public.orders",
		"--alter", "ADD COLUMN n int NOT NULL", "--json")
	expect(exitFailed, []string{`type "nosuch" does not exist`}, "schema", "diff", "public.orders", "--alter",
		"ADD COLUMN n nosuch")
	expect(exitUsage, []string{"changes public.other, and the question is of public.orders"}, "schema", "diff",
		"public.orders", "--alter", "ALTER TABLE public.other ADD COLUMN n int")
	expect(exitUsage, []string{"did you mean public.orders?"}, "schema", "show", "public.order")
	expect(exitUsage, []string{"takes one table"}, "schema", "show")
	if left := b.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.orders'::regclass " +
		"AND attnum > 0"); left != "2" {
		t.Errorf("the table has %s columns", left)
	}
	if again := registeredSchema(t, registry, subject); again != registered {
		t.Errorf("the registry has another schema:\n%s", again)
	}
	b.exec("ALTER TABLE public.orders ADD COLUMN note text, DROP COLUMN v")
	expect(exitOK, []string{"+ note", `- v  ["null","string"] = null`, "would be a new version"}, "schema",
		"diff", "public.orders")
}

// registeredSchema asks the registry itself for a subject's latest schema, whose version must be 1.
func registeredSchema(t *testing.T, registry, subject string) string {
	t.Helper()
	response, err := http.Get(registry + "/subjects/" + subject + "/versions/latest")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Schema  string `json:"schema"`
		Version int    `json:"version"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Version != 1 {
		t.Fatalf("version %d, %v", answer.Version, err)
	}
	return answer.Schema
}

func TestAlterActions(t *testing.T) {
	for _, test := range []struct{ text, table, want, wrong string }{
		{"", "public.orders", "", ""},
		{"ADD COLUMN x int;", "public.orders", "ADD COLUMN x int", ""},
		{"alter table public.orders add x int", "public.orders", "add x int", ""},
		{"ALTER TABLE IF EXISTS ONLY Orders\n DROP x", "public.orders", "DROP x", ""},
		{`ALTER TABLE "My ""s"."Or.ders" DROP x`, `My "s.Or.ders`, "DROP x", ""},
		{"ALTER TABLE public . orders * ADD x int", "public.orders", "ADD x int", ""},
		{`ALTER TABLE "Orders" DROP x`, "public.orders", "", "changes Orders"},
		{"ALTER TABLE a.orders DROP x", "public.orders", "", "changes a.orders"},
		{"ALTER COLUMN x TYPE text", "public.orders", "ALTER COLUMN x TYPE text", ""},
	} {
		got, err := alterActions(test.text, test.table)
		if got != test.want || (err != nil) != (test.wrong != "") ||
			err != nil && !strings.Contains(err.Error(), test.wrong) {
			t.Errorf("%q: got %q, %v", test.text, got, err)
		}
	}
}

func TestFieldChanges(t *testing.T) {
	const head = `{"type":"record","name":"Envelope","fields":[{"name":"before","type":["null",` +
		`{"type":"record","name":"Value","fields":[`
	const tail = `]}],"default":null},{"name":"after","type":["null","Value"],"default":null},` +
		`{"name":"op","type":"string"}`
	was := head + `{"name":"id","type":"int"},{"name":"v","type":["null","string"],"default":null}` + tail + `]}`
	is := head + `{"name":"id","type":"long"},{"name":"op","type":{"type":"int", "connect.type":"int16"},` +
		`"default":7}` + tail + `,{"name":"x","type":["null",{"type":"record","name":"X","fields":[` +
		`{"name":"y","type":"int"}]}],"default":null}]}`
	want := []fieldChange{
		{"id", `"int"`, `"long"`},
		{"op", "", `{"type":"int","connect.type":"int16"} = 7`},
		{"envelope.x.y", "", `"int"`},
		{"envelope.x", "", "record or null = null"},
		{"v", `["null","string"] = null`, ""},
	}
	got := fieldChanges(was, is)
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"
	"github.com/riferrei/srclient"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/deploy/local/pagila"
)

// filled returns a database with the demo's rows.
func filled(t *testing.T, foreign bool) *database {
	t.Helper()
	db, err := openDatabase(t.Context(), local.Database(t, local.Postgres(t)), foreign)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.conn.Close(context.Background()) })
	if err := db.fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// TestFill counts the rows, and runs the nine statements against them: the ids that they foretell must be
// right.
func TestFill(t *testing.T) {
	db := filled(t, false)
	for _, table := range pagila.Tables {
		rows, err := db.rows(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != table.Rows {
			t.Errorf("%s: want %d rows, got %d", table.Name, table.Rows, len(rows))
		}
		if rows[fmt.Sprint(table.Rows)] == nil {
			t.Errorf("%s: no row has key %d", table.Name, table.Rows)
		}
	}
	for _, s := range pagila.Statements {
		if err := db.exec(t.Context(), s.SQL); err != nil {
			t.Fatal(err)
		}
		for _, want := range s.Want {
			sql := fmt.Sprintf("SELECT count(*) FROM %[1]s WHERE %[1]s_id = %s", want.Table, want.Key)
			got, err := db.one(t.Context(), sql)
			if err != nil {
				t.Fatal(err)
			}
			if gone := want.Op == "d" || want.Op == "-"; gone != (got == "0") {
				t.Errorf("%s: %s rows of %s %s", s.SQL, got, want.Table, want.Key)
			}
		}
	}
	got, err := db.one(t.Context(),
		"SELECT count(*) FROM customer WHERE customer_id = 100 AND address_id = 200")
	if err != nil || got != "1" {
		t.Errorf("customer 100 at address 200: want 1 row, got %s, %v", got, err)
	}
}

// TestOwnServer checks that a demo on somebody's server leaves nothing, and does not touch what a killed
// one left.
func TestOwnServer(t *testing.T) {
	db := filled(t, true)
	for _, sql := range []string{
		"CREATE PUBLICATION " + ownName + " FOR TABLE address",
		"SELECT pg_create_logical_replication_slot('" + ownName + "', 'pgoutput')",
		"CREATE TABLE public.theirs (id int)",
	} {
		if err := db.exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	_, err := openDatabase(t.Context(), db.url, true)
	if err == nil || !strings.Contains(err.Error(), "remove it with") {
		t.Errorf("names that are taken: want a refusal that says what to do, got %v", err)
	}
	if err := db.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := openDatabase(t.Context(), db.url, true)
	if err != nil {
		t.Fatalf("after closing: %v", err)
	}
	defer again.conn.Close(t.Context())
	got, err := again.one(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
	if err != nil || got != "1" {
		t.Errorf("tables in public: want 1, got %s, %v", got, err)
	}
}

func TestFold(t *testing.T) {
	one, two := row{"id": "1", "name": `"a"`}, row{"id": "1", "name": `"b"`}
	tests := []struct {
		name    string
		records []received
		table   map[string]row
		want    string // part of the only difference; empty for none
	}{
		{"equal", []received{{op: "c", key: "1", after: one}}, map[string]row{"1": one}, ""},
		{
			"last wins",
			[]received{{op: "c", key: "1", after: one}, {op: "u", key: "1", after: two}},
			map[string]row{"1": two},
			"",
		},
		{
			"deleted",
			[]received{{op: "c", key: "1", after: one}, {op: "d", key: "1"}, {op: "-", key: "1"}},
			map[string]row{},
			"",
		},
		{"missing", nil, map[string]row{"1": one}, "1: in the table, not in the topic"},
		{
			"too much",
			[]received{{op: "c", key: "1", after: one}},
			map[string]row{},
			"1: in the topic, not in the table",
		},
		{"old", []received{{op: "c", key: "1", after: one}}, map[string]row{"1": two}, `name: "a" -> "b"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFold()
			for _, r := range test.records {
				r.table = "city"
				f.add(r)
			}
			found := pagila.Differences("city", "topic", f.rows["city"], test.table)
			if test.want == "" && len(found) == 0 {
				return
			}
			if len(found) != 1 || test.want == "" || !strings.Contains(found[0], test.want) {
				t.Errorf("want one difference with %q, got %q", test.want, found)
			}
		})
	}
}

func TestTally(t *testing.T) {
	seen := []int{0, 1, 0, 2, 1, 3}
	if missing, doubled := tally(seen); missing != 1 || doubled != 2 {
		t.Errorf("want 1 missing and 2 doubled, got %d and %d", missing, doubled)
	}
	if complete(seen) || !complete([]int{0, 1, 2}) {
		t.Error("complete: want false with one missing, true with none")
	}
}

func TestTracker(t *testing.T) {
	record := func(n int, key string) received {
		text := fmt.Sprintf(`"%d of the burst"`, n)
		return received{op: "u", table: "address", key: key, after: row{"address2": text}}
	}
	k := &tracker{seen: make([]int, burstChanges+1), last: map[string]int{}}
	tests := []struct {
		name string
		r    received
		want string // part of the error; empty for none
	}{
		{"first", record(5, "201"), ""},
		{"another key", record(3, "202"), ""},
		{"again, which the count shows", record(5, "201"), ""},
		{"out of order", record(4, "201"), "change 4 of address 201 came after change 5"},
		{"no such number", record(burstChanges+1, "201"), "none of its changes"},
		{"another table", received{op: "u", table: "city", key: "1"}, "none of its changes"},
	}
	for _, test := range tests {
		err := k.take(test.r)
		if test.want == "" && err != nil || test.want != "" && !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: want %q, got %v", test.name, test.want, err)
		}
	}
	if k.seen[5] != 2 || k.arrived != len(tests) {
		t.Errorf("change 5: want 2 times of %d records, got %d of %d", len(tests), k.seen[5], k.arrived)
	}
}

// TestConsumer writes records with other libraries than the consumer reads them with. Transactions that
// were aborted must not be seen, and the end must be found behind the records that only brokers read.
func TestConsumer(t *testing.T) {
	brokers, registry := local.Kafka(t), local.Registry(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.TransactionalID("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	names := make([]string, len(pagila.Tables))
	for i, table := range pagila.Tables {
		names[i] = "pagila.public." + table.Name
	}
	if _, err := kadm.NewClient(client).CreateTopics(t.Context(), 1, 1, nil, names...); err != nil {
		t.Fatal(err)
	}
	key := encoder(t, registry, "key",
		`{"type":"record","name":"Key","fields":[{"name":"country_id","type":"int"}]}`)
	value := encoder(t, registry, "value", `{"type":"record","name":"Envelope","fields":[
		{"name":"after","default":null,"type":["null",{"type":"record","name":"Value","fields":[
			{"name":"country_id","type":"int"},{"name":"country","type":["null","string"]}]}]},
		{"name":"op","type":"string"}]}`)
	land := "Wakanda"
	for _, commit := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, v := range []*country{{After: &countryRow{110, &land}, Op: "c"}, {Op: "d"}, nil} {
			record := &kgo.Record{Topic: "pagila.public.country", Key: key(countryKey{110})}
			if v != nil {
				record.Value = value(v)
			}
			client.Produce(t.Context(), record, nil)
		}
		if err := client.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	c, err := newConsumer(brokers, registry, "public")
	if err != nil {
		t.Fatal(err)
	}
	defer c.client.Close()
	var got []string
	for end := false; !end; {
		records, err := c.poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			got = append(got, fmt.Sprint(r.op, r.table, r.key, r.after["country"]))
		}
		if end, err = c.atEnd(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{`ccountry110"Wakanda"`, "dcountry110", "-country110"}; !slices.Equal(got, want) {
		t.Errorf("records: want %q, got %q", want, got)
	}
}

type countryKey struct {
	ID int `avro:"country_id"`
}

type countryRow struct {
	ID      int     `avro:"country_id"`
	Country *string `avro:"country"`
}

type country struct {
	After *countryRow `avro:"after"`
	Op    string      `avro:"op"`
}

// encoder registers a schema and returns a function that writes with it, registry's header first.
func encoder(t *testing.T, registry, subject, text string) func(any) []byte {
	t.Helper()
	registered, err := srclient.NewSchemaRegistryClient(registry).CreateSchema(subject, text, srclient.Avro)
	if err != nil {
		t.Fatal(err)
	}
	schema := avro.MustParse(text)
	return func(value any) []byte {
		b, err := avro.Marshal(schema, value)
		if err != nil {
			t.Fatal(err)
		}
		return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(registered.ID())), b...)
	}
}

func TestPrinter(t *testing.T) {
	var b bytes.Buffer
	p := printer{w: &b}
	p.line(red, "%s", strings.Repeat("x", 100))
	if want := strings.Repeat("x", 77) + "...\n"; b.String() != want {
		t.Errorf("without colour: want %q, got %q", want, b.String())
	}
	b.Reset()
	p.colour = true
	p.line(red, "text")
	if want := red + "text" + reset + "\n"; b.String() != want {
		t.Errorf("with colour: want %q, got %q", want, b.String())
	}
	for _, s := range pagila.Statements {
		for _, line := range wrap(s.SQL, columns-4) {
			if len(line) > columns-4 {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
	}
}

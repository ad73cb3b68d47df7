package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// connectorJSON is the least that a connector needs.
var connectorJSON = map[string]string{
	"connector.class":   "io.debezium.connector.postgresql.PostgresConnector",
	"plugin.name":       "pgoutput",
	"database.hostname": "db.example", "database.user": "cdc", "database.password": "s3cr3t-canary",
	"database.dbname":                     "orders",
	"topic.prefix":                        "orders",
	"key.converter":                       "io.confluent.connect.avro.AvroConverter",
	"key.converter.schema.registry.url":   "http://registry:8081",
	"value.converter":                     "io.confluent.connect.avro.AvroConverter",
	"value.converter.schema.registry.url": "http://registry:8081",
}

// connectorFile writes a connector's JSON with more properties.
func connectorFile(t *testing.T, more map[string]string) string {
	t.Helper()
	all := maps.Clone(connectorJSON)
	maps.Copy(all, more)
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "connector.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func loadConnector(t *testing.T, more map[string]string, flags map[string]string) (Config, error) {
	t.Helper()
	set := map[string]string{"kafka.brokers": "kafka:9092"}
	maps.Copy(set, flags)
	return load(loadOptions{Debezium: connectorFile(t, more), Flags: set})
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// TestDebeziumProperties holds the complete list: debezium-3.6.1.txt is what the fields of the classes of
// Debezium's own jar of 3.6.1.Final say, debezium-more.txt what its other classes and Kafka Connect read.
// Each has
// a rule, and no rule is for a name that nobody has.
func TestDebeziumProperties(t *testing.T) {
	names := append(lines(t, "testdata/debezium-3.6.1.txt"), lines(t, "testdata/debezium-more.txt")...)
	if len(names) < 200 {
		t.Fatalf("only %d names", len(names))
	}
	used := map[string]bool{}
	verdicts := map[verdict]int{}
	for _, name := range names {
		r, found := findRule(name)
		if !found {
			t.Errorf("%s has no rule", name)
			continue
		}
		used[r.name] = true
		verdicts[r.verdict]++
	}
	t.Logf("%d names: %v", len(names), verdicts)
	for _, r := range allRules() {
		switch {
		case strings.Contains(r.name, "converter."), strings.HasPrefix(r.name, "producer."),
			strings.HasSuffix(r.name, "*"):
		case !used[r.name]:
			t.Errorf("rule %s is for no property in the lists", r.name)
		}
		switch {
		case r.verdict != mapped && r.text == "":
			t.Errorf("%s is %s without a reason", r.name, r.verdict)
		case r.verdict == mapped && (r.key == "") == (r.apply == nil):
			t.Errorf("%s is mapped to both or neither of a key and a function", r.name)
		case r.verdict != refused && r.fine != nil:
			t.Errorf("%s: only what is refused has values that are fine", r.name)
		}
		if r.key != "" && !slices.ContainsFunc(configKeys(), func(k key) bool { return k.path == r.key }) {
			t.Errorf("%s names the unknown key %s", r.name, r.key)
		}
	}
}

// richConnector is a connector with something of everything.
var richConnector = map[string]string{
	"database.port": "5433", "database.sslmode": "verify-ca", "database.sslrootcert": "/ca.pem",
	"slot.name": "dz", "publication.name": "pub", "publication.autocreate.mode": "filtered",
	"table.include.list":  `public.Users,inventory\.(a|b),x\,y.z`,
	"table.exclude.list":  "public.users_old",
	"message.key.columns": "public.visits:shop,customer;public.u(.*):id",
	"snapshot.mode":       "never", "snapshot.max.threads": "4", "skipped.operations": "u,t",
	"replica.identity.autoset.values":                   "public.a:FULL,public.b:INDEX my_Index",
	"decimal.handling.mode":                             "string",
	"binary.handling.mode":                              "base64-url-safe",
	"heartbeat.interval.ms":                             "5000",
	"column.mask.hash.v2.SHA-256.with.salt.s3cr3t-salt": "public.u.email",
	"column.mask.with.0.chars":                          "public.u.phone",
	"value.converter":                                   "org.apache.kafka.connect.json.JsonConverter",
	"value.converter.schemas.enable":                    "false",
	"topic.creation.default.partitions":                 "6", "topic.creation.default.replication.factor": "-1",
	"topic.creation.default.retention.ms": "1000",
	"transforms":                          "r,h",
	"transforms.r.type":                   "org.apache.kafka.connect.transforms.RegexRouter",
	"transforms.r.regex":                  `([^.]+)\.([^.]+)\.([^.]+)`, "transforms.r.replacement": "$1_$3",
	"transforms.h.type":          "org.apache.kafka.connect.transforms.InsertHeader",
	"transforms.h.header":        "environment",
	"transforms.h.value.literal": "development",
}

func TestConnectorMapping(t *testing.T) {
	c, err := loadConnector(t, richConnector, map[string]string{"pipeline": "mine"})
	if err != nil {
		t.Fatal(err)
	}
	topic, schemaTopic := topicNames(c)
	for what, pair := range map[string][2]string{
		"url": {
			string(c.Source.URL),
			"postgres://cdc:s3cr3t-canary@db.example:5433/orders?sslmode=verify-ca&sslrootcert=%2Fca.pem",
		},
		"shown url": {
			c.Source.URL.String(),
			"postgres://cdc:xxx@db.example:5433/orders?sslmode=verify-ca&sslrootcert=%2Fca.pem",
		},
		"slot": {
			c.Source.Slot + " " + c.Source.Publication + " " + c.Source.CreatePublication,
			"dz pub filtered",
		},
		"mode":    {c.Snapshot.Mode, "no_data"},
		"decimal": {c.Format.Decimal + " " + c.Format.Binary, "string base64_url_safe"},
		"formats": {c.Format.Key + " " + c.Format.Value, "avro json"},
		"key":     {strings.Join(c.Source.Key("PUBLIC", "visits"), "+"), "shop+customer"},
		"identity": {
			c.Source.ReplicaIdentity[0].Identity + " " + c.Source.ReplicaIdentity[1].Identity,
			"full INDEX my_Index",
		},
		"heartbeat":   {c.Heartbeat.Interval.String(), "5s"},
		"topic":       {topic("public", "users"), "orders_users"},
		"schema name": {schemaTopic("public", "users"), "orders.public.users"},
		"header":      {c.Headers["environment"], "development"},
		"registry":    {string(c.SchemaRegistry.URL), "http://registry:8081"},
		"pipeline":    {c.Pipeline + " " + c.Compatibility, "mine debezium"},
		"retention":   {c.Topic.Config["retention.ms"], "1000"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %s, want %s", what, pair[0], pair[1])
		}
	}
	for name, want := range map[string]bool{
		"public.users": true, "PUBLIC.USERS": true, "public.users_old": false, "publicxusers": true,
		"inventory.b":  true,
		"inventory.bb": false, "x,y.z": true,
	} {
		namespace, table, _ := strings.Cut(name, ".")
		if strings.Contains(name, ".") && c.Source.Captures(namespace, table) != want {
			t.Errorf("%s captured: %t", name, !want)
		}
	}
	if !c.Skips('u') || !c.Skips('t') || c.Skips('d') || c.Snapshot.Workers != 4 || c.Topic.Partitions != 6 {
		t.Errorf("skipped %v, workers %d, partitions %d", c.SkippedOperations, c.Snapshot.Workers,
			c.Topic.Partitions)
	}
	if rules := c.Columns.Rules; len(rules) != 2 {
		t.Errorf("rules %v", rules)
	}
}

func TestConnectorRefusals(t *testing.T) {
	for property, test := range map[string][2]string{
		"plugin.name":         {"decoderbufs", "pgoutput only"},
		"snapshot.mode":       {"custom", "custom is not known here"},
		"table.include.list":  {"a.(?=b)", "lookahead"},
		"column.include.list": {`(a)\1`, "back reference"},
		"column.exclude.list": {"a.b++", "possessive"},
		"schema.include.list": {"[a-z&&[^b]]", "intersection"},
		"schema.exclude.list": {"[a[b]]", "a class inside of a class"},
		"tabel.include.list":  {"x", "did you mean table.include.list?"},
		"skipped.operations":  {"x", "not one of c, u, d, t, none"},
		"database.password":   {"${file:/a:b}", "config provider"},
		"value.converter": {
			"org.apache.kafka.connect.storage.StringConverter",
			"not among the converters",
		},
		"errors.tolerance":                             {"all", "never skips"},
		"decimal.handling.mode":                        {"exact", "not one of precise, string, double"},
		"heartbeat.interval.ms":                        {"5s", "number of milliseconds"},
		"topic.naming.strategy":                        {"x.Y", "topic.routes"},
		"column.mask.hash.MD5.with.salt.s3cr3t-canary": {"(?<!x)", "lookbehind"},
		"message.key.columns":                          {"public.t", "want TABLE:COLUMN"},
		"snapshot.select.statement.overrides.public.t": {"SELECT 1", "row filter"},
		"producer.override.security.protocol":          {"SSL", "say it under kafka"},
		"value.converter.value.subject.name.strategy":  {"x.RecordNameStrategy", "TOPIC-value"},
		"transforms":                                   {"gone", "without a class"},
		"connector.class": {
			"io.debezium.connector.mysql.MySqlConnector",
			"not Debezium's PostgreSQL",
		},
		"value.converter.enhanced.avro.schema.support":     {"true", "enums stay text"},
		"snapshot.mode.configuration.based.snapshot.data":  {"true", "own modes"},
		"topic.creation.groups":                            {"compacted", "one group"},
		"replica.identity.autoset.values":                  {"public.t:SOME", "DEFAULT, FULL"},
		"column.truncate.to.0.chars":                       {"a.b.c", "column.mask.with.0.chars"},
		"event.processing.failure.handling.mode":           {"skip", "never skips"},
		"value.converter.something.that.is.new.in.the.lib": {"1", "not known here"},
	} {
		_, err := loadConnector(t, map[string]string{property: test[0]}, nil)
		if err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), test[1]) {
			t.Errorf("%s = %s: got %v, want %q", property, test[0], err, test[1])
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the secret is in the error: %v", property, err)
		}
	}
}

func TestConnectorTransforms(t *testing.T) {
	for class, want := range map[string]string{
		"io.debezium.transforms.ExtractNewRecordState":           "the whole envelope",
		"org.apache.kafka.connect.transforms.InsertField$Value":  "use headers",
		"org.apache.kafka.connect.transforms.ReplaceField$Value": "column.exclude.list",
		"com.example.Mine": "cannot load",
		"io.debezium.transforms.ByLogicalTableRouter":     "key.enforce.uniqueness",
		"org.apache.kafka.connect.transforms.RegexRouter": "an expression and a replacement",
	} {
		_, err := loadConnector(t, map[string]string{"transforms": "x", "transforms.x.type": class}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", class, err, want)
		}
	}
	c, err := loadConnector(t, map[string]string{
		"transforms": "x", "transforms.x.type": "io.debezium.transforms.ByLogicalTableRouter",
		"transforms.x.topic.regex": "(.*)_[0-9]+", "transforms.x.topic.replacement": "$1",
		"transforms.x.key.enforce.uniqueness": "false",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	topic, schemaTopic := topicNames(c)
	if a, b := topic("public", "t_1"), schemaTopic("public", "t_2"); a != "orders.public.t" || b != a {
		t.Errorf("topic %s, schema topic %s", a, b)
	}
}

func TestConnectorPassword(t *testing.T) {
	c, err := loadConnector(t, map[string]string{"database.password": "${file:/a:b}"},
		map[string]string{"source.password_from": "env:PW"})
	if err != nil || c.Source.PasswordFrom != "env:PW" || strings.Contains(string(c.Source.URL), "$") {
		t.Errorf("got %v, %s, %v", c.Source.PasswordFrom, c.Source.URL, err)
	}
	c, err = loadConnector(t, map[string]string{"database.password": "${env:PW}"}, nil)
	if err != nil || c.Source.PasswordFrom != "env:PW" {
		t.Errorf("got %v, %v", c.Source.PasswordFrom, err)
	}
}

func TestConnectorJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": 1`:                          "line 1: not JSON",
		`{"a": }`:                          "line 1: not JSON",
		"{\n\"topic.prefix\": [1]\n}":      "line 2: topic.prefix: want a text",
		`[]`:                               "want an object",
		"{\"a.b\": \"1\",\n\"a.b\": \"\"}": "line 2: a.b is given twice, first on line 1",
	} {
		file := filepath.Join(t.TempDir(), "c.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := load(loadOptions{Debezium: file})
		if err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

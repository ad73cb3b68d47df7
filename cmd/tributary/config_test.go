package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the expected texts anew")

var testEnvironment = []string{"TEST_HOST=db.example"}

func loadTest(t *testing.T, file string, environ ...string) (Config, error) {
	t.Helper()
	return load(loadOptions{File: file, Environ: append(testEnvironment, environ...)})
}

func TestGoodConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.good.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		c, err := loadTest(t, file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		// What is printed means the same when it is read again.
		var b strings.Builder
		if err := writeYAML(&b, c, yamlOptions{changedOnly: true, portable: true}); err != nil {
			t.Fatal(err)
		}
		again := filepath.Join(t.TempDir(), "again.yaml")
		if err := os.WriteFile(again, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		second, err := loadTest(t, again, "COLUMN_SALT=pepper")
		if err != nil {
			t.Errorf("%s printed:\n%s\n%v", file, b.String(), err)
			continue
		}
		c.origins, second.origins = nil, nil
		if !equalConfigs(c, second) {
			t.Errorf("%s: read again differs:\n%s", file, b.String())
		}
	}
}

// equalConfigs compares by text where patterns are: two compilations of one expression are not the same
// value.
func equalConfigs(a, b Config) bool {
	for _, k := range configKeys() {
		x, y := reflect.ValueOf(a).FieldByIndex(k.index), reflect.ValueOf(b).FieldByIndex(k.index)
		if yamlText(x, false) != yamlText(y, false) {
			return false
		}
	}
	return true
}

func TestGoodValues(t *testing.T) {
	c, err := loadTest(t, "testdata/long.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []struct {
		what      string
		got, want any
	}{
		{"url", string(c.Source.URL), "postgres://cdc@db.example:5432/orders?sslmode=verify-full"},
		{"size", c.Source.MaxRowBytes, Bytes(32 << 20)},
		{"slot from prefix", c.Source.Slot, "tributary_orders"},
		{"salt", string(c.Columns.Rules[1].Salt), "pepper"},
		{"key", c.Source.Key("public", "visits"), []string{"shop", "customer"}},
		{"captured by glob", c.Source.Captures("public", "users"), true},
		{"excluded", c.Source.Captures("public", "audit"), false},
		{"captured by expression", c.Source.Captures("inventory", "b"), true},
		{"expression is anchored", c.Source.Captures("inventory", "bc"), false},
		{"skips none", c.Skips('t'), false},
		{"route", c.Topic.Routes[0].Replace, "o.$1"},
	} {
		if !reflect.DeepEqual(check.got, check.want) {
			t.Errorf("%s: got %v, want %v", check.what, check.got, check.want)
		}
	}
	topic, schemaTopic := topicNames(c)
	if got := topic("public", "a b"); got != "o.public.a_b" {
		t.Errorf("topic: %s", got)
	}
	if got := schemaTopic("public", "a b"); got != "orders.public.a_b" {
		t.Errorf("schema topic: %s", got)
	}
}

func TestBadConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		_, err := loadTest(t, file)
		if err == nil || exitCode(err) != exitUsage {
			t.Errorf("%s: got %v with exit code %d, want 2", file, err, exitCode(err))
			continue
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the secret is in the error:\n%v", file, err)
		}
		compare(t, strings.TrimSuffix(file, ".yaml")+".txt", err.Error()+"\n")
	}
}

// compare holds a text against a file of expected text.
func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func TestPrecedence(t *testing.T) {
	o := loadOptions{
		File: "testdata/short.good.yaml",
		Environ: []string{
			"TRIBUTARY_TOPIC_PARTITIONS=7", "TRIBUTARY_SOURCE_TABLES=a.b, c.d",
			"TRIBUTARY_HEADERS={a: b}", "TRIBUTARY_SOURCE_URK=x", "TRIBUTARY_TEST_KAFKA=x",
		},
		Flags: map[string]string{"topic.partitions": "9", "source.key_columns": "[{table: a.b, columns: [x]}]"},
	}
	c, err := load(o)
	if err != nil {
		t.Fatal(err)
	}
	if c.Topic.Partitions != 9 || c.origins["topic.partitions"].String() != "flag --topic-partitions" {
		t.Errorf("partitions %d from %s", c.Topic.Partitions, c.origins["topic.partitions"])
	}
	if len(c.Source.Tables) != 2 || c.origins["source.tables"].String() != "env TRIBUTARY_SOURCE_TABLES" {
		t.Errorf("tables %v from %s", c.Source.Tables, c.origins["source.tables"])
	}
	if c.Headers["a"] != "b" || len(c.Headers) != 1 || c.Source.Key("a", "b") == nil {
		t.Errorf("headers %v, key %v", c.Headers, c.Source.KeyColumns)
	}
	if got := c.origins["delivery"].String(); got != "file testdata/short.good.yaml:5" {
		t.Errorf("delivery is from %q", got)
	}
	if len(c.notes) != 1 || !strings.Contains(c.notes[0],
		"TRIBUTARY_SOURCE_URK is not known: did you mean TRIBUTARY_SOURCE_URL?") {
		t.Errorf("notes %q", c.notes)
	}
	o.Environ = append(o.Environ, "TRIBUTARY_SNAPSHOT_WORKERS=several", "TRIBUTARY_TOMBSTONES=yes")
	var problems *configError
	if _, err := load(o); !errors.As(err, &problems) || len(problems.problems) != 2 ||
		!strings.HasPrefix(problems.problems[0].where, "TRIBUTARY_") {
		t.Errorf("got %v", err)
	}
}

// TestKeys holds what the names of variables and flags promise: no two keys share one, and each has help.
func TestKeys(t *testing.T) {
	seen := map[string]string{}
	for _, k := range configKeys() {
		for _, name := range []string{k.env(), "--" + k.flag()} {
			if other, taken := seen[name]; taken {
				t.Errorf("%s stands for %s and %s", name, other, k.path)
			}
			seen[name] = k.path
		}
		if len(k.help) < 5 || !strings.HasSuffix(k.help, ".") {
			t.Errorf("%s: help %q", k.path, k.help)
		}
	}
	for path, short := range aliases {
		if other, taken := seen["--"+short]; taken && other != path {
			t.Errorf("--%s stands for %s and %s", short, other, path)
		}
	}
	if len(seen) < 100 {
		t.Errorf("only %d names", len(seen))
	}
}

// TestEveryKeyCanBeSet gives each key a value through its variable, so that no type is forgotten.
func TestEveryKeyCanBeSet(t *testing.T) {
	for _, k := range configKeys() {
		text := map[reflect.Kind]string{
			reflect.Bool: "false", reflect.Int: "1", reflect.Int64: "1",
			reflect.String: "x",
		}[k.typ.Kind()]
		switch {
		case k.enum != nil:
			text = k.enum[len(k.enum)-1]
		case k.typ.String() == "time.Duration":
			text = "1s"
		case k.typ.Kind() == reflect.Slice && section(k.typ.Elem()):
			text = "[]"
		case k.typ.Kind() == reflect.Slice:
			text = "a,b"
		case k.typ.Kind() == reflect.Map:
			text = "{a: b}"
		}
		l := newLoader(loadOptions{})
		l.set(k, text, origin{"env", k.env()})
		if len(l.problems) > 0 {
			t.Errorf("%s = %s: %v", k.path, text, l.problems)
		}
	}
}

func TestInterpolate(t *testing.T) {
	environ := map[string]string{"A": "x", "EMPTY": ""}
	for _, test := range []struct{ in, want, err string }{
		{"${A}-${A}", "x-x", ""},
		{"$$A $A ${EMPTY}", "$A $A ", ""},
		{"${B:-y}${EMPTY:-z}", "yz", ""},
		{"${B}", "", "environment variable B is not set"},
		{"${A", "", "without its }"},
		{"/a$/", "/a$/", ""},
	} {
		got, err := interpolate(test.in, environ)
		if got != test.want || (err == nil) != (test.err == "") || err != nil &&
			!strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got %q, %v", test.in, got, err)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, yes, no string
	}{
		{"public.*", "public.a.b", "publicxa"},
		{"public.t?", "public.t1", "public.t"},
		{"public.[ab]", "public.a", "public.c"},
		{"public.[!ab]", "public.c", "public.a"},
		{`public.a\*`, "public.a*", "public.ab"},
		{"public.a[", "public.a[", "public.a"},
		{`/public\.(a|b)/`, "public.b", "public.bc"},
		{"/a|b/", "b", "ab"},
		{"public.T", "public.T", "public.t"},
		{`"Odd.Schema".*`, "Odd.Schema.t", `"Odd.Schema".t`},
		{`s."a""b*"`, `s.a"b*`, `s.a"bc`},
		{`s.a"b"`, `s.a"b"`, "s.ab"},
		{`s."a`, `s."a`, "s.a"},
	} {
		p, err := parsePattern(test.pattern)
		if err != nil || !p.Match(test.yes) || p.Match(test.no) {
			t.Errorf("%s: %v, %s %t, %s %t", test.pattern, err, test.yes, p.Match(test.yes), test.no, p.Match(test.no))
		}
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"tables", "slot", "url", "publication"}
	for word, want := range map[string]string{
		"tabels": ": did you mean tables?", "publicaton": ": did you mean publication?",
		"lurl": ": did you mean url?", "brokers": "", "x": "",
	} {
		if got := didYouMean(word, known); got != want {
			t.Errorf("%s: %q", word, got)
		}
	}
}

func FuzzConfig(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(_ *testing.T, text []byte) {
		l := newLoader(loadOptions{})
		l.file, l.lines = "f", strings.Split(string(text), "\n")
		l.parse(text) // must come back
		l.config.derive()
		l.validate()
		_ = (&configError{l.problems}).Error()
	})
}

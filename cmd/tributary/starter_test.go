package main

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestInitAsks: a person's answers become a file that check finds nothing wrong with, and that run works by.
func TestInitAsks(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.exec(`CREATE TABLE public."odd, name" (id int PRIMARY KEY)`)
	file := filepath.Join(t.TempDir(), "new.yaml")
	address, err := url.Parse(b.source)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password()
	t.Setenv("SOURCE_PASSWORD", password)
	var asked []string
	answers := map[string][]string{
		"The database":              {"mysql://x", b.source}, // the first is told to be wrong, and asked for again
		"Kafka's brokers":           {b.brokers},
		"The schema registry":       {b.registry},
		"The first part of every t": {b.prefix},
	}
	p := &program{ask: func(question string) (string, error) {
		asked = append(asked, question)
		for begin, list := range answers {
			if strings.HasPrefix(question, begin) && len(list) > 0 {
				answers[begin] = list[1:]
				return list[0], nil
			}
		}
		return "", nil // what is proposed
	}}
	code, out, errs := execute(t, p, "init", "--out", file)
	if code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	if all := strings.Join(asked, "\n"); len(asked) != 6 ||
		!strings.Contains(all, `[public."odd\, name",public.orders]`) {
		t.Errorf("asked:\n%s", all)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if password != "" && strings.Contains(string(text), ":"+password+"@") {
		t.Errorf("the password is in the file:\n%s", text)
	}
	for _, args := range [][]string{{"config", "validate"}, {"check"}} {
		if code, out, errs := execute(t, &program{}, append(args, "-c", file)...); code != exitOK {
			t.Errorf("%v: exit code %d: %s%s", args, code, out, errs)
		}
	}
	if code, _, errs := execute(t, &program{}, "init", "--out", file); code != exitUsage ||
		!strings.Contains(errs, "is there already") {
		t.Errorf("a second time: exit code %d: %s", code, errs)
	}
}

// TestInitAsksNobody: elsewhere the flags must say all, nothing is asked or connected to, and the file is the
// same each time.
func TestInitAsksNobody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new.yaml")
	flags := []string{
		"--source-url", "postgres://cdc:" + canary + "@db.invalid/shop",
		"--source-tables", `public.orders,"A b"."c"`,
		"--brokers", "b1:9092,b2:9092", "--registry", "http://registry:8081", "--topic-prefix", "shop",
	}
	nobody := &program{ask: func(string) (string, error) { return "", errNobody }}
	code, _, errs := execute(t, nobody, "init", "--out", file)
	if _, err := os.Stat(file); code != exitUsage || !errors.Is(err, os.ErrNotExist) ||
		strings.Count(errs, "missing. Set it") != 5 {
		t.Errorf("without flags: exit code %d, %v: %s", code, err, errs)
	}
	for _, more := range [][]string{nil, {"--force", "--topic-partitions", "6"}} {
		code, out, errs := execute(t, nobody, append(append([]string{"init", "--out", file}, flags...), more...)...)
		if code != exitOK || strings.Contains(out+errs, canary) {
			t.Fatalf("%v: exit code %d: %s%s", more, code, out, errs)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "testdata/init.yaml", string(text))
	if strings.Contains(string(text), canary) {
		t.Error("the password is in the file")
	}
	for _, wrong := range []struct{ args, want string }{
		{"init -c " + file, "init writes a new file"},
		{"init --print-sql all --out x", "--print-sql and --out exclude each other"},
		{"init --out " + file + "2 --source-url postgres://db/x?password=" + canary, "leave it out"},
	} {
		code, _, errs := execute(t, nobody, strings.Fields(wrong.args)...)
		if code != exitUsage || !strings.Contains(errs, wrong.want) || strings.Contains(errs, canary) {
			t.Errorf("%s: exit code %d: %s", wrong.args, code, errs)
		}
	}
}

package tidy

import (
	"strings"
	"testing"
)

// long and fits are a function one line over the limit, and one of just its length.
var (
	long = "package schema\n\nfunc f() {\n" + strings.Repeat("\tf()\n", functionLines.max-1) + "}\n"
	fits = "package schema\n\nfunc f() {\n" + strings.Repeat("\tf()\n", functionLines.max-2) + "}\n"
)

// cases are pieces of source, each with what its rule should say.
var cases = []struct {
	name, rule, path, text string
	want                   string // part of the only problem; empty for none
}{
	{"long function", "sizes", "schema/a.go", long, "function f has 71 lines"},
	{"function that fits", "sizes", "schema/a.go", fits, ""},
	{"long file", "sizes", "schema/a.go", "package schema\n" + strings.Repeat("\n", 500), "501 lines"},
	{"long line", "text", "schema/a.go", "package schema // " + strings.Repeat("x", 100), "118 columns"},
	{"line that fits", "text", "schema/a.go", "package schema // " + strings.Repeat("x", 92), ""},
	{"not ASCII", "text", "schema/a.go", "package schema // \u00e9", "U+00E9"},
	{"note", "text", "schema/a.go", "package schema // TO" + "DO later", "open an issue"},
	{
		"upward import", "imports", "schema/a.go",
		"package schema\nimport _ \"" + module + "decoder\"", "schema must not import",
	},
	{
		"snapshot and publisher", "imports", "snapshot/a.go",
		"package snapshot\nimport _ \"" + module + "publisher\"", "snapshot must not import",
	},
	{
		"a test server in the program", "imports", "cmd/tributary/a.go",
		"package main\nimport _ \"" + module + "deploy/local\"", "must not import",
	},
	{
		"a prefix is no package", "imports", "decoder/a.go",
		"package decoder\nimport _ \"github.com/jackc/pgx/v5/pgconnx\"", "must not import",
	},
	{"standard library", "imports", "schema/a.go", "package schema\nimport _ \"strings\"", ""},
	{
		"registry client elsewhere", "imports", "schema/a.go",
		"package schema\nimport _ \"github.com/riferrei/srclient\"", "only schema/registry",
	},
	{"init", "calls", "schema/a.go", "package schema\nfunc init() {}", "no init"},
	{"method init", "calls", "schema/a.go", "package schema\nfunc (t T) init() {}", ""},
	{"sleep", "calls", "schema/a_test.go", "package schema\nfunc f() { time.Sleep(1) }", "no time.Sleep"},
	{"once", "calls", "schema/a.go", "package schema\nvar o sync.Once", "no sync.Once"},
	{"exit", "calls", "cmd/demo/a.go", "package main\nfunc f() { os.Exit(1) }", "no os.Exit"},
	{"exit in main", "calls", "cmd/demo/a.go", "package main\nfunc main() { os.Exit(1) }", ""},
	{"map of anything", "types", "schema/a.go", "package schema\nvar m map[string]any", "no map[string]any"},
	{
		"map of empty interfaces", "types", "schema/a.go",
		"package schema\nvar m map[string]interface{}", "no map[string]any",
	},
	{
		"exported interface", "types", "schema/a.go",
		"package schema\ntype I interface{ F() }", "I is exported",
	},
	{"own interface", "types", "schema/a.go", "package schema\ntype i interface{ F() }", ""},
	{"no comment", "exported", "schema/a.go", "package schema\nfunc F() {}", "F: want a comment"},
	{
		"another name", "exported", "schema/a.go",
		"package schema\n// G does.\nfunc F() {}", "F: want a comment",
	},
	{"comment", "exported", "schema/a.go", "package schema\n// F does.\nfunc F() {}", ""},
	{"constant", "exported", "schema/a.go", "package schema\nconst C = 1", "C has no comment"},
	{"constant of a group", "exported", "schema/a.go", "package schema\n// Numbers.\nconst (\nC = 1\n)", ""},
	{"any", "signatures", "schema/a.go", "package schema\nfunc F(x ...any) {}", "no any"},
	{"own any", "signatures", "schema/a.go", "package schema\nfunc f(x any) {}", ""},
	{
		"log and continue", "logged errors", "decoder/a.go",
		"package decoder\nfunc f() { for { s.log.Warn(\"x\"); continue } }", "a continue after it",
	},
	{
		"log and forget", "logged errors", "decoder/a.go",
		"package decoder\nfunc f() { if err != nil { logger.Error(\"x\"); return nil } }",
		"logged and forgotten",
	},
	{
		"log and return", "logged errors", "decoder/a.go",
		"package decoder\nfunc f() { if err != nil { log.Error(\"x\"); return err } }", "",
	},
	{
		"off the data path", "logged errors", "schema/a.go",
		"package schema\nfunc f() { for { s.log.Warn(\"x\"); continue } }", "",
	},
}

// TestRulesFail shows for each rule that it finds what it is there to find, and lets through what it should.
func TestRulesFail(t *testing.T) {
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			s, err := parse(test.path, test.text)
			if err != nil {
				t.Fatal(err)
			}
			found := rules[test.rule](s)
			if test.want == "" && len(found) == 0 {
				return
			}
			if len(found) != 1 || test.want == "" || !strings.Contains(found[0], test.want) {
				t.Errorf("want one problem with %q, got %q", test.want, found)
			}
		})
	}
}

// TestGoroutinesAreCounted counts both ways to start one.
func TestGoroutinesAreCounted(t *testing.T) {
	s, err := parse("schema/a.go", "package schema\nfunc f() { go f(); group.Go(f); group.Go() }")
	if err != nil {
		t.Fatal(err)
	}
	if got := goroutines(s); got != 2 {
		t.Errorf("want 2, got %d", got)
	}
}

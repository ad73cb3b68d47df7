package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logCalls are the methods of a slog.Logger, with the number of arguments before the first key.
var logCalls = map[string]int{"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "With": 0, "Log": 3}

// logKey is what a key must look like: a name in every language that logs are queried in.
var logKey = regexp.MustCompile(`^[a-z][a-z_]*$`)

// loggedKeys are the keys that a file logs by, each with where, and what cannot be read as one.
func loggedKeys(set *token.FileSet, file *ast.File) (keys map[string]string, odd []string) {
	keys = map[string]string{}
	note := func(args []ast.Expr) {
		for i := 0; i < len(args); i += 2 {
			at := set.Position(args[i].Pos()).String()
			literal, plain := args[i].(*ast.BasicLit)
			if !plain {
				odd = append(odd, at)
				continue
			}
			key, err := strconv.Unquote(literal.Value)
			if err != nil || !logKey.MatchString(key) {
				odd = append(odd, at)
			}
			keys[key] = at
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.CallExpr:
			f, method := n.Fun.(*ast.SelectorExpr)
			if !method || !isLogger(f.X) {
				break
			}
			first, logs := logCalls[f.Sel.Name]
			if !logs || len(n.Args) <= first || n.Ellipsis.IsValid() {
				break // attrs... is made elsewhere, by a function below
			}
			note(n.Args[first:])
		case *ast.FuncDecl:
			if strings.HasSuffix(n.Name.Name, "Attrs") {
				noteAttrs(n, note)
			}
		}
		return true
	})
	return keys, odd
}

// isLogger says that an expression is named as loggers are here: log, p.Log, o.Logger, log.With(...).
func isLogger(x ast.Expr) bool {
	switch n := x.(type) {
	case *ast.Ident:
		return strings.HasPrefix(strings.ToLower(n.Name), "log")
	case *ast.SelectorExpr:
		return isLogger(n.Sel)
	case *ast.CallExpr:
		f, method := n.Fun.(*ast.SelectorExpr)
		return method && isLogger(f.X)
	}
	return false
}

// noteAttrs finds the keys in a function that makes attributes: []any{"key", value} and append(attrs, "key",
// value).
func noteAttrs(f *ast.FuncDecl, note func([]ast.Expr)) {
	ast.Inspect(f, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.CompositeLit:
			note(n.Elts)
		case *ast.CallExpr:
			if name, plain := n.Fun.(*ast.Ident); plain && name.Name == "append" && len(n.Args) > 1 {
				note(n.Args[1:])
			}
		}
		return true
	})
}

// listedKeys are the keys that testdata/logkeys.txt promises, with their meanings.
func listedKeys(t *testing.T) map[string]string {
	t.Helper()
	listed, previous := map[string]string{}, ""
	for line := range strings.Lines(read(t, "../cmd/tributary/testdata/logkeys.txt")) {
		key, meaning, found := strings.Cut(strings.TrimSpace(line), " | ")
		if !found || meaning == "" || key <= previous {
			t.Fatalf("logkeys.txt: %q: want key | meaning, in order, once each", line)
		}
		listed[key], previous = meaning, key
	}
	return listed
}

// TestLogKeys: what is logged under which key is a promise: each key in the source is listed with its
// meaning, and each that is listed is logged. LOGS.md has the same list, for people.
func TestLogKeys(t *testing.T) {
	listed := listedKeys(t)
	logged := map[string]string{"time": "slog", "level": "slog", "msg": "slog"}
	for _, dir := range []string{".", "../../decoder", "../../snapshot", "../../publisher", "../../schema"} {
		err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				return err
			}
			keys, odd := loggedKeys(set, file)
			maps.Copy(logged, keys)
			for _, at := range odd {
				t.Errorf("%s: a key that is no constant, or no name of small letters", at)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(logged) < 40 {
		t.Fatalf("%d keys found: the source is not read as it should be", len(logged))
	}
	for key, at := range logged {
		if listed[key] == "" {
			t.Errorf("%s: key %s is not in testdata/logkeys.txt", at, key)
		}
	}
	var table strings.Builder
	for _, key := range slices.Sorted(maps.Keys(listed)) {
		if logged[key] == "" {
			t.Errorf("testdata/logkeys.txt: %s is not logged", key)
		}
		fmt.Fprintf(&table, "| `%s` | %s |\n", key, listed[key])
	}
	document, begin, end := read(t, "monitoring/LOGS.md"), "|---|---|\n", "\n## "
	head, rest, found := strings.Cut(document, begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatal("monitoring/LOGS.md has no table")
	}
	compare(t, deployed+"monitoring/LOGS.md", head+begin+table.String()+end+tail)
}

// TestLogKeysAreFound shows that keys are found in the forms that the source has, and odd ones told.
func TestLogKeysAreFound(t *testing.T) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "a.go", `package a
func f() {
	p.Log.Warn("x "+"y", "one", 1, "two", 2)
	log.With("three", 3).Log(ctx, level, "x", "four", 4)
	s.o.Logger.Info("x", name, 1, "at most", 2)
	log.Info("x", someAttrs()...)
	http.Error(w, "none", 500)
}
func someAttrs() []any { return append([]any{"five", 5}, "six", 6) }`, 0)
	if err != nil {
		t.Fatal(err)
	}
	keys, odd := loggedKeys(set, file)
	const want = "[at most five four one six three two] 2"
	if got := fmt.Sprint(slices.Sorted(maps.Keys(keys)), len(odd)); got != want {
		t.Errorf("found %s, want %s", got, want)
	}
}

// insightsWords are those of CloudWatch's query language that LOGS.md uses.
var insightsWords = strings.Fields("filter fields stats sort limit by as or and asc desc count max latest " +
	"bin ispresent h")

// TestLogQueries: the queries and metric filters in LOGS.md ask for keys that exist.
func TestLogQueries(t *testing.T) {
	document, listed := read(t, "monitoring/LOGS.md"), listedKeys(t)
	queries := regexp.MustCompile("(?s)```insights\n(.*?)```").FindAllStringSubmatch(document, -1)
	filters := regexp.MustCompile(`--filter-pattern '(.*?)'`).FindAllStringSubmatch(document, -1)
	if len(queries) < 4 || len(filters) < 3 {
		t.Fatalf("%d queries and %d filters", len(queries), len(filters))
	}
	text := regexp.MustCompile(`"[^"]*"`)
	for _, query := range queries {
		plain := text.ReplaceAllString(query[1], "")
		known := slices.Clone(insightsWords)
		for _, name := range regexp.MustCompile(` as (\w+)`).FindAllStringSubmatch(plain, -1) {
			known = append(known, name[1])
		}
		for _, word := range regexp.MustCompile(`[a-z_]+`).FindAllString(plain, -1) {
			if listed[word] == "" && !slices.Contains(known, word) {
				t.Errorf("no key %s: %s", word, query[1])
			}
		}
	}
	for _, filter := range filters {
		keys := regexp.MustCompile(`\$\.(\w+)`).FindAllStringSubmatch(filter[1], -1)
		if len(keys) == 0 || strings.Count(filter[1], "$") != len(keys) {
			t.Errorf("cannot read the keys of %s", filter[1])
		}
		for _, key := range keys {
			if listed[key[1]] == "" {
				t.Errorf("no key %s: %s", key[1], filter[1])
			}
		}
	}
}

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var codePattern = regexp.MustCompile(`\b[EWI][1-6][0-9][0-9]\b`)

// codesIn collects the codes in the string literals of Go files, with the name of a file of each.
func codesIn(t *testing.T, wanted func(path string) bool) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || !wanted(filepath.Base(path)) {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Errorf("%s: %v", path, err)
				}
				for _, code := range codePattern.FindAllString(text, -1) {
					found[code] = path
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestCatalogue: every code that the program gives is in the catalogue once, and says what to do; every code
// of the catalogue is given, and is asserted by a test that stages its fault.
func TestCatalogue(t *testing.T) {
	given := codesIn(t, func(name string) bool {
		return !strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(name, "catalogue")
	})
	given[codeUnknown] = "catalogue.go"
	tested := codesIn(t, func(name string) bool {
		return strings.HasSuffix(name, "_test.go") && name != "catalogue_test.go"
	})
	seen := map[string]bool{}
	for _, e := range catalogue() {
		if seen[e.Code] {
			t.Errorf("%s stands in the catalogue twice", e.Code)
		}
		seen[e.Code] = true
		if !strings.HasSuffix(e.Sentence, ".") || !strings.HasSuffix(e.Cause, ".") || e.Fix == "" ||
			len(e.Sentence) > 80 {
			t.Errorf("%s: wants a sentence of at most 80 columns, a cause and a fix", e.Code)
		}
		if given[e.Code] == "" {
			t.Errorf("%s stands in the catalogue, and nothing gives it", e.Code)
		}
		if tested[e.Code] == "" {
			t.Errorf("%s (%s): no test stages its fault", e.Code, given[e.Code])
		}
	}
	for code, path := range given {
		if !seen[code] {
			t.Errorf("%s: gives %s, which the catalogue has not", path, code)
		}
	}
}

// TestErrorDocument holds deploy/ERRORS.md to the catalogue.
func TestErrorDocument(t *testing.T) {
	var b strings.Builder
	if err := writeCatalogue(&b); err != nil {
		t.Fatal(err)
	}
	compare(t, "../../deploy/ERRORS.md", b.String())
}

func TestErrorsCommand(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"errors", exitOK, "E105  The database server refuses the user or the password.\n"},
		{"errors e105", exitOK, "fix   ALTER ROLE cdc PASSWORD '...';"},
		{"errors E105 --json", exitOK, `"code": "E105"`},
		{"errors E195", exitUsage, "did you mean E1"},
		{"errors E105 E106", exitUsage, `takes one code, but got "E106" too [E602]`},
	} {
		code, stdout, stderr := execute(t, &program{}, strings.Fields(test.args)...)
		if code != test.code || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("%q: exit code %d, printed %s%s", test.args, code, stdout, stderr)
		}
	}
	for _, args := range append(codes(), "") { // each by itself, and the list
		_, stdout, _ := execute(t, &program{}, strings.Fields("errors "+args)...)
		for _, line := range strings.Split(stdout, "\n") {
			if len([]rune(line)) > usageColumns && !strings.HasPrefix(line, "fix   ") {
				t.Errorf("errors %s: %d columns: %s", args, len([]rune(line)), line)
			}
		}
	}
}

package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is where the module begins, seen from this package.
const root = "../.."

// source is one Go file.
type source struct {
	path string // from the root, such as schema/row.go
	dir  string // its package's directory, such as schema
	test bool
	text string
	set  *token.FileSet
	file *ast.File
}

// parse reads one file's text.
func parse(name, text string) (source, error) {
	s := source{
		path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), text: text,
		set: token.NewFileSet(),
	}
	var err error
	s.file, err = parser.ParseFile(s.set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return s, err
}

// load reads all Go files of the module.
func load(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && (entry.Name() == "testdata" || entry.Name()[0] == '.'):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(relative), string(text))
		all = append(all, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// at writes a position as an editor understands it.
func (s source) at(node ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.set.Position(node.Pos()).Line)
}

// TestTree holds every file against every rule.
func TestTree(t *testing.T) {
	sources := load(t)
	if len(sources) < 10 {
		t.Fatalf("only %d files found: the tests look in the wrong place", len(sources))
	}
	for _, s := range sources {
		for _, rule := range slices.Sorted(maps.Keys(rules)) {
			for _, problem := range rules[rule](s) {
				t.Errorf("%s: %s", rule, problem)
			}
		}
	}
}

// TestPackages checks what only all files of a package together show.
func TestPackages(t *testing.T) {
	docs, started := map[string]string{}, map[string]int{}
	for _, s := range load(t) {
		if s.test || ignored(s) {
			continue
		}
		docs[s.dir] += s.file.Doc.Text()
		started[s.dir] += goroutines(s)
	}
	for dir, doc := range docs {
		for _, word := range []string{"Guarantees", "Ownership"} {
			if !strings.Contains(doc, word) {
				t.Errorf("package documentation of %s: no paragraph on %s", dir, word)
			}
		}
		if _, known := imports[dir]; !known {
			t.Errorf("package %s: not in the import graph; add it with what it may import, and why", dir)
		}
		if want := goStatements[dir]; started[dir] != want.max {
			t.Errorf("package %s starts %d goroutines, limits_test.go says %d (%s)",
				dir, started[dir], want.max, want.reason)
		}
	}
}

// TestDependencies compares what the files import, what go.mod requires for them, and the table.
func TestDependencies(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	required := map[string]bool{} // module: marked as indirect
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && strings.Contains(fields[0], ".") {
			required[fields[0]] = strings.Contains(line, "// indirect")
		}
	}
	used := map[string]string{} // module: a file that imports it
	for _, s := range load(t) {
		for _, imported := range s.file.Imports {
			if name := owner(strings.Trim(imported.Path.Value, `"`), required); name != "" {
				used[name] = s.path
			}
		}
	}
	for name, file := range used {
		if dependencies[name] == "" {
			t.Errorf("%s imports %s: not in the table of dependencies", file, name)
		}
		if required[name] {
			t.Errorf("go.mod: %s is marked as indirect, but %s imports it; run go mod tidy", name, file)
		}
	}
	for name := range dependencies {
		if used[name] == "" {
			t.Errorf("the table of dependencies has %s, which nothing imports", name)
		}
	}
}

// owner returns the module that an import path belongs to, the longest that fits; empty for the standard
// library and us.
func owner(imported string, modules map[string]bool) (found string) {
	for name := range modules {
		if len(name) > len(found) && (imported == name || strings.HasPrefix(imported, name+"/")) {
			found = name
		}
	}
	return found
}

// TestDocuments checks the files that people read first.
func TestDocuments(t *testing.T) {
	most := map[string]limit{"Makefile": makefileLines, "README.md": readmeLines}
	names := []string{"Makefile", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE"}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if lines := strings.Count(string(text), "\n"); most[name].max > 0 && lines > most[name].max {
			t.Errorf("%s: %d lines, at most %d: %s", name, lines, most[name].max, most[name].reason)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if problem := plain(line); problem != "" {
				t.Errorf("%s:%d: %s", name, i+1, problem)
			}
		}
	}
}

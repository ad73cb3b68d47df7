//go:build ignore

// Census prints numbers about the Go files in each directory given: sizes, comments, goroutines and the like.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	for _, dir := range os.Args[1:] {
		if err := census(dir); err != nil {
			fmt.Fprintln(os.Stderr, "census:", err)
			os.Exit(1)
		}
	}
}

func census(dir string) error {
	n := map[string]int{}
	var files, funcs []int
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "vendor"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go"):
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines := strings.Count(string(src), "\n")
		if strings.HasSuffix(path, "_test.go") {
			n["test lines"] += lines
			return nil
		}
		files = append(files, lines)
		n["lines"] += lines
		countText(string(src), n)
		file, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ParseComments)
		if err != nil {
			return err
		}
		// The file stands alone in its file set, so that a position is an offset into src, plus one.
		countNodes(file, n, func(from, to token.Pos) {
			funcs = append(funcs, strings.Count(string(src[from-1:to-1]), "\n")+1)
		})
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s: files %d, p50/p90/max %s; funcs %d, p50/p90/max %s; comment %d%%; %v\n",
		dir, len(files), spread(files), len(funcs), spread(funcs),
		100*n["comment"]/max(1, n["comment"]+n["code"]), n)
	return nil
}

// countText counts what needs no syntax.
func countText(src string, n map[string]int) {
	n["notes"] += strings.Count(src, "TO"+"DO")
	n["nolint"] += strings.Count(src, "//nolint")
	for line := range strings.Lines(src) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "//"):
			n["comment"]++
		case line != "":
			n["code"]++
		}
	}
}

// countNodes counts declarations and statements, and tells function where each function begins and ends.
func countNodes(file *ast.File, n map[string]int, function func(from, to token.Pos)) {
	ast.Inspect(file, func(node ast.Node) bool {
		switch x := node.(type) {
		case *ast.FuncDecl:
			if x.Body != nil {
				function(x.Pos(), x.End())
			}
			if x.Name.IsExported() {
				n["exported"]++
				if x.Doc != nil {
					n["documented"]++
				}
			}
		case *ast.GoStmt:
			n["go"]++
		case *ast.ChanType:
			n["chan"]++
		case *ast.InterfaceType:
			n["interface"]++
		case *ast.SelectorExpr:
			if name := x.Sel.Name; name == "Mutex" || name == "RWMutex" || name == "Once" {
				n[name]++
			}
		}
		return true
	})
}

// spread writes median, 90th percentile and maximum.
func spread(a []int) string {
	if len(a) == 0 {
		return "-"
	}
	slices.Sort(a)
	at := func(q float64) int { return a[int(q*float64(len(a)-1))] }
	return fmt.Sprintf("%d/%d/%d", at(.5), at(.9), at(1))
}

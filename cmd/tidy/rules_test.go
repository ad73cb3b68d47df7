package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// rules are what each file is held against: each returns what it found, as "place: problem".
var rules = map[string]func(source) []string{
	"sizes":         sizes,
	"text":          texts,
	"imports":       importGraph,
	"calls":         calls,
	"types":         types,
	"exported":      exported,
	"signatures":    signatures,
	"logged errors": loggedErrors,
}

// ignored says that a file is no part of its package.
func ignored(s source) bool { return strings.HasPrefix(s.text, "//go:build ignore") }

func sizes(s source) (found []string) {
	if lines := strings.Count(s.text, "\n"); lines > fileLines.max {
		found = append(found, fmt.Sprintf("%s: %d lines, at most %d: %s",
			s.path, lines, fileLines.max, fileLines.reason))
	}
	for _, declaration := range s.file.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		// From the word func: the comment above does not count.
		lines := s.set.Position(f.End()).Line - s.set.Position(f.Type.Func).Line + 1
		if lines > functionLines.max {
			found = append(found, fmt.Sprintf("%s: function %s has %d lines, at most %d: %s",
				s.at(f), f.Name.Name, lines, functionLines.max, functionLines.reason))
		}
	}
	return found
}

// notes are words that say that something is not done; \b keeps this file out.
var notes = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

func texts(s source) (found []string) {
	for i, line := range strings.Split(s.text, "\n") {
		if width := len(line); width > lineColumns.max { // bytes are columns: it is ASCII
			found = append(found, fmt.Sprintf("%s:%d: %d columns, at most %d",
				s.path, i+1, width, lineColumns.max))
		}
		if problem := plain(line); problem != "" {
			found = append(found, fmt.Sprintf("%s:%d: %s", s.path, i+1, problem))
		}
	}
	return found
}

// plain says what is wrong with a line of text, if anything.
func plain(line string) string {
	if word := notes.FindString(line); word != "" {
		return word + ": do it, or open an issue"
	}
	for _, r := range line {
		if r > '~' || r < ' ' && r != '\t' {
			return fmt.Sprintf("character %U: ASCII only, outside of test data", r)
		}
	}
	return ""
}

func importGraph(s source) (found []string) {
	for _, spec := range s.file.Imports {
		imported := strings.Trim(spec.Path.Value, `"`)
		if s.test || !strings.Contains(strings.Split(imported, "/")[0], ".") {
			continue
		}
		if !allowed(imports[s.dir], imported) {
			found = append(found, fmt.Sprintf("%s: %s must not import %s", s.at(spec), s.dir, imported))
		}
		only := oneFile[imported]
		if only != "" && s.dir == path.Dir(only) && !strings.HasPrefix(s.path, only) {
			found = append(found, fmt.Sprintf("%s: only %s*.go imports %s", s.at(spec), only, imported))
		}
	}
	return found
}

// allowed looks for a path, or for a prefix of it that ends in a slash.
func allowed(list map[string]string, imported string) bool {
	for entry := range list {
		if imported == entry || strings.HasSuffix(entry, "/") && strings.HasPrefix(imported, entry) {
			return true
		}
	}
	return false
}

// forbidden are names of other packages, with what to do instead.
var forbidden = map[string]string{
	"time.Sleep":      "wait for what you wait for: a ticker, a timer beside ctx.Done, or testing/synctest",
	"sync.Once":       "make it in the constructor",
	"sync.OnceFunc":   "make it in the constructor",
	"sync.OnceValue":  "make it in the constructor",
	"sync.OnceValues": "make it in the constructor",
	"log.Fatal":       "return the error",
	"log.Fatalf":      "return the error",
	"log.Fatalln":     "return the error",
	"os.Exit":         "return the error: only func main ends the process",
	"slog.Default":    "the logger comes with the Options",
	"slog.SetDefault": "the logger comes with the Options",
}

func calls(s source) (found []string) {
	for _, declaration := range s.file.Decls {
		f, isFunc := declaration.(*ast.FuncDecl)
		if isFunc && f.Recv == nil && f.Name.Name == "init" {
			found = append(found, s.at(f)+": no init: what it does has no caller and no error")
		}
		inMain := isFunc && f.Recv == nil && s.file.Name.Name == "main" && f.Name.Name == "main"
		testMain := isFunc && s.test && f.Name.Name == "TestMain"
		ast.Inspect(declaration, func(node ast.Node) bool {
			name := qualified(node)
			if instead := forbidden[name]; instead != "" && !(name == "os.Exit" && (inMain || testMain)) {
				found = append(found, fmt.Sprintf("%s: no %s: %s", s.at(node), name, instead))
			}
			return true
		})
	}
	return found
}

// qualified returns package.Name of a selector, else nothing.
func qualified(node ast.Node) string {
	if selector, ok := node.(*ast.SelectorExpr); ok {
		if x, ok := selector.X.(*ast.Ident); ok {
			return x.Name + "." + selector.Sel.Name
		}
	}
	return ""
}

// types forbids maps of anything, outside of tests, and exported interfaces.
func types(s source) (found []string) {
	ast.Inspect(s.file, func(node ast.Node) bool {
		switch x := node.(type) {
		case *ast.MapType:
			key, ok := x.Key.(*ast.Ident)
			if ok && key.Name == "string" && isAny(x.Value) && !s.test {
				found = append(found, s.at(x)+": no map[string]any: name the fields")
			}
		case *ast.TypeSpec:
			if _, ok := x.Type.(*ast.InterfaceType); ok && x.Name.IsExported() && !s.test {
				found = append(found, s.at(x)+": interface "+x.Name.Name+
					" is exported: its consumer declares it, or it is a function field")
			}
		}
		return true
	})
	return found
}

func isAny(expression ast.Expr) bool {
	switch x := expression.(type) {
	case *ast.Ident:
		return x.Name == "any"
	case *ast.InterfaceType:
		return len(x.Methods.List) == 0
	}
	return false
}

// exported wants a comment on everything exported that begins with its name, but for groups of constants and
// variables, where the group's comment is enough.
func exported(s source) (found []string) {
	if s.test || s.file.Name.Name == "main" {
		return nil
	}
	for _, declaration := range s.file.Decls {
		switch x := declaration.(type) {
		case *ast.FuncDecl:
			method := x.Recv != nil
			if x.Name.IsExported() && (!method || ast.IsExported(receiver(x)) && !selfEvident[x.Name.Name]) {
				found = append(found, documented(s, x, x.Name.Name, x.Doc)...)
			}
		case *ast.GenDecl:
			for _, spec := range x.Specs {
				found = append(found, documentedSpec(s, x, spec)...)
			}
		}
	}
	return found
}

// selfEvident are the methods whose meaning the errors package gives.
var selfEvident = map[string]bool{"Error": true, "Unwrap": true, "Is": true, "As": true}

func documentedSpec(s source, group *ast.GenDecl, spec ast.Spec) (found []string) {
	switch x := spec.(type) {
	case *ast.TypeSpec:
		doc := x.Doc
		if doc == nil {
			doc = group.Doc
		}
		if x.Name.IsExported() {
			found = documented(s, x, x.Name.Name, doc)
		}
	case *ast.ValueSpec:
		for _, name := range x.Names {
			if name.IsExported() && x.Doc == nil && x.Comment == nil && group.Doc == nil {
				found = append(found, fmt.Sprintf("%s: %s has no comment", s.at(x), name.Name))
			}
		}
	}
	return found
}

func documented(s source, node ast.Node, name string, doc *ast.CommentGroup) []string {
	text := strings.TrimSpace(doc.Text())
	if strings.HasPrefix(text, name) && strings.HasSuffix(text, ".") {
		return nil
	}
	return []string{fmt.Sprintf("%s: %s: want a comment that begins with the name and ends with a full stop",
		s.at(node), name)}
}

// receiver returns the name of a method's type.
func receiver(f *ast.FuncDecl) string {
	expression := f.Recv.List[0].Type
	for {
		switch x := expression.(type) {
		case *ast.StarExpr:
			expression = x.X
		case *ast.IndexExpr:
			expression = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// signatures forbids any in what other packages call.
func signatures(s source) (found []string) {
	for _, declaration := range s.file.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok || s.test || !f.Name.IsExported() || f.Recv != nil && !ast.IsExported(receiver(f)) {
			continue
		}
		ast.Inspect(f.Type, func(node ast.Node) bool {
			if expression, ok := node.(ast.Expr); ok && isAny(expression) {
				found = append(found, s.at(node)+": "+f.Name.Name+": no any in an exported signature")
			}
			return true
		})
	}
	return found
}

// goroutines counts the goroutines that a file starts.
func goroutines(s source) (n int) {
	ast.Inspect(s.file, func(node ast.Node) bool {
		switch x := node.(type) {
		case *ast.GoStmt:
			n++
		case *ast.CallExpr:
			selector, ok := x.Fun.(*ast.SelectorExpr)
			if ok && selector.Sel.Name == "Go" && len(x.Args) == 1 {
				n++
			}
		}
		return true
	})
	return n
}

// loggedErrors finds, on the data path, an error that is logged and then forgotten: a log call with a
// continue after it, or a branch on an error that logs and does not leave the function with an error.
func loggedErrors(s source) (found []string) {
	if s.test || !slices.Contains(onDataPath, s.dir) {
		return nil
	}
	for _, declaration := range s.file.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok || f.Body == nil || loggedAndGoneOn[s.dir+"."+f.Name.Name] != "" {
			continue
		}
		ast.Inspect(f.Body, func(node ast.Node) bool {
			switch x := node.(type) {
			case *ast.BlockStmt:
				found = append(found, logThenContinue(s, x.List)...)
			case *ast.CaseClause:
				found = append(found, logThenContinue(s, x.Body)...)
			case *ast.CommClause:
				found = append(found, logThenContinue(s, x.Body)...)
			case *ast.IfStmt:
				if onError(x.Cond) && slices.ContainsFunc(x.Body.List, isLog) && !leaves(x.Body.List) {
					found = append(found, s.at(x)+": an error is logged and forgotten: return it")
				}
			}
			return true
		})
	}
	return found
}

func logThenContinue(s source, list []ast.Stmt) (found []string) {
	for i := 1; i < len(list); i++ {
		if branch, ok := list[i].(*ast.BranchStmt); ok && branch.Tok == token.CONTINUE && isLog(list[i-1]) {
			found = append(found, s.at(branch)+": a log call with a continue after it: return the error")
		}
	}
	return found
}

// isLog says whether a statement calls a logger: a method of slog's on something that is called a log.
func isLog(statement ast.Stmt) bool {
	expression, ok := statement.(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := expression.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log", "LogAttrs"},
		strings.TrimSuffix(selector.Sel.Name, "Context")) {
		return false
	}
	logger := ""
	switch x := selector.X.(type) {
	case *ast.Ident:
		logger = x.Name
	case *ast.SelectorExpr:
		logger = x.Sel.Name
	}
	return strings.Contains(strings.ToLower(logger), "log")
}

// onError says whether a condition asks for err != nil, alone or with more.
func onError(condition ast.Expr) (found bool) {
	ast.Inspect(condition, func(node ast.Node) bool {
		if b, ok := node.(*ast.BinaryExpr); ok && b.Op == token.NEQ {
			x, isName := b.X.(*ast.Ident)
			y, isNil := b.Y.(*ast.Ident)
			if isName && isNil && strings.HasPrefix(strings.ToLower(x.Name), "err") && y.Name == "nil" {
				found = true
			}
		}
		return true
	})
	return found
}

// leaves says whether a list of statements ends with a panic, or with a return of something that is not nil.
func leaves(list []ast.Stmt) bool {
	switch last := list[len(list)-1].(type) {
	case *ast.ReturnStmt:
		return slices.ContainsFunc(last.Results, func(result ast.Expr) bool {
			name, ok := result.(*ast.Ident)
			return !ok || name.Name != "nil" && name.Name != "true" && name.Name != "false"
		})
	case *ast.ExprStmt:
		call, ok := last.X.(*ast.CallExpr)
		if !ok {
			return false
		}
		name, ok := call.Fun.(*ast.Ident)
		return ok && name.Name == "panic"
	}
	return false
}

package main

import (
	_ "embed" // the comments of config.go are the help
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
	"time"
)

//go:embed config.go
var configSource string

// key is one configuration key: a leaf of Config.
type key struct {
	path     string // as in the file: source.url
	index    []int  // of the field, from Config
	typ      reflect.Type
	enum     []string
	required bool
	help     string
}

// env is the environment variable that sets the key.
func (k key) env() string {
	return "TRIBUTARY_" + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
}

// flag is the name of the flag that sets the key.
func (k key) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(k.path) }

// configKeys lists every key in the order of the file.
func configKeys() []key {
	help := fieldHelp()
	var keys []key
	var walk func(t reflect.Type, path string, index []int)
	walk = func(t reflect.Type, path string, index []int) {
		for i := range t.NumField() {
			field := t.Field(i)
			name := field.Tag.Get("yaml")
			if name == "" {
				continue
			}
			at := append(append([]int(nil), index...), i)
			if section(field.Type) {
				walk(field.Type, path+name+".", at)
				continue
			}
			keys = append(keys, key{
				path: path + name, index: at, typ: field.Type, enum: enumOf(field),
				required: field.Tag.Get("required") != "", help: help[t.Name()+"."+field.Name],
			})
		}
	}
	walk(reflect.TypeFor[Config](), "", nil)
	return keys
}

// section reports whether a field's type is a block of further keys.
func section(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[Pattern]()
}

// enumOf lists the words that a field may hold, nil when it is free.
func enumOf(field reflect.StructField) []string {
	tag, found := field.Tag.Lookup("in")
	if !found {
		return nil
	}
	return splitList(tag, false)
}

// fieldHelp reads the comments above the fields of every struct in config.go, by Type.Field.
func fieldHelp() map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", configSource, parser.ParseComments)
	if err != nil {
		panic("tributary: config.go is embedded as it was compiled: " + err.Error())
	}
	help := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, isType := n.(*ast.TypeSpec)
		if !isType {
			return true
		}
		if fields, isStruct := spec.Type.(*ast.StructType); isStruct {
			for _, f := range fields.Fields.List {
				for _, name := range f.Names {
					help[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
				}
			}
		}
		return false
	})
	return help
}

// Bytes is a size, written as a number with an optional unit: B, KiB, MiB, GiB, kB, MB or GB.
type Bytes int64

// sizeUnits is in the order in which a suffix is looked for: B is the end of all of them.
var sizeUnits = []struct {
	name string
	size int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1},
}

// String writes the size in the largest binary unit that divides it.
func (b Bytes) String() string {
	for _, i := range []int{2, 1, 0} {
		if u := sizeUnits[i]; b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

func parseBytes(text string) (Bytes, error) {
	number, size := text, int64(1)
	for _, u := range sizeUnits {
		if rest, found := strings.CutSuffix(text, u.name); found {
			number, size = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/size {
		return 0, fmt.Errorf("%q is not a size: write a number and a unit, such as 16MiB", text)
	}
	return Bytes(n * size), nil
}

// setScalar parses a text into a field that holds one value.
func setScalar(v reflect.Value, text string, enum []string) error {
	switch v.Interface().(type) {
	case Pattern:
		p, err := parsePattern(text)
		if err == nil {
			v.Set(reflect.ValueOf(p))
		}
		return err
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return fmt.Errorf("%q is not a time: write a number and a unit, such as 500ms, 5s or 1h", text)
		}
		v.SetInt(int64(d))
		return nil
	case Bytes:
		b, err := parseBytes(text)
		if err == nil {
			v.SetInt(int64(b))
		}
		return err
	}
	switch v.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil || (text != "true" && text != "false") {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("%s is out of range", text)
		}
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	default:
		return setString(v, text, enum)
	}
	return nil
}

func setString(v reflect.Value, text string, enum []string) error {
	for _, word := range enum {
		if word == text {
			v.SetString(text)
			return nil
		}
	}
	if enum != nil {
		return fmt.Errorf("%q is not one of %s%s", text, strings.Join(enum, ", "), didYouMean(text, enum))
	}
	v.SetString(text)
	return nil
}

// splitList splits at commas; a backslash before one keeps it. With trim, blanks around parts go.
func splitList(text string, trim bool) []string {
	var parts []string
	var part strings.Builder
	end := func() {
		s := part.String()
		if trim {
			s = strings.TrimSpace(s)
		}
		if s != "" || !trim {
			parts = append(parts, s)
		}
		part.Reset()
	}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == ',':
			i++
			part.WriteByte(',')
		case text[i] == ',':
			end()
		default:
			part.WriteByte(text[i])
		}
	}
	end()
	return parts
}

// didYouMean offers the nearest of the known words, or nothing when none is near.
func didYouMean(word string, known []string) string {
	best, least := "", 1+len(word)/3
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d <= least && k != "" {
			best, least = k, d-1
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %s?", best)
}

// distance counts the edits (insert, delete, replace, swap of neighbours) that turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

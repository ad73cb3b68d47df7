// Package sql holds the statements that prepare a source database for tributary and take everything away
// again. Each file is a psql script with variables; Script gives the same text with the variables filled in,
// so that what a person runs from the file and what `tributary init --print-sql` prints cannot differ.
//
// # Guarantees
//
//  1. A name is quoted as an identifier or a literal wherever it stands, so that none can end a statement.
//  2. No script holds a password, and none is ever filled in.
//  3. A variable that has no value is an error, and so is one that no script knows.
//
// # Ownership
//
// The files are part of the program; strings that Script returns belong to the caller.
package sql

import (
	"embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed *.sql
var files embed.FS

// Parts are the scripts in the order in which they are run, as Script names them.
func Parts() []string {
	return []string{"role", "role-rds", "role-rds-iam", "grants", "publication", "verify", "teardown"}
}

// Table is a table by its unquoted names.
type Table struct {
	Schema, Name string
}

// Values fills the variables of the scripts. All names are unquoted.
type Values struct {
	Role        string // whom tributary connects as
	Database    string // the source database
	Publication string
	Slot        string
	Tables      []Table // at least one
	ViaRoot     bool    // changes of partitions are told under their root
}

// variable is psql's :name, :'name' and :"name". Two colons are a cast.
var variable = regexp.MustCompile(`(^|[^:]):(['"]?)([a-z_]+)(['"]?)`)

// Script returns a part with its variables filled in. The comment's usage of psql is left out.
func Script(part string, v Values) (string, error) {
	text, err := files.ReadFile(part + ".sql")
	if err != nil {
		return "", fmt.Errorf("script %q: want one of %s", part, strings.Join(Parts(), ", "))
	}
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "--   "): // how psql is called
		case strings.HasPrefix(line, "--"):
			b.WriteString(line)
		default:
			filled, err := v.fill(line)
			if err != nil {
				return "", fmt.Errorf("script %s: %w", part, err)
			}
			b.WriteString(filled)
		}
	}
	return b.String(), nil
}

// fill replaces the variables of one line.
func (v Values) fill(line string) (string, error) {
	var failed error
	filled := variable.ReplaceAllStringFunc(line, func(found string) string {
		m := variable.FindStringSubmatch(found)
		value, err := v.value(m[2], m[3])
		if err != nil && failed == nil {
			failed = err
		}
		return m[1] + value
	})
	return filled, failed
}

// value is a variable's text. The quotes around its name say what it is, as in psql; without quotes it is a
// list or a word that is made here.
func (v Values) value(quotes, name string) (string, error) {
	words := map[string]string{
		"role": v.Role, "database": v.Database, "publication": v.Publication, "slot": v.Slot,
	}
	word, isWord := words[name]
	switch {
	case isWord && word == "":
		return "", fmt.Errorf("%s has no value", name)
	case isWord && quotes == `"`:
		return identifier(word), nil
	case isWord && quotes == "'":
		return literal(word), nil
	case name == "via_root" && quotes == "":
		return fmt.Sprint(v.ViaRoot), nil
	case (name == "tables" || name == "schemas") && quotes == "" && len(v.Tables) == 0:
		return "", fmt.Errorf("no table is named")
	case name == "tables" && quotes == "":
		return list(v.Tables, func(t Table) string { return identifier(t.Schema) + "." + identifier(t.Name) }), nil
	case name == "schemas" && quotes == "":
		return list(v.Tables, func(t Table) string { return identifier(t.Schema) }), nil
	}
	return "", fmt.Errorf("variable %s%s%s is not known", quotes, name, quotes)
}

// list joins what is made of each table, each text once.
func list(tables []Table, text func(Table) string) string {
	var all []string
	seen := map[string]bool{}
	for _, t := range tables {
		if one := text(t); !seen[one] {
			seen[one] = true
			all = append(all, one)
		}
	}
	return strings.Join(all, ", ")
}

// identifier quotes a name for SQL, as psql does.
func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes a text for SQL with standard_conforming_strings, which is the default since 9.1.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

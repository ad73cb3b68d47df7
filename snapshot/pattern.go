package snapshot

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// pattern is a shell-style glob on schema.table.
type pattern struct {
	text          string
	schema, table *regexp.Regexp
	// exact says that no part has a wildcard: the pattern names one table.
	exact bool
}

// match says whether both parts match whole names.
func (p *pattern) match(schema, table string) bool {
	return p.schema.MatchString(schema) && p.table.MatchString(table)
}

// parsePattern reads a glob: two parts with a dot between them, each plain or in double quotes.
func parsePattern(text string) (*pattern, error) {
	p := &pattern{text: text, exact: true}
	schema, rest, err := p.part(text)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", text, err)
	}
	if !strings.HasPrefix(rest, ".") {
		return nil, fmt.Errorf("pattern %q: want schema.table", text)
	}
	table, rest, err := p.part(rest[1:])
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", text, err)
	}
	if rest != "" {
		return nil, fmt.Errorf("pattern %q: want schema.table, with a name that holds a dot in double quotes", text)
	}
	p.schema, p.table = schema, table
	return p, nil
}

// part reads one name up to a dot or the end, and returns what follows.
func (p *pattern) part(text string) (*regexp.Regexp, string, error) {
	var expr strings.Builder
	var rest string
	var err error
	if strings.HasPrefix(text, `"`) {
		rest, err = quotedPart(&expr, text[1:])
	} else {
		rest, err = p.plainPart(&expr, text)
	}
	if err != nil {
		return nil, "", err
	}
	if expr.Len() == 0 {
		return nil, "", fmt.Errorf("want schema.table, not an empty name")
	}
	// s: a name may hold a line break.
	compiled, err := regexp.Compile("(?s)^(?:" + expr.String() + ")$")
	if err != nil {
		return nil, "", fmt.Errorf("the brackets hold no set of characters")
	}
	return compiled, rest, nil
}

// quotedPart reads a name in double quotes, behind the first; a quote in it is doubled.
func quotedPart(expr *strings.Builder, text string) (rest string, err error) {
	for {
		name, after, found := strings.Cut(text, `"`)
		if !found {
			return "", fmt.Errorf("a double quote is not closed")
		}
		expr.WriteString(regexp.QuoteMeta(name))
		if !strings.HasPrefix(after, `"`) {
			return after, nil
		}
		expr.WriteString(`"`)
		text = after[1:]
	}
}

// plainPart reads a name with wildcards.
func (p *pattern) plainPart(expr *strings.Builder, text string) (rest string, err error) {
	for text != "" && text[0] != '.' {
		char, size := utf8.DecodeRuneInString(text)
		switch {
		case char == '*':
			p.exact = false
			expr.WriteString(".*")
		case char == '?':
			p.exact = false
			expr.WriteString(".")
		case char == '[':
			p.exact = false
			// A bracket right behind the opening one stands for itself.
			end := strings.IndexByte(text[min(2, len(text)):], ']')
			if end < 0 {
				return "", fmt.Errorf("a bracket is not closed")
			}
			size = end + 3
			expr.WriteString(bracket(text[1 : size-1]))
		case char == '\\' && len(text) > 1:
			_, next := utf8.DecodeRuneInString(text[1:])
			size += next
			expr.WriteString(regexp.QuoteMeta(text[1:size]))
		default:
			expr.WriteString(regexp.QuoteMeta(text[:size]))
		}
		text = text[size:]
	}
	return text, nil
}

// bracket writes a set of characters for regexp; [!a] and [^a] are its complement.
func bracket(set string) string {
	negated := ""
	if set[0] == '!' || set[0] == '^' {
		negated, set = "^", set[1:]
	}
	set = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(set)
	return "[" + negated + set + "]"
}

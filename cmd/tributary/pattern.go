package main

import (
	"fmt"
	"regexp"
	"strings"
)

// Pattern is a name to match: a shell-style glob (* any run, ? one character, [a-z] one of), or a regular
// expression between slashes, which must match the whole name. The zero Pattern matches nothing.
type Pattern struct {
	text string
	re   *regexp.Regexp
}

// parsePattern reads a pattern in either form.
func parsePattern(text string) (Pattern, error) {
	if text == "" {
		return Pattern{}, fmt.Errorf("empty pattern")
	}
	expression := globExpression(text)
	if isExpression(text) {
		expression = `\A(?:` + text[1:len(text)-1] + `)\z`
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		return Pattern{}, fmt.Errorf("pattern %s: %w", text, err)
	}
	return Pattern{text, re}, nil
}

// literalPattern returns the glob that matches a name alone.
func literalPattern(name string) Pattern {
	quoted := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
	if strings.HasPrefix(quoted, "/") {
		quoted = `\` + quoted
	}
	p, err := parsePattern(quoted)
	if err != nil {
		panic("tributary: a glob without a class always compiles: " + err.Error())
	}
	return p
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Match reports whether the pattern matches the whole of a name.
func (p Pattern) Match(name string) bool { return p.re != nil && p.re.MatchString(name) }

// Regexp returns the compiled pattern, anchored at both ends.
func (p Pattern) Regexp() *regexp.Regexp { return p.re }

// Exact reports whether the pattern can match one name only, which is then its text.
func (p Pattern) Exact() bool { return !strings.ContainsAny(p.text, `*?[/\`) }

// IsGlob reports whether the pattern is no regular expression.
func (p Pattern) IsGlob() bool { return p.text != "" && !isExpression(p.text) }

// isExpression reports whether a pattern's text is a regular expression between slashes.
func isExpression(text string) bool {
	return len(text) >= 2 && text[0] == '/' && text[len(text)-1] == '/'
}

// MarshalText writes the pattern as it was written.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.text), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Pattern) UnmarshalText(text []byte) error {
	var err error
	*p, err = parsePattern(string(text))
	return err
}

func matchAny(patterns []Pattern, name string) bool {
	for _, p := range patterns {
		if p.Match(name) {
			return true
		}
	}
	return false
}

// globExpression translates a glob into an anchored regular expression. A backslash makes the character after
// it stand for itself, and so do double quotes around a whole part of a name: "A.B".* is every table of
// schema A.B. A [ without its ] stands for itself too.
func globExpression(glob string) string {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; c {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteByte('.')
		case '[':
			end := strings.IndexByte(glob[i+1:], ']')
			if end < 1 {
				b.WriteString(`\[`)
				continue
			}
			class := glob[i+1 : i+1+end]
			i += 1 + end
			if class[0] == '!' {
				class = "^" + class[1:]
			}
			b.WriteString("[" + strings.ReplaceAll(class, `\`, `\\`) + "]")
		case '"':
			name, length := unquoted(glob, i)
			b.WriteString(regexp.QuoteMeta(name))
			i += length - 1
		case '\\':
			if i+1 < len(glob) {
				i++
			}
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		default:
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	b.WriteString(`\z`)
	return b.String()
}

// unquoted reads the part of a name in double quotes that begins at a place, a quote in it doubled, and
// returns it with the length that it has in the glob. A quote that begins no part, or is not closed, stands
// for itself.
func unquoted(glob string, at int) (name string, length int) {
	if at > 0 && glob[at-1] != '.' {
		return `"`, 1
	}
	for i := at + 1; i < len(glob); i++ {
		switch {
		case glob[i] != '"':
			name += glob[i : i+1]
		case i+1 < len(glob) && glob[i+1] == '"':
			name += `"`
			i++
		default:
			return name, i + 1 - at
		}
	}
	return `"`, 1
}

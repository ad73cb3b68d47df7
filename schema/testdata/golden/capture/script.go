package main

import (
	"fmt"
	"strings"
)

// A step of a script is one SQL statement, one COPY with its rows, or a directive.
type step struct {
	sql       string
	copyRows  string // rows after COPY ... FROM stdin
	directive string // a line "-- @word argument"
	line      int
}

// splitScript cuts a script into steps as psql would: at semicolons outside
// quotes, dollar quotes, comments and BEGIN ATOMIC bodies. Lines that start
// with a backslash are psql's own and are left out.
func splitScript(script string) ([]step, error) {
	var steps []step
	line, fresh := 1, true // fresh: nothing but blanks before on this line
	for len(script) > 0 {
		switch {
		case script[0] == '\n':
			line++
			fresh = true
			script = script[1:]
			continue
		case script[0] == ' ' || script[0] == '\t' || script[0] == '\r' || script[0] == ';':
			script = script[1:]
			continue
		case script[0] == '\\' || strings.HasPrefix(script, "--"):
			text, rest, _ := strings.Cut(script, "\n")
			if word, ok := strings.CutPrefix(text, "-- @"); ok && fresh {
				steps = append(steps, step{directive: strings.TrimSpace(word), line: line})
			}
			script = rest
			line++
			fresh = true
			continue
		}
		fresh = false
		end, err := statementEnd(script)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		s := step{sql: script[:end], line: line}
		line += strings.Count(s.sql, "\n")
		script = strings.TrimPrefix(script[end:], ";")
		if isCopy(s.sql) {
			_, script, _ = strings.Cut(script, "\n")
			rows, rest, ok := cutRows(script)
			if !ok {
				return nil, fmt.Errorf("line %d: COPY without a closing \\.", s.line)
			}
			line += 1 + strings.Count(rows, "\n") + 1
			s.copyRows, script = rows, rest
			fresh = true
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func isCopy(sql string) bool {
	words := strings.ToLower(strings.Join(strings.Fields(sql), " "))
	return strings.HasPrefix(words, "copy ") && strings.Contains(words, " from stdin")
}

func cutRows(script string) (rows, rest string, ok bool) {
	if rest, ok := strings.CutPrefix(script, "\\.\n"); ok {
		return "", rest, true
	}
	rows, rest, ok = strings.Cut(script, "\n\\.\n")
	return rows + "\n", rest, ok
}

func statementEnd(s string) (int, error) {
	for i := 0; i < len(s); {
		switch {
		case s[i] == ';':
			return i, nil
		case s[i] == '\'':
			escapes := i > 0 && (s[i-1] == 'E' || s[i-1] == 'e') && (i < 2 || !isWord(s[i-2]))
			n := quoted(s[i:], '\'', escapes)
			if n < 0 {
				return 0, fmt.Errorf("unclosed quote")
			}
			i += n
		case s[i] == '"':
			n := quoted(s[i:], '"', false)
			if n < 0 {
				return 0, fmt.Errorf("unclosed quoted name")
			}
			i += n
		case strings.HasPrefix(s[i:], "--"):
			n := strings.IndexByte(s[i:], '\n')
			if n < 0 {
				return len(s), nil
			}
			i += n
		case strings.HasPrefix(s[i:], "/*"):
			n := strings.Index(s[i:], "*/")
			if n < 0 {
				return 0, fmt.Errorf("unclosed comment")
			}
			i += n + 2
		case s[i] == '$' && (i == 0 || !isWord(s[i-1])):
			n := dollarQuoted(s[i:])
			if n < 0 {
				return 0, fmt.Errorf("unclosed dollar quote")
			}
			i += n
		case isWord(s[i]) && (i == 0 || !isWord(s[i-1])) && isAtomic(s[i:]):
			n := strings.Index(strings.ToLower(s[i:]), "\nend")
			if n < 0 {
				return 0, fmt.Errorf("BEGIN ATOMIC without END")
			}
			i += n + 4
		default:
			i++
		}
	}
	return len(s), nil
}

func isAtomic(s string) bool {
	f := strings.Fields(s[:min(len(s), 40)])
	return len(f) > 1 && strings.EqualFold(f[0], "begin") && strings.EqualFold(f[1], "atomic")
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// quoted returns the length of the quoted text that s starts with, or -1.
func quoted(s string, quote byte, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return -1
}

// dollarQuoted returns the length of the dollar-quoted text, 1 if it is none, or -1.
func dollarQuoted(s string) int {
	end := strings.IndexByte(s[1:], '$')
	if end < 0 {
		return 1
	}
	tag := s[:end+2]
	for _, c := range []byte(tag[1 : len(tag)-1]) {
		if !isWord(c) {
			return 1
		}
	}
	n := strings.Index(s[len(tag):], tag)
	if n < 0 {
		return -1
	}
	return len(tag) + n + len(tag)
}

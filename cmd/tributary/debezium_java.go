package main

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"
)

// javaPatterns reads one of Debezium's lists: Java regular expressions that each match a whole name, whatever
// its case, between commas; a comma inside of one is written \,.
func javaPatterns(list string) ([]Pattern, error) {
	var patterns []Pattern
	for _, expression := range splitList(list, true) {
		p, err := javaPattern(expression, "(?i:", ")")
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// javaPattern makes a pattern of a Java regular expression, put between before and after. What Go's RE2 reads
// otherwise than Java, or not at all, is refused.
func javaPattern(expression, before, after string) (Pattern, error) {
	if err := javaOnly(expression); err != nil {
		return Pattern{}, err
	}
	p, err := parsePattern("/" + before + expression + after + "/")
	if err != nil {
		return Pattern{}, fmt.Errorf("regular expression %s: %w", expression, notRE2(expression, err))
	}
	return p, nil
}

// javaOnly finds what RE2 accepts but understands otherwise: classes inside of classes, and back references
// of
// two digits, which RE2 takes for octal characters.
func javaOnly(expression string) error {
	refuse := func(what string) error {
		return fmt.Errorf("regular expression %s: %s works in Java only: list the names, or write the "+
			"expression without it",
			expression, what)
	}
	inClass := false
	for i := 0; i < len(expression); i++ {
		rest := expression[i:]
		switch c := expression[i]; {
		case strings.HasPrefix(rest, `\Q`) && !inClass:
			end := strings.Index(rest, `\E`)
			if end < 0 {
				return nil
			}
			i += end + 1
		case c == '\\' && i+1 < len(expression):
			if next := expression[i+1]; next >= '1' && next <= '9' {
				return refuse("a back reference")
			}
			i++
		case c == '[' && inClass && !strings.HasPrefix(rest, "[:"):
			return refuse("a class inside of a class")
		case c == '[':
			inClass = true
		case c == ']':
			inClass = false
		case inClass && strings.HasPrefix(rest, "&&"):
			return refuse("an intersection of classes (&&)")
		case !inClass && strings.HasPrefix(rest, "(?"):
			flags, _, _ := strings.Cut(rest[2:], ")")
			flags, _, _ = strings.Cut(flags, ":")
			if strings.Trim(flags, "imsxudU-") == "" && strings.ContainsAny(flags, "U") {
				return refuse("the flag U")
			}
		}
	}
	return nil
}

// notRE2 explains why Go refuses an expression that Java takes.
func notRE2(expression string, err error) error {
	for _, known := range []struct{ part, what string }{
		{"(?=", "lookahead"},
		{"(?!", "lookahead"},
		{"(?<=", "lookbehind"},
		{"(?<!", "lookbehind"},
		{"(?>", "an atomic group"},
		{"*+", "a possessive quantifier"},
		{"++", "a possessive quantifier"},
		{"?+", "a possessive quantifier"},
		{"}+", "a possessive quantifier"},
	} {
		if strings.Contains(expression, known.part) {
			return fmt.Errorf("%s (%s) works in Java only: list the names, or use an exclude list beside an "+
				"include list",
				known.what, known.part)
		}
	}
	var parse *syntax.Error
	if errors.As(err, &parse) {
		return fmt.Errorf("%s: %s", parse.Code, parse.Expr)
	}
	return err
}

// javaReplacement makes a replacement of Java's form ($1, ${name}, a backslash before what stands for
// itself) one
// of Go's, where $1x would be the group "1x".
func javaReplacement(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			b.WriteString(strings.ReplaceAll(text[i:i+1], "$", "$$"))
		case text[i] == '$' && i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9':
			b.WriteString("${" + text[i+1:i+2] + "}")
			i++
		default:
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

package main

import (
	"fmt"
	"strings"
)

// interpolate fills in ${NAME} and ${NAME:-default}; $$ is a dollar sign. A dollar sign before anything else
// stands for itself. A variable that is not set and has no default is an error.
func interpolate(text string, environ map[string]string) (string, error) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case strings.HasPrefix(rest, "$$"):
			b.WriteByte('$')
			i++
		case strings.HasPrefix(rest, "${"):
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return "", fmt.Errorf("${ without its }; a dollar sign itself is written $$")
			}
			name, fallback, hasFallback := strings.Cut(rest[2:end], ":-")
			value, set := environ[name]
			switch {
			case set && (value != "" || !hasFallback):
				b.WriteString(value)
			case hasFallback:
				b.WriteString(fallback)
			default:
				return "", fmt.Errorf("environment variable %s is not set; ${%s:-default} gives a default", name, name)
			}
			i += end
		default:
			b.WriteByte(text[i])
		}
	}
	return b.String(), nil
}

package snapshot

import (
	"strings"
	"testing"
)

func TestPattern(t *testing.T) {
	for _, test := range []struct {
		pattern, schema, table string
		want                   bool
	}{
		{"public.t", "public", "t", true},
		{"public.t", "public", "T", false},
		{"public.t", "public", "tt", false},
		{"public.*", "public", "anything at all", true},
		{"public.*", "publics", "t", false},
		{"*.*", "a", "b", true},
		{"*.t?", "a", "t1", true},
		{"*.t?", "a", "t", false},
		{"a.[xy]z", "a", "yz", true},
		{"a.[xy]z", "a", "zz", false},
		{"a.[!xy]z", "a", "zz", true},
		{"a.[^xy]z", "a", "xz", false},
		{"a.[a-c]1", "a", "b1", true},
		{"a.[]x]1", "a", "]1", true},
		{`a.\*`, "a", "*", true},
		{`a.\*`, "a", "b", false},
		{`"a.b".c`, "a.b", "c", true},
		{`"a.b".*`, "a.b", "c", true},
		{`a."*"`, "a", "b", false},
		{`a."*"`, "a", "*", true},
		{`a."We.ird ""Tbl"" ` + "\u00e9" + `"`, "a", `We.ird "Tbl" ` + "\u00e9", true},
		{"a.\u00e9?", "a", "\u00e9\u00e8", true},
		{"a.(b|c)+", "a", "(b|c)+", true},
		{"a.*", "a", "line\nbreak", true},
	} {
		p, err := parsePattern(test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		if got := p.match(test.schema, test.table); got != test.want {
			t.Errorf("%s matches %q.%q: got %v, want %v", test.pattern, test.schema, test.table, got, test.want)
		}
	}
}

func TestPatternExact(t *testing.T) {
	for text, want := range map[string]bool{
		"a.b": true, `"a*".b`: true, `a.\*`: true, "a.b*": false,
		"?.b":   false,
		"a.[b]": false,
	} {
		p, err := parsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		if p.exact != want {
			t.Errorf("%s: exact %v, want %v", text, p.exact, want)
		}
	}
}

func TestPatternBad(t *testing.T) {
	for text, want := range map[string]string{
		"":        "empty name",
		"t":       "want schema.table",
		"a.":      "empty name",
		".b":      "empty name",
		"a.b.c":   "double quotes",
		`"a.b`:    "not closed",
		"a.[b":    "not closed",
		"a.[z-a]": "no set of characters",
		`"a"b.c`:  "want schema.table",
		`a."b"c`:  "double quotes",
	} {
		_, err := parsePattern(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want one with %q", text, err, want)
		}
	}
}

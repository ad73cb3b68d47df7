package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// summary is the demo's last line, with any number of records.
var summary = regexp.MustCompile(`(?m)^demo: 9 statements, [0-9]+ records, 0 differing$`)

// TestDemo runs the demo as "make demo" does, against the program as it is built.
func TestDemo(t *testing.T) {
	local.Postgres(t) // the first one fetches the server's program, which takes its time
	binary := filepath.Join(t.TempDir(), "tributary")
	if out, err := exec.Command("go", "build", "-o", binary, "../tributary").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var b strings.Builder
	d := &demo{binary: binary, out: &printer{w: &b}}
	if err := d.run(ctx); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if !summary.MatchString(b.String()) {
		t.Errorf("the demo ends otherwise:\n%s", b.String())
	}
	for n, line := range strings.Split(b.String(), "\n") {
		if len(line) > columns {
			t.Errorf("line %d has %d columns: %s", n+1, len(line), line)
		}
	}
	shownInReadme(t, b.String())
}

// measured are the parts of the output that are others at each run: places in the log, times, and how far the
// pipeline was when it was killed.
var measured = regexp.MustCompile(`0/[0-9A-F]+|[0-9.]+ ?m?s\b|killed; [0-9]+|[0-9]+ records`)

// shownInReadme holds README's part of the output against a run: what stands there comes, in that order, but
// for what is measured. Three dots stand for lines that are left out.
func shownInReadme(t *testing.T, output string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(text), "```\n2  nine statements")
	shown, _, found := strings.Cut("2  nine statements"+shown, "\n```")
	if !found {
		t.Fatal("README shows nothing of the demo")
	}
	rest := measured.ReplaceAllString(output, "N")
	for _, part := range strings.Split(measured.ReplaceAllString(shown, "N"), "\n...\n") {
		_, after, came := strings.Cut(rest, part+"\n")
		if !came {
			t.Errorf("README shows what the demo does not print:\n%s\nin\n%s", part, output)
		}
		rest = after
	}
}

package main

import (
	"context"
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
}

package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestCompletion: the tab key completes commands, flags, words, and the names that the source has now.
func TestCompletion(t *testing.T) {
	b := newBench(t, local.Postgres(t), "unsaid:9092", "http://unsaid")
	b.exec("CREATE TABLE public.other (id int PRIMARY KEY)")
	b.exec("SELECT pg_create_logical_replication_slot('" + b.prefix + "', 'pgoutput')")
	b.change("['public.*']", "")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"sta"}, "status"},
		{[]string{"schema", "d"}, "diff"},
		{[]string{"run", "--delivery", ""}, "at-least-once"},
		{[]string{"tail", "--op", ""}, "tombstone"},
		{[]string{"check", "--only", ""}, "registry"},
		{[]string{"schema", "show", "--only", ""}, "value"},
		{[]string{"completion", ""}, "fish"},
		{[]string{"errors", "E12"}, "E122"},
		{[]string{"schema", "show", "-c", b.file, ""}, "public.other"},
		{[]string{"schema", "diff", "-c", b.file, "public.o"}, "public.orders"},
		{[]string{"tail", "-c", b.file, "--table", ""}, "public.orders"},
		{[]string{"slots", "drop", "-c", b.file, ""}, b.prefix},
		{[]string{"slots", "show", "-c", b.file, ""}, b.prefix},
	} {
		code, out, _ := execute(t, &program{}, append([]string{"__complete"}, test.args...)...)
		if code != exitOK || !strings.Contains("\n"+out, "\n"+test.want) {
			t.Errorf("%v: exit code %d, no %q in\n%s", test.args, code, test.want, out)
		}
	}
}

// TestCompletionIsSilent: where no names can be had there are none, soon, and nothing is said.
func TestCompletionIsSilent(t *testing.T) {
	slots := []string{"slots", "show", "--source-tables", "a.b", "--topic-prefix", "x"}
	for _, args := range [][]string{
		{"schema", "show", "-c", "no-such-file", ""},
		append(slots, "--source-url", "postgres://u@192.0.2.1/x", ""), // answers never
		append(slots, "--source-url", "postgres://u@127.0.0.1:1/x", ""),
		{"tail", "--table", ""},
	} {
		began := time.Now()
		code, out, _ := execute(t, &program{}, append([]string{"__complete"}, args...)...)
		if code != exitOK || strings.TrimSpace(out) != ":4" {
			t.Errorf("%v: exit code %d: %s", args, code, out)
		}
		if took := time.Since(began); took > 20*completionPatience {
			t.Errorf("%v took %s", args, took)
		}
	}
}

// TestCompletionScripts: every shell's script is there, and the shells that are installed can read it.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, text, errs := execute(t, &program{}, "completion", shell)
		if code != exitOK || !strings.Contains(text, "__complete") {
			t.Errorf("%s: exit code %d: %s", shell, code, errs)
		}
		path, err := exec.LookPath(shell)
		if err != nil || shell == "powershell" {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		read := exec.CommandContext(ctx, path, "-n", "/dev/stdin") // -n: reads and does not run
		read.Stdin = strings.NewReader(text)
		if out, err := read.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
		cancel()
	}
	if code, _, errs := execute(t, &program{}, "completion", "bsh"); code != exitUsage ||
		!strings.Contains(errs, "did you mean bash?") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

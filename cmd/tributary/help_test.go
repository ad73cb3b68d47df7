package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelp holds each command's help to its form - two examples at least, which the program has the commands
// and flags for, 80 columns - and all of it to testdata/help.txt.
func TestHelp(t *testing.T) {
	var all strings.Builder
	var walk func(path []string, cmd *cobra.Command)
	walk = func(path []string, cmd *cobra.Command) {
		code, text, _ := execute(t, &program{}, append(append([]string(nil), path...), "--help")...)
		if code != exitOK || strings.Count(cmd.Example, "tributary ") < 2 {
			t.Errorf("%v: exit code %d, help\n%s", path, code, text)
		}
		fmt.Fprintf(&all, "$ %s --help\n%s\n", strings.Join(append([]string{"tributary"}, path...), " "), text)
		for _, words := range examples(cmd.Example) {
			if problem := wrongCommand(t, words); problem != "" {
				t.Errorf("%v: the example %v: %s", path, words, problem)
			}
		}
		for _, line := range strings.Split(text, "\n") {
			if len(line) > usageColumns {
				t.Errorf("%v: %d columns: %s", path, len(line), line)
			}
		}
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				walk(append(append([]string(nil), path...), sub.Name()), sub)
			}
		}
	}
	walk(nil, (&program{}).rootCommand())
	compare(t, "testdata/help.txt", all.String())
}

// examples are the words of each call of tributary in a help's examples, up to what the shell does with it.
func examples(text string) (calls [][]string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, line := range strings.Split(text, "\n") {
		_, call, found := strings.Cut(line, "tributary ")
		if !found {
			continue
		}
		for _, end := range []string{" | ", " > ", ")", "  #"} {
			call, _, _ = strings.Cut(call, end)
		}
		calls = append(calls, strings.Fields(call))
	}
	return calls
}

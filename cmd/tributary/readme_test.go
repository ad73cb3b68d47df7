package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// readmeDocuments are the texts whose commands and paths a person copies.
var readmeDocuments = []string{"../../README.md", "../../CONTRIBUTING.md", "../../SECURITY.md"}

// TestReadmeIsTrue: every path in the documents is there, every make target exists, and every command of
// tributary has the subcommand and the flags that stand behind it.
func TestReadmeIsTrue(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	targets := regexp.MustCompile("(?m)(?:^    |`)make ([a-z][a-z-]*)")
	commands := regexp.MustCompile("(?m)(?:^    (?:bin/)?|^bin/|`(?:bin/)?)tributary ([a-z][^`\n#]*)")
	rows := regexp.MustCompile("(?m)^\\| `([a-z]+(?: [^`]*)?)` \\|")
	found := 0
	for _, name := range readmeDocuments {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join("../..", link[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, target := range targets.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(string(makefile), "\n"+target[1]+":") {
				t.Errorf("%s: make has no target %s", name, target[1])
			}
		}
		_, table, _ := strings.Cut(string(text), "| command | what it does |\n")
		table, _, _ = strings.Cut(table, "\n\n")
		for _, command := range append(commands.FindAllStringSubmatch(string(text), -1),
			rows.FindAllStringSubmatch(table, -1)...) {
			found++
			if problem := wrongCommand(t, strings.Fields(command[1])); problem != "" {
				t.Errorf("%s: tributary %s: %s", name, command[1], problem)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d commands were found: does this test still read the documents as they are?", found)
	}
}

// TestWalkThrough: each step of the walk-through on EKS ends in a part of check that exists, and names
// commands of the program that exist.
func TestWalkThrough(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "README.md"), "\n## EKS, RDS and MSK, step by step\n")
	text, _, _ = strings.Cut(text, "\n## ")
	steps := regexp.MustCompile(`(?m)^\d+\. `).Split(text, -1)[1:]
	if len(steps) < 7 {
		t.Fatalf("%d steps", len(steps))
	}
	only := regexp.MustCompile(`tributary check -c \S+ --only ([a-z,]+)`)
	commands := regexp.MustCompile(`(?m)^       (?:kubectl .* -- /)?tributary ([^|#\n]*)`)
	for i, step := range steps {
		lines := regexp.MustCompile(`(?m)^       \S.*$`).FindAllString(step, -1)
		last := ""
		if len(lines) > 0 {
			last = lines[len(lines)-1]
		}
		parts := only.FindStringSubmatch(last)
		if parts == nil {
			t.Errorf("step %d ends in %q, not in a check", i+1, last)
			continue
		}
		for part := range strings.SplitSeq(parts[1], ",") {
			if !isOneOf(part, checkParts) {
				t.Errorf("step %d: check has no part %s", i+1, part)
			}
		}
		for _, command := range commands.FindAllStringSubmatch(step, -1) {
			if problem := wrongCommand(t, strings.Fields(command[1])); problem != "" {
				t.Errorf("step %d: tributary %s: %s", i+1, command[1], problem)
			}
		}
	}
}

// wrongCommand says what of a command line the program does not have.
func wrongCommand(t *testing.T, words []string) string {
	t.Helper()
	root := (&program{stdout: os.Stdout, stderr: os.Stderr}).rootCommand()
	command, _, err := root.Find(words[:1])
	if err != nil || command == root {
		return "no such command"
	}
	if len(words) > 1 {
		for _, sub := range command.Commands() {
			if sub.Name() == words[1] {
				command = sub
			}
		}
	}
	for _, word := range words[1:] {
		name, isFlag := strings.CutPrefix(word, "--")
		if !isFlag {
			continue
		}
		name, _, _ = strings.Cut(strings.TrimRight(name, ".,;:)"), "=")
		if name != "" && !hasFlag(command, name) {
			return "no flag --" + name
		}
	}
	return ""
}

func hasFlag(command *cobra.Command, name string) bool {
	return command.Flags().Lookup(name) != nil || command.InheritedFlags().Lookup(name) != nil || name == "help"
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/tributary-cdc/tributary/publisher"
)

// entry is one thing that can go wrong. Its code never changes its meaning: E stops run, or makes it start
// again; W and I are findings of check that do not. The first digit says where: 1 source, 2 Kafka, 3 schema
// registry, 4 stored position, 5 takeover, 6 the program's own surroundings.
type entry struct {
	Code     string `json:"code"`
	Sentence string `json:"sentence"` // what is wrong
	Cause    string `json:"cause"`    // why it is, or why it matters
	Fix      string `json:"fix"`      // to paste; words in capitals stand for names
}

// codeUnknown is an error without a code of its own.
const codeUnknown = "E600"

// catalogue is all that is known to go wrong, in the order of its codes' first digits.
func catalogue() []entry {
	var all []entry
	for _, part := range [][]entry{
		sourceEntries, kafkaEntries, registryEntries, positionEntries, programEntries,
	} {
		all = append(all, part...)
	}
	return all
}

// lookUp finds a code.
func lookUp(code string) (entry, bool) {
	for _, e := range catalogue() {
		if strings.EqualFold(e.Code, code) {
			return e, true
		}
	}
	return entry{}, false
}

// codeOf is the code of an error: the packages give theirs by the method ErrorCode, where the error is born.
func codeOf(err error) string {
	var known interface{ ErrorCode() string }
	var usage interface{ ExitCode() int }
	if errors.As(err, &known) && known.ErrorCode() != "" {
		return known.ErrorCode()
	}
	var answer *kerr.Error
	if code := publisher.ErrorCode(err); code != "" && errors.As(err, &answer) {
		return code
	}
	switch {
	case errors.As(err, &usage) && usage.ExitCode() == exitUsage:
		return "E602"
	case errors.Is(err, context.Canceled):
		return "E605"
	}
	return codeUnknown
}

// explained is an error with its code and what helps, in the form in which every surface shows it.
func explained(err error) (code, text, fix string) {
	code = codeOf(err)
	e, _ := lookUp(code)
	if exact := (advisedError{}); errors.As(err, &exact) {
		return code, err.Error(), exact.fix
	}
	return code, err.Error(), e.Fix
}

func (p *program) errorsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "errors [CODE]",
		Short: "Explain an error code, or list them all",
		Long: "errors says of a code what is wrong, why, and what to type. Messages, logs, the\n" +
			"status page, metrics and check show the same codes.",
		Example: "  tributary errors E122\n" +
			"  tributary errors --json | jq -r '.[].code'",
		ValidArgs: codes(),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("errors takes one code, but got %q too", args[1])}
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var all []string
			for _, e := range catalogue() {
				all = append(all, e.Code+"\t"+e.Sentence)
			}
			return all, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		shown := catalogue()
		if len(args) == 1 {
			e, found := lookUp(args[0])
			if !found {
				return usageError{fmt.Errorf("unknown code %q%s (tributary errors lists them)", args[0],
					didYouMean(strings.ToUpper(args[0]), codes()))}
			}
			shown = []entry{e}
		}
		switch {
		case asJSON:
			encoder := json.NewEncoder(p.stdout)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			return encoder.Encode(shown)
		case len(args) == 1:
			return writeEntry(p.stdout, shown[0])
		}
		for _, e := range shown {
			if _, err := fmt.Fprintf(p.stdout, "%s  %s\n", e.Code, wrap(e.Sentence, 72, 6)); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// codes are all codes.
func codes() []string {
	var all []string
	for _, e := range catalogue() {
		all = append(all, e.Code)
	}
	return all
}

// writeEntry explains one code. The fix stays on one line: it is to be pasted.
func writeEntry(w io.Writer, e entry) error {
	_, err := fmt.Fprintf(w, "%s  %s\n\nwhy   %s\nfix   %s\n", e.Code, wrap(e.Sentence, 72, 6),
		wrap(e.Cause, 72, 6), e.Fix)
	return err
}

// writeCatalogue writes the catalogue as a document.
func writeCatalogue(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Errors\n\nGenerated from the program's own catalogue: `go test ./cmd/tributary -run " +
		"TestErrorDocument -update` writes it.\n`tributary errors CODE` says the same. E stops `run`, or makes " +
		"it start again by itself; W and I come from `check`.\n")
	for _, part := range []struct {
		title   string
		entries []entry
	}{
		{"Source", sourceEntries},
		{"Kafka", kafkaEntries},
		{"Schema registry", registryEntries},
		{"Position and takeover", positionEntries},
		{"The program", programEntries},
	} {
		fmt.Fprintf(&b, "\n## %s\n", part.title)
		for _, e := range part.entries {
			fmt.Fprintf(&b, "\n### %s\n\n%s %s\n\n    %s\n", e.Code, e.Sentence, e.Cause, e.Fix)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usageColumns is how wide help may be.
const usageColumns = 80

// usage prints a command's help below its description, in at most 80 columns.
func usage(cmd *cobra.Command) error {
	var b strings.Builder
	b.WriteString("Usage:\n")
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND [flags]\n", cmd.CommandPath())
	} else {
		fmt.Fprintf(&b, "  %s\n", cmd.UseLine())
	}
	fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, "  %-10s %s\n", sub.Name(), sub.Short)
			}
		}
	}
	fmt.Fprintf(&b, "\nFlags:\n%s", cmd.Flags().FlagUsagesWrapped(usageColumns))
	switch {
	case cmd.HasAvailableSubCommands():
		fmt.Fprintf(&b, "\n%s COMMAND --help says more about one.\n", cmd.CommandPath())
	case cmd.Flags().Lookup("source-url") != nil:
		b.WriteString("\nEvery configuration key is a flag and a variable too: source.url is\n" +
			"--source-url and TRIBUTARY_SOURCE_URL. tributary config print --comments\n" +
			"explains them all.\n")
	}
	_, err := cmd.OutOrStdout().Write([]byte(b.String()))
	return err
}

// exclude makes flags of a command exclude each other.
func exclude(cmd *cobra.Command, names ...string) {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		var given []string
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				given = append(given, "--"+name)
			}
		}
		if len(given) > 1 {
			return usageError{fmt.Errorf("%s exclude each other", strings.Join(given, " and "))}
		}
		return nil
	}
}

// group makes a command that only holds others.
func group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q for %s%s", args[0], use,
					didYouMean(args[0], commandNames(cmd)))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

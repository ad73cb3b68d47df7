package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tributary-cdc/tributary/decoder"
)

// completionPatience is how long a person who has pressed the tab key waits for names from a server.
const completionPatience = 1500 * time.Millisecond

func (p *program) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the script by which a shell completes commands",
		Long: "completion prints a script for bash, zsh, fish or powershell. With it the tab\n" +
			"key completes commands, flags and their words, and where a configuration says\n" +
			"which source to ask, the names of its tables and slots.",
		Example: "  source <(tributary completion bash)\n" +
			"  tributary completion fish > ~/.config/fish/completions/tributary.fish",
		ValidArgs: shells,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes one shell, but got %d", cmd.CommandPath(), len(args))}
			}
			if !isOneOf(args[0], shells) {
				return usageError{fmt.Errorf("shell %q: want bash, zsh, fish or powershell%s", args[0],
					didYouMean(args[0], shells))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			return map[string]func(io.Writer) error{
				"bash": func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
				"zsh":  root.GenZshCompletion,
				"fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },

				"powershell": root.GenPowerShellCompletionWithDesc,
			}[args[0]](p.stdout)
		},
	}
}

// completeWords completes with words that are known.
func completeWords(list ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlags gives every flag of a command and those below it its words, as far as they are known.
func (p *program) completeFlags(root *cobra.Command) {
	known := map[string]cobra.CompletionFunc{
		"op":   completeWords("create", "update", "delete", "read", "truncate", "message", opTombstone),
		"only": completeWords(checkParts...), "fail-on": completeWords("fail", "warn"),
		"table": p.completeTables,
	}
	for _, k := range p.keys {
		if k.enum != nil {
			known[k.flag()] = completeWords(k.enum...)
			known[textOr(aliases[k.path], k.flag())] = known[k.flag()]
		}
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			complete := known[f.Name]
			if f.Name == "only" && cmd.Name() == "show" {
				complete = completeWords("key", "value")
			}
			if complete == nil {
				return
			}
			if err := cmd.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
				panic("tributary: a flag that was just seen is there: " + err.Error())
			}
		})
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// completeTables asks the source for its captured tables.
func (p *program) completeTables(cmd *cobra.Command, _ []string, _ string) ([]string,
	cobra.ShellCompDirective,
) {
	return p.names(cmd, func(ctx context.Context, c Config) ([]string, error) {
		tables, err := openCaptured(ctx, c)
		if err != nil {
			return nil, err
		}
		defer tables.close()
		return tables.names(), nil
	}), cobra.ShellCompDirectiveNoFileComp
}

// completeSlots asks the source for its slots.
func (p *program) completeSlots(cmd *cobra.Command, _ []string, _ string) ([]string,
	cobra.ShellCompDirective,
) {
	return p.names(cmd, func(ctx context.Context, c Config) ([]string, error) {
		conn, err := decoder.Connect(ctx, sourceOptions(c))
		if err != nil {
			return nil, err
		}
		defer closeConn(conn)
		slots, err := decoder.ListSlots(ctx, conn)
		var names []string
		for _, s := range slots {
			names = append(names, s.Name)
		}
		return names, err
	}), cobra.ShellCompDirectiveNoFileComp
}

// oneName completes the first argument alone.
func oneName(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, begun)
	}
}

// names asks for names with the configuration that the line names so far. What cannot be had in time is no
// name: a message in the middle of somebody's command line helps nobody.
func (p *program) names(cmd *cobra.Command,
	ask func(context.Context, Config) ([]string, error),
) []string {
	flags, known := p.flagsOf[cmd]
	if !known {
		return nil
	}
	config, err := loadSource(flags)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	names, err := ask(ctx, config)
	if err != nil {
		return nil
	}
	return names
}

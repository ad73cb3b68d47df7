// Command tributary follows a Postgres database and writes every committed change to Kafka.
//
// Guarantees: an error ends in one message that says what, where, why and what to do, and in the exit code
// that
// errors.go lists; no log, error or page shows a secret or a row's value.
//
// Ownership: main alone ends the process. The commands get their streams and environment from a program
// value,
// so that a test runs them whole.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

func main() {
	p := &program{
		stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), run: run,
		patience: time.Second,
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	p.signals = signals
	p.ask = func(question string) (string, error) {
		signal.Reset(syscall.SIGINT) // Ctrl-C at a question ends the program
		defer signal.Notify(signals, syscall.SIGINT)
		return askTerminal(question)
	}
	os.Exit(p.execute(context.Background(), os.Args[1:]))
}

// program is what the commands have of the world.
type program struct {
	stdout, stderr io.Writer
	environ        []string
	signals        <-chan os.Signal // SIGTERM and SIGINT; nil in most tests
	patience       time.Duration    // a signal sooner after the first counts as the same one
	// ask puts a question to a person; an empty answer is that there is none. Nil asks nobody.
	ask  func(question string) (string, error)
	keys []key // configKeys, once read
	// flagsOf are the flags of the commands that have a configuration's, for completion.
	flagsOf map[*cobra.Command]*configFlags
	// run is the pipeline: run.go's, or a test's.
	run func(ctx context.Context, o runOptions) error
}

// execute runs a command line and returns the exit code.
func (p *program) execute(ctx context.Context, args []string) int {
	root := p.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if err.Error() != "" {
		p.tell(err)
	}
	return exitCode(err)
}

// tell prints the error that ends a command, its code, and what helps where the text is not all of it.
func (p *program) tell(err error) {
	code, text, fix := explained(err)
	fmt.Fprintf(p.stderr, "tributary: %s [%s]\n", text, code)
	if code != "E601" && code != "E602" && code != "E605" && fix != "" {
		fmt.Fprintf(p.stderr, "fix: %s\n", fix)
	}
}

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "tributary",
		Short: "Follow a Postgres database and write every committed change to Kafka",
		Long: "tributary takes a snapshot of the tables that you name, then follows the\n" +
			"write-ahead log through a replication slot, and publishes each committed change\n" +
			"in the form that Debezium gives it.",
		Example: "  tributary check --config tributary.yaml\n" +
			"  tributary run --config tributary.yaml",
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
		SuggestionsMinimumDistance: 2,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q%s (tributary --help lists them)",
					args[0], didYouMean(args[0], commandNames(cmd)))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageFunc(usage)
	root.AddCommand(p.initCommand(), p.runCommand(), p.checkCommand(), p.tailCommand(), p.statusCommand(),
		p.snapshotCommand(), p.configCommand(), p.positionsCommand(), p.replayCommand(), p.rewindCommand(),
		p.slotsCommand(), p.schemaCommand(), p.topicsCommand(), p.verifyCommand(), p.benchCommand(),
		p.errorsCommand(), p.completionCommand(), p.versionCommand())
	p.completeFlags(root)
	// Many type it, and --help need not list it twice.
	root.Version = textOr(readBuild().Version, "unknown")
	root.SetVersionTemplate("tributary {{.Version}}\n")
	root.InitDefaultVersionFlag()
	root.Flags().Lookup("version").Hidden = true
	root.SetHelpCommand(&cobra.Command{Use: "no-help", Hidden: true})
	return root
}

func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// flagError turns what pflag says of a wrong flag into a usage error, with the flag meant when one is near.
func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	if name, unknown := strings.CutPrefix(text, "unknown flag: --"); unknown {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		sort.Strings(known)
		if s := didYouMean(name, known); s != "" {
			s = strings.Replace(s, "did you mean ", "did you mean --", 1)
			return usageError{fmt.Errorf("unknown flag --%s%s", name, s)}
		}
		return usageError{fmt.Errorf("unknown flag --%s (%s --help lists them)", name, cmd.CommandPath())}
	}
	if head, _, isNumber := strings.Cut(text, " flag: strconv."); isNumber {
		return usageError{errors.New(head + " flag: it is no number")}
	}
	return usageError{err}
}

// noArguments refuses arguments, naming the first.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no argument, but got %q", cmd.CommandPath(), args[0])}
	}
	return nil
}

// configFlags are the flags that say what to load: --config, --from-debezium, and one for each key.
type configFlags struct {
	file, debezium string
	values         map[string]string
	environ        []string
}

// aliases are shorter names of flags that people type by hand.
var aliases = map[string]string{
	"kafka.brokers": "brokers", "schema_registry.url": "registry", "pipeline": "pipeline",
	"log.level": "log-level", "log.format": "log-format",
	"takeover.connect_offsets": "connect-offsets", "takeover.connector": "name",
}

// addConfigFlags gives a command the flags of the configuration. The flags of the keys work and complete, but
// --help shows only those with a short name: `config schema` lists the keys.
func (p *program) addConfigFlags(cmd *cobra.Command) *configFlags {
	f := &configFlags{values: map[string]string{}, environ: p.environ}
	if p.flagsOf == nil {
		p.flagsOf, p.keys = map[*cobra.Command]*configFlags{}, configKeys()
	}
	p.flagsOf[cmd] = f
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "config", "c", lookup(p.environ, "TRIBUTARY_CONFIG"), "the YAML file `FILE`")
	flags.StringVar(&f.debezium, "from-debezium", "", "a Debezium connector's JSON `FILE` instead")
	for _, k := range p.keys {
		short := aliases[k.path]
		if short != "" {
			addKeyFlag(flags, k, short, f.values)
		}
		if short != k.flag() {
			addKeyFlag(flags, k, k.flag(), f.values)
			flags.Lookup(k.flag()).Hidden = true
		}
	}
	return f
}

func addKeyFlag(flags *pflag.FlagSet, k key, name string, values map[string]string) {
	flag := flags.VarPF(keyFlag{k, values}, name, "", helpOf(k)+" (sets "+k.path+")")
	if k.typ.Kind().String() == "bool" {
		flag.NoOptDefVal = "true"
	}
}

// helpOf is the first sentence of a key's help.
func helpOf(k key) string {
	first, _, _ := strings.Cut(k.help, ". ")
	return strings.TrimSuffix(first, ".")
}

// keyFlag keeps the text of a flag for load, which knows how to read it.
type keyFlag struct {
	key    key
	values map[string]string
}

func (f keyFlag) String() string         { return f.values[f.key.path] }
func (f keyFlag) Type() string           { return f.key.typ.Kind().String() }
func (f keyFlag) Set(value string) error { f.values[f.key.path] = value; return nil }

// load reads the configuration that the flags name.
func (f *configFlags) load() (Config, error) {
	config, err := load(loadOptions{File: f.file, Debezium: f.debezium, Flags: f.values, Environ: f.environ})
	config.command = f.commandLine()
	return config, err
}

// lookup reads a variable of an environment in os.Environ's form.
func lookup(environ []string, name string) string {
	for _, variable := range environ {
		if value, found := strings.CutPrefix(variable, name+"="); found {
			return value
		}
	}
	return ""
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream io.Writer) bool {
	file, isFile := stream.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}

// wantsColor reports whether to colour what goes to a stream: on a terminal, unless NO_COLOR is set.
func (p *program) wantsColor(stream io.Writer) bool {
	return isTerminal(stream) && lookup(p.environ, "NO_COLOR") == "" && lookup(p.environ, "TERM") != "dumb"
}

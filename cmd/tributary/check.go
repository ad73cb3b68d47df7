package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// The levels of a finding.
const (
	levelOK   = "ok"
	levelInfo = "info"
	levelWarn = "warn"
	levelFail = "FAIL" // run would stop, or lose what it is asked to keep
	levelSkip = "skip"
)

// finding is one thing that check found.
type finding struct {
	Part  string `json:"part"` // one of checkParts
	Level string `json:"level"`
	Code  string `json:"code,omitempty"` // of the catalogue; empty for ok and skip
	Name  string `json:"name"`
	Text  string `json:"text"`
	Why   string `json:"why,omitempty"`
	Fix   string `json:"fix,omitempty"` // one thing to paste
}

// findings is what the checks write to.
type findings struct {
	part string
	list []finding
	now  func() time.Time // this machine's clock
	long time.Duration    // how long a transaction may be open
}

// add notes a finding by its code, whose letter is its level. The catalogue says why, and what helps where
// fix is empty.
func (f *findings) add(code, name, text, fix string) {
	f.at(map[byte]string{'E': levelFail, 'W': levelWarn, 'I': levelInfo}[code[0]], code, name, text, fix)
}

// at is add with another level: what stops run, but not in a connector's place, is a warning there.
func (f *findings) at(level, code, name, text, fix string) {
	e, _ := lookUp(code)
	f.list = append(f.list, finding{f.part, level, code, name, text, e.Cause, textOr(fix, e.Fix)})
}

// fault notes an error, which blocks.
func (f *findings) fault(name string, err error, fix string) {
	code, text, known := explained(err)
	f.add(code, name, text, textOr(fix, known))
}

func (f *findings) ok(name, text string) {
	f.list = append(f.list, finding{Part: f.part, Level: levelOK, Name: name, Text: text})
}

func (f *findings) skip(name, reason string) {
	f.list = append(f.list, finding{Part: f.part, Level: levelSkip, Name: name, Text: reason})
}

// checkTimeout bounds each part: what does not answer by then will not.
const checkTimeout = 20 * time.Second

// checkParts are the parts in the order of their causes.
var checkParts = []string{"aws", "source", "kafka", "registry", "runtime", "debezium"}

func (p *program) checkCommand() *cobra.Command {
	var asJSON bool
	var only []string
	failOn := "fail"
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Ask source, Kafka and registry whether run would work",
		Long: "check changes nothing. Each finding that is no ok has a code, says why it\n" +
			"matters, and what to paste. It exits 3 when a finding would stop run, with\n" +
			"--fail-on warn also at a warning.",
		Example: "  tributary check --config tributary.yaml\n" +
			"  tributary check -c tributary.yaml --only kafka,registry --json\n" +
			"  tributary check --from-debezium connector.json --brokers 127.0.0.1:9092 \\\n" +
			"    --connect-offsets connect-offsets",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	cmd.Flags().StringSliceVar(&only, "only", nil, "check only `PARTS`: aws, source, kafka,\nregistry, "+
		"runtime, debezium")
	cmd.Flags().StringVar(&failOn, "fail-on", failOn, "exit 3 at a `LEVEL`: fail or warn")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, part := range only {
			if !isOneOf(part, checkParts) {
				return usageError{fmt.Errorf("--only %q: want aws, source, kafka, registry, runtime or debezium%s", part,
					didYouMean(part, checkParts))}
			}
		}
		if failOn != "fail" && failOn != "warn" {
			return usageError{fmt.Errorf("--fail-on %q: want fail or warn", failOn)}
		}
		config, err := flags.load()
		if err != nil {
			return err
		}
		found := check(cmd.Context(), config, only, &findings{now: time.Now, long: 5 * time.Minute})
		if asJSON {
			encoder := json.NewEncoder(p.stdout)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			err = encoder.Encode(found)
		} else {
			err = writeFindings(p.stdout, config, found, p.wantsColor(p.stdout))
		}
		if err != nil {
			return err
		}
		for _, f := range found {
			if f.Level == levelFail || f.Level == levelWarn && failOn == "warn" {
				return codedError{errors.New(""), exitCheck}
			}
		}
		return nil
	}
	return cmd
}

// check runs the parts one after another. What the source says of its tables, the Kafka part uses.
func check(ctx context.Context, c Config, only []string, f *findings) []finding {
	wanted := func(part string) bool { return len(only) == 0 || isOneOf(part, only) }
	var captured []capture
	f.part = "source"
	for _, note := range c.notes {
		code := "W600"
		if strings.HasPrefix(note, unknownVariable) {
			code = "W603"
		}
		f.add(code, "settings", note, "")
	}
	run := func(part string, work func(ctx context.Context, f *findings)) {
		if wanted(part) {
			f.part = part
			ctx, cancel := context.WithTimeout(ctx, checkTimeout)
			defer cancel()
			work(ctx, f)
		}
	}
	if usesAWS(c) {
		run("aws", func(ctx context.Context, f *findings) { checkAWS(ctx, c, f) })
	}
	run("source", func(ctx context.Context, f *findings) { captured = checkSource(ctx, c, f) })
	run("kafka", func(ctx context.Context, f *findings) { checkKafka(ctx, c, captured, f) })
	run("registry", func(ctx context.Context, f *findings) { checkRegistry(ctx, c, captured, f) })
	run("runtime", func(ctx context.Context, f *findings) { checkRuntime(ctx, c, f) })
	if c.Compatibility == "debezium" {
		run("debezium", func(ctx context.Context, f *findings) { checkDebezium(ctx, c, f) })
	}
	return f.list
}

// writeFindings prints one line for each finding, its fix below it.
func writeFindings(w io.Writer, c Config, found []finding, color bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "tributary check   pipeline %s\n", c.Pipeline)
	part, failures, warnings := "", 0, 0
	for _, f := range found {
		if f.Part != part {
			part = f.Part
			fmt.Fprintf(&b, "\n%s  %s\n", part, checkedPlace(c, part))
		}
		level := fmt.Sprintf("%-4s", f.Level)
		switch f.Level {
		case levelFail:
			failures++
			level = paint(color, "31;1", level)
		case levelWarn:
			warnings++
			level = paint(color, "33", level)
		case levelOK:
			level = paint(color, "32", level)
		}
		line := fmt.Sprintf("%-12s %s", f.Name, f.Text)
		if f.Code != "" {
			line += " [" + f.Code + "]"
		}
		fmt.Fprintf(&b, "  %s  %s\n", level, wrap(line, 78-8, 8+13))
		if f.Why != "" {
			fmt.Fprintf(&b, "        why  %s\n", wrap(f.Why, 78-13, 8+5))
		}
		if f.Fix != "" {
			fmt.Fprintf(&b, "        fix  %s\n", f.Fix) // never wrapped: it is to be pasted
		}
	}
	fmt.Fprintf(&b, "\n%s, %s.  Nothing was changed.\n", count(failures, "failure"), count(warnings, "warning"))
	_, err := io.WriteString(w, b.String())
	return err
}

// checkedPlace says whom a part asked.
func checkedPlace(c Config, part string) string {
	switch part {
	case "source":
		return sourceAddress(c.Source.URL) + "/" + sourceDatabase(c.Source.URL)
	case "kafka":
		return textOr(c.Kafka.MSKClusterARN, strings.Join(c.Kafka.Brokers, ", "))
	case "debezium":
		return c.Takeover.Connector
	case "aws":
		return c.AWS.Region
	case "runtime":
		return "this process"
	}
	return c.SchemaRegistry.URL.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func paint(color bool, code, text string) string {
	if !color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// fold breaks a text at blanks into lines that a terminal shows whole, all but the first indented.
func fold(text string, indent int) string { return wrapFrom(text, 0, usageColumns, indent) }

// cell pads a name to a column's width; one that is longer has a line of its own, and the row goes on below.
func cell(name string, width int) string {
	if len([]rune(name)) > width {
		return name + "\n" + strings.Repeat(" ", width)
	}
	return fmt.Sprintf("%-*s", width, name)
}

// wrap is wrapFrom for what begins in column 8.
func wrap(text string, width, indent int) string { return wrapFrom(text, 8, width+8, indent) }

// wrapFrom breaks a text that begins in column line at blanks, so that none ends behind column end.
func wrapFrom(text string, line, end, indent int) string {
	var b strings.Builder
	for i, word := range strings.SplitAfter(text, " ") {
		if n := len([]rune(strings.TrimRight(word, " "))); i > 0 && line+n > end {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			line = indent
		}
		b.WriteString(word)
		line += len([]rune(word))
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

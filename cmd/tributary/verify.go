package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tributary-cdc/tributary/cmd/tributary/audit"
)

// verifyOptions says what to verify.
type verifyOptions struct {
	tables    []string
	log, json bool
	wait      time.Duration
	spill     string
	samples   int
}

func (p *program) verifyCommand() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that the topics hold what the tables do",
		Long: "verify folds each table's topic by key, as a read_committed consumer sees it,\n" +
			"and compares it with the table at a consistent cut, while writers go on. It\n" +
			"reads the tables in one snapshot, waits until the pipeline has published what\n" +
			"that holds, and counts just the records of transactions that the snapshot sees.\n" +
			"Keys are printed where rows are missing, extra or differing; values never are.\n" +
			"\n" +
			"verify --log recounts the topics against the ledger instead: that windows follow\n" +
			"each other, that each holds the records that it says, whole and in order. How\n" +
			"long the ledger and the topics are kept bounds how far back that reaches.\n" +
			"\n" +
			"It exits 0 only when nothing is wrong and everything could be compared.",
		Example: "  tributary verify -c tributary.yaml\n" +
			"  tributary verify -c tributary.yaml --table 'public.order*' --json\n" +
			"  tributary verify -c tributary.yaml --log",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	set := cmd.Flags()
	set.StringArrayVar(&o.tables, "table", nil, "only tables that match this `PATTERN`, as in source.tables;\n"+
		"may be repeated")
	set.BoolVar(&o.log, "log", false, "audit the records against the ledger")
	set.BoolVar(&o.json, "json", false, "print one JSON object")
	set.DurationVar(&o.wait, "wait", time.Minute, "how long the pipeline may stand still before it has\n"+
		"published what the tables hold")
	set.StringVar(&o.spill, "temp", "",
		"`DIRECTORY` of the temporary file, which holds keys;\nby default the system's")
	set.IntVarP(&o.samples, "number", "n", 10, "how many keys of each kind to print")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.log && len(o.tables) > 0 {
			return usageError{errors.New("--log audits the whole log: leave out --table")}
		}
		config, err := flags.load()
		if err != nil {
			return err
		}
		ctx, cancel := p.interruptible(cmd.Context())
		defer cancel()
		return p.verify(ctx, config, o)
	}
	return cmd
}

// verify compares or recounts, and prints what it found.
func (p *program) verify(ctx context.Context, c Config, o verifyOptions) error {
	v, err := newVerifier(ctx, c, o)
	if err != nil {
		return err
	}
	v.tell = newTeller(p.stderr, isTerminal(p.stderr)).say
	began := time.Now()
	if o.log {
		log, err := v.auditLog(ctx)
		if err != nil {
			return err
		}
		v.tell("")
		return finishVerify(p.stdout, o.json, log, log.Clean(), func(w io.Writer) {
			writeLog(w, log,
				time.Since(began))
		})
	}
	report, err := v.compare(ctx)
	if err != nil {
		return err
	}
	v.tell("")
	report.Seconds = time.Since(began).Seconds()
	return finishVerify(p.stdout, o.json, report, report.Clean, func(w io.Writer) { writeReport(w, report) })
}

// finishVerify prints a result. The exit code says whether it is clean.
func finishVerify[T any](w io.Writer, asJSON bool, result T, clean bool, text func(io.Writer)) error {
	if asJSON {
		if err := writeJSON(w, result); err != nil {
			return err
		}
	} else {
		var b strings.Builder
		text(&b)
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	if !clean {
		return codedError{errors.New(""), exitFailed}
	}
	return nil
}

// writeReport tells a comparison, in lines.
func writeReport(w io.Writer, r *verifyReport) {
	bad := 0
	for i := range r.Tables {
		t := &r.Tables[i]
		if t.NotComparable != "" {
			fmt.Fprintf(w, "%s  NOT COMPARED: %s\n", t.Table, t.NotComparable)
			bad++
			continue
		}
		mark := "ok"
		if !t.Clean(r.Repeats) {
			mark = "WRONG"
			bad++
		}
		fmt.Fprintf(w, "%s  %s  %s rows, %s records: %s missing, %s extra, %s differing\n", t.Table, mark,
			thousands(t.Rows), thousands(t.Records), thousands(t.Missing), thousands(t.Extra), thousands(t.Differing))
		writeAside(w, t)
		writeKeys(w, t)
	}
	fmt.Fprintf(w, "\nCut at %s (%s), %.1f s, %s of temporary file.\n", r.Point, r.Snapshot, r.Seconds,
		size(r.SpillBytes))
	if bad == 0 {
		fmt.Fprintf(w, "All %d tables agree with their topics.\n", len(r.Tables))
	} else {
		fmt.Fprintf(w, "%d of %d tables do not agree with their topics, or could not be compared.\n", bad,
			len(r.Tables))
	}
}

// writeAside tells what is no difference in a row.
func writeAside(w io.Writer, t *audit.Table) {
	for _, aside := range []struct {
		n    int64
		text string
	}{
		{t.Malformed, "records are no key and value of a table"},
		{t.Doubled, "changes come twice"},
		{t.Backward, "changes follow a later one of their key"},
		{t.ReadAgain, "rows were read again by a snapshot"},
		{t.Replayed, "replayed records were left out"},
		{t.Beyond, "records lie behind the cut"},
		{t.Truncates, "truncates"},
		{t.Placeholders, "rows end with a placeholder, and were compared through their last real value"},
		{t.Unresolved, "rows have a column without a real value under their key, which was not compared"},
		{t.Older, "rows have a last record from before a column was added, and were compared without it"},
	} {
		if aside.n > 0 {
			fmt.Fprintf(w, "    %s %s\n", thousands(aside.n), aside.text)
		}
	}
}

// writeKeys tells the first keys.
func writeKeys(w io.Writer, t *audit.Table) {
	for _, key := range t.MissingKeys {
		fmt.Fprintf(w, "    missing    %s\n", key)
	}
	for _, key := range t.ExtraKeys {
		fmt.Fprintf(w, "    extra      %s\n", key)
	}
	for _, d := range t.DifferingKeys {
		fmt.Fprintf(w, "    differing  %s in %s\n", d.Key, strings.Join(d.Columns, ", "))
	}
}

// writeLog tells the audit of a log, in lines.
func writeLog(w io.Writer, l *audit.Log, took time.Duration) {
	reach := "as far back as the ledger is kept"
	if l.Complete {
		reach = "the pipeline's first"
	}
	fmt.Fprintf(w, "Windows %s to %s, from %s on (%s): %s windows in %d epochs.\n", thousands(int64(l.From)),
		thousands(int64(l.To)), l.Since.UTC().Format(time.RFC3339), reach, thousands(l.Windows), l.Epochs)
	fmt.Fprintf(w, "%s records, %s, counted again in %.1f s.\n", thousands(l.Records), size(l.Bytes),
		took.Seconds())
	for _, aside := range []struct {
		n    int64
		text string
	}{
		{l.Before, "records are from before the ledger's first window of their partition"},
		{l.Expired, "records of the ledger's windows are no longer kept by their topics"},
		{l.Rewound, "windows repeat what was published before a rewind"},
		{l.Repeated, "windows repeat a suffix after a restart (at-least-once)"},
		{l.RepeatedRecords, "records were sent and not counted before a restart (at-least-once)"},
		{l.Uncounted, "last records are in no window yet (at-least-once)"},
		{l.Replayed, "replayed records were left out"},
	} {
		if aside.n > 0 {
			fmt.Fprintf(w, "    %s %s\n", thousands(aside.n), aside.text)
		}
	}
	for _, topic := range l.NotRecounted {
		fmt.Fprintf(w, "    %s is compacted: its records cannot be counted again\n", topic)
	}
	for _, problem := range l.Problems {
		fmt.Fprintf(w, "WRONG  %s\n", problem)
	}
	if l.Clean() {
		fmt.Fprintln(w, "Nothing is wrong.")
	} else {
		fmt.Fprintf(w, "%s problems found.\n", thousands(l.Found))
	}
}

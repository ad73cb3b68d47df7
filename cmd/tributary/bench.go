package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tributary-cdc/tributary/decoder"
)

// The stages of a pipeline, as bench calls them.
const (
	stageRead    = "read"     // the replication protocol, read and decoded
	stageReadSQL = "read-sql" // the same through the SQL function
	stageEncode  = "encode"
	stageProduce = "produce"
)

// benchStages are all of them, in the order in which they are measured.
func benchStages() []string { return []string{stageRead, stageReadSQL, stageEncode, stageProduce} }

// benchReport is what bench prints as JSON.
type benchReport struct {
	Version    int           `json:"version"` // of this form
	Slot       string        `json:"slot"`    // that was copied
	From       string        `json:"from"`    // LSN
	Until      string        `json:"until"`
	Tables     int           `json:"tables"`
	Delivery   string        `json:"delivery"`
	CPUs       int           `json:"cpus"`
	Stages     []stageReport `json:"stages"`
	Bottleneck string        `json:"bottleneck,omitempty"` // a sentence; empty unless all stages were measured
}

// stageReport is one stage by itself.
type stageReport struct {
	Stage   string  `json:"stage"`
	Rows    int     `json:"rows"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"rows_per_s"`
	CPU     float64 `json:"client_cpu_s"`
	PerM    float64 `json:"client_cpu_s_per_m"` // for a million rows
	Note    string  `json:"note,omitempty"`     // why it was not measured
}

func (p *program) benchCommand() *cobra.Command {
	var o benchOptions
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure each stage of the pipeline alone, and name the slowest",
		Long: "bench reads what a slot holds through temporary copies of it, encodes it, and\n" +
			"produces it to a scratch topic that it makes and removes. It changes nothing\n" +
			"else: neither slot nor position moves, and no schema is registered. The pipeline\n" +
			"may go on meanwhile, though both are slower then. Where there is an anchor,\n" +
			"which holds more, it is read instead. A stage takes ten seconds at most. The\n" +
			"role needs what run needs, the server two more slots and a walsender, and in\n" +
			"exactly-once the Kafka user a transactional.id tributary/bench-....",
		Example: "  tributary bench -c tributary.yaml\n" +
			"  tributary bench -c tributary.yaml --only read,read-sql --json",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	set := cmd.Flags()
	set.IntVar(&o.rows, "rows", 1_000_000, "rows of each stage, at most")
	set.StringSliceVar(&o.stages, "only", benchStages(), "stages to measure")
	set.BoolVarP(&yes, "yes", "y", false, "do not ask")
	set.BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.validate(); err != nil {
			return err
		}
		config, err := flags.load()
		if err != nil {
			return err
		}
		o.topic = config.Topic.Prefix + ".tributary-bench-" + randomWord()
		if !yes && o.wants(stageProduce) {
			question := fmt.Sprintf("Make topic %s, write up to %s records to it, and remove it?", o.topic,
				thousands(int64(o.rows)))
			if err := p.confirm(question); err != nil {
				return err
			}
		}
		report, err := measureStages(cmd.Context(), config, o)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(p.stdout, report)
		}
		return writeBench(p.stdout, report)
	}
	return cmd
}

// benchOptions say what to measure.
type benchOptions struct {
	rows   int
	stages []string
	topic  string
}

func (o *benchOptions) wants(stage string) bool { return slices.Contains(o.stages, stage) }

func (o *benchOptions) validate() error {
	if o.rows < 1 {
		return usageError{errors.New("--rows: want at least 1")}
	}
	for _, stage := range o.stages {
		if !slices.Contains(benchStages(), stage) {
			return usageError{fmt.Errorf("--only: unknown stage %q%s (%s)", stage,
				didYouMean(stage, benchStages()), strings.Join(benchStages(), ", "))}
		}
	}
	return nil
}

// nothingToReadError is a slot that holds nothing to measure with.
type nothingToReadError struct {
	slot        string
	from, until decoder.LSN
}

// Error says what helps.
func (e *nothingToReadError) Error() string {
	return fmt.Sprintf("slot %s: nothing to measure with: between %s and %s no captured table has changed; "+
		"write some rows, with the pipeline stopped so that they wait in its slot, or with replay.keep so that "+
		"they stay behind it", e.slot, e.from, e.until)
}

// ErrorCode is that of a slot without changes.
func (e *nothingToReadError) ErrorCode() string { return "E611" }

// complete fills in what follows from the stages.
func (r *benchReport) complete() {
	rates := make(map[string]stageReport)
	for _, s := range r.Stages {
		if s.Rate > 0 {
			rates[s.Stage] = s
		}
	}
	read, encode, produce := rates[stageRead], rates[stageEncode], rates[stageProduce]
	if read.Rate == 0 || encode.Rate == 0 || produce.Rate == 0 {
		return
	}
	text := slowest(r.CPUs, read, encode, produce)
	if fast := rates[stageReadSQL]; fast.Rate > read.Rate {
		text += "; far behind (source.catch_up_bytes) it reads through SQL, and then " +
			slowest(r.CPUs, fast, encode, produce)
	}
	r.Bottleneck = strings.ToUpper(text[:1]) + text[1:] + "."
}

// slowest says which stage holds the others up, or that the processors cannot run all of them at once.
func slowest(cpus int, stages ...stageReport) string {
	least := slices.MinFunc(stages, func(a, b stageReport) int { return int(a.Rate - b.Rate) })
	cpu := 0.0
	for _, s := range stages {
		cpu += s.PerM
	}
	if all := float64(cpus) * 1e6 / max(cpu, 1e-9); all < least.Rate {
		return fmt.Sprintf("the bottleneck is this machine: its %s can take all stages to %s rows/s together",
			count(cpus, "processor"), rate(all))
	}
	words := map[string]string{
		stageRead:    "reading: the server's walsender and the way to it bring %s rows/s",
		stageReadSQL: "reading: the server's SQL function and the way to it bring %s rows/s",
		stageEncode:  "encoding, which one processor does, at %s rows/s",
		stageProduce: "Kafka: the brokers and the way to them take %s rows/s, compression included",
	}
	return "the bottleneck is " + fmt.Sprintf(words[least.Stage], rate(least.Rate))
}

// rate writes rows per second, as exactly as they repeat.
func rate(rows float64) string { return thousands(int64(rows+500) / 1000 * 1000) }

// writeBench writes the report for people.
func writeBench(w io.Writer, r benchReport) error {
	fmt.Fprintf(w, "slot %s from %s to %s, %s, %s, %s\n", r.Slot, r.From, r.Until, count(r.Tables, "table"),
		r.Delivery, count(r.CPUs, "processor"))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "stage\trows\trows/s\tCPU s per million")
	for _, s := range r.Stages {
		if s.Note != "" {
			fmt.Fprintf(t, "%s\tnot measured: %s\n", s.Stage, s.Note)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.2f\n", s.Stage, thousands(int64(s.Rows)), thousands(int64(s.Rate)), s.PerM)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Bottleneck == "" {
		return nil
	}
	_, err := fmt.Fprintln(w, r.Bottleneck)
	return err
}

// measureStages measures the stages that are wanted, one after the other.
func measureStages(ctx context.Context, config Config, o benchOptions) (r benchReport, err error) {
	b, err := openBench(ctx, config, o)
	if err != nil {
		return r, err
	}
	defer b.close()
	if err := b.measure(ctx); err != nil {
		return r, err
	}
	r = benchReport{
		Version: 1, Slot: b.source.Name, From: b.source.Confirmed.String(), Until: b.source.ServerEnd.String(),
		Tables: len(b.tables), Delivery: config.Delivery, CPUs: runtime.GOMAXPROCS(0), Stages: b.stages,
	}
	r.complete()
	return r, nil
}

// stage measures what f does, which returns for how many rows it did it.
func stage(name string, f func() (rows int, err error)) (s stageReport, err error) {
	cpu, began := ownCPU(), time.Now()
	s = stageReport{Stage: name}
	if s.Rows, err = f(); err != nil || s.Rows == 0 {
		return s, err
	}
	s.take(time.Since(began), ownCPU()-cpu)
	return s, nil
}

// take fills in what the stage's rows took.
func (s *stageReport) take(wall time.Duration, cpu float64) {
	s.Seconds, s.CPU = wall.Seconds(), cpu
	s.Rate, s.PerM = float64(s.Rows)/max(s.Seconds, 1e-6), cpu*1e6/float64(s.Rows)
}

// Command bench measures tributary beside its yardsticks: in one run, over the same rows, taking turns.
//
//	bench [-binary bin/tributary] [-case live] [-rows 1000000] [-runs 5] [-out FILE]
//
// The servers are those of TRIBUTARY_TEST_POSTGRES (the first URL, of a superuser), TRIBUTARY_TEST_KAFKA and
// TRIBUTARY_TEST_REGISTRY. CASE, ROWS and RUNS stand in for the flags.
//
//	live      raw/narrow, live/narrow, live/narrow/at-least-once: a backlog, read by the replication protocol
//	catchup   raw/narrow, sql/narrow, live/narrow, catchup/narrow, catchup/narrow/at-least-once: the same
//	          backlog, by the replication protocol and by the SQL function
//	snapshot  raw/copy, snapshot/narrow: a table read whole
//	latency   latency/MODE/RATE: from the commit to a read_committed consumer
//	quick     live and latency, smaller
//
// # Guarantees
//
//  1. What is compared read the same bytes: each reader of a backlog gets a copy of one slot.
//  2. Readers take turns, so that whatever else the machine does falls on all of them. Ratios are medians
//     over the ratios of turns; rows per second depend on the machine and its company, which other_cores
//     tells of.
//  3. The CPU time and the peak memory of a client are its process's, from its start to its end. Those of the
//     servers are known only on Linux, on the same machine; they are null otherwise.
//  4. Nothing is left in the servers but schema ids: database, slots, topics and subjects are removed at
//     the end.
//
// # Ownership
//
// What is measured runs as processes of their own, whose parent ends them before it returns. A bench
// belongs to one goroutine, which runs one process at a time; writers and the consumer of a latency case
// share its load, and each writes only to what the others do not read before all have ended.
//
// # Output
//
// A table for people on standard error, and one JSON line for each case on standard output, appended to the
// file of -out too. With a file, groups of cases whose lines are all there are not run again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := dispatch(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// dispatch runs the program, or one of the readers that it starts as processes of their own.
func dispatch(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "drain":
			return drain(ctx, args[1:])
		case "sql":
			return drainSQL(ctx, args[1:])
		case "copy":
			return copyOut(ctx, args[1:])
		}
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	return o.run(ctx)
}

// options are what to measure and where.
type options struct {
	binary, before            string
	out, kind                 string
	rows, runs                int
	seconds                   int // of one latency case
	postgres, kafka, registry string
}

// group is a set of cases that are measured together.
type group struct {
	name  string
	cases []string
	run   func(*bench, context.Context) ([]line, error)
}

var groups = []group{
	{"live", []string{caseRaw, caseExactly, caseAtLeast}, (*bench).live},
	{"catchup", []string{caseRaw, caseSQL, caseExactly, caseCatchUp, caseCatchUpAtLeast}, (*bench).catchUp},
	{"snapshot", []string{caseCopy, caseSnapshot}, (*bench).snapshot},
	{"latency", latencyCases(), (*bench).latency},
}

// parse reads flags and environment.
func parse(args []string) (options, error) {
	o := options{
		postgres: strings.SplitN(os.Getenv("TRIBUTARY_TEST_POSTGRES"), " ", 2)[0],
		kafka:    os.Getenv("TRIBUTARY_TEST_KAFKA"),
		registry: os.Getenv("TRIBUTARY_TEST_REGISTRY"),
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.binary, "binary", "bin/tributary", "the program to measure")
	flags.StringVar(&o.before, "before", "", "another program, for live: its cases end in @before")
	flags.StringVar(&o.kind, "case", os.Getenv("CASE"),
		"live, catchup, snapshot, latency or quick; all when empty")
	flags.IntVar(&o.rows, "rows", number("ROWS", 1_000_000), "rows of a backlog")
	flags.IntVar(&o.runs, "runs", number("RUNS", 3), "turns of each reader")
	flags.IntVar(&o.seconds, "seconds", 10, "duration of one latency case")
	flags.StringVar(&o.out, "out", "", "a file to append the JSON lines to")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for name, value := range map[string]string{
		"TRIBUTARY_TEST_POSTGRES": o.postgres, "TRIBUTARY_TEST_KAFKA": o.kafka,
		"TRIBUTARY_TEST_REGISTRY": o.registry,
	} {
		if value == "" {
			return o, fmt.Errorf("%s is not set", name)
		}
	}
	if o.kind == "quick" {
		o.rows, o.runs, o.seconds = min(o.rows, 300_000), min(o.runs, 3), min(o.seconds, 5)
	}
	return o, nil
}

// number reads a number from the environment.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// wants says whether a group was asked for.
func (o *options) wants(g group) bool {
	switch o.kind {
	case "":
		return true
	case "quick":
		return g.name != "snapshot"
	}
	return g.name == o.kind
}

// run measures what was asked for and is not in the file yet.
func (o *options) run(ctx context.Context) error {
	done, err := readCases(o.out)
	if err != nil {
		return err
	}
	var wanted []group
	for _, g := range groups {
		missing := slices.ContainsFunc(g.cases, func(name string) bool { return !done[name] })
		if o.wants(g) && missing {
			wanted = append(wanted, g)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	b, err := open(ctx, *o)
	if err != nil {
		return err
	}
	defer b.close()
	for _, g := range wanted {
		lines, err := g.run(b, ctx)
		if err != nil {
			return fmt.Errorf("measure %s: %w", g.name, err)
		}
		if err := o.print(lines); err != nil {
			return err
		}
	}
	return nil
}

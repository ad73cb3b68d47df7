// Command bench measures tributary beside its yardsticks: in one run, over the same rows, taking turns.
//
//	bench [-binary bin/tributary] [-case live] [-rows 1000000] [-runs 3] [-out FILE] [-lab ../shared/lab]
//
// The servers are those of TRIBUTARY_TEST_POSTGRES (the first URL, of a superuser), TRIBUTARY_TEST_KAFKA and
// TRIBUTARY_TEST_REGISTRY; what is not set is started by the scripts of -lab. CASE, ROWS, RUNS and DEBEZIUM
// stand in for the flags. A case is a way to read and what is read:
//
//	raw/DATA          the replication protocol, read and discarded: what the others' ratio_to_raw is to
//	raw/copy          COPY to nowhere, the same for snapshots
//	raw/pg_recvlogical, sql/narrow
//	                  Postgres's own reader, and the SQL function, both to nowhere
//	live/DATA         tributary over the replication protocol, exactly-once; with /at-least-once
//	catchup/DATA      tributary's catch-up lane, likewise
//	snapshot/narrow   tributary's first snapshot
//	encode/narrow, producer/narrow
//	                  one stage alone, over the backlog's first rows again and again
//	debezium/default, debezium/tuned
//	                  with DEBEZIUM=1: the peer on the lab's rows, beside live/lab and catchup/lab
//	latency/MODE/RATE from the commit to a read_committed consumer
//
// DATA is narrow, wide, full, toast, tables-1 to tables-10000 or one-transaction; see data.go. -case takes
// words, divided by commas: a case is measured when its name has the word between slashes, together with
// those that its ratios need; quick is a selection for five minutes.
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
// file of -out too. With a file, cases whose lines are there are not measured again.
package main

import (
	"cmp"
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
	out, kind, lab            string
	debezium                  bool
	rows, runs                int
	seconds                   int // of one latency case
	postgres, kafka, registry string
}

// group is the cases of one kind of data, which are measured together.
type group struct {
	data    data
	readers func(*options) []reader
	// run measures some of the readers.
	run func(*bench, context.Context, group, []reader) ([]line, error)
}

// groups are all cases.
func groups(o *options) []group {
	both := func(d data) group {
		return group{d, func(o *options) []reader { return lanes(o, d.name, false) }, (*bench).backlogs}
	}
	// Ten thousand topics take minutes to make and to remove.
	most := manyTables(10_000, 1)
	live := func(o *options) []reader {
		inLane := func(r reader) bool { return r.catchUp == catchUpBytes }
		return slices.DeleteFunc(lanes(o, most.name, false), inLane)
	}
	all := []group{
		{narrow(), narrowReaders, (*bench).backlogs},
		{narrow(), latencyReaders, (*bench).latency},
		both(wide()), both(full()), both(toast()),
		both(manyTables(1, 0)), both(manyTables(100, 0)), both(manyTables(1000, 1)),
		{most, live, (*bench).backlogs},
		both(oneTransaction()),
	}
	if o.debezium {
		all = append(all, group{labRows(), debeziumReaders, (*bench).backlogs})
	}
	return all
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
	flags.StringVar(&o.kind, "case", os.Getenv("CASE"), "words of the cases' names, or quick; all when empty")
	flags.StringVar(&o.lab, "lab", cmp.Or(os.Getenv("BENCH_LAB"), "../shared/lab"),
		"the scripts that start servers")
	flags.BoolVar(&o.debezium, "debezium", number("DEBEZIUM", 0) > 0, "measure Debezium too")
	flags.IntVar(&o.rows, "rows", number("ROWS", 1_000_000), "rows of a backlog")
	flags.IntVar(&o.runs, "runs", number("RUNS", 3), "turns of each reader")
	flags.IntVar(&o.seconds, "seconds", 10, "duration of one latency case")
	flags.StringVar(&o.out, "out", "", "a file to append the JSON lines to")
	if err := flags.Parse(args); err != nil {
		return o, err
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

// quick is what -case quick measures.
const quick = "raw/narrow,live/narrow,catchup/narrow,snapshot/narrow,5000"

// wants says whether a case was asked for.
func (o *options) wants(name string) bool {
	words := o.kind
	switch words {
	case "":
		return true
	case "quick":
		words = quick
	}
	return slices.ContainsFunc(strings.Split(words, ","), func(word string) bool {
		return strings.Contains("/"+name+"/", "/"+strings.Trim(strings.TrimSpace(word), "/")+"/")
	})
}

// missing returns the readers that are to be measured: what was asked for and is not done, and what that is
// compared with.
func (o *options) missing(all []reader, done map[string]bool) []reader {
	needed := make(map[string]bool)
	for _, r := range all {
		if !o.wants(r.name) || done[r.name] {
			continue
		}
		for _, name := range append([]string{r.name, r.raw(), r.lesser()}, r.beside...) {
			needed[name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(r reader) bool { return !needed[r.name] })
}

// run measures what was asked for and is not in the file yet.
func (o *options) run(ctx context.Context) error {
	before, err := readLines(o.out)
	if err != nil {
		return err
	}
	done, asked := casesOf(before), false
	if len(done) > 0 {
		fmt.Fprintf(os.Stderr, "bench: %d cases are in %s and not measured again; remove it to begin anew\n",
			len(done), o.out)
	}
	for _, g := range groups(o) {
		all := g.readers(o)
		asked = asked || slices.ContainsFunc(all, func(r reader) bool { return o.wants(r.name) })
		readers := o.missing(all, done)
		if len(readers) == 0 {
			continue
		}
		if err := o.servers(ctx); err != nil {
			return err
		}
		lines, err := o.measure(ctx, g, readers)
		if err != nil {
			return fmt.Errorf("measure %s: %w", g.data.name, err)
		}
		if err := o.print(lines, done); err != nil {
			return err
		}
	}
	if !asked {
		return fmt.Errorf("no case has %q in its name", o.kind)
	}
	whole, err := readLines(o.out)
	if err != nil {
		return err
	}
	return show(os.Stderr, whole)
}

// measure makes a database for one kind of data and measures there.
func (o *options) measure(ctx context.Context, g group, readers []reader) ([]line, error) {
	b, err := open(ctx, *o, g.data)
	if err != nil {
		return nil, err
	}
	defer b.close()
	return g.run(b, ctx, g, readers)
}

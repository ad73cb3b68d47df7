// Command demo shows tributary at work on this machine: it starts a Postgres, a Kafka and a schema
// registry, fills a small database, and runs bin/tributary against them. Then it changes rows, shows each
// record that arrives, kills the pipeline with SIGKILL in the middle of a burst, starts it again, and
// compares every record with the tables.
//
// Guarantees:
//
//  1. Exit status 0 means that the records, folded by key, equal the tables, and that each change of the
//     burst arrived exactly once. Anything else is exit status 1, and the first differences are printed.
//  2. What is compared went through libraries that tributary does not write with: another Avro library
//     decodes it.
//  3. With SOURCE it works in a schema of its own and removes schema, slot and publication at the end, also
//     on Ctrl-C and after a failure. It touches nothing that was there before.
//
// Ownership: the demo is the parent of the pipeline, and stops it before it ends.
//
// The environment: SOURCE=postgres://... uses that server instead of an embedded one; KEEP=1 leaves
// everything running until Ctrl-C; NO_COLOR forbids colour. The only argument is the program to run.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: [SOURCE=postgres://...] [KEEP=1] demo PATH-OF-TRIBUTARY")
		os.Exit(2)
	}
	d := &demo{
		binary: os.Args[1],
		source: os.Getenv("SOURCE"),
		keep:   os.Getenv("KEEP") != "" && os.Getenv("KEEP") != "0",
		out: &printer{
			w:      os.Stdout,
			colour: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "",
		},
	}
	err := d.run(ctx)
	// Ctrl-C ends a demo that was left running as it should.
	if errors.Is(err, context.Canceled) && d.keep && d.finished {
		err = nil
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/deploy/local/pagila"
)

// patience is how long the demo waits for records that must come.
const patience = 60 * time.Second

// demo is one run.
type demo struct {
	binary, source string
	keep           bool
	out            *printer

	db       *database
	pipeline *pipeline
	consumer *consumer
	fold     *fold
	// problems are all the differences seen so far.
	problems []string
	// finished says that the verdict is out.
	finished bool
	// cleanup is run backwards at the end.
	cleanup []func(context.Context) error
}

// run shows everything, and cleans up whatever came of it.
func (d *demo) run(ctx context.Context) (err error) {
	defer func() {
		// The context may be done; removing things gets some time of its own.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		for i := len(d.cleanup) - 1; i >= 0; i-- {
			err = errors.Join(err, d.cleanup[i](ctx))
		}
	}()
	steps := []func(context.Context) error{d.prepare, d.snapshot, d.nine, d.crash, d.verdict}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
	}
	d.finished = true
	if d.keep {
		d.leave(ctx)
	}
	if len(d.problems) > 0 {
		return fmt.Errorf("%d differences", len(d.problems))
	}
	return nil
}

// prepare starts the servers, fills the tables and starts the pipeline.
func (d *demo) prepare(ctx context.Context) error {
	begin := time.Now()
	dir, err := os.MkdirTemp("", "tributary-demo-")
	if err != nil {
		return err
	}
	d.defers(func(context.Context) error { return os.RemoveAll(dir) })
	address := d.source
	if address == "" {
		d.out.line("", "starting Postgres (the first time fetches 15 MB from Maven Central)")
		server, err := local.Start(ctx, local.Options{})
		if err != nil {
			return err
		}
		d.defers(func(context.Context) error { return server.Stop() })
		address = server.URL()
	}
	brokers, stopKafka, err := local.StartKafka()
	if err != nil {
		return err
	}
	d.defers(func(context.Context) error { stopKafka(); return nil })
	registry, stopRegistry := local.StartRegistry()
	d.defers(func(context.Context) error { stopRegistry(); return nil })
	if d.db, err = openDatabase(ctx, address, d.source != ""); err != nil {
		return err
	}
	d.defers(d.db.close)
	version, err := d.db.one(ctx, "SHOW server_version")
	if err != nil {
		return err
	}
	if err := d.db.fill(ctx); err != nil {
		return err
	}
	d.out.line("", "postgres %s, kafka and schema registry in this process  %s", version, since(begin))
	if d.pipeline, err = newPipeline(d.binary, dir, d.db, brokers, registry); err != nil {
		return err
	}
	d.defers(func(context.Context) error { return d.pipeline.stop() })
	d.fold = newFold()
	if d.consumer, err = newConsumer(brokers, registry, d.db.schema); err != nil {
		return err
	}
	d.defers(func(context.Context) error { d.consumer.client.Close(); return nil })
	return d.pipeline.start()
}

// defers keeps what undoes a step that has been done. Each step undoes only its own, so that a demo that
// fails half-way cleans up as far as it came.
func (d *demo) defers(f func(context.Context) error) { d.cleanup = append(d.cleanup, f) }

// snapshot waits for the rows that were there before, and prints how many of each table came.
func (d *demo) snapshot(ctx context.Context) error {
	begin := time.Now()
	d.heading("1  the snapshot: the rows that were there before")
	total := 0
	for _, t := range pagila.Tables {
		total += t.Rows
	}
	err := d.receive(ctx, "the snapshot's rows", func() bool { return d.fold.records >= total },
		func(r received, _ row) {
			if r.op != "r" {
				d.problem("snapshot: %s %s came as %s, want r", r.table, r.key, r.op)
			}
		})
	if err != nil {
		return err
	}
	for _, t := range pagila.Tables {
		d.out.line("", "   r  %-36s %5d rows of %d", d.topic(t.Name), d.fold.counts[t.Name], t.Rows)
		if d.fold.counts[t.Name] != t.Rows {
			d.problem("snapshot: %d records of %s, want %d", d.fold.counts[t.Name], t.Name, t.Rows)
		}
	}
	d.out.line("", "   %d rows in %s, pipeline's start and topics included", total, since(begin))
	return nil
}

// topic is where a table's records are: the name that the pipeline gives it by default.
func (d *demo) topic(name string) string { return topicPrefix + "." + d.db.schema + "." + name }

// nine runs the statements one by one and prints what each led to.
func (d *demo) nine(ctx context.Context) error {
	d.heading("2  nine statements, and what arrives")
	for i, s := range pagila.Statements {
		for j, line := range wrap(s.SQL, columns-4) {
			if j == 0 {
				line = fmt.Sprintf("%d  %s", i+1, line)
			} else {
				line = "     " + line
			}
			d.out.line(bold, "%s", line)
		}
		begin := time.Now()
		if err := d.db.exec(ctx, s.SQL); err != nil {
			return err
		}
		n := 0
		all := func() bool { return n >= len(s.Want) }
		err := d.receive(ctx, "the records of statement "+fmt.Sprint(i+1), all,
			func(r received, before row) {
				d.show(r, before, time.Since(begin))
				if got := (pagila.Arrival{Op: r.op, Table: r.table, Key: r.key}); n >= len(s.Want) || got != s.Want[n] {
					d.problem("statement %d: record %d is %v, want %v", i+1, n+1, got, s.Want)
				}
				n++
			})
		if err != nil {
			return err
		}
		if s.Note != "" {
			d.out.line("", "      (%s)", s.Note)
		}
	}
	return nil
}

// show prints one record: op, key, changed columns.
func (d *demo) show(r received, before row, took time.Duration) {
	if r.op == "-" {
		d.out.line(cyan, "   tombstone  %s %s: null, for compaction to forget it", d.topic(r.table), r.key)
		return
	}
	d.out.line(cyan, "   %s  %s %s  %d ms", r.op, d.topic(r.table), r.key, took.Milliseconds())
	if r.op == "d" {
		d.out.line("", "      the row is gone")
		return
	}
	for _, change := range pagila.Changes(before, r.after) {
		d.out.line("", "      %s", change)
	}
}

// receive polls until done says so, and gives each record with the row before it to see.
func (d *demo) receive(ctx context.Context, what string, done func() bool, see func(received, row)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience,
		fmt.Errorf("%s: not there after %s", what, patience))
	defer cancel()
	for !done() {
		if d.pipeline.child != nil {
			if err := d.pipeline.failed(); err != nil {
				return err
			}
		}
		records, err := d.consumer.poll(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("%w; the pipeline's log ends:\n%s", context.Cause(ctx), d.pipeline.log())
		}
		if err != nil {
			return err
		}
		for _, r := range records {
			see(r, d.fold.add(r))
		}
	}
	return nil
}

// verdict compares what the topics tell with what the tables hold.
func (d *demo) verdict(ctx context.Context) error {
	d.heading("4  the topics, folded by key, against the tables")
	for _, t := range pagila.Tables {
		rows, err := d.db.rows(ctx, t)
		if err != nil {
			return err
		}
		found := pagila.Differences(t.Name, "topic", d.fold.rows[t.Name], rows)
		d.problems = append(d.problems, found...)
		d.out.line("", "   %-10s %5d rows, %5d records, %d differing",
			t.Name, len(rows), d.fold.counts[t.Name], len(found))
	}
	for i, problem := range d.problems {
		if i == 10 {
			d.out.line(red, "   and %d more", len(d.problems)-i)
			break
		}
		d.out.line(red, "   %s", problem)
	}
	colour := green
	if len(d.problems) > 0 {
		colour = red
	}
	d.out.line(colour, "demo: %d statements, %d records, %d differing",
		len(pagila.Statements), d.fold.records, len(d.problems))
	return nil
}

// leave waits for Ctrl-C.
func (d *demo) leave(ctx context.Context) {
	d.heading("left running; Ctrl-C stops it and removes everything")
	d.out.line("", "status    http://%s/api/v1/status", d.pipeline.listen)
	d.out.line("", "metrics   http://%s/metrics", d.pipeline.listen)
	if !d.db.foreign {
		d.out.line("", "database  %s", d.db.url)
	}
	d.out.line("", "log       %s", d.pipeline.logFile())
	<-ctx.Done()
}

// heading begins a part of the output.
func (d *demo) heading(text string) {
	d.out.line("", "")
	d.out.line(bold, "%s", text)
}

// problem notes a difference. The demo goes on: the last line counts them all.
func (d *demo) problem(format string, args ...any) {
	d.problems = append(d.problems, fmt.Sprintf(format, args...))
}

// since tells a duration as people do.
func since(begin time.Time) string { return time.Since(begin).Round(100 * time.Millisecond).String() }

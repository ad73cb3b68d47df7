package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/deploy/local/pagila"
)

const (
	// patience is how long anything is waited for that must come: a sink writes when its time has come.
	patience = 3 * time.Minute
	// startPatience is how long a server may take to answer, and a worker to take a connector: a Connect worker
	// reads all of its plugins first, which takes minutes on a machine that is busy or has them on a cold disk.
	startPatience = 10 * time.Minute
	// sayEvery is how often one who waits is told for what.
	sayEvery = 30 * time.Second
)

// lake is one run.
type lake struct {
	out            io.Writer
	binary, deploy string
	cache, dir     string // what stays, and what is removed at the end
	prefix         string // of topics, connectors and folders
	at             servers
	s3             objects
	duck           duck
	admin          *kadm.Client
	conn           *pgconn.PgConn
	pipeline       *local.Process
	columns        map[string][]column // of the external tables
	edits          *strings.Replacer   // what a test's new column changes in deploy/athena
	// cleanup is run backwards at the end.
	cleanup []func(context.Context) error
}

// newLake makes a directory and installs DuckDB. close removes the directory, also after an error here.
func newLake(ctx context.Context, out io.Writer, binary, deploy, cache string) (*lake, error) {
	l := &lake{out: out, binary: binary, deploy: deploy, cache: cache, edits: strings.NewReplacer()}
	var err error
	if l.columns, err = l.externals(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	if l.duck, err = openDuck(ctx, cache); err != nil {
		return nil, err
	}
	if l.dir, err = os.MkdirTemp("", "tributary-lake-"); err != nil {
		return nil, err
	}
	l.defers(func(context.Context) error { return os.RemoveAll(l.dir) })
	return l, os.Mkdir(filepath.Join(l.dir, "objects"), 0o755)
}

// defers keeps what undoes a step that has been done.
func (l *lake) defers(f func(context.Context) error) { l.cleanup = append(l.cleanup, f) }

// close undoes everything, whatever came of it.
func (l *lake) close(ctx context.Context, err error) error {
	// The context may be done; removing things gets some time of its own.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for _, f := range slices.Backward(l.cleanup) {
		err = errors.Join(err, f(ctx))
	}
	return err
}

// stop is an error that waiting does not mend.
type stop struct{ error }

func (s stop) Unwrap() error { return s.error }

// until asks until f has nothing to say.
func (l *lake) until(ctx context.Context, what string, f func() error) error {
	return l.within(ctx, patience, what, f)
}

// within is until with another patience.
func (l *lake) within(ctx context.Context, patience time.Duration, what string, f func() error) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	began := time.Now()
	told := time.NewTicker(sayEvery)
	defer told.Stop()
	for {
		err := f()
		var final stop
		if err == nil || errors.As(err, &final) {
			return err
		}
		select {
		case <-tick.C:
		case <-told.C:
			l.say("waiting for %s, %s of at most %s: %v", what, time.Since(began).Round(time.Second), patience, err)
		case <-late.C:
			return fmt.Errorf("%s: still not there after %s: %w", what, patience, err)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// begin fills the database, starts tributary, and waits for the topics.
func (l *lake) begin(ctx context.Context, prefix string) error {
	l.prefix, l.s3 = prefix, objects{l.at.s3}
	if err := l.s3.make(ctx); err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(l.at.brokers))
	if err != nil {
		return fmt.Errorf("make a Kafka client: %w", err)
	}
	l.defers(func(context.Context) error { client.Close(); return nil })
	l.admin = kadm.NewClient(client)
	if l.conn, err = pgconn.Connect(ctx, l.at.postgres); err != nil {
		return fmt.Errorf("connect to the source: %w", err)
	}
	l.defers(l.conn.Close)
	if err := l.exec(ctx, "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'"); err != nil {
		return err
	}
	if err := pagila.Fill(ctx, l.conn, "public"); err != nil {
		return err
	}
	if err := l.startPipeline(); err != nil {
		return err
	}
	return l.until(ctx, "the topics", func() error {
		if err := l.alive(); err != nil {
			return err
		}
		topics, err := l.admin.ListTopics(ctx, l.topics()...)
		if err == nil {
			err = topics.Error()
		}
		return err
	})
}

// topics are the captured tables'.
func (l *lake) topics() []string {
	var names []string
	for _, table := range captured {
		names = append(names, l.prefix+".public."+table)
	}
	return names
}

// startPipeline writes the configuration, and starts tributary with it.
func (l *lake) startPipeline() error {
	file, logFile := filepath.Join(l.dir, "tributary.yaml"), filepath.Join(l.dir, "tributary.log")
	config := fmt.Sprintf(`source: {url: %q, tables: [public.%s], slot: %[3]s, publication: %[3]s}
kafka: {brokers: [%[4]q], position_topic: %[3]s.positions, ledger_topic: %[3]s.ledger}
schema_registry: {url: %[5]q}
topic: {prefix: %[3]s, partitions: 3, replication_factor: 1}
replay: {keep: 0}
http: {listen: "127.0.0.1:0"}
`, l.at.postgres, strings.Join(captured, ", public."), l.prefix, l.at.brokers, l.at.registry)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	l.pipeline, err = local.StartProcess(exec.Command(l.binary, "run", "--config", file), log)
	if err != nil {
		return err
	}
	l.defers(func(context.Context) error {
		if l.pipeline == nil {
			return nil
		}
		return l.pipeline.Stop(30 * time.Second)
	})
	return nil
}

// alive returns an error once tributary has ended by itself.
func (l *lake) alive() error {
	err := l.pipeline.Ended()
	if err == nil {
		return nil
	}
	l.pipeline = nil
	return stop{fmt.Errorf("tributary ended: %w; its log ends:\n%s", err,
		local.Tail(filepath.Join(l.dir, "tributary.log")))}
}

// statements runs the nine.
func (l *lake) statements(ctx context.Context) error {
	for i, s := range pagila.Statements {
		l.say("%d  %s", i+1, strings.Join(strings.Fields(s.SQL), " "))
		if err := l.exec(ctx, s.SQL); err != nil {
			return err
		}
	}
	return nil
}

// exec runs statements on the source.
func (l *lake) exec(ctx context.Context, sql string) error {
	if err := l.conn.Exec(ctx, sql).Close(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(strings.Fields(sql), " "), err)
	}
	return nil
}

// execute runs a statement on a connection of its own.
func execute(ctx context.Context, address, sql string) error {
	conn, err := pgconn.Connect(ctx, address)
	if err != nil {
		return err
	}
	return errors.Join(conn.Exec(ctx, sql).Close(), conn.Close(ctx))
}

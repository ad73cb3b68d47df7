package snapshot

import (
	"context"
	"log/slog"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// Options are what Run needs.
type Options struct {
	// Connect opens the connections of the workers. Required.
	Connect ConnectFunc
	// Keeper holds the snapshot open. Required; it must stay open until Run returns.
	Keeper *Keeper
	// Point is the consistent point of the slot whose snapshot the Keeper imported: the Commit of all rows.
	Point decoder.LSN
	// LSN is the rows' own LSN, what source.lsn says.
	LSN decoder.LSN
	// Tables are read in this order. A run that resumes must be given the tables of the run before,
	// though some may be gone.
	Tables []Table
	// Relation describes a table as its rows are to be published, usually Catalog.Relation. Workers call it
	// at the same time. Required.
	Relation func(ctx context.Context, oid uint32) (*schema.Relation, error)
	// Pool makes the batches. Nil means one with default bounds.
	Pool *decoder.Pool
	// Workers is how many connections read; 0 means 2.
	Workers int
	// MaxRowBytes is the largest row: another is a *decoder.RowTooLargeError, and nothing of it is kept. 0 means
	// no limit of ours.
	MaxRowBytes int
	// ResumeRows is the estimated number of rows above which a table is split into ranges; 0 means 100,000.
	ResumeRows int
	// Where returns a condition in SQL that a table's rows must fulfil besides, "" for none. Nil means none.
	Where func(schema, table string) string
	// Incremental has every row carry Debezium's marker for the rows of its incremental snapshots, and none
	// that of a first or last row.
	Incremental bool
	// Budget bounds a Step: once it is over, no table and no range is begun, and those in key order are left
	// behind the rows that have been fetched. 0 is no bound. Run has none.
	Budget time.Duration
	// Wrap turns the run's Progress into what a batch carries. Nil leaves it as it is.
	Wrap func(progress []byte) ([]byte, error)
	// Override returns a SELECT to read a table's rows from instead of the table, "" for none. Such a table
	// is read whole and not resumed. Nil means none.
	Override func(schema, table string) string
	// Debezium places the marker "first" as Debezium does: only on a row of the first table.
	Debezium bool
	// Progress is what the last durable batch of an interrupted run carried; nil starts at the beginning.
	Progress []byte
	// Report is called with how far the run is, at most every 250 ms and once at the end, by the goroutine
	// that calls Run. It must return soon. Nil means nobody asks.
	Report func(Report)
	// GuardTimeout bounds the wait for the guard; 0 means 10 minutes.
	GuardTimeout time.Duration
	// Metrics counts rows. Nil counts nothing.
	Metrics *Metrics
	// Logger is told a life story: tables begun and done. Nil: nothing is logged.
	Logger *slog.Logger
}

// Default values of Options.
const (
	defaultWorkers      = 2
	defaultResumeRows   = 100_000
	defaultGuardTimeout = 10 * time.Minute
)

func (o Options) withDefaults() Options {
	if o.Workers <= 0 {
		o.Workers = defaultWorkers
	}
	if o.ResumeRows <= 0 {
		o.ResumeRows = defaultResumeRows
	}
	if o.GuardTimeout <= 0 {
		o.GuardTimeout = defaultGuardTimeout
	}
	if o.Pool == nil {
		o.Pool = decoder.NewPool(decoder.PoolOptions{})
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Report == nil {
		o.Report = func(Report) {}
	}
	if o.Wrap == nil {
		o.Wrap = func(progress []byte) ([]byte, error) { return progress, nil }
	}
	if o.Where == nil {
		o.Where = func(string, string) string { return "" }
	}
	if o.Override == nil {
		o.Override = func(string, string) string { return "" }
	}
	return o
}

// Run reads the rows of all tables into batches and sends them to out, each with the Progress that is true
// once it and all before it are durable. The last batch's Progress is done; when there is no row at all, it
// is a batch of a Progress alone. Rows of one table may come from several ranges in turn; those of one
// range come in key order.
//
// An error that decoder.Retryable accepts means that the snapshot is over, with the connection that held it
// or because a table was rewritten under it: take a new one and resume from the last durable Progress.
func Run(ctx context.Context, o Options, out chan<- *decoder.Batch) error {
	o.Budget = 0
	_, err := Step(ctx, o, out)
	return err
}

// Outcome is how far a Step has come.
type Outcome struct {
	// Done says that all rows of all tables were sent.
	Done bool
	// Progress is what the last batch carried, before Wrap: where the next Step goes on.
	Progress []byte
	// Rows is how many rows this Step sent.
	Rows int64
}

// Step is Run for as long as Options.Budget allows: what is left is for the next Step, under a later
// snapshot. A table without a usable key is read to its end once it is begun, since its order means nothing
// under another snapshot. At least one range is begun, so that every Step comes closer to the end. The row
// that ends a table may get no marker "last" when all tables behind it turn out to be empty in a later
// Step.
func Step(ctx context.Context, o Options, out chan<- *decoder.Batch) (Outcome, error) {
	c := newCollector(o.withDefaults(), out)
	err := c.run(ctx)
	return Outcome{Done: err == nil && !c.paused, Progress: c.last, Rows: c.rows}, err
}

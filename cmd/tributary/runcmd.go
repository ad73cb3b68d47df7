package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tributary-cdc/tributary/publisher"
	"github.com/tributary-cdc/tributary/snapshot"
)

// runOptions is what the pipeline gets.
type runOptions struct {
	Config  Config
	Log     *slog.Logger
	Metrics metrics
	// Board shows what the pipeline says of itself: it calls Board.Feed once its parts stand.
	Board *board
	// Stop is closed by the first signal: finish the window, confirm, return nil. The second cancels the
	// context.
	Stop <-chan struct{}
	// Traced is told of each delivery window; nil tells nobody.
	Traced func(publisher.Delivery)

	// crash, if set, is called at the points between the making of a slot and the first stored position; its
	// error is a crash there.
	crash func(point string) error
	// failpoint, if set, is called behind each step between the server and what it is told; a test's does not
	// return.
	failpoint func(name string)
}

// The points at which a crash must lose nothing.
const (
	pointCreated = "created" // the slot is there, its snapshot is nobody's yet
	pointHeld    = "held"    // the slot is held, and its snapshot kept
	pointFenced  = "fenced"  // nobody else publishes; no position is stored
)

// at is where a test may have the run crash.
func (o runOptions) at(point string) error {
	if o.crash == nil {
		return nil
	}
	return o.crash(point)
}

// metrics are those of the packages, registered once for all attempts. The zero value counts nothing.
type metrics struct {
	publisher *publisher.Metrics
	snapshot  *snapshot.Metrics
	registry  registryMetrics
	errors    *prometheus.CounterVec // by component and code
	restarts  *prometheus.CounterVec // by component
	spans     *prometheus.CounterVec // by result
}

// newMetrics registers the metrics of all packages, and those of the program itself.
func newMetrics(registry prometheus.Registerer) metrics {
	m := metrics{
		publisher.NewMetrics(registry), snapshot.NewMetrics(registry), newRegistryMetrics(registry),
		prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_errors_total",
			Help: "Errors that ended the pipeline or made it start again, by their code: tributary errors CODE.",
		}, []string{"component", "code"}),
		prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_source_reconnects_total",
			Help: "How often the pipeline began anew, and with it the replication connection, by where the error was.",
		}, []string{"reason"}),
		newSpanCounter(),
	}
	for _, component := range components {
		m.restarts.WithLabelValues(component)
	}
	registry.MustRegister(m.errors, m.restarts, m.spans)
	return m
}

// failed counts an error, after which the pipeline begins anew or not.
func (m metrics) failed(code string, again bool) {
	if m.errors == nil {
		return
	}
	m.errors.WithLabelValues(componentOf(code), code).Inc()
	if again {
		m.restarts.WithLabelValues(componentOf(code)).Inc()
	}
}

// The pauses between attempts.
const (
	retryFloor   = 500 * time.Millisecond
	retryCeiling = 30 * time.Second
	retryReset   = time.Minute // a run this long starts the back-off anew
)

// errSecondSignal ends the context of a run that does not finish its window.
var errSecondSignal = codedError{
	faultError{errors.New("interrupted a second time before the window was finished"), "E605"},
	exitSignal,
}

func (p *program) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Snapshot if needed, then stream until stopped",
		Long: "run publishes a snapshot of the tables unless one is stored, then every change.\n" +
			"SIGTERM or Ctrl-C finishes the delivery window, confirms it and exits 0.",
		Example: "  tributary run --config tributary.yaml\n" +
			"  tributary run --from-debezium connector.json --brokers 127.0.0.1:9092 \\\n" +
			"    --registry http://127.0.0.1:8081 --pipeline orders",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config, err := flags.load()
		if err != nil {
			return err
		}
		return p.serve(cmd.Context(), config)
	}
	return cmd
}

// newRegistry holds the metrics of the process, of the program's version, and those that the board knows.
// What is registered with the second gets, like all of the program's own, pipeline and slot as labels.
func newRegistry(b *board) (*prometheus.Registry, prometheus.Registerer) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	own := prometheus.WrapRegistererWith(prometheus.Labels{
		"pipeline": b.base.Pipeline, "slot": b.base.Source.Slot,
	}, registry)
	own.MustRegister(buildInfo(), slotCollector{b}, statusCollector{b})
	return registry, own
}

// readersGauge tells how many status pages are open.
func readersGauge(readers func() int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tributary_http_sse_clients", Help: "Status pages that are open.",
	}, func() float64 { return float64(readers()) })
}

// serve runs the pipeline beside the status server and the progress display, until the pipeline ends.
func (p *program) serve(ctx context.Context, config Config) error {
	shown := newProgress(p.stderr, isTerminal(p.stderr))
	b := newBoard(config)
	log := newLogger(shown, config.Log, isTerminal(p.stderr), &b.level)
	for _, note := range config.notes {
		log.Warn("configuration", "note", note)
	}
	registry, own := newRegistry(b)
	listener, err := listen(ctx, config.HTTP.Listen)
	switch {
	case err != nil && config.Compatibility == "debezium" && config.origins["http.listen"].kind == "":
		// A connector's JSON gives no address, and several connectors on one machine are several pipelines.
		log.Warn("status not served: http.listen gives another address", "err", err)
	case err != nil:
		return err
	}
	stop := make(chan struct{})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group errgroup.Group
	side, endSide := context.WithCancel(ctx) // what runs beside the pipeline ends after it
	if listener != nil {
		log.Info("status served", "address", "http://"+listener.Addr().String())
		face, err := newPage(b, side.Done())
		if err != nil {
			endSide()
			return err
		}
		own.MustRegister(readersGauge(face.Readers))
		group.Go(func() error { face.Run(side); return nil })
		group.Go(func() error { return serveHTTP(side, listener, handler(b, registry, face)) })
	}
	group.Go(func() error { shown.run(side, b, log); return nil })
	group.Go(func() error { p.watchSignals(side, log, stop, cancel); return nil })
	counted := newMetrics(own)
	spans := openTraces(ctx, config, log, counted.spans)
	err = p.supervise(ctx, runOptions{
		Config: config, Log: log, Metrics: counted, Board: b, Stop: stop, Traced: spans.hook(),
	})
	spans.close(ctx)
	endSide()
	if sideErr := group.Wait(); err == nil {
		err = sideErr
	}
	if cause := context.Cause(ctx); errors.Is(err, context.Canceled) && errors.Is(cause, errSecondSignal) {
		return cause
	}
	return err
}

// supervise is the one retry loop: it runs the pipeline again, with growing pauses, while the error says that
// this may help. In a state that needs a person it ends, or with on_failure: stay waits to be stopped.
func (p *program) supervise(ctx context.Context, o runOptions) error {
	pause := retryFloor
	for {
		began := time.Now()
		err := lasting(advised(o.Config, p.run(ctx, o)))
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-o.Stop:
			if retryable(err) {
				o.Log.Warn("stopped before all was published: the rest comes again from the slot", "err", err)
				return nil
			}
		default:
		}
		o.Board.Fail(err, retryable(err))
		code, _, fix := explained(err)
		o.Metrics.failed(code, retryable(err))
		var wait <-chan time.Time // stays nil where only a person helps
		switch {
		case retryable(err):
			if time.Since(began) > retryReset {
				pause = retryFloor
			}
			// A quarter of chance keeps instances that failed together from coming back together.
			delay := pause*3/4 + rand.N(pause/2)
			o.Log.Warn("pipeline stopped, starts again", "code", code, "err", err, "fix", fix,
				"pause", delay)
			wait = time.After(delay)
			pause = min(2*pause, retryCeiling)
		case exitCode(err) == exitPerson && o.Config.OnFailure == "stay":
			o.Log.Error("pipeline stopped and needs a person; staying up as on_failure says", "code", code,
				"err", err, "fix", fix)
		default:
			return err
		}
		select {
		case <-wait:
		case <-o.Stop:
			if wait != nil {
				return nil // stopped while nothing was in flight: what was confirmed stays confirmed
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lasting has what starting anew does not help wait for a person, also where nobody has foreseen it: an end
// with the code of any failure would be started again and again by whoever keeps the process running.
func lasting(err error) error {
	if exitCode(err) == exitFailed && !retryable(err) {
		return codedError{err, exitPerson}
	}
	return err
}

// watchSignals closes stop at the first signal and cancels at the second, unless that follows at once: a
// process group's signal often comes twice, from the terminal and from a parent that passes it on.
func (p *program) watchSignals(ctx context.Context, log *slog.Logger, stop chan<- struct{},
	cancel context.CancelCauseFunc,
) {
	var first time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-p.signals:
			switch {
			case first.IsZero():
				first = time.Now()
				log.Info("stopping: finishing the window", "signal", s.String())
				close(stop)
			case time.Since(first) >= p.patience:
				cancel(errSecondSignal)
				return
			}
		}
	}
}

// listen opens the status server's address; an empty one gives no listener.
func listen(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, usageError{faultError{errors.Join(err, errors.New("http.listen gives another address, or "+
			"none when it is empty")), "E603"}}
	}
	return listener, nil
}

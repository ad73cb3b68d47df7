package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/tributary-cdc/tributary/publisher"
)

// flushTimeout bounds the sending of the last spans when the program ends: it has delivered by then, and the
// end must not wait for a collector.
const flushTimeout = 3 * time.Second

// The results of tributary_trace_spans_total.
const (
	spanMade     = "made"
	spanExported = "exported"
	spanFailed   = "failed"
)

// traces sends a span for each delivery window to an OpenTelemetry collector. Telemetry is not the data path:
// whatever befalls it is counted and logged, and stops nothing. A nil *traces sends nothing.
type traces struct {
	log      *slog.Logger
	spans    *prometheus.CounterVec // by result
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	failing  atomic.Bool
	odd      atomic.Pointer[string] // what the libraries told last
}

// newSpanCounter makes tributary_trace_spans_total.
func newSpanCounter() *prometheus.CounterVec {
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tributary_trace_spans_total",
		Help: "Spans of delivery windows by what became of them; what was made and is neither exported nor " +
			"failed waits, or was dropped because too many waited.",
	}, []string{"result"})
	for _, result := range []string{spanMade, spanExported, spanFailed} {
		spans.WithLabelValues(result)
	}
	return spans
}

// tracesWanted says whether the environment asks for traces, and what of it is not known here. Without a word
// nothing is sent, though OpenTelemetry's own default is to send to this machine.
func tracesWanted() (wanted bool, notes []string) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	exporters := os.Getenv("OTEL_TRACES_EXPORTER")
	if exporters == "" {
		return otlpVariable("ENDPOINT") != "", nil
	}
	for name := range strings.SplitSeq(exporters, ",") {
		switch strings.TrimSpace(name) {
		case "otlp":
			wanted = true
		case "none", "":
		default:
			notes = append(notes, fmt.Sprintf("OTEL_TRACES_EXPORTER: %q is neither otlp nor none", name))
		}
	}
	return wanted, notes
}

// otlpVariable reads a variable of the exporter: what is said of traces goes before what is said of all.
func otlpVariable(name string) string {
	return strings.TrimSpace(textOr(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_"+name),
		os.Getenv("OTEL_EXPORTER_OTLP_"+name)))
}

// openTraces returns nil unless the environment asks for traces. close ends what it began.
func openTraces(ctx context.Context, c Config, log *slog.Logger, spans *prometheus.CounterVec) *traces {
	wanted, notes := tracesWanted()
	for _, note := range notes {
		log.Warn("traces", "note", note)
	}
	if !wanted {
		return nil
	}
	t := &traces{log: log, spans: spans}
	// The libraries tell of variables that they cannot read by a logger that writes their values, which may be
	// secrets, and of other errors by a handler of the process.
	otel.SetLogger(logr.New(envSink{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(t.handle))
	exporter, err := newExporter(ctx, log)
	if err != nil {
		log.Warn("traces are not sent: the variables OTEL_EXPORTER_OTLP_* do not go together", "err", err)
		return nil
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithAttributes(
		attribute.String("service.name", "tributary"),
		attribute.String("service.version", textOr(readBuild().Version, "unknown")),
		attribute.String("tributary.pipeline", c.Pipeline),
		attribute.String("tributary.slot", c.Source.Slot)), resource.WithFromEnv())
	if err != nil {
		log.Warn("traces", "note", "OTEL_RESOURCE_ATTRIBUTES: "+err.Error())
	}
	t.provider = sdktrace.NewTracerProvider(sdktrace.WithResource(about),
		sdktrace.WithBatcher(toldExporter{exporter, t}))
	t.tracer = t.provider.Tracer("github.com/tributary-cdc/tributary")
	return t
}

// newExporter makes the exporter of the protocol that the environment names. It connects when it sends.
func newExporter(ctx context.Context, log *slog.Logger) (sdktrace.SpanExporter, error) {
	protocol := textOr(otlpVariable("PROTOCOL"), "http/protobuf")
	if known := []string{"grpc", "http/protobuf", "http/json"}; !slices.Contains(known, protocol) {
		log.Warn("traces", "note", fmt.Sprintf("OTEL_EXPORTER_OTLP_PROTOCOL: %q is none of %s; %[3]s is taken",
			protocol, strings.Join(known, ", "), known[1]))
		protocol = known[1]
	}
	host := "localhost"
	if u, err := url.Parse(otlpVariable("ENDPOINT")); err == nil && u.Host != "" {
		host = u.Host // nothing else of it: the rest may hold a login
	}
	log.Info("traces are sent", "to", host, "protocol", protocol)
	if protocol == "grpc" {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

// hook is what the publisher tells of its deliveries; nil when nothing is sent.
func (t *traces) hook() func(publisher.Delivery) {
	if t == nil {
		return nil
	}
	return t.delivered
}

// delivered makes the span of a delivery. It is a root, since a window holds transactions of many traces, and
// links to each of them.
func (t *traces) delivered(d publisher.Delivery) {
	var links []trace.Link
	for _, parent := range d.Traces {
		of := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(),
			propagation.MapCarrier{"traceparent": parent}))
		if of.IsValid() {
			links = append(links, trace.Link{SpanContext: of})
		}
	}
	_, span := t.tracer.Start(context.Background(), "publish window", trace.WithNewRoot(),
		trace.WithTimestamp(d.Began), trace.WithSpanKind(trace.SpanKindProducer), trace.WithLinks(links...),
		trace.WithAttributes(spanAttributes(d)...))
	if span.SpanContext().IsSampled() {
		t.spans.WithLabelValues(spanMade).Inc()
	}
	if d.Err != nil {
		code, text, _ := explained(d.Err)
		span.SetAttributes(attribute.String("error.type", code))
		span.SetStatus(otelcodes.Error, text)
	}
	span.End(trace.WithTimestamp(d.Ended))
}

// spanAttributes are those of a window's span.
func spanAttributes(d publisher.Delivery) []attribute.KeyValue {
	outcome := "delivered"
	if d.Err != nil {
		outcome = "failed"
	}
	all := []attribute.KeyValue{
		attribute.String("messaging.system", "kafka"),
		attribute.Int("messaging.batch.message_count", d.Records),
		attribute.String("tributary.delivery", d.Mode.String()),
		attribute.String("tributary.outcome", outcome),
		attribute.Int64("tributary.epoch", int64(d.Epoch)),
		attribute.Int64("tributary.window", int64(d.Window)),
		attribute.Int("tributary.transactions", d.Transactions),
		attribute.Int("tributary.records", d.Records),
		attribute.Int("tributary.bytes", d.Bytes),
	}
	if d.First.Commit != 0 {
		all = append(all, attribute.String("tributary.first_lsn", d.First.Commit.String()),
			attribute.String("tributary.last_lsn", d.Last.Commit.String()))
	}
	if d.Snapshot != 0 {
		all = append(all, attribute.String("tributary.snapshot_lsn", d.Snapshot.String()))
	}
	if d.Resume != 0 {
		all = append(all, attribute.String("tributary.resume_lsn", d.Resume.String()))
	}
	return all
}

// close sends what waits, as long as ctx and flushTimeout last.
func (t *traces) close(ctx context.Context) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last spans were not sent", "err", err)
	}
}

// told logs an error where all was well, and nil where an error was; what goes on as it was is only counted.
func (t *traces) told(err error) {
	switch {
	case err != nil && !t.failing.Swap(true):
		t.log.Warn("traces are not taken; the pipeline goes on", "err", err)
	case err == nil && t.failing.Swap(false):
		t.log.Info("traces are taken again")
	}
}

// handle logs what the libraries tell beside what becomes of spans, such as a sampler that they do not know;
// what they repeat not again.
func (t *traces) handle(err error) {
	text := err.Error()
	if before := t.odd.Swap(&text); before == nil || *before != text {
		t.log.Warn("traces", "note", text)
	}
}

// toldExporter counts what an exporter does.
type toldExporter struct {
	sdktrace.SpanExporter
	t *traces
}

// ExportSpans returns no error: whoever called would only log it, each time.
func (e toldExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err, result := e.SpanExporter.ExportSpans(ctx, spans), spanExported
	if err != nil {
		result = spanFailed
	}
	e.t.spans.WithLabelValues(result).Add(float64(len(spans)))
	e.t.told(err)
	return nil
}

// envSink takes what OpenTelemetry's libraries log: that some variable cannot be read, without its value.
type envSink struct{ log *slog.Logger }

// Init has nothing to prepare.
func (envSink) Init(logr.RuntimeInfo) {}

// Enabled is false for all but errors.
func (envSink) Enabled(int) bool { return false }

// Info is never called.
func (envSink) Info(int, string, ...any) {}

// Error says only what was being done: the rest may be a secret.
func (s envSink) Error(_ error, doing string, _ ...any) {
	s.log.Warn("traces", "note", "a variable OTEL_* is not as it should be: "+doing)
}

// WithValues leaves the values out.
func (s envSink) WithValues(...any) logr.LogSink { return s }

// WithName leaves the name out.
func (s envSink) WithName(string) logr.LogSink { return s }

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/publisher"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
)

// received is what a collector got: spans, each with its attributes and its resource's in one map.
type received struct {
	span  *otlp.Span
	about map[string]string
}

// otlpCollector takes spans by OTLP over HTTP, as a collector does, while answer says 200.
type otlpCollector struct {
	*httptest.Server
	answer chan int // its next answers; 200 where it is empty
	spans  chan received
	header chan http.Header
}

func newCollector(t *testing.T) *otlpCollector {
	t.Helper()
	c := &otlpCollector{
		answer: make(chan int, 10), spans: make(chan received, 1000), header: make(chan http.Header, 1000),
	}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(text, &request)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL, err)
		}
		select {
		case status := <-c.answer:
			w.WriteHeader(status)
			return
		default:
		}
		c.header <- r.Header
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, span := range scope.Spans {
					about := map[string]string{}
					for _, a := range slices.Concat(resource.Resource.Attributes, span.Attributes) {
						about[a.Key] = textOr(a.Value.GetStringValue(), fmt.Sprint(a.Value.GetIntValue()))
					}
					c.spans <- received{span, about}
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// next waits for a span.
func (c *otlpCollector) next(t *testing.T) received {
	t.Helper()
	select {
	case r := <-c.spans:
		return r
	case <-time.After(time.Minute):
		t.Fatal("no span came")
		return received{}
	}
}

// setOTEL sets the variables for the libraries, and takes away those that the machine may have.
func setOTEL(t *testing.T, variables ...string) {
	t.Helper()
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_PROTOCOL",
		"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER",
	} {
		t.Setenv(name, "") // which has it restored
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	for i := 0; i < len(variables); i += 2 {
		t.Setenv(variables[i], variables[i+1])
	}
}

// openTestTraces is openTraces with a log that can be read.
func openTestTraces(t *testing.T) (*traces, *lockedBuffer) {
	t.Helper()
	log := &lockedBuffer{}
	c := defaultConfig()
	c.Pipeline, c.Source.Slot = "orders", "tri"
	logger := slog.New(slog.NewTextHandler(log, nil))
	return openTraces(t.Context(), c, logger, newSpanCounter()), log
}

func TestTracesWanted(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, test := range []struct {
		variables []string
		wanted    bool
	}{
		{nil, false},
		{[]string{endpoint, "http://127.0.0.1:1"}, true},
		{[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1"}, true},
		{[]string{endpoint, "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER", "none"}, false},
		{[]string{endpoint, "http://127.0.0.1:1", "OTEL_SDK_DISABLED", "true"}, false},
		{[]string{endpoint, "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER", "jaeger"}, false},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp"}, true},
		{[]string{"OTEL_TRACES_EXPORTER", "console,otlp", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, true},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL", "smoke"}, true},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_TRACES_SAMPLER", "dice"}, true},
	} {
		setOTEL(t, test.variables...)
		spans, log := openTestTraces(t)
		if (spans != nil) != test.wanted || (spans.hook() != nil) != test.wanted {
			t.Errorf("%v: wanted %t, want %t", test.variables, spans != nil, test.wanted)
		}
		for _, odd := range []string{"jaeger", "console", "smoke", "dice"} {
			if strings.Contains(strings.Join(test.variables, " "), odd) != strings.Contains(log.String(), odd) {
				t.Errorf("%v: logged %s", test.variables, log.String())
			}
		}
		spans.close(t.Context())
	}
}

// TestSpan: what the collector gets of a delivery.
func TestSpan(t *testing.T) {
	c := newCollector(t)
	setOTEL(t, "OTEL_EXPORTER_OTLP_ENDPOINT", c.URL,
		"OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20"+canary,
		"OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	spans, log := openTestTraces(t)
	began := time.Unix(1_700_000_000, 5000)
	d := publisher.Delivery{
		Epoch: 2, Window: 7, Began: began, Ended: began.Add(time.Second), First: decoder.Position{Commit: 0x100},
		Last: decoder.Position{Commit: 0x200}, Resume: 0x230, Transactions: 3, Records: 5, Bytes: 600,
		Traces: []string{"00-" + traceID + "-" + spanID + "-01", "not one"},
	}
	spans.delivered(d)
	d.Mode, d.Resume, d.Snapshot, d.Err = publisher.AtLeastOnce, 0, 0x10, needsPerson{errors.New("refused")}
	spans.delivered(d)
	first, second := c.next(t), c.next(t)
	spans.close(t.Context())
	for key, want := range map[string]string{
		"service.name": "tributary", "deployment.environment.name": "test", "tributary.pipeline": "orders",
		"tributary.slot": "tri", "tributary.first_lsn": "0/100", "tributary.last_lsn": "0/200",
		"tributary.resume_lsn": "0/230", "tributary.transactions": "3", "tributary.records": "5",
		"tributary.bytes": "600", "tributary.delivery": "exactly-once", "tributary.outcome": "delivered",
		"tributary.window": "7", "tributary.epoch": "2", "messaging.system": "kafka",
	} {
		if first.about[key] != want {
			t.Errorf("%s is %q, want %q", key, first.about[key], want)
		}
	}
	links := ""
	for _, link := range first.span.Links {
		links += fmt.Sprintf("%x %x", link.TraceId, link.SpanId)
	}
	if links != traceID+" "+spanID || first.span.StartTimeUnixNano != uint64(began.UnixNano()) ||
		first.span.EndTimeUnixNano != uint64(d.Ended.UnixNano()) || len(first.span.ParentSpanId) != 0 {
		t.Errorf("links %s, span %v", links, first.span)
	}
	if second.about["tributary.outcome"] != "failed" || second.about["error.type"] != "E600" ||
		second.about["tributary.resume_lsn"] != "" || second.about["tributary.snapshot_lsn"] != "0/10" ||
		second.about["tributary.delivery"] != "at-least-once" ||
		second.span.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR || second.span.Status.Message != "refused" {
		t.Errorf("failed: %v %v", second.about, second.span.Status)
	}
	if got := (<-c.header).Get("Authorization"); got != "Bearer "+canary {
		t.Errorf("authorization %q", got)
	}
	if strings.Contains(log.String(), canary) {
		t.Errorf("the log has the header: %s", log.String())
	}
	if got := testutil.ToFloat64(spans.spans.With(prometheus.Labels{"result": spanExported})); got != 2 {
		t.Errorf("%v spans exported, want 2", got)
	}
}

// grpcCollector takes spans by OTLP over gRPC.
type grpcCollector struct {
	collector.UnimplementedTraceServiceServer
	names chan string // of spans, with what came as authorization
}

// Export takes spans.
func (c *grpcCollector) Export(ctx context.Context, request *collector.ExportTraceServiceRequest) (
	*collector.ExportTraceServiceResponse, error,
) {
	login, _ := metadata.FromIncomingContext(ctx)
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				c.names <- span.Name + " " + strings.Join(login.Get("authorization"), " ")
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// TestSpanByGRPC: the other protocol, with the same variables.
func TestSpanByGRPC(t *testing.T) {
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, c := grpc.NewServer(), &grpcCollector{names: make(chan string, 10)}
	collector.RegisterTraceServiceServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	setOTEL(t, "OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc",
		"OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+listener.Addr().String(),
		"OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20"+canary)
	spans, log := openTestTraces(t)
	spans.delivered(publisher.Delivery{Began: time.Now(), Ended: time.Now(), Records: 1})
	spans.close(t.Context())
	server.Stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if len(c.names) != 1 || <-c.names != "publish window Bearer "+canary {
		t.Errorf("want one span with the header; logged %s", log.String())
	}
	if strings.Contains(log.String(), canary) {
		t.Errorf("the log has the header: %s", log.String())
	}
}

// TestCollectorFails: spans that nobody takes are counted, and told of once until one is taken again.
func TestCollectorFails(t *testing.T) {
	c := newCollector(t)
	setOTEL(t, "OTEL_TRACES_EXPORTER", "otlp", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.URL+"/v1/traces")
	spans, log := openTestTraces(t)
	count := func(result string) int { return int(testutil.ToFloat64(spans.spans.WithLabelValues(result))) }
	await := func(result string, want int) {
		t.Helper()
		tick, end := time.NewTicker(time.Millisecond), time.After(time.Minute)
		defer tick.Stop()
		for count(result) != want {
			select {
			case <-tick.C:
			case <-end:
				t.Fatalf("%d spans %s, want %d", count(result), result, want)
			}
		}
	}
	now := time.Now()
	deliver := func() { spans.delivered(publisher.Delivery{Began: now, Ended: now, Records: 1}) }
	for i := range 3 {
		c.answer <- http.StatusForbidden
		deliver()
		await(spanFailed, i+1)
	}
	deliver()
	await(spanExported, 1)
	deliver()
	spans.close(t.Context())
	if count(spanMade) != 5 || count(spanExported) != 2 || count(spanFailed) != 3 {
		t.Errorf("%d made, %d exported, %d failed", count(spanMade), count(spanExported), count(spanFailed))
	}
	text := log.String()
	if strings.Count(text, "not taken") != 1 || strings.Count(text, "taken again") != 1 ||
		!strings.Contains(text, "403") {
		t.Errorf("logged %s", text)
	}
}

// TestCollectorHangs: the end of the program waits for a collector only so long.
func TestCollectorHangs(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	setOTEL(t, "OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	spans, log := openTestTraces(t)
	spans.delivered(publisher.Delivery{Began: time.Now(), Ended: time.Now(), Records: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	ended := make(chan struct{})
	go func() { spans.close(ctx); close(ended) }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("close waits for the collector")
	}
	if !strings.Contains(log.String(), "the last spans were not sent") {
		t.Errorf("logged %s", log.String())
	}
}

// TestTracesKeepSecrets: variables that cannot be read are named without what they hold.
func TestTracesKeepSecrets(t *testing.T) {
	for _, variables := range [][]string{
		{"OTEL_EXPORTER_OTLP_HEADERS", canary},
		{"OTEL_EXPORTER_OTLP_HEADERS", "authorization=" + canary + "%zz"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a b" + canary + "=x"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:" + canary + "@ 127.0.0.1:1"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", canary},
	} {
		setOTEL(t, append(variables, "OTEL_TRACES_EXPORTER", "otlp")...)
		spans, log := openTestTraces(t)
		spans.close(t.Context())
		text := log.String()
		if strings.Contains(text, canary) || !strings.Contains(text, "OTEL_") {
			t.Errorf("%s: logged %s", variables[0], text)
		}
	}
}

// TestTraceOfPipeline: a transaction that was given a trace is linked to by the span of the window that
// published it, and the spans of the last windows are sent before the program ends.
func TestTraceOfPipeline(t *testing.T) {
	c := newCollector(t)
	setOTEL(t, "OTEL_EXPORTER_OTLP_ENDPOINT", c.URL, "OTEL_SERVICE_NAME", "cdc",
		"OTEL_BSP_SCHEDULE_DELAY", "600000")
	source := local.Database(t, local.Postgres(t))
	conn := dial(t, source)
	conn.exec("CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1)")
	r := newRig(t, source, local.Kafka(t), local.Registry(t), "[public.orders]", "")
	l := r.run(t)
	l.reach(t, stateStreaming)
	conn.exec("BEGIN; SELECT pg_logical_emit_message(true, 'traceparent', '00-" + traceID + "-" + spanID +
		"-01'); INSERT INTO orders VALUES (2); COMMIT")
	end, err := decoder.ParseLSN(conn.value("SELECT pg_current_wal_lsn()"))
	if err != nil {
		t.Fatal(err)
	}
	l.eventually(t, func() error {
		s, err := l.status()
		if confirmed, _ := decoder.ParseLSN(s.Position.Confirmed); err == nil && confirmed < end {
			err = fmt.Errorf("confirmed is %s, before %s", s.Position.Confirmed, end)
		}
		return err
	})
	l.stop(t)
	linked, snapshot := 0, 0
	for len(c.spans) > 0 {
		s := <-c.spans
		if s.about["service.name"] != "cdc" || s.about["tributary.outcome"] != "delivered" {
			t.Errorf("span %v", s.about)
		}
		for _, link := range s.span.Links {
			if fmt.Sprintf("%x", link.TraceId) == traceID {
				linked++
			}
		}
		if s.about["tributary.snapshot_lsn"] != "" {
			snapshot++
		}
	}
	if linked != 1 || snapshot != 1 {
		t.Errorf("%d spans link to the trace, %d are of the snapshot, want one each", linked, snapshot)
	}
}

package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/tributary-cdc/tributary/publisher"
)

// descPattern reads what a description prints: client_golang gives its parts no other way.
var descPattern = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", ` +
	`help: "((?:[^"\\]|\\.)*)", .*constLabels: \{([^}]*)\}, ` +
	`variableLabels: \{([^}]*)\}\}$`)

// described is a metric as the program registers it.
type described struct{ name, kind, labels, help string }

// descriptions is the catching end of a registry: every metric's name, kind, labels and help, whether or not
// it has a value.
type descriptions struct {
	prometheus.Registerer
	t     *testing.T
	found map[string]described
}

// MustRegister notes what collectors describe.
func (d *descriptions) MustRegister(collectors ...prometheus.Collector) {
	for _, c := range collectors {
		out := make(chan *prometheus.Desc, 100)
		c.Describe(out)
		close(out)
		for desc := range out {
			parts := descPattern.FindStringSubmatch(desc.String())
			if parts == nil {
				d.t.Fatalf("cannot read %s", desc)
			}
			labels := strings.Join(strings.FieldsFunc(parts[3]+","+parts[4], func(r rune) bool {
				return r == ','
			}), ",")
			labels = regexp.MustCompile(`="[^"]*"`).ReplaceAllString(labels, "")
			help := strings.ReplaceAll(parts[2], `\"`, `"`)
			d.found[parts[1]] = described{parts[1], kindOf(c, parts[1]), labels, help}
		}
	}
}

// kindOf is a collector's kind of metric; of those that have many, or only a function, it goes by the name.
func kindOf(c prometheus.Collector, name string) string {
	switch c.(type) {
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	case *prometheus.GaugeVec, prometheus.Gauge: // a counter lacks a gauge's methods
		return "gauge"
	case *prometheus.CounterVec, prometheus.Counter:
		return "counter"
	}
	if strings.HasSuffix(name, "_total") {
		return "counter"
	}
	return "gauge"
}

// describedMetrics are all metrics of the program itself, by name.
func describedMetrics(t *testing.T) []described {
	t.Helper()
	d := &descriptions{t: t, found: map[string]described{}}
	newMetrics(d)
	b := newBoard(defaultConfig())
	d.MustRegister(slotCollector{b}, statusCollector{b}, buildInfo(), readersGauge(func() int { return 0 }))
	var all []described
	for _, name := range slices.Sorted(maps.Keys(d.found)) {
		all = append(all, d.found[name])
	}
	return all
}

// TestMetricNames: what is called how is a promise, and follows Prometheus's own rules. deploy/monitoring's
// table of metrics is the same list, for people.
func TestMetricNames(t *testing.T) {
	var golden, table, exposed strings.Builder
	for _, m := range describedMetrics(t) {
		fmt.Fprintf(&golden, "%s %s {%s} %s\n", m.name, m.kind, m.labels, m.help)
		labels := ""
		if m.labels != "" {
			labels = "`" + strings.ReplaceAll(m.labels, ",", "`, `") + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", m.name, m.kind, labels, m.help)
		fmt.Fprintf(&exposed, "# HELP %s %s\n# TYPE %s %s\n", m.name, m.help, m.name, m.kind)
		switch m.kind {
		case "histogram":
			fmt.Fprintf(&exposed, "%s_bucket{le=\"+Inf\"} 1\n%s_sum 1\n%s_count 1\n", m.name, m.name, m.name)
		default:
			fmt.Fprintf(&exposed, "%s 1\n", m.name)
		}
	}
	problems, err := promlint.New(strings.NewReader(exposed.String())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	compare(t, "testdata/metrics.txt", golden.String())
	document, begin, end := read(t, "monitoring/METRICS.md"), "|---|---|---|---|\n", "\n## "
	head, rest, found := strings.Cut(document, begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatal("monitoring/METRICS.md has no table")
	}
	compare(t, deployed+"monitoring/METRICS.md", head+begin+table.String()+end+tail)
}

// TestMetricLabels asks for the exposition as Prometheus does: every series of the program's own has the
// pipeline and the slot, and both kinds of metrics live together.
func TestMetricLabels(t *testing.T) {
	c := defaultConfig()
	c.Pipeline, c.Source.Slot = "orders", "tri"
	b := newBoard(c)
	registry, own := newRegistry(b)
	m := newMetrics(own)
	m.failed("E201", true)
	b.access.count("file", nil)
	b.chronicle.counts = map[string]int{"public.a": 2}
	for i := range publisher.MaxTables {
		b.chronicle.counts[fmt.Sprintf("public.many%04d", i)] = 1
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	text, changes := map[string]string{}, 0
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "tributary_") {
			continue
		}
		for _, series := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range series.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["pipeline"] != "orders" || labels["slot"] != "tri" {
				t.Errorf("%s: labels %v", f.GetName(), labels)
			}
			text[f.GetName()] += series.String()
			if f.GetName() == "tributary_schema_changes_total" {
				changes++
			}
		}
	}
	for name, want := range map[string]string{
		"tributary_errors_total":            `"kafka"`,
		"tributary_source_reconnects_total": `"kafka"`,
		"tributary_secret_refreshes_total":  `"file"`,
		"tributary_schema_changes_total":    `"other"`,
	} {
		if !strings.Contains(text[name], want) {
			t.Errorf("%s: %q lacks %s", name, text[name], want)
		}
	}
	if changes != publisher.MaxTables+1 {
		t.Errorf("%d series of tables, want %d and one for the others", changes, publisher.MaxTables)
	}
}

// TestStatusMetrics: the gauges say what the status says, and nothing where it does not know.
func TestStatusMetrics(t *testing.T) {
	b := newBoard(defaultConfig())
	gather := func() map[string]float64 {
		registry := prometheus.NewRegistry()
		registry.MustRegister(statusCollector{b})
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := strings.TrimPrefix(f.GetName(), "tributary_")
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		return values
	}
	before := gather()
	for _, absent := range []string{
		"server_wal_lsn", "slot_safe_wal_bytes", "snapshot_rows_estimated", "slot_active",
		"slot_spill_bytes_total", "clock_offset_seconds",
	} {
		if value, known := before[absent]; known {
			t.Errorf("%s is %v before anything is known", absent, value)
		}
	}
	b.Feed(func() status {
		s := fixedStatus()
		s.Error = nil
		return s
	})
	got := gather()
	for name, want := range map[string]float64{
		"state snapshot": 1, "state streaming": 0, "leader": 1, "source_connected": 1, "slot_restart_lsn": 1,
		"confirmed_flush_lsn": 2, "received_lsn": 4, "server_wal_lsn": 5, "slot_confirmed_lag_bytes": 1 << 20,
		"slot_safe_wal_bytes": 1 << 30, "replication_lag_seconds": 0.25, "slot_wal_status reserved": 1,
		"slot_wal_status lost": 0, "buffer_bytes": 4096, "schemas_waiting": 1, "slot_active": 1,
		"wal_received_bytes_total": 8192,
		"slot_spill_bytes_total":   4097, "slot_spill_transactions_total": 3, "clock_offset_seconds": -0.5,
		"buffer_limit_bytes": 16384, "snapshot_duration_seconds": 9, "slot_holder transaction": 1,
		"slot_holder backlog": 0, "backpressure_seconds_total decode": 1.5, "snapshot_running": 1,
		"snapshot_rows_estimated public.a": 603, "snapshot_tables pending": 1, "snapshot_tables running": 1,
		"snapshot_tables done": 0,
	} {
		if value, known := got[name]; !known || value != want {
			t.Errorf("%s is %v, %t, want %v", name, value, known, want)
		}
	}
	b.Fail(retryableError{person: true}, false)
	if got := gather(); got["state failed"] != 1 || got["leader"] != 0 {
		t.Errorf("after a failure: %v", got)
	}
}

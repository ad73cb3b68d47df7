package main

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// descPattern reads what a description prints: client_golang gives its parts no other way.
var descPattern = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", ` +
	`help: "((?:[^"\\]|\\.)*)", .*` +
	`variableLabels: \{([^}]*)\}\}$`)

// descriptions is the catching end of a registry: every metric's name, labels and help, whether or not it has
// a value.
type descriptions struct {
	prometheus.Registerer
	t     *testing.T
	lines map[string]string
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
			d.lines[parts[1]] = parts[1] + " {" + parts[3] + "} " + parts[2]
		}
	}
}

// describedMetrics are all metrics of the program itself.
func describedMetrics(t *testing.T) map[string]string {
	t.Helper()
	d := &descriptions{t: t, lines: map[string]string{}}
	newMetrics(d)
	b := newBoard(defaultConfig())
	d.MustRegister(slotCollector{b}, statusCollector{b}, buildInfo())
	return d.lines
}

// TestMetricNames: what is called how is a promise, and follows Prometheus's own rules.
func TestMetricNames(t *testing.T) {
	var lines []string
	var exposed strings.Builder
	for name, line := range describedMetrics(t) {
		lines = append(lines, line)
		help := line[strings.IndexByte(line, '}')+2:]
		kind := "gauge"
		if strings.HasSuffix(name, "_total") {
			kind = "counter"
		}
		fmt.Fprintf(&exposed, "# HELP %s %s\n# TYPE %s %s\n%s 1\n", name, help, name, kind, name)
	}
	problems, err := promlint.New(strings.NewReader(exposed.String())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	sort.Strings(lines)
	compare(t, "testdata/metrics.txt", strings.Join(lines, "\n")+"\n")
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
				values[name] = m.GetGauge().GetValue()
			}
		}
		return values
	}
	before := gather()
	for _, absent := range []string{"server_wal_lsn", "slot_safe_wal_bytes", "snapshot_rows_estimated"} {
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
		"slot_wal_status lost": 0, "buffer_bytes": 4096, "schemas_waiting": 1, "snapshot_running": 1,
		"snapshot_rows_estimated": 603, "snapshot_tables pending": 2, "snapshot_tables done": 0,
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

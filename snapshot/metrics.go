package snapshot

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what snapshots read. A nil *Metrics counts nothing.
type Metrics struct {
	rows       prometheus.Counter
	bytes      prometheus.Counter
	tablesLeft prometheus.Gauge
	guard      prometheus.Histogram
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		rows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tributary_snapshot_rows_total",
			Help: "Rows that snapshots have delivered.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tributary_snapshot_bytes_total",
			Help: "Memory that the delivered rows took in batches, in bytes.",
		}),
		tablesLeft: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tributary_snapshot_tables_remaining",
			Help: "Tables that the running snapshot has not finished.",
		}),
		guard: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tributary_snapshot_guard_seconds",
			Help:    "Time until a slot's snapshot was safe to read with.",
			Buckets: []float64{.001, .01, .1, 1, 10, 60, 600},
		}),
	}
	r.MustRegister(m.rows, m.bytes, m.tablesLeft, m.guard)
	return m
}

// delivered counts a batch that went out.
func (m *Metrics) delivered(rows, bytes int) {
	if m == nil {
		return
	}
	m.rows.Add(float64(rows))
	m.bytes.Add(float64(bytes))
}

// remaining tells how many tables are left.
func (m *Metrics) remaining(tables int) {
	if m != nil {
		m.tablesLeft.Set(float64(tables))
	}
}

// guarded tells how long the guard took, in seconds.
func (m *Metrics) guarded(seconds float64) {
	if m != nil {
		m.guard.Observe(seconds)
	}
}

package publisher

import (
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/schema"
)

// Metrics counts what is published. A nil *Metrics counts nothing.
type Metrics struct {
	events, tombstones, toast, filteredTotal *prometheus.CounterVec
	records, bytes, kafkaTransactions        *prometheus.CounterVec
	transactions, blockedSeconds             prometheus.Counter
	latency                                  *prometheus.HistogramVec
	produce, windowSeconds                   prometheus.Histogram
	windowRecords                            prometheus.Histogram
	publishedLSN, lastEvent, lastConfirm     prometheus.Gauge
	disconnects                              prometheus.Counter
}

// NewMetrics registers the metrics with r; a nil r registers them nowhere.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	times := prometheus.ExponentialBuckets(0.001, 2, 16)
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	m := &Metrics{
		events:     counters("tributary_events_total", "Changes published and acknowledged.", "table", "op"),
		tombstones: counters("tributary_tombstones_total", "Tombstones published and acknowledged.", "table"),
		toast: counters("tributary_toast_unchanged_total", "Unchanged large values written as the "+
			"placeholder.", "table"),
		filteredTotal: counters("tributary_events_filtered_total", "Changes left out by configuration.", "reason"),
		records:       counters("tributary_kafka_records_total", "Records by outcome.", "topic", "result"),
		bytes:         counters("tributary_kafka_bytes_total", "Bytes of record batches as written.", "topic"),
		kafkaTransactions: counters("tributary_kafka_transactions_total",
			"Delivery windows in Kafka transactions by outcome.", "result"),
		transactions: counter("tributary_transactions_total", "Postgres transactions encoded."),
		blockedSeconds: counter("tributary_publish_backpressure_seconds_total",
			"Time in which the encoder waited for deliveries."),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tributary_event_latency_seconds",
			Help: "From the commit to the acknowledgement of the oldest change in a window.", Buckets: times,
		},
			[]string{"stage"}),
		produce:       histogram("tributary_kafka_produce_duration_seconds", "Time of one produce request.", times),
		windowSeconds: histogram("tributary_window_duration_seconds", "Time to deliver a window.", times),
		windowRecords: histogram("tributary_window_records", "Records in a window.",
			prometheus.ExponentialBuckets(1, 4, 10)),
		publishedLSN: gauge("tributary_published_lsn", "Up to where everything is published and stored."),
		lastEvent: gauge("tributary_last_event_timestamp_seconds",
			"Commit time of the latest change published."),
		lastConfirm: gauge("tributary_last_confirm_timestamp_seconds", "When a position was last stored."),
		disconnects: counter("tributary_kafka_disconnects_total", "Connections to brokers that ended."),
	}
	if r != nil {
		r.MustRegister(m.events, m.tombstones, m.toast, m.filteredTotal, m.records, m.bytes, m.kafkaTransactions,
			m.transactions, m.blockedSeconds, m.latency, m.produce, m.windowSeconds, m.windowRecords, m.publishedLSN,
			m.lastEvent, m.lastConfirm, m.disconnects)
	}
	return m
}

// bind looks up a table's counters once.
func (m *Metrics) bind(s *tableStats) {
	if m == nil {
		return
	}
	for i := range s.counters {
		s.counters[i] = m.events.WithLabelValues(s.name, operations[i:i+1])
	}
	s.tombstones, s.unchanged = m.tombstones.WithLabelValues(s.name), m.toast.WithLabelValues(s.name)
}

// delivered counts windows that are acknowledged whole, and were delivered together.
func (m *Metrics) delivered(windows []*window, began time.Time) {
	if m == nil {
		return
	}
	records := 0
	for _, w := range windows {
		m.count(w)
		records += w.n
		if w.span.changes {
			m.lastEvent.Set(float64(w.span.maxTime) / 1e6)
			m.latency.WithLabelValues("total").Observe(time.Since(time.UnixMicro(w.span.minTime)).Seconds())
		}
	}
	m.windowSeconds.Observe(time.Since(began).Seconds())
	m.windowRecords.Observe(float64(records))
}

// count counts a window's changes and records.
func (m *Metrics) count(w *window) {
	for i := range w.changes {
		if c := &w.changes[i]; c.table != nil {
			c.table.counters[operationIndex(c.op)].Inc()
			for r := c.first; r < w.endOf(i); r++ {
				if w.record(r).Value == nil {
					c.table.tombstones.Inc()
				}
			}
		}
	}
	for _, to := range w.tallies.touched {
		records := int64(0)
		for _, count := range w.tallies.byTopic[to.index] {
			records += count.records
		}
		m.records.WithLabelValues(to.name, "ok").Add(float64(records))
	}
}

// settled tells how far everything is stored.
func (m *Metrics) settled(s *Stored) {
	if m != nil {
		m.publishedLSN.Set(float64(s.Resume))
		m.lastConfirm.SetToCurrentTime()
	}
}

// filtered counts a change that configuration leaves out.
func (m *Metrics) filtered(reason string) {
	if m != nil {
		m.filteredTotal.WithLabelValues(reason).Inc()
	}
}

// toasted counts the values of a row that were not sent.
func (m *Metrics) toasted(s *tableStats, row schema.Row) {
	if m == nil {
		return
	}
	for i := range row {
		if row[i].Kind == schema.Unchanged {
			s.unchanged.Inc()
		}
	}
}

// transaction counts a Postgres transaction.
func (m *Metrics) transaction() {
	if m != nil {
		m.transactions.Inc()
	}
}

// transactionEnded counts a Kafka transaction.
func (m *Metrics) transactionEnded(result string) {
	if m != nil {
		m.kafkaTransactions.WithLabelValues(result).Inc()
	}
}

// refused counts a record that Kafka did not take.
func (m *Metrics) refused(topic string) {
	if m != nil {
		m.records.WithLabelValues(topic, "error").Inc()
	}
}

// blocked adds time in which the encoder waited.
func (m *Metrics) blocked(d time.Duration) {
	if m != nil {
		m.blockedSeconds.Add(d.Seconds())
	}
}

// hooks counts what Kafka's client does.
type hooks struct{ metrics *Metrics }

// OnProduceBatchWritten counts the bytes of a batch as it was sent.
func (h *hooks) OnProduceBatchWritten(_ kgo.BrokerMetadata, topic string, _ int32,
	written kgo.ProduceBatchMetrics,
) {
	if h.metrics != nil {
		h.metrics.bytes.WithLabelValues(topic).Add(float64(written.CompressedBytes))
	}
}

// produceKey is Kafka's number of the produce request.
const produceKey = 0

// OnBrokerE2E measures produce requests from their writing to their answer.
func (h *hooks) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, took kgo.BrokerE2E) {
	if h.metrics != nil && key == produceKey && took.Err() == nil {
		h.metrics.produce.Observe(took.DurationE2E().Seconds())
	}
}

// OnBrokerDisconnect counts a connection that ended.
func (h *hooks) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) {
	if h.metrics != nil {
		h.metrics.disconnects.Inc()
	}
}

var (
	_ kgo.HookProduceBatchWritten = (*hooks)(nil)
	_ kgo.HookBrokerE2E           = (*hooks)(nil)
	_ kgo.HookBrokerDisconnect    = (*hooks)(nil)
)

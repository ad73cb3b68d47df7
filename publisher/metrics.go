package publisher

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/schema"
)

// Metrics counts what is published. A nil *Metrics counts nothing.
type Metrics struct {
	events, tombstones, toast, filteredTotal   *prometheus.CounterVec
	records, bytes, kafkaTransactions, retries *prometheus.CounterVec
	transactions, blockedSeconds               prometheus.Counter
	latency                                    *prometheus.HistogramVec
	produce, windowSeconds, windowRecords      prometheus.Histogram
	transactionEvents, transactionBytes        prometheus.Histogram
	publishedLSN, lastEvent, lastConfirm, beat prometheus.Gauge
	disconnects                                prometheus.Counter

	mu     sync.Mutex      // guards tables
	tables map[string]bool // that have series of their own
}

// MaxTables is how many tables have series of their own in metrics with the label table; those met later
// share the series "other". A monitoring system suffers from more, and a person reads the first few.
const MaxTables = 500

// otherTables is the label of tables beyond MaxTables.
const otherTables = "other"

// The stages of tributary_event_latency_seconds.
const (
	stageReceive = "receive" // from the commit until the encoder has the change
	stagePublish = "publish" // from there until it is acknowledged
	stageTotal   = "total"
)

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
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: buckets, NativeHistogramBucketFactor: nativeFactor,
			NativeHistogramMaxBucketNumber: nativeBuckets,
		})
	}
	m := &Metrics{
		tables:     map[string]bool{},
		events:     counters("tributary_events_total", "Changes published and acknowledged.", "table", "op"),
		tombstones: counters("tributary_tombstones_total", "Tombstones published and acknowledged.", "table"),
		toast: counters("tributary_toast_unchanged_total", "Unchanged large values written as the "+
			"placeholder.", "table"),
		filteredTotal: counters("tributary_events_filtered_total", "Changes left out by configuration.", "reason"),
		records:       counters("tributary_kafka_records_total", "Records by outcome.", "topic", "result"),
		bytes:         counters("tributary_kafka_bytes_total", "Bytes of record batches as written.", "topic"),
		kafkaTransactions: counters("tributary_kafka_transactions_total",
			"Kafka transactions: commit, abort (what they held comes again), or error where this process was "+
				"fenced or got no answer, and whoever comes next learns the outcome.", "result"),
		transactions: counter("tributary_transactions_total", "Postgres transactions encoded."),
		retries: counters("tributary_kafka_retries_total",
			"Produce requests and delivery windows that are sent again, by Kafka's name of the error, or connection.",
			"error"),
		blockedSeconds: prometheus.NewCounter(prometheus.CounterOpts{
			Name: BackpressureName, Help: BackpressureHelp, ConstLabels: prometheus.Labels{"stage": stagePublish},
		}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tributary_event_latency_seconds",
			Help: "From the commit of a window's oldest change: receive until it is encoded, publish from there " +
				"until it is acknowledged, total.",
			Buckets: times, NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets,
		}, []string{"stage"}),
		produce:       histogram("tributary_kafka_produce_duration_seconds", "Time of one produce request.", times),
		windowSeconds: histogram("tributary_window_duration_seconds", "Time to deliver a window.", times),
		windowRecords: histogram("tributary_window_records", "Records in a window.",
			prometheus.ExponentialBuckets(1, 4, 10)),
		transactionEvents: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tributary_transaction_events", Help: "Records that one Postgres transaction made.",
			Buckets: prometheus.ExponentialBuckets(1, 10, 8),
		}),
		transactionBytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tributary_transaction_bytes", Help: "Bytes of keys and values that one Postgres transaction made.",
			Buckets: prometheus.ExponentialBuckets(1<<8, 16, 7),
		}),
		publishedLSN: gauge("tributary_published_lsn", "Up to where everything is published and stored."),
		lastEvent: gauge("tributary_last_event_timestamp_seconds",
			"Commit time of the latest change published."),
		lastConfirm: gauge("tributary_last_confirm_timestamp_seconds", "When a position was last stored."),
		beat:        gauge("tributary_heartbeat_timestamp_seconds", "When a heartbeat was last published."),
		disconnects: counter("tributary_kafka_disconnects_total", "Connections to brokers that ended."),
	}
	if r != nil {
		m.register(r)
	}
	return m
}

// register registers the metrics, and makes the series that are known beforehand, so that their first
// increase is seen as one.
func (m *Metrics) register(r prometheus.Registerer) {
	r.MustRegister(m.events, m.tombstones, m.toast, m.filteredTotal, m.records, m.bytes, m.kafkaTransactions,
		m.retries, m.transactions, m.blockedSeconds, m.latency, m.produce, m.windowSeconds, m.windowRecords,
		m.transactionEvents, m.transactionBytes, m.publishedLSN, m.lastEvent, m.lastConfirm, m.beat, m.disconnects)
	for _, why := range []string{filteredOperation, filteredUnchanged, filteredMessage} {
		m.filteredTotal.WithLabelValues(why)
	}
	for _, result := range []string{resultCommit, resultAbort, resultError} {
		m.kafkaTransactions.WithLabelValues(result)
	}
}

// The name and the help of the time in which a stage of the pipeline waited for the next one. The label stage
// is a constant: publish is counted here, decode by whoever has the stream.
const (
	BackpressureName = "tributary_backpressure_seconds_total"
	BackpressureHelp = "Time in which a stage waited for the next: decode for the encoder, publish for Kafka."
)

// Native histograms beside the classic buckets: a resolution of a tenth, and a bound on their memory.
const (
	nativeFactor  = 1.1
	nativeBuckets = 100
)

// bind looks up a table's counters once.
func (m *Metrics) bind(s *tableStats) {
	if m == nil {
		return
	}
	name := m.tableLabel(s.name)
	for i := range s.counters {
		s.counters[i] = m.events.WithLabelValues(name, operations[i:i+1])
	}
	s.tombstones, s.unchanged = m.tombstones.WithLabelValues(name), m.toast.WithLabelValues(name)
}

// tableLabel is what a table is called in metrics.
func (m *Metrics) tableLabel(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.tables[name] && len(m.tables) >= MaxTables {
		return otherTables
	}
	m.tables[name] = true
	return name
}

// delivered counts windows that are acknowledged whole, and were delivered together.
func (m *Metrics) delivered(windows []*window, began time.Time) {
	if m == nil {
		return
	}
	records, now := 0, time.Now()
	for _, w := range windows {
		m.count(w)
		records += w.n
		if w.span.changes {
			m.lastEvent.Set(float64(w.span.maxTime) / 1e6)
			committed := time.UnixMicro(w.span.minTime)
			m.latency.WithLabelValues(stageReceive).Observe(w.began.Sub(committed).Seconds())
			m.latency.WithLabelValues(stagePublish).Observe(now.Sub(w.began).Seconds())
			m.latency.WithLabelValues(stageTotal).Observe(now.Sub(committed).Seconds())
		}
		if !w.beat.IsZero() {
			m.beat.Set(float64(w.beat.UnixMicro()) / 1e6)
		}
	}
	m.windowSeconds.Observe(now.Sub(began).Seconds())
	m.windowRecords.Observe(float64(records))
}

// count counts a window's changes and records.
func (m *Metrics) count(w *window) {
	for i := range w.changes {
		if c := &w.changes[i]; c.table != nil {
			c.table.counters[operationIndex(c.op)].Inc()
			c.table.tombstones.Add(float64(w.tombstonesOf(i)))
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

// transaction counts a Postgres transaction that made so much.
func (m *Metrics) transaction(made limits) {
	if m != nil {
		m.transactions.Inc()
		m.transactionEvents.Observe(float64(made.records))
		m.transactionBytes.Observe(float64(made.bytes))
	}
}

// again counts a window that is sent again.
func (m *Metrics) again(err error) {
	var answer *kerr.Error
	switch {
	case m == nil:
	case errors.As(err, &answer):
		m.retries.WithLabelValues(answer.Message).Inc()
	default:
		m.retries.WithLabelValues(errorConnection).Inc()
	}
}

// errorConnection stands for an error that is not Kafka's answer: a connection that ended or was not made.
const errorConnection = "connection"

// The results of tributary_kafka_transactions_total.
const (
	resultCommit = "commit"
	resultAbort  = "abort"
	resultError  = "error" // fenced, or no answer: whoever comes next ends it, and learns how it ended
)

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

// OnBrokerE2E measures produce requests from their writing to their answer. One without an answer is sent
// again by the client.
func (h *hooks) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, took kgo.BrokerE2E) {
	switch {
	case h.metrics == nil || key != produceKey:
	case took.Err() == nil:
		h.metrics.produce.Observe(took.DurationE2E().Seconds())
	default:
		h.metrics.again(took.Err())
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

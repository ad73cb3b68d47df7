package main

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
	"github.com/tributary-cdc/tributary/schema"
)

// The words of the metrics that have one series for each, of which one is 1.
var (
	metricStates = []string{
		stateStarting, statePreflight, stateStandby, stateSnapshot, stateStreaming, stateRetrying, stateFailed,
	}
	metricWALStatus = []string{"reserved", "extended", "unreserved", "lost"}
)

// statusCollector gives the metrics that the status tells, so that page and metrics cannot disagree.
type statusCollector struct{ board *board }

// statusMetric is one such gauge.
type statusMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	// of returns the value; false leaves the metric out, where it is not known.
	of func(s *status) (float64, bool)
}

// gaugeOf describes a gauge.
func gaugeOf(name, help string, of func(s *status) (float64, bool)) statusMetric {
	return statusMetric{prometheus.NewDesc("tributary_"+name, help, nil, nil), prometheus.GaugeValue, of}
}

// counterOf describes a counter.
func counterOf(name, help string, of func(s *status) (float64, bool)) statusMetric {
	return statusMetric{prometheus.NewDesc("tributary_"+name, help, nil, nil), prometheus.CounterValue, of}
}

// always is a value that is known at any time.
func always(of func(s *status) float64) func(s *status) (float64, bool) {
	return func(s *status) (float64, bool) { return of(s), true }
}

// lsnOf is a position as a number: exact up to 8 PiB of WAL. It is left out while it is not known.
func lsnOf(of func(p statusLSNs) string) func(s *status) (float64, bool) {
	return func(s *status) (float64, bool) {
		lsn, err := decoder.ParseLSN(of(s.Position))
		return float64(lsn), err == nil
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// leads says whether this instance holds the slot.
func leads(s *status) bool { return s.State == stateSnapshot || s.State == stateStreaming }

// statusMetrics are the metrics of one series.
var statusMetrics = []statusMetric{
	gaugeOf("leader", "Whether this instance holds the slot and works.",
		always(func(s *status) float64 { return truth(leads(s)) })),
	gaugeOf("source_connected", "Whether the replication connection is up.",
		always(func(s *status) float64 { return truth(s.Source.Connected) })),
	gaugeOf("server_wal_lsn", "The end of the server's write-ahead log.",
		lsnOf(func(p statusLSNs) string { return p.Server })),
	gaugeOf("received_lsn", "Up to where the log was received.",
		lsnOf(func(p statusLSNs) string { return p.Received })),
	gaugeOf("confirmed_flush_lsn", "Up to where the server may forget the log.",
		lsnOf(func(p statusLSNs) string { return p.Confirmed })),
	gaugeOf("slot_restart_lsn", "From where the server keeps the log for the slot.",
		lsnOf(func(p statusLSNs) string { return p.Restart })),
	gaugeOf("slot_confirmed_lag_bytes", "WAL between the server's end and what is confirmed.",
		always(func(s *status) float64 { return float64(s.Lag.ConfirmedBytes) })),
	gaugeOf("slot_safe_wal_bytes", "WAL that may be written until the slot is lost; absent without a limit.",
		func(s *status) (float64, bool) {
			if s.Lag.SafeBytes == nil {
				return 0, false
			}
			return float64(*s.Lag.SafeBytes), true
		}),
	gaugeOf("replication_lag_seconds", "Age of the oldest change that is not in Kafka; 0 for none.",
		always(func(s *status) float64 { return s.Lag.Seconds })),
	gaugeOf("slot_active", "Whether anybody reads the slot; absent before the first look.",
		func(s *status) (float64, bool) {
			return truth(s.Source.SlotActive != nil && *s.Source.SlotActive), s.Source.SlotActive != nil
		}),
	counterOf("wal_received_bytes_total", "Bytes that came from the server since the slot was taken.",
		always(func(s *status) float64 { return float64(s.Source.ReceivedBytes) })),
	counterOf("slot_spill_bytes_total", "Bytes that the server wrote to its disk to decode large transactions; "+
		"absent before Postgres 14.", spillOf(func(s *statusSpill) int64 { return s.Bytes })),
	counterOf("slot_spill_transactions_total", "Transactions that the server wrote to its disk to decode them; "+
		"absent before Postgres 14.", spillOf(func(s *statusSpill) int64 { return s.Transactions })),
	gaugeOf("clock_offset_seconds", "How far the server's clock is ahead of this one; absent while unknown.",
		func(s *status) (float64, bool) {
			if s.Source.ClockOffsetSeconds == nil {
				return 0, false
			}
			return *s.Source.ClockOffsetSeconds, true
		}),
	gaugeOf("buffer_limit_bytes", "Bytes of records on their way to Kafka from which on what comes next waits.",
		always(func(s *status) float64 { return float64(s.Kafka.BufferLimit) })),
	gaugeOf("snapshot_duration_seconds", "How long the latest snapshot has taken, up to now or its end.",
		func(s *status) (float64, bool) {
			if s.Snapshot == nil {
				return 0, false
			}
			return s.Snapshot.Elapsed, true
		}),
	gaugeOf("buffer_bytes", "Bytes of records on their way to Kafka.",
		always(func(s *status) float64 { return float64(s.Kafka.BufferedBytes) })),
	gaugeOf("schemas_waiting", "Schemas that wait for the registry, which does not answer.",
		always(func(s *status) float64 { return float64(s.Registry.Waiting) })),
	gaugeOf("snapshot_running", "Whether a snapshot is under way.",
		always(func(s *status) float64 { return truth(s.Snapshot != nil && s.Snapshot.Running) })),
}

// spillOf is a value that only some servers tell.
func spillOf(of func(s *statusSpill) int64) func(s *status) (float64, bool) {
	return func(s *status) (float64, bool) {
		if s.Source.Spilled == nil {
			return 0, false
		}
		return float64(of(s.Source.Spilled)), true
	}
}

// The metrics of several series.
var (
	stalledDesc = prometheus.NewDesc(publisher.BackpressureName, publisher.BackpressureHelp, nil,
		prometheus.Labels{"stage": "decode"})
	holderDesc = prometheus.NewDesc("tributary_slot_holder",
		"What keeps the slot's WAL, where that is much: one of them is 1 then.", []string{"holder"}, nil)
	schemaChangesDesc = prometheus.NewDesc("tributary_schema_changes_total",
		"Changes of a table's definition that the stream met.", []string{"table"}, nil)
	secretsDesc = prometheus.NewDesc("tributary_secret_refreshes_total",
		"Secrets and tokens that were read, by where from.", []string{"source", "result"}, nil)
	stateDesc = prometheus.NewDesc("tributary_state", "What the pipeline does: one state is 1.",
		[]string{"state"}, nil)
	walStatusDesc = prometheus.NewDesc("tributary_slot_wal_status",
		"What the server says of the slot's WAL: one status is 1, none before the first look.",
		[]string{"status"}, nil)
	snapshotTablesDesc = prometheus.NewDesc("tributary_snapshot_tables",
		"Tables of the latest snapshot: done, running (begun and not finished) or pending.",
		[]string{"status"}, nil)
	snapshotRowsDesc = prometheus.NewDesc("tributary_snapshot_rows_estimated",
		"Rows of a table of the latest snapshot by its statistics; absent for one never analysed.",
		[]string{"table"}, nil)
)

// Describe lists the metrics.
func (c statusCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range statusMetrics {
		out <- m.desc
	}
	for _, desc := range []*prometheus.Desc{
		stateDesc, walStatusDesc, snapshotTablesDesc, snapshotRowsDesc, stalledDesc, holderDesc, schemaChangesDesc,
		secretsDesc,
	} {
		out <- desc
	}
}

// Collect reads the present status.
func (c statusCollector) Collect(out chan<- prometheus.Metric) {
	s := c.board.Status()
	for _, m := range statusMetrics {
		if value, known := m.of(&s); known {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, value)
		}
	}
	oneOf := func(desc *prometheus.Desc, words []string, present string) {
		for _, word := range words {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, truth(word == present), word)
		}
	}
	oneOf(stateDesc, metricStates, s.State)
	oneOf(walStatusDesc, metricWALStatus, s.Source.WALStatus)
	if s.Forecast != nil {
		oneOf(holderDesc, holderKinds, s.Forecast.HolderKind)
	}
	c.counters(out, &s)
	c.snapshot(out, s.Snapshot)
}

// snapshot tells of the latest snapshot's tables; nil is none.
func (c statusCollector) snapshot(out chan<- prometheus.Metric, s *statusSnapshot) {
	if s == nil {
		s = &statusSnapshot{}
	}
	running := len(s.Open)
	for status, tables := range map[string]int{
		"done": s.TablesDone, "running": running, "pending": s.Tables - s.TablesDone - running,
	} {
		out <- prometheus.MustNewConstMetric(snapshotTablesDesc, prometheus.GaugeValue, float64(tables), status)
	}
	perTable(s.estimates, func(table string, rows int64) {
		out <- prometheus.MustNewConstMetric(snapshotRowsDesc, prometheus.GaugeValue, float64(rows), table)
	})
}

// perTable tells the numbers of tables by name; of those beyond publisher.MaxTables the sum, as "other".
func perTable[N int | int64](numbers map[string]N, tell func(table string, number N)) {
	others := N(0)
	for i, table := range slices.Sorted(maps.Keys(numbers)) {
		if i >= publisher.MaxTables {
			others += numbers[table]
			continue
		}
		tell(table, numbers[table])
	}
	if others > 0 {
		tell("other", others)
	}
}

// counters are those that the status is too short for.
func (c statusCollector) counters(out chan<- prometheus.Metric, s *status) {
	count := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, value, labels...)
	}
	count(stalledDesc, s.Source.StalledSeconds)
	for read, times := range c.board.access.counted() {
		count(secretsDesc, float64(times), read.source, read.result)
	}
	perTable(c.board.chronicle.redefined(), func(table string, times int) {
		count(schemaChangesDesc, float64(times), table)
	})
}

// registryMetrics count what is asked of the schema registry. The zero value counts nothing.
type registryMetrics struct {
	registrations *prometheus.CounterVec
	requests      *prometheus.HistogramVec
}

func newRegistryMetrics(r prometheus.Registerer) registryMetrics {
	m := registryMetrics{
		prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_schema_registrations_total",
			Help: "Schemas that the registry was asked to take, by what came of it.",
		}, []string{"result"}),
		prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tributary_schema_registry_request_duration_seconds",
			Help: "Time of one request to the schema registry, by method and HTTP status; 0 for no answer.",
			// From a registry next door to the timeout of a request.
			Buckets: prometheus.ExponentialBuckets(0.002, 4, 8),
		}, []string{"op", "code"}),
	}
	for _, result := range []string{"registered", "incompatible", "error"} {
		m.registrations.WithLabelValues(result)
	}
	r.MustRegister(m.registrations, m.requests)
	return m
}

// observe has a registry's client counted, beside whoever is told already.
func (m registryMetrics) observe(o *schema.RegistryOptions) {
	if m.registrations == nil {
		return
	}
	registered := o.Registered
	o.Registered = func(subject string, id int) {
		m.registrations.WithLabelValues("registered").Inc()
		registered(subject, id)
	}
	o.Refused = func(_ string, err error) {
		result := "error"
		if incompatible := (*schema.IncompatibleError)(nil); errors.As(err, &incompatible) {
			result = "incompatible"
		}
		m.registrations.WithLabelValues(result).Inc()
	}
	o.Asked = func(method string, status int, took time.Duration) {
		m.requests.WithLabelValues(method, strconv.Itoa(status)).Observe(took.Seconds())
	}
}

// components are the digits of error codes in words: where something is wrong.
var components = map[byte]string{
	'1': "source", '2': "kafka", '3': "registry", '4': "position", '5': "takeover", '6': "program",
}

// componentOf is where an error of the catalogue is.
func componentOf(code string) string {
	if len(code) > 1 && components[code[1]] != "" {
		return components[code[1]]
	}
	return components['6']
}

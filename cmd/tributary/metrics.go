package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tributary-cdc/tributary/decoder"
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
	// of returns the value; false leaves the metric out, where it is not known.
	of func(s *status) (float64, bool)
}

// gaugeOf describes a gauge.
func gaugeOf(name, help string, of func(s *status) (float64, bool)) statusMetric {
	return statusMetric{prometheus.NewDesc("tributary_"+name, help, nil, nil), of}
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
	gaugeOf("buffer_bytes", "Bytes of records on their way to Kafka.",
		always(func(s *status) float64 { return float64(s.Kafka.BufferedBytes) })),
	gaugeOf("schemas_waiting", "Schemas that wait for the registry, which does not answer.",
		always(func(s *status) float64 { return float64(s.Registry.Waiting) })),
	gaugeOf("snapshot_running", "Whether a snapshot is under way.",
		always(func(s *status) float64 { return truth(s.Snapshot != nil && s.Snapshot.Running) })),
	gaugeOf("snapshot_rows_estimated", "Rows of the snapshot's tables by their statistics; absent when unknown.",
		func(s *status) (float64, bool) {
			if s.Snapshot == nil || s.Snapshot.Estimate == nil {
				return 0, false
			}
			return float64(*s.Snapshot.Estimate), true
		}),
}

// The metrics of several series.
var (
	stateDesc = prometheus.NewDesc("tributary_state", "What the pipeline does: one state is 1.",
		[]string{"state"}, nil)
	walStatusDesc = prometheus.NewDesc("tributary_slot_wal_status",
		"What the server says of the slot's WAL: one status is 1, none before the first look.",
		[]string{"status"}, nil)
	snapshotTablesDesc = prometheus.NewDesc("tributary_snapshot_tables",
		"Tables of the latest snapshot, finished or not.", []string{"status"}, nil)
)

// Describe lists the metrics.
func (c statusCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range statusMetrics {
		out <- m.desc
	}
	out <- stateDesc
	out <- walStatusDesc
	out <- snapshotTablesDesc
}

// Collect reads the present status.
func (c statusCollector) Collect(out chan<- prometheus.Metric) {
	s := c.board.Status()
	for _, m := range statusMetrics {
		if value, known := m.of(&s); known {
			out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, value)
		}
	}
	oneOf := func(desc *prometheus.Desc, words []string, present string) {
		for _, word := range words {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, truth(word == present), word)
		}
	}
	oneOf(stateDesc, metricStates, s.State)
	oneOf(walStatusDesc, metricWALStatus, s.Source.WALStatus)
	done, pending := 0, 0
	if s.Snapshot != nil {
		done, pending = s.Snapshot.TablesDone, s.Snapshot.Tables-s.Snapshot.TablesDone
	}
	out <- prometheus.MustNewConstMetric(snapshotTablesDesc, prometheus.GaugeValue, float64(done), "done")
	out <- prometheus.MustNewConstMetric(snapshotTablesDesc, prometheus.GaugeValue, float64(pending), "pending")
}

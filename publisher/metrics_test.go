package publisher

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tributary-cdc/tributary/decoder"
)

// gathered are the values of counters and gauges, and the sums and counts of histograms, by name and labels.
func gathered(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
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
			if h := m.GetHistogram(); h != nil {
				values[name+" count"], values[name+" sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
				continue
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return values
}

// TestMetrics publishes transactions, one of them in many windows and with more than one stored position, and
// reads what was counted.
func TestMetrics(t *testing.T) {
	for _, mode := range []Mode{ExactlyOnce, AtLeastOnce} {
		registry := prometheus.NewRegistry()
		r := newRig(t)
		r.o.Mode, r.o.Metrics, r.o.WindowRecords = mode, NewMetrics(registry), 20
		relation, s := relationOf("a"), newStory()
		s.transaction(insert(relation, 1, "small"))
		var large []decoder.Change
		for id := range 100 {
			large = append(large, insert(relation, 100+id, "large"))
		}
		s.transaction(large...)
		r.must(s.cut())
		got := gathered(t, registry)
		bytes := 0
		for _, record := range r.read("p.public.a") {
			bytes += len(record.Key) + len(record.Value)
		}
		for name, want := range map[string]float64{
			"transactions_total": 2, "transaction_events count": 2, "transaction_events sum": 101,
			"transaction_bytes sum": float64(bytes), "events_total c public.a": 101,
			"kafka_records_total ok p.public.a": 101, "events_filtered_total operation": 0,
		} {
			if got[name] != want {
				t.Errorf("mode %d: %s is %v, want %v", mode, name, got[name], want)
			}
		}
		whole := got["event_latency_seconds total sum"]
		parts := got["event_latency_seconds receive sum"] + got["event_latency_seconds publish sum"]
		if diff := whole - parts; diff > 0.001 || diff < -0.001 || whole <= 0 {
			t.Errorf("mode %d: latency is %v s, its stages %v s", mode, whole, parts)
		}
	}
}

// TestTableLabels: a database of many tables does not become as many series.
func TestTableLabels(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	for i := range MaxTables {
		if name := fmt.Sprintf("public.t%d", i); m.tableLabel(name) != name {
			t.Fatalf("table %d has no series of its own", i)
		}
	}
	if m.tableLabel("public.more") != otherTables || m.tableLabel("public.t7") != "public.t7" {
		t.Error("a table too many has a series, or one from before has lost its own")
	}
}

// TestRetries: errors without an answer count as such, answers by Kafka's name of them.
func TestRetries(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry)
	m.again(&AgainError{Doing: "publish", Err: context.DeadlineExceeded})
	if got := gathered(t, registry); got["kafka_retries_total connection"] != 1 {
		t.Errorf("retries: %v", got)
	}
}

// TestPulse: an encoder that waits for the registry is not at work, however long that takes; one that does
// not come round is.
func TestPulse(t *testing.T) {
	for name, want := range map[string]bool{"registry": false, "work": true} {
		r := newRig(t)
		reached, release := make(chan struct{}), make(chan struct{})
		halt := func() { close(reached); <-release }
		if name == "work" {
			halted := false
			r.o.XMin = func() int64 {
				if !halted {
					halted = true
					halt()
				}
				return 0
			}
		} else {
			topic := r.o.Topic
			halted := false
			r.o.Topic = func(namespace, table string) string {
				if !halted {
					halted = true
					halt()
				}
				return topic(namespace, table)
			}
		}
		p, err := Open(t.Context(), r.o)
		if err != nil {
			t.Fatal(err)
		}
		in, done := make(chan *decoder.Batch, 1), make(chan error, 1)
		in <- newStory().transaction(insert(relationOf("a"), 1, "x")).cut()
		close(in)
		go func() { done <- p.Run(t.Context(), in) }()
		<-reached
		if got := p.Status().Working > 0; got != want {
			t.Errorf("%s: at work: %t, want %t", name, got, want)
		}
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if p.Status().Working != 0 {
			t.Errorf("%s: at work after the end", name)
		}
		p.Close()
	}
}

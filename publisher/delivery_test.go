package publisher

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tributary-cdc/tributary/decoder"
)

// anotherTrace is one beside testTrace.
var anotherTrace = strings.Replace(testTrace, "4bf9", "1111", 1)

// TestDelivered: for each window in the ledger there is one Delivery that says the same, and those that hold
// records of a transaction with a trace name it, also where it is spread over many.
func TestDelivered(t *testing.T) {
	a := relationOf("a")
	var large []decoder.Change
	large = append(large, traceMessage(anotherTrace, true))
	for id := range 60 {
		large = append(large, insert(a, 100+id, "x"))
	}
	for _, mode := range []Mode{ExactlyOnce, AtLeastOnce} {
		for _, debezium := range []bool{false, true} {
			r := newRig(t)
			r.o.Mode, r.o.Schema.Debezium, r.o.WindowRecords = mode, debezium, 16
			r.o.Message = func(string) bool { return false }
			var told []Delivery
			r.o.Delivered = func(d Delivery) { told = append(told, d) }
			s := newStory()
			s.transaction(insert(a, 1, "x"), traceMessage(testTrace, true), insert(a, 2, "x"))
			s.transaction(insert(a, 3, "untraced")).transaction(traceMessage(testTrace, true)) // nothing to trace
			s.transaction(large...)
			s.transaction(traceMessage(anotherTrace, true), insert(a, 4, "x"))
			r.must(s.cut())
			compareLedger(t, r, told)
			transactions := 0
			for _, d := range told {
				transactions += d.Transactions
				var want []string
				holds := func(commit decoder.LSN) bool { return d.First.Commit <= commit && commit <= d.Last.Commit }
				if holds(2000) {
					want = append(want, testTrace)
				}
				if holds(5000) || holds(6000) { // the large one may be in several
					want = append(want, anotherTrace)
				}
				if d.Err != nil || d.Mode != mode || d.Began.IsZero() || d.Ended.Before(d.Began) ||
					!slices.Equal(d.Traces, want) {
					t.Errorf("%s, debezium %t: want traces %v: %+v", mode, debezium, want, d)
				}
			}
			if transactions != 4 {
				t.Errorf("%s, debezium %t: %d transactions, want 4 with records", mode, debezium, transactions)
			}
		}
	}
}

// compareLedger holds what was told against the ledger, which other code writes and verify reads.
func compareLedger(t *testing.T, r *rig, told []Delivery) {
	t.Helper()
	byWindow := map[uint64]Delivery{}
	for _, d := range told {
		byWindow[d.Window] = d
	}
	if len(byWindow) != len(told) {
		t.Errorf("%d windows told of in %d deliveries", len(byWindow), len(told))
	}
	for _, record := range r.read(r.o.LedgerTopic) {
		var l LedgerRecord
		if err := json.Unmarshal(record.Value, &l); err != nil {
			t.Fatal(err)
		}
		records, bytes := 0, 0
		for _, partitions := range l.Partitions {
			for _, count := range partitions {
				records, bytes = records+int(count.Records), bytes+int(count.Bytes)
			}
		}
		d, found := byWindow[l.Window]
		delete(byWindow, l.Window)
		if records == 0 && !found {
			continue
		}
		if d.Records != records || d.Bytes != bytes || d.Resume != l.Resume || d.Epoch != l.Epoch ||
			l.First == nil || d.First != decoder.Position(*l.First) || d.Last != decoder.Position(*l.Last) {
			t.Errorf("window %d: told %+v, ledger %s", l.Window, d, record.Value)
		}
	}
	if len(byWindow) > 0 {
		t.Errorf("not in the ledger: %v", byWindow)
	}
}

// TestDeliveryFailed: a window that brokers refuse is told of with the error, and no end.
func TestDeliveryFailed(t *testing.T) {
	for _, mode := range []Mode{ExactlyOnce, AtLeastOnce} {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		r := rigOn(t, cluster.ListenAddrs()[0], "p")
		r.o.Mode = mode
		var told []Delivery
		r.o.Delivered = func(d Delivery) { told = append(told, d) }
		cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			return refuseAll(request.(*kmsg.ProduceRequest)), nil, true
		})
		s := newStory().transaction(traceMessage(testTrace, true), insert(relationOf("a"), 1, "x"))
		_, err = r.run(s.cut())
		if err == nil {
			t.Fatalf("%s: published what no broker took", mode)
		}
		if len(told) != 1 || told[0].Err == nil || told[0].Resume != 0 || told[0].Records == 0 ||
			fmt.Sprint(told[0].Traces) != "["+testTrace+"]" {
			t.Errorf("%s: told %+v", mode, told)
		}
	}
}

// refuseAll answers that no broker may write.
func refuseAll(request *kmsg.ProduceRequest) *kmsg.ProduceResponse {
	response := request.ResponseKind().(*kmsg.ProduceResponse)
	for _, asked := range request.Topics {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
		for _, to := range asked.Partitions {
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.Partition, partition.ErrorCode = to.Partition, kerr.TopicAuthorizationFailed.Code
			topic.Partitions = append(topic.Partitions, partition)
		}
		response.Topics = append(response.Topics, topic)
	}
	return response
}

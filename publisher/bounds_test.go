package publisher

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// TestSnapshotFillsNoMoreThanAWindow reads a snapshot while Kafka takes nothing: what the publisher holds
// must stay within its windows, and the rest must wait at its source.
func TestSnapshotFillsNoMoreThanAWindow(t *testing.T) {
	rig := newRig(t)
	rig.o.WindowRecords = 10
	stuck := make(chan struct{})
	rig.o.step = func(s step) error {
		if s == stepBegun {
			<-stuck
		}
		return nil
	}
	relation := relationOf("rows")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	p, err := Open(ctx, rig.o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	in, done := make(chan *decoder.Batch), make(chan error, 1)
	go func() { done <- p.Run(ctx, in) }()
	const rows = 5
	taken := 0
	patience := time.NewTimer(500 * time.Millisecond)
	for blocked := false; !blocked && taken < 100; {
		b := &decoder.Batch{Progress: []byte(`{"done":false}`)}
		b.Begin(decoder.Transaction{Commit: 100})
		for id := range rows {
			*b.Add() = decoder.Change{Op: schema.OpRead, Relation: relation, New: rowOf(taken*rows+id, "x")}
		}
		select {
		case in <- b:
			taken++
		case <-patience.C:
			blocked = true
		}
	}
	if most := exactWindows * (rig.o.WindowRecords/deliveryParts + rows); taken*rows > most {
		t.Errorf("took %d rows while Kafka took none: want at most %d", taken*rows, most)
	}
	close(stuck)
	close(in)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := len(rig.read("p.public.rows")); got != taken*rows {
		t.Errorf("want %d records, got %d", taken*rows, got)
	}
}

// TestUnreachableKafkaIsRetried asks a Kafka that is not there: what fails must say that it may be tried
// again.
func TestUnreachableKafkaIsRetried(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "positions", "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	brokers := cluster.ListenAddrs()
	opts := []kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.RetryTimeout(100 * time.Millisecond), kgo.RequestRetries(1),
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cluster.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, errors.New("no"), true // closes the connection
	})
	_, err = Load(ctx, opts, "positions", "p", "slot")
	if !decoder.Retryable(err) {
		t.Errorf("Load: want an error that is worth another try, got %v", err)
	}
	err = History(ctx, opts, "ledger", "p", "slot", time.Time{}, func(LedgerRecord) error { return nil })
	if !decoder.Retryable(err) {
		t.Errorf("History: want an error that is worth another try, got %v", err)
	}
	cluster.Close()
	if _, err = Load(ctx, opts, "positions", "p", "slot"); !decoder.Retryable(err) {
		t.Errorf("Load: want an error that is worth another try, got %v", err)
	}
}

// TestImpossibleTopic asks for a topic that Kafka can never have: it must be told, not waited for.
func TestImpossibleTopic(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	const name = "p.public.no topic"
	cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked := request.(*kmsg.MetadataRequest).Topics
		if len(asked) != 1 || asked[0].Topic == nil || *asked[0].Topic != name {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.MetadataResponse)
		answer := kmsg.NewMetadataResponseTopic()
		answer.Topic, answer.ErrorCode = asked[0].Topic, kerr.InvalidTopicException.Code
		response.Topics = append(response.Topics, answer)
		return response, nil, true
	})
	rig := rigOn(t, cluster.ListenAddrs()[0], "p")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p, err := Open(ctx, rig.o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	in := make(chan *decoder.Batch, 1)
	in <- newStory().transaction(insert(relationOf("no topic"), 1, "x")).cut()
	close(in)
	var refused *RecordError
	if err := p.Run(ctx, in); !errors.As(err, &refused) || refused.ErrorCode() != "E227" {
		t.Errorf("want a *RecordError, got %v", err)
	}
}

// TestRefusedRecord has the broker refuse what it cannot take, as a compacted topic a record without a key.
func TestRefusedRecord(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	rig := rigOn(t, cluster.ListenAddrs()[0], "p")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p, err := Open(ctx, rig.o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.ProduceResponse)
		for _, asked := range request.(*kmsg.ProduceRequest).Topics {
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
			for _, partition := range asked.Partitions {
				refused := kmsg.NewProduceResponseTopicPartition()
				refused.Partition, refused.ErrorCode = partition.Partition, kerr.InvalidRecord.Code
				topic.Partitions = append(topic.Partitions, refused)
			}
			response.Topics = append(response.Topics, topic)
		}
		return response, nil, true
	})
	in := make(chan *decoder.Batch, 1)
	in <- newStory().transaction(insert(relationOf("keyless"), 1, "x")).cut()
	close(in)
	var refused *RecordError
	if err := p.Run(ctx, in); !errors.As(err, &refused) || refused.ErrorCode() != "E219" ||
		!strings.Contains(refused.Error(), "set its cleanup.policy to delete") {
		t.Errorf("want a *RecordError that names the way out, got %v", err)
	}
}

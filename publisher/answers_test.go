package publisher

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRefusedForNow has brokers refuse a batch for now, and reads why in what the client itself then logs: a
// version of the client that words it otherwise fails here.
func TestRefusedForNow(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	refused := make(chan struct{}, 100)
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.ProduceResponse)
		for _, asked := range request.(*kmsg.ProduceRequest).Topics {
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.ErrorCode = kerr.NotEnoughReplicas.Code
			topic.Partitions = append(topic.Partitions, partition)
			response.Topics = append(response.Topics, topic)
		}
		select {
		case refused <- struct{}{}:
		default:
		}
		return response, nil, true
	})
	b := &board{flying: []flying{{since: time.Now().Add(-2 * againAfter)}}} // records that wait
	var aborted atomic.Bool
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()[0]), kgo.WithLogger(answers{b, &aborted}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.Produce(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("x")}, nil)
	deadline := time.After(20 * time.Second)
	for {
		select {
		case <-refused:
		case <-deadline:
			t.Fatal("the client's log does not tell what Kafka answers, or in other words than before")
		}
		b.mu.Lock()
		again := b.status.Again
		b.mu.Unlock()
		if again == nil {
			continue
		}
		if !errors.Is(again, kerr.NotEnoughReplicas) || ErrorCode(again) != codeNotEnough ||
			!strings.HasPrefix(again.Error(), "publish to topic orders: ") {
			t.Errorf("the log is read as %v", again)
		}
		return
	}
}

// TestAbortedInsteadOfCommitted has the client believe that no record of a transaction arrived: it aborts
// what it was told to commit, and gives no error. That must be one.
func TestAbortedInsteadOfCommitted(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	rig := rigOn(t, cluster.ListenAddrs()[0], "p")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	p, err := Open(ctx, rig.o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	refuse := true
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !refuse {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.ProduceResponse)
		for _, asked := range request.(*kmsg.ProduceRequest).Topics {
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.ErrorCode = kerr.MessageTooLarge.Code
			topic.Partitions = append(topic.Partitions, partition)
			response.Topics = append(response.Topics, topic)
		}
		return response, nil, true
	})
	transaction := func() error {
		if err := p.client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		acks := expecting(1)
		p.client.Produce(ctx, &kgo.Record{Topic: p.o.PositionTopic, Value: []byte("x")}, acks.promise)
		if err := p.client.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if failed := acks.wait(ctx); (failed != nil) != refuse {
			t.Fatalf("refused %t, want %t", failed != nil, refuse)
		}
		return p.commit(ctx)
	}
	if err := transaction(); !errors.Is(err, errAborted) {
		t.Errorf("aborted: want errAborted, got %v", err)
	}
	refuse = false
	if err := transaction(); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/deploy/local/pagila"
)

// received is one record of a table's topic.
type received struct {
	op    string // r, c, u, d, or - for a tombstone
	table string
	key   string
	after row // nil for d and tombstones
	// partition and offset say where it stood.
	partition int32
	offset    int64
}

// consumer reads the topics of all tables as a read_committed consumer does, and decodes them with
// libraries that the pipeline does not encode with.
type consumer struct {
	client  *kgo.Client
	records *local.Records
	topics  map[string]pagila.Table // by topic
	// next is the offset after the last thing read of each topic's partitions, control records included.
	next map[string]map[int32]int64
}

// newConsumer reads the topics from their beginning. They need not exist yet.
func newConsumer(brokers, registry, schema string) (*consumer, error) {
	c := &consumer{
		records: local.NewRecords(registry),
		topics:  map[string]pagila.Table{},
		next:    map[string]map[int32]int64{},
	}
	for _, t := range pagila.Tables {
		topic := topicPrefix + "." + schema + "." + t.Name
		c.topics[topic], c.next[topic] = t, map[int32]int64{}
	}
	topics := make([]string, 0, len(c.topics))
	for topic := range c.topics {
		topics = append(topics, topic)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that next reaches the end of a partition
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MetadataMinAge(100*time.Millisecond), // the topics do not exist yet
		kgo.MetadataMaxAge(time.Second),
	)
	if err != nil {
		return nil, fmt.Errorf("make the consumer: %w", err)
	}
	c.client = client
	return c, nil
}

// pollWait is how long poll waits: so soon a pipeline that ended is noticed.
const pollWait = 250 * time.Millisecond

// poll waits a moment for records and returns those that came in the order of their partitions, maybe none.
func (c *consumer) poll(ctx context.Context) ([]received, error) {
	// Only the wait is bounded: what came is decoded, however long its schema takes.
	wait, cancel := context.WithTimeout(ctx, pollWait)
	fetches := c.client.PollFetches(wait)
	cancel()
	var errs []error
	var all []received
	fetches.EachError(func(topic string, _ int32, err error) {
		if wait.Err() == nil || !errors.Is(err, wait.Err()) {
			errs = append(errs, fmt.Errorf("consume %s: %w", topic, err))
		}
	})
	fetches.EachRecord(func(record *kgo.Record) {
		c.next[record.Topic][record.Partition] = record.Offset + 1
		if record.Attrs.IsControl() {
			return
		}
		r, err := c.decode(ctx, record)
		if err != nil {
			errs = append(errs, fmt.Errorf("decode %s/%d offset %d: %w",
				record.Topic, record.Partition, record.Offset, err))
		}
		all = append(all, r)
	})
	return all, errors.Join(errs...)
}

// envelope is what the demo reads of a value.
type envelope struct {
	Op    string                     `json:"op"`
	After map[string]json.RawMessage `json:"after"`
}

// decode reads one record. The key says which row; a null value is a tombstone; else the envelope says what
// happened.
func (c *consumer) decode(ctx context.Context, record *kgo.Record) (received, error) {
	t := c.topics[record.Topic]
	r := received{op: "-", table: t.Name, partition: record.Partition, offset: record.Offset}
	text, err := c.records.JSON(ctx, record.Key)
	if err != nil {
		return r, fmt.Errorf("key: %w", err)
	}
	var key map[string]json.RawMessage
	if err := json.Unmarshal(text, &key); err != nil {
		return r, fmt.Errorf("key: %w", err)
	}
	r.key = string(key[t.Key])
	if len(record.Value) == 0 {
		return r, nil
	}
	if text, err = c.records.JSON(ctx, record.Value); err != nil {
		return r, fmt.Errorf("value: %w", err)
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return r, fmt.Errorf("value: %w", err)
	}
	r.op = e.Op
	if e.After != nil {
		r.after = row{}
	}
	for column, value := range e.After {
		r.after[column] = string(value)
	}
	return r, nil
}

// atEnd says whether everything that is committed in the topics now has been read.
func (c *consumer) atEnd(ctx context.Context) (bool, error) {
	topics := make([]string, 0, len(c.topics))
	for topic := range c.topics {
		topics = append(topics, topic)
	}
	ends, err := kadm.NewClient(c.client).ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return false, fmt.Errorf("list the ends of the topics: %w", err)
	}
	done := true
	ends.Each(func(end kadm.ListedOffset) {
		done = done && c.next[end.Topic][end.Partition] >= end.Offset
	})
	return done, nil
}

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/cmd/tributary/audit"
	"github.com/tributary-cdc/tributary/publisher"
)

// auditLog recounts the topics against the ledger, while the pipeline goes on. What a window has in a topic
// is there when the window is in the ledger, so the ledger is read first. The ends of the topics come next,
// which may lie in a later window; the ledger is read again behind the topics, to know it.
func (v *verifier) auditLog(ctx context.Context) (*audit.Log, error) {
	ledger := audit.NewLedger()
	if err := v.readLedger(ctx, ledger); err != nil {
		return nil, err
	}
	if ledger.Windows == 0 {
		return nil, fmt.Errorf("topic %s holds no window of pipeline %s: there is nothing to hold the log against",
			v.config.Kafka.LedgerTopic, v.config.Pipeline)
	}
	floor := int(ledger.Windows)
	client, err := kgo.NewClient(v.kafka...)
	if err != nil {
		return nil, fmt.Errorf("open a Kafka client: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	var all []*audit.Partition
	for _, topic := range topicsOf(ledger) {
		compacted, err := isCompacted(ctx, admin, topic)
		if err != nil {
			return nil, err
		}
		if compacted {
			ledger.NotRecounted = append(ledger.NotRecounted, topic)
			continue
		}
		partitions, err := v.recount(ctx, admin, ledger, topic)
		if err != nil {
			return nil, err
		}
		all = append(all, partitions...)
	}
	if err := v.readLedger(ctx, ledger); err != nil {
		return nil, err
	}
	for _, p := range all {
		p.End(floor)
	}
	ledger.Finish(all)
	return &ledger.Log, nil
}

// readLedger adds the windows that have come since it was called last.
func (v *verifier) readLedger(ctx context.Context, ledger *audit.Ledger) error {
	known := ledger.Windows
	c := v.config
	return publisher.History(ctx, v.kafka, c.Kafka.LedgerTopic, c.Pipeline, c.Source.Slot, time.Time{},
		func(r publisher.LedgerRecord) error {
			if known > 0 {
				known--
				return nil
			}
			return ledger.Add(r)
		})
}

// topicsOf returns the topics of a ledger's windows, by name.
func topicsOf(ledger *audit.Ledger) []string {
	var topics []string
	for _, tp := range ledger.Partitions() {
		topics = append(topics, tp.Topic)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// isCompacted says that records may be gone from the middle of a topic.
func isCompacted(ctx context.Context, admin *kadm.Client, topic string) (bool, error) {
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err == nil {
		_, err = configs.On(topic, nil)
	}
	if err != nil {
		return false, fmt.Errorf("look up the settings of topic %s: %w", topic, err)
	}
	for _, setting := range configs[0].Configs {
		if setting.Key == "cleanup.policy" && strings.Contains(setting.MaybeValue(), "compact") {
			return true, nil
		}
	}
	return false, nil
}

// recount counts the records of one topic again.
func (v *verifier) recount(ctx context.Context, admin *kadm.Client, ledger *audit.Ledger, topic string,
) ([]*audit.Partition, error) {
	r, err := rangeOf(ctx, admin, topic)
	if err != nil {
		return nil, err
	}
	byNumber := map[int32]*audit.Partition{}
	var all []*audit.Partition
	add := func(number int32) {
		p := audit.NewPartition(audit.PartitionOptions{
			TopicPartition: audit.TopicPartition{Topic: topic, Partition: number}, Partitions: r.partitions,
			Truncated: r.starts[number] > 0, Ledger: ledger, Reader: v.reader, NoTombstones: !v.config.Tombstones,
		})
		byNumber[number] = p
		all = append(all, p)
	}
	for number := range r.partitions {
		add(number)
	}
	for _, tp := range ledger.Partitions() { // a partition that is gone, with its topic
		if tp.Topic == topic && byNumber[tp.Partition] == nil {
			add(tp.Partition)
		}
	}
	n := 0
	err = r.read(ctx, v.kafka, func(record *kgo.Record) error {
		n++
		if n%10_000 == 0 {
			v.tell("%s: %s records counted", topic, thousands(int64(n)))
		}
		if isReplayed(record) {
			ledger.Replayed++
			return nil
		}
		return byNumber[record.Partition].Record(ctx, record)
	})
	return all, err
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
)

// offsetTimeout bounds the reading of Connect's offsets: the topic is compacted and small.
const offsetTimeout = time.Minute

// countPrefix is before a table's name in an offset, for its numbered changes.
const countPrefix = "transaction_data_collection_order_"

// offsetKey is a record's key in Connect's offsets: ["connector",{"server":"prefix"}].
func offsetKey(connector, prefix string) ([]byte, error) {
	var parts [2]json.RawMessage
	var err error
	if parts[0], err = json.Marshal(connector); err == nil {
		parts[1], err = json.Marshal(map[string]string{"server": prefix})
	}
	if err != nil {
		return nil, fmt.Errorf("write the key of connector %s: %w", connector, err)
	}
	return json.Marshal(parts)
}

// readOffset reads what a connector has stored in the topic of Connect's offsets.
func readOffset(ctx context.Context, opts []kgo.Opt, c TakeoverConfig, prefix string) (*connectorOffset,
	error,
) {
	ctx, cancel := context.WithTimeout(ctx, offsetTimeout)
	defer cancel()
	where := fmt.Sprintf("read the offset of connector %s in topic %s", c.Connector, c.ConnectOffsets)
	want, err := offsetKey(c.Connector, prefix)
	if err != nil {
		return nil, err
	}
	reader, err := kgo.NewClient(append(slices.Clone(opts), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords())...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	defer reader.Close()
	open, err := unread(ctx, reader, c.ConnectOffsets)
	if err != nil {
		return nil, offsetFault(where, err)
	}
	offset := &connectorOffset{}
	for len(open) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := errors.Join(fetches.Err(), ctx.Err()); err != nil {
			return nil, offsetFault(where, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() && bytes.Equal(compact(r.Key), want) {
				var parsed *connectorOffset
				if parsed, err = parseOffset(r.Value); err == nil {
					parsed.partition, offset = r.Partition, parsed
				}
			}
			if r.Offset+1 >= open[r.Partition] {
				delete(open, r.Partition)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
	}
	return offset, nil
}

// unread returns the end of each partition that holds something, and has the client read all of them.
func unread(ctx context.Context, client *kgo.Client, topic string) (map[int32]int64, error) {
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(starts.Error(), ends.Error()); err != nil {
		return nil, err
	}
	open, from := map[int32]int64{}, map[int32]kgo.Offset{}
	for partition, end := range ends[topic] {
		if start, _ := starts.Lookup(topic, partition); end.Offset > start.Offset {
			open[partition], from[partition] = end.Offset, kgo.NewOffset().AtStart()
		}
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	return open, nil
}

// compact returns JSON without blanks; what is no JSON stays.
func compact(text []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text
	}
	return b.Bytes()
}

// parseOffset reads an offset's JSON. A null, which Connect writes for an offset that is reset, is none.
func parseOffset(text []byte) (*connectorOffset, error) {
	o := &connectorOffset{}
	if text = compact(text); len(text) == 0 || string(text) == "null" {
		return o, nil
	}
	var v offsetValue
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, fmt.Errorf("not the offset of a PostgreSQL connector: %w", err)
	}
	if v.LSN == 0 && len(v.Snapshot) == 0 {
		return nil, errors.New("not the offset of a PostgreSQL connector: it has no lsn")
	}
	o.found = true
	o.LSN, o.Commit = decoder.LSN(v.LSN), decoder.LSN(v.Commit)
	o.XID, o.Message, o.Incremental = uint32(v.XID), v.Message, v.Table != ""
	o.Snapshot = len(v.Snapshot) > 0 && string(v.Snapshot) != "false" && string(v.Snapshot) != "null"
	// Before 3.0 nothing but the last record of a snapshot said that it is done.
	o.Done = v.Last
	if v.Completed != nil {
		o.Done = *v.Completed
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read the counts of an offset: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		table, isCount := strings.CutPrefix(name, countPrefix)
		if !isCount {
			continue
		}
		count := publisher.TableCount{Table: table}
		if err := json.Unmarshal(all[name], &count.Count); err != nil {
			return nil, fmt.Errorf("read the counts of an offset: %s: %w", name, err)
		}
		o.Counts = append(o.Counts, count)
	}
	return o, nil
}

// writeOffset stores an offset of a stream that is whole up to resume. As the end of a transaction Debezium
// goes on with whatever begins there, its own record of the same LSN included.
func writeOffset(ctx context.Context, opts []kgo.Opt, c TakeoverConfig, prefix string, partition int32,
	resume decoder.LSN, now time.Time,
) error {
	ctx, cancel := context.WithTimeout(ctx, offsetTimeout)
	defer cancel()
	where := fmt.Sprintf("write the offset of connector %s to topic %s", c.Connector, c.ConnectOffsets)
	key, err := offsetKey(c.Connector, prefix)
	if err != nil {
		return err
	}
	at := decimalLSN(resume)
	value, err := json.Marshal(offsetValue{
		LSN: at, Processed: at, Commit: at, Message: debeziumCommit,
		Micros: now.UnixMicro(),
	})
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	record := &kgo.Record{Topic: c.ConnectOffsets, Key: key, Value: value, Partition: partition}
	opts = append(slices.Clone(opts), kgo.RequiredAcks(kgo.AllISRAcks()))
	if partition >= 0 {
		// Where the record before is: compaction and reading order hold within a partition only.
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		return offsetFault(where, err)
	}
	return nil
}

// offsetFault gives the error of reading or writing Connect's offsets its type: a Kafka that is away may
// answer later; a topic that is not there, or a right that is missing, needs a person.
func offsetFault(where string, err error) error {
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return needsPerson{fmt.Errorf("%s: %w: takeover.connect_offsets names the worker's offset.storage.topic",
			where, err)}
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.SaslAuthenticationFailed):
		return needsPerson{fmt.Errorf("%s: %w: grant Read, Write and Describe on the topic", where, err)}
	}
	return &publisher.AgainError{Doing: where, Err: err}
}

package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// History reads the ledger records of a pipeline and slot that were written since a time (zero is as far
// back as the topic reaches), in the order of their partition, and gives each to found. A topic that does
// not exist holds none. Of other pipelines it reads the keys alone.
func History(ctx context.Context, client []kgo.Opt, topic, pipeline, slot string, since time.Time,
	found func(LedgerRecord) error,
) error {
	doing := "read the ledger of " + pipeline + "/" + slot
	reader, err := kgo.NewClient(append(append([]kgo.Opt(nil), client...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		return fmt.Errorf("make the Kafka client: %w", err)
	}
	defer reader.Close()
	ends, err := historyRange(ctx, reader, topic, since)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return nil
	case err != nil:
		return unread(doing, topic, err)
	}
	prefix := pipeline + "/" + slot + "/"
	for len(ends) > 0 {
		fetches, err := poll(ctx, reader)
		if err != nil {
			return unread(doing+": topic "+topic, topic, err)
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			end, waiting := ends[r.Partition]
			if waiting && r.Offset+1 >= end {
				delete(ends, r.Partition) // or what follows an aborted end has come
			}
			if bad == nil && waiting && r.Offset < end && !r.Attrs.IsControl() && ofSlot(string(r.Key), prefix) {
				bad = historyRecord(r, found)
			}
		})
		if bad != nil {
			return fmt.Errorf("%s: %w", doing, bad)
		}
	}
	return nil
}

// ofSlot says whether a ledger key is a window's of the slot: what a replay writes has a longer key.
func ofSlot(key, prefix string) bool {
	number, ours := strings.CutPrefix(key, prefix)
	_, err := strconv.ParseUint(number, 10, 64)
	return ours && err == nil
}

// historyRange begins to read, and returns up to where by partition, without those that hold nothing.
func historyRange(
	ctx context.Context, reader *kgo.Client, topic string, since time.Time,
) (map[int32]int64, error) {
	admin := kadm.NewClient(reader)
	from, err := admin.ListStartOffsets(ctx, topic)
	if err == nil && !since.IsZero() {
		from, err = admin.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topic)
	}
	if err != nil {
		return nil, err
	}
	if len(from[topic]) == 0 {
		return nil, kerr.UnknownTopicOrPartition
	}
	until, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, begins := map[int32]int64{}, map[int32]kgo.Offset{}
	for partition, start := range from[topic] {
		end, _ := until.Lookup(topic, partition)
		if err := errors.Join(start.Err, end.Err); err != nil {
			return nil, err
		}
		if start.Offset >= 0 && start.Offset < end.Offset {
			ends[partition], begins[partition] = end.Offset, kgo.NewOffset().At(start.Offset)
		}
	}
	if len(ends) > 0 {
		reader.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: begins})
	}
	return ends, nil
}

func historyRecord(r *kgo.Record, found func(LedgerRecord) error) error {
	var l LedgerRecord
	if err := json.Unmarshal(r.Value, &l); err != nil {
		return fmt.Errorf("record %s at offset %d: %w", r.Key, r.Offset, err)
	}
	if l.Version != ledgerVersion {
		return fmt.Errorf("record %s at offset %d has version %d, and this program knows version %d only",
			r.Key, r.Offset, l.Version, ledgerVersion)
	}
	return found(l)
}

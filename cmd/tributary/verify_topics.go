package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// quiet is how long a topic may give nothing before its end is asked for again, and maxQuiet how often:
	// another producer's transaction may be open as long.
	quiet    = 5 * time.Second
	maxQuiet = 12
	gapQuiet = 3 // quiets until what is left before an end is taken for a gap that compaction left
	// fetchBytes and partitionBytes bound what one request for records brings, compressed: it may be ten
	// times as much in memory.
	fetchBytes     = 1 << 20
	partitionBytes = 256 << 10
)

// topicRange is what of a topic is read: all that lies before the ends, by partition.
type topicRange struct {
	topic      string
	starts     map[int32]int64
	ends       map[int32]int64 // of those that hold anything
	partitions int32
}

// rangeOf looks up what a topic holds now. A topic that does not exist holds nothing.
func rangeOf(ctx context.Context, admin *kadm.Client, topic string) (topicRange, error) {
	r := topicRange{topic: topic, starts: map[int32]int64{}, ends: map[int32]int64{}}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return r, fmt.Errorf("look up the start of topic %s: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return r, fmt.Errorf("look up the end of topic %s: %w", topic, err)
	}
	for _, end := range ends[topic] {
		start, found := starts.Lookup(topic, end.Partition)
		err := errors.Join(end.Err, start.Err)
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			continue
		case err != nil || !found:
			return r, fmt.Errorf("look up the end of topic %s partition %d: %w", topic, end.Partition, err)
		}
		r.partitions = max(r.partitions, end.Partition+1)
		r.starts[end.Partition] = start.Offset
		if start.Offset < end.Offset {
			r.ends[end.Partition] = end.Offset
		}
	}
	return r, nil
}

// read gives every record of the range that a read_committed consumer sees to do, those of a partition in
// order. The ends of partitions may lie in open transactions: it waits for these.
func (r topicRange) read(ctx context.Context, opts []kgo.Opt, do func(*kgo.Record) error) error {
	from := map[int32]kgo.Offset{}
	for partition := range r.ends {
		from[partition] = kgo.NewOffset().At(r.starts[partition])
	}
	if len(from) == 0 {
		return nil
	}
	client, err := kgo.NewClient(append(slices.Clone(opts),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The last offset may be that of a transaction's marker.
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(partitionBytes), kgo.MaxConcurrentFetches(1))...)
	if err != nil {
		return fmt.Errorf("open a Kafka client: %w", err)
	}
	defer client.Close()
	reached := map[int32]int64{}
	for silent := 0; len(reached) < len(from); {
		fetches, err := pollFor(ctx, client, quiet)
		if err != nil {
			return fmt.Errorf("read topic %s: %w", r.topic, err)
		}
		if fetches.Empty() {
			if silent++; silent > maxQuiet {
				return fmt.Errorf("read topic %s: nothing more comes before its end: a transaction may be open", r.topic)
			}
			// Silence alone proves nothing on a busy machine: it must last.
			if silent > gapQuiet {
				if err := r.decided(ctx, client, reached); err != nil {
					return err
				}
			}
			continue
		}
		silent = 0
		for records := fetches.RecordIter(); !records.Done(); {
			record := records.Next()
			end := r.ends[record.Partition]
			if record.Offset+1 >= end {
				reached[record.Partition] = end
			}
			if record.Offset >= end || record.Attrs.IsControl() {
				continue
			}
			if err := do(record); err != nil {
				return fmt.Errorf("read topic %s partition %d offset %d: %w", record.Topic, record.Partition,
					record.Offset, err)
			}
		}
	}
	return nil
}

// decided marks the partitions that hold nothing more before their ends: compaction leaves gaps there. Where
// nothing is compacted there are no gaps, and silence is only a slow broker's.
func (r topicRange) decided(ctx context.Context, client *kgo.Client, reached map[int32]int64) error {
	admin := kadm.NewClient(client)
	compacted, err := isCompacted(ctx, admin, r.topic)
	if err != nil || !compacted {
		return err
	}
	stable, err := admin.ListCommittedOffsets(ctx, r.topic)
	if err != nil {
		return fmt.Errorf("look up the end of topic %s: %w", r.topic, err)
	}
	for partition, end := range r.ends {
		if at, found := stable.Lookup(r.topic, partition); found && at.Err == nil && at.Offset >= end {
			reached[partition] = end
		}
	}
	return nil
}

// pollFor waits for records so long, and returns none when none come.
func pollFor(ctx context.Context, client *kgo.Client, d time.Duration) (kgo.Fetches, error) {
	wait, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	fetches := client.PollFetches(wait)
	if fetches.NumRecords() > 0 {
		return fetches, nil // also when the wait ended in the same moment: they do not come again
	}
	if wait.Err() != nil {
		return nil, ctx.Err()
	}
	return fetches, fetches.Err()
}

// isReplayed says that a record was published by a replay.
func isReplayed(r *kgo.Record) bool {
	return slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == replayHeader })
}

// teller says how far a long work has come: one line that is redrawn on a terminal, now and then a line
// elsewhere.
type teller struct {
	w        io.Writer
	terminal *progress // nil elsewhere
	last     time.Time
}

func newTeller(w io.Writer, terminal bool) *teller {
	t := &teller{w: w, last: time.Now()}
	if terminal {
		t.terminal = newProgress(w, true)
	}
	return t
}

// say shows a line when it is time for one; an empty one removes what stands there.
func (t *teller) say(format string, args ...any) {
	interval := reportInterval
	if t.terminal != nil {
		interval = redrawInterval
	}
	if format != "" && time.Since(t.last) < interval {
		return
	}
	t.last = time.Now()
	switch {
	case t.terminal != nil:
		t.terminal.draw(fmt.Sprintf(format, args...))
	case format != "":
		fmt.Fprintf(t.w, "tributary: "+format+"\n", args...)
	}
}

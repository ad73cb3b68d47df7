package publisher

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// loadSilence is how long the position topic may give nothing before its end is reached: as long as another
// pipeline's transaction may stay open.
const loadSilence = time.Minute

// Load reads the stored position of a pipeline and slot, without fencing anybody: nil when there is none.
// Several pipelines may share the topic. client reaches the cluster, as in Options. It waits for transactions
// that are open on the topic, of whatever pipeline. A record that an instance in at-least-once mode has sent
// before it was replaced, and that came behind its successor's, does not count.
func Load(ctx context.Context, client []kgo.Opt, topic, pipeline, slot string) (*Stored, error) {
	key := pipeline + "/" + slot
	opts := append([]kgo.Opt(nil), client...)
	opts = append(opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The last offset may be that of a transaction's marker.
		kgo.KeepControlRecords(),
	)
	reader, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("make the Kafka client: %w", err)
	}
	defer reader.Close()
	end, err := endOf(ctx, reader, topic)
	if err != nil {
		return nil, unread("read the position of "+key, topic, err)
	}
	var last latest
	var covered []byte
	for reached := int64(0); reached < end; {
		fetches, err := poll(ctx, reader)
		if err != nil {
			doing := fmt.Sprintf("read the position of %s: topic %s from offset %d to %d", key, topic, reached, end)
			return nil, unread(doing, topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			reached = r.Offset + 1
			switch {
			case r.Attrs.IsControl():
			case string(r.Key) == key:
				last.add(key, r.Value)
			case string(r.Key) == key+coveredSuffix:
				covered = r.Value
			}
		})
	}
	if last.value == nil { // none, or a tombstone
		return nil, nil
	}
	stored, err := parseStored(key, last.value)
	if err == nil {
		stored.Covered = covered
	}
	return stored, err
}

// latest is the position record that counts, of those that have been read. Only the first of another run is
// looked into: within a run each is further than the one before.
type latest struct{ value, run []byte }

// add takes the next record of the topic. Whoever begins a run goes on from what is stored, so a record of
// another run that stands behind the last one is of a predecessor, and came late:
//
//	A stores 100 | A is replaced, with 105 in its socket | B reads 100, stores 120 | 105 arrives
//
// To go on from there would repeat what is published, or find that the slot is beyond it.
func (l *latest) add(key string, value []byte) {
	run := runOf(value)
	if l.value != nil && value != nil && !bytes.Equal(run, l.run) {
		before, err := parseStored(key, l.value)
		next, nextErr := parseStored(key, value)
		// What cannot be read is left to the one who reads the last.
		if err == nil && nextErr == nil && next.behind(before) {
			return
		}
	}
	l.value, l.run = value, run
}

// behind says that the position is one that the pipeline has left.
func (s *Stored) behind(other *Stored) bool {
	return cmp.Or(cmp.Compare(s.Epoch, other.Epoch), cmp.Compare(s.Resume, other.Resume),
		cmp.Compare(s.Window, other.Window)) < 0
}

// runOf returns the run that wrote a position record, as it stands there. What stands before it may hold
// any text, and behind it is a time.
func runOf(value []byte) []byte {
	const field = `"run":"`
	at := bytes.LastIndex(value, []byte(field))
	if at < 0 {
		return nil
	}
	run, _, _ := bytes.Cut(value[at+len(field):], []byte(`"`))
	return run
}

// unread gives the error of reading a topic its type: a Kafka that is away, or busy with somebody's
// transaction, may answer later.
func unread(doing, topic string, err error) error {
	if isAuthorization(err) {
		return &RecordError{
			Topic: topic, Err: err,
			Advice: "grant Read and Describe on the topic (MSK: ReadData, DescribeTopic)",
		}
	}
	return &AgainError{Doing: doing, Err: err}
}

// endOf returns the offset behind the last record of the topic's one partition; 0 when it is empty.
func endOf(ctx context.Context, client *kgo.Client, topic string) (int64, error) {
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	end, found := ends.Lookup(topic, 0)
	start, foundStart := starts.Lookup(topic, 0)
	if !found || !foundStart {
		return 0, fmt.Errorf("topic %s: %w", topic, kerr.UnknownTopicOrPartition)
	}
	if err := errors.Join(end.Err, start.Err); err != nil {
		return 0, fmt.Errorf("topic %s: %w", topic, err)
	}
	if start.Offset == end.Offset {
		return 0, nil
	}
	return end.Offset, nil
}

// poll waits for records.
func poll(ctx context.Context, client *kgo.Client) (kgo.Fetches, error) {
	wait, cancel := context.WithTimeoutCause(ctx, loadSilence,
		errors.New("nothing more comes: another pipeline's transaction may be open"))
	defer cancel()
	fetches := client.PollFetches(wait)
	if wait.Err() != nil {
		return nil, context.Cause(wait)
	}
	return fetches, fetches.Err()
}

package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// topicRecord is a record of a table's topic, decoded by another library than the one that wrote it.
type topicRecord struct {
	topic         string
	partition     int32
	offset        int64
	key           string // canonical, "" for none
	op            string // r, c, u, d, t; - for a tombstone
	before, after map[string]any
	lsn           int64 // source.lsn
	headers       map[string]string
}

// topics reads everything under a prefix as a read_committed consumer does.
type topics struct {
	t        testing.TB
	prefix   string
	registry string
	client   *kgo.Client
	schemas  map[uint32]*avro.Schema
	next     map[string]map[int32]int64 // the offset behind the last thing read
	records  []topicRecord
}

// newTopics reads the topics of a rig's tables from their beginning. They are removed at the end of the test.
func newTopics(t testing.TB, r *rig) *topics {
	t.Helper()
	c := &topics{
		t: t, prefix: r.prefix, registry: r.registry, schemas: map[uint32]*avro.Schema{},
		next: map[string]map[int32]int64{},
	}
	var err error
	c.client, err = kgo.NewClient(
		kgo.SeedBrokers(r.brokers),
		kgo.ConsumeRegex(),
		kgo.ConsumeTopics(`^`+r.prefix+`\..*\..*`),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that next reaches the end of a partition
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MetadataMinAge(100*time.Millisecond), // topics appear meanwhile
		kgo.MetadataMaxAge(500*time.Millisecond),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.remove)
	return c
}

// remove deletes the topics and their subjects, which a shared server would keep.
func (c *topics) remove() {
	defer c.client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	admin := kadm.NewClient(c.client)
	found, err := admin.ListTopics(ctx)
	if err != nil {
		return // the broker of an in-process test is gone already
	}
	var names []string
	for _, name := range found.Names() {
		if !strings.HasPrefix(name, c.prefix+".") {
			continue
		}
		names = append(names, name)
		for _, way := range []string{"-key", "-value", "-key?permanent=true", "-value?permanent=true"} {
			request, err := http.NewRequestWithContext(ctx, http.MethodDelete, c.registry+"/subjects/"+name+way, nil)
			if err != nil {
				c.t.Fatal(err)
			}
			if response, err := http.DefaultClient.Do(request); err == nil {
				_ = response.Body.Close()
			}
		}
	}
	if _, err := admin.DeleteTopics(ctx, names...); err != nil {
		c.t.Logf("topics are left behind: %v", err)
	}
}

// poll reads what comes within a moment.
func (c *topics) poll() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	fetches := c.client.PollFetches(ctx)
	fetches.EachRecord(func(record *kgo.Record) {
		if c.next[record.Topic] == nil {
			c.next[record.Topic] = map[int32]int64{}
		}
		if record.Offset < c.next[record.Topic][record.Partition] {
			c.t.Errorf("%s/%d: offset %d after %d", record.Topic, record.Partition, record.Offset,
				c.next[record.Topic][record.Partition]-1)
		}
		c.next[record.Topic][record.Partition] = record.Offset + 1
		if record.Attrs.IsControl() {
			return
		}
		decoded, err := c.decode(record)
		if err != nil {
			c.t.Fatalf("%s/%d offset %d: %v", record.Topic, record.Partition, record.Offset, err)
		}
		c.records = append(c.records, decoded)
	})
}

// until reads until a record is there, while a program runs.
func (c *topics) until(l *life, what string, f func(topicRecord) bool) {
	c.t.Helper()
	seen := 0
	l.eventually(c.t, func() error {
		c.poll()
		for ; seen < len(c.records); seen++ {
			if f(c.records[seen]) {
				return nil
			}
		}
		return fmt.Errorf("%s is not among %d records", what, len(c.records))
	})
}

// all reads to the end of what is committed and returns every record in the order of each partition.
func (c *topics) all() []topicRecord {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), e2ePatience)
	defer cancel()
	admin := kadm.NewClient(c.client)
	found, err := admin.ListTopics(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	var names []string
	for _, name := range found.Names() {
		if strings.HasPrefix(name, c.prefix+".") && strings.Count(name, ".") > 1 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	ends, err := admin.ListCommittedOffsets(ctx, names...)
	if err != nil {
		c.t.Fatal(err)
	}
	for behind := "?"; behind != ""; {
		c.poll()
		behind = ""
		ends.Each(func(end kadm.ListedOffset) {
			if c.next[end.Topic][end.Partition] < end.Offset {
				behind = fmt.Sprintf("%s/%d at %d of %d", end.Topic, end.Partition, c.next[end.Topic][end.Partition],
					end.Offset)
			}
		})
		if ctx.Err() != nil {
			c.t.Fatalf("the topics' end is not reached: %s", behind)
		}
	}
	return c.records
}

// decode reads one record.
func (c *topics) decode(record *kgo.Record) (r topicRecord, err error) {
	r = topicRecord{
		topic: strings.TrimPrefix(record.Topic, c.prefix+"."), partition: record.Partition,
		offset: record.Offset, op: "-", headers: map[string]string{},
	}
	for _, h := range record.Headers {
		r.headers[h.Key] = string(h.Value)
	}
	if record.Key != nil {
		key, err := c.avro(record.Key)
		if err != nil {
			return r, fmt.Errorf("key: %w", err)
		}
		r.key = canonical(key)
	}
	if record.Value == nil {
		return r, nil
	}
	value, err := c.avro(record.Value)
	if err != nil {
		return r, fmt.Errorf("value: %w", err)
	}
	var ok bool
	if r.op, ok = value["op"].(string); !ok {
		return r, fmt.Errorf("an envelope without op: %v", slices.Sorted(maps.Keys(value)))
	}
	r.before, _ = value["before"].(map[string]any)
	r.after, _ = value["after"].(map[string]any)
	source, _ := value["source"].(map[string]any)
	r.lsn, _ = source["lsn"].(int64)
	return r, nil
}

// canonical writes a key's fields in the order of their names.
func canonical(key map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(key)) {
		parts = append(parts, fmt.Sprintf("%s=%v", name, key[name]))
	}
	return strings.Join(parts, ",")
}

// avro decodes a key or value: a zero byte, the schema's id, then a record.
func (c *topics) avro(b []byte) (map[string]any, error) {
	if len(b) < 5 || b[0] != 0 {
		return nil, fmt.Errorf("want a zero byte and a schema id, got % x", b[:min(len(b), 5)])
	}
	schema, err := c.schema(binary.BigEndian.Uint32(b[1:]))
	if err != nil {
		return nil, err
	}
	var value any
	rest, err := schema.Decode(b[5:], &value)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes after the value", len(rest))
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("no record but %T", value)
	}
	return fields, nil
}

// schema asks the registry for a schema, once.
func (c *topics) schema(id uint32) (*avro.Schema, error) {
	if schema, found := c.schemas[id]; found {
		return schema, nil
	}
	response, err := http.Get(fmt.Sprintf("%s/schemas/ids/%d", c.registry, id))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct{ Schema string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("read schema %d: %w", id, err)
	}
	schema, err := avro.Parse(answer.Schema)
	if err != nil {
		return nil, fmt.Errorf("parse schema %d: %w", id, err)
	}
	c.schemas[id] = schema
	return schema, nil
}

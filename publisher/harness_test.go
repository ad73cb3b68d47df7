package publisher

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/schema"
)

var (
	typeInt4 = &schema.Type{OID: 23, Namespace: "pg_catalog", Name: "int4", Kind: schema.KindBase}
	typeText = &schema.Type{OID: 25, Namespace: "pg_catalog", Name: "text", Kind: schema.KindBase}
)

// relationOf returns public.<name> (id int4 primary key, v text).
func relationOf(name string) *schema.Relation {
	return &schema.Relation{
		OID: 16384, Namespace: "public", Name: name, Identity: schema.IdentityDefault,
		Columns: []schema.Column{
			{Name: "id", Type: typeInt4, TypMod: -1, NotNull: true, InIdentity: true},
			{Name: "v", Type: typeText, TypMod: -1},
		},
		Key: []int{0},
	}
}

// rowOf returns a row of relationOf; a v of "-" is null.
func rowOf(id int, v string) schema.Row {
	row := schema.Row{{Kind: schema.Text, Text: strconv.AppendInt(nil, int64(id), 10)}, {
		Kind: schema.Text,
		Text: []byte(v),
	}}
	if v == "-" {
		row[1] = schema.Datum{}
	}
	return row
}

// keyOnly returns the key-only old row of relationOf.
func keyOnly(id int) schema.Row {
	return schema.Row{{Kind: schema.Text, Text: strconv.AppendInt(nil, int64(id), 10)}, {Kind: schema.Absent}}
}

// fakeRegistry gives ids in the order of first use.
type fakeRegistry struct {
	mu    sync.Mutex
	ids   map[string]int
	asked []string
}

func (f *fakeRegistry) register(_ context.Context, subject, text string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, subject)
	if f.ids == nil {
		f.ids = make(map[string]int)
	}
	if f.ids[text] == 0 {
		f.ids[text] = len(f.ids) + 1
	}
	return f.ids[text], nil
}

// rig is a Kafka and the options of a publisher that writes bare JSON to it.
type rig struct {
	t       *testing.T
	brokers string
	o       Options
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return rigOn(t, local.Kafka(t), "p")
}

func rigOn(t *testing.T, brokers, prefix string) *rig {
	return &rig{t: t, brokers: brokers, o: Options{
		Client:   []kgo.Opt{kgo.SeedBrokers(strings.Split(brokers, ",")...)},
		Pipeline: prefix, Slot: "slot", Identity: Identity{"7000", 1, "db"},
		Start: 100, Publications: []string{"pub"}, Protocol: "1",
		Schema: schema.Options{
			Name: prefix, Database: "db", Version: "test",
			KeyFormat: schema.JSONBare, ValueFormat: schema.JSONBare,
		},
		Topic:         func(namespace, table string) string { return prefix + "." + namespace + "." + table },
		Topics:        TopicOptions{Partitions: 3, ReplicationFactor: 1},
		PositionTopic: prefix + ".positions", LedgerTopic: prefix + ".ledger",
	}}
}

// run opens a publisher, publishes the batches, and returns what Run returned. The publisher is closed.
func (r *rig) run(batches ...*decoder.Batch) (*Publisher, error) {
	r.t.Helper()
	return r.feed(func(*Stored) []*decoder.Batch { return batches })
}

// feed is run with what a stream would send from the stored position on.
func (r *rig) feed(from func(*Stored) []*decoder.Batch) (*Publisher, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	p, err := Open(ctx, r.o)
	if err != nil {
		r.t.Fatalf("Open: %v", err)
	}
	defer p.Close()
	stored, _ := p.Stored()
	batches := from(stored)
	in := make(chan *decoder.Batch, len(batches))
	for _, b := range batches {
		in <- b
	}
	close(in)
	err = p.Run(ctx, in)
	if errors.Is(err, context.DeadlineExceeded) {
		r.t.Fatalf("Run: %v", err)
	}
	return p, err
}

// must is run for what must succeed.
func (r *rig) must(batches ...*decoder.Batch) *Publisher {
	r.t.Helper()
	p, err := r.run(batches...)
	if err != nil {
		r.t.Fatalf("Run: %v", err)
	}
	return p
}

// read returns the committed records of a topic, by partition, then by offset; nil for a topic that is not
// there.
func (r *rig) read(topic string) []*kgo.Record {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client, err := kgo.NewClient(append(r.o.Client, kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(20*time.Millisecond))...)
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		r.t.Fatal(err)
	}
	var all []*kgo.Record
	for partition := range int32(len(ends[topic])) {
		end, _ := ends.Lookup(topic, partition)
		client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}})
		for reached := int64(0); reached < end.Offset; {
			fetches := client.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				r.t.Fatalf("read %s: %v", topic, err)
			}
			fetches.EachRecord(func(rec *kgo.Record) {
				reached = rec.Offset + 1
				if !rec.Attrs.IsControl() {
					all = append(all, rec)
				}
			})
		}
		client.RemoveConsumePartitions(map[string][]int32{topic: {partition}})
	}
	return all
}

// stored returns the stored position.
func (r *rig) stored() *Stored {
	r.t.Helper()
	s, err := Load(context.Background(), r.o.Client, r.o.PositionTopic, r.o.Pipeline, r.o.Slot)
	if err != nil {
		r.t.Fatalf("Load: %v", err)
	}
	return s
}

// story builds a stream: transactions one after the other at rising positions.
type story struct {
	lsn  decoder.LSN
	last decoder.LSN
	xid  uint32
	b    *decoder.Batch
}

func newStory() *story { return &story{lsn: 1000, b: &decoder.Batch{}} }

// transaction appends a whole transaction.
func (s *story) transaction(changes ...decoder.Change) *story { return s.part(true, true, changes...) }

// part appends a part of a transaction.
func (s *story) part(first, last bool, changes ...decoder.Change) *story {
	if first {
		s.xid++
		s.lsn += 1000
	}
	t := decoder.Transaction{
		Commit: s.lsn, Begin: s.lsn - 900, Time: 1_700_000_000_000_000 + int64(s.xid), XID: s.xid,
		LastCommit: s.last, First: first, Last: last,
	}
	if last {
		t.End = s.lsn + 50
		s.last = t.End
	}
	s.b.Begin(t)
	for i, c := range changes {
		if c.Ordinal == 0 {
			c.Ordinal = uint64(i + 1)
		}
		if c.LSN == 0 {
			c.LSN = s.lsn - 900 + decoder.LSN(c.Ordinal)
		}
		*s.b.Add() = c
	}
	if last {
		s.b.Confirm = t.End
	} else {
		s.b.Confirm = 0
	}
	return s
}

// cut ends the batch and begins another; it returns what it ended.
func (s *story) cut() *decoder.Batch {
	b := s.b
	s.b = &decoder.Batch{}
	return b
}

func insert(r *schema.Relation, id int, v string) decoder.Change {
	return decoder.Change{Op: schema.OpCreate, Relation: r, New: rowOf(id, v)}
}

// texts returns the records in one line each: partition, key, and the interesting half of the value.
func texts(records []*kgo.Record) string {
	var b strings.Builder
	for _, r := range records {
		fmt.Fprintf(&b, "%s %s\n", r.Key, brief(r.Value))
	}
	return b.String()
}

// brief cuts an envelope's source block out.
func brief(value []byte) string {
	if value == nil {
		return "null"
	}
	text := string(value)
	if from := strings.Index(text, `,"source":{`); from >= 0 {
		to := strings.Index(text[from:], "}")
		text = text[:from] + text[from+to+1:]
	}
	if from := strings.Index(text, `,"ts_ms"`); from >= 0 {
		text = text[:from] + "}"
	}
	return text
}

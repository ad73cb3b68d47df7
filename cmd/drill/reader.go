package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// placeholder stands for a large value that an update did not touch.
const placeholder = "__debezium_unavailable_value"

// event is one change of one key, as the journal tells it or as a record does.
type event struct {
	op byte // r, c, u, d, or t for the truncation of the whole table
	// seq is the number of the write that made the row, 0 for d and t, which xid tells apart.
	seq, xid int64
	// hash is of the large column; empty when it is not known.
	hash string
	num  int64
}

// reader follows the topics and keeps, for each key, what came, in order. It reads past all proxies.
type reader struct {
	client  *kgo.Client
	decode  *local.Records
	prefix  string
	exactly bool
	next    map[string]map[int32]int64
	// events by table, then by key as the journal writes it. A truncation is in the list of every key.
	events map[string]map[string][]event
	// bulk are the ids of the table without triggers: how often they came by the stream and by a snapshot.
	bulk map[int64]arrivals
	// seen are the transactions of which something has come.
	seen       map[int64]bool
	partitions map[string]*partition
	complete   bool // what is stored with the position says that the snapshot is
	records    int
	unknown    int // values that only their placeholder stands for
	problems   []string
}

// arrivals count what came of one row.
type arrivals struct{ streamed, read uint16 }

// partition is what is known of one partition's end.
type partition struct {
	open   string // the key whose tombstone must come next, empty for none
	xid    int64
	done   map[int64]bool // transactions that something else followed
	commit uint64         // end of the commit before the last record's transaction
}

func openReader(brokers, registry, prefix string, exactly bool) (*reader, error) {
	r := &reader{
		decode: local.NewRecords(registry), prefix: prefix, exactly: exactly,
		next: map[string]map[int32]int64{}, events: map[string]map[string][]event{}, bulk: map[int64]arrivals{},
		seen: map[int64]bool{}, partitions: map[string]*partition{},
	}
	topics := []string{prefix + ".drill.bulk", prefix + ".positions"}
	for i := range tableCount {
		topics = append(topics, prefix+".drill."+tableName(i))
		r.events[tableName(i)] = map[string][]event{}
	}
	for _, topic := range topics {
		r.next[topic] = map[int32]int64{}
	}
	var err error
	r.client, err = kgo.NewClient(
		kgo.SeedBrokers(brokers),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that next reaches the end of a partition
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MetadataMinAge(100*time.Millisecond), // the topics do not exist yet
		kgo.MetadataMaxAge(time.Second),
	)
	return r, err
}

// poll takes what comes within d.
func (r *reader) poll(ctx context.Context, d time.Duration) error {
	short, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	fetches := r.client.PollFetches(short)
	var errs []error
	fetches.EachRecord(func(record *kgo.Record) {
		if want := r.next[record.Topic][record.Partition]; record.Offset < want {
			errs = append(errs, fmt.Errorf("%s/%d: offset %d after %d", record.Topic, record.Partition,
				record.Offset, want))
		}
		r.next[record.Topic][record.Partition] = record.Offset + 1
		if record.Attrs.IsControl() {
			return
		}
		if err := r.take(ctx, record); err != nil && len(errs) < 5 {
			errs = append(errs, fmt.Errorf("%s/%d offset %d: %w", record.Topic, record.Partition, record.Offset, err))
		}
	})
	return errors.Join(errs...)
}

// drain reads what is committed by now.
func (r *reader) drain(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var topics []string
		for topic := range r.next {
			topics = append(topics, topic)
		}
		ends, err := kadm.NewClient(r.client).ListCommittedOffsets(ctx, topics...)
		if err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("list the ends of the topics: %w", err)
			}
			pause(ctx, 250*time.Millisecond)
			continue // another drill may have killed the broker
		}
		var behind []string
		ends.Each(func(end kadm.ListedOffset) {
			if end.Err == nil && r.next[end.Topic][end.Partition] < end.Offset {
				behind = append(behind, fmt.Sprintf("%s/%d", end.Topic, end.Partition))
			}
		})
		if len(behind) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("read the topics to their ends: behind in %v", behind)
		}
		if err := r.poll(ctx, 250*time.Millisecond); err != nil {
			return err
		}
	}
}

// remove deletes what a pipeline wrote: a broker that is killed looks through all that it has when it starts.
func (r *reader) remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	names := []string{r.prefix + ".ledger", r.prefix + ".message"}
	for topic := range r.next {
		names = append(names, topic)
	}
	// What is left when this fails disturbs nobody.
	_, _ = kadm.NewClient(r.client).DeleteTopics(ctx, names...)
}

// has says whether a key of a table has come.
func (r *reader) has(table, key string) bool { return len(r.events[table][key]) > 0 }

// envelope is what of a value the audit reads.
type envelope struct {
	Op    string
	After *struct {
		ID, Seq, N *int64
		Body       *string
	}
	Source struct {
		TxID     *int64 `json:"txId"`
		Sequence *string
	}
}

// take files one record.
func (r *reader) take(ctx context.Context, record *kgo.Record) error {
	if record.Topic == r.prefix+".positions" {
		if string(record.Key) != r.prefix+"/drill" {
			return nil
		}
		var stored struct{ Snapshot struct{ Done bool } }
		err := json.Unmarshal(record.Value, &stored)
		r.complete = stored.Snapshot.Done
		return err
	}
	r.records++
	table := strings.TrimPrefix(record.Topic, r.prefix+".drill.")
	name := fmt.Sprintf("%s/%d", table, record.Partition)
	at := r.partitions[name]
	if at == nil {
		at = &partition{done: map[int64]bool{}}
		r.partitions[name] = at
	}
	key, err := r.key(ctx, record.Key)
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if record.Value == nil {
		if at.open != key {
			r.problem("%s: a tombstone of %s, and the delete before it is of %q", name, key, at.open)
		}
		at.open = ""
		return nil
	}
	if at.open != "" {
		r.problem("%s: the delete of %s has no tombstone", name, at.open)
		at.open = ""
	}
	text, err := r.decode.JSON(ctx, record.Value)
	if err != nil {
		return fmt.Errorf("value: %w", err)
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	if e.Op == "d" {
		at.open = key
	}
	if e.Op != "r" {
		r.follow(name, at, &e)
	}
	if table == "bulk" {
		id, err := strconv.ParseInt(key, 10, 64)
		n := r.bulk[id]
		if e.Op == "r" {
			n.read++
		} else {
			n.streamed++
		}
		r.bulk[id] = n
		return err
	}
	r.file(table, key, &e)
	return nil
}

// follow checks what holds in exactly-once of all records of a partition: transactions come whole, each
// once, in the order of their commits.
func (r *reader) follow(name string, at *partition, e *envelope) {
	if e.Source.TxID == nil || e.Source.Sequence == nil {
		r.problem("%s: a streamed record without txId or sequence", name)
		return
	}
	xid := *e.Source.TxID
	r.seen[xid] = true
	if !r.exactly {
		return
	}
	if at.xid != xid && at.xid != 0 {
		at.done[at.xid] = true
	}
	at.xid = xid
	if at.done[xid] {
		r.problem("%s: transaction %d goes on after another one began", name, xid)
	}
	var positions []string
	if err := json.Unmarshal([]byte(*e.Source.Sequence), &positions); err != nil || len(positions) != 2 {
		r.problem("%s: sequence %s", name, *e.Source.Sequence)
		return
	}
	commit, _ := strconv.ParseUint(positions[0], 10, 64) // null for the first of all
	if commit > 0 && commit < at.commit {
		r.problem("%s: transaction %d comes after one that committed later", name, xid)
	}
	at.commit = max(at.commit, commit)
}

// file adds an event to its key's list.
func (r *reader) file(table, key string, e *envelope) {
	made := event{op: e.Op[0]}
	if e.Source.TxID != nil {
		made.xid = *e.Source.TxID
	}
	if e.After != nil {
		if e.After.Seq != nil {
			made.seq = *e.After.Seq
		}
		if e.After.N != nil {
			made.num = *e.After.N
		}
		body := "~"
		if e.After.Body != nil {
			body = *e.After.Body
		}
		if body == placeholder {
			r.unknown++
		} else {
			sum := md5.Sum([]byte(body))
			made.hash = hex.EncodeToString(sum[:])
		}
	}
	keys := r.events[table]
	if made.op == 't' {
		for k := range keys {
			keys[k] = append(keys[k], made)
		}
		if _, found := keys[""]; !found {
			keys[""] = []event{made}
		}
		return
	}
	keys[key] = append(keys[key], made)
}

func (r *reader) problem(format string, args ...any) {
	if len(r.problems) < 20 {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
}

// key returns a key as the journal writes it: the values, part first, and nothing for a truncation.
func (r *reader) key(ctx context.Context, b []byte) (string, error) {
	if b == nil {
		return "", nil
	}
	text, err := r.decode.JSON(ctx, b)
	if err != nil {
		return "", err
	}
	var key struct{ ID, Part *int64 }
	if err := json.Unmarshal(text, &key); err != nil {
		return "", err
	}
	switch {
	case key.ID == nil:
		return "", fmt.Errorf("no id in %s", text)
	case key.Part != nil:
		return fmt.Sprintf("%d/%d", *key.Part, *key.ID), nil
	}
	return strconv.FormatInt(*key.ID, 10), nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
)

// tailOptions says what to show.
type tailOptions struct {
	fromBeginning, json  bool
	n                    int
	table, key, op       string
	lsn                  decoder.LSN // the first that is shown, 0 for all
	partition            int32
	offset               int64
	hasPartition, hasOff bool
}

func (p *program) tailCommand() *cobra.Command {
	var o tailOptions
	var lsn string
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the records as they arrive",
		Long: "tail reads the tables' topics as a read_committed consumer without a group, and\n" +
			"prints one line for each record: operation, table, key, and the columns with\n" +
			"old and new values where the record has both. A tombstone is a line too.\n" +
			"--from-lsn begins, in each partition, with the first change that was written to\n" +
			"the source's log there or later, and shows all that follows, as far back as the\n" +
			"topics are kept: also changes that were written earlier and committed later.\n" +
			"The rows of a first snapshot bear the LSN that the slot keeps the log from,\n" +
			"which is before every streamed change.",
		Example: "  tributary tail -c tributary.yaml --table public.address\n" +
			"  tributary tail -c tributary.yaml --from-beginning --op d -n 10 --json\n" +
			"  tributary tail -c tributary.yaml --from-lsn 0/16B3748 --key id=7",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	set := cmd.Flags()
	set.BoolVar(&o.fromBeginning, "from-beginning", false, "begin with the oldest record instead of the next")
	set.BoolVar(&o.json, "json", false, "print one JSON object for each record")
	set.IntVarP(&o.n, "number", "n", 0, "end after so many records; 0 is never")
	set.StringVar(&o.table, "table", "", "only tables that match this `PATTERN`, as in source.tables")
	set.StringVar(&lsn, "from-lsn", "", "begin with the changes at this `LSN`, 0/16B3748 or as a number")
	set.StringVar(&o.key, "key", "", "only this `KEY`: column=value, a value alone, or text as it is\nprinted")
	set.StringVar(&o.op, "op", "", "only these `OPS`: create, update, delete, read, truncate,\n"+
		"message, their first letters, or tombstone; with commas")
	set.Int32Var(&o.partition, "partition", 0, "only this partition")
	set.Int64Var(&o.offset, "offset", 0, "begin at this offset of each partition")
	exclude(cmd, "from-beginning", "from-lsn", "offset")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.hasPartition, o.hasOff = set.Changed("partition"), set.Changed("offset")
		if err := o.parse(lsn); err != nil {
			return usageError{err}
		}
		config, err := flags.load()
		if err != nil {
			return err
		}
		ctx, cancel := p.interruptible(cmd.Context())
		defer cancel()
		if err := p.tail(ctx, config, o); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
	return cmd
}

// interruptible returns a context that ends with the first signal. cancel ends the wait for one.
func (p *program) interruptible(ctx context.Context) (until context.Context, cancel context.CancelFunc) {
	ctx, cancel = context.WithCancel(ctx)
	go func() { // ends with ctx, which the caller ends
		select {
		case <-p.signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// tail prints records until enough are, or the context ends.
func (p *program) tail(ctx context.Context, c Config, o tailOptions) error {
	var table Pattern
	if o.table != "" {
		var err error
		if table, err = parsePattern(o.table); err != nil {
			return usageError{err}
		}
	}
	values, err := newValueReader(c)
	if err != nil {
		return err
	}
	tables, err := readTopicTables(ctx, c, p.stderr)
	if err != nil {
		return err
	}
	client, err := tailClient(ctx, c, o, tables)
	if err != nil {
		return err
	}
	defer client.Close()
	unnamed := tombstones{c, tables, map[string]deleted{}}
	from := startLSN{o.lsn, map[string]bool{}}
	for printed := 0; ; {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("read topic %s partition %d: %w", e.Topic, e.Partition, e.Err)
		}
		for _, record := range fetches.Records() {
			shown, err := readRecord(ctx, values, record)
			if err != nil {
				return fmt.Errorf("read topic %s partition %d offset %d: %w", record.Topic, record.Partition,
					record.Offset, err)
			}
			unnamed.settle(&shown)
			if !from.reached(shown) || !o.wants(shown, table) {
				continue
			}
			if err := shown.print(p.stdout, o.json, p.wantsColor(p.stdout)); err != nil {
				return err
			}
			if printed++; printed == o.n {
				return nil
			}
		}
	}
}

// tailClient opens a consumer of the tables' topics that exist now.
func tailClient(ctx context.Context, c Config, o tailOptions, tables topicTables) (*kgo.Client, error) {
	opts, err := kafkaOptions(ctx, c)
	if err != nil {
		return nil, err
	}
	finder, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("open a Kafka client: %w", err)
	}
	defer finder.Close()
	all, err := kadm.NewClient(finder).ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics of %s: %w", strings.Join(c.Kafka.Brokers, ", "), err)
	}
	begin := kgo.NewOffset().AtEnd()
	switch {
	case o.hasOff:
		begin = kgo.NewOffset().At(o.offset)
	case o.fromBeginning:
		begin = kgo.NewOffset().AtStart()
	case o.lsn != 0:
		if begin, err = beginAt(ctx, c, opts, o.lsn); err != nil {
			return nil, err
		}
	}
	partitions := map[string]map[int32]kgo.Offset{}
	for _, topic := range all.Sorted() {
		if !tables.reads(c, topic) {
			continue
		}
		for id := range topic.Partitions {
			if o.hasPartition && id != o.partition {
				continue
			}
			if partitions[topic.Topic] == nil {
				partitions[topic.Topic] = map[int32]kgo.Offset{}
			}
			partitions[topic.Topic][id] = begin
		}
	}
	if len(partitions) == 0 {
		return nil, fmt.Errorf("no topic begins with %s%s: has run been started with this topic.prefix?",
			c.Topic.Prefix, c.Topic.Delimiter)
	}
	client, err := kgo.NewClient(append(opts, kgo.ConsumePartitions(partitions),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return nil, fmt.Errorf("open a Kafka client: %w", err)
	}
	return client, nil
}

// shownRecord is a record as tail shows it.
type shownRecord struct {
	Topic     string          `json:"topic"`
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
	Table     string          `json:"table,omitempty"`
	Op        string          `json:"op"` // tombstone for a null value, empty when the value is no envelope
	Key       json.RawMessage `json:"key"`
	Value     json.RawMessage `json:"value"`
	lsn       decoder.LSN     // source.lsn, 0 for none
	after     decoder.LSN     // the commit before it, of source.sequence, 0 for none
	among     []string        // of a tombstone: the tables that it can be of
}

// opTombstone is the operation of a record without a value.
const opTombstone = "tombstone"

// envelope is what tail reads of a value.
type envelope struct {
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
	Op     string          `json:"op"`
	Source struct {
		Schema string    `json:"schema"`
		Table  string    `json:"table"`
		LSN    sourceLSN `json:"lsn"`
		// Sequence is a JSON array in text: the commit before this transaction, and LSN again.
		Sequence string `json:"sequence"`
	} `json:"source"`
}

func readRecord(ctx context.Context, values *valueReader, r *kgo.Record) (shownRecord, error) {
	s := shownRecord{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	var err error
	if s.Key, err = values.shown(ctx, r.Key); err != nil {
		return s, fmt.Errorf("key: %w", err)
	}
	if s.Value, err = values.shown(ctx, r.Value); err != nil {
		return s, fmt.Errorf("value: %w", err)
	}
	if r.Value == nil {
		s.Op = opTombstone
		return s, nil
	}
	s.read(s.Value)
	return s, nil
}

// read takes what an envelope says of itself; a value that is none says nothing.
func (s *shownRecord) read(value json.RawMessage) {
	var e envelope
	if json.Unmarshal(value, &e) != nil || e.Op == "" {
		return
	}
	s.Op, s.lsn = e.Op, decoder.LSN(e.Source.LSN)
	var sequence [2]sourceLSN
	if json.Unmarshal([]byte(e.Source.Sequence), &sequence) == nil {
		s.after = decoder.LSN(sequence[0])
	}
	if e.Source.Table != "" {
		s.Table = e.Source.Schema + "." + e.Source.Table
	}
}

// wants applies the filters.
func (o tailOptions) wants(s shownRecord, table Pattern) bool {
	if o.op != "" && !isOneOf(s.Op, splitList(o.op, true)) {
		return false
	}
	if o.key != "" && !keyMatches(s.Key, o.key) {
		return false
	}
	return o.table == "" || s.inTable(table)
}

func (s shownRecord) print(w io.Writer, asJSON, color bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(s)
	}
	key := string(s.Key)
	if s.Key == nil {
		key = "(no key)"
	}
	name := textOr(s.Table, s.Topic)
	op := paint(color, map[string]string{"d": "31", opTombstone: "31", "u": "33", "c": "32"}[s.Op],
		textOr(s.Op, "-"))
	line := fmt.Sprintf("%s  %s  %s", op, name, key)
	if s.Value != nil {
		line += "  " + changes(s, color)
	}
	if s.lsn != 0 {
		line += paint(color, "2", "  @ "+s.lsn.String())
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// changes tells the columns: of an update with an old row only those that differ.
func changes(s shownRecord, color bool) string {
	var e envelope
	if s.Op == "" || json.Unmarshal(s.Value, &e) != nil {
		return string(s.Value)
	}
	oldNames, old := fields(e.Before)
	newNames, now := fields(e.After)
	var parts []string
	switch {
	case now == nil && old == nil:
		return ""
	case now == nil:
		for _, name := range oldNames {
			parts = append(parts, name+": "+old[name])
		}
	case old == nil:
		for _, name := range newNames {
			parts = append(parts, name+": "+now[name])
		}
	default:
		for _, name := range newNames {
			if old[name] != now[name] {
				parts = append(parts, name+": "+paint(color, "31", old[name])+" -> "+paint(color, "32", now[name]))
			}
		}
		if parts == nil {
			return "(no column differs)"
		}
	}
	return strings.Join(parts, "  ")
}

// fields reads an object's members as text, in their order; nil for null.
func fields(object json.RawMessage) ([]string, map[string]string) {
	var members map[string]json.RawMessage
	if len(object) == 0 || json.Unmarshal(object, &members) != nil || members == nil {
		return nil, nil
	}
	values := make(map[string]string, len(members))
	names := make([]string, 0, len(members))
	at := map[string]int{}
	for name, value := range members {
		values[name] = string(value)
		names = append(names, name)
		at[name] = bytes.Index(object, append(appendJSON(nil, name), ':'))
	}
	sort.Slice(names, func(i, j int) bool { return at[names[i]] < at[names[j]] })
	return names, values
}

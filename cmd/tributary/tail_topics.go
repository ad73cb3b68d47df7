package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// topicTables is which tables a topic's records are of, as the source and the configuration say. Several
// share one where a route sends them to it.
type topicTables map[string][]string

// sourcePatience bounds how long tail waits for the source, without which it can do where no topic is
// renamed.
const sourcePatience = 10 * time.Second

// readTopicTables asks the source which tables are captured, and names their topics. Where it does not answer
// the topics are told by their prefix, which routes may have taken from them.
func readTopicTables(ctx context.Context, c Config, notes io.Writer) (topicTables, error) {
	asking, cancel := context.WithTimeout(ctx, sourcePatience)
	defer cancel()
	captured, err := openCaptured(asking, c)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && len(c.Topic.Routes) > 0:
		return nil, fmt.Errorf("ask the source which topics topic.routes leads to: %w", err)
	case err != nil:
		_, err = fmt.Fprintf(notes, "the source does not tell the tables, so topics do by their names: %v\n", err)
		return topicTables{}, err
	}
	defer captured.close()
	tables := topicTables{}
	for _, t := range captured.tables {
		topic := captured.topic(t.Namespace, t.Name)
		tables[topic] = append(tables[topic], t.String())
	}
	return tables, nil
}

// reads says whether tail shows a topic: the tables' own, and what else bears the prefix, such as topics of
// tables that are captured no more, of messages and of replays, but not the books.
func (t topicTables) reads(c Config, topic kadm.TopicDetail) bool {
	if topic.Topic == c.Kafka.PositionTopic || topic.Topic == c.Kafka.LedgerTopic || topic.IsInternal {
		return false
	}
	_, known := t[topic.Topic]
	return known || strings.HasPrefix(topic.Topic, c.Topic.Prefix+c.Topic.Delimiter)
}

// tombstones finds the tables of records that have no value to say it.
type tombstones struct {
	config Config
	tables topicTables
	last   map[string]deleted // by topic and partition
}

// deleted is the record that was last in a partition.
type deleted struct{ key, table string }

// settle notes a record, and says of a tombstone which table it is of: that of the delete before it with the
// same key, else that of its topic. Where several share the topic it may be of each.
func (t *tombstones) settle(s *shownRecord) {
	place := fmt.Sprint(s.Topic, "/", s.Partition)
	if s.Op != opTombstone {
		t.last[place] = deleted{string(s.Key), s.Table}
		return
	}
	last := t.last[place]
	s.among = t.tables[s.Topic]
	switch {
	case last.table != "" && last.key == string(s.Key):
		s.Table = last.table
	case len(s.among) == 1:
		s.Table = s.among[0]
	case len(s.among) == 0:
		rest := strings.TrimPrefix(s.Topic, t.config.Topic.Prefix+t.config.Topic.Delimiter)
		namespace, table, _ := strings.Cut(rest, t.config.Topic.Delimiter)
		s.among = []string{namespace + "." + table} // a guess, which is matched and not shown
	}
}

// inTable says whether a record is of a table that matches, as far as can be known.
func (s shownRecord) inTable(table Pattern) bool {
	if s.Table != "" {
		return table.Match(s.Table)
	}
	for _, name := range s.among {
		if table.Match(name) {
			return true
		}
	}
	return false
}

// shown is read, and the length of what another program has written into the topic in a form of its own.
func (r *valueReader) shown(ctx context.Context, data []byte) (json.RawMessage, error) {
	text, err := r.read(ctx, data)
	if errors.Is(err, errNoForm) {
		return appendJSON(nil, fmt.Sprintf("(%d bytes, %v)", len(data), err)), nil
	}
	return text, err
}

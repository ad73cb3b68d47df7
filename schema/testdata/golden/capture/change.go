package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pglogrepl"
)

// change is what becomes one record.
type change struct {
	op            string
	relation      *relation
	before, after row
	prefix        string
	content       []byte
}

// paired is a change beside its record, as the test reads it.
type paired struct {
	Relation int    `json:"relation"`
	Before   row    `json:"before,omitempty"`
	After    row    `json:"after,omitempty"`
	Prefix   string `json:"prefix,omitempty"`
	Content  []byte `json:"content,omitempty"`
	Record   record `json:"record"`
}

// message takes one pgoutput message.
func (p *player) message(ctx context.Context, m pglogrepl.Message) error {
	switch m := m.(type) {
	case *pglogrepl.RelationMessage:
		var sent []string
		var flags []bool
		for _, c := range m.Columns {
			sent, flags = append(sent, c.Name), append(flags, c.Flags&1 != 0)
		}
		r, err := readRelation(ctx, p.reader, m.RelationID, sent, p.keys)
		if err != nil {
			return err
		}
		if len(r.Columns) != len(sent) {
			return fmt.Errorf("%s.%s has %d columns now, sent were %d", r.Namespace, r.Name, len(r.Columns), len(sent))
		}
		p.relations[m.RelationID], p.flags[m.RelationID] = r, flags
	case *pglogrepl.InsertMessage:
		r := p.relations[m.RelationID]
		p.pair(p.topic(r), change{op: "c", relation: r, after: tuple(m.Tuple, nil, nil)})
	case *pglogrepl.UpdateMessage:
		p.update(m)
	case *pglogrepl.DeleteMessage:
		r := p.relations[m.RelationID]
		p.pair(p.topic(r), change{op: "d", relation: r, before: p.old(m.RelationID, m.OldTupleType, m.OldTuple)})
	case *pglogrepl.TruncateMessage:
		for _, id := range m.RelationIDs {
			p.pair(p.topic(p.relations[id]), change{op: "t", relation: p.relations[id]})
		}
	case *pglogrepl.LogicalDecodingMessage:
		p.pair(p.prefix+".message", change{op: "m", prefix: m.Prefix, content: m.Content})
	}
	return nil
}

// update pairs an update, which is a delete and an insert when it changes the key.
func (p *player) update(m *pglogrepl.UpdateMessage) {
	r := p.relations[m.RelationID]
	before := p.old(m.RelationID, m.OldTupleType, m.OldTuple)
	after := tuple(m.NewTuple, nil, before)
	topic := p.topic(r)
	for _, k := range r.Key {
		if before != nil && !bytes.Equal(before[k], after[k]) {
			p.pair(topic, change{op: "d", relation: r, before: before})
			p.pair(topic, change{op: "c", relation: r, after: after})
			return
		}
	}
	p.pair(topic, change{op: "u", relation: r, before: before, after: after})
}

// old returns an old tuple, nil when there is none.
func (p *player) old(id uint32, kind uint8, t *pglogrepl.TupleData) row {
	switch kind {
	case pglogrepl.UpdateMessageTupleTypeKey:
		return tuple(t, p.flags[id], nil)
	case pglogrepl.UpdateMessageTupleTypeOld:
		return tuple(t, nil, nil)
	}
	return nil
}

// tuple returns a tuple's row: outside of the held columns, if given, values are absent, and what was
// not sent is taken from the old row, if that has it.
func tuple(t *pglogrepl.TupleData, held []bool, old row) row {
	r := make(row, len(t.Columns))
	for i, c := range t.Columns {
		switch {
		case held != nil && !held[i]:
			r[i] = json.RawMessage(fmt.Sprint(absent))
		case c.DataType == 'n':
			r[i] = json.RawMessage("null")
		case c.DataType != 'u':
			r[i] = textOf(c.Data)
		case old != nil && old[i][0] == '"':
			r[i] = old[i]
		default:
			r[i] = json.RawMessage(fmt.Sprint(unchanged))
		}
	}
	return r
}

// topic returns a table's topic.
func (p *player) topic(r *relation) string {
	name := p.prefix + "." + r.Namespace + "." + r.Name
	return strings.Map(func(c rune) rune {
		if c == '_' || c == '.' || c == '-' || c < 0x80 && isWord(byte(c)) {
			return c
		}
		return '_'
	}, name)
}

// pair writes a change beside the record that comes next in its topic, if that is one of its operation;
// if not, the configuration had Debezium leave the change out.
func (p *player) pair(topic string, c change) {
	records := p.topics[topic]
	for len(records) > 0 && (records[0].Value == nil || p.aside(records[0])) {
		if records[0].Value != nil {
			p.unpaired++
		}
		records = records[1:]
	}
	p.topics[topic] = records
	var e envelope
	if len(records) == 0 || json.Unmarshal(records[0].Value.Data, &e) != nil || e.Op != c.op ||
		p.skips && !c.hasKey(records[0]) {
		p.skipped++
		return
	}
	index := -1
	if c.relation != nil {
		var known bool
		if index, known = p.written[c.relation]; !known {
			index = len(p.written)
			p.written[c.relation] = index
			p.line("relation", c.relation)
		}
	}
	p.line("change", paired{index, c.before, c.after, c.prefix, c.content, records[0]})
	p.topics[topic] = records[1:]
	p.paired++
}

// aside says whether a record stands beside the stream: a row of an incremental snapshot.
func (p *player) aside(r record) bool {
	var e envelope
	return json.Unmarshal(r.Value.Data, &e) == nil && e.Source.Snapshot == "incremental"
}

// hasKey says whether a record is of the row of a change, by the first column of their keys, if that is a
// number.
func (c *change) hasKey(r record) bool {
	tuple := c.after
	if tuple == nil {
		tuple = c.before
	}
	if tuple == nil || len(c.relation.Key) == 0 || r.Key == nil {
		return true
	}
	i := c.relation.Key[0]
	var key map[string]any
	var text string
	ok := json.Unmarshal(r.Key.Data, &key) == nil && json.Unmarshal(tuple[i], &text) == nil
	value, plain := key[c.relation.Columns[i].Name].(float64)
	return !ok || !plain || fmt.Sprint(value) == text
}

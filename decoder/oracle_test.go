package decoder

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/jackc/pglogrepl"

	"github.com/tributary-cdc/tributary/schema"
)

// oracle decodes by pglogrepl's parser and the plainest code that keeps the promises of Decoder.
type oracle struct {
	relations  map[uint32]*pglogrepl.RelationMessage
	described  map[uint32]*schema.Relation
	types      map[uint32]*pglogrepl.TypeMessage
	open       *Transaction
	ordinal    uint64
	lastCommit LSN
	batch      Batch
}

// noColumns is a new tuple of no columns.
var noColumns = []byte{'N', 0, 0}

func newOracle() *oracle {
	return &oracle{
		relations: make(map[uint32]*pglogrepl.RelationMessage),
		described: make(map[uint32]*schema.Relation),
		types:     make(map[uint32]*pglogrepl.TypeMessage),
	}
}

func (o *oracle) decode(start LSN, data []byte) error {
	if data[0] == 'I' && bytes.Equal(data[5:], noColumns) {
		// pglogrepl refuses the insert into a table without columns as too short.
		oid := binary.BigEndian.Uint32(data[1:])
		o.add(Change{Op: schema.OpCreate, LSN: start, Relation: o.described[oid], New: schema.Row{}})
		return nil
	}
	message, err := pglogrepl.Parse(data)
	if err != nil {
		return err
	}
	switch m := message.(type) {
	case *pglogrepl.BeginMessage:
		o.ordinal = 0
		o.open = &Transaction{
			Commit: LSN(m.FinalLSN), Begin: start, XID: m.Xid, First: true, Last: true,
			Time: m.CommitTime.UnixMicro(), LastCommit: o.lastCommit,
		}
	case *pglogrepl.OriginMessage:
		o.open.Origin, o.open.OriginLSN, o.open.Begin = m.Name, LSN(m.CommitLSN), start
	case *pglogrepl.CommitMessage:
		o.open.End = LSN(m.TransactionEndLSN)
		if len(o.open.Changes) > 0 {
			o.batch.Transactions = append(o.batch.Transactions, *o.open)
		}
		o.lastCommit, o.batch.Confirm, o.open = o.open.End, o.open.End, nil
	case *pglogrepl.TypeMessage:
		o.types[m.DataType] = m
	case *pglogrepl.RelationMessage:
		o.relations[m.RelationID] = m
		o.described[m.RelationID] = o.describe(m)
	case *pglogrepl.TruncateMessage:
		for i, oid := range m.RelationIDs {
			if i > 0 {
				o.ordinal--
			}
			o.add(Change{Op: schema.OpTruncate, LSN: start, Relation: o.described[oid]})
		}
	case *pglogrepl.LogicalDecodingMessage:
		o.logical(start, m)
	default:
		return o.rows(start, message)
	}
	return nil
}

// add appends the transaction's next change.
func (o *oracle) add(c Change) {
	o.ordinal++
	c.Ordinal = o.ordinal
	o.open.Changes = append(o.open.Changes, c)
}

func (o *oracle) logical(start LSN, m *pglogrepl.LogicalDecodingMessage) {
	c := Change{
		Op: schema.OpMessage, LSN: start,
		Prefix: m.Prefix, Content: m.Content, Transactional: m.Transactional,
	}
	if m.Transactional {
		o.add(c)
		return
	}
	end := LSN(m.LSN)
	o.batch.Transactions = append(o.batch.Transactions, Transaction{
		Commit: end, End: end, Begin: start,
		LastCommit: o.lastCommit, First: true, Last: true, Changes: []Change{c},
	})
	o.lastCommit, o.batch.Confirm = end, end
}

func (o *oracle) rows(start LSN, message pglogrepl.Message) error {
	c := Change{LSN: start}
	switch m := message.(type) {
	case *pglogrepl.InsertMessage:
		c.Op, c.Relation = schema.OpCreate, o.described[m.RelationID]
		c.New = o.row(m.RelationID, m.Tuple, 'N')
	case *pglogrepl.UpdateMessage:
		c.Op, c.Relation, c.OldIsKey = schema.OpUpdate, o.described[m.RelationID], m.OldTupleType == 'K'
		c.Old = o.row(m.RelationID, m.OldTuple, m.OldTupleType)
		c.New = o.row(m.RelationID, m.NewTuple, 'N')
		for i := range c.New {
			if c.Old != nil && c.New[i].Kind == schema.Unchanged && c.Old[i].Kind == schema.Text {
				c.New[i] = c.Old[i]
			}
		}
	case *pglogrepl.DeleteMessage:
		c.Op, c.Relation, c.OldIsKey = schema.OpDelete, o.described[m.RelationID], m.OldTupleType == 'K'
		c.Old = o.row(m.RelationID, m.OldTuple, m.OldTupleType)
	default:
		return fmt.Errorf("unexpected %T", m)
	}
	o.add(c)
	return nil
}

func (o *oracle) row(relation uint32, tuple *pglogrepl.TupleData, kind byte) schema.Row {
	if tuple == nil {
		return nil
	}
	row := schema.Row{}
	for i, c := range tuple.Columns {
		datum := schema.Datum{}
		switch {
		case c.DataType == 't':
			datum = schema.Datum{Kind: schema.Text, Text: c.Data}
		case c.DataType == 'u':
			datum.Kind = schema.Unchanged
		case kind == 'K' && o.relations[relation].Columns[i].Flags == 0:
			datum.Kind = schema.Absent
		}
		row = append(row, datum)
	}
	return row
}

func (o *oracle) describe(m *pglogrepl.RelationMessage) *schema.Relation {
	r := &schema.Relation{
		OID: m.RelationID, Namespace: m.Namespace, Name: m.RelationName,
		Identity: schema.Identity(m.ReplicaIdentity),
	}
	for _, c := range m.Columns {
		column := schema.Column{
			Name: c.Name, TypMod: c.TypeModifier, InIdentity: c.Flags == 1,
			Type: &schema.Type{OID: c.DataType},
		}
		if named := o.types[c.DataType]; named != nil {
			column.Type.Name, column.Type.Namespace = named.Name, named.Namespace
			if named.Namespace == "" {
				column.Type.Namespace = "pg_catalog"
			}
		}
		r.Columns = append(r.Columns, column)
	}
	return r
}

// TestOracle decodes all transcripts a second way, by pglogrepl, and compares.
func TestOracle(t *testing.T) {
	for _, tr := range transcripts(t) {
		t.Run(tr.name, func(t *testing.T) {
			o := newOracle()
			var messages []walMessage
			for i, m := range tr.messages {
				if m.data == nil {
					continue
				}
				messages = append(messages, m)
				if err := o.decode(m.start, m.data); err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
			}
			d := NewDecoder(DecoderOptions{Describe: describeAll})
			got, want := render(decodeAll(t, d, messages)), render(&o.batch)
			if got != want {
				t.Errorf("decoder:\n%s\npglogrepl:\n%s", got, want)
			}
		})
	}
}

package decoder

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tributary-cdc/tributary/schema"
)

// DecoderOptions are what a Decoder needs.
type DecoderOptions struct {
	// Describe turns a table's shape, as a Relation message told it, into a Relation with as many columns
	// in the same order. A nil Relation means that the table is not captured: its changes are counted and
	// dropped. It is asked at every Relation message, since constraints, defaults and comments may have
	// changed where the shape did not; for an equal answer it should return the same pointer. Required.
	Describe func(Shape) (*schema.Relation, error)
	// KeepEmpty keeps transactions in which nothing captured changed, as transactions without Changes;
	// by default nothing is left of them but their Confirm.
	KeepEmpty bool
}

// Decoder turns pgoutput messages into changes. It does no I/O. One Decoder serves one replication
// session: the server tells a table's shape once in a session. It is not safe for use by several goroutines.
type Decoder struct {
	options DecoderOptions
	// Commits below resume are dropped. No commit may come that lies below previous, where the last one
	// ended.
	resume, previous LSN
	lastCommit       LSN
	// err is what ended decoding.
	err error

	// The open transaction.
	inTransaction bool
	dropped       bool        // below resume
	started       bool        // a part of it is in this batch or an earlier one
	header        Transaction // what every part of it begins with
	ordinal       uint64

	relations map[uint32]*entry
	types     map[uint32]typeName
	// last is the relation of the last row, which the next row most often has too; subject the one of the
	// message being decoded, for its error.
	last, subject *entry
	// prefix and origin are the last ones seen: the same string serves for equal ones.
	prefix, origin string
}

// NewDecoder returns a Decoder at the start of a session.
func NewDecoder(o DecoderOptions) *Decoder {
	return &Decoder{
		options:   o,
		relations: make(map[uint32]*entry),
		types:     make(map[uint32]typeName),
	}
}

// Decode appends one pgoutput message, which the server sent at LSN start, to b. It keeps nothing of data. An
// error leaves b's transactions as they were and is final: every later call returns it again.
func (d *Decoder) Decode(start LSN, data []byte, b *Batch) error {
	if d.err != nil {
		return d.err
	}
	if len(data) == 0 {
		d.err = fmt.Errorf("decode message at %s: no message byte", start)
		return d.err
	}
	d.subject = nil
	if err := d.message(start, data[0], cursor{rest: data[1:]}, b); err != nil {
		what, joint := messageName(data[0])
		if e := d.subject; e != nil {
			what += joint + " " + e.shape.table()
		}
		d.err = fmt.Errorf("decode %s at %s: %w", what, start, err)
		return d.err
	}
	return nil
}

// message decodes the message whose bytes after the first are c's.
func (d *Decoder) message(start LSN, kind byte, c cursor, b *Batch) error {
	switch kind {
	case byteInsert:
		return d.row(schema.OpCreate, start, c, b)
	case byteUpdate:
		return d.row(schema.OpUpdate, start, c, b)
	case byteDelete:
		return d.row(schema.OpDelete, start, c, b)
	case byteBegin:
		return d.begin(start, c)
	case byteCommit:
		return d.commit(c, b)
	case byteRelation:
		return d.relation(c)
	case byteType:
		return d.typeName(c)
	case byteTruncate:
		return d.truncate(start, c, b)
	case byteMessage:
		return d.logical(start, c, b)
	case byteOrigin:
		return d.setOrigin(start, c)
	}
	return unknownMessage(kind)
}

// begin opens a transaction. Nothing of it goes into a batch before its first captured change: of a
// transaction that touched nothing captured only the Confirm remains.
func (d *Decoder) begin(start LSN, c cursor) error {
	m, err := parseBegin(&c)
	switch {
	case err != nil:
		return err
	case d.inTransaction:
		return fmt.Errorf("transaction %d is still open", d.header.XID)
	case m.commit < d.previous:
		return fmt.Errorf("commit LSN %s lies before %s, which came earlier", m.commit, d.previous)
	}
	d.inTransaction, d.started, d.ordinal = true, false, 0
	d.dropped = m.commit < d.resume
	d.header = Transaction{
		Commit:     m.commit,
		Begin:      start,
		Time:       m.time,
		XID:        m.xid,
		LastCommit: d.lastCommit,
	}
	return nil
}

// setOrigin notes where the open transaction was first committed.
func (d *Decoder) setOrigin(start LSN, c cursor) error {
	m, err := parseOrigin(&c)
	switch {
	case err != nil:
		return err
	case !d.inTransaction || d.ordinal > 0:
		return errors.New("want it right after a begin")
	}
	if string(m.name) != d.origin {
		d.origin = string(m.name)
	}
	d.header.Origin, d.header.OriginLSN = d.origin, m.lsn
	if d.header.Begin == 0 {
		// Of a begin and the origin that follows it, the server stamps only the second.
		d.header.Begin = start
	}
	return nil
}

// commit closes the open transaction. Where its earlier parts left in other batches and nothing followed
// them, the last part has no changes and says only that the transaction ends.
func (d *Decoder) commit(c cursor, b *Batch) error {
	m, err := parseCommit(&c)
	switch {
	case err != nil:
		return err
	case !d.inTransaction:
		return errors.New("no transaction is open")
	case m.commit != d.header.Commit:
		return fmt.Errorf("commit LSN %s: the begin said %s", m.commit, d.header.Commit)
	case m.end <= m.commit:
		return fmt.Errorf("end LSN %s: want it behind the commit LSN %s", m.end, m.commit)
	}
	if !d.dropped {
		if d.started || d.options.KeepEmpty {
			t := d.part(b)
			t.End, t.Last = m.end, true
		}
		b.Confirm = m.end
	}
	b.open, d.inTransaction = false, false
	// One that is dropped lies before the last of all, whose end SetResume told: whoever goes on from here, in
	// another lane, may not meet that one.
	d.previous, d.lastCommit = m.end, max(d.lastCommit, m.end)
	return nil
}

// part returns the open transaction's part in b, which it begins where there is none.
func (d *Decoder) part(b *Batch) *Transaction {
	if !b.open {
		b.Begin(d.header)
		b.Transactions[len(b.Transactions)-1].First = !d.started
		b.open, d.started = true, true
	}
	return &b.Transactions[len(b.Transactions)-1]
}

// errOutside says that a message that belongs into a transaction stands outside of one.
var errOutside = errors.New("no transaction is open")

// row decodes an insert, update or delete.
func (d *Decoder) row(op schema.Op, start LSN, c cursor, b *Batch) error {
	if !d.inTransaction {
		return errOutside
	}
	oid := c.uint32("relation OID")
	if c.err != nil {
		return c.err
	}
	e, err := d.lookup(oid)
	if err != nil {
		return err
	}
	d.subject = e
	// Counted before any filter: a position stored under one choice of tables must mean the same change
	// under another.
	d.ordinal++
	if d.dropped || e.relation == nil {
		return nil
	}
	// The one copy that a row's bytes make on their way to the encoder.
	c.rest = b.Copy(c.rest)
	old, isKey := parseOld(&c, op, e, b)
	var row schema.Row
	if op != schema.OpDelete && c.err == nil {
		if kind := c.uint8("tuple byte"); c.err == nil && kind != tupleNew {
			c.fail("tuple byte 0x%02x: want N", kind)
		}
		row = parseTuple(&c, e, b)
	}
	if err := c.done(); err != nil {
		return err
	}
	if old != nil && row != nil {
		fillUnchanged(row, old)
	}
	// Only now, when the whole message was right, does the batch change.
	d.part(b)
	change := b.Add()
	change.Op, change.Relation = op, e.relation
	change.Old, change.New, change.OldIsKey = old, row, isKey
	change.LSN, change.Ordinal = start, d.ordinal
	return nil
}

// parseOld reads the old tuple of an update or delete. An update may have none.
func parseOld(c *cursor, op schema.Op, e *entry, b *Batch) (row schema.Row, isKey bool) {
	if op == schema.OpCreate || len(c.rest) > 0 && op == schema.OpUpdate && c.rest[0] == tupleNew {
		return nil, false
	}
	switch kind := c.uint8("tuple byte"); {
	case c.err != nil:
		return nil, false
	case kind != tupleKey && kind != tupleOld:
		c.fail("tuple byte 0x%02x: want K or O for the old tuple", kind)
		return nil, false
	default:
		row = parseTuple(c, e, b)
		if kind == tupleOld {
			return row, false
		}
	}
	for i := range row {
		// The server fills the place of columns outside of the identity with null, which they need not be.
		if row[i].Kind == schema.Null && !e.identity[i] {
			row[i].Kind = schema.Absent
		}
	}
	return row, true
}

// fillUnchanged takes what the new tuple left out from the old one: any column of a full one, of a key one
// only a key column, which when stored out of line makes the server send the old key even if it did not
// change.
func fillUnchanged(row, old schema.Row) {
	for i := range row {
		if row[i].Kind == schema.Unchanged && old[i].Kind == schema.Text {
			row[i] = old[i]
		}
	}
}

// truncate decodes a truncate into one change for each captured table, all under one ordinal.
func (d *Decoder) truncate(start LSN, c cursor, b *Batch) error {
	if !d.inTransaction {
		return errOutside
	}
	m, err := parseTruncate(&c)
	if err != nil {
		return err
	}
	// All are looked up before the first change is added, so that an error leaves the batch as it was.
	for oids := m.oids; len(oids) > 0; oids = oids[4:] {
		if _, err := d.lookup(binary.BigEndian.Uint32(oids)); err != nil {
			return err
		}
	}
	d.ordinal++
	for oids := m.oids; len(oids) > 0 && !d.dropped; oids = oids[4:] {
		relation := d.relations[binary.BigEndian.Uint32(oids)].relation
		if relation == nil {
			continue
		}
		d.part(b)
		change := b.Add()
		change.Op, change.Relation = schema.OpTruncate, relation
		change.LSN, change.Ordinal = start, d.ordinal
	}
	return nil
}

// logical decodes a logical message. One that is not transactional is a transaction of its own: the server
// sends it at once, between the transactions.
func (d *Decoder) logical(start LSN, c cursor, b *Batch) error {
	m, err := parseLogical(&c)
	switch {
	case err != nil:
		return err
	case m.transactional && !d.inTransaction:
		return errOutside
	case !m.transactional && d.inTransaction:
		return fmt.Errorf("not transactional, but inside of transaction %d", d.header.XID)
	case !m.transactional && m.lsn < d.previous:
		return fmt.Errorf("LSN %s lies before %s, which came earlier", m.lsn, d.previous)
	case !m.transactional && m.lsn <= d.resume:
		// Its LSN is the end of its record, so that one that ends at resume began before it.
		d.previous, d.lastCommit = m.lsn, max(d.lastCommit, m.lsn)
		return nil
	case m.transactional:
		d.ordinal++
		if !d.dropped {
			d.part(b)
			d.addLogical(start, m, b)
		}
		return nil
	}
	b.Begin(Transaction{
		Commit:     m.lsn,
		End:        m.lsn,
		Begin:      start,
		LastCommit: d.lastCommit,
		First:      true,
		Last:       true,
	})
	d.addLogical(start, m, b)
	b.Confirm, d.previous, d.lastCommit = m.lsn, m.lsn, m.lsn
	return nil
}

// addLogical appends m to the batch's last transaction.
func (d *Decoder) addLogical(start LSN, m logical, b *Batch) {
	if string(m.prefix) != d.prefix {
		d.prefix = string(m.prefix)
	}
	change := b.Add()
	change.Op, change.LSN = schema.OpMessage, start
	change.Prefix, change.Content, change.Transactional = d.prefix, b.Copy(m.content), m.transactional
	if m.transactional {
		change.Ordinal = d.ordinal
	}
}

// Keepalive tells of a keepalive: outside of a transaction walEnd may be confirmed once all before it is
// durable, and b.Confirm says so. Inside of one it confirms nothing, nor after an error.
func (d *Decoder) Keepalive(walEnd LSN, b *Batch) {
	if !d.inTransaction && d.err == nil {
		b.Confirm = max(b.Confirm, walEnd)
	}
}

// SetResume has every transaction dropped whose commit record starts below resume, as the server does with
// a start position; its tuples are not looked at. lastCommit is where the last one before it ended, 0 when
// that is not known. It holds from the next BEGIN on.
func (d *Decoder) SetResume(resume, lastCommit LSN) { d.resume, d.lastCommit = resume, lastCommit }

// InTransaction says that a BEGIN was decoded and its COMMIT not yet.
func (d *Decoder) InTransaction() bool { return d.inTransaction }

// Commit returns the start of the open transaction's commit record, 0 outside of a transaction.
func (d *Decoder) Commit() LSN {
	if !d.inTransaction {
		return 0
	}
	return d.header.Commit
}

// Ordinal returns how many I, U, D, T and M messages of the open transaction were decoded.
func (d *Decoder) Ordinal() uint64 {
	if !d.inTransaction {
		return 0
	}
	return d.ordinal
}

// LastCommit returns the End of the last transaction decoded, or what SetResume said.
func (d *Decoder) LastCommit() LSN { return d.lastCommit }

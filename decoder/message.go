package decoder

import (
	"fmt"

	"github.com/tributary-cdc/tributary/schema"
)

// postgresEpoch is 2000-01-01 in microseconds since 1970, both UTC.
const postgresEpoch = 946_684_800_000_000

// Message bytes of protocol version 1.
const (
	byteBegin    = 'B'
	byteCommit   = 'C'
	byteOrigin   = 'O'
	byteRelation = 'R'
	byteType     = 'Y'
	byteInsert   = 'I'
	byteUpdate   = 'U'
	byteDelete   = 'D'
	byteTruncate = 'T'
	byteMessage  = 'M'
)

// Bytes that stand before a tuple.
const (
	tupleKey = 'K' // old values of the identity's columns
	tupleOld = 'O' // old values of all columns
	tupleNew = 'N'
)

// Bytes that stand before each value of a tuple.
const (
	valueNull      = 'n'
	valueUnchanged = 'u'
	valueText      = 't'
	valueBinary    = 'b'
)

// begin is message B.
//
//	+---+------------+------------+--------+
//	| B | commit LSN | time       | xid    |
//	| 1 | 8          | 8          | 4      |
//	+---+------------+------------+--------+
type begin struct {
	commit LSN // start of the commit record
	time   int64
	xid    uint32
}

func parseBegin(c *cursor) (begin, error) {
	m := begin{commit: c.lsn("commit LSN"), time: c.time("commit time"), xid: c.uint32("transaction id")}
	return m, c.done()
}

// commit is message C.
//
//	+---+-------+------------+------------+------------+
//	| C | flags | commit LSN | end LSN    | time       |
//	| 1 | 1     | 8          | 8          | 8          |
//	+---+-------+------------+------------+------------+
type commit struct {
	commit, end LSN
	time        int64
}

func parseCommit(c *cursor) (commit, error) {
	if flags := c.uint8("flags"); flags != 0 {
		c.fail("flags 0x%02x: none is known", flags)
	}
	m := commit{commit: c.lsn("commit LSN"), end: c.lsn("end LSN"), time: c.time("commit time")}
	return m, c.done()
}

// origin is message O, after the B of a transaction that came from another server.
//
//	+---+------------+----------+
//	| O | origin LSN | name NUL |
//	| 1 | 8          |          |
//	+---+------------+----------+
type origin struct {
	lsn  LSN
	name []byte
}

func parseOrigin(c *cursor) (origin, error) {
	m := origin{lsn: c.lsn("origin LSN"), name: c.text("origin name")}
	return m, c.done()
}

// parseRelation reads message R. Type names are left empty.
//
//	+---+-----+---------------+----------+----------+---------+-----------
//	| R | OID | namespace NUL | name NUL | identity | columns | column ...
//	| 1 | 4   | "" pg_catalog |          | 1: dnfi  | 2       |
//	+---+-----+---------------+----------+----------+---------+-----------
//	column:
//	+------------+----------+----------+----------+
//	| flags      | name NUL | type OID | modifier |
//	| 1: bit 0   |          | 4        | 4        |
//	| = identity |          |          |          |
//	+------------+----------+----------+----------+
func parseRelation(c *cursor) (Shape, error) {
	s := Shape{OID: c.uint32("relation OID"), Namespace: namespace(c.text("namespace"))}
	s.Name = string(c.text("relation name"))
	s.Identity = schema.Identity(c.uint8("replica identity"))
	switch s.Identity {
	case schema.IdentityDefault, schema.IdentityNothing, schema.IdentityFull, schema.IdentityIndex:
	default:
		c.fail("replica identity 0x%02x: want one of d, n, f, i", byte(s.Identity))
	}
	// The shortest column has 10 bytes: a count that the message cannot hold allocates nothing.
	const shortest = 10
	count := int(c.uint16("number of columns"))
	if count*shortest > len(c.rest) {
		c.fail("%d columns: want at least %d bytes, %d are left", count, count*shortest, len(c.rest))
	}
	if c.err != nil {
		return s, c.err
	}
	s.Columns = make([]ShapeColumn, count)
	for i := range s.Columns {
		s.Columns[i] = ShapeColumn{
			Key:     c.uint8("column flags")&1 != 0,
			Name:    string(c.text("column name")),
			TypeOID: c.uint32("type OID"),
			TypMod:  int32(c.uint32("type modifier")),
		}
	}
	return s, c.done()
}

// typeName is message Y, which comes before the R of a table with a column of a type that is not built in.
//
//	+---+-----+---------------+----------+
//	| Y | OID | namespace NUL | name NUL |
//	| 1 | 4   | "" pg_catalog |          |
//	+---+-----+---------------+----------+
type typeName struct {
	oid             uint32
	namespace, name string
}

func parseType(c *cursor) (typeName, error) {
	m := typeName{oid: c.uint32("type OID"), namespace: namespace(c.text("namespace"))}
	m.name = string(c.text("type name"))
	return m, c.done()
}

// namespace spells out what the server abbreviates.
func namespace(name []byte) string {
	if len(name) == 0 {
		return "pg_catalog"
	}
	return string(name)
}

// Row messages have the table's OID, then a tuple or two.
//
//	+---+-----+---+-----------+                            insert
//	| I | OID | N | new tuple |
//	+---+-----+---+-----------+
//	+---+-----+--------+-----------+---+-----------+       update; the old tuple
//	| U | OID | K or O | old tuple | N | new tuple |       and its byte may be missing
//	+---+-----+--------+-----------+---+-----------+
//	+---+-----+--------+-----------+                       delete
//	| D | OID | K or O | old tuple |
//	+---+-----+--------+-----------+
//	| 1 | 4   | 1      |
//
//	tuple:
//	+---------+-------------------------------+
//	| columns | value ...                     |
//	| 2       | n null     u unchanged        |
//	|         | t length 4, text              |
//	+---------+-------------------------------+
//
// parseTuple reads a tuple of e into memory of b. c must stand in b's memory already: the values point there.
func parseTuple(c *cursor, e *entry, b *Batch) schema.Row {
	if count := int(c.uint16("number of columns")); count != len(e.identity) {
		c.fail("tuple of %d columns: the relation has %d", count, len(e.identity))
	}
	if c.err != nil {
		return nil
	}
	row := b.Row(len(e.identity))
	rest := c.rest
	for i := range row {
		if len(rest) < 1 {
			c.fail("%s: no kind byte is left", e.column(i))
			return nil
		}
		switch rest[0] {
		case valueText:
			if len(rest) < 5 {
				c.fail("%s: length: want 4 bytes, %d are left", e.column(i), len(rest)-1)
				return nil
			}
			n := uint64(rest[1])<<24 | uint64(rest[2])<<16 | uint64(rest[3])<<8 | uint64(rest[4])
			rest = rest[5:]
			if n > uint64(len(rest)) {
				c.fail("%s: value: want %d bytes, %d are left", e.column(i), n, len(rest))
				return nil
			}
			row[i] = schema.Datum{Kind: schema.Text, Text: rest[:n:n]}
			rest = rest[n:]
		case valueNull:
			row[i] = schema.Datum{}
			rest = rest[1:]
		case valueUnchanged:
			row[i] = schema.Datum{Kind: schema.Unchanged}
			rest = rest[1:]
		default:
			c.badKind(e.column(i), rest[0])
			return nil
		}
	}
	c.rest = rest
	return row
}

func (c *cursor) badKind(column string, kind byte) {
	if kind == valueBinary {
		c.fail("%s: binary value: the plugin option binary is on, want it off", column)
		return
	}
	c.fail("%s: kind byte 0x%02x: want n, u or t", column, kind)
}

// truncate is message T, one for all tables of a statement, also those reached by CASCADE.
//
//	+---+--------+---------------------------+---------+
//	| T | tables | options                   | OID ... |
//	| 1 | 4      | 1: bit 0 cascade,         | 4 each  |
//	|   |        | bit 1 restart identity    |         |
//	+---+--------+---------------------------+---------+
type truncate struct {
	// oids are the tables' OIDs as they stand in the message, 4 bytes each.
	oids []byte
}

func parseTruncate(c *cursor) (truncate, error) {
	count := c.uint32("number of relations")
	c.uint8("options")
	if c.err == nil && count == 0 {
		c.fail("no relation")
	}
	// Compared before it is multiplied: the product may not fit into 32 bits.
	if uint64(count)*4 > uint64(len(c.rest)) {
		c.fail("%d relations: want %d bytes, %d are left", count, uint64(count)*4, len(c.rest))
		return truncate{}, c.err
	}
	m := truncate{oids: c.bytes("relation OIDs", count*4)}
	return m, c.done()
}

// logical is message M, made by pg_logical_emit_message.
//
//	+---+-------------------+-----+------------+--------+---------+
//	| M | flags             | LSN | prefix NUL | length | content |
//	| 1 | 1: bit 0 = trans- | 8   |            | 4      |         |
//	|   | actional          |     |            |        |         |
//	+---+-------------------+-----+------------+--------+---------+
type logical struct {
	transactional bool
	lsn           LSN // end of the message's own record
	prefix        []byte
	content       []byte
}

func parseLogical(c *cursor) (logical, error) {
	flags := c.uint8("flags")
	if flags > 1 {
		c.fail("flags 0x%02x: want 0 or 1", flags)
	}
	m := logical{transactional: flags == 1, lsn: c.lsn("LSN"), prefix: c.text("prefix")}
	m.content = c.bytes("content", c.uint32("content length"))
	return m, c.done()
}

// messageName says what a message does, and the word that joins a table to it.
func messageName(kind byte) (verb, joint string) {
	switch kind {
	case byteBegin:
		return "begin", ""
	case byteCommit:
		return "commit", ""
	case byteOrigin:
		return "origin", ""
	case byteRelation:
		return "relation", ""
	case byteType:
		return "type", ""
	case byteInsert:
		return "insert", " into"
	case byteUpdate:
		return "update", " of"
	case byteDelete:
		return "delete", " from"
	case byteTruncate:
		return "truncate", ""
	case byteMessage:
		return "logical message", ""
	}
	return "message", ""
}

// unknownMessage says what is wrong with a message byte that protocol version 1 does not have.
func unknownMessage(kind byte) error {
	switch kind {
	case 'S', 'E', 'c', 'A', 'b', 'P', 'K', 'r', 'p':
		return fmt.Errorf("message byte 0x%02x (%c) belongs to streamed or prepared transactions: "+
			"protocol version 1 does not have it", kind, kind)
	}
	return fmt.Errorf("unknown message byte 0x%02x", kind)
}

package decoder

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// cursor reads a message from front to back and never past its end. The first thing that does not fit is
// remembered, everything read after it is zero, so a parser reads all its fields and asks done once.
type cursor struct {
	rest []byte
	err  error
}

// fail remembers the first error and leaves nothing to read.
func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
	c.rest = nil
}

// short says that what needs more bytes than are left.
func (c *cursor) short(what string, need int) {
	c.fail("%s: want %d bytes, %d are left", what, need, len(c.rest))
}

func (c *cursor) uint8(what string) uint8 {
	if len(c.rest) < 1 {
		c.short(what, 1)
		return 0
	}
	v := c.rest[0]
	c.rest = c.rest[1:]
	return v
}

func (c *cursor) uint16(what string) uint16 {
	if len(c.rest) < 2 {
		c.short(what, 2)
		return 0
	}
	v := binary.BigEndian.Uint16(c.rest)
	c.rest = c.rest[2:]
	return v
}

func (c *cursor) uint32(what string) uint32 {
	if len(c.rest) < 4 {
		c.short(what, 4)
		return 0
	}
	v := binary.BigEndian.Uint32(c.rest)
	c.rest = c.rest[4:]
	return v
}

func (c *cursor) uint64(what string) uint64 {
	if len(c.rest) < 8 {
		c.short(what, 8)
		return 0
	}
	v := binary.BigEndian.Uint64(c.rest)
	c.rest = c.rest[8:]
	return v
}

func (c *cursor) lsn(what string) LSN { return LSN(c.uint64(what)) }

// time reads microseconds since 2000 and returns microseconds since 1970.
func (c *cursor) time(what string) int64 { return int64(c.uint64(what)) + postgresEpoch }

// text reads up to a NUL. What it returns points into the message.
func (c *cursor) text(what string) []byte {
	end := bytes.IndexByte(c.rest, 0)
	if end < 0 {
		c.fail("%s: no NUL in the %d bytes left", what, len(c.rest))
		return nil
	}
	v := c.rest[:end]
	c.rest = c.rest[end+1:]
	return v
}

// bytes reads n bytes. What it returns points into the message.
func (c *cursor) bytes(what string, n uint32) []byte {
	if uint64(n) > uint64(len(c.rest)) {
		c.fail("%s: want %d bytes, %d are left", what, n, len(c.rest))
		return nil
	}
	v := c.rest[:n]
	c.rest = c.rest[n:]
	return v
}

// done returns the first error, or one when bytes are left over.
func (c *cursor) done() error {
	if c.err == nil && len(c.rest) > 0 {
		c.fail("%d bytes left over", len(c.rest))
	}
	return c.err
}

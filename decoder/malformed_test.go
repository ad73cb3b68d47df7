package decoder

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/schema"
)

// errWanted is what a Describe in TestErrors fails with.
var errWanted = errors.New("catalog unreachable")

// openTransaction is what comes before most of the malformed messages: a table, and an open transaction.
var openTransaction = [][]byte{relationT, beginMessage(0x10)}

// closedTransaction is a transaction from 0/10 to 0/20.
var closedTransaction = [][]byte{beginMessage(0x10), commitMessage(0x10, 0x20)}

// malformed is a list of messages that must be refused, and in which words.
var malformed = []struct {
	name   string
	before [][]byte
	data   []byte
	want   string
}{
	{"no byte", nil, nil, "decode message at 0/99: no message byte"},
	{"unknown byte", nil, []byte("Z"), "decode message at 0/99: unknown message byte 0x5a"},
	{"streaming", nil, []byte("S"), "decode message at 0/99: message byte 0x53 (S) belongs to " +
		"streamed or prepared transactions: protocol version 1 does not have it"},
	{
		"begin short", nil, []byte("B1234567"),
		"decode begin at 0/99: commit LSN: want 8 bytes, 7 are left",
	},
	{"begin long", nil, append(beginMessage(1), 0), "decode begin at 0/99: 1 bytes left over"},
	{
		"begin in transaction", openTransaction, beginMessage(0x20),
		"decode begin at 0/99: transaction 5 is still open",
	},
	{
		"begin out of order", closedTransaction, beginMessage(0x1f),
		"decode begin at 0/99: commit LSN 0/1F lies before 0/20, which came earlier",
	},
	{"commit outside", nil, commitMessage(0x10, 0x20), "decode commit at 0/99: no transaction is open"},
	{
		"commit of another", openTransaction, commitMessage(0x18, 0x20),
		"decode commit at 0/99: commit LSN 0/18: the begin said 0/10",
	},
	{
		"commit ends early", openTransaction, commitMessage(0x10, 0x10),
		"decode commit at 0/99: end LSN 0/10: want it behind the commit LSN 0/10",
	},
	{
		"commit flags", openTransaction, wireMessage('C', byte(4), uint64(0), uint64(0), uint64(0)),
		"decode commit at 0/99: flags 0x04: none is known",
	},
	{
		"origin outside", nil, wireMessage('O', uint64(1), "o"),
		"decode origin at 0/99: want it right after a begin",
	},
	{
		"origin without NUL", openTransaction, []byte("O12345678name"),
		"decode origin at 0/99: origin name: no NUL in the 4 bytes left",
	},
	{"insert outside", [][]byte{relationT}, insertT, "decode insert at 0/99: no transaction is open"},
	{
		"insert unknown", openTransaction, insertHidden,
		"decode insert at 0/99: relation 8: no relation message told of it",
	},
	{
		"insert old tuple", openTransaction, wireMessage('I', uint32(7), tuple('O', "1", "one")),
		"decode insert into public.t at 0/99: tuple byte 0x4f: want N",
	},
	{
		"insert short", openTransaction, insertT[:len(insertT)-1],
		"decode insert into public.t at 0/99: column 2 v: value: want 3 bytes, 2 are left",
	},
	{
		"insert length", openTransaction, insertT[:len(insertT)-5],
		"decode insert into public.t at 0/99: column 2 v: length: want 4 bytes, 2 are left",
	},
	{
		"insert kind", openTransaction, insertT[:len(insertT)-8],
		"decode insert into public.t at 0/99: column 2 v: no kind byte is left",
	},
	{
		"insert long", openTransaction, append(insertT[:len(insertT):len(insertT)], 1, 2),
		"decode insert into public.t at 0/99: 2 bytes left over",
	},
	{
		"insert columns", openTransaction, wireMessage('I', uint32(7), tuple('N', "1")),
		"decode insert into public.t at 0/99: tuple of 1 columns: the relation has 2",
	},
	{
		"insert binary", openTransaction,
		wireMessage('I', uint32(7), byte('N'), uint16(2), byte('b'), uint32(0), byte('n')),
		"decode insert into public.t at 0/99: column 1 id: binary value: " +
			"the plugin option binary is on, want it off",
	},
	{
		"insert kind unknown", openTransaction,
		wireMessage('I', uint32(7), byte('N'), uint16(2), byte('n'), byte('x')),
		"decode insert into public.t at 0/99: column 2 v: kind byte 0x78: want n, u or t",
	},
	{
		"insert huge length", openTransaction,
		wireMessage('I', uint32(7), byte('N'), uint16(2), byte('t'), int32(-1)),
		"decode insert into public.t at 0/99: column 1 id: value: want 4294967295 bytes, 0 are left",
	},
	{
		"update without new", openTransaction, wireMessage('U', uint32(7), tuple('K', "1", nil)),
		"decode update of public.t at 0/99: tuple byte: want 1 bytes, 0 are left",
	},
	{
		"update tuple byte", openTransaction, wireMessage('U', uint32(7), byte('Q')),
		"decode update of public.t at 0/99: tuple byte 0x51: want K or O for the old tuple",
	},
	{
		"delete new tuple", openTransaction, wireMessage('D', uint32(7), tuple('N', "1", nil)),
		"decode delete from public.t at 0/99: tuple byte 0x4e: want K or O for the old tuple",
	},
	{
		"delete without tuple", openTransaction, wireMessage('D', uint32(7)),
		"decode delete from public.t at 0/99: tuple byte: want 1 bytes, 0 are left",
	},
	{
		"truncate outside",
		[][]byte{relationT},
		wireMessage('T', uint32(1), byte(0), uint32(7)),
		"decode truncate at 0/99: no transaction is open",
	},
	{
		"truncate short", openTransaction, []byte("T123"),
		"decode truncate at 0/99: number of relations: want 4 bytes, 3 are left",
	},
	{
		"truncate unknown", openTransaction, wireMessage('T', uint32(2), byte(0), uint32(7), uint32(8)),
		"decode truncate at 0/99: relation 8: no relation message told of it",
	},
	{
		"truncate of nothing", openTransaction,
		wireMessage('T', uint32(0), byte(0)), "decode truncate at 0/99: no relation",
	},
	{
		"truncate count", openTransaction, wireMessage('T', uint32(0x40000001), byte(0), uint32(7)),
		"decode truncate at 0/99: 1073741825 relations: want 4294967300 bytes, 4 are left",
	},
	{
		"relation identity", nil, wireMessage('R', uint32(7), "public", "t", byte('x'), uint16(0)),
		"decode relation at 0/99: replica identity 0x78: want one of d, n, f, i",
	},
	{
		"relation columns", nil, wireMessage('R', uint32(7), "public", "t", byte('d'), uint16(65535)),
		"decode relation at 0/99: 65535 columns: want at least 655350 bytes, 0 are left",
	},
	{
		"relation not described", nil,
		wireMessage('R', uint32(3), "public", "failing", byte('d'), uint16(0)),
		"decode relation public.failing at 0/99: describe: catalog unreachable",
	},
	{
		"relation described otherwise", nil, wireMessage('R', uint32(4), "public", "short", byte('d'), uint16(0)),
		"decode relation public.short at 0/99: described with 1 columns: want 0",
	},
	{"type short", nil, []byte("Y123"), "decode type at 0/99: type OID: want 4 bytes, 3 are left"},
	{
		"message outside", nil, logicalMessage(1, 1, ""),
		"decode logical message at 0/99: no transaction is open",
	},
	{
		"message inside", openTransaction, logicalMessage(0, 1, ""),
		"decode logical message at 0/99: not transactional, but inside of transaction 5",
	},
	{
		"message out of order", closedTransaction,
		logicalMessage(0, 0x18, ""),
		"decode logical message at 0/99: LSN 0/18 lies before 0/20, which came earlier",
	},
	{
		"message flags", openTransaction, logicalMessage(2, 1, ""),
		"decode logical message at 0/99: flags 0x02: want 0 or 1",
	},
	{
		"message content", openTransaction,
		wireMessage('M', byte(1), uint64(1), "p", uint32(9), []byte("12345678")),
		"decode logical message at 0/99: content: want 9 bytes, 8 are left",
	},
}

func TestErrors(t *testing.T) {
	for _, test := range malformed {
		t.Run(test.name, func(t *testing.T) {
			s := newSession(t, DecoderOptions{Describe: func(shape Shape) (*schema.Relation, error) {
				switch shape.Name {
				case "failing":
					return nil, errWanted
				case "short":
					return &schema.Relation{Columns: make([]schema.Column, 1)}, nil
				}
				return describeAll(shape)
			}})
			s.decode(test.before...)
			before := outline(s.b)
			err := s.Decode(0x99, test.data, s.b)
			if err == nil || err.Error() != test.want {
				t.Fatalf("got  %v\nwant %s", err, test.want)
			}
			if strings.Contains(test.name, "not described") && !errors.Is(err, errWanted) {
				t.Error("the cause is lost")
			}
			if again := s.Decode(0x99, relationT, s.b); !errors.Is(again, err) {
				t.Errorf("after an error: %v", again)
			}
			if after := outline(s.b); after != before {
				t.Errorf("batch was %s, is %s", before, after)
			}
		})
	}
}

// TestTruncatedMessages cuts every message of the transcripts short at every byte: an error, never a panic.
func TestTruncatedMessages(t *testing.T) {
	for _, tr := range transcripts(t) {
		for i, m := range tr.messages {
			if len(m.data) > 300 {
				continue // the long values of the TOAST transcripts: nothing but text
			}
			d := NewDecoder(DecoderOptions{Describe: describeAll})
			decodeAll(t, d, tr.messages[:i])
			saved := *d
			for n := range m.data {
				attempt := saved
				if err := attempt.Decode(m.start, m.data[:n], new(Batch)); err == nil {
					t.Fatalf("%s message %d: accepted with %d of %d bytes", tr.name, i, n, len(m.data))
				}
			}
		}
	}
}

// TestHostileCountsAllocateNothing gives counts and lengths that the input cannot hold.
func TestHostileCountsAllocateNothing(t *testing.T) {
	for _, data := range [][]byte{
		wireMessage('R', uint32(7), "public", "t", byte('d'), uint16(65535)),
		wireMessage('T', uint32(0xffffffff), byte(0)),
		wireMessage('I', uint32(7), byte('N'), uint16(65535)),
		wireMessage('I', uint32(7), byte('N'), uint16(2), byte('t'), uint32(0xfffffff0)),
		wireMessage('M', byte(1), uint64(1), "p", uint32(0xfffffff0)),
	} {
		s := newSession(t, DecoderOptions{})
		s.decode(relationT, beginMessage(1))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := s.Decode(1, data, s.b)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Fatalf("%q was accepted", data)
		}
		// The error and the first chunks of a batch, nothing of the size that was claimed.
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
			t.Errorf("%q allocated %d bytes", data, got)
		}
	}
}

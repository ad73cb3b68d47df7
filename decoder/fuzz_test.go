package decoder

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pglogrepl"

	"github.com/tributary-cdc/tributary/schema"
)

// pack puts messages into one fuzz input: each has 8 bytes of LSN, 2 of length, then its bytes. A
// keepalive has length 0.
func pack(messages []walMessage) []byte {
	var input []byte
	for _, m := range messages {
		input = binary.BigEndian.AppendUint64(input, uint64(m.start))
		input = binary.BigEndian.AppendUint16(input, uint16(len(m.data)))
		input = append(input, m.data...)
	}
	return input
}

// unpack reads what pack wrote, and of any other input as much as there is.
func unpack(input []byte) []walMessage {
	var messages []walMessage
	for len(input) >= 10 {
		m := walMessage{start: LSN(binary.BigEndian.Uint64(input))}
		n := min(int(binary.BigEndian.Uint16(input[8:])), len(input)-10)
		m.data, input = input[10:10+n], input[10+n:]
		messages = append(messages, m)
	}
	return messages
}

// FuzzDecode decodes a whole session of messages. It must not panic nor take memory beyond a multiple of
// the input, what it accepts must keep the order and the marks that Batch promises, and pglogrepl must
// accept it too. With open the session has begun: a transaction is open and two tables are
// openTransaction, so that one message is an input.
func FuzzDecode(f *testing.F) {
	for _, tr := range transcripts(f) {
		// Long sessions are decoded in other tests. Here they would take all time for themselves.
		if input := pack(tr.messages); len(input) < 8<<10 {
			f.Add(false, input)
		}
	}
	for _, m := range [][]byte{
		insertT, insertHidden, relationT, commitMessage(0x10, 0x20), logicalMessage(1, 0x10, "content"),
		wireMessage('U', uint32(7), tuple('K', "1", nil), tuple('N', '?', "one")),
		wireMessage('U', uint32(7), tuple('O', "1", "one"), tuple('N', "1", '?')),
		wireMessage('U', uint32(7), tuple('N', "1", nil)),
		wireMessage('D', uint32(7), tuple('K', "1", nil)),
		wireMessage('T', uint32(2), byte(3), uint32(7), uint32(8)),
		wireMessage('Y', uint32(16999), "public", "mood"), wireMessage('O', uint64(9), "origin"),
	} {
		f.Add(true, pack([]walMessage{{0x99, m}}))
	}
	f.Fuzz(func(t *testing.T, open bool, input []byte) {
		d := NewDecoder(DecoderOptions{Describe: describeVisible, KeepEmpty: len(input)%2 == 0})
		b := new(Batch)
		for _, m := range [][]byte{relationT, relationHidden, beginMessage(0x10)} {
			if !open {
				break
			}
			if err := d.Decode(0x8, m, b); err != nil {
				t.Fatal(err)
			}
		}
		var last error
		for _, m := range unpack(input) {
			if len(m.data) == 0 {
				d.Keepalive(m.start, b)
				continue
			}
			transactions, changes := len(b.Transactions), countChanges(b)
			err := d.Decode(m.start, m.data, b)
			switch {
			case last != nil && !errors.Is(err, last):
				t.Fatalf("%v after %v", err, last)
			case err == nil && countChanges(b) == changes && strings.IndexByte("IUD", m.data[0]) >= 0:
				// A row of a table that is not captured: not looked at.
			case err == nil:
				checkParser(t, m.data)
			case len(b.Transactions) != transactions || countChanges(b) != changes:
				t.Fatalf("a message that failed changed the batch: %v", err)
			}
			last = err
		}
		checkBatch(t, d, b)
		// A truncate makes a change of 4 bytes, an insert into a table without columns one of 8; a value of
		// one byte a datum.
		if most := 1024 + 64*len(input); b.Bytes() > most {
			t.Errorf("%d bytes of memory for %d of input", b.Bytes(), len(input))
		}
	})
}

func countChanges(b *Batch) int {
	n := 0
	for i := range b.Transactions {
		n += len(b.Transactions[i].Changes)
	}
	return n
}

// checkParser has pglogrepl parse what the decoder accepted.
func checkParser(t *testing.T, data []byte) {
	t.Helper()
	_, err := pglogrepl.Parse(data)
	if err != nil && !strings.Contains(err.Error(), "must have 8 bytes, got 7") {
		t.Fatalf("pglogrepl does not accept %q: %v", data, err)
	}
}

// checkBatch checks the promises of Batch: positions only grow, and the marks pair up.
func checkBatch(t *testing.T, d *Decoder, b *Batch) {
	t.Helper()
	var before Position
	for i := range b.Transactions {
		transaction := &b.Transactions[i]
		if !transaction.First {
			t.Fatalf("transaction %d of one batch goes on from another", i)
		}
		if open := !transaction.Last; open != (d.InTransaction() && i == len(b.Transactions)-1 && b.open) {
			t.Fatalf("transaction %d: open %t", i, open)
		}
		for j := range transaction.Changes {
			c := &transaction.Changes[j]
			at := Position{transaction.Commit, c.Ordinal}
			if at.Compare(before) < 0 {
				t.Fatalf("position %v after %v", at, before)
			}
			before = at
			checkChange(t, c)
		}
	}
}

func checkChange(t *testing.T, c *Change) {
	t.Helper()
	for _, row := range []schema.Row{c.Old, c.New} {
		if row != nil && len(row) != len(c.Relation.Columns) {
			t.Fatalf("%d values for %d columns", len(row), len(c.Relation.Columns))
		}
		for _, v := range row {
			if (v.Kind == schema.Text) != (v.Text != nil) {
				t.Fatalf("kind %d with text %t", v.Kind, v.Text != nil)
			}
		}
	}
	hasOld, hasNew := c.Op == schema.OpDelete, c.Op == schema.OpCreate || c.Op == schema.OpUpdate
	if hasNew != (c.New != nil) || hasOld && c.Old == nil || c.Old != nil && c.Op != schema.OpUpdate && !hasOld {
		t.Fatalf("%c with old %t, new %t", c.Op, c.Old != nil, c.New != nil)
	}
}

// FuzzParseLSN checks that what is accepted prints back as the same number.
func FuzzParseLSN(f *testing.F) {
	for _, seed := range []string{
		"0/0", "0/16B3748", "ffffffff/FFFFFFFF", "1/", "/1", "000000001/0", "-1/0", "1/0 ",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lsn, err := ParseLSN(text)
		if err != nil {
			return
		}
		again, err := ParseLSN(lsn.String())
		if err != nil || again != lsn {
			t.Errorf("%q is %s, is %s: %v", text, lsn, again, err)
		}
		high, low, _ := strings.Cut(text, "/")
		wantHigh, wantLow := trimZeros(high), trimZeros(low)
		if want := strings.ToUpper(wantHigh + "/" + wantLow); lsn.String() != want {
			t.Errorf("%q is %s, want %s", text, lsn, want)
		}
	})
}

// trimZeros drops leading zeros and keeps one digit.
func trimZeros(digits string) string {
	if digits = strings.TrimLeft(digits, "0"); digits == "" {
		return "0"
	}
	return digits
}

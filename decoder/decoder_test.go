package decoder

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/schema"
)

// wireMessage builds a pgoutput message: numbers big-endian in their size, strings with a NUL, bytes as
// they are.
func wireMessage(kind byte, parts ...any) []byte {
	m := []byte{kind}
	for _, part := range parts {
		switch v := part.(type) {
		case byte:
			m = append(m, v)
		case string:
			m = append(append(m, v...), 0)
		case []byte:
			m = append(m, v...)
		default:
			var err error
			if m, err = binary.Append(m, binary.BigEndian, v); err != nil {
				panic(err)
			}
		}
	}
	return m
}

// tuple builds a tuple: nil is null, '?' unchanged, a string a text value.
func tuple(kind byte, values ...any) []byte {
	m := wireMessage(kind, uint16(len(values)))
	for _, value := range values {
		switch v := value.(type) {
		case nil:
			m = append(m, 'n')
		case rune:
			m = append(m, 'u')
		case string:
			m = append(m, wireMessage('t', uint32(len(v)), []byte(v))...)
		}
	}
	return m
}

// Messages for a table public.t (id int, v text) with OID 7, and an uncaptured one, public.hidden, with
// OID 8.
var (
	relationT = wireMessage('R', uint32(7), "public", "t", byte('d'), uint16(2),
		byte(1), "id", uint32(23), int32(-1), byte(0), "v", uint32(25), int32(-1))
	relationHidden = wireMessage('R', uint32(8), "public", "hidden", byte('d'), uint16(1),
		byte(1), "id", uint32(23), int32(-1))
	insertT      = wireMessage('I', uint32(7), tuple('N', "1", "one"))
	insertHidden = wireMessage('I', uint32(8), tuple('N', "secret"))
)

func beginMessage(commit LSN) []byte {
	return wireMessage('B', uint64(commit), uint64(0), uint32(5))
}

func commitMessage(commit, end LSN) []byte {
	return wireMessage('C', byte(0), uint64(commit), uint64(end), uint64(0))
}

func logicalMessage(transactional byte, lsn LSN, content string) []byte {
	return wireMessage('M', transactional, uint64(lsn), "prefix", uint32(len(content)), []byte(content))
}

// describeVisible captures every table but public.hidden.
func describeVisible(s Shape) (*schema.Relation, error) {
	if s.Name == "hidden" {
		return nil, nil
	}
	return describeAll(s)
}

// testSession is a Decoder, the batch that it fills, and the LSN of the next message.
type testSession struct {
	t *testing.T
	*Decoder
	b *Batch
}

func newSession(t *testing.T, o DecoderOptions) *testSession {
	if o.Describe == nil {
		o.Describe = describeVisible
	}
	return &testSession{t: t, Decoder: NewDecoder(o), b: new(Batch)}
}

// decode decodes messages that must be right.
func (s *testSession) decode(messages ...[]byte) {
	s.t.Helper()
	for _, m := range messages {
		if err := s.Decode(0x99, m, s.b); err != nil {
			s.t.Fatal(err)
		}
	}
}

// outline is what a batch looks like in one line: commit, marks and ordinals of each transaction, and the
// Confirm.
func outline(b *Batch) string {
	var w strings.Builder
	for i := range b.Transactions {
		t := &b.Transactions[i]
		fmt.Fprintf(&w, "%s", t.Commit)
		if t.First {
			w.WriteString(" first")
		}
		if t.Last {
			fmt.Fprintf(&w, " last %s", t.End)
		}
		for j := range t.Changes {
			fmt.Fprintf(&w, " %c%d", t.Changes[j].Op, t.Changes[j].Ordinal)
		}
		w.WriteString("; ")
	}
	fmt.Fprintf(&w, "confirm %s", b.Confirm)
	return w.String()
}

func (s *testSession) want(want string) {
	s.t.Helper()
	if got := outline(s.b); got != want {
		s.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// next hands the batch over, as the stream does when it is full.
func (s *testSession) next() { s.b = new(Batch) }

func TestUncapturedRowsCount(t *testing.T) {
	s := newSession(t, DecoderOptions{})
	truncate := wireMessage('T', uint32(2), byte(0), uint32(8), uint32(7))
	s.decode(relationT, relationHidden, beginMessage(0x10))
	s.decode(insertHidden, insertT, insertHidden, truncate, insertT)
	if !s.InTransaction() || s.Commit() != 0x10 || s.Ordinal() != 5 {
		t.Errorf("in transaction %t, commit %s, ordinal %d", s.InTransaction(), s.Commit(), s.Ordinal())
	}
	s.decode(commitMessage(0x10, 0x20))
	if s.InTransaction() || s.Commit() != 0 || s.Ordinal() != 0 || s.LastCommit() != 0x20 {
		t.Errorf("in transaction %t, commit %s, ordinal %d", s.InTransaction(), s.Commit(), s.Ordinal())
	}
	s.want("0/10 first last 0/20 c2 t4 c5; confirm 0/20")
}

func TestEmptyTransactions(t *testing.T) {
	for _, test := range []struct {
		name string
		keep bool
		want string
	}{
		{"dropped", false, "0/30 first last 0/40 c1; confirm 0/60"},
		{"kept", true, "0/10 first last 0/20; 0/30 first last 0/40 c1; 0/50 first last 0/60; confirm 0/60"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSession(t, DecoderOptions{KeepEmpty: test.keep})
			s.SetResume(0, 0x8)
			s.decode(relationT, relationHidden, beginMessage(0x10), commitMessage(0x10, 0x20))
			s.decode(beginMessage(0x30), insertT, commitMessage(0x30, 0x40))
			s.decode(beginMessage(0x50), insertHidden, commitMessage(0x50, 0x60))
			s.want(test.want)
			for _, transaction := range s.b.Transactions {
				if transaction.Commit == 0x30 && transaction.LastCommit != 0x20 {
					t.Errorf("last commit %s", transaction.LastCommit)
				}
			}
		})
	}
}

func TestPartsOfATransaction(t *testing.T) {
	s := newSession(t, DecoderOptions{})
	s.decode(relationT, relationHidden, beginMessage(0x10), insertHidden)
	s.want("confirm 0/0")
	s.next()
	s.decode(insertT, insertT)
	s.want("0/10 first c2 c3; confirm 0/0")
	s.Keepalive(0x18, s.b)
	s.want("0/10 first c2 c3; confirm 0/0")
	s.next()
	s.decode(insertT)
	s.want("0/10 c4; confirm 0/0")
	s.next()
	s.decode(commitMessage(0x10, 0x20), beginMessage(0x20), insertT)
	s.want("0/10 last 0/20; 0/20 first c1; confirm 0/20")
}

func TestKeepalive(t *testing.T) {
	s := newSession(t, DecoderOptions{})
	s.Keepalive(0x8, s.b)
	s.want("confirm 0/8")
	if s.b.Empty() {
		t.Error("a batch with a Confirm is not empty")
	}
	s.Keepalive(0x4, s.b)
	s.want("confirm 0/8")
	if err := s.Decode(0, []byte("?"), s.b); err == nil {
		t.Fatal("want an error")
	}
	s.Keepalive(0x100, s.b)
	s.want("confirm 0/8")
}

func TestMessageOutsideOfTransaction(t *testing.T) {
	s := newSession(t, DecoderOptions{})
	s.decode(relationT, beginMessage(0x10), insertT, logicalMessage(1, 0x10, "in"), commitMessage(0x10, 0x20))
	s.decode(logicalMessage(0, 0x28, "out"), beginMessage(0x28), insertT, commitMessage(0x28, 0x30))
	s.want("0/10 first last 0/20 c1 m2; 0/28 first last 0/28 m0; 0/28 first last 0/30 c1; confirm 0/30")
	last := s.b.Transactions
	if last[1].LastCommit != 0x20 || last[2].LastCommit != 0x28 {
		t.Errorf("last commits %s and %s", last[1].LastCommit, last[2].LastCommit)
	}
}

// TestResume compares every possible resume LSN with the server's own rule: a transaction is skipped if
// its commit record starts below it, a message outside of a transaction if its own record does.
func TestResume(t *testing.T) {
	stream := func(s *testSession) {
		s.decode(relationT)
		s.decode(beginMessage(0x10), insertT, logicalMessage(1, 0x10, ""), commitMessage(0x10, 0x20))
		s.decode(logicalMessage(0, 0x30, "from 0/20 to 0/30"))
		s.decode(beginMessage(0x30), insertT, wireMessage('T', uint32(1), byte(0), uint32(7)),
			commitMessage(0x30, 0x40))
	}
	const first = "0/10 first last 0/20 c1 m2; "
	const second = "0/30 first last 0/30 m0; "
	const third = "0/30 first last 0/40 c1 t2; confirm 0/40"
	for _, test := range []struct {
		resume LSN
		want   string
	}{
		{0, first + second + third},
		{0x10, first + second + third},
		{0x11, second + third},
		{0x20, second + third},
		{0x30, third},
		{0x31, "confirm 0/0"},
		{0x40, "confirm 0/0"},
	} {
		t.Run(test.resume.String(), func(t *testing.T) {
			s := newSession(t, DecoderOptions{})
			s.SetResume(test.resume, 0)
			stream(s)
			s.want(test.want)
			if s.LastCommit() != 0x40 {
				t.Errorf("last commit %s", s.LastCommit())
			}
		})
	}
}

// TestLastCommitAcrossLanes changes the lane while the server still sends again what is published. The other
// lane may begin behind all of that, and its first transaction's LastCommit is still that of the last one.
func TestLastCommitAcrossLanes(t *testing.T) {
	for name, sentAgain := range map[string][][]byte{
		"a transaction": {beginMessage(0x10), insertT, commitMessage(0x10, 0x20)},
		"a message":     {logicalMessage(0, 0x20, "")},
	} {
		t.Run(name, func(t *testing.T) {
			main := newSession(t, DecoderOptions{})
			main.SetResume(0x70, 0x68)
			main.decode(append([][]byte{relationT}, sentAgain...)...)
			stream := &Stream{decoder: main.Decoder, o: StreamOptions{Decoder: main.options}}
			lane := &testSession{t: t, Decoder: stream.successor(), b: new(Batch)}
			lane.decode(relationT, beginMessage(0x70), insertT, commitMessage(0x70, 0x80))
			lane.want("0/70 first last 0/80 c1; confirm 0/80")
			if got := lane.b.Transactions[0].LastCommit; got != 0x68 {
				t.Errorf("last commit %s, want 0/68", got)
			}
		})
	}
}

// TestSplitAnywhere hands the batch over after every message and after every second, third and so on: the
// parts put together are the whole.
func TestSplitAnywhere(t *testing.T) {
	for _, tr := range transcripts(t) {
		for every := 1; every < 8; every++ {
			d := NewDecoder(DecoderOptions{Describe: describeAll})
			pool := NewPool(PoolOptions{})
			var whole Batch
			b := pool.Get()
			for i, m := range tr.messages {
				if m.data == nil {
					d.Keepalive(m.start, b)
				} else if err := d.Decode(m.start, m.data, b); err != nil {
					t.Fatal(err)
				}
				if i%every == 0 || i == len(tr.messages)-1 {
					join(t, &whole, b)
					b.Release()
					b = pool.Get()
				}
			}
			if got := render(&whole); got != tr.changes {
				t.Errorf("%s, split every %d messages:\n%s\nwant:\n%s", tr.name, every, got, tr.changes)
			}
		}
	}
}

// join copies b to the end of whole and puts the parts of a transaction together.
func join(t *testing.T, whole, b *Batch) {
	t.Helper()
	whole.Confirm = max(whole.Confirm, b.Confirm)
	for _, part := range b.Transactions {
		changes := make([]Change, len(part.Changes))
		for i, c := range part.Changes {
			changes[i] = c
			changes[i].Old, changes[i].New = cloneRow(c.Old), cloneRow(c.New)
			changes[i].Content = []byte(string(c.Content))
		}
		if part.First {
			whole.Transactions = append(whole.Transactions, part)
			whole.Transactions[len(whole.Transactions)-1].Changes = changes
			continue
		}
		open := &whole.Transactions[len(whole.Transactions)-1]
		if open.Last || open.Commit != part.Commit {
			t.Fatalf("part of %s follows %s", part.Commit, open.Commit)
		}
		open.End, open.Last = part.End, part.Last
		open.Changes = append(open.Changes, changes...)
	}
}

func cloneRow(row schema.Row) schema.Row {
	if row == nil {
		return nil
	}
	c := make(schema.Row, len(row))
	for i, v := range row {
		c[i] = schema.Datum{Kind: v.Kind, Text: []byte(string(v.Text))}
	}
	return c
}

func TestDescribeIsAskedAtEachRelation(t *testing.T) {
	var shapes []Shape
	same := &schema.Relation{Columns: make([]schema.Column, 2)}
	s := newSession(t, DecoderOptions{Describe: func(shape Shape) (*schema.Relation, error) {
		shapes = append(shapes, shape)
		return same, nil
	}})
	named := wireMessage('R', uint32(7), "", "t", byte('f'), uint16(2),
		byte(1), "id", uint32(23), int32(-1), byte(1), "v", uint32(16999), int32(12))
	s.decode(relationT, beginMessage(1), insertT, relationT)
	s.decode(wireMessage('Y', uint32(16999), "", "numeric"), named, insertT)
	want := []Shape{
		{7, "public", "t", 'd', []ShapeColumn{{"id", 23, -1, true, "", ""}, {"v", 25, -1, false, "", ""}}},
		{7, "public", "t", 'd', []ShapeColumn{{"id", 23, -1, true, "", ""}, {"v", 25, -1, false, "", ""}}},
		{
			7, "pg_catalog", "t", 'f',
			[]ShapeColumn{{"id", 23, -1, true, "", ""}, {"v", 16999, 12, true, "pg_catalog", "numeric"}},
		},
	}
	if !reflect.DeepEqual(shapes, want) {
		t.Errorf("got  %v\nwant %v", shapes, want)
	}
	for i, c := range s.b.Transactions[0].Changes {
		if c.Relation != same {
			t.Errorf("change %d: another relation", i)
		}
	}
}

func TestWideTable(t *testing.T) {
	const most = 1600 // MaxHeapAttributeNumber
	relation := wireMessage('R', uint32(9), "public", "wide", byte('f'), uint16(most))
	values := make([]any, most)
	for i := range values {
		relation = append(relation, wireMessage(1, fmt.Sprintf("c%d", i), uint32(25), int32(-1))...)
		values[i] = fmt.Sprint(i)
	}
	s := newSession(t, DecoderOptions{})
	old := tuple('O', values...)
	values[most-1] = '?'
	update := wireMessage('U', uint32(9), old, tuple('N', values...))
	s.decode(relation, beginMessage(1), update, commitMessage(1, 2))
	row := s.b.Transactions[0].Changes[0].New
	if len(row) != most || string(row[most-1].Text) != "1599" {
		t.Errorf("%d columns, the last %q", len(row), row[most-1].Text)
	}
}

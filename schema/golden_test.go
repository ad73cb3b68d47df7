package schema

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// goldenCase is one recorded scenario: what Debezium was told, what Postgres sent, what Debezium wrote.
type goldenCase struct {
	config       map[string]string
	schemas      map[string][]string
	relations    []*Relation
	changes      []goldenChange
	transactions []goldenRecord
}

type goldenChange struct {
	Relation      int
	Before, After goldenRow
	Prefix        string
	Content       []byte
	Record        goldenRecord
}

type goldenRecord struct {
	Topic      string
	Key, Value *goldenDatum
	Headers    [][2]string
}

type goldenDatum struct {
	Schema string
	Data   json.RawMessage
	Hex    string
}

// goldenRow reads a row: a string is a value, null is NULL, 0 is unchanged, 1 absent.
type goldenRow Row

func (r *goldenRow) UnmarshalJSON(text []byte) error {
	var values []json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return err
	}
	*r = make(goldenRow, len(values))
	for i, v := range values {
		switch string(v) {
		case "null":
		case "0":
			(*r)[i].Kind = Unchanged
		case "1":
			(*r)[i].Kind = Absent
		default:
			var s string
			if err := json.Unmarshal(v, &s); err != nil {
				return err
			}
			(*r)[i] = Datum{Kind: Text, Text: []byte(s)}
		}
	}
	return nil
}

// goldenRelation is a Relation in the short names of the cases' files.
type goldenRelation struct {
	OID                       uint32
	Namespace, Name, Identity string
	Key                       []int
	Columns                   []struct {
		Name                         string
		Type                         *goldenType
		Mod                          int32
		Identity, NotNull, Generated bool
		Default                      *string
	}
}

type goldenType struct {
	OID                   uint32
	Namespace, Name, Kind string
	Elem, Base            *goldenType
	BaseMod               int32
	Labels                []string
}

func (t *goldenType) schema() *Type {
	if t == nil {
		return nil
	}
	return &Type{
		OID: t.OID, Namespace: t.Namespace, Name: t.Name, Kind: TypeKind(t.Kind[0]),
		Elem: t.Elem.schema(), Base: t.Base.schema(), BaseTypMod: t.BaseMod, Labels: t.Labels,
	}
}

func (r *goldenRelation) schema() *Relation {
	relation := &Relation{
		OID: r.OID, Namespace: r.Namespace, Name: r.Name, Identity: Identity(r.Identity[0]), Key: r.Key,
	}
	for _, c := range r.Columns {
		relation.Columns = append(relation.Columns, Column{
			Name: c.Name, Type: c.Type.schema(), TypMod: c.Mod, InIdentity: c.Identity, NotNull: c.NotNull,
			Default: c.Default, Generated: c.Generated,
		})
	}
	return relation
}

// readGolden reads a case's file.
func readGolden(tb testing.TB, path string) *goldenCase {
	tb.Helper()
	file, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	g := new(goldenCase)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var line struct {
			Config      map[string]string
			Schemas     map[string][]string
			Relation    *goldenRelation
			Change      *goldenChange
			Transaction *goldenRecord
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			tb.Fatalf("%s: %v", path, err)
		}
		switch {
		case line.Config != nil:
			g.config = line.Config
		case line.Schemas != nil:
			g.schemas = line.Schemas
		case line.Relation != nil:
			g.relations = append(g.relations, line.Relation.schema())
		case line.Change != nil:
			g.changes = append(g.changes, *line.Change)
		case line.Transaction != nil:
			g.transactions = append(g.transactions, *line.Transaction)
		}
	}
	if err := lines.Err(); err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	return g
}

// goldenValue is what a recorded value says of its change but for the rows.
type goldenValue struct {
	Op     string
	Source struct {
		Snapshot, Sequence string
		TSUs               int64 `json:"ts_us"`
		TxID               *int64
		LSN                uint64
	}
	Transaction *struct {
		ID         string
		Total      int64 `json:"total_order"`
		Collection int64 `json:"data_collection_order"`
	}
	TSMs int64 `json:"ts_ms"`
	TSNs int64 `json:"ts_ns"`
}

// envelope returns the change as the publisher would hand it on, with the times and positions recorded.
func (c *goldenChange) envelope(tb testing.TB) (Envelope, goldenValue) {
	tb.Helper()
	var v goldenValue
	if err := json.Unmarshal(c.Record.Value.Data, &v); err != nil {
		tb.Fatal(err)
	}
	e := Envelope{
		Op: Op(v.Op[0]), Before: Row(c.Before), After: Row(c.After), Time: v.TSNs,
		Source: Source{Time: v.Source.TSUs, LSN: v.Source.LSN},
	}
	for m, text := range markerTexts {
		if text == v.Source.Snapshot {
			e.Source.Snapshot = Marker(m)
		}
	}
	if v.Source.TxID != nil {
		e.Source.TxID, e.Source.HasTxID = *v.Source.TxID, true
	}
	var sequence []*string
	if err := json.Unmarshal([]byte(v.Source.Sequence), &sequence); err != nil {
		tb.Fatal(err)
	}
	if sequence[0] != nil {
		e.Source.LastCommit, _ = strconv.ParseUint(*sequence[0], 10, 64)
	}
	if v.Transaction != nil {
		e.Transaction = Transaction{TotalOrder: v.Transaction.Total, CollectionOrder: v.Transaction.Collection}
		if _, err := fmt.Sscanf(v.Transaction.ID, "%d:%d", &e.Transaction.TxID, &e.Transaction.LSN); err != nil {
			tb.Fatal(err)
		}
	}
	return e, v
}

// TestGolden rebuilds what Debezium 3.6.1 wrote, byte for byte, from what Postgres sent: schema texts,
// keys, values and the headers of key changes.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/golden/*.jsonl")
	if err != nil || len(paths) < 70 {
		t.Fatalf("found %d cases in testdata/golden (%v)", len(paths), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		t.Run(name, func(t *testing.T) {
			g := readGolden(t, path)
			o := g.options(t, name)
			codecs, snapshots := make([]*Codec, len(g.relations)), make([]*Codec, len(g.relations))
			for i, r := range g.relations {
				if codecs[i], err = Compile(r, Topic(name, r.Namespace, r.Name), o); err != nil {
					t.Fatal(err)
				}
				shape := *r
				shape.Snapshot = true
				if snapshots[i], err = Compile(&shape, Topic(name, r.Namespace, r.Name), o); err != nil {
					t.Fatal(err)
				}
			}
			for i := range g.changes {
				if c := &g.changes[i]; c.Relation < 0 {
					g.checkMessage(t, c, CompileMessage(o))
				} else if strings.Contains(string(c.Record.Value.Data), `"snapshot":"false"`) {
					g.checkChange(t, c, codecs[c.Relation])
				} else {
					g.checkChange(t, c, snapshots[c.Relation])
				}
			}
			g.checkTransactions(t, CompileTransaction(o))
		})
	}
}

// checkChange compares one change's key and value with the recorded ones.
func (g *goldenCase) checkChange(t *testing.T, c *goldenChange, codec *Codec) {
	t.Helper()
	e, v := c.envelope(t)
	identity := fmt.Sprintf("%s op %s lsn %d", c.Record.Topic, v.Op, e.Source.LSN)
	value, err := codec.AppendValue(nil, &e)
	if err != nil {
		t.Errorf("%s: %v", identity, err)
		return
	}
	g.check(t, identity+" value", c.Record.Value, codec.ValueSchema(), value)
	row := e.After
	if row == nil {
		row = e.Before
	}
	if row == nil || !codec.HasKey() {
		if c.Record.Key != nil {
			t.Errorf("%s: no key, want %s", identity, c.Record.Key.Data)
		}
		return
	}
	appendKey := codec.AppendKey
	if e.Source.Snapshot != MarkerNone {
		appendKey = codec.AppendSnapshotKey
	}
	key, err := appendKey(nil, row)
	if err != nil {
		t.Errorf("%s: key: %v", identity, err)
		return
	}
	g.check(t, identity+" key", c.Record.Key, codec.KeySchema(), key)
	g.checkHeader(t, identity, codec, c)
}

// checkHeader compares the key of the change before with the header in which Debezium names it: the
// delete of a key change names the new key, and the create behind it has that key.
func (g *goldenCase) checkHeader(t *testing.T, identity string, codec *Codec, c *goldenChange) {
	t.Helper()
	for _, h := range c.Record.Headers {
		row := g.partner(c, h[0])
		if row == nil {
			t.Errorf("%s: header %s without the other half of its key change", identity, h[0])
			continue
		}
		header, err := codec.AppendKeyHeader([]byte("x"), row)
		if err != nil || string(header) != "x"+h[1] {
			t.Errorf("%s: header %s is %s (%v), want %s", identity, h[0], header, err, h[1])
		}
	}
}

// partner returns the row of the other half of a key change.
func (g *goldenCase) partner(c *goldenChange, header string) Row {
	for i := range g.changes {
		switch {
		case &g.changes[i] != c:
		case header == "__debezium.newkey" && i+1 < len(g.changes):
			return Row(g.changes[i+1].After)
		case header == "__debezium.oldkey" && i > 0:
			return Row(g.changes[i-1].Before)
		}
	}
	return nil
}

// checkMessage compares a logical message.
func (g *goldenCase) checkMessage(t *testing.T, c *goldenChange, codec *MessageCodec) {
	t.Helper()
	e, v := c.envelope(t)
	m := Message{
		Prefix: c.Prefix, Content: c.Content, Source: e.Source, Transaction: e.Transaction,
		Time: v.TSMs * 1_000_000,
	}
	g.check(t, "message value", c.Record.Value, codec.ValueSchema(), codec.AppendValue(nil, &m))
	g.check(t, "message key", c.Record.Key, codec.KeySchema(), codec.AppendKey(nil, c.Prefix))
}

// checkTransactions compares the records of the transaction topic.
func (g *goldenCase) checkTransactions(t *testing.T, codec *TransactionCodec) {
	t.Helper()
	for i := range g.transactions {
		r := &g.transactions[i]
		var v struct {
			Status, ID  string
			Count       int64 `json:"event_count"`
			Collections []struct {
				Name  string `json:"data_collection"`
				Count int64  `json:"event_count"`
			} `json:"data_collections"`
			TSMs int64 `json:"ts_ms"`
		}
		if err := json.Unmarshal(r.Value.Data, &v); err != nil {
			t.Fatal(err)
		}
		m := TransactionMark{End: v.Status == "END", Time: v.TSMs * 1000, Count: v.Count}
		if _, err := fmt.Sscanf(v.ID, "%d:%d", &m.TxID, &m.LSN); err != nil {
			t.Fatal(err)
		}
		for _, c := range v.Collections {
			m.Collections = append(m.Collections, CollectionCount{c.Name, c.Count})
		}
		g.check(t, "transaction value", r.Value, codec.ValueSchema(), codec.AppendValue(nil, &m))
		g.check(t, "transaction key", r.Key, codec.KeySchema(), codec.AppendKey(nil, &m))
	}
}

// check compares a datum and the schema it is written under with the recorded ones.
func (g *goldenCase) check(t *testing.T, what string, want *goldenDatum, schema string, datum []byte) {
	t.Helper()
	if want == nil {
		t.Errorf("%s: %x, want none", what, datum)
		return
	}
	if want.Hex == "" {
		g.checkJSON(t, what, want, datum)
		return
	}
	if text := g.schema(t, want.Schema); schema != text {
		t.Errorf("%s: schema differs from %s at byte %d\ngot  %s\nwant %s",
			what, want.Schema, firstDifference(schema, text), schema, text)
	}
	if got := hex.EncodeToString(datum); got != want.Hex {
		t.Errorf("%s: datum differs at byte %d\ngot  %s\nwant %s\n%s",
			what, firstDifference(got, want.Hex)/2, got, want.Hex, want.Data)
	}
}

// checkJSON compares what the JSON converter writes.
func (g *goldenCase) checkJSON(t *testing.T, what string, want *goldenDatum, got []byte) {
	t.Helper()
	text := string(want.Data)
	if want.Schema != "" {
		text = `{"schema":` + g.schema(t, want.Schema) + `,"payload":` + text + `}`
	}
	if string(got) != text {
		t.Errorf("%s: JSON differs at byte %d\ngot  %s\nwant %s",
			what, firstDifference(string(got), text), got, text)
	}
}

// schema returns the text of a recorded schema, named as subject/version.
func (g *goldenCase) schema(tb testing.TB, name string) string {
	tb.Helper()
	slash := strings.LastIndexByte(name, '/')
	version, err := strconv.Atoi(name[slash+1:])
	versions := g.schemas[name[:slash]]
	if err != nil || version < 1 || version > len(versions) {
		tb.Fatalf("no recorded schema %s", name)
	}
	return versions[version-1]
}

func firstDifference(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

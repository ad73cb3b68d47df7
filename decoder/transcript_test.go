package decoder

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/schema"
)

var update = flag.Bool("update", false, "rewrite the changes in the transcripts")

// A transcript is one scenario on one Postgres: what the server sent, and the transactions that it decodes
// to.
//
//	testdata/wal/NAME.sql         the scenario
//	testdata/wal/NAME.MAJOR.txt   the transcript: comments, "wal" lines of LSN and hex, "changes"
type transcript struct {
	name, path string
	header     []string // comment lines
	messages   []walMessage
	changes    string
}

// walMessage is one XLogData message: its start LSN and pgoutput bytes. A keepalive has no bytes.
type walMessage struct {
	start LSN
	data  []byte
}

// transcripts reads all of testdata/wal.
func transcripts(t testing.TB) []transcript {
	t.Helper()
	paths, err := filepath.Glob("testdata/wal/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	var all []transcript
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parseTranscript(t, path, string(text)))
	}
	return all
}

func parseTranscript(t testing.TB, path, text string) transcript {
	t.Helper()
	tr := transcript{path: path, name: strings.TrimSuffix(filepath.Base(path), ".txt")}
	head, changes, found := strings.Cut(text, "\nchanges\n")
	if !found {
		t.Fatalf("%s: no line \"changes\"", path)
	}
	tr.changes = changes
	for line := range strings.Lines(head) {
		line = strings.TrimSuffix(line, "\n")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || line == "wal":
		case strings.HasPrefix(line, "#"):
			tr.header = append(tr.header, line)
		default:
			lsn, err := ParseLSN(fields[0])
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			m := walMessage{start: lsn}
			if fields[1] != "keepalive" {
				if m.data, err = hex.DecodeString(fields[1]); err != nil {
					t.Fatalf("%s: %v", path, err)
				}
			}
			tr.messages = append(tr.messages, m)
		}
	}
	return tr
}

// format writes the transcript as parseTranscript reads it.
func (tr transcript) format() []byte {
	var w bytes.Buffer
	for _, line := range tr.header {
		fmt.Fprintln(&w, line)
	}
	fmt.Fprint(&w, "\nwal\n")
	for _, m := range tr.messages {
		if m.data == nil {
			fmt.Fprintf(&w, "%s keepalive\n", m.start)
			continue
		}
		fmt.Fprintf(&w, "%s %x %s\n", m.start, m.data, readable(m.data))
	}
	fmt.Fprint(&w, "\nchanges\n", tr.changes)
	return w.Bytes()
}

// readable shows the ASCII text in a message, for a person who looks for a row.
func readable(data []byte) string {
	const most = 80
	text := []byte("# ")
	for _, c := range data[:min(len(data), most)] {
		if c <= ' ' || c > '~' {
			c = '.'
		}
		text = append(text, c)
	}
	return string(text)
}

// describeAll captures every table, with the types that the wire tells.
func describeAll(s Shape) (*schema.Relation, error) {
	r := &schema.Relation{OID: s.OID, Namespace: s.Namespace, Name: s.Name, Identity: s.Identity}
	for _, c := range s.Columns {
		r.Columns = append(r.Columns, schema.Column{
			Name:       c.Name,
			Type:       &schema.Type{OID: c.TypeOID, Namespace: c.TypeNamespace, Name: c.TypeName},
			TypMod:     c.TypMod,
			InIdentity: c.Key,
		})
	}
	return r, nil
}

// decodeAll decodes messages into one batch.
func decodeAll(t testing.TB, d *Decoder, messages []walMessage) *Batch {
	t.Helper()
	b := new(Batch)
	for i, m := range messages {
		if m.data == nil {
			d.Keepalive(m.start, b)
			continue
		}
		if err := d.Decode(m.start, m.data, b); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	return b
}

// render is the stable text of a batch: every field of every transaction and change.
func render(b *Batch) string {
	var w strings.Builder
	seen := make(map[*schema.Relation]bool)
	for i := range b.Transactions {
		t := &b.Transactions[i]
		fmt.Fprintf(&w, "transaction %s end %s begin %s xid %d last_commit %s",
			t.Commit, t.End, t.Begin, t.XID, t.LastCommit)
		if t.Time != 0 {
			fmt.Fprintf(&w, " at %s", time.UnixMicro(t.Time).UTC().Format("2006-01-02T15:04:05.000000Z"))
		}
		if t.Origin != "" {
			fmt.Fprintf(&w, " origin %s %s", t.Origin, t.OriginLSN)
		}
		for _, mark := range []struct {
			set  bool
			text string
		}{{t.First, " first"}, {t.Last, " last"}} {
			if mark.set {
				w.WriteString(mark.text)
			}
		}
		w.WriteByte('\n')
		for j := range t.Changes {
			c := &t.Changes[j]
			if c.Relation != nil && !seen[c.Relation] {
				seen[c.Relation] = true
				renderRelation(&w, c.Relation)
			}
			renderChange(&w, c)
		}
	}
	fmt.Fprintf(&w, "confirm %s\n", b.Confirm)
	return w.String()
}

func renderRelation(w *strings.Builder, r *schema.Relation) {
	fmt.Fprintf(w, "  relation %s %d identity %c", r, r.OID, r.Identity)
	for _, c := range r.Columns {
		fmt.Fprintf(w, " %q %d", c.Name, c.Type.OID)
		if c.Type.Name != "" {
			fmt.Fprintf(w, " %s.%s", c.Type.Namespace, c.Type.Name)
		}
		if c.TypMod != -1 {
			fmt.Fprintf(w, " mod %d", c.TypMod)
		}
		if c.InIdentity {
			w.WriteString(" key")
		}
		w.WriteByte(',')
	}
	w.WriteByte('\n')
}

func renderChange(w *strings.Builder, c *Change) {
	fmt.Fprintf(w, "  %d %s %c", c.Ordinal, c.LSN, c.Op)
	if c.Relation != nil {
		fmt.Fprintf(w, " %s", c.Relation)
	}
	if c.Op == schema.OpMessage {
		fmt.Fprintf(w, " transactional %t prefix %q content %q", c.Transactional, c.Prefix, c.Content)
	}
	if c.Old != nil {
		w.WriteString(" old")
		if c.OldIsKey {
			w.WriteString(" key")
		}
		renderRow(w, c.Old)
	}
	if c.New != nil {
		w.WriteString(" new")
		renderRow(w, c.New)
	}
	w.WriteByte('\n')
}

func renderRow(w *strings.Builder, row schema.Row) {
	w.WriteString(" (")
	for i, v := range row {
		if i > 0 {
			w.WriteString(", ")
		}
		switch v.Kind {
		case schema.Null:
			w.WriteString("null")
		case schema.Unchanged:
			w.WriteString("unchanged")
		case schema.Absent:
			w.WriteString("absent")
		case schema.Text:
			text := string(v.Text)
			if len(text) > 100 {
				text = fmt.Sprintf("%s... of %d bytes", text[:20], len(text))
			}
			fmt.Fprintf(w, "%q", text)
		}
	}
	w.WriteByte(')')
}

// TestTranscripts decodes what real servers sent and compares with the changes that a person has reviewed.
func TestTranscripts(t *testing.T) {
	for _, tr := range transcripts(t) {
		t.Run(tr.name, func(t *testing.T) {
			d := NewDecoder(DecoderOptions{Describe: describeAll})
			got := render(decodeAll(t, d, tr.messages))
			if *update {
				tr.changes = got
				if err := os.WriteFile(tr.path, tr.format(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != tr.changes {
				t.Errorf("got:\n%s\nwant:\n%s", got, tr.changes)
			}
		})
	}
}

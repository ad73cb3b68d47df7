package snapshot

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// A row may pass a snapshot that is read in several Steps by. Its key changes from one that is still to be
// read to one that has been, and the stream tells of it without the large values that did not change:
//
//	read up to key 500; row 900 becomes row 100     d 900, c 100 with a value schema.Unchanged
//
// No Step comes to 900 any more, and none goes back to 100. So such keys are noted and their rows read again
// at the next consistent point.

// maxAgain is how many rows of a unit are noted; beyond it the unit is read again from its beginning.
const maxAgain = 1000

// Notes gathers the keys of rows to be read again while a snapshot is between two Steps. It belongs to the
// goroutine that calls Observe.
type Notes struct {
	p       progress
	targets map[*schema.Relation][]*noteTarget
}

// noteTarget is a unit that a relation's rows may belong to: where its key stands in a row.
type noteTarget struct {
	unit *unitProgress
	key  []int
	// blind says that an old row does not hold the whole key, so that its change cannot be seen.
	blind bool
}

// OpenNotes returns the Notes to a Progress, nil when none of its tables is read in part.
func OpenNotes(stored []byte) (*Notes, error) {
	if stored == nil {
		return nil, nil
	}
	n := &Notes{targets: map[*schema.Relation][]*noteTarget{}}
	if err := json.Unmarshal(stored, &n.p); err != nil {
		return nil, fmt.Errorf("read snapshot progress: %w", err)
	}
	for i := range n.p.Active {
		if n.p.Active[i].inPart() {
			return n, nil
		}
	}
	return nil, nil
}

// inPart says that some rows of the unit were read and others were not.
func (p *unitProgress) inPart() bool {
	return !p.Done && slices.ContainsFunc(p.Ranges, func(sp *span) bool { return sp.Last != nil || sp.Done })
}

// Observe looks at a streamed change and says whether it noted something, or why it cannot: then the table is
// read again from its beginning.
func (n *Notes) Observe(c *decoder.Change) (noted bool, err error) {
	if c.Op != schema.OpUpdate || !slices.ContainsFunc(c.New, isUnchanged) {
		return false, nil
	}
	targets, known := n.targets[c.Relation]
	if !known {
		targets = n.find(c.Relation)
		n.targets[c.Relation] = targets
	}
	for _, t := range targets {
		if !t.moved(c) {
			continue
		}
		noted = true
		if add := t.note(c.New); add != nil {
			err = add
		}
	}
	return noted, err
}

func isUnchanged(d schema.Datum) bool { return d.Kind == schema.Unchanged }

// find returns the units that hold a relation's rows: one, or under a partitioned table's name its leaves.
func (n *Notes) find(r *schema.Relation) []*noteTarget {
	var found []*noteTarget
	for i := range n.p.Active {
		u := &n.p.Active[i]
		root := u.Schema == r.Namespace && u.Table == r.Name
		leaf := u.LeafSchema == r.Namespace && u.Leaf == r.Name
		if !u.inPart() || !root && !leaf {
			continue
		}
		t := &noteTarget{unit: u}
		for _, key := range u.Key {
			at := columnOf(r, key)
			t.key = append(t.key, at)
			t.blind = t.blind || at < 0 || !r.Columns[at].InIdentity
		}
		found = append(found, t)
	}
	return found
}

// columnOf returns where in a relation the column of a Progress's key stands, -1 when it is not in it. A type
// follows the name there, and either may have blanks: the longest name that fits is meant.
func columnOf(r *schema.Relation, key string) int {
	at := -1
	for i, c := range r.Columns {
		if strings.HasPrefix(key, c.Name+" ") && (at < 0 || len(c.Name) > len(r.Columns[at].Name)) {
			at = i
		}
	}
	return at
}

// moved says whether an update may have changed the key that the unit is read by.
func (t *noteTarget) moved(c *decoder.Change) bool {
	if t.blind {
		return true
	}
	if c.Old == nil {
		return false
	}
	return slices.ContainsFunc(t.key, func(at int) bool {
		return string(c.Old[at].Text) != string(c.New[at].Text) || c.Old[at].Kind != c.New[at].Kind
	})
}

// note adds a row's key. A row whose key the relation does not hold, or one too many, has the unit begin
// again.
func (t *noteTarget) note(row schema.Row) error {
	u := t.unit
	if u.Ranges == nil {
		return nil // it begins again already
	}
	key := make([]string, len(t.key))
	for i, at := range t.key {
		if at < 0 || row[at].Kind != schema.Text {
			return u.restart("its key is not captured")
		}
		key[i] = string(row[at].Text)
	}
	if slices.ContainsFunc(u.Again, func(other []string) bool { return slices.Equal(other, key) }) {
		return nil
	}
	if len(u.Again) >= maxAgain {
		return u.restart(fmt.Sprintf("more than %d rows changed their key", maxAgain))
	}
	u.Again = append(u.Again, key)
	return nil
}

// restart forgets what was read of the unit.
func (p *unitProgress) restart(why string) error {
	p.Ranges, p.Again = nil, nil
	name := p.Schema + "." + p.Table
	return &RestartError{Table: name, Reason: why}
}

// RestartError says that a table in snapshot is read again from its beginning: nothing is lost, but rows come
// twice.
type RestartError struct{ Table, Reason string }

// Error names the table and the reason.
func (e *RestartError) Error() string {
	return fmt.Sprintf("the snapshot of %s starts again: %s while large values of theirs were not sent",
		e.Table, e.Reason)
}

// Progress returns the Progress with what was noted.
func (n *Notes) Progress() ([]byte, error) {
	text, err := json.Marshal(n.p)
	if err != nil {
		return nil, fmt.Errorf("write snapshot progress: %w", err)
	}
	return text, nil
}

// readAgain sends the rows that were noted, before anything else of their tables is read: what stands in a
// range that is still to be read is left to it. The keys leave the Progress with the batch that has the rows.
func (c *collector) readAgain(ctx context.Context) error {
	if !slices.ContainsFunc(c.units, func(u *unit) bool { return len(u.again) > 0 }) {
		return nil
	}
	conn, err := c.o.Connect(ctx)
	if err != nil {
		return fmt.Errorf("connect to read the snapshot: %w", err)
	}
	defer closeQuietly(conn)
	w := &worker{o: c.o, conn: conn}
	for _, u := range c.units {
		if len(u.again) == 0 {
			continue
		}
		if err := c.unitAgain(ctx, w, u); err != nil {
			return err
		}
	}
	return nil
}

// unitAgain reads a unit's noted rows.
func (c *collector) unitAgain(ctx context.Context, w *worker, u *unit) error {
	exists, err := w.begin(ctx, u.source)
	if err != nil {
		return err
	}
	if !exists {
		u.again = nil
		return nil
	}
	f, columns, err := w.filler(ctx, u, nil)
	if err != nil {
		return err
	}
	keys := u.again
	for i, key := range keys {
		s := selectAgain(u, columns, key)
		rows := w.conn.ExecParams(ctx, s.sql, s.values(), nil, nil, nil)
		for rows.NextRow() {
			f.next().add(rows.Values(), c.o.LSN)
		}
		if _, err := rows.Close(); err != nil {
			return tableFault("read again from "+u.source.String(), u.source, err)
		}
		if f.batch == nil || !f.batch.Full() && i < len(keys)-1 {
			continue
		}
		u.again = keys[i+1:]
		if err := c.deliver(ctx, &result{unit: u, batch: f.batch}); err != nil {
			return err
		}
		f.batch = nil
	}
	u.again = nil
	if _, err := w.conn.Exec(ctx, "COMMIT").ReadAll(); err != nil {
		return tableFault("end reading "+u.source.String(), u.source, err)
	}
	return nil
}

// selectAgain is the statement that reads the row of a key unless a range still to be read has it.
func selectAgain(u *unit, columns []string, key []string) statement {
	s := statement{}
	where := []string{s.compare(u.source.ReadKey, "=", key)}
	for _, sp := range u.spans {
		if sp.read {
			continue
		}
		bounds := s.keyBounds(u.source.ReadKey, sp)
		if len(bounds) == 0 {
			bounds = []string{"true"}
		}
		where = append(where, "NOT ("+strings.Join(bounds, " AND ")+")")
	}
	s.sql = selectFrom(u, columns, where)
	return s
}

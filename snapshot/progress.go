package snapshot

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/tributary-cdc/tributary/decoder"
)

// progress is how far a snapshot is, as it travels with a batch and is stored with the position. It is
// small whatever the number of tables, since they are begun in order: what stands before DoneBefore is
// finished, what is not listed and not before it is not begun.
type progress struct {
	// Point and LSN are those of the run that delivered last.
	Point decoder.LSN `json:"point"`
	LSN   decoder.LSN `json:"lsn"`
	// DoneBefore is the first unit that is not finished, DoneUnits how many stand before it.
	DoneBefore *unitName `json:"done_before,omitempty"`
	DoneUnits  int       `json:"done_units"`
	// DoneLeaves are 8 bytes for each partition that stands before DoneBefore, a hash of its name: partitions
	// that are added while a snapshot is interrupted are told from those by it.
	DoneLeaves []byte         `json:"done_leaves,omitempty"`
	Active     []unitProgress `json:"active,omitempty"`
	// Rows is how many rows were delivered by all runs.
	Rows int64 `json:"rows"`
	Done bool  `json:"done"`
}

// unitProgress is a unit that is begun, or finished behind one that is not.
type unitProgress struct {
	unitName
	// Key is the columns that the ranges' values belong to; empty for a unit that is read in no
	// order, which starts again.
	Key    []string `json:"key,omitempty"`
	Ranges []*span  `json:"ranges,omitempty"`
	// Again are the keys of rows to be read once more: see Notes.
	Again [][]string `json:"again,omitempty"`
	Done  bool       `json:"done,omitempty"`
}

// maxAhead bounds how many units are begun behind one that is not finished, and so the size of a Progress.
const maxAhead = 256

// ProgressDone says whether a stored Progress is that of a finished snapshot, and at which consistent point
// its last rows were read.
func ProgressDone(stored []byte) (done bool, point decoder.LSN, err error) {
	var p progress
	if err := json.Unmarshal(stored, &p); err != nil {
		return false, 0, fmt.Errorf("read snapshot progress: %w", err)
	}
	return p.Done, p.Point, nil
}

// progress writes how far the run is with what has been sent.
func (c *collector) progress() ([]byte, error) {
	p := progress{
		Point: c.o.Point, LSN: c.o.LSN, Rows: c.rowsBefore + c.rows, DoneUnits: len(c.units),
		Done: true,
	}
	for ; c.firstOpen < len(c.units) && c.units[c.firstOpen].done; c.firstOpen++ {
		if name := c.units[c.firstOpen].name; name.Leaf != "" {
			c.doneLeaves = binary.BigEndian.AppendUint64(c.doneLeaves, name.hash())
		}
	}
	if c.firstOpen < len(c.units) {
		p.Done, p.DoneUnits, p.DoneBefore = false, c.firstOpen, &c.units[c.firstOpen].name
		p.DoneLeaves = c.doneLeaves
		// A unit without rows need not be known as done: reading it again adds nothing that is not so.
		for _, u := range c.units[c.firstOpen:max(c.firstOpen, c.nextUnit)] {
			if u.sent || u.keyed && !u.done {
				p.Active = append(p.Active, u.progress())
			}
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write snapshot progress: %w", err)
	}
	return text, nil
}

// progress is what a later run must know of the unit.
func (u *unit) progress() unitProgress {
	p := unitProgress{unitName: u.name, Done: u.done}
	if u.keyed && !u.done {
		p.Key, p.Ranges, p.Again = u.keyNames(), u.spans, u.again
	}
	return p
}

// keyNames returns the columns that the unit is read in the order of, with their types: a value of another
// type would fail in the server's words, which would show it.
func (u *unit) keyNames() []string {
	names := make([]string, len(u.source.ReadKey))
	for i, column := range u.source.ReadKey {
		names[i] = column.Name + " " + column.Type
	}
	return names
}

// resume takes over the progress of a run before. Between the two runs tables may have been dropped, and
// then fewer units than were done stand before the one to go on with. More mean rows that nobody has read: a
// partition that was added is read now; a table among them is an error and not a shorter snapshot.
func (c *collector) resume(stored []byte) error {
	var p progress
	if err := json.Unmarshal(stored, &p); err != nil {
		return fmt.Errorf("resume the snapshot: read its progress: %w", err)
	}
	c.rowsBefore = p.Rows
	first := len(c.units)
	if !p.Done && p.DoneBefore == nil {
		return fmt.Errorf("resume the snapshot: its progress names no table to go on with")
	}
	if !p.Done {
		var err error
		if first, err = c.locate(*p.DoneBefore); err != nil {
			return err
		}
	}
	added := c.addedLeaves(first, p)
	if first-len(added) > p.DoneUnits {
		return fmt.Errorf("resume the snapshot: %d tables or partitions come before the one to go on with, but "+
			"only %d were finished: a table was added; leave it out until the snapshot is done", first, p.DoneUnits)
	}
	for _, u := range c.units[:first] {
		u.table.begun = true
		if !added[u] {
			// sent, so that it is remembered as done behind a partition that is not.
			u.done, u.planned, u.sent = true, true, u.sent || len(added) > 0
		}
	}
	if len(added) > 0 {
		c.o.Logger.Info("partitions were added since the snapshot began: they are read too", "partitions",
			len(added))
	}
	c.nextUnit = first
	for _, active := range p.Active {
		at := slices.IndexFunc(c.units, func(u *unit) bool { return u.name == active.unitName })
		if at >= 0 {
			c.nextUnit = max(c.nextUnit, at+1)
			c.takeOver(c.units[at], active)
		}
	}
	return nil
}

// addedLeaves returns the partitions among the first units that no run before has read.
func (c *collector) addedLeaves(first int, p progress) map[*unit]bool {
	if p.Done || p.DoneLeaves == nil && first <= p.DoneUnits {
		return nil
	}
	done := map[uint64]bool{}
	for rest := p.DoneLeaves; len(rest) >= 8; rest = rest[8:] {
		done[binary.BigEndian.Uint64(rest)] = true
	}
	added := map[*unit]bool{}
	for _, u := range c.units[:first] {
		if u.name.Leaf != "" && !done[u.name.hash()] {
			added[u] = true
		}
	}
	return added
}

// hash returns the name in 8 bytes.
func (n unitName) hash() uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q %q %q %q", n.Schema, n.Table, n.LeafSchema, n.Leaf)
	return h.Sum64()
}

// locate returns where in the order a unit stands, or would stand if it still existed.
func (c *collector) locate(name unitName) (int, error) {
	at := slices.IndexFunc(c.units, func(u *unit) bool { return u.name == name })
	if at >= 0 {
		return at, nil
	}
	if !slices.IsSortedFunc(c.units, func(a, b *unit) int { return compareNames(a.name, b.name) }) {
		return 0, fmt.Errorf("resume the snapshot: table %s.%s, with which to go on, is not among its tables: "+
			"begin a new snapshot", name.Schema, name.Table)
	}
	at, _ = slices.BinarySearchFunc(c.units, name, func(u *unit, name unitName) int {
		return compareNames(u.name, name)
	})
	return at, nil
}

// compareNames is the order of units whose tables are in the order of their names.
func compareNames(a, b unitName) int {
	return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Table, b.Table),
		cmp.Compare(a.LeafSchema, b.LeafSchema), cmp.Compare(a.Leaf, b.Leaf))
}

// takeOver gives a unit the progress that a run before has made in it. A table that is read in another
// order by now starts again.
func (c *collector) takeOver(u *unit, p unitProgress) {
	switch {
	case p.Done:
		u.done, u.planned, u.sent, u.table.begun = true, true, true, true
	case len(p.Ranges) > 0 && u.override == "" && slices.Equal(p.Key, u.keyNames()):
		// sent also before this run sends any: what was sent once must never be forgotten.
		u.planned, u.keyed, u.sent, u.spans, u.again = true, true, true, p.Ranges, p.Again
		for _, sp := range u.spans {
			sp.read = sp.Done
			u.table.begun = u.table.begun || sp.Last != nil || sp.Done
		}
	case len(p.Ranges) > 0:
		c.o.Logger.Warn("the key that a table is read by has changed: its snapshot starts again",
			"table", u.source.String())
	}
}

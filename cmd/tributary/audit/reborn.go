package audit

import (
	"fmt"
	"slices"

	"github.com/tributary-cdc/tributary/schema"
)

// Added is when a column was added to a table that had dropped another before, which may have had its name.
// The rows of that time got their new value without a record: their last one still has the dropped column's.
type Added struct {
	// XID is the transaction that added the column, or has altered it since: pg_attribute.xmin.
	XID int64
	// Filled says that the column has a default, or was added with one; otherwise those rows have null.
	Filled bool
}

// reborn is what a Fold knows of such columns.
type reborn struct {
	columns map[string]Added
	nulls   map[string]uint32 // the hash of null
}

// findReborn prepares the comparison of columns that were added behind a dropped one.
func (f *Fold) findReborn() error {
	f.reborn.columns = map[string]Added{}
	for name, added := range f.o.Added {
		added.XID = int64(f.o.Cut.extend(added.XID))
		f.reborn.columns[name] = added
	}
	if len(f.reborn.columns) == 0 {
		return nil
	}
	null, err := f.encode(make(schema.Row, f.o.Columns), schema.MarkerNone)
	if err != nil {
		return fmt.Errorf("find the form of null: %w", err)
	}
	f.reborn.nulls = map[string]uint32{}
	for i, name := range null.version.columns {
		f.reborn.nulls[name] = null.hashes[i]
	}
	return nil
}

// by returns what an entry must say of the transaction that wrote a record: 0 where nobody asks.
func (f *Fold) by(rec *Record) uint64 {
	if len(f.reborn.columns) == 0 || rec.TxID <= 0 {
		return 0
	}
	if rec.Snapshot {
		return uint64(rec.TxID) // its xmax
	}
	return f.o.Cut.extend(rec.TxID)
}

// before says that a record of a transaction is from before the column was added. One that was begun before
// and wrote behind it looks the same: its value in this one column is believed to be the dropped one's.
func (r *reborn) before(by uint64, column string) bool {
	added, found := r.columns[column]
	return found && by != 0 && by <= uint64(added.XID)
}

// older takes those out of the differing columns whose value in the log is that of a dropped column, where
// the row has what an added one begins with. It returns whether there were any.
func (b *bucket) older(s *state, e *entry, columns []string) (rest []string, any bool) {
	rest = slices.DeleteFunc(columns, func(name string) bool {
		if !b.reborn.before(s.by, name) {
			return false
		}
		at := slices.Index(b.current.columns, name)
		return b.reborn.columns[name].Filled || e.hashes[at] == b.reborn.nulls[name]
	})
	return rest, len(rest) < len(columns)
}

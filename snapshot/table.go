package snapshot

import "github.com/tributary-cdc/tributary/schema"

// Table is a captured table: one topic's worth of rows. It is a value of one moment: what is read and
// how is decided by it, but columns and key are looked up again when its reading begins.
type Table struct {
	Source
	// Kind is pg_class.relkind: 'r' a table, 'p' a partitioned one.
	Kind byte
	// Leaves are the partitions that a partitioned table's rows are read from, by name.
	Leaves []Source
	// Identity is the table's replica identity.
	Identity schema.Identity
	// Key is the message key's columns, in key order; empty for a table without a key.
	Key []string
	// Published says that a publication of CatalogOptions.Publications holds the table.
	Published bool
	// RLS says that row security would filter what this role reads. Reading then stops with an error.
	RLS bool
	// Selectable says that this role may SELECT from the table.
	Selectable bool
}

// Source is a relation that rows are read from: an ordinary table or a leaf.
type Source struct {
	OID uint32
	// Namespace and Name are as Postgres stores them.
	Namespace, Name string
	// RelTuples is the estimated number of rows, -1 when the table was never analysed.
	RelTuples float64
	// Pages is the size of the table's main fork in blocks.
	Pages int64
	// ReadKey is the columns of a unique NOT NULL index that rows can be read in the order of; empty when
	// there is none. The rows of a table without one come again after a crash.
	ReadKey []KeyColumn
	// Filter is the publication's row filter as SQL, "" for none.
	Filter string
}

// KeyColumn is a column of a Source's ReadKey.
type KeyColumn struct {
	Name string `json:"name"`
	// Type is the column's type as SQL writes it in a cast.
	Type string `json:"type"`
	// Schema is that of the operators which compare the type, unquoted.
	Schema string `json:"schema"`
	// Descending says that the index holds the column from the greatest value down.
	Descending bool `json:"descending"`
}

// String returns the relation's name as schema.table, unquoted.
func (s Source) String() string { return s.Namespace + "." + s.Name }

// HasKey says whether the table's records have a message key.
func (t Table) HasKey() bool { return len(t.Key) > 0 }

// Resumable says whether the table is read in key order, so that a resumed snapshot goes on in its middle.
func (t Table) Resumable() bool {
	if t.Kind != 'p' {
		return len(t.ReadKey) > 0
	}
	for _, leaf := range t.Leaves {
		if len(leaf.ReadKey) == 0 {
			return false
		}
	}
	return true
}

// EstimatedRows returns the sum of RelTuples, -1 when any is unknown.
func (t Table) EstimatedRows() float64 {
	if t.Kind != 'p' {
		return t.RelTuples
	}
	sum := 0.0
	for _, leaf := range t.Leaves {
		if leaf.RelTuples < 0 {
			return -1
		}
		sum += leaf.RelTuples
	}
	return sum
}

// Skipped is a relation that a pattern with a wildcard matched and that cannot be captured.
type Skipped struct {
	// Name is schema.table; Reason says what it is instead of a table with changes.
	Name, Reason string
	// Fix is SQL that gives it changes, "" where nothing would.
	Fix string
}

// Selection is what Catalog.Tables found.
type Selection struct {
	// Tables are in the order in which a snapshot reads them.
	Tables []Table
	// Skipped are to be reported to a person.
	Skipped []Skipped
}

// Select says which tables are captured.
type Select struct {
	// Patterns are shell-style globs on schema.table: *, ?, [abc], [!abc], and \ before a character that
	// stands for itself. A part in double quotes stands for itself as a whole, so that a dot can be in a
	// name. A pattern without a wildcard names one table, which must exist and have changes.
	Patterns []string
	// Match are predicates instead of Patterns, such as those of regular expressions. A table is captured
	// when one holds. Under Debezium tables are read in the order of the first one that holds, as it reads
	// them.
	Match []func(schema, table string) bool
	// Keep leaves tables out again that Patterns or Match select, by what it is false for; nil keeps all.
	Keep func(schema, table string) bool
}

// ValidatePattern says what is wrong with a pattern of Select, nil when nothing is.
func ValidatePattern(text string) error {
	_, err := parsePattern(text)
	return err
}

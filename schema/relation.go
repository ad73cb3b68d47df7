package schema

// Relation is one version of one table's shape, immutable: a changed table is a new *Relation.
// Its columns stand in wire order, the order in which Postgres sends a tuple's values.
type Relation struct {
	// OID is the table's pg_class.oid; under publish_via_partition_root that of the root.
	OID uint32
	// Namespace and Name are as Postgres stores them: unquoted, case kept.
	Namespace, Name string
	Identity        Identity
	Columns         []Column
	// Key holds the indexes into Columns of the message key, in key order; empty for a table without
	// a key. It comes from message.key.columns, the primary key, or the first unique index.
	Key []int
	// Comment is the table's COMMENT, empty when there is none.
	Comment string
	// Snapshot says that the shape is for the rows of a snapshot and comes from the catalog alone. With
	// Options.Debezium three things differ there: a serial column's type is named so, a numeric without
	// precision has no width, and the key keeps what the catalog says of a column that the rows leave out.
	Snapshot bool
}

// Identity is a table's replica identity: what the old tuple of an update or delete holds.
type Identity byte

// The replica identities, by the byte that pg_class.relreplident and a Relation message carry.
const (
	IdentityDefault Identity = 'd'
	IdentityNothing Identity = 'n'
	IdentityFull    Identity = 'f'
	IdentityIndex   Identity = 'i'
)

// Column is one column of a Relation.
type Column struct {
	Name string
	Type *Type
	// TypMod is the type modifier as pg_attribute.atttypmod has it, -1 for none.
	TypMod int32
	// InIdentity says that old tuples carry this column.
	InIdentity bool
	NotNull    bool
	// Default is pg_get_expr's text of the column's default; nil when there is none.
	Default *string
	// Generated says that the column is GENERATED ALWAYS AS (...) STORED.
	Generated bool
	// Comment is the column's COMMENT, empty when there is none.
	Comment string
}

// Type is a Postgres data type as far as it decides how values are written.
type Type struct {
	OID             uint32
	Namespace, Name string
	Kind            TypeKind
	// Elem is the element type of an array, else nil.
	Elem *Type
	// Base is the root type of a domain (never itself a domain), else nil; BaseTypMod its modifier.
	Base       *Type
	BaseTypMod int32
	// Labels are an enum's labels in sort order.
	Labels []string
}

// TypeKind says what sort of type a Type is.
type TypeKind byte

// The kinds of types, by the byte that pg_type.typtype has, but for arrays, which it calls base types.
const (
	KindBase       TypeKind = 'b'
	KindArray      TypeKind = 'a'
	KindEnum       TypeKind = 'e'
	KindDomain     TypeKind = 'd'
	KindComposite  TypeKind = 'c'
	KindRange      TypeKind = 'r'
	KindMultirange TypeKind = 'm'
	KindPseudo     TypeKind = 'p'
)

// String returns the table's name as schema.table, unquoted, as topics and messages to people use it.
func (r *Relation) String() string { return r.Namespace + "." + r.Name }

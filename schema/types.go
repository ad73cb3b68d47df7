package schema

import "fmt"

// column is one column of a relation, ready to be written: its Connect schema and its functions.
type column struct {
	source *Column
	index  int // in the relation
	// node is complete: optional, default, semantic name, parameters.
	node *node
	// write writes a value that is not null, without the union's branch. A value that the schema has no
	// form for returns an *unrepresentable; any other error means that the text is not Postgres's.
	write func(w *writer, text []byte) error
	// zero writes what stands in a NOT NULL column whose value was not sent, without the branch. Where
	// the node has a default, that default stands there instead.
	zero func(w *writer)
	// unchanged writes the placeholder of a TOASTed value that was not sent, without the branch; nil is
	// a type whose schema has no room for one.
	unchanged func(w *writer) error
}

// form is how the values of one type are written under one set of options.
type form struct {
	node      *node
	write     func(w *writer, text []byte) error
	zero      func(w *writer)
	unchanged func(w *writer) error
}

// request is what a column asks of its type.
type request struct {
	options *Options
	typ     *Type
	typmod  int32
	notNull bool
	item    bool // of an array
	domain  bool // typ is the base of one
}

// arrayRule says what becomes of an array of a type.
type arrayRule uint8

const (
	itemsOptional arrayRule = iota // the items are a union with null
	itemsRequired                  // Debezium forgets that items may be null
	itemsBroken                    // Debezium gives the array the schema of one item, which no value fits
	noArray                        // Debezium leaves the column out, also with include.unknown.datatypes
	unknownItems                   // Debezium does not know the item's type
)

// never is pgType.generated of a type whose defaults never stand in a schema.
const never = "\x00"

// pgType is a line of the type table.
type pgType struct {
	oid  uint32 // 0 is a type of an extension, found by its name
	name string
	form func(r request) form // nil is a type that Debezium does not know
	// items is the rule for arrays of the type.
	items arrayRule
	// generated is the text whose value stands in the schema for a default that is an expression.
	generated string
}

// pgTypes is the type table: every type with a form of its own. What the modes make of a type stands in its
// form's function, in both halves: the Connect schema, and the functions that write under it. Enums, arrays
// and domains have no line; formOf derives their forms from those of their parts. A type without a line is
// one that Debezium does not know: its column is left out, or is the bytes of its text with
// include.unknown.datatypes.
var pgTypes = [...]pgType{
	{16, "bool", booleanForm, itemsOptional, "f"},
	{21, "int2", integerForm(nodeInt16, 16), itemsOptional, "0"},
	{23, "int4", integerForm(nodeInt32, 32), itemsOptional, "0"},
	{20, "int8", integerForm(nodeInt64, 64), itemsOptional, "0"},
	{26, "oid", oidForm, itemsOptional, never},
	{700, "float4", floatForm(nodeFloat32), itemsOptional, "0"},
	{701, "float8", floatForm(nodeFloat64), itemsOptional, "0"},
	{1700, "numeric", numericForm, itemsOptional, "0.0"},
	{790, "money", moneyForm, noArray, never},

	{25, "text", stringForm(""), itemsOptional, ""},
	{1043, "varchar", stringForm(""), itemsOptional, ""},
	{1042, "bpchar", stringForm(""), itemsOptional, ""},
	{18, "char", stringForm(""), itemsOptional, never},
	{19, "name", nameForm, noArray, never},
	{2950, "uuid", stringForm("io.debezium.data.Uuid"), itemsOptional, "00000000-0000-0000-0000-000000000000"},
	{114, "json", stringForm(jsonName), itemsOptional, "{}"},
	{3802, "jsonb", stringForm(jsonName), itemsOptional, "{}"},
	{142, "xml", stringForm("io.debezium.data.Xml"), noArray, ""},
	{3614, "tsvector", stringForm("io.debezium.data.Tsvector"), itemsRequired, never},
	{869, "inet", stringForm(""), itemsOptional, never},
	{650, "cidr", stringForm(""), itemsOptional, never},
	{829, "macaddr", stringForm(""), itemsOptional, never},
	{774, "macaddr8", stringForm(""), itemsOptional, never},
	{3904, "int4range", stringForm(""), itemsOptional, never},
	{3926, "int8range", stringForm(""), itemsOptional, never},
	{3906, "numrange", stringForm(""), itemsOptional, never},
	{3908, "tsrange", stringForm(""), itemsOptional, never},
	{3910, "tstzrange", stringForm(""), itemsOptional, never},
	{3912, "daterange", stringForm(""), itemsOptional, never},

	{17, "bytea", binaryForm, itemsOptional, never},
	{1560, "bit", bitForm, itemsBroken, "0"},
	{1562, "varbit", bitForm, noArray, "0"},

	{1082, "date", dateForm, itemsOptional, "1970-01-01"},
	{1083, "time", timeForm, itemsOptional, "00:00:00"},
	{1266, "timetz", timetzForm, itemsOptional, never},
	{1114, "timestamp", timestampForm, itemsOptional, "1970-01-01 00:00:00"},
	{1184, "timestamptz", timestamptzForm, itemsOptional, "1970-01-01 00:00:00+00"},
	{1186, "interval", intervalForm, noArray, "00:00:00"},

	{600, "point", pointForm, noArray, never},
	{1790, "refcursor", nil, noArray, never},
	{22, "int2vector", nil, unknownItems, never}, // the catalog calls these two arrays, their text is none
	{30, "oidvector", nil, unknownItems, never},

	{0, "citext", stringForm(""), itemsOptional, never},
	{0, "isbn", stringForm(""), itemsRequired, never},
	{0, "ltree", stringForm("io.debezium.data.Ltree"), itemsOptional, never},
	{0, "hstore", hstoreForm, itemsOptional, never},
	{0, "geometry", geometryForm, itemsOptional, never},
	{0, "geography", geographyForm, itemsOptional, never},
	{0, "vector", vectorForm, itemsRequired, never},
	{0, "halfvec", halfvecForm, itemsRequired, never},
	{0, "sparsevec", sparsevecForm, itemsRequired, never},
}

// firstUserOID is FirstNormalObjectId of Postgres's access/transam.h: built-in types are below it.
const firstUserOID = 16384

// lookup returns a type's line of the table, nil if it has none. An extension's type is known by its name
// alone, as the schema it is installed in is the user's choice.
func lookup(t *Type) *pgType {
	// A test's or a catalog's type may lack the OID, but then it has its schema.
	builtin := t.OID != 0 && t.OID < firstUserOID || t.Namespace == "pg_catalog"
	if !builtin && t.Kind != KindBase {
		return nil
	}
	for i := range pgTypes {
		line := &pgTypes[i]
		if builtin != (line.oid != 0) {
			continue
		}
		if line.oid != 0 && line.oid == t.OID || (t.OID == 0 || !builtin) && line.name == t.Name {
			return line
		}
	}
	return nil
}

// column compiles one column of a relation. It returns false for a type that has no Debezium form and is
// left out, and an error for a relation whose types are not described.
func (o *Options) column(r *Relation, index int) (column, bool, error) {
	source := &r.Columns[index]
	typ, typmod := source.Type, source.TypMod
	if typ != nil && typ.Kind == KindDomain {
		typ, typmod = typ.Base, typ.BaseTypMod
	}
	if typ == nil || typ.Kind == KindArray && typ.Elem == nil {
		return column{}, false, fmt.Errorf("compile %s column %s: its type is not described", r, source.Name)
	}
	f, ok := formOf(request{
		options: o, typ: typ, typmod: typmod, notNull: source.NotNull, domain: typ != source.Type,
	})
	if !ok {
		return column{}, false, nil
	}
	// The domain of a column is gone from here on but for its defaults, which Debezium never looks for.
	// A geometry's own schema is optional, so its column is even where it is NOT NULL.
	f.node.optional = f.node.optional || !source.NotNull
	if source.Default != nil && source.Type.Kind != KindDomain {
		f.node.def = defaultOf(f, typ, typmod, *source.Default)
	}
	return column{
		source: source, index: index, node: f.node, write: f.write, zero: f.zero, unchanged: f.unchanged,
	}, true, nil
}

// formOf returns the form of a type that is no domain; false if Debezium has none.
func formOf(r request) (form, bool) {
	line := lookup(r.typ)
	switch {
	case line != nil && line.form != nil:
		return line.form(r), true
	case line == nil && r.typ.Kind == KindEnum:
		return enumForm(r), true
	case line == nil && r.typ.Kind == KindArray:
		return arrayForm(r)
	case r.options.UnknownTypes:
		return unknownForm(r), true
	}
	return form{}, false
}

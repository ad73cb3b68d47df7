package decoder

import (
	"fmt"

	"github.com/tributary-cdc/tributary/schema"
)

// Shape is what a Relation message says of a table.
type Shape struct {
	OID             uint32
	Namespace, Name string
	Identity        schema.Identity
	Columns         []ShapeColumn
}

// table returns schema.table.
func (s *Shape) table() string { return s.Namespace + "." + s.Name }

// ShapeColumn is a column of a Shape, in wire order.
type ShapeColumn struct {
	Name    string
	TypeOID uint32
	TypMod  int32
	// Key says that old tuples carry this column.
	Key bool
	// TypeNamespace and TypeName come from a Type message, empty for built-in types. Of a domain the
	// server tells the base type's.
	TypeNamespace, TypeName string
}

// entry is what the decoder knows of one table.
type entry struct {
	oid      uint32
	relation *schema.Relation // nil when the table is not captured
	shape    Shape
	// identity says of each column whether it is part of the replica identity.
	identity []bool
}

// column names the column at index i in an error.
func (e *entry) column(i int) string {
	return fmt.Sprintf("column %d %s", i+1, e.shape.Columns[i].Name)
}

// typeName remembers what a type is called, for the relations that come after it.
func (d *Decoder) typeName(c cursor) error {
	m, err := parseType(&c)
	if err != nil {
		return err
	}
	d.types[m.oid] = m
	return nil
}

// relation takes a table's shape in. The server sends it again after anything that may have changed the
// table, in the very place of the log where rows of the new shape begin, so that the entry is replaced
// even if the new shape looks the same. Changes in batches keep the Relation that they were decoded with.
func (d *Decoder) relation(c cursor) error {
	shape, err := parseRelation(&c)
	if err != nil {
		return err
	}
	identity := make([]bool, len(shape.Columns))
	for i := range shape.Columns {
		column := &shape.Columns[i]
		name := d.types[column.TypeOID]
		column.TypeNamespace, column.TypeName = name.namespace, name.name
		identity[i] = column.Key
	}
	e := &entry{oid: shape.OID, shape: shape, identity: identity}
	d.subject = e
	if e.relation, err = d.options.Describe(shape); err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	if e.relation != nil && len(e.relation.Columns) != len(shape.Columns) {
		return fmt.Errorf("described with %d columns: want %d", len(e.relation.Columns), len(shape.Columns))
	}
	d.relations[shape.OID] = e
	d.last = e
	return nil
}

// tableOf names a table that the session has told of, "" for another.
func (d *Decoder) tableOf(oid uint32) string {
	if e := d.relations[oid]; e != nil {
		return e.shape.table()
	}
	return ""
}

// lookup finds the relation of a row.
func (d *Decoder) lookup(oid uint32) (*entry, error) {
	e := d.last
	if e == nil || e.oid != oid {
		if e = d.relations[oid]; e == nil {
			return nil, fmt.Errorf("relation %d: no relation message told of it", oid)
		}
		d.last = e
	}
	return e, nil
}

package snapshot

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// relationDetails is a table as the catalog describes it now, which may be later than the change that is
// decoded.
type relationDetails struct {
	Namespace string           `json:"namespace"`
	Name      string           `json:"name"`
	Identity  string           `json:"identity"`
	Comment   string           `json:"comment"`
	Columns   []attributeFacts `json:"columns"`
	Indexes   []indexFacts     `json:"indexes"`
}

// attributeFacts is a row of pg_attribute, with the text of its default or generation expression: names in
// it have their schema, since the search path is pg_catalog.
type attributeFacts struct {
	Number    int     `json:"number"`
	Name      string  `json:"name"`
	Type      uint32  `json:"type"`
	TypMod    int32   `json:"typmod"`
	NotNull   bool    `json:"notnull"`
	Default   *string `json:"expression"`
	Generated string  `json:"generated"`
	Comment   string  `json:"comment"`
}

// relationQuery describes one table. A column of a NOT NULL domain is as good as NOT NULL itself.
const relationQuery = `
	SELECT n.nspname AS namespace, c.relname AS name, c.relreplident::text AS identity,
		coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') AS comment,
		(SELECT coalesce(pg_catalog.json_agg(x), '[]') FROM (` + indexesQuery + `) x) AS indexes,
		(SELECT coalesce(pg_catalog.json_agg(a), '[]') FROM (
			SELECT a.attnum AS number, a.attname AS name, a.atttypid::bigint AS type, a.atttypmod AS typmod,
				a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS notnull,
				pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS expression, a.attgenerated::text AS generated,
				coalesce(pg_catalog.col_description(c.oid, a.attnum), '') AS comment
			FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
			LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) a) AS columns
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = $1::oid`

// loadRelation returns nil for a table that does not exist.
func (c *Catalog) loadRelation(ctx context.Context, oid uint32) (*relationDetails, error) {
	rows, err := query[relationDetails](ctx, c, relationQuery, fmt.Sprint(oid))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// column returns a column's facts, nil when the table does not have it (any more).
func (d *relationDetails) column(name string) *attributeFacts {
	for i := range d.Columns {
		if d.Columns[i].Name == name {
			return &d.Columns[i]
		}
	}
	return nil
}

// columnNames returns the names of all columns in table order.
func (d *relationDetails) columnNames() []string {
	names := make([]string, len(d.Columns))
	for i, column := range d.Columns {
		names[i] = column.Name
	}
	return names
}

// Relation describes a table by its catalog entry alone, with the columns that its snapshot holds: those
// that the stream will carry; under Debezium all. An answer equal to the one before is the same pointer.
func (c *Catalog) Relation(ctx context.Context, oid uint32) (*schema.Relation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.published == nil {
		if err := c.loadPublications(ctx); err != nil {
			return nil, fmt.Errorf("describe table %d: %w", oid, err)
		}
	}
	details, err := c.loadRelation(ctx, oid)
	if err != nil {
		return nil, fmt.Errorf("describe table %d: %w", oid, err)
	}
	if details == nil {
		return nil, &Error{
			Doing: fmt.Sprintf("describe table %d", oid), Code: codeUndefinedTable,
			Message: "the table does not exist", Advice: "it was dropped meanwhile", retryable: true,
		}
	}
	shape := details.shape(oid, c.snapshotColumns(details))
	relation, err := c.build(ctx, shape, details)
	if err != nil {
		return nil, err
	}
	relation.Snapshot = c.options.Debezium
	return c.remember(relationKey{oid, true}, relation), nil
}

// Postgres 18 is the first that can publish generated columns.
const versionGenerated = 18_00_00

// snapshotColumns returns the columns that a snapshot reads, in table order.
func (c *Catalog) snapshotColumns(d *relationDetails) []attributeFacts {
	if c.options.Debezium {
		return d.Columns
	}
	listed := c.published[tableName{d.Namespace, d.Name}].columns
	var columns []attributeFacts
	for _, column := range d.Columns {
		switch {
		case listed != nil && !slices.Contains(listed, column.Name):
		case column.Generated != "" && (listed == nil || c.version < versionGenerated):
			// Some minors of 15 to 17 list generated columns, but none of them sends any.
		default:
			columns = append(columns, column)
		}
	}
	return columns
}

// shape is what a Relation message would say.
func (d *relationDetails) shape(oid uint32, columns []attributeFacts) decoder.Shape {
	s := decoder.Shape{OID: oid, Namespace: d.Namespace, Name: d.Name, Identity: schema.Identity(d.Identity[0])}
	identity := d.identityColumns()
	for _, column := range columns {
		s.Columns = append(s.Columns, decoder.ShapeColumn{
			Name: column.Name, TypeOID: column.Type,
			TypMod: column.TypMod,
			Key:    s.Identity == schema.IdentityFull || slices.Contains(identity, column.Name),
		})
	}
	return s
}

// identityColumns returns the columns of the index that is the replica identity.
func (d *relationDetails) identityColumns() []string {
	for _, index := range d.Indexes {
		if d.Identity == string(schema.IdentityDefault) && index.Primary ||
			d.Identity == string(schema.IdentityIndex) && index.Identity {
			return plainColumns(index.Columns[:index.KeyCount])
		}
	}
	return nil
}

// Describe describes a table as a Relation message shapes it: the message is the authority for columns,
// their order and types, the catalog adds what the message does not carry. The catalog may be ahead of the
// message: what it says of columns that the message does not have is left out, and a column that it does
// not have is nullable. It answers for every table; whether the table is captured is for the caller to
// know. An answer equal to the one before is the same pointer.
func (c *Catalog) Describe(ctx context.Context, s decoder.Shape) (*schema.Relation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	details, err := c.loadRelation(ctx, s.OID)
	if err != nil {
		return nil, fmt.Errorf("describe %s.%s: %w", s.Namespace, s.Name, err)
	}
	relation, err := c.build(ctx, s, details)
	if err != nil {
		return nil, err
	}
	return c.remember(relationKey{s.OID, false}, relation), nil
}

// build puts a relation together. details is nil for a table that does not exist any more.
func (c *Catalog) build(ctx context.Context, s decoder.Shape,
	details *relationDetails,
) (*schema.Relation, error) {
	types, err := c.loadTypes(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("describe %s.%s: %w", s.Namespace, s.Name, err)
	}
	r := &schema.Relation{
		OID: s.OID, Namespace: s.Namespace, Name: s.Name, Identity: s.Identity,
		Columns: make([]schema.Column, len(s.Columns)),
	}
	for i, column := range s.Columns {
		r.Columns[i] = schema.Column{
			Name: column.Name, Type: types.of(column), TypMod: column.TypMod,
			InIdentity: column.Key,
		}
		if details == nil {
			continue
		}
		if facts := details.column(column.Name); facts != nil {
			r.Columns[i].NotNull = facts.NotNull
			r.Columns[i].Default = facts.Default
			r.Columns[i].Generated = facts.Generated != ""
			r.Columns[i].Comment = facts.Comment
		}
	}
	if details == nil {
		r.Key = identityKey(s)
		return r, nil
	}
	r.Comment = details.Comment
	if r.Key, err = c.keyOf(s, details); err != nil {
		return nil, err
	}
	return r, nil
}

// keyOf returns the message key as indexes into the shape's columns. Columns of the table's key that the
// shape does not have are left out; configured ones must be there.
func (c *Catalog) keyOf(s decoder.Shape, details *relationDetails) ([]int, error) {
	names := c.messageKey(s.Namespace, s.Name, details.columnNames(), details.Indexes)
	var key []int
	for _, name := range names {
		at := slices.IndexFunc(s.Columns, func(column decoder.ShapeColumn) bool { return column.Name == name })
		if at >= 0 {
			key = append(key, at)
		} else if details.column(name) == nil {
			return nil, fmt.Errorf("describe %s.%s: its message key is configured to hold column %s, "+
				"which the table does not have", s.Namespace, s.Name, name)
		}
	}
	return key, nil
}

// identityKey is the key of a table that is known by its shape alone: its replica identity, unless that is
// every column.
func identityKey(s decoder.Shape) []int {
	var key []int
	for i, column := range s.Columns {
		if column.Key && s.Identity != schema.IdentityFull {
			key = append(key, i)
		}
	}
	return key
}

// remember returns the relation that was answered before if it is equal to r, so that what was compiled
// from it serves on, else r. Snapshot and stream share relations where they agree.
func (c *Catalog) remember(key relationKey, r *schema.Relation) *schema.Relation {
	for _, known := range []relationKey{key, {key.oid, !key.snapshot}} {
		if before := c.relations[known]; before != nil && reflect.DeepEqual(before, r) {
			r = before
			break
		}
	}
	c.relations[key] = r
	return r
}

package snapshot

import (
	"context"
	"fmt"
	"slices"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// Type OIDs below belong to the server and never change (FirstNormalObjectId of access/transam.h).
const firstUserOID = 16384

// maxTypeDepth ends a chain of arrays and domains; the server refuses real circles.
const maxTypeDepth = 32

// typeFacts is a row of pg_type. Element is 0 but for true arrays: a point has a typelem as well.
type typeFacts struct {
	OID       uint32   `json:"oid"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	Element   uint32   `json:"element"`
	Base      uint32   `json:"base"`
	TypMod    int32    `json:"typmod"`
	Labels    []string `json:"labels"`
}

const typesQuery = `
	SELECT t.oid::bigint, n.nspname AS namespace, t.typname AS name, t.typtype::text AS kind,
		CASE WHEN e.typarray = t.oid THEN e.oid::bigint ELSE 0 END AS element,
		t.typbasetype::bigint AS base, t.typtypmod AS typmod,
		(SELECT pg_catalog.json_agg(l.enumlabel ORDER BY l.enumsortorder)
			FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid) AS labels
	FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
	LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
	WHERE t.oid = ANY ($1::oid[])`

// typeSet is the types of one shape, by OID.
type typeSet map[uint32]*schema.Type

// of returns a column's type. One that no longer exists is known by the name that the stream told.
func (s typeSet) of(column decoder.ShapeColumn) *schema.Type {
	if t := s[column.TypeOID]; t != nil {
		return t
	}
	t := &schema.Type{
		OID: column.TypeOID, Namespace: column.TypeNamespace, Name: column.TypeName,
		Kind: schema.KindBase, BaseTypMod: -1,
	}
	if t.Name == "" {
		t.Name = fmt.Sprintf("unknown %d", column.TypeOID)
	}
	if t.Namespace == "" {
		// In the stream's messages an empty schema is pg_catalog.
		t.Namespace = "pg_catalog"
	}
	return t
}

// loadTypes looks up the types of a shape, with what they are made of. Natively types that are not built in
// are read each time, since an enum gains labels without a word in the stream; under Debezium they are read
// once.
func (c *Catalog) loadTypes(ctx context.Context, s decoder.Shape) (typeSet, error) {
	facts := map[uint32]*typeFacts{}
	known := typeSet{}
	var wanted []uint32
	want := func(oid uint32) {
		if oid == 0 || known[oid] != nil || facts[oid] != nil || slices.Contains(wanted, oid) {
			return
		}
		if t := c.types[oid]; t != nil && (oid < firstUserOID || c.options.Debezium) {
			known[oid] = t
			return
		}
		wanted = append(wanted, oid)
	}
	for _, column := range s.Columns {
		want(column.TypeOID)
	}
	for depth := 0; len(wanted) > 0 && depth < maxTypeDepth; depth++ {
		rows, err := query[typeFacts](ctx, c, typesQuery, array(wanted))
		if err != nil {
			return nil, err
		}
		wanted = nil
		for i := range rows {
			facts[rows[i].OID] = &rows[i]
		}
		for i := range rows {
			want(rows[i].Element)
			want(rows[i].Base)
		}
	}
	for oid := range facts {
		c.types[oid] = resolve(facts, known, oid, 0)
		known[oid] = c.types[oid]
	}
	return known, nil
}

// resolve builds a type from facts, and from known ones what it is made of.
func resolve(facts map[uint32]*typeFacts, known typeSet, oid uint32, depth int) *schema.Type {
	if t := known[oid]; t != nil {
		return t
	}
	f := facts[oid]
	if f == nil || depth > maxTypeDepth {
		return nil
	}
	t := &schema.Type{
		OID: f.OID, Namespace: f.Namespace, Name: f.Name, Kind: schema.TypeKind(f.Kind[0]),
		Labels: f.Labels, BaseTypMod: -1,
	}
	switch {
	case f.Element != 0:
		t.Kind = schema.KindArray
		t.Elem = resolve(facts, known, f.Element, depth+1)
	case f.Base != 0:
		base := resolve(facts, known, f.Base, depth+1)
		t.Base, t.BaseTypMod = base, f.TypMod
		if base != nil && base.Base != nil {
			// A domain over a domain: the modifier stands at the one that is over the base type.
			t.Base = base.Base
			if f.TypMod == -1 {
				t.BaseTypMod = base.BaseTypMod
			}
		}
	}
	return t
}

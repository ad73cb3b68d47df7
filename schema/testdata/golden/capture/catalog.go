package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// relation is a table's shape as the recordings' test reads it: schema.Relation with short names.
type relation struct {
	OID       uint32   `json:"oid"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Identity  string   `json:"identity"`
	Key       []int    `json:"key"`
	Columns   []column `json:"columns"`
}

// column is a schema.Column; what has its usual value is left out.
type column struct {
	Name       string  `json:"name"`
	Type       *pgType `json:"type"`
	TypMod     int32   `json:"mod"`
	InIdentity bool    `json:"identity,omitempty"`
	NotNull    bool    `json:"notnull,omitempty"`
	Default    *string `json:"default,omitempty"`
	Generated  bool    `json:"generated,omitempty"`
}

// pgType is a schema.Type.
type pgType struct {
	OID        uint32   `json:"oid"`
	Namespace  string   `json:"namespace"`
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Elem       *pgType  `json:"elem,omitempty"`
	Base       *pgType  `json:"base,omitempty"`
	BaseTypMod int32    `json:"basemod,omitempty"`
	Labels     []string `json:"labels,omitempty"`
}

// readRelation reads a table's shape; sent is the columns of its Relation message, nil for a snapshot.
func readRelation(ctx context.Context, conn *pgx.Conn, oid uint32, sent []string, keys map[string][]string,
) (*relation, error) {
	r := &relation{OID: oid}
	err := conn.QueryRow(ctx, `SELECT n.nspname, c.relname, c.relreplident::text FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1`, oid).
		Scan(&r.Namespace, &r.Name, &r.Identity)
	if err != nil {
		return nil, fmt.Errorf("read table %d: %w", oid, err)
	}
	rows, err := conn.Query(ctx, `SELECT a.attname, a.atttypid, a.atttypmod,
		a.attnotnull OR t.typtype = 'd' AND t.typnotnull, pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> ''
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, oid)
	if err != nil {
		return nil, fmt.Errorf("read columns of %s: %w", r.Name, err)
	}
	var types []uint32
	for rows.Next() {
		var c column
		var typ uint32
		if err := rows.Scan(&c.Name, &typ, &c.TypMod, &c.NotNull, &c.Default, &c.Generated); err != nil {
			return nil, fmt.Errorf("read columns of %s: %w", r.Name, err)
		}
		if sent != nil && !has(sent, c.Name) {
			continue
		}
		r.Columns, types = append(r.Columns, c), append(types, typ)
	}
	if rows.Err() != nil {
		return nil, fmt.Errorf("read columns of %s: %w", r.Name, rows.Err())
	}
	for i, oid := range types {
		if r.Columns[i].Type, err = readType(ctx, conn, oid); err != nil {
			return nil, err
		}
	}
	return r, readKey(ctx, conn, r, keys[r.Namespace+"."+r.Name])
}

// readType reads a type with all that it stands on.
func readType(ctx context.Context, conn *pgx.Conn, oid uint32) (*pgType, error) {
	t := &pgType{OID: oid}
	var elem, base uint32
	var mod int32
	err := conn.QueryRow(ctx, `SELECT n.nspname, t.typname,
		CASE WHEN t.typcategory = 'A' AND t.typlen = -1 THEN 'a' ELSE t.typtype::text END,
		CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END, t.typbasetype, t.typtypmod,
		coalesce((SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e
			WHERE e.enumtypid = t.oid), '{}')
		FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = $1`, oid).
		Scan(&t.Namespace, &t.Name, &t.Kind, &elem, &base, &mod, &t.Labels)
	if err != nil {
		return nil, fmt.Errorf("read type %d: %w", oid, err)
	}
	if elem != 0 {
		if t.Elem, err = readType(ctx, conn, elem); err != nil {
			return nil, err
		}
	}
	if base == 0 {
		return t, nil
	}
	if t.Base, err = readType(ctx, conn, base); err != nil {
		return nil, err
	}
	t.BaseTypMod = mod
	if t.Base.Base != nil { // a domain over a domain: its root, with the modifier nearest to us
		if mod == -1 {
			t.BaseTypMod = t.Base.BaseTypMod
		}
		t.Base = t.Base.Base
	}
	return t, nil
}

// readKey chooses the message key as Debezium does, and marks the replica identity.
func readKey(ctx context.Context, conn *pgx.Conn, r *relation, named []string) error {
	var key, identity []string
	err := conn.QueryRow(ctx, `WITH i AS (
			SELECT i.*, c.relname, (SELECT array_agg(a.attname::text ORDER BY k.n)
				FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n)
				JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum) AS names
			FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1)
		SELECT coalesce((SELECT names FROM i WHERE indisunique AND indexprs IS NULL
			ORDER BY indisprimary DESC, indisclustered DESC, relname LIMIT 1), '{}'),
		coalesce((SELECT names FROM i WHERE CASE $2::text WHEN 'i' THEN indisreplident
			WHEN 'd' THEN indisprimary ELSE false END), '{}')`, r.OID, r.Identity).Scan(&key, &identity)
	if err != nil {
		return fmt.Errorf("read key of %s: %w", r.Name, err)
	}
	if named != nil {
		key = named
	}
	for _, name := range key {
		for i := range r.Columns {
			if r.Columns[i].Name == name {
				r.Key = append(r.Key, i)
			}
		}
	}
	for i := range r.Columns {
		r.Columns[i].InIdentity = r.Identity == "f" || has(identity, r.Columns[i].Name)
	}
	return nil
}

func has(list []string, name string) bool {
	for _, s := range list {
		if s == name {
			return true
		}
	}
	return false
}

// messageKeys reads message.key.columns, taking its patterns for plain names.
func messageKeys(setting string) map[string][]string {
	keys := make(map[string][]string)
	for _, part := range strings.Split(setting, ";") {
		if table, columns, ok := strings.Cut(part, ":"); ok {
			keys[table] = strings.Split(columns, ",")
		}
	}
	return keys
}

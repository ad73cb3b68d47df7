package snapshot

import (
	"cmp"
	"context"
	"slices"
)

// tableDetails is what is looked up of a chosen table.
type tableDetails struct {
	OID        uint32       `json:"oid"`
	Pages      int64        `json:"pages"`
	Selectable bool         `json:"selectable"`
	RLS        bool         `json:"rls"`
	Columns    []string     `json:"columns"`
	Indexes    []indexFacts `json:"indexes"`
}

// indexFacts is a unique index. Columns are all of it; KeyCount is how many of them are unique together,
// before those of INCLUDE.
type indexFacts struct {
	Name      string        `json:"name"`
	Primary   bool          `json:"primary"`
	Clustered bool          `json:"clustered"`
	Identity  bool          `json:"identity"`
	Valid     bool          `json:"valid"`
	Partial   bool          `json:"partial"`
	KeyCount  int           `json:"keycount"`
	Columns   []indexColumn `json:"columns"`
}

// indexColumn is a column of an index; Name is nil for an expression. Ordered says that the server's
// operators order the column's values as the index does.
type indexColumn struct {
	Name       *string `json:"name"`
	Type       string  `json:"type"`
	NotNull    bool    `json:"notnull"`
	Schema     string  `json:"schema"`
	Descending bool    `json:"descending"`
	Ordered    bool    `json:"ordered"`
}

// indexesQuery lists the unique indexes of table c. A NOT NULL constraint that is not validated (Postgres
// 18) lets older rows have a NULL. Operators are looked for by name and schema, since the search path is
// pg_catalog alone.
const indexesQuery = `
	SELECT ic.relname AS name, i.indisprimary AS primary, i.indisclustered AS clustered,
		i.indisreplident AS identity, i.indisvalid AND i.indisready AND i.indislive AS valid,
		i.indpred IS NOT NULL AS partial, i.indnkeyatts AS keycount,
		(SELECT pg_catalog.json_agg(k) FROM (
			SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, -1) AS type,
				a.attnotnull AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint nn
					WHERE nn.conrelid = c.oid AND nn.contype = 'n' AND NOT nn.convalidated
						AND nn.conkey = ARRAY[a.attnum]) AS notnull,
				(i.indoption[u.n - 1]::int & 1) = 1 AS descending, op.nspname AS schema,
				coalesce(oc.opcdefault AND i.indcollation[u.n - 1] = a.attcollation
					AND op.oprname = '>', false) AS ordered
			FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY u(attnum, n)
			LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum AND u.attnum > 0
			LEFT JOIN pg_catalog.pg_opclass oc ON oc.oid = i.indclass[u.n - 1]
			LEFT JOIN LATERAL (SELECT o.oprname, n.nspname FROM pg_catalog.pg_amop am
				JOIN pg_catalog.pg_operator o ON o.oid = am.amopopr
				JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
				WHERE am.amopfamily = oc.opcfamily AND am.amopstrategy = 5
					AND am.amoplefttype = oc.opcintype AND am.amoprighttype = oc.opcintype) op ON true
			ORDER BY u.n) k) AS columns
	FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
	WHERE i.indrelid = c.oid AND i.indisunique`

// detailsQuery describes chosen tables. pg_relation_size looks at the file: relpages is as old as the last
// analysis. row_security_active answers for this role and row_security = off, which every session has.
const detailsQuery = `
	SELECT c.oid::bigint,
		CASE c.relkind WHEN 'p' THEN 0 ELSE pg_catalog.pg_relation_size(c.oid)
			/ pg_catalog.current_setting('block_size')::int END AS pages,
		pg_catalog.has_table_privilege(c.oid, 'SELECT')
			AND pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE') AS selectable,
		pg_catalog.row_security_active(c.oid) AS rls,
		(SELECT pg_catalog.json_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
		(SELECT pg_catalog.json_agg(x) FROM (` + indexesQuery + `) x) AS indexes
	FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[])`

// loadDetails looks up tables by OID. One that is gone by now is an empty one.
func (c *Catalog) loadDetails(ctx context.Context, oids []uint32) (map[uint32]*tableDetails, error) {
	rows, err := query[tableDetails](ctx, c, detailsQuery, array(oids))
	if err != nil {
		return nil, err
	}
	details := make(map[uint32]*tableDetails, len(oids))
	for _, oid := range oids {
		details[oid] = &tableDetails{OID: oid}
	}
	for i := range rows {
		details[rows[i].OID] = &rows[i]
	}
	return details, nil
}

// messageKey chooses the message key's columns: what the configuration says, else the primary key in the
// index's order, else the first unique index whose columns are all plain, clustered ones first, then by
// name.
func (c *Catalog) messageKey(namespace, name string, columns []string, indexes []indexFacts) []string {
	if c.options.KeyColumns != nil {
		if key := c.options.KeyColumns(namespace, name, columns); len(key) > 0 {
			return key
		}
	}
	ordered := slices.Clone(indexes)
	slices.SortFunc(ordered, func(a, b indexFacts) int {
		return cmp.Or(first(a.Primary, b.Primary), first(a.Clustered, b.Clustered), cmp.Compare(a.Name, b.Name))
	})
	for _, index := range ordered {
		// Debezium takes the columns of INCLUDE for a part of the key, and a partial index for a whole one. A
		// primary key's included columns it does not take.
		count := index.KeyCount
		if c.options.Debezium && !index.Primary {
			count = len(index.Columns)
		} else if index.Partial || !index.Valid {
			continue
		}
		if key := plainColumns(index.Columns[:count]); key != nil {
			return key
		}
	}
	return nil
}

// first orders true before false.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// plainColumns returns the columns' names, nil when one is an expression.
func plainColumns(columns []indexColumn) []string {
	names := make([]string, len(columns))
	for i, column := range columns {
		if column.Name == nil {
			return nil
		}
		names[i] = *column.Name
	}
	return names
}

// readKey chooses the unique NOT NULL index in whose order rows can be read: the primary key, else the
// first by name. Rows are compared as a whole, so all columns must run one way, by operators of one schema.
func readKey(indexes []indexFacts) []KeyColumn {
	ordered := slices.Clone(indexes)
	slices.SortFunc(ordered, func(a, b indexFacts) int {
		return cmp.Or(first(a.Primary, b.Primary), cmp.Compare(a.Name, b.Name))
	})
	for _, index := range ordered {
		if index.Partial || !index.Valid {
			continue
		}
		if key := orderedColumns(index.Columns[:index.KeyCount]); key != nil {
			return key
		}
	}
	return nil
}

// orderedColumns returns an index's columns as a key to read by, nil when they are none.
func orderedColumns(columns []indexColumn) []KeyColumn {
	key := make([]KeyColumn, len(columns))
	for i, column := range columns {
		if column.Name == nil || !column.NotNull || !column.Ordered ||
			column.Descending != columns[0].Descending || column.Schema != columns[0].Schema {
			return nil
		}
		key[i] = KeyColumn{
			Name: *column.Name, Type: column.Type, Schema: column.Schema,
			Descending: column.Descending,
		}
	}
	return key
}

package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tributary-cdc/tributary/schema"
)

// alteredCopy is the empty temporary copy that an ALTER TABLE is tried on.
const alteredCopy = "tributary_altered"

// Altered describes a table as the stream would after ALTER TABLE with the given actions, such as ADD
// COLUMN n int NOT NULL, and leaves nothing behind. The actions run on an empty temporary copy in a
// transaction that is rolled back, so that the table itself is locked as by a SELECT, for milliseconds. Names
// in the actions are looked up in the table's schema, then in public. The copy has no rows, triggers or
// foreign keys: whether the rows allow the change is not known from it. The role must have the right to make
// temporary tables, and to read this one.
func (c *Catalog) Altered(ctx context.Context, oid uint32, actions string) (*schema.Relation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.loadPublications(ctx); err != nil {
		return nil, fmt.Errorf("describe table %d: %w", oid, err)
	}
	now, err := c.loadRelation(ctx, oid)
	if err != nil || now == nil {
		return nil, errors.Join(err, fmt.Errorf("describe table %d: it must exist", oid))
	}
	explicit, err := c.listsColumns(ctx, oid)
	if err != nil {
		return nil, fmt.Errorf("describe %s.%s: %w", now.Namespace, now.Name, err)
	}
	after, err := c.tryAlter(ctx, now, actions)
	if err != nil {
		return nil, fmt.Errorf("try ALTER TABLE %s.%s: %w", now.Namespace, now.Name, err)
	}
	shape := after.shape(oid, c.alteredColumns(now, after, explicit))
	return c.build(ctx, shape, after)
}

// listsColumns says whether a publication names the columns of a table: then those that are added are not
// published. pg_publication_tables cannot tell, since it lists all columns where none are named.
func (c *Catalog) listsColumns(ctx context.Context, oid uint32) (bool, error) {
	if c.version < versionColumnLists || len(c.options.Publications) == 0 {
		return false, nil
	}
	type row struct {
		OID int64 `json:"oid"`
	}
	rows, err := query[row](ctx, c, `SELECT r.oid::bigint FROM pg_catalog.pg_publication_rel r
		JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
		WHERE p.pubname = ANY ($1::name[]) AND r.prrelid = $2::oid AND r.prattrs IS NOT NULL`,
		array(c.options.Publications), fmt.Sprint(oid))
	return len(rows) > 0, err
}

// alteredColumns are the columns that the stream would carry after the change. A column is the same one as
// before by its number, also under another name.
func (c *Catalog) alteredColumns(now, after *relationDetails, explicit bool) []attributeFacts {
	if c.options.Debezium { // which knows of no column lists, and of generated columns in snapshots only
		return slices.DeleteFunc(slices.Clone(after.Columns), func(a attributeFacts) bool {
			return a.Generated != ""
		})
	}
	read := map[string]bool{}
	for _, column := range c.snapshotColumns(now) {
		read[column.Name] = true
	}
	var columns []attributeFacts
	for _, column := range after.Columns {
		// The copy's columns are numbered without gaps, in the table's order.
		before := ""
		if column.Number <= len(now.Columns) {
			before = now.Columns[column.Number-1].Name
		}
		if before != "" && read[before] || before == "" && !explicit && column.Generated == "" {
			columns = append(columns, column)
		}
	}
	return columns
}

// tryAlter makes the copy, changes it, describes it by the table's own name, and rolls back.
func (c *Catalog) tryAlter(ctx context.Context, now *relationDetails,
	actions string,
) (after *relationDetails, err error) {
	defer func() {
		// A connection in an unknown state is of no further use.
		if _, back := c.conn.Exec(ctx, "ROLLBACK").ReadAll(); back != nil {
			closeQuietly(c.conn)
			err = errors.Join(err, fault("roll back", back))
		}
	}()
	table := quote(now.Namespace) + "." + quote(now.Name)
	for _, sql := range []string{
		"BEGIN READ WRITE",
		"SET LOCAL lock_timeout = '3s'", "SET LOCAL statement_timeout = '10s'",
		"CREATE TEMPORARY TABLE " + alteredCopy + " (LIKE " + table + " INCLUDING ALL) ON COMMIT DROP",
	} {
		if err := c.alone(ctx, sql); err != nil {
			return nil, err
		}
	}
	type row struct {
		OID uint32 `json:"oid"`
	}
	made, err := queryJSON[row](ctx, c.conn, "SELECT 'pg_temp."+alteredCopy+"'::regclass::oid::bigint AS oid")
	if err != nil {
		return nil, err
	}
	oid := fmt.Sprint(made[0].OID)
	copied, err := queryJSON[relationDetails](ctx, c.conn, relationQuery, oid)
	if err != nil {
		return nil, err
	}
	for _, sql := range []string{
		"SET LOCAL search_path = " + quote(now.Namespace) + ", public",
		"ALTER TABLE pg_temp." + alteredCopy + " " + actions,
		"SET LOCAL search_path = pg_catalog",
	} {
		if err := c.alone(ctx, sql); err != nil {
			return nil, err
		}
	}
	rows, err := queryJSON[relationDetails](ctx, c.conn, relationQuery, oid)
	if err != nil || len(rows) == 0 {
		return nil, errors.Join(err, errors.New("nothing is left of the table"))
	}
	if after = &rows[0]; after.Name != alteredCopy {
		return nil, errors.New("it renames the table, whose records then go to another topic")
	}
	after.Namespace, after.Name, after.Identity = now.Namespace, now.Name, now.Identity
	after.Comment = now.Comment
	nameIndexes(now.Indexes, copied[0].Indexes, after.Indexes)
	return after, nil
}

// alone runs one statement: the extended protocol takes no second one behind a semicolon, which could end
// the transaction.
func (c *Catalog) alone(ctx context.Context, sql string) error {
	doing, _, _ := strings.Cut(sql, " ")
	if result := c.conn.ExecParams(ctx, sql, nil, nil, nil, nil).Read(); result.Err != nil {
		return fault(strings.ToLower(doing), result.Err)
	}
	return nil
}

// nameIndexes gives the altered copy's indexes what LIKE does not copy: their names, by which a key is
// chosen among several, and what marks one of them. copied are those of the copy before it was altered.
func nameIndexes(now, copied, after []indexFacts) {
	original := map[string]indexFacts{}
	for _, c := range copied {
		at := slices.IndexFunc(now, func(n indexFacts) bool { return sameIndex(n, c) })
		if at >= 0 {
			original[c.Name] = now[at]
		}
	}
	for i := range after {
		if n, known := original[after[i].Name]; known {
			after[i].Name, after[i].Clustered, after[i].Identity = n.Name, n.Clustered, n.Identity
		}
	}
}

// sameIndex says whether two indexes are unique in the same columns.
func sameIndex(a, b indexFacts) bool {
	return a.Primary == b.Primary && a.Partial == b.Partial && a.KeyCount == b.KeyCount &&
		slices.EqualFunc(a.Columns, b.Columns, func(x, y indexColumn) bool {
			return (x.Name == nil) == (y.Name == nil) && (x.Name == nil || *x.Name == *y.Name)
		})
}

package snapshot

import (
	"context"
	"fmt"

	"github.com/tributary-cdc/tributary/schema"
)

// Keys gives the key of every row of a table that the keeper's snapshot sees to do: a row in the relation's
// column order, of which only the columns of Relation.Key are there and the others are schema.Absent. The
// row is valid until do returns. Options need Connect, Keeper and Relation; a table that the snapshot does
// not know has no keys. An error that decoder.Retryable accepts asks for a new snapshot, as with Run.
func Keys(ctx context.Context, o Options, t Table, do func(schema.Row) error) error {
	o = o.withDefaults()
	if err := o.Keeper.Guard(ctx, o.GuardTimeout, o.Logger); err != nil {
		return err
	}
	relation, err := o.Relation(ctx, t.OID)
	if err != nil {
		return fmt.Errorf("read the keys of %s: %w", t, err)
	}
	conn, err := o.Connect(ctx)
	if err != nil {
		return fmt.Errorf("connect to read the keys of %s: %w", t, err)
	}
	defer closeQuietly(conn)
	sources := t.Leaves
	if t.Kind != 'p' {
		sources = []Source{t.Source}
	}
	w := &worker{o: o, conn: conn}
	for _, s := range sources {
		if err := w.keys(ctx, s, relation, do); err != nil {
			return err
		}
	}
	return nil
}

// keys reads the keys of one relation.
func (w *worker) keys(ctx context.Context, s Source, r *schema.Relation, do func(schema.Row) error) error {
	exists, err := w.begin(ctx, s)
	if err != nil || !exists {
		return err
	}
	row := make(schema.Row, len(r.Columns))
	columns := make([]string, len(r.Key))
	for i := range row {
		row[i].Kind = schema.Absent
	}
	for i, at := range r.Key {
		columns[i] = r.Columns[at].Name
	}
	rows := w.conn.ExecParams(ctx, selectFrom(&unit{source: s}, columns, nil), nil, nil, nil, nil)
	for rows.NextRow() {
		for i, value := range rows.Values() {
			row[r.Key[i]] = schema.Datum{}
			if value != nil {
				row[r.Key[i]] = schema.Datum{Kind: schema.Text, Text: value}
			}
		}
		if err := do(row); err != nil {
			return err // closing the connection ends the query
		}
	}
	if _, err := rows.Close(); err != nil {
		return tableFault("read the keys of "+s.String(), s, err)
	}
	if _, err := w.conn.Exec(ctx, "COMMIT").ReadAll(); err != nil {
		return tableFault("end reading "+s.String(), s, err)
	}
	return nil
}

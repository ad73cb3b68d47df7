package pagila

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Fill makes the schema, where it is not there yet, and the tables with their rows. The schema stays on the
// connection's search_path, so that the statements find the tables.
func Fill(ctx context.Context, conn *pgconn.PgConn, schema string) error {
	sql := "CREATE SCHEMA IF NOT EXISTS " + schema + "; SET search_path = " + schema
	if err := conn.Exec(ctx, sql).Close(); err != nil {
		return fmt.Errorf("make schema %s: %w", schema, err)
	}
	var names []string
	for _, t := range Tables {
		names = append(names, t.Name)
		if err := conn.Exec(ctx, "CREATE TABLE "+t.Name+" ("+t.ddl+")").Close(); err != nil {
			return fmt.Errorf("make table %s: %w", t.Name, err)
		}
		copySQL := "COPY " + t.Name + " (" + t.load + ") FROM STDIN"
		if _, err := conn.CopyFrom(ctx, strings.NewReader(t.copyText()), copySQL); err != nil {
			return fmt.Errorf("fill table %s: %w", t.Name, err)
		}
	}
	// Stores and staff point at each other, so one of the keys comes last.
	sql = "ALTER TABLE store ADD FOREIGN KEY (manager_staff_id) REFERENCES staff; ANALYZE " +
		strings.Join(names, ", ")
	if err := conn.Exec(ctx, sql).Close(); err != nil {
		return fmt.Errorf("finish the tables: %w", err)
	}
	return nil
}

// Rows returns a table as its records should have it: row by key. The connection prints times in UTC and
// dates as ISO.
func Rows(ctx context.Context, conn *pgconn.PgConn, schema string, t Table) (map[string]Row, error) {
	results, err := conn.Exec(ctx, "SELECT * FROM "+schema+"."+t.Name).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read table %s: %w", t.Name, err)
	}
	found := map[string]Row{}
	for _, values := range results[0].Rows {
		r := Row{}
		for i, field := range results[0].FieldDescriptions {
			value, err := asRecord(field.DataTypeOID, values[i])
			if err != nil {
				return nil, fmt.Errorf("read table %s: column %s: %w", t.Name, field.Name, err)
			}
			r[field.Name] = value
		}
		found[r[t.Key]] = r
	}
	return found, nil
}

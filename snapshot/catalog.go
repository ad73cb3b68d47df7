package snapshot

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/schema"
)

// ConnectFunc opens an ordinary connection (not a replication one) to the source database, with the
// parameters pinned that decoder.Connect pins. The caller of a ConnectFunc owns the connection.
type ConnectFunc func(context.Context) (*pgconn.PgConn, error)

// CatalogOptions are what a Catalog needs.
type CatalogOptions struct {
	// Connect opens the catalog's connection. Required.
	Connect ConnectFunc
	// Publications are the publications that the slot's stream is filtered by: their column lists and row
	// filters (Postgres 15 and later) apply to the snapshot as well. Empty: none apply.
	Publications []string
	// ViaRoot says that the publication publishes partitions as their root.
	ViaRoot bool
	// KeyColumns returns the message key's columns of a table, in key order, nil for the table's own
	// key. columns are all that the table has. Nil: every table has its own key.
	KeyColumns func(schema, table string, columns []string) []string
	// Debezium follows Debezium 3.6 where it differs: which unique index is the key, stored generated
	// columns in snapshots, partitioned tables beside their leaves, types (and enum labels) looked up once,
	// publications' column lists and row filters not applied.
	Debezium bool
	// Logger is told of a connection that was made anew. Nil: nothing is logged.
	Logger *slog.Logger
}

// Catalog reads tables, columns and types from pg_catalog. It is safe for use by many goroutines, which
// take turns on its one connection.
type Catalog struct {
	options CatalogOptions

	mu        sync.Mutex // guards what follows, and is held during a query
	conn      *pgconn.PgConn
	version   int
	types     map[uint32]*schema.Type
	relations map[relationKey]*schema.Relation
	// published is nil until the publications have been looked at.
	published map[tableName]published
}

// relationKey names one use of a table: a snapshot may hold columns that the stream does not.
type relationKey struct {
	oid      uint32
	snapshot bool
}

// OpenCatalog connects.
func OpenCatalog(ctx context.Context, o CatalogOptions) (*Catalog, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Catalog{options: o, types: map[uint32]*schema.Type{}, relations: map[relationKey]*schema.Relation{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends the catalog's connection.
func (c *Catalog) Close(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	conn := c.conn
	c.conn = nil
	if err := conn.Close(ctx); err != nil {
		return fmt.Errorf("close the catalog connection: %w", err)
	}
	return nil
}

// ServerVersion returns server_version_num, such as 170010.
func (c *Catalog) ServerVersion() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version
}

// connect makes the connection, the first time and after it broke. What was cached stays valid: a server
// that comes back is the same one, and everything that can change is asked for again anyway.
func (c *Catalog) connect(ctx context.Context) error {
	conn, err := c.options.Connect(ctx)
	if err != nil {
		return fmt.Errorf("connect for the catalog: %w", err)
	}
	if c.version, err = serverVersion(ctx, conn); err != nil {
		closeQuietly(conn)
		return err
	}
	c.conn = conn
	return nil
}

// query runs sql, whose rows become a JSON array, and decodes them. It makes a broken connection anew,
// once: the catalog is read only, so a query can be asked again.
func query[T any](ctx context.Context, c *Catalog, sql string, args ...string) ([]T, error) {
	if c.conn == nil || c.conn.IsClosed() {
		if err := c.connect(ctx); err != nil {
			return nil, err
		}
		return queryJSON[T](ctx, c.conn, sql, args...)
	}
	rows, err := queryJSON[T](ctx, c.conn, sql, args...)
	if err == nil || !c.conn.IsClosed() || ctx.Err() != nil {
		return rows, err
	}
	c.options.Logger.Info("catalog connection lost, connecting again", "err", err)
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	return queryJSON[T](ctx, c.conn, sql, args...)
}

// queryJSON runs sql on conn and decodes each row from JSON, by the names of its columns. So one statement
// can bring a table with its columns and indexes, whatever their types, and no row is scanned by position.
// An OID must be cast to bigint, or JSON has it as text.
func queryJSON[T any](ctx context.Context, conn *pgconn.PgConn, sql string, args ...string) ([]T, error) {
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(arg)
	}
	sql = "SELECT pg_catalog.row_to_json(q) FROM (" + sql + ") AS q"
	result := conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, fault("read the catalog", result.Err)
	}
	rows := make([]T, len(result.Rows))
	for i, row := range result.Rows {
		if err := json.Unmarshal(row[0], &rows[i]); err != nil {
			return nil, fmt.Errorf("read the catalog: %w", err)
		}
	}
	return rows, nil
}

// serverVersion asks the connection for server_version_num. The parameter that the server reports by itself
// is text that packagers extend.
func serverVersion(ctx context.Context, conn *pgconn.PgConn) (int, error) {
	type answer struct {
		Version int `json:"version"`
	}
	rows, err := queryJSON[answer](ctx, conn,
		"SELECT pg_catalog.current_setting('server_version_num')::int AS version")
	if err != nil {
		return 0, err
	}
	return rows[0].Version, nil
}

// array writes an array parameter; the values are numbers or text. Every element is quoted, so that a name
// may hold commas, braces, or the word NULL.
func array[T any](values []T) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, value := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		text := fmt.Sprint(value)
		text = strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `"`, `\"`)
		b.WriteString(`"` + text + `"`)
	}
	b.WriteByte('}')
	return b.String()
}

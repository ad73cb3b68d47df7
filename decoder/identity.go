package decoder

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// SetIdentity sets a table's replica identity: default, full, nothing, or "index NAME". It changes nothing,
// and returns no SQL, when the table has that identity. The role must own the table. Rows that are written
// before keep the identity that they were written under.
func SetIdentity(ctx context.Context, conn *pgconn.PgConn, table TableName, identity string,
) (string, error) {
	word, index, _ := strings.Cut(identity, " ")
	kind, clause := strings.ToLower(word), strings.ToUpper(word)
	switch {
	case kind == "index" && strings.TrimSpace(index) != "":
		index = strings.TrimSpace(index)
		clause = "USING INDEX " + quoteIdentifier(index)
	case kind == "default" || kind == "full" || kind == "nothing":
		index = ""
	default:
		return "", fmt.Errorf("replica identity %q of %s: want default, full, nothing or index NAME",
			identity, table)
	}
	doing := "set replica identity of " + table.String()
	rows, err := paramQuery(ctx, conn, `SELECT c.relreplident, coalesce((SELECT i.relname
			FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
			WHERE x.indrelid = c.oid AND x.indisreplident), '')
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`, table.Namespace, table.Name)
	if err != nil {
		return "", fault(doing, err)
	}
	if len(rows) == 0 {
		return "", fmt.Errorf("%s: there is no such table", doing)
	}
	if rows[0][0] == kind[:1] && (kind != "index" || rows[0][1] == index) {
		return "", nil
	}
	sql := fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY %s", table.quoted(), clause)
	if _, err := simpleQuery(ctx, conn, sql); err != nil {
		return "", fmt.Errorf("%w: as the table's owner run: %s", fault(doing, err), sql)
	}
	return sql, nil
}

package decoder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// TableName names a table as Postgres stores it: unquoted, case kept.
type TableName struct{ Namespace, Name string }

// String returns schema.table, unquoted.
func (t TableName) String() string { return t.Namespace + "." + t.Name }

// quoted returns the name for SQL.
func (t TableName) quoted() string {
	return quoteIdentifier(t.Namespace) + "." + quoteIdentifier(t.Name)
}

// Operations are the kinds of change that a publication publishes.
type Operations struct{ Insert, Update, Delete, Truncate bool }

// AllOperations is what CREATE PUBLICATION publishes by default.
var AllOperations = Operations{Insert: true, Update: true, Delete: true, Truncate: true}

// String returns the operations as the publish parameter has them.
func (o Operations) String() string {
	var words []string
	for _, op := range []struct {
		on   bool
		name string
	}{{o.Insert, "insert"}, {o.Update, "update"}, {o.Delete, "delete"}, {o.Truncate, "truncate"}} {
		if op.on {
			words = append(words, op.name)
		}
	}
	return strings.Join(words, ", ")
}

func (o Operations) or(p Operations) Operations {
	return Operations{o.Insert || p.Insert, o.Update || p.Update, o.Delete || p.Delete, o.Truncate || p.Truncate}
}

// Publication is a publication as the catalog has it.
type Publication struct {
	Name, Owner string
	// AllTables is FOR ALL TABLES.
	AllTables  bool
	Operations Operations
	// ViaRoot publishes a partition's changes under its root's name.
	ViaRoot bool
	// Tables are the published tables, by name: with ViaRoot the roots, else the leaves.
	Tables []PublishedTable
}

// PublishedTable is a table of a publication.
type PublishedTable struct {
	TableName
	// Columns are the published columns by number; nil before Postgres 15, which has no column lists.
	Columns []string
	// RowFilter is the WHERE of the publication, "" for none.
	RowFilter string
}

// Table finds a published table.
func (p *Publication) Table(name TableName) (PublishedTable, bool) {
	i := slices.IndexFunc(p.Tables, func(t PublishedTable) bool { return t.TableName == name })
	if i < 0 {
		return PublishedTable{}, false
	}
	return p.Tables[i], true
}

// InspectPublication looks a publication up on an ordinary connection; nil without an error means that
// there is none.
func InspectPublication(ctx context.Context, conn *pgconn.PgConn, name string) (*Publication, error) {
	doing := "read publication " + name
	rows, err := paramQuery(ctx, conn, `SELECT pg_catalog.pg_get_userbyid(pubowner), puballtables,
		pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot
		FROM pg_catalog.pg_publication WHERE pubname = $1`, name)
	if err != nil {
		return nil, fault(doing, err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	row := rows[0]
	p := &Publication{
		Name: name, Owner: row[0], AllTables: row[1] == "t", ViaRoot: row[6] == "t",
		Operations: Operations{row[2] == "t", row[3] == "t", row[4] == "t", row[5] == "t"},
	}
	// One row for each column, so that no array has to be parsed.
	query := `SELECT schemaname, tablename, '', '' FROM pg_catalog.pg_publication_tables
		WHERE pubname = $1 ORDER BY 1, 2`
	lists := ServerVersion(conn) >= 150000
	if lists {
		query = `SELECT schemaname, tablename, column_name, coalesce(rowfilter, '')
			FROM pg_catalog.pg_publication_tables, pg_catalog.unnest(attnames) WITH ORDINALITY AS c (column_name, n)
			WHERE pubname = $1 ORDER BY schemaname, tablename, n`
	}
	if rows, err = paramQuery(ctx, conn, query, name); err != nil {
		return nil, fault(doing, err)
	}
	for _, row := range rows {
		table := TableName{row[0], row[1]}
		last := len(p.Tables) - 1
		if last < 0 || p.Tables[last].TableName != table {
			p.Tables = append(p.Tables, PublishedTable{TableName: table, RowFilter: row[3]})
			last++
		}
		if lists {
			p.Tables[last].Columns = append(p.Tables[last].Columns, row[2])
		}
	}
	return p, nil
}

// Scope is which tables a publication that is made publishes.
type Scope uint8

// The scopes.
const (
	NamedTables Scope = iota
	// AllTables is FOR ALL TABLES, which only a superuser may make. Debezium makes such a one by default;
	// updates and deletes of a table without a replica identity then fail in the application.
	AllTables
	// NoTables publishes logical messages only.
	NoTables
)

// PublicationOptions say what a publication must publish.
type PublicationOptions struct {
	Name string
	// Scope is for a publication that is made; Tables must be published in any case.
	Scope  Scope
	Tables []TableName
	// Operations that must be published; none means AllOperations.
	Operations Operations
	// ViaRoot is for a publication that is made; one that exists keeps its own.
	ViaRoot bool
	// Alter allows an existing publication to be extended by missing tables and operations. What it
	// publishes is never reduced.
	Alter bool
}

func (o PublicationOptions) withDefaults() PublicationOptions {
	if o.Operations == (Operations{}) {
		o.Operations = AllOperations
	}
	return o
}

// createSQL is the statement that makes the publication. ONLY keeps inheritance children out: they are
// named by themselves or not captured.
func (o PublicationOptions) createSQL() string {
	tables := "" // NoTables
	switch o.Scope {
	case NamedTables:
		tables = " FOR TABLE " + tableList(o.Tables)
	case AllTables:
		tables = " FOR ALL TABLES"
	}
	return fmt.Sprintf("CREATE PUBLICATION %s%s WITH (publish = %s, publish_via_partition_root = %t)",
		quoteIdentifier(o.Name), tables, quoteLiteral(o.Operations.String()), o.ViaRoot)
}

func (o PublicationOptions) addSQL(tables []TableName) string {
	return fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", quoteIdentifier(o.Name), tableList(tables))
}

func (o PublicationOptions) publishSQL(operations Operations) string {
	return fmt.Sprintf("ALTER PUBLICATION %s SET (publish = %s)", quoteIdentifier(o.Name),
		quoteLiteral(operations.String()))
}

func tableList(tables []TableName) string {
	quoted := make([]string, len(tables))
	for i, t := range tables {
		quoted[i] = "ONLY " + t.quoted()
	}
	return strings.Join(quoted, ", ")
}

// missing returns the wanted tables that p does not publish.
func (o PublicationOptions) missing(p *Publication) []TableName {
	var missing []TableName
	for _, t := range o.Tables {
		if _, found := p.Table(t); !found {
			missing = append(missing, t)
		}
	}
	return missing
}

// EnsurePublication makes the publication when it does not exist and, with Alter, adds what an existing one
// lacks. It must be called before the slot is made, since changes are decoded with the publications of
// their own time. A table whose updates and deletes Postgres would then refuse, for want of a replica
// identity, is a *FindingsError and nothing is changed. It returns the SQL that it ran.
func EnsurePublication(ctx context.Context, conn *pgconn.PgConn, o PublicationOptions) ([]string, error) {
	o = o.withDefaults()
	if o.Name == "" || o.Scope == NamedTables && len(o.Tables) == 0 {
		return nil, fmt.Errorf("create publication %q: it needs a name and at least one table", o.Name)
	}
	p, err := InspectPublication(ctx, conn, o.Name)
	if err != nil {
		return nil, err
	}
	var statements []string
	added, published := o.Tables, o.Operations
	switch {
	case p == nil:
		statements = []string{o.createSQL()}
	case !o.Alter:
		return nil, nil
	default:
		added, published = o.missing(p), p.Operations.or(o.Operations)
		if len(added) > 0 {
			statements = append(statements, o.addSQL(added))
		}
		if published != p.Operations {
			statements, added = append(statements, o.publishSQL(published)), o.Tables
		}
	}
	if len(statements) == 0 {
		return nil, nil
	}
	if o.Scope == NamedTables && (published.Update || published.Delete) {
		findings, err := identityFindings(ctx, conn, added)
		if err != nil {
			return nil, err
		}
		if blocking := blockingOf(findings); len(blocking) > 0 {
			return nil, &FindingsError{Doing: "extend publication " + o.Name, Findings: blocking}
		}
	}
	if _, err := simpleQuery(ctx, conn, strings.Join(statements, "; ")); err != nil {
		err = fault("change publication "+o.Name, err)
		var refused *ServerError
		if errors.As(err, &refused) && raced(refused) {
			refused.transient = true
			return nil, err
		}
		return nil, fmt.Errorf("%w: as the tables' owner run: %s", err, strings.Join(statements, "; "))
	}
	return statements, nil
}

// raced says that another session changed the same publication at the same time, as a second instance does
// that starts with the first: the next attempt finds what that one made.
func raced(refused *ServerError) bool {
	return refused.Code == codeDuplicateObject || refused.Code == codeUniqueViolation ||
		refused.Code == codeInternal && strings.Contains(refused.Message, "concurrently updated")
}

package decoder

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// The codes of findings on publications and replica identities.
const (
	FindingPublicationMissing = "publication-missing"
	FindingTableMissing       = "publication-table-missing"
	FindingOperationMissing   = "publication-operation-missing"
	FindingColumnList         = "publication-column-list"
	FindingRowFilter          = "publication-row-filter"
	FindingViaRoot            = "publication-via-root"
	FindingNoIdentity         = "identity-missing"
	FindingIdentityNotKey     = "identity-not-key"
)

// Finding is something that a person should know before a pipeline starts, with the SQL that mends it.
type Finding struct {
	// Code is one of the Finding constants. Blocking findings lose changes or make the application's writes
	// fail.
	Code     string
	Blocking bool
	Table    TableName // zero when no table is meant
	Text     string
	Fix      string // SQL, "" when there is no one answer
}

// String is the finding in one line.
func (f Finding) String() string {
	text := f.Text
	if f.Fix != "" {
		text += ": " + f.Fix
	}
	return text
}

// FindingsError is findings that stop what was being done.
type FindingsError struct {
	Doing    string
	Findings []Finding
}

func (e *FindingsError) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = f.String()
	}
	return e.Doing + ": " + strings.Join(lines, "; ")
}

func blockingOf(findings []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return !f.Blocking })
}

// VerifyPublication compares a publication, and the replica identities of the tables, with what is wanted.
// It changes nothing. The findings come in the order of the wanted tables; none means that all is well.
func VerifyPublication(ctx context.Context, conn *pgconn.PgConn, o PublicationOptions) ([]Finding, error) {
	o = o.withDefaults()
	p, err := InspectPublication(ctx, conn, o.Name)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	published := o.Operations
	if p == nil {
		findings = []Finding{{
			Code: FindingPublicationMissing, Blocking: true, Fix: o.createSQL(),
			Text: fmt.Sprintf("publication %s does not exist; it must be made before the slot", o.Name),
		}}
	} else {
		findings, published = o.compare(p), p.Operations
	}
	narrowed, err := narrowFindings(ctx, conn, o, p)
	if err != nil {
		return nil, err
	}
	findings = append(findings, narrowed...)
	if !published.Update && !published.Delete {
		return findings, nil
	}
	identities, err := identityFindings(ctx, conn, o.Tables)
	if err != nil {
		return nil, err
	}
	return append(findings, identities...), nil
}

// compare returns what p lacks of the wanted tables and operations.
func (o PublicationOptions) compare(p *Publication) []Finding {
	var findings []Finding
	for _, t := range o.missing(p) {
		findings = append(findings, Finding{
			Code: FindingTableMissing, Blocking: true, Table: t,
			Text: fmt.Sprintf("publication %s does not publish table %s: its changes would not come", p.Name, t),
			Fix:  o.addSQL([]TableName{t}),
		})
	}
	if all := p.Operations.or(o.Operations); all != p.Operations {
		findings = append(findings, Finding{
			Code: FindingOperationMissing, Blocking: true,
			Text: fmt.Sprintf("publication %s publishes %s only: other changes would not come", p.Name, p.Operations),
			Fix:  o.publishSQL(all),
		})
	}
	if p.ViaRoot != o.ViaRoot {
		findings = append(findings, Finding{
			Code: FindingViaRoot,
			Text: fmt.Sprintf("publication %s has publish_via_partition_root %t, not %t: it decides under which name "+
				"the changes of partitions come", p.Name, p.ViaRoot, o.ViaRoot),
			Fix: fmt.Sprintf("ALTER PUBLICATION %s SET (publish_via_partition_root = %t)", quoteIdentifier(o.Name),
				o.ViaRoot),
		})
	}
	return findings
}

// narrowFindings names the tables of which a row filter leaves out rows, or a column list columns. Generated
// columns are left out by themselves.
func narrowFindings(
	ctx context.Context, conn *pgconn.PgConn, o PublicationOptions, p *Publication,
) ([]Finding, error) {
	var findings []Finding
	if p == nil {
		return nil, nil
	}
	for _, t := range o.Tables {
		published, found := p.Table(t)
		if !found || published.Columns == nil {
			continue
		}
		rows, err := paramQuery(ctx, conn, `SELECT a.attname FROM pg_catalog.pg_attribute a
			JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
			ORDER BY a.attnum`, t.Namespace, t.Name)
		if err != nil {
			return nil, fault("read the columns of "+t.String(), err)
		}
		var absent []string
		for _, row := range rows {
			if !slices.Contains(published.Columns, row[0]) {
				absent = append(absent, row[0])
			}
		}
		list := ""
		if len(absent) > 0 {
			quoted := make([]string, len(published.Columns))
			for i, name := range published.Columns {
				quoted[i] = quoteIdentifier(name)
			}
			list = " (" + strings.Join(quoted, ", ") + ")"
		}
		filter := ""
		if published.RowFilter != "" {
			filter = " WHERE (" + published.RowFilter + ")"
			findings = append(findings, Finding{
				Code: FindingRowFilter, Table: t,
				Text: fmt.Sprintf("publication %s publishes only the rows of %s for which %s holds", p.Name, t,
					published.RowFilter),
				Fix: o.anewSQL(t, list),
			})
		}
		if list != "" {
			findings = append(findings, Finding{
				Code: FindingColumnList, Table: t,
				Text: fmt.Sprintf("publication %s leaves columns %s of %s out", p.Name, strings.Join(absent, ", "), t),
				Fix:  o.anewSQL(t, filter),
			})
		}
	}
	return findings, nil
}

// anewSQL publishes one table otherwise, and the others as they are. It is one transaction, so that no change
// of the table falls between.
func (o PublicationOptions) anewSQL(t TableName, what string) string {
	return fmt.Sprintf("BEGIN; ALTER PUBLICATION %[1]s DROP TABLE ONLY %[2]s; ALTER PUBLICATION %[1]s "+
		"ADD TABLE ONLY %[2]s%[3]s; COMMIT", quoteIdentifier(o.Name), t.quoted(), what)
}

// identityQuery returns, for each of the tables in $1 and the leaves of its partition tree, what an old tuple
// will hold: whether the primary key exists, and the identity index, which must be there and need not be the
// primary key. It is one query for all: with one for each table, ten thousand take minutes.
const identityQuery = `WITH wanted AS (
		SELECT c.oid, w.nr FROM pg_catalog.json_array_elements($1::json) WITH ORDINALITY w (name, nr)
			JOIN pg_catalog.pg_namespace n ON n.nspname = w.name ->> 0
			JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name ->> 1),
	leaves AS (
		SELECT oid, nr, true AS named FROM wanted
		UNION ALL SELECT t.relid, nr, false
			FROM wanted, pg_catalog.pg_partition_tree(wanted.oid::pg_catalog.regclass) t
			WHERE t.isleaf AND t.relid <> wanted.oid)
	SELECT n.nspname, c.relname, c.relreplident,
		EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
			AND i.indisvalid AND i.indimmediate),
		coalesce((SELECT x.relname::text || CASE WHEN i.indisprimary THEN ' primary' ELSE ' other' END
			FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
			WHERE i.indrelid = c.oid AND i.indisreplident LIMIT 1), '')
	FROM leaves JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind = 'r' OR named
	ORDER BY nr, 1, 2`

// identityFindings looks for tables whose updates and deletes Postgres refuses once they are published, and
// those whose key's change an update does not show.
func identityFindings(ctx context.Context, conn *pgconn.PgConn, tables []TableName) ([]Finding, error) {
	names := make([][2]string, len(tables))
	for i, t := range tables {
		names[i] = [2]string{t.Namespace, t.Name}
	}
	wanted, err := json.Marshal(names)
	if err != nil {
		return nil, fmt.Errorf("name %d tables: %w", len(tables), err)
	}
	rows, err := paramQuery(ctx, conn, identityQuery, string(wanted))
	if err != nil {
		return nil, fault(fmt.Sprintf("read the replica identities of %d tables", len(tables)), err)
	}
	var findings []Finding
	for _, row := range rows {
		if f, found := identityFinding(TableName{row[0], row[1]}, row[2], row[3] == "t", row[4]); found {
			findings = append(findings, f)
		}
	}
	return findings, nil
}

// identityFinding judges one table. index is the identity index's name and "primary" or "other", "" for none.
func identityFinding(t TableName, identity string, hasPrimary bool, index string) (Finding, bool) {
	absent := Finding{
		Code: FindingNoIdentity, Blocking: true, Table: t,
		Fix: fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", t.quoted()),
	}
	const refused = "Postgres refuses its updates and deletes once they are published"
	switch {
	case identity == "f":
		return Finding{}, false
	case identity == "n":
		absent.Text = fmt.Sprintf("table %s has replica identity nothing: %s", t, refused)
		return absent, true
	case identity == "d" && !hasPrimary:
		absent.Text = fmt.Sprintf("table %s has no primary key and no other replica identity: %s", t, refused)
		return absent, true
	case identity == "i" && index == "":
		absent.Text = fmt.Sprintf("table %s has lost the index of its replica identity: %s", t, refused)
		return absent, true
	case identity == "i" && hasPrimary && strings.HasSuffix(index, " other"):
		return Finding{
			Code: FindingIdentityNotKey, Table: t,
			Text: fmt.Sprintf("table %s has index %s as its replica identity, not its primary key: deletes carry "+
				"that index's columns alone, and an update of the primary key does not show its old value", t,
				strings.TrimSuffix(index, " other")),
			Fix: fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY DEFAULT", t.quoted()),
		}, true
	}
	return Finding{}, false
}

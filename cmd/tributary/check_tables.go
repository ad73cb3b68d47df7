package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
	"github.com/tributary-cdc/tributary/snapshot"
)

// capture is a captured table with what it becomes in Kafka.
type capture struct {
	table      snapshot.Table
	topic      string
	key, value string // the schemas that run would register, empty for JSON and for no key
}

// checkTables asks about the publication and the tables, and returns what the tables become.
func checkTables(ctx context.Context, c Config, conn *pgconn.PgConn, s serverFacts, f *findings) []capture {
	publication, err := decoder.InspectPublication(ctx, conn, c.Source.Publication)
	if err != nil {
		f.fault("publication", err, "")
		return nil
	}
	viaRoot := c.Source.PublishViaRoot
	if publication != nil {
		viaRoot = publication.ViaRoot
	}
	catalog, err := snapshot.OpenCatalog(ctx, catalogOptions(c, viaRoot))
	if err != nil {
		f.fault("tables", err, "")
		return nil
	}
	defer func() { _ = catalog.Close(context.WithoutCancel(ctx)) }() // it only read
	selection, err := catalog.Tables(ctx, c.Source.Select())
	if err != nil {
		f.fault("tables", err, tablesFix(ctx, c, conn))
		return nil
	}
	if len(selection.Tables) == 0 {
		f.add("E135", "tables", "no table matches source.tables", tablesFix(ctx, c, conn))
		return nil
	}
	for _, skipped := range selection.Skipped {
		f.add("I148", skipped.Name, "not captured: "+skipped.Reason, textOr(skipped.Fix,
			"source: {exclude_tables: ['"+skipped.Name+"']}   # beside what is there: says that it is known"))
	}
	names := make([]decoder.TableName, len(selection.Tables))
	for i, t := range selection.Tables {
		names[i] = decoder.TableName{Namespace: t.Namespace, Name: t.Name}
	}
	checkPublication(ctx, c, conn, publication, selection.Tables, names, f)
	checkGenerated(ctx, c, conn, selection.Tables, publication, f)
	return checkEach(ctx, c, catalog, selection.Tables, quotedName(s.role), f)
}

func checkPublication(
	ctx context.Context, c Config, conn *pgconn.PgConn, existing *decoder.Publication,
	captured []snapshot.Table, tables []decoder.TableName, f *findings,
) {
	found, err := decoder.VerifyPublication(ctx, conn, decoder.PublicationOptions{
		Name: c.Source.Publication, Tables: tables, ViaRoot: c.Source.PublishViaRoot,
		Operations: decoder.Operations{
			Insert: !c.Skips('c'), Update: !c.Skips('u'), Delete: !c.Skips('d'),
			Truncate: !c.Skips('t'),
		},
	})
	if err != nil {
		f.fault("publication", err, "")
		return
	}
	blocked := false
	for _, finding := range found {
		missing := finding.Code == decoder.FindingPublicationMissing
		code := finding.ErrorCode()
		if missing && c.Source.CreatePublication != "false" {
			code, finding.Text = "I131", c.Source.Publication+" does not exist yet: run creates it"
			lacks := mayNotPublish(ctx, c, conn, tables)
			if !makesPublication(c.Source, publicationOptions(c, captured)) {
				lacks = "source.tables has a pattern, and create_publication auto makes one for named tables only"
			}
			if lacks != "" {
				code, finding.Text = "E131", c.Source.Publication+" does not exist, and run does not create it: "+lacks
			}
		}
		if finding.Fix != "" {
			finding.Fix = strings.TrimSuffix(finding.Fix, ";") + ";"
			if code == "W142" || code == "W143" {
				finding.Fix += "   -- where all of it is wanted"
			}
		}
		if finding.Blocking && c.Compatibility == "debezium" && tolerated(finding) {
			f.at(levelWarn, code, "publication", finding.Text, finding.Fix)
			continue
		}
		blocked = blocked || missing || finding.Blocking
		f.add(code, "publication", finding.Text, finding.Fix)
	}
	if !blocked && existing != nil {
		f.ok("publication", fmt.Sprintf("%s publishes %s of %s", c.Source.Publication, existing.Operations,
			count(len(tables), "table")))
	}
}

// mayNotPublish says what the role lacks to make the publication, empty for nothing. A question that is
// refused is left to run.
func mayNotPublish(ctx context.Context, c Config, conn *pgconn.PgConn, tables []decoder.TableName) string {
	ask := func(sql string, values ...string) bool {
		parameters := make([][]byte, len(values))
		for i, value := range values {
			parameters[i] = []byte(value)
		}
		results := conn.ExecParams(ctx, sql, parameters, nil, nil, nil).Read()
		return results.Err != nil || len(results.Rows) != 1 || string(results.Rows[0][0]) != "f"
	}
	switch {
	case !ask("SELECT has_database_privilege(current_database(), 'CREATE')"):
		return "the role may not CREATE in the database"
	case c.Source.CreatePublication == "all_tables":
		if !ask("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") {
			return "FOR ALL TABLES takes a superuser"
		}
		return ""
	}
	for _, t := range tables {
		if !ask(`SELECT pg_has_role(current_user, c.relowner, 'USAGE') FROM pg_class c JOIN pg_namespace n
			ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`, t.Namespace, t.Name) {
			return "the role does not own " + t.String()
		}
	}
	return ""
}

// checkGenerated names the generated columns that neither stream nor snapshot have: the server computes
// them, and sends them from Postgres 18 on, where the publication has them. A question that is refused takes
// nothing from the rest.
func checkGenerated(ctx context.Context, c Config, conn *pgconn.PgConn, tables []snapshot.Table,
	publication *decoder.Publication, f *findings,
) {
	if c.Compatibility == "debezium" {
		return // as Debezium does
	}
	sends := decoder.ServerVersion(conn) >= 18_00_00 // before, some minors only list them
	for _, t := range tables {
		results := conn.ExecParams(ctx, `SELECT attname FROM pg_attribute WHERE attrelid = $1::bigint::oid
			AND attgenerated <> '' AND NOT attisdropped ORDER BY attnum`,
			[][]byte{strconv.AppendUint(nil, uint64(t.OID), 10)}, nil, nil, nil).Read()
		var published, left []string
		if publication != nil && sends {
			one, _ := publication.Table(decoder.TableName{Namespace: t.Namespace, Name: t.Name})
			published = one.Columns
		}
		for _, row := range results.Rows {
			if name := string(row[0]); !isOneOf(name, published) {
				left = append(left, name)
			}
		}
		if len(left) > 0 {
			f.add("I160", t.String(), "left out, for the server computes them: "+strings.Join(left, ", "),
				fmt.Sprintf("ALTER PUBLICATION %s SET (publish_generated_columns = stored);   -- PostgreSQL 18",
					quotedName(c.Source.Publication)))
		}
	}
}

// checkEach asks what is to be said of single tables.
func checkEach(ctx context.Context, c Config, catalog *snapshot.Catalog, tables []snapshot.Table, role string,
	f *findings,
) []capture {
	topicOf, schemaTopic := topicNames(c)
	rows, err := schemaOptions(c)
	if err != nil {
		f.fault("schemas", err, "")
		return nil
	}
	owner := map[string]string{}
	var all []capture
	for _, t := range tables {
		topic := topicOf(t.Namespace, t.Name)
		if other, taken := owner[topic]; taken && c.Compatibility == "debezium" {
			f.at(levelWarn, "E213", t.String(), fmt.Sprintf("goes to topic %s, and so does %s, as in Debezium", topic,
				other), "")
		} else if taken && !mergedByRoute(c, topic) {
			f.add("E213", t.String(), fmt.Sprintf("goes to topic %s, and so does %s", topic, other), "")
		}
		owner[topic] = t.String()
		checkTable(c, t, role, f)
		one := capture{table: t, topic: topic}
		relation, err := streamedRelation(ctx, catalog, t.OID)
		if err != nil {
			f.fault(t.String(), err, "")
			continue
		}
		codec, err := schema.Compile(relation, schemaTopic(t.Namespace, t.Name), rows)
		if err != nil {
			f.fault(t.String(), err, "")
			continue
		}
		one.key, one.value = codec.KeySchema(), codec.ValueSchema()
		if columns := codec.Omitted(); len(columns) > 0 {
			f.add("I150", t.String(), "left out, for their types have no form: "+strings.Join(columns, ", "), "")
		}
		if large := largeColumns(relation); len(large) > 0 && t.Identity != schema.IdentityFull {
			f.add("I149", t.String(), fmt.Sprintf("replica identity %s: deletes carry only the key, and large values "+
				"of %s that an update leaves alone are not sent", identityName(t.Identity), strings.Join(large,
				", ")), "ALTER TABLE "+sqlTable(t)+" REPLICA IDENTITY FULL;   -- it costs WAL")
		}
		all = append(all, one)
	}
	checkHolds(c, tables, f)
	f.ok("tables", captured(tables))
	if !c.Skips('t') && c.Topic.Partitions > 1 {
		f.add("W147", "truncate", fmt.Sprintf("a truncate's record has no key, so among %d partitions it has no "+
			"order against the rows", c.Topic.Partitions), "")
	}
	return all
}

// checkTable asks what the catalog alone says of a table.
func checkTable(c Config, t snapshot.Table, role string, f *findings) {
	name := sqlTable(t)
	if !t.Selectable && c.Snapshot.Mode != "no_data" {
		f.add("E137", t.String(), "the role may not read it, as the snapshot must",
			fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %s;",
				quotedName(t.Namespace), role, name, role))
	}
	if t.RLS {
		f.add("E136", t.String(), "row security would hide rows from the snapshot",
			"ALTER ROLE "+role+" BYPASSRLS;   -- as a superuser")
	}
	if !t.HasKey() {
		f.add("W145", t.String(), "has no key: its records have none, and a crash in its snapshot reads it again",
			fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (COLUMN);", name))
	}
	if t.EstimatedRows() < 0 {
		f.add("I159", t.String(), "how many rows it has is unknown", "ANALYZE "+name+";")
	}
}

// captured counts tables and their rows, as far as the server has estimated them.
func captured(tables []snapshot.Table) string {
	rows, unknown := 0.0, 0
	for _, t := range tables {
		if n := t.EstimatedRows(); n < 0 {
			unknown++
		} else {
			rows += float64(n)
		}
	}
	text := fmt.Sprintf("%s captured, about %s rows", count(len(tables), "table"), thousands(int64(rows)))
	if unknown > 0 {
		text += fmt.Sprintf(" and what %s never analysed hold", count(unknown, "table"))
	}
	return text
}

// largeColumns names the columns whose values may be stored out of line, as far as the type tells.
func largeColumns(r *schema.Relation) []string {
	var names []string
	for _, column := range r.Columns {
		if isOneOf(column.Type.Name, []string{"text", "varchar", "bytea", "json", "jsonb", "xml", "hstore"}) &&
			!column.InIdentity {
			names = append(names, column.Name)
		}
	}
	return names
}

func identityName(i schema.Identity) string {
	switch i {
	case schema.IdentityNothing:
		return "NOTHING"
	case schema.IdentityIndex:
		return "INDEX"
	}
	return "DEFAULT"
}

// sqlTable is a table's name for SQL that a person pastes.
func sqlTable(t snapshot.Table) string {
	return sqlName(decoder.TableName{Namespace: t.Namespace, Name: t.Name})
}

// holdRate is how many rows a second are taken to be read when a hold's length is estimated.
const holdRate = 200_000

// checkHolds names the tables that a later snapshot reads in one hold of the stream, since no key orders
// their rows, where that takes longer than a hold may.
func checkHolds(c Config, tables []snapshot.Table, f *findings) {
	for _, t := range tables {
		if t.Resumable() {
			continue
		}
		rows := t.EstimatedRows()
		held := time.Duration(rows / holdRate * float64(time.Second)).Round(time.Second)
		switch {
		case rows < 0:
			f.add("W146", t.String(), "has no unique key to read by: a later snapshot holds the stream until it has "+
				"read the whole table; how long is unknown", "ANALYZE "+sqlTable(t)+";")
		case held > c.Snapshot.Pause:
			f.add("W146", t.String(), fmt.Sprintf("has no unique key to read by: a later snapshot holds the stream "+
				"for about %s, until it has read the whole table", held),
				"ALTER TABLE "+sqlTable(t)+" ADD PRIMARY KEY (COLUMN);")
		}
	}
}

// mergedByRoute says whether a route with a constant name sends tables to one topic on purpose.
func mergedByRoute(c Config, topic string) bool {
	for _, r := range c.Topic.Routes {
		if r.Schemas || r.Replace == topic {
			return true
		}
	}
	return false
}

func sqlName(t decoder.TableName) string { return quotedName(t.Namespace) + "." + quotedName(t.Name) }

// quotedName quotes a name for SQL that a person pastes.
func quotedName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

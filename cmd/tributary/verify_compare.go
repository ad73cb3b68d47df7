package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/cmd/tributary/audit"
	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
	"github.com/tributary-cdc/tributary/schema"
	"github.com/tributary-cdc/tributary/snapshot"
)

// verifyReport is the JSON of verify.
type verifyReport struct {
	Clean bool `json:"clean"`
	// Snapshot is the cut, Point the LSN up to which the pipeline had to publish for it.
	Snapshot string      `json:"snapshot"`
	Point    decoder.LSN `json:"lsn"`
	// Repeats says that records may come again: in at-least-once, and after a rewind.
	Repeats    bool          `json:"repeats"`
	Seconds    float64       `json:"seconds"`
	SpillBytes int64         `json:"spill_bytes"`
	Tables     []audit.Table `json:"tables"`
}

// verifier is what a verification has.
type verifier struct {
	config Config
	o      verifyOptions
	kafka  []kgo.Opt
	rows   schema.Options
	reader *audit.Reader
	// tell says how far the work has come.
	tell func(format string, args ...any)
}

func newVerifier(ctx context.Context, c Config, o verifyOptions) (*verifier, error) {
	v := &verifier{config: c, o: o}
	var err error
	if v.kafka, err = kafkaOptions(ctx, c); err != nil {
		return nil, err
	}
	if v.rows, err = schemaOptions(c); err != nil {
		return nil, err
	}
	values, err := newValueReader(c)
	if err != nil {
		return nil, err
	}
	v.reader = audit.NewReader(values.schemaText)
	return v, nil
}

// cut is the snapshot in which the tables are read.
type cut struct {
	conn  *pgconn.PgConn
	text  string
	micro int64
	point decoder.LSN
}

// compare compares all tables: first these are read, in one snapshot that is held no longer than that, then
// the topics, once the pipeline has published what the snapshot sees.
func (v *verifier) compare(ctx context.Context) (*verifyReport, error) {
	catalog, tables, err := v.tables(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = catalog.Close(context.WithoutCancel(ctx)) }() // nothing depends on it any more
	spill, err := audit.NewSpill(v.o.spill)
	if err != nil {
		return nil, err
	}
	defer func() { _ = spill.Close() }() // the file has no name: it goes with the process at the latest
	at, err := v.cut(ctx, tables)
	if err != nil {
		return nil, err
	}
	defer closeConn(at.conn)
	report := &verifyReport{Clean: true, Snapshot: at.text, Point: at.point}
	var folds []*audit.Fold
	for _, t := range tables {
		fold, err := v.fold(ctx, catalog, t, at, spill)
		if err != nil {
			return nil, err
		}
		folds = append(folds, fold)
	}
	closeConn(at.conn) // the source's vacuum need not wait for the rest
	stored, err := v.published(ctx, at.point)
	if err != nil {
		return nil, err
	}
	report.Repeats = stored.Epoch > 0 || v.config.Delivery == "at-least-once"
	client, err := kgo.NewClient(v.kafka...)
	if err != nil {
		return nil, fmt.Errorf("open a Kafka client: %w", err)
	}
	defer client.Close()
	for i, t := range tables {
		result, err := v.finish(ctx, kadm.NewClient(client), folds[i], t.String())
		if err != nil {
			return nil, err
		}
		folds[i] = nil // with its buffers
		report.Tables = append(report.Tables, result)
		report.Clean = report.Clean && result.Clean(report.Repeats)
	}
	report.SpillBytes = spill.Bytes()
	return report, nil
}

// tables finds the tables to compare.
func (v *verifier) tables(ctx context.Context) (*snapshot.Catalog, []snapshot.Table, error) {
	conn, err := decoder.Connect(ctx, sourceOptions(v.config))
	if err != nil {
		return nil, nil, err
	}
	defer closeConn(conn)
	viaRoot := v.config.Source.PublishViaRoot
	publication, err := decoder.InspectPublication(ctx, conn, v.config.Source.Publication)
	if err != nil {
		return nil, nil, err
	}
	if publication != nil {
		viaRoot = publication.ViaRoot
	}
	catalog, err := snapshot.OpenCatalog(ctx, catalogOptions(v.config, viaRoot))
	if err != nil {
		return nil, nil, err
	}
	selection, err := catalog.Tables(ctx, v.config.Source.Select())
	if err == nil {
		selection.Tables, err = v.chosen(selection.Tables)
	}
	if err != nil {
		return nil, nil, errors.Join(err, catalog.Close(context.WithoutCancel(ctx)))
	}
	return catalog, selection.Tables, nil
}

// chosen returns the tables that --table names, all without it.
func (v *verifier) chosen(all []snapshot.Table) ([]snapshot.Table, error) {
	if len(v.o.tables) == 0 {
		return all, nil
	}
	var tables []snapshot.Table
	taken := map[string]bool{}
	for _, text := range v.o.tables {
		pattern, err := parsePattern(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--table: %w", err)}
		}
		found := false
		for _, t := range all {
			if pattern.Match(t.String()) {
				found = true
				if !taken[t.String()] {
					taken[t.String()] = true
					tables = append(tables, t)
				}
			}
		}
		if !found {
			return nil, usageError{fmt.Errorf("--table %s matches none of the captured tables", text)}
		}
	}
	return tables, nil
}

// cut takes the snapshot. The tables are locked before it against what no snapshot protects from, such as a
// truncate: it would empty them for the snapshot too.
func (v *verifier) cut(ctx context.Context, tables []snapshot.Table) (*cut, error) {
	conn, err := decoder.Connect(ctx, sourceOptions(v.config))
	if err != nil {
		return nil, err
	}
	at := &cut{conn: conn}
	if err := at.open(ctx, tables); err != nil {
		closeConn(conn)
		return nil, err
	}
	return at, nil
}

// lockTimeout bounds the wait for a table that somebody alters: others would queue behind.
const lockTimeout = "SET LOCAL lock_timeout = '10s'"

func (c *cut) open(ctx context.Context, tables []snapshot.Table) error {
	if _, err := c.conn.Exec(ctx,
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "+lockTimeout).ReadAll(); err != nil {
		return fmt.Errorf("begin to read the tables: %w", err)
	}
	for _, t := range tables {
		for _, s := range sourcesOf(t) {
			if _, err := c.conn.Exec(ctx,
				"LOCK TABLE ONLY "+quotedTable(s)+" IN ACCESS SHARE MODE").ReadAll(); err != nil {
				return fmt.Errorf("lock table %s against being altered: %w", s, err)
			}
		}
	}
	// The snapshot is taken before the position is read: what it sees as committed was written before that.
	var answers []string
	for _, sql := range []string{
		"SELECT pg_catalog.pg_current_snapshot()::text",
		"SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint::text",
		"SELECT pg_catalog.pg_current_wal_insert_lsn()::text",
		"SELECT pg_catalog.current_setting('wal_block_size')",
	} {
		results, err := c.conn.Exec(ctx, sql).ReadAll()
		if err != nil {
			return fmt.Errorf("take the snapshot of the tables: %w", err)
		}
		answers = append(answers, string(results[0].Rows[0][0]))
	}
	c.text = answers[0]
	var errs [3]error
	c.micro, errs[0] = strconv.ParseInt(answers[1], 10, 64)
	c.point, errs[1] = decoder.ParseLSN(answers[2])
	block, err := strconv.ParseUint(answers[3], 10, 64)
	errs[2] = err
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("take the snapshot of the tables: %w", err)
	}
	c.point = endOfRecord(c.point, block)
	return nil
}

// endOfRecord returns where the last record ends when the next one will begin at lsn: behind a page's
// header no record ends, and nothing that follows the log gets there before the next record.
func endOfRecord(lsn decoder.LSN, block uint64) decoder.LSN {
	const shortHeader, longHeader = 24, 40
	if into := uint64(lsn) % block; into == shortHeader || into == longHeader {
		return lsn - decoder.LSN(into)
	}
	return lsn
}

// sourcesOf returns the relations that a table's rows lie in.
func sourcesOf(t snapshot.Table) []snapshot.Source {
	if t.Kind == 'p' {
		return t.Leaves
	}
	return []snapshot.Source{t.Source}
}

// quotedTable is a relation's name for SQL.
func quotedTable(s snapshot.Source) string {
	quote := func(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
	return quote(s.Namespace) + "." + quote(s.Name)
}

// fold reads a table's rows.
func (v *verifier) fold(ctx context.Context, catalog *snapshot.Catalog, t snapshot.Table, at *cut,
	spill *audit.Spill,
) (*audit.Fold, error) {
	relation, err := catalog.Relation(ctx, t.OID)
	if err != nil {
		return nil, err
	}
	topic, schemaTopic := topicNames(v.config)
	codec, err := schema.Compile(relation, schemaTopic(t.Namespace, t.Name), v.rows)
	if err != nil {
		return nil, err
	}
	seen, err := audit.ParseCut(at.text, at.micro)
	if err != nil {
		return nil, err
	}
	added, err := addedColumns(ctx, at.conn, t.OID)
	if err != nil {
		return nil, err
	}
	fold, err := audit.NewFold(audit.FoldOptions{
		Table: t.String(), Topic: topic(t.Namespace, t.Name), Codec: codec, Columns: len(relation.Columns),
		Debezium: v.rows.Debezium, Rows: t.EstimatedRows(), Cut: seen, Reader: v.reader, Spill: spill,
		Samples: v.o.samples, Added: added,
	})
	if err != nil {
		return nil, err
	}
	n := int64(0)
	for _, s := range sourcesOf(t) {
		if err := readRows(ctx, at.conn, s, relation, func(row schema.Row) error {
			n++
			if n%10_000 == 0 {
				v.tell("%s: %s rows of the table read", t, thousands(n))
			}
			return fold.Row(row)
		}); err != nil {
			return nil, err
		}
	}
	return fold, nil
}

// addedColumns returns the columns of a table that were added behind one that has been dropped. Of a dropped
// one the server keeps no name.
func addedColumns(ctx context.Context, conn *pgconn.PgConn, oid uint32) (map[string]audit.Added, error) {
	answer := conn.ExecParams(ctx, "SELECT a.attname, a.xmin::text, a.atthasdef OR a.atthasmissing OR "+
		"a.attidentity <> '' FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::oid AND NOT a.attisdropped AND "+
		"a.attnum > (SELECT min(d.attnum) FROM pg_catalog.pg_attribute d WHERE d.attrelid = a.attrelid AND "+
		"d.attisdropped)", [][]byte{strconv.AppendUint(nil, uint64(oid), 10)}, nil, nil, nil).Read()
	if answer.Err != nil {
		return nil, fmt.Errorf("read when columns were added: %w", answer.Err)
	}
	added := map[string]audit.Added{}
	for _, row := range answer.Rows {
		xid, err := strconv.ParseInt(string(row[1]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read when column %s was added: %w", row[0], err)
		}
		added[string(row[0])] = audit.Added{XID: xid, Filled: string(row[2]) == "t"}
	}
	return added, nil
}

// readRows gives each row of a relation to do, as text. Its memory is valid until do returns.
func readRows(ctx context.Context, conn *pgconn.PgConn, s snapshot.Source, r *schema.Relation,
	do func(schema.Row) error,
) error {
	columns := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		columns[i] = `"` + strings.ReplaceAll(c.Name, `"`, `""`) + `"`
	}
	sql := "SELECT " + strings.Join(columns, ", ") + " FROM ONLY " + quotedTable(s)
	if s.Filter != "" {
		sql += " WHERE " + s.Filter
	}
	rows := conn.ExecParams(ctx, sql, nil, nil, nil, nil)
	row := make(schema.Row, len(columns))
	for rows.NextRow() {
		for i, value := range rows.Values() {
			row[i] = schema.Datum{}
			if value != nil {
				row[i] = schema.Datum{Kind: schema.Text, Text: value}
			}
		}
		if err := do(row); err != nil {
			closeConn(conn) // the rest of the rows is not waited for
			return err
		}
	}
	if _, err := rows.Close(); err != nil {
		return fmt.Errorf("read table %s: %w", s, err)
	}
	return nil
}

// published waits until the pipeline has published up to a position, and returns what it has stored then.
func (v *verifier) published(ctx context.Context, point decoder.LSN) (*publisher.Stored, error) {
	c := v.config
	resume, since := decoder.LSN(0), time.Now()
	for {
		stored, err := publisher.Load(ctx, v.kafka, c.Kafka.PositionTopic, c.Pipeline, c.Source.Slot)
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition) || err == nil && stored == nil:
			return nil, fmt.Errorf("no position of pipeline %s is stored in topic %s: nothing has been published",
				c.Pipeline,
				c.Kafka.PositionTopic)
		case err != nil:
			return nil, err
		case stored.Resume >= point:
			return stored, finished(stored)
		case stored.Resume > resume:
			resume, since = stored.Resume, time.Now()
		case time.Since(since) > v.o.wait:
			return nil,
				fmt.Errorf("the tables stand at %s, and the pipeline has published up to %s and no further for %s: "+
					"is it running? (tributary status; --wait waits longer)", point, stored.Resume, v.o.wait)
		}
		v.tell("waiting for the pipeline, at %s of %s", stored.Resume, point)
		if err := wait(ctx, 500*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// finished refuses a pipeline whose first snapshot is not at its end: rows are missing by right.
func finished(stored *publisher.Stored) error {
	var progress struct {
		Done bool `json:"done"`
	}
	if stored.Snapshot != nil && json.Unmarshal(stored.Snapshot, &progress) == nil && progress.Done {
		return nil
	}
	return errors.New("the pipeline's snapshot is not finished: verify once it is")
}

// finish folds a table's topic and compares.
func (v *verifier) finish(ctx context.Context, admin *kadm.Client, fold *audit.Fold,
	table string,
) (audit.Table, error) {
	r, err := rangeOf(ctx, admin, fold.Topic())
	if err != nil {
		return audit.Table{}, err
	}
	n := int64(0)
	err = r.read(ctx, v.kafka, func(record *kgo.Record) error {
		n++
		if n%10_000 == 0 {
			v.tell("%s: %s records of the topic read", table, thousands(n))
		}
		if isReplayed(record) {
			fold.Replayed()
			return nil
		}
		return fold.Record(ctx, record.Partition, record.Key, record.Value)
	})
	if err != nil {
		return audit.Table{}, err
	}
	return fold.Result(func(done, of int) { v.tell("%s: comparing, %d of %d parts", table, done, of) })
}

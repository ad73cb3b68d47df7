package main

import (
	"context"
	"sort"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
	"github.com/tributary-cdc/tributary/schema"
	"github.com/tributary-cdc/tributary/snapshot"
)

// protocolName is what a position inside a transaction depends on besides the publications: how the stream
// numbers changes.
const protocolName = "pgoutput 1, messages"

// The files of this program turn a Config into the options of the packages here and in clients.go, nowhere
// else.

// ordinary opens a connection that is not for replication.
func (p *pipeline) ordinary(ctx context.Context) (*pgconn.PgConn, error) {
	return decoder.Connect(ctx, p.connect)
}

func (p *pipeline) identity() publisher.Identity {
	return publisher.Identity{SystemID: p.system.ID, Timeline: p.system.Timeline, Database: p.system.Database}
}

// streamOptions says what to stream; conn is the connection that made the slot, nil for a new one.
func (p *pipeline) streamOptions(conn *pgconn.PgConn) decoder.StreamOptions {
	return decoder.StreamOptions{
		Connect: p.connect, Conn: conn,
		Slot: p.Config.Source.Slot, Publications: []string{p.Config.Source.Publication},
		Confirmed: func() decoder.LSN {
			if pub := p.pub.Load(); pub != nil {
				return pub.Confirmed()
			}
			return 0
		},
		Decoder:     decoder.DecoderOptions{Describe: p.describe, KeepEmpty: p.Config.Transactions.Metadata},
		MaxRowBytes: int(p.Config.Source.MaxRowBytes),
		CatchUp:     catchUpOptions(p.Config.Source),
		Pool:        p.pool,
		Observe:     p.observe,
		Stop:        p.stopped.Done(),
		Ended:       p.ended,
		Logger:      p.Log,
		Failpoint:   p.failpoint,
	}
}

// catchUpOptions says when a slot is read through SQL.
func catchUpOptions(c SourceConfig) decoder.CatchUpOptions {
	return decoder.CatchUpOptions{Bytes: int64(c.CatchUpBytes), Reopen: int64(c.CatchUpReopen)}
}

// describe completes a table's shape, for the stream. A table that is not captured has no relation.
func (p *pipeline) describe(shape decoder.Shape) (*schema.Relation, error) {
	if !p.captures(decoder.TableName{Namespace: shape.Namespace, Name: shape.Name}) {
		return nil, nil
	}
	// Nobody answers the server meanwhile, so this must end before its patience does; a lock that keeps the
	// catalog from answering then costs a reconnect, not the session's silent death.
	patience := describeTimeout
	if timeout := p.stream.Load().Status().Timeout; timeout > 0 {
		patience = min(patience, timeout/2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := p.catalog.Describe(ctx, shape)
	if err == nil && r != nil {
		p.Board.chronicle.definition(time.Now().UTC(), r)
	}
	return r, err
}

// captures says whether a streamed table's changes are published. Tables are those found at the start; one
// that comes to match later is reported, but for Debezium, which captures it then.
func (p *pipeline) captures(name decoder.TableName) bool {
	switch {
	case p.captured[name]:
		return true
	case p.skipped[name.String()]:
		return false // the server describes partitions also where their rows come under the root
	case !p.Config.Source.Captures(name.Namespace, name.Name):
		return false
	case !p.debezium():
		p.Log.Warn("table matches source.tables but was not there at the start: restart to capture it", "table",
			name.String())
		return false
	}
	return true
}

// snapshotOptions says what to read at the consistent point of a slot.
func (p *pipeline) snapshotOptions(at *decoder.CreatedSlot, j job) snapshot.Options {
	lsn := at.Restart
	switch {
	case j.Incremental:
		lsn = 0
	case p.debezium():
		lsn = at.Point
	}
	var progress []byte // a nil slice, which begins the snapshot
	if len(j.Progress) > 0 {
		progress = j.Progress
	}
	return snapshot.Options{
		Connect: p.ordinary, Keeper: p.keeper, Point: at.Point, LSN: lsn, Tables: j.of(p.tables),
		Relation: p.catalog.Relation, MaxRowBytes: int(p.Config.Source.MaxRowBytes), Pool: p.pool,
		Workers: p.Config.Snapshot.Workers, ResumeRows: p.Config.Snapshot.ResumeRows,
		Debezium: p.Config.Compatibility == "debezium", Progress: progress,
		Where: j.where, Incremental: j.Incremental, Budget: p.Config.Snapshot.Pause,
		Wrap:    func(progress []byte) ([]byte, error) { return p.jobs.advance(j.ID, progress) },
		Report:  func(r snapshot.Report) { p.now.snapshot(j.ID, at.Point, r) },
		Metrics: p.Metrics.snapshot, Logger: p.Log,
	}
}

// publisherOptions says what to publish and where to.
func (p *pipeline) publisherOptions(ctx context.Context) (publisher.Options, error) {
	c := p.Config
	client, err := kafkaOptions(ctx, c)
	if err != nil {
		return publisher.Options{}, err
	}
	rows, err := schemaOptions(c)
	if err != nil {
		return publisher.Options{}, err
	}
	topic, schemaTopic := topicNames(c)
	o := publisher.Options{
		Client: client, Pipeline: c.Pipeline, Slot: c.Source.Slot,
		Publications: []string{c.Source.Publication}, Protocol: protocolName,
		Schema: rows, Register: p.registry.ID, Topic: topic, SchemaTopic: schemaTopic,
		Shared: func(topic string) bool { return p.debezium() || mergedByRoute(p.Config, topic) },
		Topics: publisher.TopicOptions{
			NoCreate: !c.Topic.Create, Partitions: c.Topic.Partitions,
			ReplicationFactor: c.Topic.ReplicationFactor, CleanupPolicy: c.Topic.CleanupPolicy, Config: c.Topic.Config,
		},
		PositionTopic: c.Kafka.PositionTopic, LedgerTopic: c.Kafka.LedgerTopic,
		NoTombstones: !c.Tombstones, Skip: skippedOps(c), SkipUnchanged: c.SkipUnchanged,
		Message: messageFilter(c.Messages), Context: c.ContextHeaders, Headers: staticHeaders(c.Headers),
		Transactions: c.Transactions.Metadata, TransactionTopic: transactionTopic(c),
		Heartbeat: c.Heartbeat.Interval, HeartbeatTopic: heartbeatTopic(c),
		WindowRecords: c.Kafka.WindowRecords, WindowBytes: int(c.Kafka.WindowBytes), Linger: c.Kafka.Linger,
		MaxRecordBytes:     int(c.Kafka.MaxRecordBytes),
		TransactionTimeout: c.Kafka.TransactionTimeout,
		XMin:               p.now.xmin, MaySend: p.maySend, Holding: p.holding,
		Logger: p.Log, Metrics: p.Metrics.publisher, Delivered: p.Traced, Failpoint: p.failpoint,
	}
	if c.Delivery == "at-least-once" {
		o.Mode = publisher.AtLeastOnce
	}
	return o, nil
}

// skippedOps is the operations that are left out; not nil, which would mean the publisher's own default.
func skippedOps(c Config) []schema.Op {
	ops := []schema.Op{}
	for _, op := range []schema.Op{schema.OpCreate, schema.OpUpdate, schema.OpDelete, schema.OpTruncate} {
		if c.Skips(byte(op)) {
			ops = append(ops, op)
		}
	}
	return ops
}

// messageFilter says which logical messages are published.
func messageFilter(c MessagesConfig) func(prefix string) bool {
	return func(prefix string) bool {
		return (len(c.Include) == 0 || matchAny(c.Include, prefix)) && !matchAny(c.Exclude, prefix)
	}
}

// staticHeaders are the configured headers, in the order of their names.
func staticHeaders(headers map[string]string) []kgo.RecordHeader {
	var list []kgo.RecordHeader
	for name, value := range headers {
		list = append(list, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Key < list[j].Key })
	return list
}

func transactionTopic(c Config) string {
	return c.Topic.Prefix + c.Topic.Delimiter + c.Transactions.Topic
}

func heartbeatTopic(c Config) string {
	if c.Heartbeat.Topic != "" {
		return c.Heartbeat.Topic
	}
	return c.Heartbeat.TopicPrefix + c.Topic.Delimiter + c.Topic.Prefix
}

// maySend says whether the server has answered recently enough for the slot to be still ours.
func (p *pipeline) maySend() bool {
	s := p.stream.Load().Status()
	return !s.Closed && !s.Expired && (s.Timeout == 0 || time.Since(s.LastAnswered) < s.Timeout)
}

// holding says whether the slot is ours, not only about to be ours again.
func (p *pipeline) holding() bool { return p.maySend() && !p.stream.Load().Status().Reopening }

// choose finds the captured tables and sees to it that the publication sends their changes.
func (p *pipeline) choose(ctx context.Context) error {
	selection, err := p.catalog.Tables(ctx, p.Config.Source.Select())
	if err != nil {
		return needsPerson{err}
	}
	p.skipped = map[string]bool{}
	for _, s := range selection.Skipped {
		p.skipped[s.Name] = true
		p.Log.Warn("relation not captured", "table", s.Name, "reason", s.Reason)
	}
	p.tables, p.captured = selection.Tables, map[decoder.TableName]bool{}
	topics := map[string]string{}
	for _, t := range p.tables {
		p.captured[decoder.TableName{Namespace: t.Namespace, Name: t.Name}] = true
		topic := p.options.Topic(t.Namespace, t.Name)
		if first, taken := topics[topic]; taken && p.debezium() {
			p.Log.Warn("two tables share a topic, as in Debezium", "topic", topic,
				"tables", []string{first, t.String()})
		} else if taken && !mergedByRoute(p.Config, topic) {
			return &publisher.CollisionError{Topic: topic, First: first, Second: t.String()}
		}
		topics[topic] = t.String()
	}
	conn, err := p.ordinary(ctx)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if err := p.identities(ctx, conn); err != nil {
		return err
	}
	return p.publication(ctx, conn)
}

// identities sets the replica identities that the configuration asks for.
func (p *pipeline) identities(ctx context.Context, conn *pgconn.PgConn) error {
	for _, t := range p.tables {
		for _, rule := range p.Config.Source.ReplicaIdentity {
			if !rule.Table.Match(t.String()) {
				continue
			}
			name := decoder.TableName{Namespace: t.Namespace, Name: t.Name}
			sql, err := decoder.SetIdentity(ctx, conn, name, rule.Identity)
			if err != nil {
				return needsPerson{err}
			}
			if sql != "" {
				p.Log.Info("replica identity changed", "sql", sql)
			}
			break
		}
	}
	return nil
}

// publication sees to the publication: made or extended where the configuration says so, verified always.
func (p *pipeline) publication(ctx context.Context, conn *pgconn.PgConn) error {
	c := p.Config.Source
	o := publicationOptions(p.Config, p.tables)
	if makesPublication(c, o) {
		statements, err := decoder.EnsurePublication(ctx, conn, o)
		if err != nil {
			return needsPerson{err}
		}
		for _, sql := range statements {
			p.Log.Info("publication changed", "sql", sql)
		}
	}
	found, err := decoder.VerifyPublication(ctx, conn, o)
	if err != nil {
		return err
	}
	var blocking []decoder.Finding
	for _, f := range found {
		if f.Blocking && !(p.debezium() && tolerated(f)) {
			blocking = append(blocking, f)
			continue
		}
		p.Log.Warn("publication", "finding", f.String())
	}
	if len(blocking) > 0 {
		return needsPerson{&decoder.FindingsError{Doing: "verify the publication", Findings: blocking}}
	}
	return nil
}

// tolerated says that Debezium goes on with what a finding says: a table or an operation that the publication
// leaves out shows in snapshots only, and a table without an identity takes inserts only.
func tolerated(f decoder.Finding) bool {
	switch f.Code {
	case decoder.FindingNoIdentity, decoder.FindingTableMissing, decoder.FindingOperationMissing:
		return true
	}
	return false
}

func (p *pipeline) debezium() bool { return p.Config.Compatibility == "debezium" }

// makesPublication says whether a publication that is missing is to be made.
func makesPublication(c SourceConfig, o decoder.PublicationOptions) bool {
	return o.Alter || o.Scope != decoder.NamedTables || namedOnly(c)
}

// namedOnly says whether auto makes a publication: every table is named, none found by a pattern.
func namedOnly(c SourceConfig) bool {
	if c.CreatePublication != "auto" {
		return false
	}
	for _, pattern := range c.Tables {
		if !pattern.Exact() {
			return false
		}
	}
	return true
}

// publicationOptions says what the publication must send.
func publicationOptions(c Config, tables []snapshot.Table) decoder.PublicationOptions {
	o := decoder.PublicationOptions{
		Name: c.Source.Publication, ViaRoot: c.Source.PublishViaRoot,
		Operations: decoder.Operations{
			Insert: !c.Skips('c'), Update: !c.Skips('u'), Delete: !c.Skips('d'),
			Truncate: !c.Skips('t'),
		},
		Alter: c.Source.CreatePublication == "true" || c.Source.CreatePublication == "filtered",
	}
	switch c.Source.CreatePublication {
	case "all_tables":
		o.Scope = decoder.AllTables
	case "no_tables":
		o.Scope = decoder.NoTables
	}
	for _, t := range tables {
		if t.Kind == 'p' && !c.Source.PublishViaRoot && !t.Published {
			continue // Debezium reads a root beside its leaves in snapshots; the stream has the leaves only
		}
		o.Tables = append(o.Tables, decoder.TableName{Namespace: t.Namespace, Name: t.Name})
	}
	return o
}

// catalogOptions says how the catalog is read. An existing publication says by itself whether partitions
// come under their root.
func (p *pipeline) catalogOptions(ctx context.Context) (snapshot.CatalogOptions, error) {
	conn, err := p.ordinary(ctx)
	if err != nil {
		return snapshot.CatalogOptions{}, err
	}
	defer closeConn(conn)
	publication, err := decoder.InspectPublication(ctx, conn, p.Config.Source.Publication)
	if err != nil {
		return snapshot.CatalogOptions{}, err
	}
	viaRoot := p.Config.Source.PublishViaRoot
	if publication != nil {
		viaRoot = publication.ViaRoot
	}
	o := catalogOptions(p.Config, viaRoot)
	o.Logger = p.Log
	return o, nil
}

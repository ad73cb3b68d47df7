package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/snapshot"
)

// serverFacts is one look at the server, made with no more rights than any role has.
type serverFacts struct {
	version, walLevel, role, walKeep string
	slots, usedSlots                 int
	senders, usedSenders             int
	replicates, isRDS, standby       bool
	oldest                           string // age and pid of the oldest open write, empty for none
}

const factsQuery = `SELECT current_setting('server_version'), current_setting('wal_level'), current_user,
	current_setting('max_slot_wal_keep_size'), current_setting('max_replication_slots'),
	(SELECT count(*) FROM pg_replication_slots), current_setting('max_wal_senders'),
	(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'),
	(SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user),
	EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication'),
	coalesce((SELECT pg_has_role(current_user, oid, 'member') FROM pg_roles
		WHERE rolname = 'rds_replication'), false),
	pg_is_in_recovery(),
	coalesce((SELECT 'pid ' || pid || ', open for ' || date_trunc('second', now() - xact_start)::text
		FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start < now() - interval '1 minute'
		ORDER BY xact_start LIMIT 1), '')`

// checkSource asks everything of the source, in the order of causes, and returns the topics of its tables.
func checkSource(ctx context.Context, c Config, f *findings) []string {
	if !checkReach(ctx, f, sourceAddress(c.Source.URL), "source.url") {
		return nil
	}
	conn, err := decoder.Connect(ctx, sourceOptions(c))
	if err != nil {
		f.fail("connection", err.Error(), connectFix(c, err))
		return nil
	}
	defer conn.Close(context.WithoutCancel(ctx))
	facts, err := readFacts(ctx, conn)
	if err != nil {
		f.fail("facts", err.Error(), "")
		return nil
	}
	f.ok("connection", fmt.Sprintf("PostgreSQL %s as %s", facts.version, facts.role))
	checkServer(c, facts, f)
	checkReplication(ctx, c, facts, f)
	checkSlot(ctx, c, conn, facts, f)
	checkServants(ctx, c, conn, facts, f)
	return checkTables(ctx, c, conn, facts, f)
}

// checkReach tells a wrong name, an unreachable port and a refusal apart.
func checkReach(ctx context.Context, f *findings, address, setting string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || strings.HasPrefix(host, "/") {
		return true // a Unix socket: connecting says all there is to say
	}
	if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
		f.fail("name", fmt.Sprintf("%s: no address is known for this name (DNS): %s", host, dnsReason(err)),
			"getent hosts "+host+"   # here and in the pod's network; "+setting+" names it")
		return false
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		text, fix := "nothing listens there, or a firewall refuses", "nc -vz "+strings.Replace(address, ":", " ", 1)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			text = "no answer: a security group, a route or a firewall drops the packets"
		}
		f.fail("port", fmt.Sprintf("%s: %s (TCP)", address, text), fix+"   # "+setting)
		return false
	}
	if err := conn.Close(); err != nil {
		f.warn("port", fmt.Sprintf("%s: %s", address, err), "")
	}
	return true
}

func dnsReason(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.Err
	}
	return err.Error()
}

// connectFix is what to do about a connection that is refused.
func connectFix(c Config, err error) string {
	var auth *decoder.AuthError
	if _, advice := certificateProblem(err, "source.url's sslrootcert"); advice != "" {
		return advice
	}
	switch {
	case errors.As(err, &auth) && c.Source.Auth == "rds_iam":
		return "GRANT rds_iam TO " + quotedName(sourceUser(c.Source.URL)) + ";   -- and " +
			"rds.iam_auth_for_replication" +
			" = 1 in the parameter group, rds-db:connect in the role's policy, RDS's own name in source.url"
	case errors.As(err, &auth) && c.Source.PasswordFrom != "":
		return "the password comes from " + string(c.Source.PasswordFrom) +
			": psql with it, or ALTER ROLE ... PASSWORD ..."
	case errors.As(err, &auth):
		return "export PGPASSWORD=...; tributary check --source-password-from env:PGPASSWORD"
	case strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "tls") ||
		strings.Contains(err.Error(), "TLS"):
		return "add sslrootcert=FILE to source.url (on RDS the bundle global-bundle.pem), or sslmode=disable on " +
			"a server without TLS"
	case strings.Contains(err.Error(), "3D000"):
		return "psql -l   # which databases there are; source.url names one"
	}
	return ""
}

func readFacts(ctx context.Context, conn *pgconn.PgConn) (serverFacts, error) {
	results, err := conn.Exec(ctx, factsQuery).ReadAll()
	if err != nil || len(results) == 0 || len(results[0].Rows) == 0 {
		return serverFacts{}, fmt.Errorf("ask the server about itself: %w", err)
	}
	row := make([]string, len(results[0].Rows[0]))
	for i, value := range results[0].Rows[0] {
		row[i] = string(value)
	}
	number := func(i int) int { n, _ := strconv.Atoi(row[i]); return n } // the server wrote it
	return serverFacts{
		version: row[0], walLevel: row[1], role: row[2], walKeep: row[3],
		slots: number(4), usedSlots: number(5), senders: number(6), usedSenders: number(7),
		replicates: row[8] == "t" || row[10] == "t", isRDS: row[9] == "t", standby: row[11] == "t", oldest: row[12],
	}, nil
}

func checkServer(c Config, s serverFacts, f *findings) {
	switch {
	case s.walLevel == "logical":
		f.ok("wal_level", "logical")
	case s.isRDS:
		f.fail("wal_level", s.walLevel+": the server writes no logical changes",
			"aws rds modify-db-parameter-group --db-parameter-group-name NAME --parameters "+
				"ParameterName=rds.logical_replication,ParameterValue=1,ApplyMethod=pending-reboot   # then reboot")
	default:
		f.fail("wal_level", s.walLevel+": the server writes no logical changes",
			"ALTER SYSTEM SET wal_level = logical;   -- then restart the server")
	}
	role := quotedName(s.role)
	switch {
	case s.replicates:
		f.ok("role", s.role+" may replicate")
	case s.isRDS:
		f.fail("role", s.role+" is no member of rds_replication", "GRANT rds_replication TO "+role+";")
	default:
		f.fail("role", s.role+" has not the attribute REPLICATION",
			"ALTER ROLE "+role+" REPLICATION;   -- as a superuser")
	}
	if s.standby {
		f.warn("server", "is a standby: slots there need PostgreSQL 16, and end when a conflict removes them",
			"point source.url at the primary")
	}
	if s.senders-s.usedSenders < 1 {
		f.fail("walsenders", fmt.Sprintf("all %d walsenders are in use", s.senders),
			fmt.Sprintf("ALTER SYSTEM SET max_wal_senders = %d;   -- then restart the server", s.senders+5))
	}
	if s.walKeep == "-1" {
		f.warn("wal kept", "max_slot_wal_keep_size is -1: while tributary is stopped, the slot may fill the "+
			"server's disk",
			"ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();   -- what the disk can spare")
	}
}

// checkReplication opens what poolers and pg_hba.conf refuse although ordinary sessions work.
func checkReplication(ctx context.Context, c Config, s serverFacts, f *findings) {
	if !s.replicates {
		f.add(levelSkip, "replication", "needs the attribute first", "")
		return
	}
	o := sourceOptions(c)
	o.Replication = true
	conn, err := decoder.Connect(ctx, o)
	if err != nil {
		f.fail("replication", err.Error(), "put source.url at the server itself, not at a pooler; or in "+
			"pg_hba.conf: "+
			"hostssl "+sourceDatabase(c.Source.URL)+" ROLE ADDRESS scram-sha-256")
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	system, err := decoder.IdentifySystem(ctx, conn)
	if err != nil {
		f.fail("replication", err.Error(), "")
		return
	}
	f.ok("replication", fmt.Sprintf("connection opened: system %v, timeline %v", system.ID, system.Timeline))
}

func checkSlot(ctx context.Context, c Config, conn *pgconn.PgConn, s serverFacts, f *findings) {
	slot, err := decoder.InspectSlot(ctx, conn, c.Source.Slot)
	if err != nil {
		f.fail("slot", err.Error(), "")
		return
	}
	if slot == nil {
		if s.usedSlots >= s.slots {
			f.fail("slot", fmt.Sprintf("all %d replication slots are in use", s.slots),
				fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d;   -- then restart the server", s.slots+5))
			return
		}
		f.ok("slot", c.Source.Slot+" does not exist yet: run creates it")
		if s.oldest != "" {
			f.warn("transaction", "creating the slot waits for an open transaction: "+s.oldest,
				"SELECT pid, usename, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start;")
		}
		return
	}
	if err := slot.Usable(sourceDatabase(c.Source.URL)); err != nil {
		f.fail("slot", err.Error(), slotFix(c, slot))
		return
	}
	text := fmt.Sprintf("%s at %s, %s of WAL retained, %s", slot.Name, slot.Confirmed, size(slot.RetainedBytes),
		slot.Status)
	switch {
	case slot.Active:
		f.add(levelWarn, "slot", fmt.Sprintf("%s is in use by pid %d: run stands by until it is free", slot.Name,
			slot.ActivePID),
			fmt.Sprintf("SELECT application_name, client_addr, backend_start FROM pg_stat_activity WHERE pid = %d;",
				slot.ActivePID))
	case slot.Status == "unreserved":
		f.warn("slot", text+": its WAL may go at the next checkpoint",
			"tributary run   # soon, or raise max_slot_wal_keep_size")
	default:
		f.ok("slot", text)
	}
}

func slotFix(c Config, slot *decoder.Slot) string {
	if slot.Lost() {
		return repairCommand(c)
	}
	return "tributary check --source-slot " + textOr(identifier(c.Topic.Prefix), "tributary") +
		"_2   # another name"
}

// checkTables asks about the tables and the publication and returns the tables' topics.
func checkTables(ctx context.Context, c Config, conn *pgconn.PgConn, s serverFacts, f *findings) []string {
	publication, err := decoder.InspectPublication(ctx, conn, c.Source.Publication)
	if err != nil {
		f.fail("publication", err.Error(), "")
		return nil
	}
	viaRoot := c.Source.PublishViaRoot
	if publication != nil {
		viaRoot = publication.ViaRoot
	}
	catalog, err := snapshot.OpenCatalog(ctx, catalogOptions(c, viaRoot))
	if err != nil {
		f.fail("tables", err.Error(), "")
		return nil
	}
	defer func() { _ = catalog.Close(context.WithoutCancel(ctx)) }() // it only read
	selection, err := catalog.Tables(ctx, c.Source.Select())
	if err != nil {
		f.fail("tables", err.Error(), `\dt *.*   -- in psql; source.tables names them as schema.table`)
		return nil
	}
	if len(selection.Tables) == 0 {
		f.fail("tables", "no table matches source.tables",
			`\dt *.*   -- in psql; source.tables names them as schema.table`)
		return nil
	}
	for _, skipped := range selection.Skipped {
		f.add(levelInfo, skipped.Name, "not captured: "+skipped.Reason, "")
	}
	names := make([]decoder.TableName, len(selection.Tables))
	for i, t := range selection.Tables {
		names[i] = decoder.TableName{Namespace: t.Namespace, Name: t.Name}
	}
	checkPublication(ctx, c, conn, publication, names, viaRoot, f)
	return checkEach(c, selection.Tables, quotedName(s.role), f)
}

func checkPublication(
	ctx context.Context, c Config, conn *pgconn.PgConn, existing *decoder.Publication,
	tables []decoder.TableName, viaRoot bool, f *findings,
) {
	found, err := decoder.VerifyPublication(ctx, conn, decoder.PublicationOptions{
		Name: c.Source.Publication, Tables: tables, ViaRoot: viaRoot,
		Operations: decoder.Operations{
			Insert: !c.Skips('c'), Update: !c.Skips('u'), Delete: !c.Skips('d'),
			Truncate: !c.Skips('t'),
		},
	})
	if err != nil {
		f.fail("publication", err.Error(), "")
		return
	}
	blocked := false
	for _, finding := range found {
		level := levelInfo
		switch {
		case finding.Code == decoder.FindingPublicationMissing && c.Source.CreatePublication != "false":
			f.add(levelInfo, "publication", c.Source.Publication+" does not exist yet: run creates it if the role "+
				"owns the tables", finding.Fix)
			blocked = true
			continue
		case finding.Blocking && c.Compatibility == "debezium" && tolerated(finding):
			level = levelWarn
		case finding.Blocking:
			level, blocked = levelFail, true
		}
		f.add(level, "publication", finding.Text, finding.Fix)
	}
	if !blocked && existing != nil {
		f.ok("publication", fmt.Sprintf("%s publishes %s of %s", c.Source.Publication, existing.Operations,
			count(len(tables), "table")))
	}
}

// checkEach asks what is to be said of single tables.
func checkEach(c Config, tables []snapshot.Table, role string, f *findings) []string {
	topicOf, _ := topicNames(c)
	owner := map[string]string{}
	var topics []string
	for _, t := range tables {
		quoted := decoder.TableName{Namespace: t.Namespace, Name: t.Name}
		topic := topicOf(t.Namespace, t.Name)
		if other, taken := owner[topic]; taken && c.Compatibility == "debezium" {
			f.warn(t.String(), fmt.Sprintf("goes to topic %s, and so does %s, as in Debezium", topic, other), "")
		} else if taken && !mergedByRoute(c, topic) {
			f.fail(t.String(), fmt.Sprintf("goes to topic %s, and so does %s", topic, other),
				`topic: {routes: [{match: "/REGEX/", replace: "NAME"}]}   # gives one of them another name`)
		}
		owner[topic] = t.String()
		topics = append(topics, topic)
		if !t.Selectable && c.Snapshot.Mode != "no_data" {
			f.fail(t.String(), "the role may not read it, as the snapshot must",
				fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %s;",
					quotedName(t.Namespace), role, sqlName(quoted), role))
		}
		if t.RLS {
			f.fail(t.String(), "row security would hide rows from the snapshot",
				"ALTER ROLE "+role+" BYPASSRLS;   -- as a superuser")
		}
		if !t.HasKey() {
			f.warn(t.String(), "has no key: its records have none, and a crash in its snapshot reads it again",
				fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (COLUMN);", sqlName(quoted)))
		}
	}
	checkHolds(c, tables, f)
	f.ok("tables", fmt.Sprintf("%s captured", count(len(tables), "table")))
	if !c.Skips('t') && c.Topic.Partitions > 1 {
		f.warn("truncate", fmt.Sprintf("a truncate's record has no key, so among %d partitions it has no order "+
			"against the rows",
			c.Topic.Partitions), "topic: {partitions: 1}   # or skipped_operations: [t]")
	}
	return topics
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
			f.warn(t.String(), "has no unique key to read by: a later snapshot holds the stream until it has "+
				"read the whole table; how long is unknown", "ANALYZE "+t.String()+";")
		case held > c.Snapshot.Pause:
			f.warn(t.String(), fmt.Sprintf("has no unique key to read by: a later snapshot holds the stream "+
				"for about %s, until it has read the whole table", held), "ALTER TABLE ... ADD PRIMARY KEY ...;")
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

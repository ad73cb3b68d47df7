package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/decoder"
)

// serverFacts is one look at the server, made with no more rights than any role has.
type serverFacts struct {
	version, walLevel, role, walKeep     string
	slots, usedSlots                     int
	senders, usedSenders                 int
	replicates, isRDS, standby, restarts bool
	workMemory                           int // kB
	clock                                time.Time
	encryption                           string // TLS version, empty for none
	oldest, prepared                     string // the oldest transactions, empty for none
	oldestPID                            int
	rollback                             string // SQL that ends the prepared one
	number                               int    // of the version, such as 170010
	iamReplication                       string // rds.iam_auth_for_replication, empty where there is none
	isAurora                             bool
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
	coalesce((SELECT 'pid ' || pid || coalesce(' of ' || usename, '') || ', open for ' ||
		date_trunc('second', now() - xact_start)::text FROM pg_stat_activity
		WHERE (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL) AND pid <> pg_backend_pid()
		AND backend_type = 'client backend' AND xact_start < now() - interval '%[1]d milliseconds'
		ORDER BY xact_start LIMIT 1), ''),
	coalesce((SELECT gid || ' of ' || owner || ', prepared ' || date_trunc('second', now() - prepared)::text ||
		' ago' FROM pg_prepared_xacts WHERE prepared < now() - interval '%[1]d milliseconds'
		ORDER BY prepared LIMIT 1), ''),
	(SELECT bool_or(pending_restart) FROM pg_settings WHERE name IN ('wal_level', 'rds.logical_replication')),
	(SELECT setting FROM pg_settings WHERE name = 'logical_decoding_work_mem'),
	extract(epoch FROM clock_timestamp())::text,
	coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), ''),
	current_setting('server_version_num'),
	coalesce(current_setting('rds.iam_auth_for_replication', true), ''),
	EXISTS (SELECT FROM pg_proc WHERE proname = 'aurora_version'),
	coalesce((SELECT 'ROLLBACK PREPARED ' || quote_literal(gid) || ';   -- in database ' || database ||
		'; or COMMIT PREPARED, which its owner knows' FROM pg_prepared_xacts
		WHERE prepared < now() - interval '%[1]d milliseconds' ORDER BY prepared LIMIT 1), '')`

// checkSource asks everything of the source, in the order of causes, and returns what its tables become.
func checkSource(ctx context.Context, c Config, f *findings) []capture {
	if !checkReach(ctx, f, sourceAddress(c.Source.URL), "source.url", "E101", "E102") {
		return nil
	}
	checkSecret(ctx, c, f)
	conn, err := decoder.Connect(ctx, sourceOptions(c))
	if err != nil {
		f.fault("connection", err, connectFix(c, err))
		return nil
	}
	defer conn.Close(context.WithoutCancel(ctx))
	before := f.now()
	facts, err := readFacts(ctx, conn, f.long)
	if err != nil {
		f.fault("facts", err, "")
		return nil
	}
	checkConnection(c, conn, facts, f)
	checkClock(facts, before, f.now(), f)
	checkOneServer(ctx, c, conn, f)
	checkServer(c, facts, f)
	checkReplication(ctx, c, facts, f)
	checkSlot(ctx, c, conn, facts, f)
	captured := checkTables(ctx, c, conn, facts, f)
	checkSurroundings(facts, f)
	checkServants(ctx, c, conn, facts, f)
	return captured
}

// checkReach tells a wrong name, an unreachable port and a refusal apart; name and port are their codes.
func checkReach(ctx context.Context, f *findings, address, setting, name, port string) bool {
	host, number, err := net.SplitHostPort(address)
	if err != nil || strings.HasPrefix(host, "/") {
		return true // a Unix socket: connecting says all there is to say
	}
	if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
		f.add(name, "name", fmt.Sprintf("%s: no address is known for this name (DNS): %s", host, dnsReason(err)),
			"getent hosts "+host+"   # here and in the pod's network; "+setting+" names it")
		return false
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		text := "nothing listens there, or a firewall refuses"
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			text = "no answer: a security group, a route or a firewall drops the packets"
		}
		f.add(port, "port", fmt.Sprintf("%s: %s (TCP)", address, text), "nc -vz "+host+" "+number+"   # "+setting)
		return false
	}
	_ = conn.Close() // that it opened is all that was asked
	return true
}

func dnsReason(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.Err
	}
	return err.Error()
}

// connectFix is what to do about a connection to the source that is refused, with its own names; empty where
// the catalogue says it.
func connectFix(c Config, err error) string {
	if !strings.HasPrefix(codeOf(err), "E1") {
		return "" // it is not the source's
	}
	probe := "openssl s_client -starttls postgres -connect " + sourceAddress(c.Source.URL)
	if _, advice := certificateProblem(err, "sslrootcert of source.url", probe); advice != "" {
		return advice
	}
	database, role := quotedName(sourceDatabase(c.Source.URL)), quotedName(sourceUser(c.Source.URL))
	said := err.Error()
	u, parsed := url.Parse(string(c.Source.URL))
	switch code := codeOf(err); {
	case code == "E111" && strings.Contains(said, "permission denied for database"):
		return "GRANT CONNECT ON DATABASE " + database + " TO " + role + ";"
	case code == "E119" && strings.Contains(said, "not currently accepting connections"):
		return "ALTER DATABASE " + database + " ALLOW_CONNECTIONS true;"
	case code == "E104" && parsed == nil && onMachine(u):
		return "?sslmode=disable   # at the end of source.url: this server is on the same machine"
	case code == "E107":
		return psqlLine(c, "postgres") + " -c 'SELECT datname FROM pg_database'" +
			"   # then mend the path of source.url"
	case code == "E105":
		if c.Source.Auth == "rds_iam" {
			return "GRANT rds_iam TO " + role + ";   -- and " +
				"rds.iam_auth_for_replication = 1 in the parameter group, rds-db:connect in the role's policy, RDS's " +
				"own name in source.url"
		}
		if c.Source.PasswordFrom != "" {
			return "ALTER ROLE " + role + " PASSWORD '...';   -- then the same into " + string(c.Source.PasswordFrom)
		}
		return "export PGPASSWORD=...; " + checkAgain(c, "--source-password-from env:PGPASSWORD")
	case code == "E103":
		return probe + " </dev/null | openssl x509 -noout -dates -issuer   # its CA: sslrootcert=FILE in source.url"
	}
	return ""
}

func readFacts(ctx context.Context, conn *pgconn.PgConn, long time.Duration) (serverFacts, error) {
	results, err := conn.Exec(ctx, fmt.Sprintf(factsQuery, long.Milliseconds())).ReadAll()
	if err != nil || len(results) == 0 || len(results[0].Rows) == 0 {
		return serverFacts{}, fmt.Errorf("ask the server about itself: %w", err)
	}
	row := make([]string, len(results[0].Rows[0]))
	for i, value := range results[0].Rows[0] {
		row[i] = string(value)
	}
	number := func(i int) int { n, _ := strconv.Atoi(row[i]); return n } // the server wrote it
	pid := 0
	_, _ = fmt.Sscanf(row[12], "pid %d", &pid) // the query writes it, or nothing
	seconds, _ := strconv.ParseFloat(row[16], 64)
	return serverFacts{
		version: row[0], walLevel: row[1], role: row[2], walKeep: row[3],
		slots: number(4), usedSlots: number(5), senders: number(6), usedSenders: number(7),
		replicates: row[8] == "t" || row[10] == "t", isRDS: row[9] == "t", standby: row[11] == "t",
		oldest: row[12], prepared: row[13], restarts: row[14] == "t", workMemory: number(15),
		clock: time.UnixMicro(int64(seconds * 1e6)), encryption: row[17], number: number(18),
		iamReplication: row[19], isAurora: row[20] == "t", oldestPID: pid, rollback: row[21],
	}, nil
}

// certificateSoon is how long before its end a certificate is warned of.
const certificateSoon = 30 * 24 * time.Hour

// checkConnection says how the connection is protected, and who answers.
func checkConnection(c Config, conn *pgconn.PgConn, s serverFacts, f *findings) {
	text := fmt.Sprintf("PostgreSQL %s%s as %s, ", s.version, s.service(), s.role)
	u, err := url.Parse(string(c.Source.URL))
	if err != nil {
		return // validate has let no such address through
	}
	mode := u.Query().Get("sslmode")
	session, encrypted := conn.Conn().(*tls.Conn)
	if encrypted {
		one := session.ConnectionState().PeerCertificates[0]
		text += fmt.Sprintf("%s, sslmode %s, certificate of %s until %s", s.encryption,
			textOr(mode, "verify-full"), one.Subject.CommonName, one.NotAfter.UTC().Format(time.DateOnly))
	}
	f.ok("connection", strings.TrimSuffix(text, ", ")+map[bool]string{false: ", no TLS"}[encrypted])
	if mode != "" && mode != "verify-full" && mode != "verify-ca" && !onMachine(u) {
		f.add("W157", "tls", "sslmode="+mode+" verifies nobody", "")
	}
	if encrypted {
		for _, one := range session.ConnectionState().PeerCertificates[:1] {
			if left := one.NotAfter.Sub(f.now()); left < certificateSoon {
				f.add("W161", "tls", fmt.Sprintf("the certificate of %s expires on %s, in %d days",
					one.Subject.CommonName,
					one.NotAfter.UTC().Format(time.DateOnly), int(left.Hours()/24)),
					"openssl s_client -starttls postgres -connect "+sourceAddress(c.Source.URL)+
						" </dev/null | openssl x509 -noout -dates   # after it was renewed")
			}
		}
	}
}

// service names the hosting that is told by what it adds to Postgres, empty for none.
func (s serverFacts) service() string {
	switch {
	case s.isAurora:
		return " on Aurora"
	case s.isRDS:
		return " on RDS"
	}
	return ""
}

// onMachine says whether an address stays on this machine by its usual names.
func onMachine(u *url.URL) bool {
	host := textOr(u.Hostname(), u.Query().Get("host"))
	return host == "" || isOneOf(host, []string{"localhost", "127.0.0.1", "::1"}) || strings.HasPrefix(host, "/")
}

// clockTolerance is how far clocks may differ before lag in seconds misleads.
const clockTolerance = 2 * time.Second

// checkClock compares the server's clock with this machine's, read before and after.
func checkClock(s serverFacts, before, after time.Time, f *findings) {
	offset := s.clock.Sub(before.Add(after.Sub(before) / 2))
	if offset.Abs() > clockTolerance+after.Sub(before) {
		// A second is as exact as a difference of more than two needs.
		f.add("W156", "clock", fmt.Sprintf("the server's clock differs from this machine's by %s",
			offset.Round(time.Second)), "")
	}
}

// checkOneServer shows a transaction's snapshot to a second connection: behind a pooler, a load balancer or a
// reader endpoint that one does not find it.
func checkOneServer(ctx context.Context, c Config, conn *pgconn.PgConn, f *findings) {
	second, err := decoder.Connect(ctx, sourceOptions(c))
	if err != nil {
		f.fault("server", err, connectFix(c, err))
		return
	}
	defer second.Close(context.WithoutCancel(ctx))
	ask := func(conn *pgconn.PgConn, sql string) (string, error) {
		results, err := conn.Exec(ctx, sql).ReadAll()
		if err != nil || len(results) == 0 {
			return "", err
		}
		last := results[len(results)-1]
		if len(last.Rows) == 0 {
			return "", nil
		}
		return string(last.Rows[0][0]), nil
	}
	defer func() { _, _ = ask(conn, "ROLLBACK") }() // it only read
	name, err := ask(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_export_snapshot()")
	if err != nil {
		f.skip("server", "exports no snapshot: "+err.Error())
		return
	}
	_, err = ask(second, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '"+name+"'")
	if err != nil {
		f.add("E118", "server", "two connections to "+sourceAddress(c.Source.URL)+" reach two servers", "")
	}
}

func checkServer(c Config, s serverFacts, f *findings) {
	pending := ""
	if s.restarts {
		pending = "; a change waits for a restart"
	}
	if s.standby {
		f.add("W117", "server", "is a standby", "")
	}
	switch {
	case s.walLevel == "logical":
		f.ok("wal_level", "logical")
	case s.isRDS:
		f.add("E112", "wal_level", s.walLevel+": the server writes no logical changes"+pending,
			s.parameterFix(c, "ParameterName=rds.logical_replication,ParameterValue=1,ApplyMethod=pending-reboot")+
				"   # then reboot")
	default:
		f.add("E112", "wal_level", s.walLevel+": the server writes no logical changes"+pending,
			"ALTER SYSTEM SET wal_level = logical;   -- then restart the server")
	}
	role := quotedName(s.role)
	switch {
	case s.replicates && c.Source.Auth == "rds_iam" && isOneOf(s.iamReplication, []string{"0", "off"}):
		f.add("E138", "role", s.role+" logs in by IAM, and rds.iam_auth_for_replication is "+s.iamReplication,
			s.parameterFix(c, "ParameterName=rds.iam_auth_for_replication,ParameterValue=1,ApplyMethod=immediate"))
	case s.replicates:
		f.ok("role", s.role+" may replicate")
	case s.isRDS:
		f.add("E113", "role", s.role+" is no member of rds_replication", "GRANT rds_replication TO "+role+";")
	default:
		f.add("E113", "role", s.role+" has not the attribute REPLICATION",
			"ALTER ROLE "+role+" REPLICATION;   -- as a superuser")
	}
	if s.senders-s.usedSenders < 1 {
		f.add("E116", "walsenders", fmt.Sprintf("all %d walsenders are in use", s.senders),
			fmt.Sprintf("ALTER SYSTEM SET max_wal_senders = %d;   -- then restart the server", s.senders+5))
	}
}

// checkReplication opens what poolers and pg_hba.conf refuse although ordinary sessions work.
func checkReplication(ctx context.Context, c Config, s serverFacts, f *findings) {
	if !s.replicates {
		f.skip("replication", "needs the attribute first")
		return
	}
	o := sourceOptions(c)
	o.Replication = true
	conn, err := decoder.Connect(ctx, o)
	if err != nil {
		f.fault("replication", err, "")
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	system, err := decoder.IdentifySystem(ctx, conn)
	if err != nil {
		f.fault("replication", err, "")
		return
	}
	f.ok("replication", fmt.Sprintf("connection opened: system %v, timeline %v", system.ID, system.Timeline))
}

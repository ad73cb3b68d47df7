package decoder

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// ConnectOptions says how to reach the source database.
type ConnectOptions struct {
	// URL is a postgres:// URL or a key=value string, as libpq reads them. Without an sslmode (there or in
	// PGSSLMODE) the server's certificate and name are verified (verify-full), unless every host is a Unix
	// socket or this machine, where libpq's prefer stands.
	URL string
	// Password, when set, is asked before each connect, so that a changed secret or a short-lived token is
	// read afresh, and once more when the server refused what it gave.
	Password func(context.Context) (string, error)
	// RequireTLS refuses to send the password over a connection that is not encrypted, whatever the URL says,
	// and makes verify-full the default for this machine too.
	RequireTLS bool
	// Replication makes a replication connection (replication=database).
	Replication bool
	// ApplicationName is what pg_stat_activity shows; "" means tributary. Never name it in
	// synchronous_standby_names: commits would wait for Kafka.
	ApplicationName string
	// Timeout bounds one attempt to connect to one address; 0 means the URL's connect_timeout, or 10 s.
	Timeout time.Duration

	// bulk is an ordinary connection that is read as a replication connection is: much at a time, or not at
	// all.
	bulk bool
}

// maxApplicationName is NAMEDATALEN-1: the server cuts longer names, with a notice.
const maxApplicationName = 63

// PinnedParameters returns the settings that every connection sends in its startup packet, where they win
// over ALTER ROLE and ALTER DATABASE: those that change the text of values, so that snapshot and stream
// agree, and those that would end a session. All are known to Postgres 13 and later; Connect sets by itself
// the two that only later versions know.
func PinnedParameters(replication bool) map[string]string {
	pinned := map[string]string{
		"client_encoding":    "UTF8",
		"DateStyle":          "ISO",
		"IntervalStyle":      "postgres",
		"TimeZone":           "UTC",
		"bytea_output":       "hex",
		"extra_float_digits": "3",
		"lc_monetary":        "C",
		"xmloption":          "content",
		// Names in regclass and the like are then always written with their schema.
		"search_path": "pg_catalog",
		// pg_get_expr's text of defaults, and our own quoting.
		"quote_all_identifiers":       "off",
		"standard_conforming_strings": "on",
		// Postgres 18 tells of a missing publication by a warning alone.
		"client_min_messages": "warning",
		// A snapshot that a policy would filter is an error, not a smaller snapshot.
		"row_security":                        "off",
		"statement_timeout":                   "0",
		"lock_timeout":                        "0",
		"idle_in_transaction_session_timeout": "0",
		"default_transaction_deferrable":      "off",
	}
	if replication {
		// Linux ends a connection whose peer keeps its window shut for longer than this, and not reading is
		// how back-pressure and holds work. A dead client is found by wal_sender_timeout.
		pinned["tcp_user_timeout"] = "0"
	}
	return pinned
}

// Config returns the configuration for one connect: the URL parsed, the password asked for, the parameters
// pinned. It serves callers whose library connects by itself; the sessions it leads to are those of
// Connect.
func Config(ctx context.Context, o ConnectOptions) (*pgconn.Config, error) {
	config, err := parseURL(o.URL, o.RequireTLS)
	if err != nil {
		return nil, err
	}
	if o.RequireTLS {
		if err := encryptedOnly(config); err != nil {
			return nil, err
		}
	}
	if o.Password != nil {
		if config.Password, err = o.Password(ctx); err != nil {
			return nil, fmt.Errorf("read the password of %s: %w", config.User, err)
		}
	}
	for name, value := range PinnedParameters(o.Replication || o.bulk) {
		deleteFold(config.RuntimeParams, name)
		config.RuntimeParams[name] = value
	}
	config.RuntimeParams["application_name"] = applicationName(o.ApplicationName)
	if o.Replication {
		config.RuntimeParams["replication"] = "database"
	}
	if o.Timeout > 0 {
		config.ConnectTimeout = o.Timeout
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	// Probes while nothing arrives: a network that died in silence is found within half a minute.
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil || !o.Replication && !o.bulk {
			return conn, err
		}
		return newSocket(conn), nil
	}
	config.AfterConnect = verifySession
	if !o.Replication && !o.bulk {
		frame(config)
	}
	return config, nil
}

// Connect opens a connection whose session is the same wherever it is used. The caller owns it. A refusal
// is an *AuthError or a *ServerError, silence a *ConnectionLostError; no error holds the URL.
func Connect(ctx context.Context, o ConnectOptions) (*pgconn.PgConn, error) {
	conn, err := connectOnce(ctx, o)
	var auth *AuthError
	if o.Password != nil && errors.As(err, &auth) && auth.Code == codeInvalidPassword {
		// The secret may have been changed between reading it and using it.
		return connectOnce(ctx, o)
	}
	return conn, err
}

func connectOnce(ctx context.Context, o ConnectOptions) (*pgconn.PgConn, error) {
	config, err := Config(ctx, o)
	if err != nil {
		return nil, err
	}
	doing := fmt.Sprintf("connect to %s as %s", place(config), config.User)
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		if ctx.Err() != nil {
			// A caller's bound that has passed says as little for good as the dialer's own.
			return nil, fault(doing, context.Cause(ctx))
		}
		// pgconn repeats host and user, and lists every address; the innermost cause says it.
		return nil, fault(doing, err)
	}
	return conn, nil
}

// verifiedParameters are looked at after the connect, in this order.
var verifiedParameters = []string{
	"bytea_output", "extra_float_digits", "lc_monetary", "DateStyle",
	"IntervalStyle", "TimeZone", "client_encoding",
}

// OldestVersion is the first server version, in the form of ServerVersion, that tells of its slots and
// publications what this package asks for: Postgres 13.
const OldestVersion = 13_00_00

// verifySession completes a session: settings that only newer servers know, and proof that what was pinned
// holds, since a pooler in between may have dropped startup parameters without a word. It refuses a server
// that is too old, before a question that it does not understand fails in words that lead elsewhere.
func verifySession(ctx context.Context, conn *pgconn.PgConn) error {
	if version := ServerVersion(conn); version > 0 && version < OldestVersion {
		return codedError{fmt.Errorf("the server is PostgreSQL %s: want %d or newer",
			conn.ParameterStatus("server_version"), OldestVersion/10000), codeTooOld}
	}
	query := "SELECT pg_catalog.concat_ws(' '"
	for _, name := range verifiedParameters {
		query += ", pg_catalog.current_setting('" + name + "')"
	}
	query += ")"
	if version := ServerVersion(conn); version >= 140000 {
		query += ", pg_catalog.set_config('idle_session_timeout', '0', false)"
		if version >= 170000 {
			query += ", pg_catalog.set_config('transaction_timeout', '0', false)"
		}
	}
	rows, err := simpleQuery(ctx, conn, query)
	if err != nil {
		return fmt.Errorf("verify the session's settings: %w", err)
	}
	if len(rows) != 1 || len(rows[0]) == 0 {
		return fmt.Errorf("verify the session's settings: want 1 row, got %d", len(rows))
	}
	got := rows[0][0]
	// DateStyle keeps the server's day order, which ISO output does not use.
	if !strings.HasPrefix(got, "hex 3 C ISO") || !strings.HasSuffix(got, " postgres UTC UTF8") {
		return codedError{fmt.Errorf("verify the session's settings: startup parameters did not take effect "+
			"(%s are %q): connect to the server itself, not through a pooler that drops them",
			strings.Join(verifiedParameters, " "), got), codePooler}
	}
	return nil
}

// ServerVersion returns the server's version as server_version_num has it, such as 170010; 0 when it is not
// told.
func ServerVersion(conn *pgconn.PgConn) int {
	return parseVersion(conn.ParameterStatus("server_version"))
}

// parseVersion reads server_version: "17.10 (Debian ...)", "18beta1", "19devel".
func parseVersion(text string) int {
	digits := func(s string) (int, string) {
		end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(s)
		}
		n, err := strconv.Atoi(s[:end])
		if err != nil {
			return 0, s
		}
		return n, s[end:]
	}
	major, rest := digits(text)
	minor := 0
	if after, found := strings.CutPrefix(rest, "."); found {
		minor, _ = digits(after)
	}
	return major*10000 + minor
}

// parseURL parses the source URL, with verify-full where nothing chose otherwise. Its errors never repeat
// the URL.
func parseURL(text string, requireTLS bool) (*pgconn.Config, error) {
	config, err := pgconn.ParseConfig(text)
	if err == nil && !choosesTLS(text) && (requireTLS || !isLocal(config)) {
		config, err = pgconn.ParseConfig(withVerifyFull(text))
	}
	if err == nil {
		return config, nil
	}
	cause := errors.Unwrap(err)
	for _, safe := range []string{
		"sslmode", "sslcert", "sslkey", "unable to read CA file",
		"unable to add CA", "unable to load",
	} {
		if cause != nil && strings.Contains(cause.Error(), safe) {
			return nil, fmt.Errorf("parse the source URL: %w", cause)
		}
	}
	// The parser's own words can hold a part of a password with an unescaped character in it.
	return nil, errors.New("parse the source URL: want postgres://user@host:port/database or key=value pairs " +
		"(special characters in a URL's password must be percent-encoded)")
}

// encryptedOnly takes the attempts without TLS out of a configuration.
func encryptedOnly(config *pgconn.Config) error {
	config.Fallbacks = slices.DeleteFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool {
		return f.TLSConfig == nil
	})
	if config.TLSConfig != nil {
		return nil
	}
	if len(config.Fallbacks) == 0 {
		return fmt.Errorf("connect to %s as %s: TLS is required, but the address's sslmode turns it off",
			place(config), config.User)
	}
	first := config.Fallbacks[0]
	config.Host, config.Port, config.TLSConfig = first.Host, first.Port, first.TLSConfig
	config.Fallbacks = config.Fallbacks[1:]
	return nil
}

// choosesTLS says whether the person has chosen an sslmode, also by the other words that imply one.
func choosesTLS(text string) bool {
	if os.Getenv("PGSSLMODE") != "" || os.Getenv("PGSERVICE") != "" {
		return true
	}
	for _, word := range []string{"sslmode", "service=", "ssl=true"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

func withVerifyFull(text string) string {
	if u, err := url.Parse(text); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		query := u.Query()
		query.Set("sslmode", "verify-full")
		u.RawQuery = query.Encode()
		return u.String()
	}
	return text + " sslmode=verify-full"
}

// isLocal says whether every host is a Unix socket or this machine.
func isLocal(config *pgconn.Config) bool {
	hosts := []string{config.Host}
	for _, f := range config.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, host := range hosts {
		address, err := netip.ParseAddr(host)
		if !strings.HasPrefix(host, "/") && host != "localhost" && (err != nil || !address.IsLoopback()) {
			return false
		}
	}
	return true
}

func applicationName(name string) string {
	if name == "" {
		name = "tributary"
	}
	return name[:min(len(name), maxApplicationName)]
}

// place is where a configuration leads, for messages to people.
func place(config *pgconn.Config) string {
	return net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database
}

// deleteFold removes a parameter that the URL set, whatever its case: the later of two would win.
func deleteFold(params map[string]string, name string) {
	for key := range params {
		if strings.EqualFold(key, name) {
			delete(params, key)
		}
	}
}

// simpleQuery runs one statement by the simple protocol, the only one that a replication connection has, and
// returns its rows as text; NULL is "".
func simpleQuery(ctx context.Context, conn *pgconn.PgConn, query string) ([][]string, error) {
	results, err := conn.Exec(ctx, query).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) == 0 {
		return nil, nil
	}
	last := results[len(results)-1]
	rows := make([][]string, len(last.Rows))
	for i, row := range last.Rows {
		for _, value := range row {
			rows[i] = append(rows[i], string(value))
		}
	}
	return rows, nil
}

// Execute runs statements whose rows nobody reads, on any connection. doing begins the error.
func Execute(ctx context.Context, conn *pgconn.PgConn, doing, sql string) error {
	_, err := simpleQuery(ctx, conn, sql)
	return fault(doing, err)
}

// paramQuery runs one statement with parameters, all as text, on an ordinary connection.
func paramQuery(ctx context.Context, conn *pgconn.PgConn, query string, args ...string) ([][]string, error) {
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(arg)
	}
	result := conn.ExecParams(ctx, query, values, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	rows := make([][]string, len(result.Rows))
	for i, row := range result.Rows {
		for _, value := range row {
			rows[i] = append(rows[i], string(value))
		}
	}
	return rows, nil
}

// quoteIdentifier quotes a name for SQL and for replication commands.
func quoteIdentifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteLiteral quotes a string; standard_conforming_strings is pinned.
func quoteLiteral(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }

// socketOf returns the socket below a connection that Connect made for replication, nil below others.
func socketOf(conn *pgconn.PgConn) *socket {
	bottom := conn.Conn()
	if t, ok := bottom.(*tls.Conn); ok {
		bottom = t.NetConn()
	}
	s, ok := bottom.(*socket)
	if !ok {
		return nil
	}
	return s
}

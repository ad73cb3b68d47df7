package main

import (
	"fmt"
	"net"
	"net/url"
	"reflect"
	"regexp"
	"strings"

	"github.com/tributary-cdc/tributary/snapshot"
)

var (
	slotName  = regexp.MustCompile(`\A[a-z0-9_]{1,63}\z`)
	topicName = regexp.MustCompile(`\A[a-zA-Z0-9._-]{1,249}\z`)
	indexName = regexp.MustCompile(`(?i)\A(default|full|nothing|index .+)\z`)
)

// at notes a problem of a key, at its place in the file when it has one.
func (l *loader) at(path, text string) {
	if t := l.tokens[path]; t != nil && l.config.origins[path].kind == "file" {
		l.problemAt(t, path, text)
		return
	}
	p := problem{path: path, text: text}
	if o := l.config.origins[path]; o.kind != "" && o.kind != "default" && o.kind != "file" {
		p.where = o.detail
	}
	l.problems = append(l.problems, p)
}

// validate finds everything wrong with the values themselves, asking no server.
func (l *loader) validate() {
	failed := map[string]bool{} // a key that could not be read is not also missing
	for _, p := range l.problems {
		failed[p.path] = true
	}
	for _, k := range l.keys {
		v := reflect.ValueOf(l.config).FieldByIndex(k.index)
		if k.path == "schema_registry.url" && !l.config.NeedsRegistry() ||
			k.path == "kafka.brokers" && l.config.Kafka.MSKClusterARN != "" {
			continue
		}
		if k.required && (v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0) && !failed[k.path] {
			l.at(k.path, "missing. Set it in the file, as "+k.env()+" or as --"+k.flag())
		}
	}
	l.validateSource()
	l.validateNumbers()
	l.validateKafka()
	l.validateRegistry()
	l.validateTopics()
	l.validateOperations()
	l.validateColumns()
	l.validateSignals()
}

// validateSignals checks that the signal table is one whose rows come.
func (l *loader) validateSignals() {
	c := &l.config
	if c.Snapshot.SignalTable == "" {
		return
	}
	s := newSignals(c.Snapshot.SignalTable)
	switch {
	case s == nil:
		l.at("snapshot.signal_table", "want schema.table")
	case c.Source.Captures(s.table.Namespace, s.table.Name):
	case c.Compatibility == "debezium":
		c.notes = append(c.notes, "signals are not seen: the signal table is not among the captured ones")
	default:
		l.at("snapshot.signal_table", "is not among source.tables: its signals would not be seen")
	}
}

func (l *loader) validateSource() {
	if t := l.config.Takeover; t.ConnectOffsets != "" && t.Connector == "" {
		l.at("takeover.connector", "missing: the connector's JSON does not name it, so give --name")
	}
	s := l.config.Source
	if s.URL != "" {
		u, err := url.Parse(string(s.URL))
		switch {
		case err != nil:
			l.at("source.url", "not an address: write postgres://user@host:5432/database, odd characters as %41")
		case u.Scheme != "postgres" && u.Scheme != "postgresql":
			l.at("source.url", "want an address that begins with postgres://")
		case strings.Trim(u.Path, "/") == "" && u.Query().Get("dbname") == "":
			l.at("source.url", "the database is missing: postgres://user@host:5432/DATABASE")
		}
	}
	if s.Slot != "" && !slotName.MatchString(s.Slot) {
		l.at("source.slot", "a slot's name is made of 1 to 63 of a-z, 0-9 and _")
	}
	if len(s.Publication) > 63 {
		l.at("source.publication", "longer than the 63 bytes that Postgres keeps of a name")
	}
	for _, p := range s.Tables {
		if err := snapshot.ValidatePattern(p.String()); p.IsGlob() && err != nil {
			l.at("source.tables", err.Error())
		}
	}
	for i, r := range s.ReplicaIdentity {
		if r.Identity != "" && !indexName.MatchString(r.Identity) {
			l.at(fmt.Sprintf("source.replica_identity[%d].identity", i), "want default, full, nothing or index NAME")
		}
	}
	l.source("source.password_from", s.PasswordFrom, secretKinds)
	l.validateLogin()
}

// source checks the form of a secret's source, which is one of kinds; whether it can be read is for each
// connect to say.
func (l *loader) source(path string, s SecretSource, kinds []string) {
	kind, name, _ := strings.Cut(string(s), ":")
	forms := secretForms
	if len(kinds) == len(localSecrets) {
		forms = "file:PATH or env:NAME"
	}
	if s != "" && (!isOneOf(kind, kinds) || name == "" || name[0] == '#') {
		l.at(path, "want "+forms+", never the secret itself")
	}
}

func (l *loader) validateNumbers() {
	c := l.config
	for _, n := range []struct {
		path             string
		value, low, high int64
	}{
		{"snapshot.workers", int64(c.Snapshot.Workers), 1, 64},
		{"replay.keep", int64(c.Replay.Keep), 0, 1 << 50},
		{"snapshot.resume_rows", int64(c.Snapshot.ResumeRows), 0, 1 << 40},
		{"kafka.window_records", int64(c.Kafka.WindowRecords), 1, 10_000_000},
		{"kafka.window_bytes", int64(c.Kafka.WindowBytes), 1 << 16, 1 << 30},
		{"kafka.max_record_bytes", int64(c.Kafka.MaxRecordBytes), 1 << 10, 64 << 20},
		{"source.max_row_bytes", int64(c.Source.MaxRowBytes), 1 << 16, 1 << 30},
		{"source.catch_up_bytes", int64(c.Source.CatchUpBytes), 0, 1 << 50},
		{"source.catch_up_reopen", int64(c.Source.CatchUpReopen), 64 << 20, 1 << 50},
		{"topic.partitions", int64(c.Topic.Partitions), 0, 1 << 20},
		{"topic.replication_factor", int64(c.Topic.ReplicationFactor), 0, 1 << 10},
		{"format.money_fraction_digits", int64(c.Format.MoneyFractionDigits), 0, 32},
	} {
		if n.value < n.low || n.value > n.high {
			l.at(n.path, fmt.Sprintf("%d is not between %d and %d", n.value, n.low, n.high))
		}
	}
}

func (l *loader) validateKafka() {
	k := l.config.Kafka
	for _, b := range k.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			l.at("kafka.brokers", fmt.Sprintf("%q is not host:port", b))
		}
	}
	l.source("http.token_from", l.config.HTTP.TokenFrom, localSecrets)
	if l.config.HTTP.Listen != "" {
		if _, _, err := net.SplitHostPort(l.config.HTTP.Listen); err != nil {
			l.at("http.listen", fmt.Sprintf("%q is not host:port", l.config.HTTP.Listen))
		}
	}
	l.source("kafka.password_from", k.PasswordFrom, secretKinds)
	l.validateKafkaLogin()
	l.tls("kafka.tls", k.TLS)
	for path, name := range map[string]string{
		"kafka.position_topic": k.PositionTopic,
		"kafka.ledger_topic":   k.LedgerTopic,
	} {
		if !topicName.MatchString(name) {
			l.at(path, "a topic's name is made of 1 to 249 of a-z, A-Z, 0-9, dot, _ and -")
		}
	}
	if k.PositionTopic == k.LedgerTopic {
		l.at("kafka.ledger_topic", "the same as kafka.position_topic, which is compacted")
	}
}

func (l *loader) tls(path string, t TLSConfig) {
	if (t.CertFile == "") != (t.KeyFile == "") {
		l.at(path+".cert_file", "a certificate and its key go together: set cert_file and key_file")
	}
	if t.Enabled == "false" && (t.CAFile != "" || t.CertFile != "") {
		l.at(path+".enabled", "false, but certificates are given")
	}
}

func (l *loader) validateRegistry() {
	r := l.config.SchemaRegistry
	if u, err := url.Parse(string(r.URL)); r.URL != "" && (err != nil || u.Scheme != "http" &&
		u.Scheme != "https" || u.Host == "") {
		l.at("schema_registry.url", "want an address that begins with http:// or https://")
	}
	if r.BearerFrom != "" && (r.User != "" || r.PasswordFrom != "") {
		l.at("schema_registry.bearer_from", "a bearer token and a user exclude each other")
	}
	l.source("schema_registry.password_from", r.PasswordFrom, secretKinds)
	l.source("schema_registry.bearer_from", r.BearerFrom, secretKinds)
	l.tls("schema_registry.tls", r.TLS)
}

func (l *loader) validateTopics() {
	t := l.config.Topic
	if t.Prefix != "" && !topicName.MatchString(t.Prefix) {
		l.at("topic.prefix", "a topic's name is made of a-z, A-Z, 0-9, dot, _ and -")
	}
	for i, r := range t.Routes {
		if err := checkReplacement(r); err != nil {
			l.at(fmt.Sprintf("topic.routes[%d].replace", i), err.Error())
		}
	}
}

// checkReplacement refuses $group that the expression does not have: Go would write nothing in its place.
func checkReplacement(r Route) error {
	if r.Match.Regexp() == nil {
		return nil
	}
	for _, m := range regexp.MustCompile(`\$(\w+|\{\w+\})`).FindAllStringSubmatch(r.Replace, -1) {
		name := strings.Trim(m[1], "{}")
		var number int
		if _, err := fmt.Sscanf(name, "%d", &number); err == nil && fmt.Sprint(number) == name {
			if number > r.Match.Regexp().NumSubexp() {
				return fmt.Errorf("$%s: the expression has %d groups", name, r.Match.Regexp().NumSubexp())
			}
		} else if r.Match.Regexp().SubexpIndex(name) < 0 {
			return fmt.Errorf("$%s: the expression has no group of that name (a number before letters is written "+
				"${1})", name)
		}
	}
	return nil
}

func (l *loader) validateOperations() {
	for _, op := range l.config.SkippedOperations {
		switch {
		case op == "none" && len(l.config.SkippedOperations) > 1:
			l.at("skipped_operations", "none stands alone")
		case op != "none" && op != "c" && op != "u" && op != "d" && op != "t":
			l.at("skipped_operations", fmt.Sprintf("%q is not one of c, u, d, t, none", op))
		}
	}
}

func (l *loader) validateColumns() {
	if len(l.config.Columns.Include) > 0 && len(l.config.Columns.Exclude) > 0 {
		l.at("columns.exclude", "columns.include and columns.exclude exclude each other")
	}
	for i, r := range l.config.Columns.Rules {
		path := fmt.Sprintf("columns.rules[%d]", i)
		switch {
		case r.Action == "hash" && (r.Algorithm == "" || r.Salt == ""):
			l.at(path, "hash needs algorithm and salt")
		case r.Action == "hash" && r.Version != 0 && r.Version != 1 && r.Version != 2:
			l.at(path, "version is 1 or 2")
		case r.Action == "truncate" && r.Length < 1:
			l.at(path, "truncate needs a length of at least 1")
		case r.Length < 0:
			l.at(path, "length is negative")
		}
	}
}

package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

func (d *connector) hostname(value string) error {
	if value == "" || strings.ContainsAny(value, "/@ ") {
		return errors.New("want one host name or address")
	}
	d.source.Host = net.JoinHostPort(value, textOr(d.properties["database.port"], "5432"))
	return nil
}

func (d *connector) port(value string) error {
	if n, err := strconv.Atoi(value); err != nil || n < 1 || n > 65535 {
		return errors.New("want a port from 1 to 65535")
	}
	return nil // hostname has taken it, or will
}

func (d *connector) user(value string) error {
	d.source.User = url.User(value)
	return nil
}

func (d *connector) setPassword(value string) error {
	d.password = value
	return nil
}

func (d *connector) database(value string) error {
	d.source.Path = "/" + value
	return nil
}

func (d *connector) sslMode(value string) error {
	mode := strings.ToLower(value)
	if !isOneOf(mode, []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}) {
		return fmt.Errorf("%q is not one of disable, allow, prefer, require, verify-ca, verify-full", value)
	}
	d.query.Set("sslmode", mode)
	return nil
}

// inURL puts a value into the source URL.
func inURL(name string) func(*connector, string) error {
	return func(d *connector, value string) error {
		d.query.Set(name, value)
		return nil
	}
}

func (d *connector) autocreate(value string) error {
	to := map[string]string{
		"all_tables": "all_tables", "disabled": "false", "filtered": "filtered",
		"no_tables": "no_tables",
	}[strings.ToLower(value)]
	if to == "" {
		return fmt.Errorf("%q is not one of all_tables, disabled, filtered, no_tables", value)
	}
	return d.set(d.current, "source.create_publication", to, nil)
}

// identities reads REGEX:IDENTITY pairs.
func (d *connector) identities(value string) error {
	for _, pair := range splitList(value, true) {
		at := strings.LastIndexByte(pair, ':')
		if at < 1 {
			return fmt.Errorf("%q: want TABLE:IDENTITY", pair)
		}
		table, err := javaPattern(pair[:at], "(?i:", ")")
		if err != nil {
			return err
		}
		identity := strings.TrimSpace(pair[at+1:])
		if word := strings.ToLower(identity); !strings.HasPrefix(word, "index ") {
			identity = word
		}
		if !indexName.MatchString(identity) {
			return fmt.Errorf("%q: want DEFAULT, FULL, NOTHING or INDEX name", pair)
		}
		d.l.config.Source.ReplicaIdentity = append(d.l.config.Source.ReplicaIdentity, IdentityRule{table, identity})
	}
	d.note("source.replica_identity")
	return nil
}

// keyColumns reads REGEX:COLUMN,COLUMN;... .
func (d *connector) keyColumns(value string) error {
	for _, entry := range strings.Split(value, ";") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		at := strings.LastIndexByte(entry, ':')
		if at < 1 || at == len(entry)-1 {
			return fmt.Errorf("%q: want TABLE:COLUMN,COLUMN", entry)
		}
		table, err := javaPattern(strings.TrimSpace(entry[:at]), "(?i:", ")")
		if err != nil {
			return err
		}
		columns := splitList(entry[at+1:], true)
		patterns, err := javaPatterns(strings.Join(columns, ","))
		if err != nil {
			return err
		}
		d.l.config.Source.KeyColumns = append(d.l.config.Source.KeyColumns,
			KeyColumns{Table: table, Columns: columns, patterns: patterns})
	}
	d.note("source.key_columns")
	return nil
}

func (d *connector) snapshotMode(value string) error {
	mode := strings.ToLower(value)
	switch mode {
	case "never":
		mode = "no_data"
	case "exported":
		mode = "initial"
	case "configuration_based", "custom":
		return fmt.Errorf("%s is not known here: use initial, always, initial_only, no_data or when_needed", mode)
	}
	return d.set(d.current, "snapshot.mode", mode, nil)
}

func (d *connector) skipped(value string) error {
	ops := splitList(strings.ToLower(value), true)
	for _, op := range ops {
		if !isOneOf(op, []string{"c", "u", "d", "t", "none"}) {
			return fmt.Errorf("%q is not one of c, u, d, t, none", op)
		}
	}
	d.l.config.SkippedOperations = ops
	d.note("skipped_operations")
	return nil
}

// The properties that carry numbers, an algorithm and a salt in their names.
var (
	truncateRule = regexp.MustCompile(`\Acolumn\.truncate\.to\.(\d+)\.chars\z`)
	maskRule     = regexp.MustCompile(`\Acolumn\.mask\.with\.(\d+)\.chars\z`)
	hashRule     = regexp.MustCompile(`\Acolumn\.mask\.hash\.(v2\.)?([^.]+)\.with\.salt\.(.+)\z`)
)

func (d *connector) columnRule(value string) error {
	r := ColumnRule{}
	if m := truncateRule.FindStringSubmatch(d.current); m != nil {
		r.Action, r.Length = "truncate", number(m[1])
		if r.Length == 0 {
			return errors.New("truncating to 0 characters: use column.mask.with.0.chars")
		}
	} else if m := maskRule.FindStringSubmatch(d.current); m != nil {
		r.Action, r.Length = "mask", number(m[1])
	} else if m := hashRule.FindStringSubmatch(d.current); m != nil {
		r.Action, r.Algorithm, r.Salt, r.Version = "hash", m[2], Secret(m[3]), 1
		if m[1] != "" {
			r.Version = 2
		}
	} else {
		return errors.New("want column.truncate.to.N.chars, column.mask.with.N.chars or " +
			"column.mask.hash.ALGORITHM.with.salt.SALT")
	}
	var err error
	if r.Columns, err = javaPatterns(value); err != nil {
		return err
	}
	d.l.config.Columns.Rules = append(d.l.config.Columns.Rules, r)
	d.note("columns.rules")
	return nil
}

// number reads digits that an expression matched; what is beyond an int is as good as no limit.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 1 << 30
	}
	return n
}

// comments has the effect that the property has on Debezium: none, as its PostgreSQL connector never reads
// the comments of tables and columns.
func (d *connector) comments(value string) error {
	_, err := parseBool(value)
	return err
}

func (d *connector) exactlyOnce(value string) error {
	switch strings.ToLower(value) {
	case "required", "requested":
		return d.set(d.current, "delivery", "exactly-once", nil)
	}
	return errors.New("want requested or required")
}

func (d *connector) topicSetting(value string) error {
	if d.l.config.Topic.Config == nil {
		d.l.config.Topic.Config = map[string]string{}
	}
	d.l.config.Topic.Config[strings.TrimPrefix(d.current, "topic.creation.default.")] = value
	d.note("topic.config")
	return nil
}

func milliseconds(value string) (string, error) {
	if _, err := strconv.ParseUint(strings.TrimSpace(value), 10, 40); err != nil {
		return "", errors.New("want a number of milliseconds")
	}
	return strings.TrimSpace(value) + "ms", nil
}

// brokerDefault turns Kafka's -1 into our 0.
func brokerDefault(value string) (string, error) {
	if strings.TrimSpace(value) == "-1" {
		return "0", nil
	}
	return value, nil
}

func lower(value string) (string, error) { return strings.ToLower(strings.TrimSpace(value)), nil }

func underscored(value string) (string, error) {
	return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(value)), "-", "_"), nil
}

func withoutBlanks(value string) (string, error) { return strings.ReplaceAll(value, " ", ""), nil }

func negated(value string) (string, error) {
	b, err := parseBool(value)
	return strconv.FormatBool(!b), err
}

// parseBool takes what Connect takes.
func parseBool(value string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", value)
}

func textOr(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

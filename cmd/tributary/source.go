package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/snapshot"
)

// sourceAddress is host:port of the source, for people to read.
func sourceAddress(u URL) string {
	parsed, err := url.Parse(string(u))
	if err != nil {
		return ""
	}
	host, port := parsed.Hostname(), parsed.Port()
	if h := parsed.Query().Get("host"); h != "" {
		host = h
	}
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "5432"
	}
	return net.JoinHostPort(host, port)
}

// sourceUser is the role that the address names, empty for none.
func sourceUser(u URL) string {
	parsed, err := url.Parse(string(u))
	if err != nil {
		return ""
	}
	if parsed.User.Username() == "" {
		return parsed.Query().Get("user")
	}
	return parsed.User.Username()
}

// sourceDatabase is the source's database: source.db in every record.
func sourceDatabase(u URL) string {
	parsed, err := url.Parse(string(u))
	if err != nil {
		return ""
	}
	if name := strings.Trim(parsed.Path, "/"); name != "" {
		return name
	}
	return parsed.Query().Get("dbname")
}

// connectFunc makes ordinary connections to the source.
func connectFunc(o decoder.ConnectOptions) snapshot.ConnectFunc {
	return func(ctx context.Context) (*pgconn.PgConn, error) { return decoder.Connect(ctx, o) }
}

// placeholder reads unavailable_value_placeholder: text, or hex: and hexadecimal bytes.
func placeholder(text string) ([]byte, error) {
	digits, isHex := strings.CutPrefix(text, "hex:")
	if !isHex {
		return []byte(text), nil
	}
	decoded, err := hex.DecodeString(digits)
	if err != nil {
		return nil, usageError{fmt.Errorf("format.unavailable_value_placeholder: %w", err)}
	}
	return decoded, nil
}

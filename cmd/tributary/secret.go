package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
)

// redacted stands for a secret wherever one would be printed.
const redacted = "***"

// Secret is a value that no log, error or page may show: every way of printing it gives "***". The text
// itself
// comes out through string(s) alone.
type Secret string

// String returns "***", or nothing when there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue is String, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON is String, for encoding/json.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// SecretSource says where a secret is read: file:PATH or env:NAME. It is read anew at each connect, so a
// rotated password needs no restart. The source itself is no secret.
type SecretSource string

// Resolve reads the secret. One newline at the end, as editors and mounted secrets leave it, is cut. An empty
// source resolves to an empty secret.
func (s SecretSource) Resolve() (Secret, error) {
	kind, name, _ := strings.Cut(string(s), ":")
	switch {
	case s == "":
		return "", nil
	case kind == "file" && name != "":
		text, err := os.ReadFile(name)
		if err != nil {
			return "", faultError{fmt.Errorf("read secret: %w", err), "E604"}
		}
		return Secret(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")), nil
	case kind == "env" && name != "":
		text, found := os.LookupEnv(name)
		if !found {
			return "", faultError{fmt.Errorf("read secret: environment variable %s is not set", name), "E604"}
		}
		return Secret(text), nil
	}
	// The text is not repeated: whoever got the form wrong may well have put the password here.
	return "", fmt.Errorf("read secret: want file:PATH or env:NAME")
}

// GoString is String, for %#v.
func (u URL) GoString() string { return u.String() }

// LogValue is String, for log/slog.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalJSON is String, for encoding/json.
func (u URL) MarshalJSON() ([]byte, error) { return json.Marshal(u.String()) }

// redactURL prints an address without its password, wherever the address carries it.
func redactURL(u *url.URL) string {
	shown := *u
	if _, has := shown.User.Password(); has {
		shown.User = url.UserPassword(shown.User.Username(), "xxx")
	}
	query := shown.Query()
	for name := range query {
		if name == "password" || name == "sslpassword" {
			query.Set(name, "xxx")
			shown.RawQuery = query.Encode()
		}
	}
	return shown.String()
}

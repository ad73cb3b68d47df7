package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
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

// SecretSource says where a secret is read: file:PATH, env:NAME, secretsmanager:NAME or ssm:NAME, the last
// two with ARNs and #KEY as well. It is read anew at each connect, so a rotated password needs no restart.
// The source itself is no secret.
type SecretSource string

// localSecrets and secretKinds are the kinds of source: those that ask nobody, and all.
var (
	localSecrets = []string{"file", "env"}
	secretKinds  = append([]string{"secretsmanager", "ssm"}, localSecrets...)
)

// Resolve reads the secret. One newline at the end, as editors and mounted secrets leave it, is cut. An empty
// source resolves to an empty secret. AWS is asked through a, for at most awsTimeout.
func (s SecretSource) Resolve(ctx context.Context, a *awsAccess) (Secret, error) {
	secret, err := s.resolve(ctx, a)
	if kind, _, _ := strings.Cut(string(s), ":"); slices.Contains(secretKinds, kind) {
		a.count(kind, err)
	}
	return secret, err
}

func (s SecretSource) resolve(ctx context.Context, a *awsAccess) (Secret, error) {
	kind, name, _ := strings.Cut(string(s), ":")
	name, field, _ := strings.Cut(name, "#")
	if kind == "file" || kind == "env" {
		_, name, _ = strings.Cut(string(s), ":") // a path may have a # in it
	}
	switch {
	case s == "":
		return "", nil
	case kind == "file" && name != "":
		text, err := os.ReadFile(name)
		if err != nil {
			return "", advisedError{
				faultError{fmt.Errorf("read secret: %w", err), "E604"},
				"ls -l " + shellQuoted(name) + "   # as the user that runs tributary",
			}
		}
		return Secret(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")), nil
	case kind == "env" && name != "":
		text, found := os.LookupEnv(name)
		if !found {
			return "", advisedError{
				faultError{fmt.Errorf("read secret: environment variable %s is not set", name), "E604"},
				"export " + name + "=...",
			}
		}
		return Secret(text), nil
	case kind == "secretsmanager" && name != "":
		return s.field(a.secret(ctx, name))(field)
	case kind == "ssm" && name != "":
		return s.field(a.parameter(ctx, name))(field)
	}
	// The text is not repeated: whoever got the form wrong may well have put the password here.
	return "", faultError{errors.New("read secret: want " + secretForms), "E604"}
}

// secretForms is what a source may look like, for people.
const secretForms = "file:PATH, env:NAME, secretsmanager:NAME or ssm:NAME"

// field returns what takes one value out of a secret that is JSON, as RDS and MSK keep theirs: the named one,
// or without a name password. A text that is no JSON object is the secret itself.
func (s SecretSource) field(whole Secret, err error) func(name string) (Secret, error) {
	return func(name string) (Secret, error) {
		var fields map[string]json.RawMessage
		switch {
		case err != nil:
			return "", err
		case json.Unmarshal([]byte(whole), &fields) == nil && fields != nil:
		case name != "":
			return "", faultError{fmt.Errorf("read secret %s: it is no JSON object, so it has no %s", string(s),
				name), "E604"}
		default:
			return whole, nil
		}
		var text string
		if name = textOr(name, "password"); json.Unmarshal(fields[name], &text) != nil {
			return "", faultError{fmt.Errorf("read secret %s: its JSON has no text called %s: name the key, as "+
				"in #KEY", string(s), name), "E604"}
		}
		return Secret(text), nil
	}
}

// URL is an address that may hold a password. It prints without it.
type URL string

// String returns the address without its password.
func (u URL) String() string {
	parsed, err := url.Parse(string(u))
	if err != nil {
		return "(an address that cannot be read)" // the text might hold the password
	}
	return redactURL(parsed)
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

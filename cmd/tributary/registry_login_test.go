package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestRegistryLogins asks a registry over TLS with each kind of login, and is refused by each kind of wrong
// certificate with words that say which.
func TestRegistryLogins(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	clientCert, clientKey := a.issue("client", "tributary", time.Hour)
	serve := func(file, name string, until time.Duration, mutual bool, login string) string {
		certFile, keyFile := a.issue(file, name, until)
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != login {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = io.WriteString(w, "[]")
		}))
		s.TLS = a.server(certFile, keyFile, mutual)
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes are refused on purpose
		s.StartTLS()
		t.Cleanup(s.Close)
		return strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	}
	const ( // what helps, which tells the causes apart
		otherName        = "the names that it has: connect by one of them"
		outOfTime        = "if the clock is right, have the certificate renewed"
		unknownAuthority = "whose PEM file goes into schema_registry.tls.ca_file"
	)
	secret := writeFile(t, "secret", canary)
	basic := "Basic dTpzM2NyM3QtY2FuYXJ5" // u:s3cr3t-canary
	trusted := fmt.Sprintf("tls: {ca_file: %q}", a.file)
	for _, test := range []struct{ name, url, more, want string }{
		{
			"basic", serve("basic", "localhost", time.Hour, false, basic),
			trusted + ", user: u, password_from: 'file:" + secret + "'", "ok    registry",
		},
		{
			"bearer", serve("bearer", "localhost", time.Hour, false, "Bearer "+canary),
			trusted + ", bearer_from: 'file:" + secret + "'", "ok    registry",
		},
		{
			"mtls", serve("mtls", "localhost", time.Hour, true, ""),
			fmt.Sprintf("tls: {ca_file: %q, cert_file: %q, key_file: %q}", a.file, clientCert, clientKey), "ok    " +
				"registry",
		},
		{"mtls without", serve("without", "localhost", time.Hour, true, ""), trusted, "certificate required"},
		{"name", serve("name", "registry.example", time.Hour, false, ""), trusted, otherName},
		{"expired", serve("expired", "localhost", -time.Hour, false, ""), trusted, outOfTime},
		{
			"authority", serve("authority", "localhost", time.Hour, false, ""),
			fmt.Sprintf("tls: {ca_file: %q}", stranger.file), unknownAuthority,
		},
		{"default", serve("default", "localhost", time.Hour, false, ""), "", unknownAuthority},
	} {
		file := writeFile(t, "c.yaml", fmt.Sprintf("source: {url: 'postgres://u@h/db', tables: [a.b]}\n"+
			"kafka: {brokers: ['h:1']}\ntopic: {prefix: t}\nschema_registry: {url: %q, %s}\n", test.url, test.more))
		_, stdout, stderr := execute(t, &program{}, "check", "-c", file, "--only", "registry")
		got := strings.Join(strings.Fields(stdout+stderr), " ")
		if !strings.Contains(got, strings.Join(strings.Fields(test.want), " ")) || strings.Contains(got, canary) {
			t.Errorf("%s: want %s, got\n%s%s", test.name, test.want, stdout, stderr)
		}
	}
}

package decoder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]int{
		"17.10 (Debian 17.10-1)": 170010, "13.23": 130023, "18beta1": 180000,
		"19devel": 190000, "": 0, "x": 0,
	} {
		if got := parseVersion(text); got != want {
			t.Errorf("%q: want %d, got %d", text, want, got)
		}
	}
}

func TestConfigTLS(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	t.Setenv("PGSERVICE", "")
	for _, test := range []struct {
		url      string
		verified bool // the server's name is checked
		plain    bool // a connection without TLS is allowed
	}{
		{"postgres://u@db.example.com/d", true, false},
		{"postgresql://u@10.0.0.1:5432/d?connect_timeout=3", true, false},
		{"host=db.example.com user=u dbname=d", true, false},
		{"postgres://u@localhost,db.example.com/d", true, false},
		{"postgres://u@db.example.com/d?sslmode=require", false, false},
		{"postgres://u@db.example.com/d?sslmode=disable", false, true},
		{"host=db.example.com user=u sslmode=prefer", false, true},
		{"postgres://u@localhost/d", false, true},
		{"postgres://u@127.0.0.1/d", false, true},
		{"postgres://u@[::1]/d", false, true},
		{"host=/var/run/postgresql user=u", false, true},
	} {
		config, err := Config(context.Background(), ConnectOptions{URL: test.url})
		if err != nil {
			t.Errorf("%s: %v", test.url, err)
			continue
		}
		plain := config.TLSConfig == nil
		verified := !plain && !config.TLSConfig.InsecureSkipVerify && config.TLSConfig.ServerName != ""
		for _, f := range config.Fallbacks {
			plain = plain || f.TLSConfig == nil
		}
		if plain != test.plain || verified != test.verified {
			t.Errorf("%s: plain %t, verified %t", test.url, plain, verified)
		}
	}
}

func TestConfigPinsParameters(t *testing.T) {
	config, err := Config(context.Background(), ConnectOptions{
		Replication:     true,
		ApplicationName: strings.Repeat("n", 100),
		URL: "postgres://u@localhost/d?datestyle=German&timezone=Asia/Tokyo&replication=true" +
			"&options=-cgeqo%3Doff",
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"DateStyle": "ISO", "TimeZone": "UTC", "replication": "database",
		"application_name": strings.Repeat("n", 63), "options": "-cgeqo=off", "tcp_user_timeout": "0",
	} {
		if got := config.RuntimeParams[name]; got != want {
			t.Errorf("%s: want %q, got %q", name, want, got)
		}
	}
	for _, name := range []string{"datestyle", "timezone"} {
		if got, found := config.RuntimeParams[name]; found {
			t.Errorf("%s is still %q", name, got)
		}
	}
}

// No part of a password may come back in an error, whatever is wrong with the URL.
func TestConfigErrorsHideSecrets(t *testing.T) {
	for _, url := range []string{
		"postgres://u:sec/ret@h/d", "postgres://u:sec ret@h/d", "postgres://u:%zzsecret@h/d",
		"postgres://u:a@secret:x/d",
		"postgres://u:secret@h/d?sslmode=bogus", "password=secret host=", "password='secret", "u:secret@h",
		"postgres://u:secret@h:99999999/d", "postgres://u:secret@h/d?sslrootcert=/does/not/exist",
	} {
		_, err := Config(context.Background(), ConnectOptions{URL: url})
		if err == nil {
			continue
		}
		text := fmt.Sprintf("%v %+v %#v", err, err, err)
		for _, part := range []string{"sec", "ret"} {
			if strings.Contains(strings.ReplaceAll(text, "secret_", ""), part) {
				t.Errorf("%s: %s", url, text)
			}
		}
	}
}

func TestConnectAsksForThePasswordOnceMore(t *testing.T) {
	// A server that refuses every password.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write(piece('E', []byte("SFATAL\x00C28P01\x00Mpassword authentication failed\x00\x00")))
			_ = conn.Close()
		}
	}()
	asked := 0
	_, err = Connect(context.Background(), ConnectOptions{
		URL:      "postgres://u:old@" + listener.Addr().String() + "/d?sslmode=disable",
		Password: func(context.Context) (string, error) { asked++; return "hidden", nil },
	})
	var auth *AuthError
	if !errors.As(err, &auth) || Retryable(err) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("want an AuthError, got %v", err)
	}
	if asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
	failed := errors.New("no secret")
	_, err = Connect(context.Background(), ConnectOptions{
		URL:      "postgres://u@localhost/d",
		Password: func(context.Context) (string, error) { return "", failed },
	})
	if !errors.Is(err, failed) {
		t.Errorf("want the reason why there is no password, got %v", err)
	}
}

func TestFault(t *testing.T) {
	for _, test := range []struct {
		name  string
		err   error
		again bool
		down  bool
	}{
		{"shutdown", &pgconn.PgError{Code: "57P01"}, true, true},
		{"starting up", &pgconn.PgError{Code: "57P03"}, true, true},
		{"full", &pgconn.PgError{Code: "53300"}, true, false},
		{"out of memory", &pgconn.PgError{Code: "53200"}, true, false},
		{"no privilege", &pgconn.PgError{Code: "42501"}, false, false},
		{"bad encoding", &pgconn.PgError{Code: "22021"}, false, false},
		{"too large", &pgconn.PgError{Code: "XX000", Message: "invalid memory alloc request size 9"}, false, false},
		{"internal", &pgconn.PgError{
			Code: "XX000", Message: `could not map filenumber "base/5/16400" to relation OID`,
		}, true, false},
		{"corrupted", &pgconn.PgError{Code: "XX001"}, false, false},
		{"wrong password", &pgconn.PgError{Code: "28P01"}, false, false},
		{"not in pg_hba", &pgconn.PgError{Code: "28000"}, false, false},
		{"connection ended", io.ErrUnexpectedEOF, true, false},
		{"refused", &net.OpError{Op: "dial", Err: errors.New("connection refused")}, true, false},
		{"canceled", context.Canceled, false, false},
		{"unknown", errors.New("what"), false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := fault("do it", fmt.Errorf("wrapped: %w", test.err))
			if Retryable(err) != test.again || errors.Is(err, ErrServerShutdown) != test.down {
				t.Errorf("retryable %t, shutdown %t: %v", Retryable(err), errors.Is(err, ErrServerShutdown), err)
			}
			if !strings.HasPrefix(err.Error(), "do it: ") {
				t.Errorf("it does not say what was being done: %v", err)
			}
		})
	}
}

// Settings of the role and the database do not reach any session of ours.
func TestConnectOverridesSettings(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		for _, setting := range []string{
			"DateStyle = 'German'", "bytea_output = 'escape'",
			"TimeZone = 'Asia/Tokyo'", "extra_float_digits = -5", "IntervalStyle = 'iso_8601'",
			"statement_timeout = '1ms'",
			"client_min_messages = 'error'", "tcp_user_timeout = 1000",
		} {
			db.exec("ALTER DATABASE " + db.name + " SET " + setting)
		}
		if db.version >= 140000 {
			db.exec("ALTER DATABASE " + db.name + " SET idle_session_timeout = '1h'")
		}
		if db.version >= 170000 {
			db.exec("ALTER DATABASE " + db.name + " SET transaction_timeout = '1h'")
		}
		for _, replication := range []bool{false, true} {
			o := db.connect
			o.Replication = replication
			conn := dial(t, o)
			got := query(t, conn, `SELECT '2026-11-21'::date, '\x00ff'::bytea, '2026-11-21 00:00+00'::timestamptz,
				0.1::float8 + 0.2::float8, '1 day 02:00'::interval, current_setting('statement_timeout'),
				current_setting('client_min_messages'), coalesce(current_setting('idle_session_timeout', true), '0'),
				coalesce(current_setting('transaction_timeout', true), '0')`)[0]
			want := `2026-11-21|\x00ff|2026-11-21 00:00:00+00|0.30000000000000004|1 day 02:00:00|0|warning|0|0`
			if strings.Join(got, "|") != want {
				t.Errorf("replication %t: want %s, got %s", replication, want, strings.Join(got, "|"))
			}
		}
	})
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

const canary = "s3cr3t-canary"

// execute runs a command line and returns what it printed.
func execute(t *testing.T, p *program, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p.stdout, p.stderr = &out, &errs
	code = p.execute(t.Context(), args)
	return code, out.String(), errs.String()
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"version", exitOK, "tributary "},
		{"version --json", exitOK, `"version"`},
		{"runn", exitUsage, `unknown command "runn": did you mean run?`},
		{"config prnt", exitUsage, "did you mean print?"},
		{"snapshot", exitUsage, "name tables with --table"},
		{"run --brokrs x", exitUsage, "[E602]"},
		{"run -c testdata/short.good.yaml --http-listen 192.0.2.1:1", exitUsage, "[E603]"},
		{"status --addr 127.0.0.1:1", exitFailed, "[E610]"},
		{"snapshot --table a.b", exitUsage, "http.token_from is not set"},
		{"run --brokrs x", exitUsage, "unknown flag --brokrs: did you mean --brokers?"},
		{"check --only kafak", exitUsage, "did you mean kafka?"},
		{"run extra", exitUsage, `takes no argument, but got "extra"`},
		{"run", exitUsage, "source.url: missing"},
		{"run -c no-such-file.yaml", exitUsage, "no such file"},
		{"run -c a --from-debezium b", exitUsage, "exclude each other"},
		{"config convert", exitUsage, "takes one file"},
		{"config validate -c testdata/short.good.yaml", exitOK, "is valid"},
		{"config schema", exitOK, "json-schema.org"},
		{"status --addr 127.0.0.1:1", exitFailed, "nothing answers at 127.0.0.1:1"},
		{"help", exitUsage, "unknown command"},
		{"", exitOK, "Commands:"},
	} {
		code, stdout, stderr := execute(t, &program{}, strings.Fields(test.args)...)
		if code != test.code || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("%q: exit code %d, printed %s%s", test.args, code, stdout, stderr)
		}
	}
}

// canaryConfig is a file whose every secret is the canary, and whose servers refuse.
func canaryConfig(t *testing.T, registry string) string {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "c.yaml")
	text := fmt.Sprintf(`source:
  url: "postgres://u:%s@127.0.0.1:1/db?sslmode=disable"
  tables: [a.b]
  password_from: "file:%s"
kafka: {brokers: ["127.0.0.1:1"], auth: plain, user: u, password_from: "file:%s"}
schema_registry: {url: "%s", user: u, password_from: "file:%s"}
topic: {prefix: t}
columns: {rules: [{columns: [a.b.c], action: hash, algorithm: SHA-256, salt: %s}]}
http: {listen: "127.0.0.1:0"}
`, canary, secret, secret, registry, secret, canary)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestNoSecretIsShown drives the error paths with a password that must then be nowhere.
func TestNoSecretIsShown(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		if password != canary {
			t.Errorf("the registry was asked with password %q", password)
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer refusing.Close()
	stub := newAWSStub(t)
	stub.podIdentity(t)
	withPassword := strings.Replace(refusing.URL, "://", "://u:"+canary+"@", 1)
	page := ""
	failing := func(_ context.Context, o runOptions) error {
		o.Log.Error("wrapped", "config", fmt.Sprintf("%+v %#v", o.Config.Columns.Rules, o.Config.Source.URL),
			"url", o.Config.Source.URL, "salt", o.Config.Columns.Rules[0].Salt)
		recorder := httptest.NewRecorder()
		o.Board.Fail(fmt.Errorf("open %s: %w", o.Config.Source.URL, errors.ErrUnsupported), false)
		handler(o.Board, prometheus.NewRegistry(), testPage(t, o.Board)).ServeHTTP(recorder,
			httptest.NewRequest(http.MethodGet, "/api/v1/status", nil))
		page = recorder.Body.String()
		recorder = httptest.NewRecorder()
		handler(o.Board, prometheus.NewRegistry(), testPage(t, o.Board)).ServeHTTP(recorder,
			httptest.NewRequest(http.MethodGet, "/", nil))
		page += recorder.Body.String()
		_, err := decoder.Connect(t.Context(), sourceOptions(o.Config))
		return errors.New("connect: " + err.Error()) // no longer one to try again after
	}
	for _, registry := range []string{refusing.URL, withPassword} {
		file := canaryConfig(t, registry)
		for _, args := range []string{
			"config print --comments -c " + file, "config validate -c " + file, "check -c " + file,
			"check --json -c " + file,
			"tail -c " + file, "run -c " + file, "config print --source-url postgres://u:" + canary + "@[::1/db -c " +
				file,
			"config print --source-password-from " + canary + " -c " + file,
			// The same by Secrets Manager, and as an IAM user, whose token is as good as a password.
			"check --source-password-from secretsmanager:x --kafka-password-from ssm:/cdc/password -c " + file,
			"run --source-password-from secretsmanager:x#none -c " + file,
			"check --source-auth rds_iam --source-password-from= --source-url postgres://u@127.0.0.1:1/db -c " + file,
			"check --only kafka --kafka-auth msk_iam --kafka-user= --kafka-password-from= --kafka-brokers " +
				strings.TrimPrefix(refusing.URL, "http://") + " -c " + file,
			"config convert " + connectorFile(t, map[string]string{"database.hostname": "/" + "x"}),
			"config print --brokers a:1 --from-debezium " + connectorFile(t, nil),
		} {
			code, stdout, stderr := execute(t, &program{run: failing}, strings.Fields(args)...)
			if strings.Contains(stdout+stderr, canary) {
				t.Errorf("%s: exit code %d, shows the secret:\n%s%s", args, code, stdout, stderr)
			}
			if strings.HasPrefix(args, "check") && (code != exitCheck || !strings.Contains(stdout, "FAIL")) {
				t.Errorf("%s: exit code %d:\n%s%s", args, code, stdout, stderr)
			}
		}
	}
	if page == "" || strings.Contains(page, canary) {
		t.Errorf("page: %s", page)
	}
}

func TestSecretSource(t *testing.T) {
	t.Setenv("A_SECRET", canary)
	file := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(file, []byte(canary+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []SecretSource{"env:A_SECRET", SecretSource("file:" + file)} {
		secret, err := s.Resolve(t.Context(), nil)
		if err != nil || string(secret) != canary {
			t.Errorf("%s: %v", s, err)
		}
		text, err := json.Marshal(struct{ S Secret }{secret})
		if shown := fmt.Sprintf("%v %+v %#v %s %s %v", secret, secret, secret, secret, text,
			err); strings.Contains(shown, canary) {
			t.Error(shown)
		}
	}
	for _, s := range []SecretSource{"env:NOT_SET_ANYWHERE", "file:/no/such", canary, "vault:x"} {
		if _, err := s.Resolve(t.Context(), nil); err == nil || codeOf(err) != "E604" ||
			strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// retryableError is an error that says whether trying again helps, and whether a person must.
type retryableError struct{ retry, person bool }

func (e retryableError) Error() string     { return "broken" }
func (e retryableError) Retryable() bool   { return e.retry }
func (e retryableError) NeedsPerson() bool { return e.person }

// TestSupervise: what may pass is tried again with pauses, the rest ends, and on_failure: stay waits for a
// person.
func TestSupervise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaultConfig()
		attempts, began := 0, time.Now()
		p := &program{run: func(context.Context, runOptions) error {
			if attempts++; attempts < 4 {
				return fmt.Errorf("attempt %d: %w", attempts, retryableError{retry: true})
			}
			if attempts == 4 {
				return retryableError{person: true}
			}
			return errors.New("nobody has foreseen this")
		}}
		o := runOptions{
			Config: c, Log: slog.New(slog.DiscardHandler), Board: newBoard(c),
			Stop: make(chan struct{}),
		}
		err := p.supervise(t.Context(), o)
		if attempts != 4 || exitCode(err) != exitPerson {
			t.Errorf("%d attempts, %v", attempts, err)
		}
		if took := time.Since(began); took < 2*time.Second || took > 5*time.Second {
			t.Errorf("three pauses took %s", took)
		}
		o.Config.OnFailure = "stay"
		stop := make(chan struct{})
		o.Stop = stop
		ended := make(chan error)
		go func() { ended <- p.supervise(t.Context(), o) }()
		synctest.Wait()
		if s := o.Board.Status(); s.State != stateFailed || ready(s) || !s.Error.NeedsPerson {
			t.Errorf("status while staying: %+v", s)
		}
		close(stop)
		if err := <-ended; exitCode(err) != exitPerson {
			t.Errorf("after the stop: %v", err)
		}
	})
}

// TestSignals: the first one stops in order with exit code 0, the second one does not wait.
func TestSignals(t *testing.T) {
	for _, patient := range []bool{true, false} {
		signals := make(chan os.Signal, 2)
		p := &program{signals: signals, stdout: io.Discard, stderr: io.Discard, patience: 20 * time.Millisecond}
		p.run = func(ctx context.Context, o runOptions) error {
			signals <- syscall.SIGTERM
			<-o.Stop
			if patient {
				return nil
			}
			ticker := time.NewTicker(time.Millisecond)
			defer ticker.Stop()
			for began := time.Now(); ctx.Err() == nil; <-ticker.C {
				select {
				case signals <- syscall.SIGINT:
				default:
				}
				if took := time.Since(began); took > 10*time.Second {
					return fmt.Errorf("not cancelled after %s", took)
				}
			}
			return ctx.Err()
		}
		want := map[bool]int{true: exitOK, false: exitSignal}[patient]
		var told bytes.Buffer
		p.stderr = &told
		if code := p.execute(t.Context(), []string{
			"run", "-c", "testdata/short.good.yaml", "--http-listen",
			"127.0.0.1:0",
		}); code != want {
			t.Errorf("patient %t: exit code %d, want %d", patient, code, want)
		}
		if strings.Contains(told.String(), "[E605]") == patient {
			t.Errorf("patient %t: told %s", patient, told.String())
		}
	}
}

func TestExitCodes(t *testing.T) {
	if code := codeOf(errors.New("x")); code != "E600" {
		t.Errorf("an error without a code has %s", code)
	}
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("x"), exitFailed},
		{fmt.Errorf("run: %w", &schema.ValueError{}), exitPerson},
		{fmt.Errorf("run: %w", &decoder.RowTooLargeError{}), exitPerson},
		{fmt.Errorf("x: %w", usageError{errors.New("y")}), exitUsage},
		{fmt.Errorf("x: %w", &configError{}), exitUsage},
		{fmt.Errorf("x: %w", retryableError{person: true}), exitPerson},
		{fmt.Errorf("x: %w", &decoder.SlotLostError{}), exitPerson},
		{fmt.Errorf("x: %w", &decoder.SlotMissingError{}), exitPerson},
		{fmt.Errorf("x: %w", errSecondSignal), exitSignal},
		{fmt.Errorf("x: %w", &decoder.AuthError{Code: "28P01"}), exitPerson},
		{fmt.Errorf("x: %w", &decoder.ServerError{Code: "42501"}), exitPerson},
		{fmt.Errorf("x: %w", &decoder.ServerError{Code: "55000"}), exitPerson},
		{fmt.Errorf("x: %w", &decoder.ServerError{Code: "XX000"}), exitFailed},
		{fmt.Errorf("x: %w", &schema.RegistryAuthError{Status: 401}), exitPerson},
		{fmt.Errorf("x: %w", &schema.RegistryDownError{Status: 503}), exitFailed},
	} {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%v: %d, want %d", test.err, got, test.want)
		}
	}
}

// fixedStatus is a status with every field set.
func fixedStatus() status {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	safe, estimate, eta, offset, active := int64(1<<30), int64(603), 12.5, -0.5, true
	p50, p99 := 0.003, 0.0072
	return status{
		Version: statusVersion, Pipeline: "orders", State: stateSnapshot, Since: at.Add(-90 * time.Second),
		Time: at, Detail: "Reading tables.",
		Error: &statusError{
			codeUnknown, "slot tri is lost", true, "tributary slots list", exitPerson, false,
		},
		Program: statusProgram{"v1.0.0", "0123456789abcdef", "go1.26", "host", at.Add(-2 * time.Minute)},
		Source: statusSource{
			"127.0.0.1:5432", "orders", "17.10", "7710599800389413271", 1, "tri", "pub", true,
			"reserved", "live", "", 0, 0, &active, 8192, 1.5, &offset, &statusSpill{3, 4097},
		},
		Position: statusLSNs{"0/1", "0/2", "0/3", "0/4", "0/5", statusTimes{nil, nil, &at, &at, &at}},
		Lag:      statusLag{1 << 20, 2 << 20, &safe, 0.25, 4096, &eta},
		Recent:   statusRecent{120, &p50, &p99, 1234.5, 1 << 20},
		Forecast: &statusForecast{nil, 1.5, nil, "a transaction keeps it from moving: pid 1", holderTransaction},
		Snapshot: &statusSnapshot{
			"initial", true, "0/1", "public.a", 0, 2, 100, &estimate, 40, &eta, 9,
			[]statusOpenTable{
				{"public.a", 100, &estimate, 4, 1},
			},
			map[string]int64{"public.a": 603},
		},
		Snapshots: []statusJob{{"initial", "initial", "running", []string{}, at}},
		Kafka:     statusKafka{"exactly-once", 1000, 10, 0.05, 0.01, 16384, 4096, "none"},
		Registry:  statusRegistry{1, &at},
		Tables: []statusTable{{
			"public.a", "orders.public.a", 1, 2, 3, 4, 5, 6, []string{"id"}, "default", 7, 8, &at, 2.5,
		}},
		Warnings: []string{"public.b has no key"},
		Problems: []statusProblem{{
			at.Add(-time.Minute), at, 2, "connection_lost", "stream slot tri: connection reset", "wait",
		}},
		SchemaChanges: []statusChange{{at, "public.a", "added note text", "orders.public.a-value", 8, 0}},
	}
}

func TestStatusJSON(t *testing.T) {
	text, err := json.MarshalIndent(fixedStatus(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "testdata/status.v1.json", string(text)+"\n")
	var b strings.Builder
	if err := writeStatus(&b, fixedStatus()); err != nil {
		t.Fatal(err)
	}
	compare(t, "testdata/status.txt", b.String())
}

func TestHTTP(t *testing.T) {
	b := newBoard(defaultConfig())
	h := handler(b, prometheus.NewRegistry(), testPage(t, b))
	get := func(path string) (int, string) {
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		if recorder.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: may be cached", path)
		}
		return recorder.Code, recorder.Body.String()
	}
	expect := func(state string, livez, readyz, startupz int) {
		t.Helper()
		for path, want := range map[string]int{
			"/livez": livez, "/healthz": livez, "/readyz": readyz, "/startupz": startupz,
			"/api/v1/status": 200, "/metrics": 200, "/x": 404,
			"/api/v1/tables": 200, "/api/v1/errors": 200, "/config": 200, "/errors": 200,
		} {
			if code, _ := get(path); code != want {
				t.Errorf("%s: %s answers %d, want %d", state, path, code, want)
			}
		}
	}
	expect("starting", 200, 503, 503)
	// A slot's creation may wait for hours for a transaction: the program has started, and is not ready.
	for _, one := range []struct {
		state, server, stuck    string
		livez, readyz, startupz int
	}{
		{statePreflight, "", "", 200, 503, 503},
		{statePreflight, "17.10", "", 200, 503, 200},
		{statePreflight, "", "", 200, 503, 200}, // of the next attempt: what has started stays so
		{stateSnapshot, "17.10", "", 200, 200, 200},
		{stateStandby, "17.10", "", 200, 200, 200},
		{stateStreaming, "17.10", "", 200, 200, 200},
		{stateStreaming, "17.10", "the encoder has not come round for 31s", 503, 200, 200},
	} {
		b.Feed(func() status {
			s := b.Base()
			s.State, s.Source.ServerVersion, s.stuck = one.state, one.server, one.stuck
			return s
		})
		expect(one.state+" "+one.server+one.stuck, one.livez, one.readyz, one.startupz)
	}
	b.Fail(retryableError{person: true}, false)
	expect("failed", 200, 503, 200)
	if _, text := get("/readyz"); text != "failed: broken\n" {
		t.Errorf("readyz says %q", text)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	code, stdout, stderr := execute(t, &program{}, "status", "--addr", strings.TrimPrefix(server.URL, "http://"))
	if code != exitPerson || !strings.Contains(stdout, "FAILED") || stderr != "tributary: \n" && stderr != "" {
		t.Errorf("status: exit code %d, %s%s", code, stdout, stderr)
	}
}

func TestProgress(t *testing.T) {
	s := fixedStatus().Snapshot
	if got := progressLine(*s, 79); got != "snapshot 0/2 tables  100 rows  40 rows/s  ETA 13s  public.a" {
		t.Error(got)
	}
	if got := progressLine(*s, 40); got != "snapshot 0/2 tables  100 rows  40 rows/s" {
		t.Error(got)
	}
	s.ETASeconds = nil
	if got := progressLine(*s, 79); got != "snapshot 0/2 tables  100 rows  40 rows/s  ETA unknown  public.a" {
		t.Error(got)
	}
	if got := fmt.Sprint(progressAttrs(*s)); strings.Contains(got, "eta_seconds") {
		t.Error(got)
	}
	var b bytes.Buffer
	p := newProgress(&b, true)
	p.draw("50 %")
	fmt.Fprintln(p, "a log line")
	p.draw("")
	if got, want := b.String(), "\r\x1b[K50 %\r\x1b[Ka log line\n50 %\r\x1b[K"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestLogLevel changes the level of a running instance, which wants the token, and looks at what is logged.
func TestLogLevel(t *testing.T) {
	c := defaultConfig()
	c.HTTP.TokenFrom = "env:TRIBUTARY_TOKEN"
	t.Setenv("TRIBUTARY_TOKEN", canary)
	b := newBoard(c)
	var logged strings.Builder
	log := newLogger(&logged, c.Log, false, &b.level)
	h := handler(b, prometheus.NewRegistry(), testPage(t, b))
	ask := func(method, token, body string, want int, level string) {
		t.Helper()
		request := httptest.NewRequest(method, "/api/v1/loglevel", strings.NewReader(body))
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request)
		var answer levelAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		if w.Code != want || answer.Level != level || (answer.Error == "") != (want == http.StatusOK) {
			t.Errorf("%s %s: %d, %+v", method, body, w.Code, answer)
		}
	}
	log.Debug("before")
	ask(http.MethodGet, "", "", 200, "info")
	ask(http.MethodPut, "", `{"level": "debug"}`, 401, "info")
	ask(http.MethodPut, "wrong", `{"level": "debug"}`, 401, "info")
	ask(http.MethodPut, canary, `{"level": "loud"}`, 400, "info")
	ask(http.MethodPut, canary, `debug`, 400, "info")
	ask(http.MethodPut, canary, `{"level": "debug"}`, 200, "debug")
	log.Debug("between")
	ask(http.MethodPut, canary, `{"level": "error"}`, 200, "error")
	log.Warn("after")
	if got := logged.String(); strings.Contains(got, "before") || !strings.Contains(got, "between") ||
		strings.Contains(got, "after") {
		t.Errorf("logged %q", got)
	}
}

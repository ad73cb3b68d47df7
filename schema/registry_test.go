package schema

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"
)

const (
	oneField  = `{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}`
	twoFields = `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"}]}`
)

// registryOn returns a Registry on a fake whose every request passes through intercept first.
func registryOn(t *testing.T, o RegistryOptions, intercept func(w http.ResponseWriter,
	r *http.Request) bool,
) *Registry {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	if intercept != nil {
		fake.Intercept(intercept)
	}
	o.URL = fake.URL() + "/" // a slash at the end must not matter
	if o.MaxPause == 0 {
		o.MaxPause = time.Millisecond
	}
	g, err := NewRegistry(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestRegistryCachesIDs(t *testing.T) {
	var requests atomic.Int64
	g := registryOn(t, RegistryOptions{}, func(http.ResponseWriter, *http.Request) bool {
		requests.Add(1)
		return false
	})
	first, err := g.ID(t.Context(), "t-value", oneField)
	if err != nil || first == 0 {
		t.Fatalf("ID: got %d, %v", first, err)
	}
	asked := requests.Load()
	if again, err := g.ID(t.Context(), "t-value", oneField); again != first || err != nil ||
		requests.Load() != asked {
		t.Errorf("ID again: want %d without a request, got %d, %v, %d requests", first, again, err,
			requests.Load()-asked)
	}
	if other, err := g.ID(t.Context(), "u-value", oneField); other != first || err != nil {
		t.Errorf("the same schema under another subject: want %d, got %d, %v", first, other, err)
	}
	if other, err := g.ID(t.Context(), "t-value", twoFields); other == first || err != nil {
		t.Errorf("another schema: got %d, %v", other, err)
	}
	if err := g.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func TestRegistryWaits(t *testing.T) {
	var requests, told atomic.Int64
	last := make(chan RegistryWait, 100)
	g := registryOn(t, RegistryOptions{Waiting: func(w RegistryWait) { told.Add(1); last <- w }},
		func(w http.ResponseWriter, _ *http.Request) bool {
			switch requests.Add(1) {
			case 1:
				w.WriteHeader(http.StatusServiceUnavailable)
			case 2:
				w.WriteHeader(http.StatusTooManyRequests)
			default:
				return false
			}
			return true
		})
	if id, err := g.ID(t.Context(), "t-value", oneField); id == 0 || err != nil {
		t.Fatalf("ID: got %d, %v", id, err)
	}
	if told.Load() != 3 {
		t.Fatalf("Waiting: want 3 calls, got %d", told.Load())
	}
	if first := <-last; first.Waiters != 1 || first.Err == nil || first.Since.IsZero() {
		t.Errorf("Waiting at first: got %+v", first)
	}
	<-last
	if end := <-last; end.Waiters != 0 {
		t.Errorf("Waiting at the end: got %+v", end)
	}
}

func TestRegistryWaitEnds(t *testing.T) {
	g, err := NewRegistry(RegistryOptions{
		URL:      "http://user:canary@127.0.0.1:1/path/",
		MaxPause: 5 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = g.ID(ctx, "t-value", oneField)
	var down *RegistryDownError
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &down) || !down.Retryable() ||
		down.ErrorCode() != "E301" {
		t.Errorf("want the deadline and the reason, got %v", err)
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the error holds the password: %v", err)
	}
}

// TestRegistryHangs holds that a registry that accepts and never answers does not outlast the context.
func TestRegistryHangs(t *testing.T) {
	release := make(chan struct{})
	g := registryOn(t, RegistryOptions{}, func(http.ResponseWriter, *http.Request) bool {
		<-release
		return true
	})
	t.Cleanup(func() { close(release) }) // before the registry's own, which waits for its requests
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := g.ID(ctx, "t-value", oneField); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("want the deadline, got %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("ID took %s", took)
	}
}

// TestRegistryBreaksOff has an answer end before it is whole, as a cut connection does: it is asked again.
func TestRegistryBreaksOff(t *testing.T) {
	var asked atomic.Int64
	g := registryOn(t, RegistryOptions{}, func(w http.ResponseWriter, _ *http.Request) bool {
		if asked.Add(1) > 2 {
			return false
		}
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte(`{"id":`))
		panic(http.ErrAbortHandler)
	})
	if id, err := g.ID(t.Context(), "t-value", oneField); err != nil || id == 0 {
		t.Errorf("got %d, %v", id, err)
	}
	if asked.Load() < 3 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestRegistryRefusals(t *testing.T) {
	answer := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	for _, c := range []struct {
		status int
		body   string
		as     any
		want   []string
	}{
		{401, `{"error_code":401,"message":"no"}`, new(*RegistryAuthError), []string{"user clerk", "401"}},
		{401, `<html>proxy</html>`, new(*RegistryAuthError), []string{"user clerk", "401"}},
		{403, `{"error_code":40301,"message":"no"}`, new(*RegistryAuthError), []string{
			"user clerk", "403",
			"grant",
		}},
		{
			409, `{"error_code":409,"message":"reader field b\n missing default"}`, new(*IncompatibleError),
			[]string{"t-value", "reader field b missing default", "lower the subject's compatibility"},
		},
		{422, `{"error_code":42201,"message":"Invalid schema"}`, new(*RegistryError), []string{
			"t-value", "422",
			"Invalid schema",
		}},
		{404, `<html>nothing here</html>`, new(*RegistryError), []string{"404"}},
		{200, `<html>welcome</html>`, new(*RegistryError), []string{"the URL may lack its path"}},
	} {
		o := RegistryOptions{User: "clerk", Password: func(context.Context) (string, error) {
			return "canary",
				nil
		}}
		g := registryOn(t, o, answer(c.status, c.body))
		_, err := g.ID(t.Context(), "t-value", oneField)
		if err == nil || !errors.As(err, c.as) {
			t.Errorf("%d: want a %T, got %v", c.status, c.as, err)
			continue
		}
		var coded interface{ ErrorCode() string }
		code := map[int]string{
			401: "E302", 403: "E303", 409: "E304", 422: "E305", 404: "E305",
			200: "E305",
		}[c.status]
		if !errors.As(err, &coded) || coded.ErrorCode() != code {
			t.Errorf("%d: want code %s of %v", c.status, code, err)
		}
		for _, want := range append(c.want, "") {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%d: want %q and no password in %v", c.status, want, err)
			}
		}
	}
}

// TestRegistryAnswers walks what registries answer to a registration, in Confluent's and in Apicurio's words
// (ccompat and core): each has a code, and says in the registry's own words what it is about. What passes is
// waited for.
func TestRegistryAnswers(t *testing.T) {
	for _, c := range []struct {
		status             int
		body, code, detail string
		waits              bool
	}{
		{401, `{"error_code":401,"message":"Unauthorized"}`, codeSecret, "not accepted (401)", false},
		{401, `{"status":401,"title":"Unauthorized","name":"UnauthorizedException"}`, codeSecret, "(401)", false},
		{403, `{"error_code":40301,"message":"User is denied"}`, codeForbidden, "may not (403)", false},
		{403, `{"status":403,"title":"Forbidden","name":"ForbiddenException"}`, codeForbidden, "(403)", false},
		{404, `{"error_code":40401,"message":"Subject not found."}`, codeRefused, "Subject not found.", false},
		{
			404, `{"status":404,"title":"No artifact with ID 's' was found.","name":"ArtifactNotFoundException"}`,
			codeRefused, "No artifact with ID 's' was found.", false,
		},
		{404, `<html>404</html>`, codeRefused, "404 Not Found", false},
		{
			409, `{"error_code":409,"message":"Schema being registered is incompatible with an earlier schema"}`,
			codeIncompatible, "incompatible with an earlier schema", false,
		},
		{
			409, `{"error_code":409,"message":"Incompatible artifact: s [AVRO], num of incompatible diffs: {1}",` +
				`"name":"RuleViolationException"}`, codeIncompatible, "num of incompatible diffs: {1}", false,
		},
		{422, `{"error_code":42201,"message":"Invalid schema {}"}`, codeRefused, "Invalid schema {}", false},
		{
			422, `{"error_code":42205,"message":"Subject s in context . is in read-only mode"}`, codeReadOnly,
			"is in read-only mode", false,
		},
		{
			422, `{"error_code":42201,"message":"Syntax violation.","name":"RuleViolationException"}`,
			codeRefused, "Syntax violation.", false,
		},
		{429, `{"error_code":429,"message":"Too many requests"}`, codeDown, "429", true},
		{500, `{"error_code":50001,"message":"Error in the backend data store"}`, codeDown, "500", true},
		{500, `{"status":500,"title":"NullPointerException","name":"NullPointerException"}`, codeDown, "500", true},
		{502, `<html>bad gateway</html>`, codeDown, "502", true},
		{503, `{"error_code":50303,"message":"no leader"}`, codeDown, "503", true},
		{504, ``, codeDown, "504", true},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		o := RegistryOptions{}
		if c.waits {
			o.Waiting = func(RegistryWait) { cancel() }
		}
		g := registryOn(t, o, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}
			return r.Method == http.MethodPost
		})
		_, err := g.ID(ctx, "s", oneField)
		cancel()
		var coded interface{ ErrorCode() string }
		if !errors.As(err, &coded) || coded.ErrorCode() != c.code || !strings.Contains(err.Error(), c.detail) {
			t.Errorf("%d %s: want %s with %q, got %v", c.status, c.body, c.code, c.detail, err)
		}
	}
}

func TestRegistrySaysWhatDoesNotFit(t *testing.T) {
	registered := false
	g := registryOn(t, RegistryOptions{}, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !registered {
			return false
		}
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write([]byte(`{"error_code":409,"message":"incompatible"}`))
		return true
	})
	if _, err := g.ID(t.Context(), "t-value", oneField); err != nil {
		t.Fatal(err)
	}
	registered = true
	_, err := g.ID(t.Context(), "t-value", twoFields)
	var incompatible *IncompatibleError
	if !errors.As(err, &incompatible) || !incompatible.NeedsPerson() {
		t.Fatalf("want an *IncompatibleError, got %v", err)
	}
	if !strings.Contains(incompatible.Finding, "b") || !strings.Contains(incompatible.Finding, "version 1") {
		t.Errorf("want the field and the version in %q", incompatible.Finding)
	}
}

func TestRegistrySecrets(t *testing.T) {
	var seen []string
	asked := 0
	o := RegistryOptions{User: "clerk", Password: func(context.Context) (string,
		error,
	) {
		asked++
		return "p" + strconv.Itoa(asked), nil
	}}
	record := func(_ http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		seen = append(seen, user+":"+password+r.Header.Get("Authorization")[:5])
		return false
	}
	g := registryOn(t, o, record)
	for range 2 {
		if err := g.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Join(seen, " ") != "clerk:p1Basic clerk:p2Basic" {
		t.Errorf("want a password read at each request, got %v", seen)
	}
	seen = nil
	g = registryOn(t, RegistryOptions{Bearer: func(context.Context) (string, error) { return "token", nil }},
		func(_ http.ResponseWriter,
			r *http.Request,
		) bool {
			seen = append(seen, r.Header.Get("Authorization"))
			return false
		})
	if err := g.Ping(t.Context()); err != nil || seen[0] != "Bearer token" {
		t.Errorf("want a bearer token, got %v, %v", seen, err)
	}
	unreadable := errors.New("no such file")
	g = registryOn(t, RegistryOptions{Bearer: func(context.Context) (string, error) { return "", unreadable }},
		nil)
	if _, err := g.ID(t.Context(), "s", oneField); !errors.Is(err, unreadable) {
		t.Errorf("want the secret's error, got %v", err)
	}
}

func TestNewRegistryRefuses(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:8081", "ftp://x", "http://", "http://a:canary@%"} {
		if _, err := NewRegistry(RegistryOptions{URL: url}); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("NewRegistry(%q): got %v", url, err)
		}
	}
}

// TestRealRegistry registers with the registry that TRIBUTARY_TEST_REGISTRY names.
func TestRealRegistry(t *testing.T) {
	address := os.Getenv("TRIBUTARY_TEST_REGISTRY")
	if address == "" {
		t.Skip("TRIBUTARY_TEST_REGISTRY is not set")
	}
	g, err := NewRegistry(RegistryOptions{URL: address + "/"})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	subject := "tributary-test-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-value"
	first, err := g.ID(t.Context(), subject, oneField)
	if err != nil || first == 0 {
		t.Fatalf("ID: got %d, %v", first, err)
	}
	t.Cleanup(func() { _ = g.call(context.Background()).client.DeleteSubject(subject, true) })
	fresh, err := NewRegistry(RegistryOptions{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := fresh.ID(t.Context(), subject, oneField); again != first || err != nil {
		t.Errorf("ID from another client: want %d, got %d, %v", first, again, err)
	}
	if err := g.Check(t.Context(), subject, oneField); err != nil {
		t.Errorf("Check of the same schema: %v", err)
	}
	if err := g.Check(t.Context(), subject+"-new", oneField); err != nil {
		t.Errorf("Check of a new subject: %v", err)
	}
	var incompatible *IncompatibleError
	if err := g.Check(t.Context(), subject, twoFields); !errors.As(err, &incompatible) {
		t.Errorf("Check of a field without default: want an *IncompatibleError, got %v", err)
	}
}

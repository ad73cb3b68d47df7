package schema

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/riferrei/srclient"
)

// The limits of RegistryOptions by default.
const (
	defaultRegistryTimeout = 10 * time.Second
	defaultRegistryPause   = 10 * time.Second
	firstRegistryPause     = 100 * time.Millisecond
	// registryDetail bounds what is repeated of a registry's answer.
	registryDetail = 2000
)

// RegistryOptions say how a schema registry is reached.
type RegistryOptions struct {
	// URL is where its Confluent API is; a slash at the end does not matter. A user and password in it are
	// used, and never told.
	URL string
	// User and Password are for basic authentication, Bearer is for a token; each function is asked at every
	// request, so that a changed secret is used at once.
	User     string
	Password func(context.Context) (string, error)
	Bearer   func(context.Context) (string, error)
	// TLS is used for https; nil is the system's authorities. Transport, when set, is used instead of one
	// made of TLS.
	TLS       *tls.Config
	Transport http.RoundTripper
	// Timeout bounds one request; 0 means 10 s. MaxPause bounds the pause between two; 0 means 10 s.
	Timeout, MaxPause time.Duration
	// Waiting, if set, is told when a schema begins to wait for a registry that is down, at each further
	// attempt, and at the end with Waiters 0. It must not block.
	Waiting func(RegistryWait)
	// Registered, if set, is told of each id that the registry gave, Refused of each error that it gave
	// instead. A registry that is down gives none, see Waiting.
	Registered func(subject string, id int)
	Refused    func(subject string, err error)
	// Asked, if set, is told of each request that was sent: its method, its HTTP status or 0 when no answer
	// came, and how long that took. It must not block.
	Asked func(method string, status int, took time.Duration)
	// Logger gets the beginning and the end of waiting; nil is silence.
	Logger *slog.Logger
}

// RegistryWait says that schemas wait for the registry.
type RegistryWait struct {
	Since   time.Time
	Waiters int
	// Err is what the last attempt met.
	Err error
}

// Registry gives schemas their ids. It is safe for use by many goroutines.
type Registry struct {
	o    RegistryOptions
	base string // without userinfo and trailing slash

	mu   sync.Mutex // guards ids and wait
	ids  map[subjectText]int
	wait RegistryWait
}

// subjectText is what an id is known by.
type subjectText struct{ subject, text string }

// NewRegistry returns a Registry that has not asked for anything yet. The only error is a URL that is none.
func NewRegistry(o RegistryOptions) (*Registry, error) {
	parsed, err := url.Parse(o.URL)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return nil, errors.New("schema registry URL: want http://host:port or https://host:port with an optional " +
			"path")
	}
	if user := parsed.User; user != nil && o.User == "" {
		password, _ := user.Password()
		o.User, o.Password = user.Username(), func(context.Context) (string, error) { return password, nil }
	}
	parsed.User = nil
	if o.Timeout <= 0 {
		o.Timeout = defaultRegistryTimeout
	}
	if o.MaxPause <= 0 {
		o.MaxPause = defaultRegistryPause
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: o.TLS, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		}
	}
	base := strings.TrimRight(parsed.String(), "/")
	return &Registry{o: o, base: base, ids: make(map[subjectText]int)}, nil
}

// ID returns the id of an Avro schema under a subject, which is registered if it is not. An id that was
// given once is never asked for again. While the registry does not answer, or answers 429 or 5xx, ID tries
// again with growing pauses until ctx ends; every other refusal is an *IncompatibleError, a
// *RegistryAuthError or a *RegistryError.
func (g *Registry) ID(ctx context.Context, subject, text string) (int, error) {
	key := subjectText{subject, text}
	g.mu.Lock()
	id, known := g.ids[key]
	g.mu.Unlock()
	if known {
		return id, nil
	}
	err := g.retry(ctx, "register schema "+subject, func() error {
		var err error
		id, err = g.register(ctx, subject, text)
		return err
	})
	if err != nil {
		if g.o.Refused != nil && ctx.Err() == nil {
			g.o.Refused(subject, err)
		}
		return 0, err
	}
	g.mu.Lock()
	g.ids[key] = id
	g.mu.Unlock()
	if g.o.Registered != nil {
		g.o.Registered(subject, id)
	}
	return id, nil
}

// Ping asks the registry once for the list of its subjects: it is there, speaks the API, and takes the
// secret.
func (g *Registry) Ping(ctx context.Context) error {
	call := g.call(ctx)
	_, err := call.client.GetSubjects()
	return call.fault("list subjects", err)
}

// Check asks the registry once whether it would take a schema, and registers nothing. An answer of no is an
// *IncompatibleError.
func (g *Registry) Check(ctx context.Context, subject, text string) error {
	call := g.call(ctx)
	compatible, err := call.client.IsSchemaCompatible(subject, text, "latest", srclient.Avro)
	switch {
	case call.status == http.StatusNotFound:
		return nil // a new subject takes any schema
	case err != nil:
		return call.fault("check schema "+subject, err)
	case !compatible:
		return &IncompatibleError{Subject: subject, Finding: g.explain(ctx, subject, text)}
	}
	return nil
}

// register asks once.
func (g *Registry) register(ctx context.Context, subject, text string) (int, error) {
	call := g.call(ctx)
	created, err := call.client.CreateSchema(subject, text, srclient.Avro)
	if err == nil {
		return created.ID(), nil
	}
	if call.status == http.StatusForbidden {
		// Whoever may not write may still read what somebody else has registered.
		lookup := g.call(ctx)
		if found, lookupErr := lookup.client.LookupSchema(subject, text, srclient.Avro); lookupErr == nil {
			return found.ID(), nil
		}
	}
	err = call.fault("register schema "+subject, err)
	if incompatible := (*IncompatibleError)(nil); errors.As(err, &incompatible) {
		incompatible.Subject, incompatible.Finding = subject, g.explain(ctx, subject, text)
	}
	return 0, err
}

// explain says what in a schema cannot read what the subject's latest version wrote, empty when that is not
// known. Registries say it in many ways, some not at all.
func (g *Registry) explain(ctx context.Context, subject, text string) string {
	latest, err := g.call(ctx).client.GetLatestSchema(subject)
	if err != nil {
		return ""
	}
	writer, errWriter := avro.ParseWithCache(latest.Schema(), "", &avro.SchemaCache{})
	reader, errReader := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if errWriter != nil || errReader != nil {
		return ""
	}
	if err := avro.NewSchemaCompatibility().Compatible(reader, writer); err != nil {
		return fmt.Sprintf("reading version %d with the new schema: %v", latest.Version(), err)
	}
	return ""
}

// retry calls ask until it succeeds, fails for good, or ctx ends.
func (g *Registry) retry(ctx context.Context, doing string, ask func() error) error {
	pause, waiting := firstRegistryPause, false
	defer func() {
		if waiting {
			g.ended()
		}
	}()
	for {
		err := ask()
		var down *RegistryDownError
		if err == nil || !errors.As(err, &down) {
			return err
		}
		g.waits(err, !waiting)
		waiting = true
		// Three quarters of the pause are certain, so that many that wait do not come back at once.
		timer := time.NewTimer(pause*3/4 + rand.N(pause/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w (%w)", doing, ctx.Err(), err)
		case <-timer.C:
		}
		pause = min(2*pause, g.o.MaxPause)
	}
}

// waits tells that a schema waits, and since when.
func (g *Registry) waits(err error, first bool) {
	g.mu.Lock()
	if first {
		if g.wait.Waiters++; g.wait.Waiters == 1 {
			g.wait.Since = time.Now()
			g.o.Logger.Warn("schema registry unreachable, new schemas wait", "err", err)
		}
	}
	g.wait.Err = err
	told := g.wait
	g.mu.Unlock()
	if g.o.Waiting != nil {
		g.o.Waiting(told)
	}
}

// ended tells that a schema waits no longer.
func (g *Registry) ended() {
	g.mu.Lock()
	if g.wait.Waiters--; g.wait.Waiters == 0 {
		g.o.Logger.Info("schemas wait no longer for the registry", "took", time.Since(g.wait.Since))
		g.wait = RegistryWait{}
	}
	told := g.wait
	g.mu.Unlock()
	if g.o.Waiting != nil {
		g.o.Waiting(told)
	}
}

// registryCall is one call of srclient, which knows no context: the transport carries it, and remembers the
// status, which srclient loses when the body is no JSON.
type registryCall struct {
	ctx      context.Context
	registry *Registry
	client   *srclient.SchemaRegistryClient
	status   int   // of the last response; 0 for none
	broken   error // why its body ended early
	secret   error
}

// call returns a client for one call.
func (g *Registry) call(ctx context.Context) *registryCall {
	c := &registryCall{ctx: ctx, registry: g}
	c.client = srclient.NewSchemaRegistryClient(g.base,
		srclient.WithClient(&http.Client{Transport: c, Timeout: g.o.Timeout}))
	c.client.CachingEnabled(false)
	return c
}

// RoundTrip sends a request with the call's context and the current secret.
func (c *registryCall) RoundTrip(req *http.Request) (*http.Response, error) {
	// The client's timeout is the request's own context, so that both end it.
	ctx, cancel := context.WithCancel(req.Context())
	stop := context.AfterFunc(c.ctx, cancel)
	req = req.Clone(ctx)
	c.status, c.broken = 0, nil
	release := func() { stop(); cancel() }
	if c.secret = c.registry.authorize(req); c.secret != nil {
		release()
		return nil, c.secret
	}
	sent := time.Now()
	resp, err := c.registry.o.Transport.RoundTrip(req)
	if err == nil {
		c.status = resp.StatusCode
	}
	if asked := c.registry.o.Asked; asked != nil {
		asked(req.Method, c.status, time.Since(sent))
	}
	if err != nil {
		release()
		return nil, err
	}
	resp.Body = &releasingBody{resp.Body, c, release}
	return resp, nil
}

// authorize sets the secret.
func (g *Registry) authorize(req *http.Request) error {
	if g.o.Bearer != nil {
		token, err := g.o.Bearer(req.Context())
		if err != nil {
			return fmt.Errorf("read the schema registry's token: %w", err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
			return nil
		}
	}
	if g.o.User == "" || g.o.Password == nil {
		return nil
	}
	password, err := g.o.Password(req.Context())
	if err != nil {
		return fmt.Errorf("read the schema registry's password: %w", err)
	}
	req.SetBasicAuth(g.o.User, password)
	return nil
}

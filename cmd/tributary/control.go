package main

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxRequestBytes bounds the body of a request.
const maxRequestBytes = 64 << 10

// snapshotRequest asks a running instance for a snapshot.
type snapshotRequest struct {
	Tables []string `json:"tables"` // globs, or /regular expressions/, on schema.table
	Where  string   `json:"where,omitempty"`
}

// snapshotAnswer says what became of a request.
type snapshotAnswer struct {
	ID       string   `json:"id,omitempty"`
	Tables   []string `json:"tables,omitempty"`
	Canceled int      `json:"canceled,omitempty"`
	Error    string   `json:"error,omitempty"`
}

// refusal is an error with the HTTP status that tells it.
type refusal struct {
	code int
	text string
}

func (r refusal) Error() string { return r.text }

// control is what a running pipeline can be asked to do.
type control struct {
	request func(snapshotRequest) (snapshotAnswer, error)
	cancel  func(id string) (snapshotAnswer, error)
}

// errNotLeading refuses what only the instance that holds the slot can do.
var errNotLeading = refusal{
	http.StatusServiceUnavailable, "this instance does not stream: ask the one that leads, which " +
		"`tributary status` names, or wait until it does",
}

// controlRoutes serves what changes something. Every request must bear the token: a listener on the loopback
// interface alone would leave it open to every user of the machine, and to web pages in their browsers.
func controlRoutes(mux *http.ServeMux, b *board) {
	ask := func(c *control, r *http.Request) (snapshotAnswer, error) {
		var request snapshotRequest
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&request); err != nil {
			return snapshotAnswer{}, refusal{http.StatusBadRequest, "want JSON with tables and where"}
		}
		return c.request(request)
	}
	cancel := func(c *control, r *http.Request) (snapshotAnswer, error) { return c.cancel(r.PathValue("id")) }
	mux.HandleFunc("POST /api/v1/snapshots", b.authorized(ask))
	mux.HandleFunc("DELETE /api/v1/snapshots", b.authorized(cancel)) // all of them
	mux.HandleFunc("DELETE /api/v1/snapshots/{id}", b.authorized(cancel))
}

// authorized lets a request through that bears the token, to the pipeline that runs.
func (b *board) authorized(do func(*control, *http.Request) (snapshotAnswer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxRequestBytes)
		c, err := b.admit(r)
		var a snapshotAnswer
		if err == nil {
			a, err = do(c, r)
		}
		code := http.StatusAccepted
		if err != nil {
			code = http.StatusInternalServerError
			var refused refusal
			if errors.As(err, &refused) {
				code = refused.code
			}
			a.Error = err.Error()
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		// The one error left is that the reader went away, which is theirs to know.
		_ = json.NewEncoder(w).Encode(a)
	}
}

// admit checks the token and returns what there is to ask.
func (b *board) admit(r *http.Request) (*control, error) {
	if refused := b.bears(r); refused != nil {
		return nil, *refused
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.control == nil {
		return nil, errNotLeading
	}
	return b.control, nil
}

// bears returns nil for a request with the token, else why it is refused.
func (b *board) bears(r *http.Request) *refusal {
	if b.token == "" {
		return &refusal{http.StatusForbidden, "http.token_from is not set: only reading is allowed"}
	}
	token, err := b.token.Resolve(r.Context(), nil) // validate lets only local sources through
	if err != nil || token == "" {
		return &refusal{http.StatusForbidden, "http.token_from gives no token"}
	}
	borne, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !isBearer || subtle.ConstantTimeCompare([]byte(borne), []byte(token)) != 1 {
		return &refusal{http.StatusUnauthorized, "the request does not bear the token of http.token_from"}
	}
	return nil
}

// Control tells the board whom to ask for what changes something, nil for nobody.
func (b *board) Control(c *control) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.control = c
}

// controls is what a pipeline that streams can be asked.
func (p *pipeline) controls() *control {
	return &control{request: p.requestSnapshot, cancel: p.cancelSnapshots}
}

// requestSnapshot queues a snapshot of captured tables and answers once it is stored with the position: from
// then on no crash forgets it.
func (p *pipeline) requestSnapshot(r snapshotRequest) (snapshotAnswer, error) {
	now := time.Now().UTC()
	j := job{
		ID: jobRequested + now.Format("-20060102T150405.000"), Kind: jobRequested, Asked: now,
		Incremental: p.debezium(),
	}
	for _, text := range r.Tables {
		pattern, err := parsePattern(text)
		if err != nil {
			return snapshotAnswer{}, refusal{http.StatusBadRequest, err.Error()}
		}
		j.Tables = append(j.Tables, pattern)
		if r.Where != "" {
			j.Where = append(j.Where, condition{pattern, r.Where})
		}
		if len((&job{Tables: []Pattern{pattern}}).of(p.tables)) == 0 {
			return snapshotAnswer{}, refusal{http.StatusBadRequest, text + " matches no captured table"}
		}
	}
	if len(j.Tables) == 0 {
		return snapshotAnswer{}, refusal{http.StatusBadRequest, "name a table"}
	}
	if err := p.jobs.add(j); err != nil {
		return snapshotAnswer{}, refusal{http.StatusConflict, err.Error()}
	}
	a := snapshotAnswer{ID: j.ID}
	for _, t := range j.of(p.tables) {
		a.Tables = append(a.Tables, t.String())
	}
	if err := p.awaitStored(j.ID); err != nil {
		return snapshotAnswer{}, err
	}
	p.Log.Info("snapshot requested", "snapshot", j.ID, "tables", a.Tables, "part", r.Where != "")
	return a, nil
}

// storePatience is how long a request waits to be stored; whoever asks waits a little longer.
const storePatience = 8 * time.Second

// awaitStored waits until a queued snapshot is stored. One that cannot be is taken back: the answer is then
// that it was not accepted.
func (p *pipeline) awaitStored(id string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(storePatience)
	for {
		stored, err := p.storedJob(id)
		if stored || err != nil {
			return err
		}
		select {
		case <-tick.C:
			continue
		case <-p.stopped.Done():
		case <-deadline:
		}
		p.jobs.cancel(func(j job) bool { return j.ID == id })
		return refusal{
			http.StatusServiceUnavailable, "the request could not be stored, since Kafka does not answer or the " +
				"pipeline stops: it was not accepted, ask again",
		}
	}
}

// storedJob says whether a snapshot is in what was stored last, or is done already.
func (p *pipeline) storedJob(id string) (bool, error) {
	is := func(j job) bool { return j.ID == id }
	if list, _ := p.jobs.list(); !slices.ContainsFunc(list, is) {
		return true, nil
	}
	text := p.pub.Load().Progress()
	if text == nil {
		return false, nil
	}
	state, err := parseSnapshotState(text)
	return slices.ContainsFunc(state.Jobs, is), err
}

// cancelSnapshots ends the requested snapshot of an id, or all that were requested.
func (p *pipeline) cancelSnapshots(id string) (snapshotAnswer, error) {
	n := p.jobs.cancel(func(j job) bool { return id == "" || j.ID == id })
	if n == 0 && id != "" {
		return snapshotAnswer{}, refusal{http.StatusNotFound, "no such snapshot that can be cancelled"}
	}
	p.Log.Info("snapshots cancelled", "snapshots", n)
	return snapshotAnswer{Canceled: n}, nil
}

// jobStatus tells the snapshots that are under way and that wait.
func (p *pipeline) jobStatus(s *status) {
	list, paused := p.jobs.list()
	for i, j := range list {
		one := statusJob{ID: j.ID, Kind: j.Kind, State: "waiting", Tables: []string{}, Asked: j.Asked}
		switch {
		case paused:
			one.State = "paused"
		case i == 0:
			one.State = "running"
		}
		for _, t := range j.Tables {
			one.Tables = append(one.Tables, t.String())
		}
		s.Snapshots = append(s.Snapshots, one)
	}
	if s.Snapshot != nil && len(list) == 0 {
		s.Snapshot.Running = false
	}
}

package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tributary-cdc/tributary/cmd/tributary/page"
	"github.com/tributary-cdc/tributary/schema"
)

// testPage is the status page of a board.
func testPage(t testing.TB, b *board) *page.Page {
	t.Helper()
	p, err := newPage(b, t.Context().Done())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pageCases are statuses, what the page has to say of each, and what not.
func pageCases() map[string]pageCase {
	change := func(f func(*status)) status {
		s := fixedStatus()
		s.Detail, s.Error, s.Problems = "", nil, nil
		f(&s)
		return s
	}
	return map[string]pageCase{
		"starting": {change(func(s *status) {
			*s = status{State: stateStarting, Pipeline: "p", Time: s.Time, Program: s.Program}
		}), []string{"STARTING", "Starting.", "Nothing is known yet.", "None since the start."}, "Under way"},
		"snapshot": {
			change(func(s *status) { s.Detail, s.Problems = "Reading tables.", fixedStatus().Problems }),
			[]string{
				"SNAPSHOT", "Reading tables.", "0 of 2 tables, 100 of about 603 rows", "40 rows/s", "about 13s left",
				"<td>1 of 4</td>", "100 of about 603</td>",
				`<progress max="1" value="0.1658">`, "stream slot tri: connection reset", "2 times since",
			},
			"analysed",
		},
		"snapshot of nobody knows how much": {
			change(func(s *status) {
				s.Snapshot.Estimate, s.Snapshot.ETASeconds, s.Snapshot.Open[0].Estimate = nil, nil, nil
			}),
			[]string{
				"<td>100 of an unknown number</td><td>1 of 4</td><td>unknown</td>",
				"nobody knows how much is left: a table was never analysed", "<progress>unknown",
			},
			"of about",
		},
		"streaming": {change(func(s *status) {
			s.State, s.Snapshot, s.Snapshots = stateStreaming, nil, nil
		}), []string{
			"STREAMING", "Caught up", "p50 3.0 ms, p99 7.2 ms", "rows/s, 1.0 MiB/s", `<td class="n">2.5</td>`,
			`written by <time datetime="2026-11-21T12:00:00Z">`,
			"1.0 GiB until the slot is lost", "0.2 s", `data-copy="0/3"`, "public.a", "7, 8",
			"added note text", "<td>orders.public.a-value id 8</td>", "leader", "2026-11-21 12:00:00Z",
		}, "Reading"},
		"behind": {change(func(s *status) {
			s.State, s.Lag.Seconds, s.Lag.SafeBytes, s.Recent = stateStreaming, 192, nil, statusRecent{}
			s.Position.Published = "0/40000003"
		}), []string{
			"Behind by 3m12s and 1.0 MiB of WAL, and catching up at 4.0 KiB/s: about 12 seconds left.", "192.0 s",
			"no change", "no limit is set", "1.0 GiB later", "1073741827",
		}, "Caught up"},
		"standby": {
			change(func(s *status) { s.State = stateStandby }),
			[]string{"STANDBY", "Standing by: another instance holds the slot.", "standby on host"},
			"leader",
		},
		"slot lost": {change(func(s *status) {
			s.State, s.Source.WALStatus = stateFailed, "lost"
			s.Error = &statusError{Text: "slot tri is lost", Fix: "drop it", NeedsPerson: true}
		}), []string{"FAILED", "slot tri is lost", "the slot is lost", "</strong> drop it</p>"}, "Caught up"},
		"retrying": {change(func(s *status) {
			s.State, s.Error = stateRetrying, &statusError{Text: "the registry does not answer", Retrying: true}
		}), []string{"RETRYING", "Trying again after: the registry does not answer"}, "Caught up"},
		"odd names": {change(func(s *status) {
			s.Tables[0].Table, s.Warnings = `public.<script>"x"`, []string{"<b>bold</b>"}
		}), []string{"public.&lt;script&gt;&#34;x&#34;", "&lt;b&gt;bold"}, "<script>\"x"},
		"replay": {change(func(s *status) {
			s.Anchor = statusAnchor{Slot: "tri_anchor", Confirmed: "0/1A", KeepBytes: 1 << 30, RetainedBytes: 5 << 20}
		}), []string{"tributary replay --from-lsn 0/1A", "5.0 MiB of WAL", "1.0 GiB at most"}, "is not possible"},
	}
}

// pageCase is one of pageCases.
type pageCase struct {
	status status
	want   []string
	never  string
}

// TestPageSays: the page says of each state what a person needs to know of it.
func TestPageSays(t *testing.T) {
	for name, test := range pageCases() {
		b := newBoard(defaultConfig())
		recorder := httptest.NewRecorder()
		shown, err := page.New(page.Options{View: func() page.View { return viewOf(test.status) }})
		if err != nil {
			t.Fatal(err)
		}
		handler(b, prometheus.NewRegistry(), shown).ServeHTTP(recorder,
			httptest.NewRequest(http.MethodGet, "/", nil))
		text := recorder.Body.String()
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not there:\n%s", name, want, text)
			}
		}
		if strings.Contains(text, test.never) {
			t.Errorf("%s: %q is there:\n%s", name, test.never, text)
		}
	}
}

// TestSidePages: the configuration is shown with its origins and without its secrets, and the catalogue with
// what came in this process at the top.
func TestSidePages(t *testing.T) {
	file := writeFile(t, "tributary.yaml", `
source: {url: 'postgres://cdc:`+canary+`@db.example/shop', tables: [a.b]}
kafka: {brokers: ['b:9092'], auth: plain, user: u, password_from: 'env:X', tls: {enabled: true}}
schema_registry: {url: 'https://r:`+canary+`@registry.example'}
topic: {prefix: shop, config: {'<shop>': x}}
columns: {rules: [{columns: [a.b.c], action: hash, algorithm: SHA-256, salt: `+canary+`}]}
`)
	c, err := load(loadOptions{File: file, Environ: []string{"TRIBUTARY_TOPIC_PARTITIONS=6"}})
	if err != nil {
		t.Fatal(err)
	}
	b := newBoard(c)
	b.Fail(faultError{errors.New("the slot went"), "E407"}, false)
	h := handler(b, prometheus.NewRegistry(), testPage(t, b))
	for path, wants := range map[string][]string{
		"/config": {
			`<th scope="row" title="Partitions of a topic that is created; 0 is the broker&#39;s default.">` +
				"topic.partitions</th><td><code>6</code></td><td>env TRIBUTARY_TOPIC_PARTITIONS <span",
			"postgres://cdc@db.example/shop", "tributary.yaml:2", "&lt;shop&gt;",
			">default</td>", "aria-current=\"page\">Configuration",
		},
		"/errors": {
			"What came in this process stands first.", `<tr id="E122">`, "aria-current=\"page\">Errors",
			`<tbody><tr id="E407" class="changed">`, `<td class="n">1</td><td><time datetime=`,
		},
	} {
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		text := recorder.Body.String()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not there:\n%s", path, want, text)
			}
		}
		policy := recorder.Header().Get("Content-Security-Policy")
		if recorder.Code != http.StatusOK || strings.Contains(text, canary) || strings.Contains(text, "<shop>") ||
			strings.Contains(text, "<script") || !strings.Contains(policy, "default-src 'none'") ||
			strings.Contains(policy, "unsafe") {
			t.Errorf("%s: answers %d under %q:\n%s", path, recorder.Code, policy, text)
		}
	}
}

// TestCounters: the charts count what the tables do.
func TestCounters(t *testing.T) {
	s := fixedStatus()
	s.Tables = append(s.Tables, statusTable{Read: 10, Created: 20, Updated: 30, Deleted: 40})
	want := page.Counters{
		LagBytes: 1 << 20, RetainedBytes: 2 << 20, LagSeconds: 0.25, Reads: 11, Created: 22, Updated: 33,
		Deleted: 44,
	}
	if got := countersOf(s); got != want {
		t.Errorf("want %+v, got %+v", want, got)
	}
}

// TestChronicle: errors are counted, and a table's changes are told in words.
func TestChronicle(t *testing.T) {
	var c chronicle
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for i, text := range []string{"a", "b", "a"} {
		c.problem(at.Add(time.Duration(i)*time.Second), "code", text, "fix")
	}
	int4, text := &schema.Type{OID: 23, Name: "int4"}, &schema.Type{OID: 25, Name: "text"}
	zero := "0"
	relation := func(key []int, identity schema.Identity, columns ...schema.Column) *schema.Relation {
		return &schema.Relation{Namespace: "public", Name: "t", Key: key, Identity: identity, Columns: columns}
	}
	id := schema.Column{Name: "id", Type: int4, NotNull: true}
	for _, r := range []*schema.Relation{
		relation([]int{0}, 'd', id, schema.Column{Name: "x", Type: int4}),
		relation([]int{0}, 'd', id, schema.Column{Name: "x", Type: int4}), // described again, unchanged
		relation([]int{0}, 'f', id, schema.Column{Name: "x", Type: text}, schema.Column{Name: "y", Type: text}),
		relation(nil, 'f', id, schema.Column{Name: "y", Type: text, Default: &zero, NotNull: true}),
	} {
		c.definition(at, r)
	}
	c.registered("p.public.t-value", 9)
	c.registered("p.public.t-value", 10) // of nothing that was told
	s := status{Time: at, Tables: []statusTable{{Table: "public.t", Topic: "p.public.t", Created: 1}}}
	c.fill(&s)
	if len(s.Problems) != 2 || s.Problems[0].Text != "a" || s.Problems[0].Count != 2 ||
		s.Problems[0].First != at || s.Problems[0].Last != at.Add(2*time.Second) {
		t.Errorf("problems: %+v", s.Problems)
	}
	var told []string
	for _, change := range s.SchemaChanges {
		told = append(told, fmt.Sprintf("%s: %s %d", change.What, change.Subject, change.SchemaID))
	}
	want := "y is NOT NULL; dropped x; the key is (), was (id): p.public.t-value 9\n" +
		"x is text, was int4; added y text; replica identity is full:  0"
	if got := strings.Join(told, "\n"); got != want {
		t.Errorf("schema changes: want\n%s\ngot\n%s", want, got)
	}
	if table := s.Tables[0]; table.ValueSchema != 10 || table.LastSeen == nil || table.Identity != "full" {
		t.Errorf("table: %+v", table)
	}
	for i := range 3 * maxChronicled {
		c.problem(at, "code", strings.Repeat("x", i+1), "fix")
	}
	if c.fill(&s); len(s.Problems) != maxChronicled {
		t.Errorf("%d problems are kept, want %d", len(s.Problems), maxChronicled)
	}
}

package page

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// server serves a page whose sentence is what the returned value holds.
func server(t *testing.T, ended chan struct{}) (*httptest.Server, *Page, *atomic.Value) {
	t.Helper()
	var said atomic.Value
	said.Store("Caught up.")
	p, err := New(Options{
		View: func() View {
			return View{Pipeline: "orders", State: "STREAMING", Mood: Good, Sentence: said.Load().(string)}
		},
		Counters: func() Counters { return Counters{} }, Ended: ended,
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	p.Register(mux)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s, p, &said
}

// TestWholeWithoutScript: the page is there at once, refers to nothing that is not served, and has nothing
// inline that its policy would refuse.
func TestWholeWithoutScript(t *testing.T) {
	s, _, _ := server(t, nil)
	response, err := http.Get(s.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var b strings.Builder
	if _, err := bufio.NewReader(response.Body).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if got := response.Header.Get("Content-Security-Policy"); got != policy || strings.Contains(got, "unsafe") {
		t.Errorf("policy: %s", got)
	}
	if !strings.Contains(text, "Caught up.") {
		t.Error("the sentence is not there")
	}
	for _, inline := range []string{`(?i)<script>`, `(?i)<style`, `(?i)\sstyle=`, `(?i)\son[a-z]+=`} {
		if found := regexp.MustCompile(inline).FindString(text); found != "" {
			t.Errorf("%q would be refused by the policy", found)
		}
	}
	links := regexp.MustCompile(`(?:href|src)="(assets/[^"]+)"`).FindAllStringSubmatch(text, -1)
	if len(links) != 4 {
		t.Errorf("want 4 files, got %v", links)
	}
	for _, link := range links {
		r, err := http.Get(s.URL + "/" + link[1])
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") ||
			r.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %s %v", link[1], r.Status, r.Header)
		}
	}
	if r, err := http.Get(s.URL + "/assets/page.js"); err != nil || r.StatusCode != http.StatusNotFound {
		t.Errorf("a name without its sum: %v, %v", r, err)
	}
}

// next reads one event.
func next(t *testing.T, lines *bufio.Scanner) (kind string, u update) {
	t.Helper()
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			kind = value
		case "data":
			if err := json.Unmarshal([]byte(value), &u); err != nil {
				t.Fatal(err)
			}
		case "":
			return kind, u
		}
	}
	t.Fatalf("the stream ended: %v", lines.Err())
	return "", u
}

// TestEvents: all comes first, then what is new, until the page ends.
func TestEvents(t *testing.T) {
	ended := make(chan struct{})
	s, p, said := server(t, ended)
	begin := time.Now()
	for i := range 3 {
		p.history.add(begin.Add(time.Duration(i)*sampleEvery), Counters{Created: float64(i * 50), LagSeconds: 2})
	}
	response, err := http.Get(s.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	kind, u := next(t, lines)
	if kind != "snapshot" || len(u.Sections) != len(sections) || len(u.Samples) != 2 {
		t.Fatalf("first: %s, %d sections, samples %v", kind, len(u.Sections), u.Samples)
	}
	if sample := u.Samples[0]; sample[3] != 2 || sample[4] != 10 {
		t.Errorf("want lag 2 and 10 created a second, got %v", sample)
	}
	said.Store("Behind.")
	kind, u = next(t, lines)
	if kind != "tick" || len(u.Sections) != 1 || !strings.Contains(u.Sections["sentence"], "Behind.") ||
		len(u.Samples) != 0 {
		t.Errorf("second: %s %v", kind, u)
	}
	close(ended)
	for lines.Scan() { // ends, or the test does not
	}
}

// TestReaders: so many are served, the next is refused, and who goes makes room.
func TestReaders(t *testing.T) {
	s, p, _ := server(t, make(chan struct{}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	open := func() *http.Response {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return response
	}
	for range maxReaders {
		if r := open(); r.StatusCode != http.StatusOK {
			t.Fatal(r.Status)
		}
	}
	if r := open(); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many: %s", r.Status)
	}
	cancel()
	ctx = t.Context()
	deadline, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for len(p.readers) > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d readers are still counted", len(p.readers))
		}
	}
	if r := open(); r.StatusCode != http.StatusOK {
		t.Errorf("after the others went: %s", r.Status)
	}
}

// TestHistory: an hour is kept, and a total that fell is one that began anew.
func TestHistory(t *testing.T) {
	var h history
	begin := time.Unix(1_800_000_000, 0)
	for i := range samples + 10 {
		h.add(begin.Add(time.Duration(i)*sampleEvery), Counters{Deleted: float64(i)})
	}
	all, n := h.since(0)
	if len(all) != samples || n != samples+9 || all[0][0] >= all[1][0] || all[0][6] != 0.2 {
		t.Errorf("%d samples of %d, the first %v", len(all), n, all[0])
	}
	if more, _ := h.since(n); len(more) != 0 {
		t.Errorf("nothing is new, got %v", more)
	}
	h.add(begin.Add((samples+10)*sampleEvery), Counters{Deleted: 5})
	if last, _ := h.since(n); len(last) != 1 || last[0][6] != 1 {
		t.Errorf("after a restart: %v", last)
	}
}

func TestSpan(t *testing.T) {
	begin := time.Unix(0, 0)
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m 1s",
		3 * time.Hour: "3h 0m", 50 * time.Hour: "2d 2h",
	} {
		if got := span(begin, begin.Add(d)); got != want {
			t.Errorf("%s: want %s, got %s", d, want, got)
		}
	}
}

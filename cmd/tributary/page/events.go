package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	// maxReaders is how many pages may be open at a time: each costs a rendering a second.
	maxReaders = 20
	// tickEvery is how often a page is brought up to date.
	tickEvery = time.Second
	// patience is how long a reader may take for what it is sent.
	patience = 5 * time.Second
)

// update is what an event carries: the sections that changed, and the samples that are new.
type update struct {
	Time     string            `json:"time"`
	Sections map[string]string `json:"sections"`
	Samples  []sample          `json:"samples"`
}

// events sends "snapshot" with all, then "tick" with what is new, until the reader or the page ends.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	select {
	case p.readers <- struct{}{}:
		defer func() { <-p.readers }()
	default:
		w.Header().Set("Retry-After", "10")
		http.Error(w, fmt.Sprintf("%d pages are open already: close one", maxReaders),
			http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies that would wait for more
	s := stream{page: p, w: w, control: http.NewResponseController(w), shown: map[string]string{}}
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for kind := "snapshot"; s.send(kind) == nil; kind = "tick" {
		select {
		case <-r.Context().Done():
			return
		case <-p.o.Ended:
			return
		case <-tick.C:
		}
	}
}

// stream is one reader.
type stream struct {
	page    *Page
	w       http.ResponseWriter
	control *http.ResponseController
	shown   map[string]string // what the reader has of each section
	seen    int               // samples
}

// send writes one event. An error ends the stream: the reader has gone, or does not read.
func (s *stream) send(kind string) error {
	now := s.page.o.View()
	all, err := s.page.render(now)
	if err != nil {
		return err
	}
	u := update{Time: now.Now.UTC().Format(time.RFC3339), Sections: map[string]string{}}
	for name, text := range all {
		if before, has := s.shown[name]; !has || before != text {
			u.Sections[name] = text
		}
	}
	u.Samples, s.seen = s.page.history.since(s.seen)
	s.shown = all
	body, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	// The server's own limit on a whole answer would cut the stream off.
	if err := s.control.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("set a reader's time: %w", err)
	}
	if _, err := fmt.Fprintf(s.w, "retry: 2000\nevent: %s\ndata: %s\n\n", kind, body); err != nil {
		return err
	}
	return s.control.Flush()
}

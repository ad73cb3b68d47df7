package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed assets templates
var files embed.FS

// policy allows this package's own files and its stream of events, nothing inline, nothing from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// sections are the parts of the page that change; each is a template, and an element's id.
var sections = []string{
	"state", "head", "sentence", "tiles", "positions", "snapshot", "tables", "problems", "changes", "replay",
	"facts",
}

// Options say whom to ask.
type Options struct {
	View     func() View
	Counters func() Counters
	// Settings and Errors are asked for the pages of those names; nil for none.
	Settings func() []Setting
	Errors   func() []Known
	// Ended, when closed, ends all streams of events; required.
	Ended <-chan struct{}
}

// Page serves one pipeline's page.
type Page struct {
	o       Options
	page    *template.Template
	assets  map[string]asset // by the name that it is served under
	names   map[string]string
	history history
	readers chan struct{} // a place for each
}

// asset is a file with a name that changes with its content, so that it can be kept for ever.
type asset struct {
	kind string
	body []byte
}

// New prepares a page. An error is that of a template, and so of this package.
func New(o Options) (*Page, error) {
	p := &Page{
		o: o, assets: map[string]asset{}, names: map[string]string{},
		readers: make(chan struct{}, maxReaders),
	}
	if err := p.load(); err != nil {
		return nil, err
	}
	var err error
	p.page, err = template.New("").Funcs(template.FuncMap{
		"asset": func(name string) string { return "assets/" + p.names[name] },
		"clock": func(t time.Time) string { return t.UTC().Format("15:04:05") },
		"stamp": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") },
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"span":  span,
		"icon":  func(m Mood) string { return icons[m] },
	}).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse the status page: %w", err)
	}
	return p, nil
}

// icons stand beside the colours, for those who see none.
var icons = map[Mood]string{Good: "\u25cf", Busy: "\u25d0", Idle: "\u25cb", Warn: "\u25b2", Bad: "\u2716"}

// load names the assets by their content.
func (p *Page) load() error {
	entries, err := fs.ReadDir(files, "assets")
	if err != nil {
		return fmt.Errorf("read the status page's files: %w", err)
	}
	kinds := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
	for _, entry := range entries {
		body, err := files.ReadFile("assets/" + entry.Name())
		if err != nil {
			return fmt.Errorf("read the status page's files: %w", err)
		}
		sum := sha256.Sum256(body)
		kind := path.Ext(entry.Name())
		name := strings.TrimSuffix(entry.Name(), kind) + "." + hex.EncodeToString(sum[:6]) + kind
		p.names[entry.Name()] = name
		p.assets[name] = asset{kinds[kind], body}
	}
	return nil
}

// Register adds the page, its files and its events to a mux.
func (p *Page) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		p.write(w, "page.html", p.o.View())
	})
	mux.HandleFunc("GET /config", p.serveSettings)
	mux.HandleFunc("GET /errors", p.serveErrors)
	mux.HandleFunc("GET /assets/{name}", p.serveAsset)
	mux.HandleFunc("GET /events", p.events)
}

// Readers is how many pages are open now.
func (p *Page) Readers() int { return len(p.readers) }

// Run takes samples for the charts until the context ends.
func (p *Page) Run(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	p.history.add(time.Now(), p.o.Counters())
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			p.history.add(now, p.o.Counters())
		}
	}
}

// side is a page beside the first: about the same pipeline, as it is at the moment, and never brought up to
// date by a script.
type side struct {
	Title, Path string
	View        View
	Settings    []Setting
	Changed     int // settings that are not as by default
	Errors      []Known
	Came        int // errors that came in this process
}

// serveSettings writes the page of the configuration.
func (p *Page) serveSettings(w http.ResponseWriter, _ *http.Request) {
	s := side{Title: "Configuration", Path: "config", View: p.o.View()}
	if p.o.Settings != nil {
		s.Settings = p.o.Settings()
	}
	for _, one := range s.Settings {
		if one.Changed {
			s.Changed++
		}
	}
	p.write(w, "config.html", s)
}

// serveErrors writes the page of the errors.
func (p *Page) serveErrors(w http.ResponseWriter, _ *http.Request) {
	s := side{Title: "Errors", Path: "errors", View: p.o.View()}
	if p.o.Errors != nil {
		s.Errors = p.o.Errors()
	}
	for _, one := range s.Errors {
		if one.Count > 0 {
			s.Came++
		}
	}
	p.write(w, "errors.html", s)
}

// write writes a whole page.
func (p *Page) write(w http.ResponseWriter, name string, data any) {
	var b bytes.Buffer
	if err := p.page.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "the page cannot be written: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// The one error left is that the reader went away, which is theirs to know.
	_, _ = w.Write(b.Bytes())
}

func (p *Page) serveAsset(w http.ResponseWriter, r *http.Request) {
	a, found := p.assets[r.PathValue("name")]
	if !found {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.body) // as above
}

// render writes each section on its own.
func (p *Page) render(v View) (map[string]string, error) {
	all := make(map[string]string, len(sections))
	for _, name := range sections {
		var b bytes.Buffer
		if err := p.page.ExecuteTemplate(&b, name, v); err != nil {
			return nil, fmt.Errorf("write section %s: %w", name, err)
		}
		all[name] = b.String()
	}
	return all, nil
}

// span writes how long something has lasted, in its largest two units.
func span(from, to time.Time) string {
	d := to.Sub(from).Round(time.Second)
	days := int(d / (24 * time.Hour))
	switch {
	case d < 0:
		return "0s"
	case days > 0:
		return fmt.Sprintf("%dd %dh", days, int(d.Hours())%24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return d.String()
}

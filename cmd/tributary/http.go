package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tributary-cdc/tributary/cmd/tributary/page"
)

// handler serves what the board and the metrics say, and takes requests that bear the token: see
// controlRoutes.
func handler(b *board, metrics prometheus.Gatherer, shown *page.Page) http.Handler {
	mux := http.NewServeMux()
	// Asking for the status takes every lock that there is, so that a deadlock is no answer.
	live := func(w http.ResponseWriter, _ *http.Request) {
		stuck := b.Status().stuck
		answer(w, stuck == "", textOr(stuck, "alive"))
	}
	mux.HandleFunc("GET /livez", live)
	mux.HandleFunc("GET /healthz", live) // what people try first
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		s := b.Status()
		answer(w, ready(s), readiness(s))
	})
	mux.HandleFunc("GET /startupz", func(w http.ResponseWriter, _ *http.Request) {
		s := b.Status()
		answer(w, b.Tried(), readiness(s))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	// The two below are parts of the status, for whoever asks often or wants little.
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) {
		tellJSON(w, b.Status())
	})
	mux.HandleFunc("GET /api/v1/tables", func(w http.ResponseWriter, _ *http.Request) {
		tellJSON(w, b.Status().Tables)
	})
	mux.HandleFunc("GET /api/v1/errors", func(w http.ResponseWriter, _ *http.Request) {
		tellJSON(w, b.Status().Problems)
	})
	controlRoutes(mux, b)
	levelRoutes(mux, b)
	shown.Register(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
		mux.ServeHTTP(w, r)
	})
}

// tellJSON writes an answer for programs.
func tellJSON[T status | []statusTable | []statusProblem](w http.ResponseWriter, answer T) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	// The one error left is that the reader went away, which is theirs to know.
	_ = encoder.Encode(answer)
}

// ready says whether the pipeline does its work or stands by to take it over.
func ready(s status) bool {
	return s.State == stateSnapshot || s.State == stateStreaming || s.State == stateStandby
}

func readiness(s status) string {
	if s.Error != nil {
		return s.State + ": " + s.Error.Text
	}
	return s.State
}

func answer(w http.ResponseWriter, ok bool, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, text)
}

// serveHTTP serves until the context ends, then gives requests in flight a moment to finish.
func serveHTTP(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve status on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := server.Shutdown(grace)
	if serveErr := <-ended; !errors.Is(serveErr, http.ErrServerClosed) {
		return fmt.Errorf("serve status on %s: %w", listener.Addr(), serveErr)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // a reader that does not read must not turn a clean stop into a failure
	}
	return err
}

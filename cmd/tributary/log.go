package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// newLogger makes the program's logger: text on a terminal and JSON elsewhere, unless the configuration says.
// The level is what level says at any time; it begins as configured.
func newLogger(w io.Writer, c LogConfig, terminal bool, level *slog.LevelVar) *slog.Logger {
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level.Set(slog.LevelInfo) // validate has let nothing else through
	}
	asJSON := c.Format == "json" || c.Format == "auto" && !terminal
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if err, isError := a.Value.Any().(error); isError {
			return slog.String(a.Key, err.Error()) // the JSON handler would look into the error's fields
		}
		switch {
		case a.Key == slog.TimeKey && terminal:
			a.Value = slog.StringValue(a.Value.Time().Format("15:04:05.000"))
		case a.Value.Kind() == slog.KindDuration && asJSON:
			// The JSON handler would write nanoseconds; a query is to read seconds.
			a.Value = slog.Float64Value(a.Value.Duration().Round(time.Millisecond).Seconds())
		case a.Value.Kind() == slog.KindDuration:
			a.Value = slog.StringValue(a.Value.Duration().Round(time.Millisecond).String())
		}
		return a
	}}
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// logLevels are the levels that the configuration and a request may name.
var logLevels = []string{"debug", "info", "warn", "error"}

// levelAnswer tells the least level that is logged, or why it stays.
type levelAnswer struct {
	Level string `json:"level"`
	Error string `json:"error,omitempty"`
}

// levelRoutes serves the level of the log; whoever bears the token may change it, on any instance. It lasts
// until the process ends: the configuration is what holds after that.
func levelRoutes(mux *http.ServeMux, b *board) {
	tell := func(w http.ResponseWriter, code int, problem string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		// The one error left is that the reader went away, which is theirs to know.
		_ = json.NewEncoder(w).Encode(levelAnswer{strings.ToLower(b.level.Level().String()), problem})
	}
	mux.HandleFunc("GET /api/v1/loglevel", func(w http.ResponseWriter, _ *http.Request) {
		tell(w, http.StatusOK, "")
	})
	mux.HandleFunc("PUT /api/v1/loglevel", func(w http.ResponseWriter, r *http.Request) {
		if refused := b.bears(r); refused != nil {
			tell(w, refused.code, refused.text)
			return
		}
		var wanted levelAnswer
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequestBytes)).Decode(&wanted)
		if err == nil && !slices.Contains(logLevels, wanted.Level) {
			err = errors.New("no level of the configuration")
		}
		if err == nil {
			err = b.level.UnmarshalText([]byte(wanted.Level))
		}
		if err != nil {
			tell(w, http.StatusBadRequest, `want {"level": "debug"}, or one of `+strings.Join(logLevels, ", "))
			return
		}
		tell(w, http.StatusOK, "")
	})
}

package main

import (
	"io"
	"log/slog"
)

// newLogger makes the program's logger: text on a terminal and JSON elsewhere, unless the configuration says.
func newLogger(w io.Writer, c LogConfig, terminal bool) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // validate has let nothing else through
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if err, isError := a.Value.Any().(error); isError {
			return slog.String(a.Key, err.Error()) // the JSON handler would look into the error's fields
		}
		if a.Key == slog.TimeKey && terminal {
			a.Value = slog.StringValue(a.Value.Time().Format("15:04:05.000"))
		}
		return a
	}}
	if c.Format == "json" || c.Format == "auto" && !terminal {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

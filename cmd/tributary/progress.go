package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How often a snapshot's progress is shown.
const (
	redrawInterval = 250 * time.Millisecond // on a terminal
	reportInterval = 10 * time.Second       // in a log
)

// progress shows how far a snapshot is: one line that is redrawn on a terminal, log lines elsewhere.
// Everything
// else that goes to the stream goes through it, so that the line is never torn.
type progress struct {
	terminal bool

	mu   sync.Mutex // guards what follows, and the order of writes
	w    io.Writer
	line string // what stands on the terminal's last line
}

func newProgress(w io.Writer, terminal bool) *progress { return &progress{w: w, terminal: terminal} }

// Write passes whole lines on, above the progress line.
func (p *progress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line == "" {
		return p.w.Write(text)
	}
	var b bytes.Buffer
	b.WriteString("\r\x1b[K")
	b.Write(text)
	b.WriteString(p.line)
	if _, err := p.w.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// draw replaces the progress line; an empty one removes it.
func (p *progress) draw(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if line == p.line {
		return
	}
	p.line = line
	fmt.Fprint(p.w, "\r\x1b[K"+line)
}

// run shows the board's snapshot until the context ends.
func (p *progress) run(ctx context.Context, b *board, log *slog.Logger) {
	interval := reportInterval
	if p.terminal {
		interval = redrawInterval
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			if p.terminal {
				p.draw("")
			}
			return
		case <-ticker.C:
		}
		s := b.Status().Snapshot
		switch {
		case s != nil && s.Running && p.terminal:
			p.draw(progressLine(*s, 79))
		case s != nil && s.Running:
			log.Info("snapshot progress", progressAttrs(*s)...)
		case p.terminal:
			p.draw("")
		}
	}
}

// progressLine is one line of at most width characters.
func progressLine(s statusSnapshot, width int) string {
	eta := "unknown"
	if s.ETASeconds != nil {
		eta = time.Duration(*s.ETASeconds * float64(time.Second)).Round(time.Second).String()
	}
	line := fmt.Sprintf("snapshot %d/%d tables  %s rows  %s rows/s  ETA %s  %s",
		s.TablesDone, s.Tables, thousands(s.Rows), thousands(int64(s.RowsPerSecond)), eta, s.Table)
	if runes := []rune(line); len(runes) > width {
		line = string(runes[:width])
	}
	return strings.TrimRight(line, " ")
}

// progressAttrs is the same for a log.
func progressAttrs(s statusSnapshot) []any {
	attrs := []any{
		"tables_done", s.TablesDone, "table_count", s.Tables, "rows", s.Rows,
		"rows_per_second", int64(s.RowsPerSecond), "table", s.Table,
	}
	if s.ETASeconds != nil {
		attrs = append(attrs, "eta_seconds", int64(*s.ETASeconds))
	}
	return attrs
}

// thousands writes a number with commas.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

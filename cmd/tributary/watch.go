package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// watch shows an instance's status again and again.
type watch struct {
	w        io.Writer
	address  string
	asJSON   bool
	terminal bool
}

// run asks until the context ends, which is how a person ends it. An instance that does not answer is told
// of, and asked again: it may be starting.
func (v watch) run(ctx context.Context, interval time.Duration) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		text, err := v.ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			_, err = io.WriteString(v.w, text)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// ask returns what is to be written.
func (v watch) ask(ctx context.Context) (string, error) {
	body, s, err := readStatus(ctx, v.address)
	var b bytes.Buffer
	switch {
	case err != nil && v.asJSON:
		_, text, _ := explained(err)
		err := json.NewEncoder(&b).Encode(struct {
			Error string `json:"error"`
		}{text})
		return b.String(), err
	case v.asJSON: // one line for each answer
		err := json.Compact(&b, body)
		return b.String() + "\n", err
	case err != nil:
		_, text, _ := explained(err)
		fmt.Fprintf(&b, "%s\n", text)
	case v.terminal:
		if err := writeStatus(&b, s); err != nil {
			return "", err
		}
	default:
		fmt.Fprintf(&b, "%s  %-9s  %s  %s\n", s.Time.UTC().Format(time.RFC3339), strings.ToUpper(s.State),
			textOr(s.Position.Published, "-"), sentence(s))
	}
	if !v.terminal {
		return b.String(), nil
	}
	// Home, each line cleared to its end, and what is left below: a terminal that is cleared first flickers.
	text := "\x1b[H" + strings.ReplaceAll(b.String(), "\n", "\x1b[K\n")
	return text + "\nasked again and again; Ctrl-C ends\x1b[K\n\x1b[J", nil
}

package main

import (
	"fmt"
	"io"
	"strings"
)

// columns is the width that all output keeps to.
const columns = 80

// The colours, as ANSI sequences.
const (
	bold  = "\x1b[1m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	cyan  = "\x1b[36m"
	reset = "\x1b[0m"
)

// printer writes lines of at most 80 columns, in colour where it may.
type printer struct {
	w      io.Writer
	colour bool
}

// line writes one line, all of it in the colour, which is one of the sequences or empty.
func (p *printer) line(colour, format string, args ...any) {
	text := clip(fmt.Sprintf(format, args...), columns)
	if p.colour && colour != "" {
		text = colour + text + reset
	}
	fmt.Fprintln(p.w, text)
}

// clip cuts text to a number of columns and says that it did.
func clip(text string, width int) string {
	if runes := []rune(text); len(runes) > width {
		return string(runes[:width-3]) + "..."
	}
	return text
}

// wrap splits text into lines of at most width columns, at spaces.
func wrap(text string, width int) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		last := len(lines) - 1
		if last >= 0 && len(lines[last])+1+len(word) <= width {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}

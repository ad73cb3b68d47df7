package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"text/tabwriter"
)

// line is what is printed of one case. Rows per second and times are medians; what is absent was not
// measured.
type line struct {
	Case    string   `json:"case"`
	Rate    float64  `json:"rows_per_s"`
	Min     float64  `json:"rows_per_s_min,omitempty"`
	Max     float64  `json:"rows_per_s_max,omitempty"`
	ToRaw   *float64 `json:"ratio_to_raw,omitempty"`
	ToOther *float64 `json:"ratio_to_at_least_once,omitempty"`
	// ToSlowest compares a snapshot with the slowest of its stages alone.
	ToSlowest *float64 `json:"ratio_to_slowest_stage,omitempty"`
	// Of Debezium: how many times its rows/s the lanes have, and the catch-up lane its rows for a second of the
	// client's CPU and for its memory.
	Live    *float64 `json:"live_times,omitempty"`
	CatchUp *float64 `json:"catchup_times,omitempty"`
	PerCPU  *float64 `json:"catchup_times_per_cpu,omitempty"`
	Memory  *float64 `json:"memory_times,omitempty"`
	Client  *float64 `json:"client_cpu_s_per_m,omitempty"`
	Server  *float64 `json:"server_cpu_s_per_m,omitempty"`
	Broker  *float64 `json:"broker_cpu_s_per_m,omitempty"`
	RSS     *float64 `json:"peak_rss_mib,omitempty"`
	// Others is how many cores everything else on the machine kept busy.
	Others *float64 `json:"other_cores,omitempty"`
	P50    *float64 `json:"p50_ms,omitempty"`
	P99    *float64 `json:"p99_ms,omitempty"`
	P999   *float64 `json:"p999_ms,omitempty"`
	Runs   int      `json:"runs"`
}

// median returns the middle, the mean of both when there are two.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[n/2] + sorted[(n-1)/2]) / 2
}

// rounded returns a number to so many digits behind the point, nil for an unknown one.
func rounded(v float64, digits int) *float64 {
	if v < 0 || math.IsNaN(v) {
		return nil
	}
	scale := math.Pow10(digits)
	v = math.Round(v*scale) / scale
	return &v
}

// of returns the median of what f says of each turn.
func of(turns []turn, f func(turn) float64) float64 {
	values := make([]float64, len(turns))
	for i, t := range turns {
		values[i] = f(t)
	}
	return median(values)
}

// ratios returns the median over the turns' ratios.
func ratios(turns, yardstick []turn) *float64 {
	if len(yardstick) != len(turns) {
		return nil
	}
	values := make([]float64, len(turns))
	for i := range turns {
		values[i] = turns[i].rate() / yardstick[i].rate()
	}
	return rounded(median(values), 3)
}

// summary is the line of a case.
func summary(name string, turns, raw, other []turn) line {
	perMillion := func(seconds func(cost) float64) *float64 {
		return rounded(of(turns, func(t turn) float64 { return seconds(t.cost) * 1e6 / float64(t.rows) }), 2)
	}
	l := line{
		Case: name, Rate: math.Round(of(turns, turn.rate)), Runs: len(turns),
		ToRaw: ratios(turns, raw), ToOther: ratios(turns, other),
		Client: perMillion(func(c cost) float64 { return c.client }),
		Server: perMillion(func(c cost) float64 { return c.server }),
		Broker: perMillion(func(c cost) float64 { return c.broker }),
		RSS:    rounded(of(turns, turn.rss), 0),
		Others: rounded(of(turns, func(t turn) float64 { return t.cost.others }), 2),
		Min:    math.Inf(1),
	}
	for _, t := range turns {
		l.Min, l.Max = math.Round(min(l.Min, t.rate())), math.Round(max(l.Max, t.rate()))
	}
	return l
}

// progress tells of one turn.
func progress(name string, n int, t turn) {
	million := float64(t.rows) / 1e6
	fmt.Fprintf(os.Stderr, "%d %-32s %8.0f rows/s  CPU s/M: client %.2f server %.2f broker %.2f  %.0f MiB  "+
		"others %.2f\n", n+1, name, t.rate(), t.cost.client/million, max(t.cost.server/million, 0),
		max(t.cost.broker/million, 0), t.cost.rss, t.cost.others)
}

// columns are those of the table for people.
var columns = []struct {
	title string
	value func(line) *float64
}{
	{"min", func(l line) *float64 { return &l.Min }},
	{"max", func(l line) *float64 { return &l.Max }},
	{"x raw", func(l line) *float64 { return l.ToRaw }},
	{"x ALO", func(l line) *float64 { return l.ToOther }},
	{"x stage", func(l line) *float64 { return l.ToSlowest }},
	{"peer live", func(l line) *float64 { return l.Live }},
	{"catch-up", func(l line) *float64 { return l.CatchUp }},
	{"per CPU", func(l line) *float64 { return l.PerCPU }},
	{"memory", func(l line) *float64 { return l.Memory }},
	{"client", func(l line) *float64 { return l.Client }},
	{"server", func(l line) *float64 { return l.Server }},
	{"broker", func(l line) *float64 { return l.Broker }},
	{"MiB", func(l line) *float64 { return l.RSS }},
	{"p50 ms", func(l line) *float64 { return l.P50 }},
	{"p99 ms", func(l line) *float64 { return l.P99 }},
	{"p99.9", func(l line) *float64 { return l.P999 }},
	{"others", func(l line) *float64 { return l.Others }},
	{"runs", func(l line) *float64 { runs := float64(l.Runs); return &runs }},
}

// show writes the lines as a table for people, without the columns that none of them has.
func show(w io.Writer, lines []line) error {
	has := func(l line, i int) bool { v := columns[i].value(l); return v != nil && *v != 0 }
	var used []int
	for i := range columns {
		if slices.ContainsFunc(lines, func(l line) bool { return has(l, i) }) {
			used = append(used, i)
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "case\trows/s\t")
	for _, i := range used {
		fmt.Fprint(t, columns[i].title, "\t")
	}
	fmt.Fprintln(t)
	for _, l := range lines {
		fmt.Fprintf(t, "%s\t%.0f\t", l.Case, l.Rate)
		for _, i := range used {
			if has(l, i) {
				fmt.Fprint(t, strconv.FormatFloat(*columns[i].value(l), 'f', -1, 64))
			}
			fmt.Fprint(t, "\t")
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// print writes the lines of a group of cases, but for those that are in the file already.
func (o *options) print(lines []line, done map[string]bool) error {
	var text bytes.Buffer
	for _, l := range lines {
		if done[l.Case] {
			continue // a yardstick, measured once more for those that had no line
		}
		if err := json.NewEncoder(&text).Encode(l); err != nil {
			return fmt.Errorf("write the line of %s: %w", l.Case, err)
		}
	}
	if err := show(os.Stderr, lines); err != nil {
		return err
	}
	if _, err := os.Stdout.Write(text.Bytes()); err != nil {
		return err
	}
	if o.out == "" {
		return nil
	}
	file, err := os.OpenFile(o.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.Write(text.Bytes())
	return err
}

// readLines returns the lines of a file; none when there is no file.
func readLines(name string) (all []line, err error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// casesOf returns the cases that have a line.
func casesOf(lines []line) map[string]bool {
	done := make(map[string]bool)
	for _, l := range lines {
		done[l.Case] = true
	}
	return done
}

// lockedBuffer is a process's output, which is looked at while it runs.
type lockedBuffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) has() bool { return len(b.bytes()) > 0 }

func (b *lockedBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.text.Bytes())
}

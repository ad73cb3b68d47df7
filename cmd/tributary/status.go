package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) statusCommand() *cobra.Command {
	var address string
	var asJSON, watched bool
	interval := time.Second
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Ask a running instance how it is",
		Long: "status asks the instance at --addr, by default http.listen of the configuration.\n" +
			"It exits 0 while the instance works or stands by, 1 while it starts or has\n" +
			"failed, 4 when it needs a person, and 1 when nothing answers. --watch asks\n" +
			"until Ctrl-C: a terminal is redrawn, elsewhere each answer is a line.",
		Example: "  tributary status\n" +
			"  tributary status --watch\n" +
			"  tributary status --addr 10.0.0.7:8080 --json | jq .lag",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	cmd.Flags().StringVar(&address, "addr", "", "the instance's `HOST:PORT`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the instance's own JSON")
	cmd.Flags().BoolVarP(&watched, "watch", "w", false, "ask again and again")
	cmd.Flags().DurationVar(&interval, "interval", interval, "with --watch: how often")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if interval < 100*time.Millisecond {
			return usageError{fmt.Errorf("--interval %s: want 100ms at least", interval)}
		}
		if address == "" {
			var err error
			if address, err = flags.listenAddress(); err != nil {
				return err
			}
		}
		if watched {
			ctx, cancel := p.interruptible(cmd.Context())
			defer cancel()
			return watch{p.stdout, address, asJSON, isTerminal(p.stdout)}.run(ctx, interval)
		}
		body, s, err := readStatus(cmd.Context(), address)
		if err != nil {
			return err
		}
		if asJSON {
			_, err = p.stdout.Write(body)
		} else {
			err = writeStatus(p.stdout, s)
		}
		if err != nil {
			return err
		}
		return statusCode(s)
	}
	return cmd
}

// readStatus asks an instance and understands the answer.
func readStatus(ctx context.Context, address string) (body []byte, s status, err error) {
	if body, err = fetchStatus(ctx, address); err != nil {
		return nil, s, err
	}
	if err := json.Unmarshal(body, &s); err != nil || s.Version != statusVersion {
		return nil, s, fmt.Errorf("read status of %s: not a status of version %d: is it another program, or "+
			"another version?", address, statusVersion)
	}
	return body, s, nil
}

// listenAddress takes http.listen from wherever it is set, asking nothing else of the configuration: the
// status
// of a pipeline needs none of its secrets.
func (f *configFlags) listenAddress() (string, error) {
	l := newLoader(loadOptions{Flags: f.values, Environ: f.environ})
	if f.file != "" {
		if err := l.loadFile(f.file); err != nil {
			return "", err
		}
	}
	l.overlay(f.values)
	return reachable(l.config.HTTP.Listen)
}

// reachable turns an address to listen on into one to connect to.
func reachable(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", usageError{fmt.Errorf("http.listen is %q: name the instance with --addr HOST:PORT", listen)}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

func fetchStatus(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/v1/status", nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("--addr %q is not HOST:PORT", address)}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		var opErr *net.OpError
		if errors.As(err, &opErr) {
			err = opErr
		}
		return nil, faultError{fmt.Errorf("nothing answers at %s: %w: is tributary running there? (--addr names "+
			"another)", address, err), "E610"}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("read status of %s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read status of %s: answered %s: is that tributary?", address, response.Status)
	}
	return body, nil
}

// statusCode is the exit code of a state; the text has been printed.
func statusCode(s status) error {
	switch {
	case s.Error != nil && s.Error.NeedsPerson:
		return codedError{errors.New(""), exitPerson}
	case !ready(s):
		return codedError{errors.New(""), exitFailed}
	}
	return nil
}

// writeStatus tells a status in at most 80 columns, a sentence first.
func writeStatus(w io.Writer, s status) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s for %s\n", s.Pipeline, strings.ToUpper(s.State),
		s.Time.Sub(s.Since).Round(time.Second))
	b.WriteString(fold(sentence(s), 0) + "\n")
	if s.Error != nil && s.Error.Fix != "" {
		b.WriteString("fix: " + s.Error.Fix + "\n") // never folded: it is to be pasted
	}
	b.WriteString("\n")
	writeRole(&b, s)
	b.WriteString(fold(fmt.Sprintf("source    %s/%s  slot %s  publication %s", s.Source.Address,
		s.Source.Database, s.Source.Slot, s.Source.Publication), 2) + "\n")
	b.WriteString(fold(fmt.Sprintf("position  confirmed %s  published %s  server %s",
		textOr(s.Position.Confirmed, "-"), textOr(s.Position.Published, "-"), textOr(s.Position.Server, "-")),
		2) + "\n")
	fmt.Fprintf(&b, "lag       %.1f s  %s unconfirmed  %s of WAL retained\n",
		s.Lag.Seconds, size(s.Lag.ConfirmedBytes), size(s.Lag.RetainedBytes))
	if s.Recent.P50 != nil && s.Recent.P99 != nil {
		fmt.Fprintf(&b, "latency   p50 %s  p99 %s from commit to Kafka, in the last minute\n",
			latencyText(*s.Recent.P50), latencyText(*s.Recent.P99))
	}
	writeLane(&b, s.Source)
	writeAnchor(&b, s.Anchor)
	fmt.Fprintf(&b, "kafka     %s  %s records in %s windows\n", s.Kafka.Delivery, thousands(s.Kafka.Records),
		thousands(s.Kafka.Windows))
	if s.Snapshot != nil && s.Snapshot.Running {
		b.WriteString(progressLine(*s.Snapshot, 79) + "\n")
	}
	if len(s.Tables) > 0 {
		fmt.Fprintf(&b, "\n%-32s %10s %10s %10s %10s\n", "table", "read", "created", "updated", "deleted")
	}
	for _, t := range s.Tables {
		fmt.Fprintf(&b, "%s %10d %10d %10d %10d\n", cell(t.Table, 32), t.Read, t.Created, t.Updated, t.Deleted)
	}
	for _, warning := range s.Warnings {
		b.WriteString(fold("warning: "+warning, 9) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeRole tells whether this instance leads, where that is known. A standby's sentence names who does.
func writeRole(b *strings.Builder, s status) {
	switch {
	case s.State == stateStandby:
		fmt.Fprintf(b, "role      standby, on %s\n", s.Program.Host)
	case s.Source.Connected:
		fmt.Fprintf(b, "role      leader, on %s\n", s.Program.Host)
	}
}

// writeLane tells how the slot is read where that is not the ordinary way, or should not be.
func writeLane(b *strings.Builder, s statusSource) {
	switch {
	case s.LaneReason != "":
		b.WriteString(fold("lane      live, not catch-up: "+s.LaneReason, 10) + "\n")
	case s.Lane != "" && s.Lane != "live":
		fmt.Fprintf(b, "lane      %s: far behind, reading through SQL\n", s.Lane)
	}
}

// sentence says in plain words how the pipeline is.
func sentence(s status) string {
	switch {
	case s.Error != nil && s.Error.Retrying:
		return "Trying again after: " + s.Error.Text + " [" + s.Error.Code + "]"
	case s.Error != nil:
		return s.Error.Text + " [" + s.Error.Code + "]"
	case s.Detail != "":
		return s.Detail
	case s.State == stateStreaming && s.Lag.Seconds < 1:
		return fmt.Sprintf("Caught up: %.1f s behind.", s.Lag.Seconds)
	case s.State == stateStreaming:
		text := fmt.Sprintf("Behind by %s and %s of WAL", time.Duration(s.Lag.Seconds*float64(time.Second)).
			Round(time.Second), size(s.Lag.ConfirmedBytes))
		if s.Lag.CaughtUpIn == nil {
			return text + "."
		}
		return fmt.Sprintf("%s, and catching up at %s/s: about %s left.", text,
			size(int64(s.Lag.ConfirmedPerSecond)), span(time.Duration(*s.Lag.CaughtUpIn*float64(time.Second))))
	case s.State == stateSnapshot:
		return "Reading the rows that were there before."
	case s.State == stateStandby:
		return "Standing by: another instance holds the slot."
	}
	return "Starting."
}

// size writes bytes for people.
func size(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) snapshotCommand() *cobra.Command {
	var address, where, cancel string
	var tables []string
	var detach, repair, dry, yes bool
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Have a running instance read tables again",
		Long: "snapshot asks the instance at --addr, by default http.listen of the\n" +
			"configuration, to publish the rows of captured tables again while it streams,\n" +
			"and waits until it has. The request bears the token that http.token_from\n" +
			"names. It is stored with the position: a restart goes on with it.\n" +
			"\n" +
			"snapshot --repair is for a stopped pipeline whose stream has a gap: a slot that\n" +
			"was lost, dropped or moved, a publication made anew, another server. It notes\n" +
			"that the next run makes the slot anew and publishes all rows again, and then a\n" +
			"delete for each key that a topic holds and its table no longer does. Killed at\n" +
			"any moment, that run goes on where it was.",
		Example: "  tributary snapshot -c tributary.yaml --table 'public.order*'\n" +
			"  tributary snapshot -c tributary.yaml --table public.orders --where 'id > 1000'\n" +
			"  tributary snapshot -c tributary.yaml --cancel all\n" +
			"  tributary snapshot --repair -c tributary.yaml",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	cmd.Flags().StringVar(&address, "addr", "", "the instance's `HOST:PORT`")
	cmd.Flags().StringArrayVar(&tables, "table", nil, "a `PATTERN` on schema.table; may be repeated")
	cmd.Flags().StringVar(&where, "where", "", "read only rows that fulfil this `SQL` condition")
	cmd.Flags().BoolVar(&detach, "detach", false, "do not wait for the end")
	cmd.Flags().StringVar(&cancel, "cancel", "", "end the snapshot of this `ID` instead, or all")
	cmd.Flags().BoolVar(&repair, "repair", false, "have the next run close a gap in the stream, deletes "+
		"included")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "with --repair: say what would be done, and do nothing")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "with --repair: do not ask")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if repair {
			return p.repairCommand(cmd.Context(), flags, dry, yes, repairFlags(tables, where, cancel, address))
		}
		if (cancel == "") == (len(tables) == 0) {
			return usageError{errors.New("name tables with --table, or a snapshot with --cancel")}
		}
		listen, token, err := flags.instance()
		if err != nil {
			return err
		}
		if address == "" {
			if address, err = reachable(listen); err != nil {
				return err
			}
		}
		c := instance{address: address, token: token}
		if cancel != "" {
			return c.cancel(cmd.Context(), p.stdout, cancel)
		}
		return c.snapshot(cmd.Context(), p.stdout, snapshotRequest{Tables: tables, Where: where}, detach)
	}
	return cmd
}

// instance takes what is needed to ask a running instance, and nothing else, from wherever it is set.
func (f *configFlags) instance() (listen, token string, err error) {
	l := newLoader(loadOptions{Flags: f.values, Environ: f.environ})
	if f.file != "" {
		if err := l.loadFile(f.file); err != nil {
			return "", "", err
		}
	}
	l.overlay(f.values)
	if l.config.HTTP.TokenFrom == "" {
		return "", "", usageError{errors.New("http.token_from is not set: the running instance takes requests " +
			"only with its token")}
	}
	secret, err := l.config.HTTP.TokenFrom.Resolve(context.Background(), nil)
	if err != nil {
		return "", "", usageError{fmt.Errorf("http.token_from: %w", err)}
	}
	return l.config.HTTP.Listen, string(secret), nil
}

// instance is a running tributary that is asked for something.
type instance struct{ address, token string }

// ask sends a request with the token.
func (c instance) ask(ctx context.Context, method, path string, body []byte) (snapshotAnswer, error) {
	var a snapshotAnswer
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.address+path, bytes.NewReader(body))
	if err != nil {
		return a, usageError{fmt.Errorf("--addr %q is not HOST:PORT", c.address)}
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return a, fmt.Errorf("nothing answers at %s: %w: is tributary running there? (--addr names another)",
			c.address, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return a, fmt.Errorf("read the answer of %s: %w", c.address, err)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("%s answered %s: is that tributary, and of this version?", c.address,
			response.Status)
	}
	if response.StatusCode != http.StatusAccepted {
		return a, fmt.Errorf("%s refused (%s): %s", c.address, response.Status, a.Error)
	}
	return a, nil
}

// cancel ends snapshots.
func (c instance) cancel(ctx context.Context, w io.Writer, id string) error {
	path := "/api/v1/snapshots"
	if id != "all" {
		path += "/" + url.PathEscape(id)
	}
	a, err := c.ask(ctx, http.MethodDelete, path, nil)
	if err == nil {
		_, err = fmt.Fprintf(w, "%d snapshots ended\n", a.Canceled)
	}
	return err
}

// snapshot asks for one and follows it.
func (c instance) snapshot(ctx context.Context, w io.Writer, r snapshotRequest, detach bool) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	a, err := c.ask(ctx, http.MethodPost, "/api/v1/snapshots", body)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %s\n", a.ID, strings.Join(a.Tables, ", "))
	if detach {
		return nil
	}
	return c.follow(ctx, w, a.ID)
}

// follow waits until a snapshot is no longer under way. An instance that does not answer may be starting
// again.
func (c instance) follow(ctx context.Context, w io.Writer, id string) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last, rows := "", int64(0)
	for {
		var s status
		body, err := fetchStatus(ctx, c.address)
		if err == nil {
			err = json.Unmarshal(body, &s)
		}
		if err == nil && (s.State == stateStreaming || s.State == stateSnapshot) {
			if !s.has(id) {
				_, err := fmt.Fprintf(w, "done, %s rows\n", thousands(max(rows, snapshotRows(s, id))))
				return err
			}
			rows = snapshotRows(s, id)
			if line := s.jobLine(id); line != last {
				last = line
				fmt.Fprintln(w, line)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// has says whether a snapshot is under way or waits.
func (s status) has(id string) bool {
	for _, j := range s.Snapshots {
		if j.ID == id {
			return true
		}
	}
	return false
}

// snapshotRows is how many rows of a snapshot were sent since the instance started.
func snapshotRows(s status, id string) int64 {
	if s.Snapshot == nil || s.Snapshot.ID != id {
		return 0
	}
	return s.Snapshot.Rows
}

// jobLine tells how far a snapshot is.
func (s status) jobLine(id string) string {
	if s.Snapshot != nil && s.Snapshot.ID == id {
		return progressLine(*s.Snapshot, 79)
	}
	for _, j := range s.Snapshots {
		if j.ID == id {
			return j.State
		}
	}
	return ""
}

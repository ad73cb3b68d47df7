package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// labMajor is the Postgres that is measured where none is given.
	labMajor = "17"
	// debeziumRows is the backlog that Debezium is given: enough for its rate to settle, and no more, since it
	// needs half a minute for it.
	debeziumRows = 300_000
	// connectPatience is for how long Debezium's worker may be started again. The lab's script gives one start
	// two minutes, in which a worker on a cold disk or a busy machine has not read its plugins; the next start
	// finds them in memory.
	connectPatience = 10 * time.Minute
	// notReady is what the lab's scripts say of a server that did not answer in time.
	notReady = "not ready after"
)

// servers sees to it that there are servers: those of the environment, and the lab's for what is missing
// there.
func (o *options) servers(ctx context.Context) error {
	for _, server := range []struct {
		variable, script string
		arguments        []string
		address          *string
	}{
		{"TRIBUTARY_TEST_POSTGRES", "pg.sh", []string{"start", labMajor}, &o.postgres},
		{"TRIBUTARY_TEST_KAFKA", "kafka.sh", []string{"start"}, &o.kafka},
		{"TRIBUTARY_TEST_REGISTRY", "registry.sh", []string{"start"}, &o.registry},
	} {
		if *server.address != "" {
			continue
		}
		script := filepath.Join(o.lab, server.script)
		if _, err := os.Stat(script); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is not set, and there is no %s that could start a server: set it, or name the "+
				"folder with BENCH_LAB", server.variable, script)
		}
		fmt.Fprintf(os.Stderr, "bench: %s is not set: %s starts one\n", server.variable, script)
		cmd := exec.CommandContext(ctx, script, server.arguments...)
		cmd.Stderr = os.Stderr
		address, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("run %s: %w", script, err)
		}
		*server.address = strings.TrimSpace(string(address))
	}
	return nil
}

// debeziumReaders are both lanes over the lab's rows, and Debezium over as many.
func debeziumReaders(o *options) []reader {
	readers := lanes(o, "lab", false)
	for _, profile := range []string{"default", "tuned"} {
		readers = append(readers, reader{
			name: "debezium/" + profile, kind: byDebezium, stage: profile, beside: []string{"live/lab", "catchup/lab"},
		})
	}
	return readers
}

// debezium has the lab measure Debezium. The lab's servers are the ones that LAB_STATE and its ports name.
func (b *bench) debezium(ctx context.Context, profile string) (t turn, err error) {
	script := filepath.Join(b.lab, "bench-debezium.sh")
	output, err := patiently(ctx, os.Stderr, script, itoa(b.rows), labMajor, profile, "avro")
	if err != nil {
		return t, err
	}
	var r struct {
		Rows    int     `json:"rows"`
		Seconds float64 `json:"seconds"`
		Wall    float64 `json:"wall_s"`
		Client  float64 `json:"connect_cpu_s"`
		Server  float64 `json:"walsender_cpu_s"`
		Broker  float64 `json:"kafka_cpu_s"`
		Others  float64 `json:"other_cpu_s"`
		RSS     float64 `json:"connect_peak_rss_mib"`
	}
	if err := json.Unmarshal(output, &r); err != nil {
		return t, fmt.Errorf("run %s: %w", script, err)
	}
	return turn{r.Rows, r.Seconds, cost{
		client: r.Client, server: r.Server, broker: r.Broker, rss: r.RSS, others: r.Others / max(r.Wall, 1),
	}}, nil
}

// patiently runs a script of the lab, and again while it ends because a server did not answer in time. It
// tells each new attempt, beside what the script tells.
func patiently(ctx context.Context, told io.Writer, script string, args ...string) ([]byte, error) {
	for began := time.Now(); ; {
		var errs bytes.Buffer
		cmd := exec.CommandContext(ctx, script, args...)
		cmd.Stderr = io.MultiWriter(told, &errs)
		output, err := cmd.Output()
		spent := time.Since(began)
		switch {
		case err == nil:
			return output, nil
		case ctx.Err() != nil || spent > connectPatience || !strings.Contains(errs.String(), notReady):
			return nil, fmt.Errorf("run %s: %w", script, err)
		}
		fmt.Fprintf(told, "bench: a server was not ready after %s of at most %s: once more\n",
			spent.Round(time.Second), connectPatience)
	}
}

// peers compares Debezium with our lanes over the same rows.
func (l *line) peers(debezium, live, catchUp []turn) {
	if len(live) != len(debezium) || len(catchUp) != len(debezium) {
		return
	}
	cpu := func(t turn) float64 { return t.cost.client / float64(t.rows) }
	l.Live = rounded(of(live, turn.rate)/of(debezium, turn.rate), 1)
	l.CatchUp = rounded(of(catchUp, turn.rate)/of(debezium, turn.rate), 1)
	l.PerCPU = rounded(of(debezium, cpu)/of(catchUp, cpu), 1)
	l.Memory = rounded(of(debezium, turn.rss)/of(catchUp, turn.rss), 1)
}

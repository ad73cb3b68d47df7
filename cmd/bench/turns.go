package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// lookShare is how many times as long as a look at the topics the pause behind it is: the look costs the
// broker what is measured, and more of it the more topics there are.
const lookShare = 9

func itoa(n int) string { return strconv.Itoa(n) }

// backends are the server's processes that serve anybody but ourselves in this database.
func (b *bench) backends(ctx context.Context) (pids []int, err error) {
	text, err := ask(ctx, b.conn, "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity "+
		"WHERE datname = current_database() AND pid <> pg_backend_pid()")
	for _, word := range strings.Fields(text) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, err
}

// yardstick runs one of this program's own readers.
func (b *bench) yardstick(ctx context.Context, args ...string) (turn, error) {
	self, err := os.Executable()
	if err != nil {
		return turn{}, err
	}
	return b.command(ctx, append([]string{self}, args...)...)
}

// receive runs Postgres's own reader, to nowhere. It says nothing of rows.
func (b *bench) receive(ctx context.Context, slot, end string) (turn, error) {
	const script = `"$@" && echo '{"rows": ROWS}'`
	return b.command(ctx, "sh", "-c", strings.Replace(script, "ROWS", itoa(b.rows), 1), "sh",
		"pg_recvlogical", "--dbname", b.url, "--slot", slot, "--start", "--no-loop", "--endpos", end,
		"--file", os.DevNull, "--option", "proto_version=1", "--option", "publication_names="+publication)
}

// command runs a reader, which ends by printing what it has read.
func (b *bench) command(ctx context.Context, words ...string) (turn, error) {
	m := newMeter(0)
	output := new(lockedBuffer)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = output, os.Stderr
	if err := cmd.Start(); err != nil {
		return turn{}, err
	}
	took, waitErr := wait(ctx, words[1], turnLimit, func() (bool, error) {
		pids, err := b.backends(ctx)
		m.look(pids)
		return output.has(), err
	})
	if waitErr != nil {
		// It may wait for what never comes, and its own error tells nothing then.
		_ = cmd.Process.Kill()
	}
	if err := errors.Join(waitErr, cmd.Wait()); err != nil {
		return turn{}, fmt.Errorf("run %.40q: %w", words, err)
	}
	var r reading
	if err := json.Unmarshal(output.bytes(), &r); err != nil {
		return turn{}, fmt.Errorf("run %.40q: %w", words, err)
	}
	if r.Seconds == 0 {
		r.Seconds = took.Seconds()
	}
	return turn{r.Rows, r.Seconds, m.cost(cmd.ProcessState)}, nil
}

// stage runs one stage of tributary alone, over the first rows of the backlog again and again.
func (b *bench) stage(ctx context.Context, r reader, slot string) (turn, error) {
	_, config, err := b.configure(r, slot, "no_data")
	if err != nil {
		return turn{}, err
	}
	m := newMeter(listener(b.options.kafka))
	var output strings.Builder
	cmd := exec.CommandContext(ctx, r.binary, "bench", "--config", config, "--only", r.stage,
		"--rows", itoa(b.rows), "--yes", "--json")
	cmd.Stdout, cmd.Stderr = &output, os.Stderr
	if err := cmd.Run(); err != nil {
		return turn{}, fmt.Errorf("run tributary bench: %w", err)
	}
	var report struct {
		Stages []struct {
			Rows    int     `json:"rows"`
			Seconds float64 `json:"seconds"`
			CPU     float64 `json:"client_cpu_s"`
		} `json:"stages"`
	}
	if err := json.Unmarshal([]byte(output.String()), &report); err != nil {
		return turn{}, fmt.Errorf("run tributary bench: %w", err)
	}
	if len(report.Stages) != 1 {
		return turn{}, fmt.Errorf("run tributary bench: %d stages", len(report.Stages))
	}
	s := report.Stages[0]
	t := turn{s.Rows, s.Seconds, m.cost(cmd.ProcessState)}
	t.cost.client = s.CPU
	return t, nil
}

// sight is what has been seen of a pipeline's records.
type sight struct {
	first, last   time.Time
	already, seen int64 // when the measurement began, and now
}

// add notes how many records there are; those of warm are not measured. It says that the measurement begins.
func (s *sight) add(n int64, warm int) (begins bool) {
	now := time.Now()
	if n <= s.seen {
		return false
	}
	if begins = s.first.IsZero() && n >= int64(warm); begins {
		s.first, s.already = now, n
	}
	s.seen, s.last = n, now
	return begins
}

// pipeline runs tributary until done, or, where done is nil, until all rows are there. Its speed is that from
// the first records that a read_committed consumer could see to the last.
func (b *bench) pipeline(ctx context.Context, r reader, slot, snapshot string,
	done func() (bool, error),
) (t turn, err error) {
	prefix, config, err := b.configure(r, slot, snapshot)
	if err != nil {
		return t, err
	}
	m := newMeter(listener(b.options.kafka))
	c, err := start(r.binary, config)
	if err != nil {
		return t, err
	}
	defer c.kill()
	var s sight
	topics, all := b.topics(prefix), b.rows+b.data.warmed
	see := func() error {
		n, err := b.visible(ctx, topics)
		if s.add(n, b.data.warmed) && b.data.warmed > 0 {
			m.restart(c.cmd.Process.Pid)
		}
		return err
	}
	looks, next := 0, time.Time{}
	_, err = wait(ctx, "the rows in Kafka", turnLimit, func() (bool, error) {
		now := time.Now()
		if now.Before(next) {
			return false, nil
		}
		if err := see(); err != nil {
			return false, err
		}
		next = time.Now().Add(lookShare * time.Since(now))
		// The servers are asked less often: the answer costs them what is measured.
		if looks++; looks%10 != 0 && len(topics) == 1 {
			return false, nil
		}
		if err := c.alive(); err != nil {
			return false, err
		}
		pids, err := b.backends(ctx)
		if err != nil {
			return false, err
		}
		m.look(pids)
		if done == nil {
			return s.seen >= int64(all) && time.Since(s.last) > time.Second, nil
		}
		return done()
	})
	if err == nil {
		// What was committed between the last look and done; the broker marks a transaction's end in one partition
		// after the other.
		_, err = wait(ctx, "the last of "+itoa(all)+" records", 2*time.Minute, func() (bool, error) {
			return s.seen >= int64(all), see()
		})
	}
	if err != nil {
		return t, err
	}
	state, err := c.stop()
	if err != nil {
		return t, err
	}
	return turn{int(s.seen - s.already), s.last.Sub(s.first).Seconds(), m.cost(state)}, b.forget(ctx, prefix)
}

// visible returns how many offsets of topics read_committed consumers may read, 0 while there are none.
func (b *bench) visible(ctx context.Context, topics []string) (int64, error) {
	ends, err := b.kafka.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return 0, err
	}
	sum := int64(0)
	ends.Each(func(o kadm.ListedOffset) { sum += max(o.Offset, 0) })
	return sum, nil
}

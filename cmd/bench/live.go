package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tributary-cdc/tributary/decoder"
)

// The cases of backlogs.
const (
	caseRaw      = "raw/narrow"
	caseExactly  = "live/narrow"
	caseAtLeast  = "live/narrow/at-least-once"
	caseCopy     = "raw/copy"
	caseSnapshot = "snapshot/narrow"

	// before ends the cases of the program that -before names.
	before = "@before"

	exactly = "exactly-once"
	atLeast = "at-least-once"

	// turnLimit bounds one reader's turn.
	turnLimit = 10 * time.Minute
)

// turn is one reader's one reading.
type turn struct {
	rows    int
	seconds float64
	cost    cost
}

func (t turn) rate() float64 { return float64(t.rows) / t.seconds }

// reader is a case of the live group.
type reader struct{ name, mode, binary string }

// readers are those that take turns. With -before the other program's cases end in @before.
func (b *bench) readers() []reader {
	all := []reader{
		{caseRaw, "", ""}, {caseExactly, exactly, b.binary}, {caseAtLeast, atLeast, b.binary},
	}
	if b.before != "" {
		all = append(all,
			reader{caseExactly + before, exactly, b.before}, reader{caseAtLeast + before, atLeast, b.before})
	}
	return all
}

// live measures the replication protocol's lane beside a client that reads and discards.
func (b *bench) live(ctx context.Context) ([]line, error) {
	end, err := b.backlog(ctx)
	if err != nil {
		return nil, err
	}
	turns := make(map[string][]turn)
	for n := range b.runs {
		for _, r := range b.readers() {
			t, err := b.readBacklog(ctx, r, end)
			if err != nil {
				return nil, err
			}
			b.progress(r.name, n, t)
			turns[r.name] = append(turns[r.name], t)
		}
	}
	var lines []line
	for _, r := range b.readers() {
		var other []turn
		if r.mode == exactly {
			other = turns[strings.Replace(r.name, caseExactly, caseAtLeast, 1)]
		}
		lines = append(lines, summary(r.name, turns[r.name], turns[caseRaw], other))
	}
	return lines, b.dropSlot(ctx, b.slot("backlog"))
}

// readBacklog has one reader read the whole backlog.
func (b *bench) readBacklog(ctx context.Context, r reader, end decoder.LSN) (t turn, err error) {
	slot, err := b.copySlot(ctx)
	if err != nil {
		return t, err
	}
	backend := func() (int, error) {
		pid, err := ask(ctx, b.conn, "SELECT active_pid FROM pg_replication_slots WHERE slot_name = '"+slot+"'")
		if err != nil || pid == "" {
			return 0, err
		}
		return strconv.Atoi(pid)
	}
	done := func() (bool, error) {
		confirmed, err := ask(ctx, b.conn, fmt.Sprintf("SELECT confirmed_flush_lsn >= '%s' "+
			"FROM pg_replication_slots WHERE slot_name = '%s'", end, slot))
		return confirmed == "t", err
	}
	if r.mode == "" {
		t, err = b.yardstick(ctx, backend, "drain", b.url, slot, strconv.Itoa(b.rows))
	} else {
		t, err = b.pipeline(ctx, r, slot, "no_data", backend, done)
	}
	if err != nil {
		return t, err
	}
	return t, b.dropSlot(ctx, slot)
}

// snapshot measures a table's first reading beside COPY.
func (b *bench) snapshot(ctx context.Context) ([]line, error) {
	if count, err := ask(ctx, b.conn, "SELECT count(*) FROM "+table); err != nil || count == "0" {
		if err != nil {
			return nil, err
		}
		if err := b.fill(ctx); err != nil {
			return nil, err
		}
	}
	if err := execute(ctx, b.conn, "VACUUM ANALYZE "+table); err != nil {
		return nil, err
	}
	var raw, whole []turn
	none := func() (int, error) { return 0, nil }
	for n := range b.runs {
		t, err := b.yardstick(ctx, none, "copy", b.url)
		if err != nil {
			return nil, err
		}
		b.progress(caseCopy, n, t)
		raw = append(raw, t)
		b.turns++
		slot := b.slot(strconv.Itoa(b.turns))
		r := reader{caseSnapshot, exactly, b.binary}
		if t, err = b.pipeline(ctx, r, slot, "initial", none, nil); err != nil {
			return nil, err
		}
		b.progress(caseSnapshot, n, t)
		whole = append(whole, t)
		if err := b.dropSlot(ctx, slot); err != nil {
			return nil, err
		}
	}
	return []line{summary(caseCopy, raw, raw, nil), summary(caseSnapshot, whole, raw, nil)}, nil
}

// yardstick runs one of this program's own readers.
func (b *bench) yardstick(ctx context.Context, backend func() (int, error), args ...string) (turn, error) {
	self, err := os.Executable()
	if err != nil {
		return turn{}, err
	}
	m := newMeter(0)
	output := new(lockedBuffer)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stdout, cmd.Stderr = output, os.Stderr
	if err := cmd.Start(); err != nil {
		return turn{}, err
	}
	_, waitErr := wait(ctx, args[0], turnLimit, func() (bool, error) {
		pid, err := backend()
		m.look(pid)
		return output.has(), err
	})
	if err := cmd.Wait(); err != nil {
		return turn{}, fmt.Errorf("run bench %s: %w", args[0], err)
	}
	if waitErr != nil {
		return turn{}, waitErr
	}
	var r reading
	if err := json.Unmarshal(output.bytes(), &r); err != nil {
		return turn{}, fmt.Errorf("run bench %s: %w", args[0], err)
	}
	return turn{r.Rows, r.Seconds, m.cost(cmd.ProcessState)}, nil
}

// pipeline runs tributary until done, or, where done is nil, until all rows are there. Its speed is that from
// the first records that a read_committed consumer could see to the last.
func (b *bench) pipeline(ctx context.Context, r reader, slot, snapshot string, backend func() (int, error),
	done func() (bool, error),
) (t turn, err error) {
	prefix, config, err := b.configure(r.mode, slot, snapshot)
	if err != nil {
		return t, err
	}
	m := newMeter(listener(b.options.kafka))
	c, err := start(r.binary, config)
	if err != nil {
		return t, err
	}
	defer c.kill()
	var first, last time.Time
	var already, seen int64
	looks := 0
	see := func() error {
		n, err := b.visible(ctx, prefix+"."+table)
		if now := time.Now(); n > seen {
			if seen == 0 {
				first, already = now, n
			}
			seen, last = n, now
		}
		return err
	}
	_, err = wait(ctx, "the rows in Kafka", turnLimit, func() (bool, error) {
		if err := see(); err != nil {
			return false, err
		}
		// The servers are asked less often: the answer costs them what is measured.
		if looks++; looks%10 != 0 {
			return false, nil
		}
		if err := c.alive(); err != nil {
			return false, err
		}
		pid, err := backend()
		if err != nil {
			return false, err
		}
		m.look(pid)
		if done == nil {
			return seen >= int64(b.rows) && time.Since(last) > time.Second, nil
		}
		return done()
	})
	if err == nil {
		err = see() // what was committed between the last look and done
	}
	if err != nil {
		return t, err
	}
	state, err := c.stop()
	if err != nil {
		return t, err
	}
	if seen < int64(b.rows) {
		return t, fmt.Errorf("%s: %d records for %d rows", prefix, seen, b.rows)
	}
	return turn{int(seen - already), last.Sub(first).Seconds(), m.cost(state)}, b.forget(ctx, prefix)
}

// visible returns how many offsets of a topic read_committed consumers may read, 0 while there is no topic.
func (b *bench) visible(ctx context.Context, topic string) (int64, error) {
	ends, err := b.kafka.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	sum := int64(0)
	ends.Each(func(o kadm.ListedOffset) { sum += max(o.Offset, 0) })
	return sum, nil
}

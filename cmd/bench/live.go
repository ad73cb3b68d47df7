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
	caseSQL      = "sql/narrow"
	caseCatchUp  = "catchup/narrow"

	caseCatchUpAtLeast = "catchup/narrow/at-least-once"

	// catchUpBytes has a backlog of a fifth of a million narrow rows read by the catch-up lane.
	catchUpBytes = "32MiB"

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

// reader is a case of the live group or the catch-up group.
type reader struct {
	name, mode, binary string
	catchUp            string // source.catch_up_bytes
}

// readers are those that take turns. With -before the other program's cases end in @before.
func (b *bench) readers() []reader {
	all := []reader{
		{caseRaw, "", "", ""}, {caseExactly, exactly, b.binary, "0"}, {caseAtLeast, atLeast, b.binary, "0"},
	}
	if b.before != "" {
		all = append(all,
			reader{caseExactly + before, exactly, b.before, ""},
			reader{caseAtLeast + before, atLeast, b.before, ""})
	}
	return all
}

// catchUpReaders are those of the catch-up group, in the order of their turns.
func (b *bench) catchUpReaders() []reader {
	return []reader{
		{caseRaw, "", "", ""},
		{caseSQL, "", "", ""},
		{caseExactly, exactly, b.binary, "0"},
		{caseCatchUp, exactly, b.binary, catchUpBytes},
		{caseCatchUpAtLeast, atLeast, b.binary, catchUpBytes},
	}
}

// live measures the replication protocol's lane beside a client that reads and discards.
func (b *bench) live(ctx context.Context) ([]line, error) { return b.lanes(ctx, b.readers()) }

// catchUp measures both lanes beside clients that read and discard.
func (b *bench) catchUp(ctx context.Context) ([]line, error) { return b.lanes(ctx, b.catchUpReaders()) }

// lanes has readers of one backlog take turns.
func (b *bench) lanes(ctx context.Context, readers []reader) ([]line, error) {
	end, err := b.backlog(ctx)
	if err != nil {
		return nil, err
	}
	turns := make(map[string][]turn)
	for n := range b.runs {
		for _, r := range readers {
			t, err := b.readBacklog(ctx, r, end)
			if err != nil {
				return nil, err
			}
			b.progress(r.name, n, t)
			turns[r.name] = append(turns[r.name], t)
		}
	}
	var lines []line
	for _, r := range readers {
		var other []turn
		if r.mode == exactly {
			name := strings.Replace(r.name, caseExactly, caseAtLeast, 1)
			other = turns[strings.Replace(name, caseCatchUp, caseCatchUpAtLeast, 1)]
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
	// The slot's own, and in the catch-up lane that of its temporary copy.
	backend := func() (pids []int, err error) {
		text, err := ask(ctx, b.conn, "SELECT string_agg(active_pid::text, ' ') FROM pg_replication_slots "+
			"WHERE slot_name = '"+slot+"' OR slot_name LIKE '"+slot+"\\_%' AND temporary")
		for _, word := range strings.Fields(text) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				return nil, err
			}
			pids = append(pids, pid)
		}
		return pids, err
	}
	done := func() (bool, error) {
		confirmed, err := ask(ctx, b.conn, fmt.Sprintf("SELECT confirmed_flush_lsn >= '%s' "+
			"FROM pg_replication_slots WHERE slot_name = '%s'", end, slot))
		return confirmed == "t", err
	}
	switch {
	case r.name == caseSQL:
		t, err = b.yardstick(ctx, backend, "sql", b.url, slot, strconv.Itoa(b.rows))
	case r.mode == "":
		t, err = b.yardstick(ctx, backend, "drain", b.url, slot, strconv.Itoa(b.rows))
	default:
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
	none := func() ([]int, error) { return nil, nil }
	for n := range b.runs {
		t, err := b.yardstick(ctx, none, "copy", b.url)
		if err != nil {
			return nil, err
		}
		b.progress(caseCopy, n, t)
		raw = append(raw, t)
		b.turns++
		slot := b.slot(strconv.Itoa(b.turns))
		r := reader{caseSnapshot, exactly, b.binary, "0"}
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
func (b *bench) yardstick(ctx context.Context, backend func() ([]int, error), args ...string) (turn, error) {
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
		pids, err := backend()
		m.look(pids)
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
func (b *bench) pipeline(ctx context.Context, r reader, slot, snapshot string, backend func() ([]int, error),
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
		pids, err := backend()
		if err != nil {
			return false, err
		}
		m.look(pids)
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

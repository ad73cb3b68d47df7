package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// failpointVariable has a child kill itself: the name of a step, a colon, and the how manyth time.
const failpointVariable = "TRIBUTARY_TEST_FAILPOINT"

// failpoints are the steps between what the server sends and what it is told, in order.
var failpoints = []string{
	"received", "decoded", "delivered", "encoded", "begun", "produced", "storing", "flushed", "committed",
	"confirmed", "status",
}

// crossings are the steps into the catch-up lane and out of it, with the how manyth time: the main connection
// is let go before the way back.
var crossings = []string{"crossed:1", "parted:1", "crossed:2"}

// doomed is main with a failpoint at which the kernel ends the process: nothing is tidied up.
func doomed(at string) int {
	name, text, _ := strings.Cut(at, ":")
	count, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitUsage
	}
	var left atomic.Int64
	left.Store(count)
	p := &program{stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}
	p.run = func(ctx context.Context, o runOptions) error {
		o.failpoint = func(passed string) {
			if passed == name && left.Add(-1) == 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // a signal to oneself may take a moment
			}
		}
		return run(ctx, o)
	}
	return p.execute(context.Background(), os.Args[1:])
}

// failing is a pipeline that is killed at every failpoint while two sessions write.
type failing struct {
	*bench
	r     *rand.Rand
	a, b  *sourceConn
	moved []int // the rows whose key was changed, to its negative
}

// empty is an error unless a query returns nothing.
func (f *failing) empty(sql string) error {
	if rows := f.sourceConn.rows(sql); len(rows) > 0 {
		return fmt.Errorf("there is %v", rows)
	}
	return nil
}

// write commits two transactions that overlap, the second right behind the first, so that rows of the
// later commit stand before rows of the earlier one. Now and then a key changes.
func (f *failing) write() {
	f.Helper()
	id := f.rows
	f.rows += 5
	insert := func(n int) string { return fmt.Sprintf("INSERT INTO public.orders VALUES (%d, 'v')", id+n) }
	f.a.exec("BEGIN; " + insert(1))
	f.b.exec("BEGIN; " + insert(2))
	f.a.exec("SAVEPOINT s; " + insert(3) + "; ROLLBACK TO s; " + insert(3))
	f.b.exec(insert(4))
	if f.r.IntN(3) == 0 {
		f.a.exec(fmt.Sprintf("UPDATE public.orders SET id = -id WHERE id = %d", id+1))
		f.moved = append(f.moved, id+1)
	}
	f.a.exec("COMMIT")
	f.b.exec("COMMIT")
	f.a.exec(insert(5))
}

// behind writes more than the catch-up lane begins with.
func (f *failing) behind() {
	f.Helper()
	const rows = 500
	f.a.exec(fmt.Sprintf("INSERT INTO public.orders SELECT g, 'behind' FROM generate_series(%d, %d) g",
		f.rows+1, f.rows+rows))
	f.rows += rows
}

// die starts the program with a failpoint, and writes until it is dead.
func (f *failing) die(point string) {
	f.Helper()
	if slices.Contains(crossings, point) {
		f.behind()
	} else {
		point = fmt.Sprintf("%s:%d", point, 1+f.r.IntN(8))
	}
	f.Setenv(failpointVariable, point)
	l := f.start(f.T)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(e2ePatience)
	for {
		select {
		case <-l.ended:
			if state := l.child.ProcessState.String(); state != "signal: killed" {
				f.Fatalf("failpoint %s: %s:\n%s", point, state, l.log.tail())
			}
			eventually(f.T, func() error {
				return f.empty("SELECT slot_name FROM pg_replication_slots WHERE slot_name = '" + f.prefix + "_catchup'")
			})
			return
		case <-deadline:
			f.Fatalf("failpoint %s is not passed:\n%s", point, l.log.tail())
		case <-tick.C:
			f.write()
		}
	}
}

// TestRealFailpoints kills the program with SIGKILL behind each step between the server and what it is
// told, in its snapshot, in its stream and between its lanes, and counts what came: each change once, or at
// least once.
func TestRealFailpoints(t *testing.T) {
	for i, delivery := range deliveries {
		t.Run(delivery, func(t *testing.T) {
			b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
			f := &failing{bench: b, r: rand.New(rand.NewPCG(uint64(i), 5)), a: dial(t, b.source), b: dial(t, b.source)}
			b.tables += ", catch_up_bytes: 8KiB"
			f.rig.write(t, "delivery: "+delivery+"\nsnapshot: {workers: 1, resume_rows: 100}\n"+
				"kafka: {brokers: [BROKERS], compression: "+testCompression+", window_records: 40, "+
				"position_topic: PREFIX.positions, ledger_topic: PREFIX.ledger}")
			replaceBrokers(t, f.rig)
			f.exec("INSERT INTO public.orders SELECT g, 'old' FROM generate_series(4, 400) g")
			f.rows = 400
			seen := newTopics(t, b.rig)
			// The snapshot's windows pass most of them too; the stream has to pass every one.
			points := slices.Concat([]string{"encoded", "produced", "committed"}, failpoints, crossings)
			for _, point := range points {
				f.die(point)
			}
			t.Setenv(failpointVariable, "")
			last := f.start(t)
			last.settled(t)
			b.handover(seen, last, func() {})
			last.stop(t)
			f.count(seen.all(), delivery == "exactly-once")
		})
	}
}

// count looks at the records of each key: a row that a snapshot reads may have come by the stream before.
func (f *failing) count(records []topicRecord, exactly bool) {
	f.Helper()
	story := map[string]string{}
	for _, r := range records {
		story[r.key] += r.op
	}
	check := func(id int, gone bool) {
		ops := story[fmt.Sprintf("id=%d", id)]
		created, deleted := strings.Count(ops, "c"), strings.Count(ops, "d-")
		wrong := created+strings.Count(ops, "r") == 0 && !gone
		if before := gone && ops == "" && !strings.Contains(story[fmt.Sprintf("id=%d", -id)], "c"); before {
			return // it was gone before the slot was there
		}
		wrong = wrong || gone != (deleted > 0) || gone && !strings.HasSuffix(ops, "d-")
		wrong = wrong || strings.Count(ops, "d") != deleted || strings.Count(ops, "-") != deleted
		if exactly {
			wrong = wrong || created > 1 || strings.Count(ops, "r") > 1 || deleted > 1
		}
		if wrong {
			f.Errorf("order %d came as %q", id, ops)
		}
	}
	for id := 1; id <= f.rows; id++ {
		gone := slices.Contains(f.moved, id)
		check(id, gone)
		if gone {
			check(-id, false)
		}
	}
	if keys := f.rows + len(f.moved); len(story) > keys {
		f.Errorf("%d keys came, and there were %d", len(story), keys)
	}
}

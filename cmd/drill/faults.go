package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// fault is one kind of failure. strike brings it about, lets it last, and ends it.
type fault struct {
	name   string
	weight int
	strike func(ctx context.Context, l *life, r *rand.Rand) error
}

// faults are all kinds. Those of Kafka's process need commands for it.
func faults(s settings) []fault {
	all := []fault{
		{"kill", 10, killOne},
		{"kill twice", 3, killTwice},
		{"term", 3, termOne},
		{"freeze", 3, freezeOne},
		{"postgres immediate", 3, restartPostgres("immediate")},
		{"postgres fast", 3, restartPostgres("fast")},
		{"walsender terminated", 3, terminateWalsender},
		{"registry 500", 1, registryMood(500)},
		{"registry 503", 1, registryMood(503)},
		{"registry slow", 1, registryMood(slow)},
	}
	for _, link := range linkNames {
		all = append(all,
			fault{"cut " + link, 2, cut(link)},
			fault{"reset " + link, 1, toxin(link, "reset_peer", map[string]int{"timeout": 0}, 500*time.Millisecond)},
			fault{"stall " + link, 1, stall(link)},
			fault{"late " + link, 1, toxin(link, "latency", map[string]int{"latency": 1500, "jitter": 500},
				5*time.Second)},
			fault{"trickle " + link, 1, toxin(link, "bandwidth", map[string]int{"rate": 2}, 6*time.Second)},
			fault{"slices " + link, 1, toxin(link, "slicer",
				map[string]int{"average_size": 20, "size_variation": 15, "delay": 50}, 4*time.Second)})
	}
	mayKill, exactly := s.kafkaKill != "" && s.kafkaStart != "", s.delivery == "exactly-once"
	if mayKill {
		all = append(all, fault{"kafka killed", 2, stopKafka(0)},
			fault{"kafka stopped", 1, stopKafka(60 * time.Second)})
	}
	if mayKill && s.kafkaDisk != "" {
		all = append(all, fault{"kafka disk full", 2, fillKafka})
	}
	if exactly {
		all = append(all, fault{"commit unasked", 2, tearCommit(tearAsked, false)},
			fault{"commit unanswered", 3, tearCommit(tearAnswered, false)})
	}
	if exactly && mayKill {
		all = append(all, fault{"kafka killed in commit", 2, tearCommit(tearAnswered, true)})
	}
	return withPrefix(all, s.only)
}

// errNotNow is a fault that has nothing to strike: it is not counted.
var errNotNow = errors.New("not now")

// snapshotFaults are those of a pipeline that begins.
func snapshotFaults(only string) []fault {
	return withPrefix([]fault{
		{"kill in snapshot", 3, killInSnapshot},
		{"kill after snapshot", 3, killAfterSnapshot},
	}, only)
}

// killInSnapshot kills all instances a few times while the first of them reads the tables.
func killInSnapshot(ctx context.Context, l *life, r *rand.Rand) error {
	for range 2 + r.IntN(3) {
		pause(ctx, time.Duration(300+r.IntN(2500))*time.Millisecond)
		if err := l.killAll(ctx); err != nil {
			return err
		}
	}
	return nil
}

// killAfterSnapshot kills all instances as soon as one says that the snapshot is done: its end may not be
// stored yet.
func killAfterSnapshot(ctx context.Context, l *life, _ *rand.Rand) error {
	const done = "snapshot done"
	if err := l.fleet.says(ctx, done, l.fleet.said(done), 2*time.Minute); err != nil {
		return err
	}
	return l.killAll(ctx)
}

func (l *life) killAll(ctx context.Context) error {
	l.fleet.kill(ctx)
	for i := range l.fleet.members {
		if err := l.fleet.start(i); err != nil {
			return err
		}
	}
	return nil
}

// tearCommit cuts the connection on which the next transaction of Kafka is ended, before the broker is asked
// or before its answer has come, and may kill the broker right then.
func tearCommit(when int32, kill bool) func(context.Context, *life, *rand.Rand) error {
	return func(ctx context.Context, l *life, _ *rand.Rand) error {
		torn := l.links.broker.tear(when)
		waiting, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		select {
		case <-torn:
		case <-waiting.Done():
			l.links.broker.tear(0)
			return errNotNow // nobody commits: another fault before may have seen to it
		}
		if !kill {
			return nil
		}
		return stopKafka(0)(ctx, l, nil)
	}
}

// fillKafka fills the broker's disk, which ends it, and starts it again when there is room.
func fillKafka(ctx context.Context, l *life, r *rand.Rand) error {
	name := filepath.Join(l.s.kafkaDisk, "filler")
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for err == nil {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, file.Close(), os.Remove(name))
	}
	l.pause(ctx, time.Duration(5000+r.IntN(5000))*time.Millisecond)
	if err := errors.Join(file.Close(), os.Remove(name)); err != nil {
		return err
	}
	_ = shell(ctx, l.s.kafkaKill) // it may have ended by itself
	return l.startKafka(ctx)
}

// startKafka starts the broker and waits until it answers, also when the drill is interrupted.
func (l *life) startKafka(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.s.patience)
	defer cancel()
	if err := shell(ctx, l.s.kafkaStart); err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(l.kafka))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		_, err := kadm.NewClient(client).ListTopics(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("ask the broker that was started: %w", err)
		}
		pause(ctx, time.Second)
	}
}

// promote ends the primary and has the standby take its place, which gets a standby of its own.
func promote(ctx context.Context, l *life, r *rand.Rand) error {
	if l.standby == nil || !l.ready(ctx) {
		return errNotNow
	}
	ctx = context.WithoutCancel(ctx)
	old := l.postgres
	if err := old.Control(ctx, "-m", "immediate", "stop"); err != nil {
		return err
	}
	l.pause(ctx, time.Duration(r.IntN(2000))*time.Millisecond)
	if err := l.standby.Control(ctx, "promote"); err != nil {
		return err
	}
	l.postgres, l.standby = l.standby, nil
	l.mu.Lock()
	l.database = l.postgres.URL()
	l.mu.Unlock()
	address, err := url.Parse(l.postgres.URL())
	if err != nil {
		return err
	}
	if err := errors.Join(l.links.move("postgres", address.Host), old.Stop()); err != nil {
		return err
	}
	l.standby, err = l.postgres.Standby(ctx, local.Options{})
	return err
}

// ready waits a while until the standby has the slot for good.
func (l *life) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		conn, err := pgconn.Connect(ctx, l.standby.URL())
		if err == nil {
			rows, err := conn.Exec(ctx, `SELECT FROM pg_replication_slots WHERE slot_name = 'drill' AND synced
				AND NOT temporary AND invalidation_reason IS NULL`).ReadAll()
			closeSession(conn)
			if err == nil && len(rows[0].Rows) == 1 {
				return true
			}
		}
		pause(ctx, 200*time.Millisecond)
	}
	return false
}

func withPrefix(all []fault, prefix string) []fault {
	var kept []fault
	for _, f := range all {
		if strings.HasPrefix(f.name, prefix) {
			kept = append(kept, f)
		}
	}
	return kept
}

// draw picks one by weight.
func draw(all []fault, r *rand.Rand) fault {
	total := 0
	for _, f := range all {
		total += f.weight
	}
	at := r.IntN(total)
	for _, f := range all {
		if at -= f.weight; at < 0 {
			return f
		}
	}
	return all[0]
}

// killOne kills an instance and starts it again after a moment, or at once.
func killOne(ctx context.Context, l *life, r *rand.Rand) error {
	i := r.IntN(len(l.fleet.members))
	if err := l.fleet.signal(ctx, i, syscall.SIGKILL, true); err != nil {
		return err
	}
	l.pause(ctx, time.Duration(r.IntN(2)*r.IntN(2000))*time.Millisecond)
	return l.fleet.start(i)
}

// killTwice kills it again while it comes up.
func killTwice(ctx context.Context, l *life, r *rand.Rand) error {
	i := r.IntN(len(l.fleet.members))
	for range 2 + r.IntN(3) {
		if err := l.fleet.signal(ctx, i, syscall.SIGKILL, true); err != nil {
			return err
		}
		if err := l.fleet.start(i); err != nil {
			return err
		}
		pause(ctx, time.Duration(r.IntN(1500))*time.Millisecond)
	}
	return nil
}

func termOne(ctx context.Context, l *life, r *rand.Rand) error {
	i := r.IntN(len(l.fleet.members))
	if err := l.fleet.signal(ctx, i, syscall.SIGTERM, true); err != nil {
		return err
	}
	return l.fleet.start(i)
}

// freezeOne stops an instance for longer than any timeout; then it finds that the world went on.
func freezeOne(ctx context.Context, l *life, r *rand.Rand) error {
	i := r.IntN(len(l.fleet.members))
	if err := l.fleet.signal(ctx, i, syscall.SIGSTOP, false); err != nil {
		return err
	}
	pause(ctx, senderTimeout+transactionTimeout/2+time.Duration(r.IntN(3000))*time.Millisecond)
	return l.fleet.signal(ctx, i, syscall.SIGCONT, false)
}

func restartPostgres(mode string) func(context.Context, *life, *rand.Rand) error {
	return func(ctx context.Context, l *life, r *rand.Rand) error {
		ctx = context.WithoutCancel(ctx)
		if err := l.postgres.Control(ctx, "-m", mode, "stop"); err != nil {
			return err
		}
		l.pause(ctx, time.Duration(r.IntN(3000))*time.Millisecond)
		return l.postgres.Control(ctx, "start")
	}
}

func terminateWalsender(ctx context.Context, l *life, _ *rand.Rand) error {
	return l.exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'`)
}

func registryMood(mood int32) func(context.Context, *life, *rand.Rand) error {
	return func(ctx context.Context, l *life, r *rand.Rand) error {
		l.links.registry.mood.Store(mood)
		defer l.links.registry.mood.Store(0)
		l.pause(ctx, time.Duration(3000+r.IntN(6000))*time.Millisecond)
		return nil
	}
}

// stall has a link stand still, and then go on as if nothing had been.
func stall(link string) func(context.Context, *life, *rand.Rand) error {
	return func(ctx context.Context, l *life, r *rand.Rand) error {
		l.links.gates[link].shut()
		defer l.links.gates[link].open()
		l.pause(ctx, time.Duration(1000+r.IntN(9000))*time.Millisecond)
		return nil
	}
}

func cut(link string) func(context.Context, *life, *rand.Rand) error {
	return func(ctx context.Context, l *life, r *rand.Rand) error {
		return l.links.cut(ctx, link, time.Duration(float64(r.IntN(6000))*l.s.scale)*time.Millisecond)
	}
}

func toxin(link, kind string, attributes map[string]int, d time.Duration) func(context.Context, *life,
	*rand.Rand) error {
	return func(ctx context.Context, l *life, _ *rand.Rand) error {
		return l.links.toxin(ctx, link, kind, attributes, time.Duration(float64(d)*l.s.scale))
	}
}

// stopKafka kills the broker and starts it again.
func stopKafka(d time.Duration) func(context.Context, *life, *rand.Rand) error {
	return func(ctx context.Context, l *life, _ *rand.Rand) error {
		if err := shell(ctx, l.s.kafkaKill); err != nil {
			return err
		}
		l.pause(ctx, d)
		return l.startKafka(ctx)
	}
}

// shell runs a command until ctx ends.
func shell(ctx context.Context, command string) error {
	if out, err := exec.CommandContext(ctx, "/bin/sh", "-c", command).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"syscall"
	"time"
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
	if s.kafkaKill != "" && s.kafkaStart != "" {
		all = append(all, fault{"kafka killed", 2, stopKafka(0)},
			fault{"kafka stopped", 1, stopKafka(60 * time.Second)})
	}
	return withPrefix(all, s.only)
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
		return shell(context.WithoutCancel(ctx), l.s.kafkaStart)
	}
}

func shell(ctx context.Context, command string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "/bin/sh", "-c", command).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// roundsInLife is how many rounds one pipeline lives: then another begins with a snapshot of its own.
const roundsInLife = 6

// line is what a round leaves in the file.
type line struct {
	Seed     uint64   `json:"seed"`
	Round    int      `json:"round"`
	Delivery string   `json:"delivery"`
	Postgres string   `json:"postgres"`
	Began    string   `json:"began"`
	Seconds  float64  `json:"seconds"`
	Members  int      `json:"instances"`
	Faults   []string `json:"faults"`
	// Lanes counts how often the stream went into the catch-up lane so far, in this pipeline's life.
	Lanes int `json:"catch_ups"`
	// Transactions that the writers ended well in this round.
	Transactions int64    `json:"transactions"`
	Audit        result   `json:"audit"`
	CatchUp      float64  `json:"catch_up_seconds"`
	PeakMiB      int      `json:"peak_mib"`
	Problems     []string `json:"problems,omitempty"`
}

// run runs the rounds that the file does not have yet.
func run(ctx context.Context, s settings) error {
	first, err := nextRound(s)
	if err != nil {
		return err
	}
	if s.state == "" {
		if s.state, err = os.MkdirTemp("", "tributary-drill-"); err != nil {
			return err
		}
	}
	fmt.Printf("drill: wal_sender_timeout %s, transaction timeout %s; logs in %s\n", senderTimeout,
		transactionTimeout, s.state)
	var l *life
	defer func() {
		if l != nil {
			l.close(context.WithoutCancel(ctx))
		}
	}()
	for round := first; round <= s.rounds && ctx.Err() == nil; round++ {
		if l != nil && round%roundsInLife == 1 {
			l.close(ctx)
			l = nil
		}
		fresh := l == nil
		if fresh {
			if l, err = begin(ctx, s, round); err != nil {
				return err
			}
		}
		report := l.round(ctx, round, fresh)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := report.write(s.out); err != nil {
			return err
		}
		if len(report.Problems) > 0 {
			return fmt.Errorf("round %d of seed %d: %d problems; logs in %s; the first:\n%s", round, s.seed,
				len(report.Problems), l.dir, report.Problems[0])
		}
	}
	return ctx.Err()
}

// nextRound looks where an earlier run with the same seed ended.
func nextRound(s settings) (int, error) {
	file, err := os.Open(s.out)
	if errors.Is(err, os.ErrNotExist) {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	next := 1
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return 0, fmt.Errorf("read %s: %w", s.out, err)
		}
		if l.Seed == s.seed && l.Delivery == s.delivery {
			next = l.Round + 1
			if len(l.Problems) > 0 {
				next = l.Round // again, from a new snapshot
			}
		}
	}
	return next, scanner.Err()
}

func (r line) write(name string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.Write(append(text, '\n'))
	fmt.Printf("round %d: %.0f s, %d transactions, %d records, %d problems: %s\n", r.Round, r.Seconds,
		r.Transactions, r.Audit.Records, len(r.Problems), strings.Join(r.Faults, ", "))
	return errors.Join(err, file.Close())
}

// random returns the numbers of one part of a round.
func random(s settings, round, part int) *rand.Rand {
	return rand.New(rand.NewPCG(s.seed, uint64(round)<<16|uint64(part)))
}

// round runs one. Its errors are problems: the drill cannot tell its own from tributary's.
func (l *life) round(ctx context.Context, number int, fresh bool) line {
	began := time.Now()
	report := line{
		Seed: l.s.seed, Round: number, Delivery: l.s.delivery, Postgres: l.version,
		Began: began.UTC().Format(time.RFC3339), Members: len(l.fleet.members),
	}
	problem := func(err error) {
		if err != nil {
			report.Problems = append(report.Problems, err.Error())
		}
	}
	var writing sync.WaitGroup
	var count atomic.Int64
	writers, endWriters := context.WithCancel(ctx)
	for i := range writerCount {
		w := &writer{address: l.address, r: random(l.s, number, i), bulk: l.s.bulk, count: &count}
		if i == 0 {
			w.first = bulkRows(w.bulk) // chance would leave most rounds without the largest transaction
		}
		writing.Go(func() { w.run(writers) })
	}
	if fresh {
		for i := range l.fleet.members {
			problem(l.fleet.start(i))
		}
	}
	var err error
	report.Faults, err = l.strike(ctx, random(l.s, number, writerCount), fresh)
	problem(err)
	endWriters()
	writing.Wait()
	for i := range l.fleet.members {
		problem(l.fleet.start(i))
	}
	healed := time.Now()
	problem(l.settle(ctx, number))
	report.CatchUp = time.Since(healed).Seconds()
	if err := l.audit(ctx, &report.Audit); err != nil {
		problem(err)
	}
	report.Problems = append(report.Problems, report.Audit.problems...)
	if len(report.Problems) == 0 { // else what it would say is known
		problem(l.verify(ctx))
		problem(l.verify(ctx, "--log"))
	}
	report.Problems = append(report.Problems, l.fleet.check()...)
	report.Transactions, report.PeakMiB = count.Load(), l.fleet.peak>>10
	report.Lanes = l.fleet.said(intoLane)
	if report.PeakMiB > peakLimit {
		problem(fmt.Errorf("resident memory of %d MiB, at most %d", report.PeakMiB, peakLimit))
	}
	report.Seconds = time.Since(began).Seconds()
	return report
}

// strike brings about the faults of a round, one after the other, now and then two at a time. A fresh
// pipeline is in its snapshot.
func (l *life) strike(ctx context.Context, r *rand.Rand, fresh bool) ([]string, error) {
	var struck []string
	var errs []error
	var beside sync.WaitGroup
	if begun := snapshotFaults(l.s.only); fresh && len(begun) > 0 {
		f := draw(begun, r)
		if err := f.strike(ctx, l, r); err == nil {
			struck = append(struck, f.name)
		} else if !errors.Is(err, errNotNow) {
			errs = append(errs, fmt.Errorf("fault %s: %w", f.name, err))
		}
	}
	for range l.s.faults + r.IntN(9) {
		pause(ctx, time.Duration(r.IntN(2500))*time.Millisecond)
		f, own := draw(l.faults, r), rand.New(rand.NewPCG(r.Uint64(), 0))
		if ctx.Err() != nil {
			break
		}
		struck = append(struck, f.name)
		if r.IntN(6) == 0 && strings.HasPrefix(f.name, "late") {
			beside.Go(func() {
				if err := f.strike(ctx, l, own); err != nil {
					l.late.Store(&err)
				}
			})
			continue
		}
		if err := f.strike(ctx, l, own); errors.Is(err, errNotNow) {
			struck = struck[:len(struck)-1]
		} else if err != nil {
			errs = append(errs, fmt.Errorf("fault %s: %w", f.name, err))
		}
	}
	beside.Wait()
	if err := l.late.Swap(nil); err != nil {
		errs = append(errs, *err)
	}
	return struck, errors.Join(errs...)
}

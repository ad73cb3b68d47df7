package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

const (
	// writers share the rate: each waits for its commits, as applications do.
	writers = 8
	// transactionsPerSecond is the same at all rates: rates differ in the rows of a transaction.
	transactionsPerSecond = 1000
	// firstID is behind the ids of backlogs.
	firstID = 1_000_000_000
)

// rates are the rows per second of the latency cases.
func rates() []int { return []int{1000, 5000} }

// latencyReaders are the cases.
func latencyReaders(*options) []reader {
	var readers []reader
	for _, rate := range rates() {
		for _, mode := range []string{exactly, atLeast} {
			readers = append(readers, reader{name: latencyCase(mode, rate)})
		}
	}
	return readers
}

func latencyCase(mode string, rate int) string { return fmt.Sprintf("latency/%s/%d", mode, rate) }

// latency measures the time from the answer to a COMMIT to the arrival at a consumer.
func (b *bench) latency(ctx context.Context, _ group, readers []reader) ([]line, error) {
	var lines []line
	for _, rate := range rates() {
		// Both modes take turns.
		if !slices.ContainsFunc(readers, func(r reader) bool {
			return r.name == latencyCase(exactly, rate) || r.name == latencyCase(atLeast, rate)
		}) {
			continue
		}
		all := make(map[string][]sample)
		for n := range b.runs {
			for _, mode := range []string{exactly, atLeast} {
				s, err := b.latencyTurn(ctx, mode, rate)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", latencyCase(mode, rate), err)
				}
				fmt.Fprintf(os.Stderr, "%d %-28s %8.0f rows/s  p50 %.1f p99 %.1f p99.9 %.1f ms\n", n+1,
					latencyCase(mode, rate), s.rate, s.at(0.5), s.at(0.99), s.at(0.999))
				all[mode] = append(all[mode], s)
			}
		}
		for _, mode := range []string{exactly, atLeast} {
			middle := func(f func(sample) float64) float64 {
				var values []float64
				for _, s := range all[mode] {
					values = append(values, f(s))
				}
				return median(values)
			}
			quantile := func(q float64) *float64 {
				return rounded(middle(func(s sample) float64 { return s.at(q) }), 1)
			}
			lines = append(lines, line{
				Case: latencyCase(mode, rate), Rate: math.Round(middle(func(s sample) float64 { return s.rate })),
				P50: quantile(0.5), P99: quantile(0.99), P999: quantile(0.999), Runs: b.runs,
			})
		}
	}
	return lines, nil
}

// sample is the latencies of one turn.
type sample struct {
	rate         float64 // rows per second that were really written
	milliseconds []float64
}

// at returns a quantile.
func (s sample) at(q float64) float64 {
	return s.milliseconds[min(int(q*float64(len(s.milliseconds))), len(s.milliseconds)-1)]
}

// load is rows on their way.
type load struct {
	rows      int // of a transaction
	from      int64
	committed []time.Time   // by id behind from; each written by one writer
	arrived   []time.Time   // written by the consumer
	left      int64         // the consumer's
	ready     chan struct{} // closed when the consumer has its first record
}

// latencyTurn runs one pipeline under load.
func (b *bench) latencyTurn(ctx context.Context, mode string, rate int) (s sample, err error) {
	b.turns++
	slot := b.slot(strconv.Itoa(b.turns))
	err = execute(ctx, b.conn, "SELECT pg_create_logical_replication_slot('"+slot+"', 'pgoutput')")
	if err != nil {
		return s, err
	}
	prefix, config, err := b.configure(reader{mode: mode}, slot, "no_data")
	if err != nil {
		return s, err
	}
	c, err := start(b.binary, config)
	if err != nil {
		return s, err
	}
	defer c.kill()
	topic := prefix + "." + table
	transactions := transactionsPerSecond * b.seconds
	l := &load{rows: rate / transactionsPerSecond, from: firstID + int64(b.turns)*10_000_000}
	n := l.rows * transactions
	l.committed, l.arrived = make([]time.Time, n), make([]time.Time, n)
	l.left, l.ready = int64(n), make(chan struct{})
	// A first row makes the topic.
	if err := execute(ctx, b.conn, insert(l.from-1, 1)); err != nil {
		return s, err
	}
	if _, err := wait(ctx, "the topic", time.Minute, func() (bool, error) {
		visible, err := b.visible(ctx, []string{topic})
		if err == nil {
			err = c.alive()
		}
		return visible > 0, err
	}); err != nil {
		return s, err
	}
	took, err := l.run(ctx, b, topic)
	if err != nil {
		return s, err
	}
	if _, err := c.stop(); err != nil {
		return s, err
	}
	for i := range l.arrived {
		s.milliseconds = append(s.milliseconds, max(l.arrived[i].Sub(l.committed[i]).Seconds()*1000, 0))
	}
	slices.Sort(s.milliseconds)
	s.rate = float64(n) / took.Seconds()
	if err := b.dropSlot(ctx, slot); err != nil {
		return s, err
	}
	return s, b.forget(ctx, prefix)
}

// insert is one transaction.
func insert(id int64, rows int) string {
	return fmt.Sprintf("INSERT INTO %s SELECT %d + i, i, i * 7, 42, now(), 'abcdefghijklmnopqrstuv' "+
		"FROM generate_series(0, %d) i", table, id, rows-1)
}

// run writes and consumes, and returns how long the writing took.
func (l *load) run(ctx context.Context, b *bench, topic string) (took time.Duration, err error) {
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(b.options.kafka, ",")...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMinBytes(1),
		kgo.FetchMaxWait(time.Second))
	if err != nil {
		return 0, fmt.Errorf("make the consumer: %w", err)
	}
	defer consumer.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.consume(ctx, consumer) })
	select {
	case <-l.ready:
	case <-ctx.Done():
		return 0, group.Wait()
	}
	began := time.Now()
	writing, writerCtx := errgroup.WithContext(ctx)
	for w := range writers {
		writing.Go(func() error { return l.write(writerCtx, b.url, w) })
	}
	err = writing.Wait()
	took = time.Since(began)
	return took, errors.Join(err, group.Wait())
}

// write is one writer: every writers-th transaction, at a steady pace.
func (l *load) write(ctx context.Context, url string, w int) error {
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	pace := time.NewTicker(time.Second * writers / transactionsPerSecond)
	defer pace.Stop()
	for t := w; t*l.rows < len(l.committed); t += writers {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := execute(ctx, conn, insert(l.from+int64(t*l.rows), l.rows)); err != nil {
			return err
		}
		now := time.Now()
		for i := range l.rows {
			l.committed[t*l.rows+i] = now
		}
	}
	return nil
}

// consume notes when each row arrives.
func (l *load) consume(ctx context.Context, client *kgo.Client) error {
	for l.left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			// The key is the registry's 5 bytes and an Avro record of one long.
			id, _ := binary.Varint(r.Key[5:])
			switch i := id - l.from; {
			case i < 0:
				close(l.ready)
			case l.arrived[i].IsZero():
				l.arrived[i] = now
				l.left--
			}
		})
	}
	return nil
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
)

const (
	// benchSuffix names the temporary copy of a slot that bench reads.
	benchSuffix = "_bench"
	// sampleBytes is how many of the rows that were read first are kept, to encode and produce them: some
	// windows full, so that memory is touched as in a pipeline.
	sampleBytes = 32 << 20
	// stageLimit is how long a stage is measured at most.
	stageLimit = 10 * time.Second
	// scratchClose bounds the removal of the topic.
	scratchClose = 10 * time.Second
)

// stageBench has a pipeline's parts, but works on temporary copies of its slot, or of the anchor.
type stageBench struct {
	*pipeline
	o      benchOptions
	source *decoder.Slot
	sample []*decoder.Batch
	stages []stageReport
}

// openBench looks at the source and finds what can be read.
func openBench(ctx context.Context, config Config, o benchOptions) (*stageBench, error) {
	p, err := newPipeline(ctx, runOptions{Config: config, Log: silent(), Board: newBoard(config)})
	if err != nil {
		return nil, err
	}
	b := &stageBench{pipeline: p, o: o}
	if err := b.look(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// look finds the tables and the slot.
func (b *stageBench) look(ctx context.Context) error {
	conn, err := b.ordinary(ctx)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	slot := b.Config.Source.Slot
	if b.source, err = decoder.InspectSlot(ctx, conn, slot); err != nil {
		return err
	}
	database := sourceDatabase(b.Config.Source.URL)
	if b.source == nil {
		return &decoder.SlotMissingError{Slot: slot, Database: database}
	}
	anchor, err := decoder.InspectSlot(ctx, conn, decoder.AnchorName(slot))
	if err != nil {
		return err
	}
	if anchor != nil && !anchor.Lost() {
		b.source = anchor
	}
	if err := b.source.Usable(database); err != nil {
		return err
	}
	return b.lookUpTables(ctx, func(string) bool { return true })
}

// measure measures the stages that are wanted.
func (b *stageBench) measure(ctx context.Context) error {
	// Encoding and producing need rows, whoever asks for the reading.
	read, err := b.read(ctx, stageRead, 0)
	if err != nil {
		return err
	}
	if len(b.sample) == 0 {
		return &nothingToReadError{b.source.Name, b.source.Confirmed, b.source.ServerEnd}
	}
	if b.o.wants(stageRead) {
		b.stages = append(b.stages, read)
	}
	if b.o.wants(stageReadSQL) {
		s, err := b.read(ctx, stageReadSQL, 1)
		if err != nil {
			return err
		}
		b.stages = append(b.stages, s)
	}
	if !b.o.wants(stageEncode) && !b.o.wants(stageProduce) {
		return nil
	}
	options := b.options
	options.Pipeline = strings.TrimPrefix(b.o.topic, b.Config.Topic.Prefix+".tributary-")
	trial, err := publisher.OpenTrial(ctx, options, b.o.topic)
	if err != nil {
		return err
	}
	err = b.try(ctx, trial)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), scratchClose)
	defer cancel()
	return errors.Join(err, trial.Close(closing))
}

// try encodes and produces the sample.
func (b *stageBench) try(ctx context.Context, trial *publisher.Trial) error {
	// What is made once, the topic and the codecs, is made here.
	for _, batch := range b.sample {
		if err := trial.Keep(ctx, batch); err != nil {
			return err
		}
	}
	if b.o.wants(stageEncode) {
		s, err := stage(stageEncode, func() (int, error) { return b.encode(ctx, trial) })
		if err != nil {
			return err
		}
		b.stages = append(b.stages, s)
	}
	if !b.o.wants(stageProduce) {
		return nil
	}
	s, err := stage(stageProduce, func() (int, error) { return b.produce(ctx, trial) })
	b.stages = append(b.stages, s)
	return err
}

// encode encodes the sample until there are rows or time enough.
func (b *stageBench) encode(ctx context.Context, trial *publisher.Trial) (rows int, err error) {
	until := time.Now().Add(stageLimit)
	for {
		for _, batch := range b.sample {
			if rows >= b.o.rows || time.Now().After(until) {
				return rows, nil
			}
			records, err := trial.Encode(ctx, batch)
			if err != nil {
				return rows, err
			}
			rows += records
		}
		if rows == 0 {
			return 0, nil // nothing of it is published
		}
	}
}

// produceAtOnce is how many records are asked for between two looks at the clock.
const produceAtOnce = 200_000

// produce produces the sample until there are rows or time enough.
func (b *stageBench) produce(ctx context.Context, trial *publisher.Trial) (rows int, err error) {
	until := time.Now().Add(stageLimit)
	for rows < b.o.rows && time.Now().Before(until) {
		records, err := trial.Produce(ctx, min(produceAtOnce, b.o.rows-rows))
		if err != nil || records == 0 {
			return rows, err
		}
		rows += records
	}
	return rows, nil
}

// read drains a temporary copy of the slot; with far at least 1 through SQL. The rows that come first are
// kept as the sample, unless there is one.
func (b *stageBench) read(ctx context.Context, name string, far int64) (stageReport, error) {
	o := b.streamOptions(nil)
	o.Slot = decoder.SiblingName(b.Config.Source.Slot, benchSuffix)
	o.CatchUp = decoder.CatchUpOptions{Bytes: far}
	o.Confirmed, o.Observe, o.Stop, o.Ended = func() decoder.LSN { return 0 }, nil, nil, nil
	stream, err := decoder.OpenCopy(ctx, b.source.Name, o)
	if err != nil {
		return stageReport{}, err
	}
	b.stream.Store(stream)
	limited, cancel := context.WithTimeout(ctx, stageLimit)
	defer cancel()
	out := make(chan *decoder.Batch, 1)
	group, reading := errgroup.WithContext(limited)
	group.Go(func() error { defer close(out); return stream.Until(reading, b.source.ServerEnd, out) })
	d := drained{stageReport: stageReport{Stage: name}, lane: "live", bench: b}
	if far > 0 {
		d.lane = "catch-up"
	}
	for batch := range out { // to its end, so that the goroutine ends
		if d.add(batch, stream.Status()) {
			cancel()
		}
	}
	err = group.Wait()
	if limited.Err() != nil {
		err = ctx.Err() // there was enough, or it was stopped
	}
	if closing := stream.Close(); err == nil {
		err = closing
	}
	return d.report(), err
}

// drained is what was read.
type drained struct {
	stageReport
	bench       *stageBench
	lane        string // the one that counts
	first, last time.Time
	cpu, used   float64 // when the first rows came, and since
	refusal     string
}

// add counts a batch, and says that it is enough.
func (d *drained) add(batch *decoder.Batch, status decoder.StreamStatus) (enough bool) {
	rows, now := 0, time.Now()
	for i := range batch.Transactions {
		rows += len(batch.Transactions[i].Changes)
	}
	d.refusal = status.Refusal
	switch {
	case rows == 0 || d.Rows >= d.bench.o.rows || status.Lane != d.lane:
	case d.first.IsZero():
		// The first batch is not counted: when its first row came nobody knows.
		d.first, d.cpu = now, ownCPU()
	default:
		d.Rows += rows
		d.last, d.used = now, ownCPU()-d.cpu
	}
	kept := d.lane == "live" && d.bench.keep(batch)
	if !kept {
		batch.Release()
	}
	return d.Rows >= d.bench.o.rows || d.Rows > 0 && !kept && !d.bench.o.wants(d.Stage)
}

// keep adds a batch to the sample, if there is room.
func (b *stageBench) keep(batch *decoder.Batch) bool {
	sum := 0
	for _, kept := range b.sample {
		sum += kept.Bytes()
	}
	if sum >= sampleBytes || batch.Bytes() == 0 {
		return false
	}
	if leave := batch.Unload(); leave != nil {
		leave() // the sample has a bound of its own, and what is read behind it needs the room
	}
	b.sample = append(b.sample, batch)
	return true
}

// report returns the figures.
func (d *drained) report() stageReport {
	switch {
	case d.Rows > 0:
		d.take(d.last.Sub(d.first), d.used)
	case d.refusal != "":
		d.Note = d.refusal
	default:
		d.Note = "there is too little to read"
	}
	return d.stageReport
}

// ownCPU is the CPU seconds of this process.
func ownCPU() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // it fails for a wrong argument only
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// randomWord makes a name that nobody has.
func randomWord() string { return strings.ToLower(rand.Text()[:10]) }

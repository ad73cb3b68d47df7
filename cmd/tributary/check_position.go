package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
)

// checkPosition holds the stored position against slot and server, as run does before it streams.
func checkPosition(ctx context.Context, c Config, f *findings) {
	const name = "position"
	opts, err := kafkaOptions(ctx, c)
	if err != nil {
		f.fault(name, err, "")
		return
	}
	stored, err := publisher.Load(ctx, opts, c.Kafka.PositionTopic, c.Pipeline, c.Source.Slot)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition), err == nil && stored == nil:
		f.ok(name, "none is stored yet")
		return
	case err != nil && ctx.Err() != nil:
		f.add("W604", name, "not read in time: a transaction of the pipeline is open", "tributary status")
		return
	case err != nil:
		f.fault(name, err, aclFix(c, err, c.Kafka.PositionTopic))
		return
	}
	w := &past{config: c, connect: sourceOptions(c), stored: stored}
	if err := w.lookAtSource(ctx); err != nil {
		f.skip(name, fmt.Sprintf("%s is stored; to compare it needs the source", stored.Resume))
		return
	}
	defer w.close()
	switch gap := w.gap(); {
	case w.main != nil && w.main.Active:
		f.ok(name, fmt.Sprintf("published up to %s, and in use", stored.Resume))
	case stored.Repair != nil:
		f.ok(name, "a repair was asked for: the next run begins it")
	case gap == nil:
		f.ok(name, fmt.Sprintf("published up to %s, from where slot %s goes on", stored.Resume, c.Source.Slot))
	case !isGap(gap):
		f.fault(name, gap, "")
	default:
		f.fault(name, gap, repairCommand(c))
	}
}

// lookAtSource fills in the server and the pipeline's slot.
func (w *past) lookAtSource(ctx context.Context) (err error) {
	if err := w.identify(ctx); err != nil {
		return err
	}
	if w.conn, err = decoder.Connect(ctx, w.connect); err != nil {
		return err
	}
	if w.main, err = decoder.InspectSlot(ctx, w.conn, w.config.Source.Slot); err != nil {
		w.close()
	}
	return err
}

package publisher

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Move replaces the stored position of a pipeline that does not run: the slot must be held, or gone. In
// exactly-once mode it fences whoever published before, and the position is one transaction. What the
// position says of time and run is set here.
func Move(ctx context.Context, o Options, s Stored) error {
	p, err := Open(ctx, o)
	if err != nil {
		return err
	}
	defer p.Close()
	s.Pipeline, s.Slot, s.Identity = o.Pipeline, o.Slot, p.o.Identity
	s.Run, s.Written = p.o.Run, time.Now().UTC()
	value, err := s.marshal()
	if err != nil {
		return err
	}
	doing := "store the position of " + p.o.positionKey()
	if p.o.Mode == ExactlyOnce {
		if err := p.client.BeginTransaction(); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	record := &kgo.Record{Topic: p.o.PositionTopic, Key: []byte(p.o.positionKey()), Value: value}
	acks := expecting(1)
	p.client.Produce(ctx, record, acks.promise)
	if err := p.client.Flush(ctx); err != nil {
		return &AgainError{Doing: doing, Err: err}
	}
	if failed := acks.wait(ctx); failed != nil {
		p.abort()
		return p.refused(&window{}, failed.record, failed.err)
	}
	if p.o.Mode == ExactlyOnce {
		if err := p.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return &AgainError{Doing: doing, Err: err}
		}
	}
	return nil
}

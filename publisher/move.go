package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// moveTries is how often Move tries to store a position.
const moveTries = 3

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
	// What the client aborted by itself was not stored, and may be told again.
	for range moveTries {
		if err = p.storeAlone(ctx, value); !errors.Is(err, errAborted) {
			return err
		}
	}
	return err
}

// storeAlone stores a position with nothing beside it.
func (p *Publisher) storeAlone(ctx context.Context, value []byte) error {
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
		if err := p.commit(ctx); err != nil {
			return &AgainError{Doing: doing, Err: err}
		}
	}
	return nil
}

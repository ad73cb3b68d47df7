package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// reading is what a yardstick's process prints of itself.
type reading struct {
	Rows    int     `json:"rows"`
	Seconds float64 `json:"seconds"` // from the first row to the last
}

func (r reading) print() error { return json.NewEncoder(os.Stdout).Encode(r) }

// drain reads and discards a slot's rows: drain URL SLOT ROWS WARM, where WARM rows come before those that
// count. It is the yardstick of the live lane: the same
// socket reading and the same decoder, and nothing behind it.
func drain(ctx context.Context, args []string) error {
	if len(args) != 4 {
		return errors.New("usage: bench drain URL SLOT ROWS WARM")
	}
	rows, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	warm, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	text := &schema.Type{OID: 25, Namespace: "pg_catalog", Name: "text", Kind: schema.KindBase}
	s, err := decoder.Open(ctx, decoder.StreamOptions{
		Connect: decoder.ConnectOptions{URL: args[0]}, Slot: args[1], Publications: []string{publication},
		Decoder: decoder.DecoderOptions{Describe: func(shape decoder.Shape) (*schema.Relation, error) {
			r := &schema.Relation{Namespace: shape.Namespace, Name: shape.Name, Identity: shape.Identity}
			for _, c := range shape.Columns {
				r.Columns = append(r.Columns, schema.Column{Name: c.Name, Type: text, TypMod: -1})
			}
			return r, nil
		}},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := make(chan *decoder.Batch, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(ctx, out) })
	r, err := discard(ctx, out, rows, warm)
	cancel()
	if ended := group.Wait(); err == nil && !errors.Is(ended, context.Canceled) {
		err = ended
	}
	if err != nil {
		return err
	}
	return r.print()
}

// discard takes batches until so many rows have come behind those of warm.
func discard(ctx context.Context, out <-chan *decoder.Batch, rows, warm int) (reading, error) {
	r, seen, already := reading{}, 0, 0
	var first time.Time
	for seen < rows+warm {
		select {
		case b := <-out:
			if first.IsZero() && seen >= warm {
				first, already = time.Now(), seen
			}
			for i := range b.Transactions {
				seen += len(b.Transactions[i].Changes)
			}
			b.Release()
		case <-ctx.Done():
			return r, context.Cause(ctx)
		}
	}
	r.Rows, r.Seconds = seen-already, time.Since(first).Seconds()
	return r, nil
}

// copyOut reads and discards the table: copy URL. It is the yardstick of snapshots.
func copyOut(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: bench copy URL")
	}
	conn, err := pgconn.Connect(ctx, args[0])
	if err != nil {
		return err
	}
	began := time.Now()
	tag, err := conn.CopyTo(ctx, io.Discard, "COPY "+table+" TO STDOUT")
	if err != nil {
		return fmt.Errorf("copy %s: %w", table, err)
	}
	r := reading{Rows: int(tag.RowsAffected()), Seconds: time.Since(began).Seconds()}
	if err := conn.Close(ctx); err != nil {
		return err
	}
	return r.print()
}

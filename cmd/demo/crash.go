package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The burst: numbered updates, spread over rows of address that the statements did not touch.
const (
	burstChanges     = 10000
	burstTransaction = 50                   // changes in one transaction
	burstFirst       = 201                  // the first address_id
	burstRows        = 400                  // so many rows take turns
	burstPause       = 5 * time.Millisecond // between transactions, so that the kill comes in their midst
	killAfter        = 2000                 // changes that have arrived when the pipeline is killed
)

// tracker counts the changes of the burst as they arrive. Each carries its number in a column, so that a
// missing or doubled one is seen, and one that came out of its key's order.
type tracker struct {
	arrived int
	seen    []int          // how often each change came, by its number
	last    map[string]int // the highest number of each key
}

// take counts one record, and says what is wrong with it, if anything.
func (k *tracker) take(r received) error {
	k.arrived++
	n, err := burstNumber(r)
	if err != nil {
		return err
	}
	k.seen[n]++
	if n < k.last[r.key] && k.seen[n] == 1 {
		return fmt.Errorf("change %d of address %s came after change %d", n, r.key, k.last[r.key])
	}
	k.last[r.key] = max(n, k.last[r.key])
	return nil
}

// crash kills the pipeline in the middle of a burst, starts it again, and counts.
func (d *demo) crash(ctx context.Context) error {
	d.heading(fmt.Sprintf("3  kill -9 in the middle of %d changes", burstChanges))
	ctx, cancel := context.WithCancel(ctx)
	written := make(chan error, 1)
	go func() {
		written <- burst(ctx, d.db.url, d.db.schema)
		close(written)
	}()
	defer func() {
		cancel()
		for range written { // Closed when the writer has ended, also where nobody asked for its result.
		}
	}()
	k := &tracker{seen: make([]int, burstChanges+1), last: map[string]int{}}
	count := func(r received, _ row) {
		if err := k.take(r); err != nil {
			d.problem("burst: %v", err)
		}
	}
	enough := func() bool { return k.arrived >= killAfter }
	if err := d.receive(ctx, "the burst's first records", enough, count); err != nil {
		return err
	}
	if err := d.pipeline.kill(); err != nil {
		return err
	}
	d.out.line("", "   killed; %d changes had been seen by a read_committed consumer", k.arrived)
	// The burst goes on without a pipeline: the slot keeps what it has not been told to forget.
	if err := <-written; err != nil {
		return err
	}
	confirmed, err := d.db.one(ctx,
		"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '"+ownName+"'")
	if err != nil {
		return err
	}
	d.out.line("", "   %d changes are committed; the slot keeps all after %s", burstChanges, confirmed)
	return d.restart(ctx, k, count)
}

// restart starts the pipeline again, waits for the rest of the burst, and gives the count.
func (d *demo) restart(ctx context.Context, k *tracker, count func(received, row)) error {
	begin := time.Now()
	if err := d.pipeline.start(); err != nil {
		return err
	}
	all := func() bool { return complete(k.seen) }
	if err := d.receive(ctx, "the rest of the burst", all, count); err != nil {
		// Not the end: what is missing is counted below, unless the pipeline has failed or somebody pressed
		// Ctrl-C.
		if d.pipeline.child == nil || ctx.Err() != nil {
			return err
		}
		d.problem("burst: %v", err)
	}
	if err := d.drain(ctx, count); err != nil {
		return err
	}
	missing, doubled := tally(k.seen)
	d.out.line("", "   started again from its stored position; the rest came within %s", since(begin))
	d.out.line("", "   %d changes: %d missing, %d doubled", burstChanges, missing, doubled)
	for n, times := range k.seen[1:] {
		if times != 1 {
			d.problem("burst: change %d came %d times", n+1, times)
		}
	}
	return nil
}

// drain reads what else is in the topics: doubled records would be among it.
func (d *demo) drain(ctx context.Context, see func(received, row)) error {
	var fault error
	err := d.receive(ctx, "the end of the topics", func() bool {
		end, err := d.consumer.atEnd(ctx)
		fault = err
		return end || err != nil
	}, see)
	return errors.Join(err, fault)
}

// burst writes the changes on a connection of its own.
func burst(ctx context.Context, address, schema string) error {
	conn, err := pgconn.Connect(ctx, address)
	if err != nil {
		return fmt.Errorf("write the burst: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	pause := time.NewTicker(burstPause)
	defer pause.Stop()
	for n := 1; n <= burstChanges; {
		var sql strings.Builder
		sql.WriteString("BEGIN;")
		for range burstTransaction {
			fmt.Fprintf(&sql, "UPDATE %s.address SET address2 = '%d of the burst' WHERE address_id = %d;",
				schema, n, burstFirst+n%burstRows)
			n++
		}
		sql.WriteString("COMMIT")
		if err := conn.Exec(ctx, sql.String()).Close(); err != nil {
			return fmt.Errorf("write the burst: %w", err)
		}
		<-pause.C
	}
	return nil
}

// burstNumber returns which change of the burst a record tells of.
func burstNumber(r received) (int, error) {
	text, _, _ := strings.Cut(strings.Trim(r.after["address2"], `"`), " ")
	n, err := strconv.Atoi(text)
	if r.op != "u" || r.table != "address" || err != nil || n < 1 || n > burstChanges {
		return 0, fmt.Errorf("record %s of %s %s is none of its changes", r.op, r.table, r.key)
	}
	return n, nil
}

// complete says whether each change has been seen.
func complete(seen []int) bool {
	missing, _ := tally(seen)
	return missing == 0
}

// tally counts the changes that were not seen, and those seen more than once. Changes count from 1.
func tally(seen []int) (missing, doubled int) {
	for _, times := range seen[1:] {
		switch {
		case times == 0:
			missing++
		case times > 1:
			doubled++
		}
	}
	return missing, doubled
}

package snapshot

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
)

// TestHold goes the whole road: the slot is created, its snapshot kept, the stream begun at the consistent
// point and held while the snapshot is read, then let go. Writers are at work all the while. Everything
// leaves by one channel, and the fold of it is the table.
func TestHold(t *testing.T) {
	onServers(t, func(t *testing.T, db *database) {
		db.exec("CREATE TABLE keyed (id int PRIMARY KEY, v text)", "CREATE TABLE other (k text PRIMARY KEY, v int)",
			"CREATE TABLE full_ (a int PRIMARY KEY, b int)", "ALTER TABLE full_ REPLICA IDENTITY FULL",
			"INSERT INTO keyed SELECT g, 'old' FROM generate_series(1, 20000) g",
			"CREATE PUBLICATION p FOR ALL TABLES")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		stopWriters := db.writers(8, mixed)
		out, failed := make(chan *decoder.Batch), make(chan error, 1)
		go func() {
			failed <- db.snapshotAndStream(ctx, out)
			close(out)
		}()
		var r run
		var stream []decoder.Transaction
		end := decoder.LSN(0)
		for b := range out {
			if b.Progress != nil {
				r.add(b)
				if done, _, _ := ProgressDone(r.progress[len(r.progress)-1]); done {
					stopWriters()
					var err error
					if end, err = decoder.ParseLSN(db.value("SELECT pg_current_wal_insert_lsn()")); err != nil {
						t.Error(err)
					}
					// Something to go past the end.
					db.exec("CREATE TABLE last (id int)", "INSERT INTO last VALUES (1)")
				}
				continue
			}
			// The rows' memory is needed to the end, so these batches are not released.
			stream = append(stream, b.Transactions...)
			if end > 0 && b.Confirm >= end {
				cancel()
			}
		}
		if err := <-failed; ctx.Err() == nil || end == 0 {
			t.Fatal(err)
		}
		got, err := fold(r.rows, stream, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := db.contents("keyed", "other", "full_")
		delete(got, "public.last 1")
		if diff := differing(want, got); diff != "" {
			t.Error(diff)
		}
		t.Logf("%d snapshot rows, %d transactions, %d rows left", len(r.rows), len(stream), len(want))
	})
}

// snapshotAndStream is what a pipeline does at its first start.
func (d *database) snapshotAndStream(ctx context.Context, out chan<- *decoder.Batch) error {
	c, err := OpenCatalog(ctx, CatalogOptions{Connect: d.connect, Publications: []string{"p"}})
	if err != nil {
		return err
	}
	selection, err := c.Tables(ctx, Select{Patterns: []string{"public.*"}})
	if err != nil {
		return err
	}
	slot, err := decoder.CreateSlot(ctx, decoder.CreateOptions{
		Connect:   d.options(),
		Name:      fmt.Sprintf("hold_%d", time.Now().UnixNano()),
		Temporary: true,
	})
	if err != nil {
		return err
	}
	keeper, err := OpenKeeper(ctx, d.connect, slot.Snapshot)
	if err != nil {
		return err
	}
	defer keeper.Close()
	stream, err := decoder.Open(ctx, decoder.StreamOptions{
		Connect: d.options(), Conn: slot.Conn,
		Slot:         slot.Name,
		Publications: []string{"p"}, Start: slot.Point, Decoder: decoder.DecoderOptions{Describe: c.describe},
	})
	if err != nil {
		return err
	}
	err = stream.Hold(ctx, func(ctx context.Context) error {
		return Run(ctx, Options{
			Connect: d.connect, Keeper: keeper, Point: slot.Point, LSN: slot.Restart,
			Tables: selection.Tables, Relation: c.Relation, ResumeRows: 3000,
		}, out)
	})
	if err != nil {
		return err
	}
	keeper.Close()
	return stream.Run(ctx, out)
}

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/cmd/tributary/audit"
	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
	"github.com/tributary-cdc/tributary/schema"
	"github.com/tributary-cdc/tributary/snapshot"
)

// A repair makes the topics whole behind a gap: all rows are published again, as by any snapshot, and then,
// table by table, a delete for each key that a topic holds and the table does not. For these the stream
// stands at a consistent point P while the table's keys are read as of P, and the topic, which then holds
// everything before P, is folded by key:
//
//	stream ------> P |keys at P, fold of the topic, deletes| ------> P' |the next table| ------>
//
// So a delete has its place in the order of the log. A crash in the middle of a table begins with the table
// again: what was deleted is then not in the fold any more.

// newRepair is the job of a repair.
func newRepair() job {
	now := time.Now().UTC()
	return job{ID: jobRepair + now.Format("-20060102T150405"), Kind: jobRepair, Asked: now}
}

// repairing says that the job is to end with deletes.
func (o *job) repairing() bool { return o.Kind == jobRepair }

// awaitPause is how often a position is looked at that is about to be stored.
const awaitPause = 5 * time.Millisecond

// deleteVanished publishes the deletes of the tables behind those that are done, at the consistent point of a
// slot at which the stream stands, until snapshot.pause is over; one table is done whole.
func (p *pipeline) deleteVanished(ctx context.Context, at *decoder.CreatedSlot, j job,
	out chan<- *decoder.Batch,
) error {
	if err := p.publishedUpTo(ctx, at.Point, out); err != nil {
		return err
	}
	tables := j.of(p.tables)
	first := 0
	for i, t := range tables {
		if t.String() == j.Through {
			first = i + 1
		}
	}
	began := time.Now()
	for i, t := range tables[first:] {
		n, err := p.deleteOf(ctx, at, t, out)
		if err != nil {
			return err
		}
		p.Log.Info("keys that are no longer in the table are deleted", "snapshot", j.ID, "table", t.String(),
			"deletes", n, "lsn", at.Point)
		last := first+i+1 == len(tables)
		text, err := p.jobs.through(j.ID, t.String(), last)
		if err != nil {
			return err
		}
		if err := send(ctx, out, &decoder.Batch{Progress: text}); err != nil {
			return err
		}
		if last {
			p.Log.Info("repair done", "snapshot", j.ID, "asked", j.Asked)
		}
		if last || time.Since(began) > p.Config.Snapshot.Pause {
			return nil
		}
	}
	return nil
}

// publishedUpTo waits until all that the stream has sent, which stands at a consistent point, is in Kafka and
// stored.
func (p *pipeline) publishedUpTo(ctx context.Context, point decoder.LSN, out chan<- *decoder.Batch) error {
	if err := send(ctx, out, &decoder.Batch{Confirm: point, Urgent: true}); err != nil {
		return err
	}
	tick := time.NewTicker(awaitPause)
	defer tick.Stop()
	for p.pub.Load().Confirmed() < point {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// deleteOf publishes the deletes of one table, and returns how many there were.
func (p *pipeline) deleteOf(ctx context.Context, at *decoder.CreatedSlot, t snapshot.Table,
	out chan<- *decoder.Batch,
) (n int64, err error) {
	relation, err := p.catalog.Relation(ctx, t.OID)
	if err != nil {
		return 0, err
	}
	codec, err := schema.Compile(relation, p.options.SchemaTopic(t.Namespace, t.Name), p.options.Schema)
	if err != nil {
		return 0, err
	}
	if !codec.HasKey() {
		p.Log.Warn("table has no key: what was deleted from it in the gap stays in its topic", "table", t.String())
		return 0, nil
	}
	values, err := newValueReader(p.Config)
	if err != nil {
		return 0, err
	}
	spill, err := audit.NewSpill("")
	if err != nil {
		return 0, err
	}
	defer func() { _ = spill.Close() }() // the file has no name: it goes with the process at the latest
	v := audit.NewVanished(audit.VanishedOptions{
		Table: t.String(), Codec: codec, Rows: t.EstimatedRows(), Reader: audit.NewReader(values.schemaText),
		Spill: spill,
	})
	options := p.snapshotOptions(at, job{})
	if err := snapshot.Keys(ctx, options, t, v.Row); err != nil {
		return 0, err
	}
	topic := p.options.Topic(t.Namespace, t.Name)
	if err := p.readTopic(ctx, topic, v); err != nil {
		return 0, err
	}
	d := &deletes{p: p, at: at, lsn: options.LSN, relation: relation, codec: codec, out: out}
	if text := codec.KeySchema(); text != "" {
		id, err := p.options.Register(ctx, topic+"-key", text)
		if err != nil {
			return 0, err
		}
		d.prefix = binary.BigEndian.AppendUint32([]byte{0}, uint32(id))
	}
	if err := v.Each(func(raw []byte) error { return d.add(ctx, raw) }); err != nil {
		return 0, err
	}
	return d.n, d.flush(ctx)
}

// readTopic gives all records of a topic to a comparison.
func (p *pipeline) readTopic(ctx context.Context, topic string, v *audit.Vanished) error {
	doing := "fold topic " + topic
	client, err := kgo.NewClient(p.options.Client...)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer client.Close()
	r, err := rangeOf(ctx, kadm.NewClient(client), topic)
	if err == nil {
		err = r.read(ctx, p.options.Client, func(record *kgo.Record) error {
			return v.Record(ctx, record.Key, record.Value)
		})
	}
	if err == nil || ctx.Err() != nil || errors.As(err, new(*audit.KeyError)) {
		return err
	}
	return &publisher.AgainError{Doing: doing, Err: err}
}

// deletes gathers a table's deletes into batches.
type deletes struct {
	p        *pipeline
	at       *decoder.CreatedSlot
	lsn      decoder.LSN
	relation *schema.Relation
	codec    *schema.Codec
	prefix   []byte // of keys that the codec can read: the registry's, nil for JSON
	out      chan<- *decoder.Batch
	pool     *decoder.Pool
	batch    *decoder.Batch
	n        int64
}

// add adds the delete of a key. Its row before holds the key's columns, like that of a delete under the
// default replica identity; it is null when the key is of another version of the table.
func (d *deletes) add(ctx context.Context, raw []byte) error {
	if d.pool == nil {
		d.pool = decoder.NewPool(decoder.PoolOptions{})
	}
	if d.batch == nil {
		d.batch = d.pool.Get()
		d.batch.Begin(decoder.Transaction{
			Commit: d.at.Point, Time: d.p.keeper.Time(), FullXID: d.p.keeper.XMax(),
		})
	}
	change := d.batch.Add()
	change.Op, change.Relation, change.LSN = schema.OpDelete, d.relation, d.lsn
	change.Marker = schema.MarkerTrue
	change.Key = d.batch.Copy(raw)
	if datum, known := bytes.CutPrefix(change.Key, d.prefix); known {
		change.Old, change.OldIsKey = d.codec.KeyRow(datum), true
	}
	if d.n++; d.batch.Full() {
		return d.flush(ctx)
	}
	return nil
}

// flush hands over what was gathered.
func (d *deletes) flush(ctx context.Context) error {
	if d.batch == nil {
		return nil
	}
	b := d.batch
	d.batch = nil
	if err := send(ctx, d.out, b); err != nil {
		b.Release()
		return err
	}
	return nil
}

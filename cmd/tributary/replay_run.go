package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
	"github.com/tributary-cdc/tributary/schema"
	"github.com/tributary-cdc/tributary/snapshot"
)

// replayHeader is the header of replayed records: the position behind which the replay began.
const replayHeader = "__tributary.replay"

// replayer is one replay. It has a pipeline's parts, but a stream of its own, on a temporary copy of the
// anchor, and a position of its own: the pipeline itself goes on.
type replayer struct {
	*pipeline
	o         replayOptions
	past      *past
	begin     start
	until     decoder.LSN
	untilTime int64 // microseconds since 1970, 0 for none
	shown     *progress
	log       *slog.Logger

	transactions atomic.Int64
	interrupted  bool // by a signal; to be read when the goroutines have ended

	mu      sync.Mutex // guards what follows
	current map[string]string
	changed []string // what was written under an older definition
}

// replayMark is stored with a replay's position: what the position is of.
type replayMark struct {
	Done bool     `json:"done"` // as of a snapshot: there is none
	To   string   `json:"to"`   // the suffix of the topics
	Of   []string `json:"of"`   // the patterns of the tables
}

func (r *replayer) mark() ([]byte, error) {
	m := replayMark{Done: true, To: r.o.suffix, Of: []string{}}
	for _, t := range r.o.tables {
		m.Of = append(m.Of, t.String())
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("mark the replay: %w", err)
	}
	return text, nil
}

// open prepares everything, up to the stream and the publisher.
func (r *replayer) open(ctx context.Context, config Config, stop <-chan struct{}) (err error) {
	r.pipeline, err = newPipeline(ctx, runOptions{
		Config: config, Log: r.log, Board: newBoard(config),
		Stop: stop,
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			r.pipeline.close()
		}
	}()
	r.system, r.history = r.past.system, r.past.history
	if err := r.tablesOf(ctx); err != nil {
		return err
	}
	if err := r.redirect(ctx); err != nil {
		return err
	}
	o := r.streamOptions(nil)
	o.Slot, o.Start = decoder.SiblingName(config.Source.Slot, replaySuffix), r.begin.lsn
	o.Decoder.Describe = r.describe
	stream, err := decoder.OpenCopy(ctx, r.past.anchor.Name, o)
	if err != nil {
		return r.explain(err)
	}
	r.stream.Store(stream)
	stream.SetResume(r.begin.lsn, r.begin.lastCommit)
	return stream.Hold(ctx, func(ctx context.Context) error {
		pub, err := publisher.Open(ctx, r.options)
		if err == nil {
			r.pub.Store(pub)
		}
		return err
	})
}

// explain says of a busy slot what it is.
func (r *replayer) explain(err error) error {
	var busy *decoder.SlotBusyError
	if errors.As(err, &busy) {
		return fmt.Errorf("another replay of this pipeline is running: %w", err)
	}
	return err
}

// tablesOf finds the captured tables that are to be replayed, and how their schemas read now.
func (r *replayer) tablesOf(ctx context.Context) error {
	if err := r.lookUpTables(ctx, r.o.wants); err != nil {
		return err
	}
	r.current = map[string]string{}
	for _, t := range r.tables {
		relation, err := r.catalog.Relation(ctx, t.OID)
		if err != nil {
			return err
		}
		codec, err := schema.Compile(relation, r.options.SchemaTopic(t.Namespace, t.Name), r.options.Schema)
		if err != nil {
			return err
		}
		r.current[r.options.Topic(t.Namespace, t.Name)+"-value"] = codec.ValueSchema()
	}
	if len(r.tables) == 0 {
		return usageError{fmt.Errorf("no captured table matches --table")}
	}
	return nil
}

// lookUpTables opens the catalog and finds the captured tables that are wanted, for what works beside the
// pipeline: it changes nothing and complains of nothing.
func (p *pipeline) lookUpTables(ctx context.Context, wants func(name string) bool) error {
	options, err := p.catalogOptions(ctx)
	if err != nil {
		return err
	}
	options.Logger = silent()
	if p.catalog, err = snapshot.OpenCatalog(ctx, options); err != nil {
		return err
	}
	selection, err := p.catalog.Tables(ctx, p.Config.Source.Select())
	if err != nil {
		return needsPerson{err}
	}
	p.captured = map[decoder.TableName]bool{}
	for _, t := range selection.Tables {
		if wants(t.String()) {
			p.tables = append(p.tables, t)
			p.captured[decoder.TableName{Namespace: t.Namespace, Name: t.Name}] = true
		}
	}
	return nil
}

// describe is the stream's question for a table.
func (r *replayer) describe(shape decoder.Shape) (*schema.Relation, error) {
	if !r.captured[decoder.TableName{Namespace: shape.Namespace, Name: shape.Name}] {
		return nil, nil
	}
	return r.pipeline.describe(shape)
}

// redirect gives the publisher the replay's own name, position and topics.
func (r *replayer) redirect(ctx context.Context) error {
	o, suffix := &r.options, r.o.suffix
	o.Slot, o.Identity = replaySlot(r.Config), r.identity()
	o.Start, o.Heartbeat = r.begin.lsn, 0
	o.Headers = append(o.Headers, kgo.RecordHeader{Key: replayHeader, Value: []byte(r.begin.lsn.String())})
	if len(r.o.tables) > 0 {
		o.Message = func(string) bool { return false }
	}
	topic := o.Topic
	o.Topic = func(namespace, table string) string { return topic(namespace, table) + suffix }
	o.MessageTopic = schema.MessageTopic(o.Schema.Name) + suffix
	o.TransactionTopic += suffix
	o.Register = r.register
	stored, err := publisher.Load(ctx, o.Client, o.PositionTopic, o.Pipeline, o.Slot)
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return err
	}
	mark, err := r.mark()
	if err != nil {
		return err
	}
	// A replay that ended inside a transaction, and is begun again from there, goes on inside of it. Any
	// other stored position is of a replay that is over.
	o.Renew = stored == nil || stored.Split == nil || stored.Resume != r.begin.lsn ||
		string(stored.Snapshot) != string(mark)
	return r.mirror(ctx)
}

// mirror makes the topics that are missing with as many partitions as the pipeline's own have, so that each
// key has the same partition.
func (r *replayer) mirror(ctx context.Context) error {
	if r.o.suffix == "" || r.options.Topics.NoCreate {
		return nil
	}
	client, err := kgo.NewClient(r.options.Client...)
	if err != nil {
		return fmt.Errorf("make the Kafka client: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	found, err := admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	topics := r.options.Topics
	config := map[string]*string{}
	for name, value := range topics.Config {
		config[name] = &value
	}
	if topics.CleanupPolicy != "" {
		config["cleanup.policy"] = &topics.CleanupPolicy
	}
	for _, t := range r.tables {
		name := r.options.Topic(t.Namespace, t.Name)
		own, exists := found[strings.TrimSuffix(name, r.o.suffix)]
		if _, there := found[name]; there || !exists {
			continue
		}
		replication := int16(topics.ReplicationFactor)
		if replication == 0 {
			replication = -1
		}
		_, err := admin.CreateTopic(ctx, int32(len(own.Partitions)), replication, config, name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("make topic %s: %w", name, err)
		}
	}
	return nil
}

// register finds a schema under the subject of the pipeline's own topic: so the records have the ids of the
// first time, and the registry gets no subjects of the replay's.
func (r *replayer) register(ctx context.Context, subject, text string) (int, error) {
	for _, half := range []string{"-key", "-value"} {
		if name, found := strings.CutSuffix(subject, r.o.suffix+half); found {
			subject = name + half
		}
	}
	id, err := r.registry.ID(ctx, subject, text)
	if now := r.current[subject]; err == nil && now != "" && now != text {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changed = append(r.changed, fmt.Sprintf("%s: the table's definition has changed since: schema id %d "+
			"was used", subject, id))
	}
	return id, err
}

// run moves the transactions.
func (r *replayer) run(ctx context.Context) error {
	mark, err := r.mark()
	if err != nil {
		return err
	}
	raw, out := make(chan *decoder.Batch, 1), make(chan *decoder.Batch, 1)
	r.endOut, r.published = closing(raw), make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	reading, endReading := context.WithCancel(ctx)
	defer endReading()
	group.Go(func() error {
		defer r.endOut()
		err := r.stream.Load().Until(reading, r.until, raw)
		if errors.Is(err, decoder.ErrStopped) {
			r.interrupted = true
			return nil
		}
		if reading.Err() != nil && ctx.Err() == nil {
			return nil // all that is wanted was read
		}
		return err
	})
	group.Go(func() error {
		defer close(out)
		if err := send(ctx, out, &decoder.Batch{Progress: mark}); err != nil {
			return err
		}
		return r.pass(ctx, raw, out, endReading)
	})
	shown, endShown := context.WithCancel(ctx)
	group.Go(func() error { r.show(shown); return nil })
	group.Go(func() error { defer endShown(); defer close(r.published); return r.pub.Load().Run(ctx, out) })
	return group.Wait()
}

// pass hands batches on, counting their transactions, until the first one that committed too late.
func (r *replayer) pass(
	ctx context.Context, in <-chan *decoder.Batch, out chan<- *decoder.Batch, end func(),
) error {
	enough := false
	for b := range in {
		if enough {
			b.Release()
			continue
		}
		if enough = r.trim(b); enough {
			end()
		}
		for i := range b.Transactions {
			if b.Transactions[i].Last {
				r.transactions.Add(1)
			}
		}
		if err := send(ctx, out, b); err != nil {
			return err
		}
	}
	return nil
}

// trim cuts a batch before the first transaction that committed too late, and says whether there is one.
func (r *replayer) trim(b *decoder.Batch) bool {
	for i := range b.Transactions {
		// A message outside of a transaction has no commit time.
		if t := &b.Transactions[i]; r.untilTime > 0 && t.First && t.Time > r.untilTime {
			b.Confirm = t.LastCommit
			b.Transactions = b.Transactions[:i]
			return true
		}
	}
	return false
}

// show tells how far the replay is.
func (r *replayer) show(ctx context.Context) {
	interval := reportInterval
	if r.shown.terminal {
		interval = redrawInterval
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			if r.shown.terminal {
				r.shown.draw("")
			}
			return
		case <-ticker.C:
		}
		at, records := r.pub.Load().Confirmed(), r.pub.Load().Status().Records
		done := 100 * float64(at-r.begin.lsn) / float64(max(r.until-r.begin.lsn, 1))
		if r.shown.terminal {
			r.shown.draw(fmt.Sprintf("replay %.0f %%  at %s of %s  %s transactions  %s records", done, at, r.until,
				thousands(r.transactions.Load()), thousands(int64(records))))
			continue
		}
		r.log.Info("replay progress", "lsn", at, "until", r.until, "percent", int(done),
			"transactions", r.transactions.Load(), "records", records)
	}
}

// write says what was done.
func (r *replayer) write(w io.Writer, took time.Duration, failed error) error {
	pub := r.pub.Load()
	s := pub.Status()
	var b strings.Builder
	whole := failed == nil && !r.interrupted
	reached := min(pub.Confirmed(), r.until) // a keepalive may have said more
	if whole {
		fmt.Fprintf(&b, "replayed %s to %s: %s transactions, %s records in %s\n", r.begin.lsn, reached,
			thousands(r.transactions.Load()), thousands(int64(s.Records)), took.Round(time.Millisecond))
	} else {
		fmt.Fprintf(&b, "replayed %s to %s, not to the end: %s records in %s\n", r.begin.lsn, reached,
			thousands(int64(s.Records)), took.Round(time.Millisecond))
	}
	for _, t := range s.Tables {
		fmt.Fprintf(&b, "  %s: %d created, %d updated, %d deleted, %d truncated, %d messages, to %s\n", t.Name,
			t.Create, t.Update, t.Delete, t.Truncated, t.Messages, t.Topic)
	}
	r.mu.Lock()
	for _, text := range r.changed {
		b.WriteString("  " + text + "\n")
	}
	r.mu.Unlock()
	if !whole {
		b.WriteString("to go on: " + r.again(reached) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

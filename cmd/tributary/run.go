package main

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/sync/errgroup"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
	"github.com/tributary-cdc/tributary/schema"
	"github.com/tributary-cdc/tributary/snapshot"
)

const (
	// standbyInterval is how often a standby asks for the slot: a leader that dies is replaced within it.
	standbyInterval = 500 * time.Millisecond
	// describeTimeout bounds a catalog query in the stream's way.
	describeTimeout = 30 * time.Second
)

// pipeline is one life of the service, from taking the slot to the end of the stream. The steps of run fill
// it in, in the order of its fields; the goroutines of flow only read it.
type pipeline struct {
	runOptions
	connect  decoder.ConnectOptions
	registry *schema.Registry
	options  publisher.Options
	// stopped ends when the pipeline is to stop in order: at a signal, or when initial_only is done.
	stopped context.Context
	stop    context.CancelFunc
	now     gauges

	system   decoder.System
	history  []decoder.Switch
	catalog  *snapshot.Catalog
	tables   []snapshot.Table
	captured map[decoder.TableName]bool
	skipped  map[string]bool      // by name: what matches and has no changes of its own
	created  *decoder.CreatedSlot // set when this run made the slot
	keeper   *snapshot.Keeper     // of the slot that the present snapshot is of
	slot     *decoder.Slot        // as it was when it was taken
	offset   *connectorOffset     // of the Debezium connector that is taken over
	jobs     jobs                 // snapshots that are due
	repair   bool                 // the rows that are due are to be a repair's
	stepped  string               // the one that was last gone on with

	// What observe needs: the signal table, the rows that the job noted must read again, and what went wrong.
	signals  *signals
	notes    *snapshot.Notes
	noted    string
	observed error
	warned   bool   // of a forecast; look's own
	refused  string // what Kafka was last told to refuse; watch's own

	anchor *decoder.Anchor
	pool   *decoder.Pool // of all batches: it bounds what rows take that are large for themselves
	stream atomic.Pointer[decoder.Stream]
	pub    atomic.Pointer[publisher.Publisher]

	endOut    func()        // closes what the source sends by
	published chan struct{} // closed when the publisher has ended
}

// run is the pipeline: whatever an error leaves behind, the next call takes up from the stored position.
func run(ctx context.Context, o runOptions) error {
	p, err := newPipeline(ctx, o)
	if err != nil {
		return err
	}
	err = p.steps(ctx)
	p.close()
	var over *walLimitError
	if errors.As(err, &over) {
		return p.giveUp(over)
	}
	return err
}

// steps are what run does, one after the other.
func (p *pipeline) steps(ctx context.Context) error {
	before, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.stopped, cancel)()
	for _, step := range []func(context.Context) error{p.survey, p.hold, p.take} {
		if err := step(before); err != nil {
			if ctx.Err() == nil && p.stopped.Err() != nil {
				return nil // stopped before anything was read
			}
			return err
		}
	}
	return p.flow(ctx)
}

func newPipeline(ctx context.Context, o runOptions) (*pipeline, error) {
	registry, err := openRegistry(o)
	if err != nil {
		return nil, err
	}
	p := &pipeline{runOptions: o, connect: sourceOptions(o.Config), registry: registry}
	p.pool = decoder.NewPool(decoder.PoolOptions{})
	p.anchor = decoder.NewAnchor(p.anchorOptions())
	p.stopped, p.stop = context.WithCancel(context.Background())
	if p.options, err = p.publisherOptions(ctx); err != nil {
		return nil, err
	}
	// The one goroutine of a pipeline outside of flow's group: it ends with stop, which close calls.
	go func() {
		select {
		case <-o.Stop:
			p.stop()
		case <-p.stopped.Done():
		}
	}()
	o.Board.Feed(p.status)
	return p, nil
}

// openRegistry returns the registry, nil where keys and values are JSON: their configuration need not name
// one.
func openRegistry(o runOptions) (*schema.Registry, error) {
	if !o.Config.NeedsRegistry() {
		return nil, nil
	}
	options, err := registryOptions(o.Config)
	if err != nil {
		return nil, err
	}
	options.Logger, options.Registered = o.Log, o.Board.chronicle.registered
	o.Metrics.registry.observe(&options)
	return schema.NewRegistry(options)
}

// close ends what is open. The slot stays, and so does everything that is stored.
func (p *pipeline) close() {
	p.stop()
	if pub := p.pub.Load(); pub != nil {
		pub.Close()
	}
	if p.keeper != nil {
		p.keeper.Close()
	}
	if stream := p.stream.Load(); stream != nil {
		if err := stream.Close(); err != nil {
			p.Log.Debug("connection closed", "err", err)
		}
	}
	if p.catalog != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.catalog.Close(ctx); err != nil {
			p.Log.Debug("connection closed", "err", err)
		}
	}
}

// survey looks at the source: who it is, which tables are captured, whether the publication sends them.
func (p *pipeline) survey(ctx context.Context) error {
	p.now.state(statePreflight, "looking at the source")
	replication := p.connect
	replication.Replication = true
	conn, err := decoder.Connect(ctx, replication)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if p.system, err = decoder.IdentifySystem(ctx, conn); err != nil {
		return err
	}
	if p.history, err = decoder.TimelineHistory(ctx, conn, p.system.Timeline); err != nil {
		return err
	}
	options, err := p.catalogOptions(ctx)
	if err != nil {
		return err
	}
	if p.catalog, err = snapshot.OpenCatalog(ctx, options); err != nil {
		return err
	}
	p.now.server(p.system, p.catalog.ServerVersion())
	p.options.Identity = p.identity()
	return p.choose(ctx)
}

// hold takes the slot, making it when there is none: from then on no other instance reads it.
func (p *pipeline) hold(ctx context.Context) error {
	conn, err := decoder.Connect(ctx, p.connect)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	slot, err := decoder.InspectSlot(ctx, conn, p.Config.Source.Slot)
	if err != nil {
		return err
	}
	if slot != nil && slot.Lost() && p.Config.Snapshot.Mode == "when_needed" {
		p.Log.Warn("slot lost: making it anew and taking a new snapshot, as snapshot.mode says", "slot", slot.Name,
			"lost_after", slot.Confirmed)
		if err := decoder.DropSlot(ctx, conn, slot.Name); err != nil {
			return err
		}
		slot = nil
	}
	if slot == nil {
		return p.create(ctx)
	}
	// Also while Kafka is away, and nothing streams, the limit holds. A slot that is read is its reader's.
	if !slot.Active {
		if err := p.overLimit(slot, nil); err != nil {
			return err
		}
	}
	if err := slot.Usable(p.system.Database); err != nil {
		return needsPerson{err}
	}
	if err := p.standBy(ctx, conn); err != nil {
		return err
	}
	// Only now does nobody else move it.
	p.slot, err = decoder.InspectSlot(ctx, conn, p.Config.Source.Slot)
	if err == nil && p.slot == nil {
		err = &decoder.SlotMissingError{Slot: p.Config.Source.Slot, Database: p.system.Database}
	}
	return err
}

// standBy takes the slot as soon as it is free. The slot is the leader's lock: whoever holds it leads.
func (p *pipeline) standBy(ctx context.Context, conn *pgconn.PgConn) error {
	for {
		stream, err := decoder.Open(ctx, p.streamOptions(nil))
		var busy *decoder.SlotBusyError
		switch {
		case err == nil:
			p.stream.Store(stream)
			return nil
		case !errors.As(err, &busy):
			return err
		}
		if p.now.state(stateStandby, busy.Error()) {
			p.Log.Info("standing by", "holder", busy.Error())
		}
		p.glimpse(ctx, conn)
		if err := wait(ctx, standbyInterval); err != nil {
			return err
		}
	}
}

// create makes the slot and keeps the snapshot that its creation exported. A slot that is gone although a
// position is stored is not made again: what it held is lost, and a person must know.
func (p *pipeline) create(ctx context.Context) error {
	o := p.options
	stored, err := publisher.Load(ctx, o.Client, o.PositionTopic, o.Pipeline, o.Slot)
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return err
	}
	if stored != nil && stored.Rewind != nil {
		return rewindPending(stored)
	}
	if stored != nil {
		if err := p.anew(stored); err != nil {
			return err
		}
	}
	if err := p.lostSlot(ctx); err != nil {
		return err
	}
	p.now.state(statePreflight, "creating slot "+p.Config.Source.Slot)
	p.created, err = decoder.CreateSlot(ctx, decoder.CreateOptions{
		Connect: p.connect, Name: p.Config.Source.Slot,
		Failover: p.Config.Source.SlotFailover, Progress: p.waiting,
	})
	if err != nil {
		return err
	}
	p.Log.Info("slot created", "slot", p.created.Name, "lsn", p.created.Point)
	if err := p.at(pointCreated); err != nil {
		closeConn(p.created.Conn)
		return err
	}
	p.keeper, err = snapshot.OpenKeeper(ctx, p.ordinary, p.created.Snapshot)
	if err != nil {
		closeConn(p.created.Conn)
		return err
	}
	if err := p.moveOn(ctx); err != nil {
		closeConn(p.created.Conn)
		return err
	}
	stream, err := decoder.Open(ctx, p.streamOptions(p.created.Conn))
	if err == nil {
		p.stream.Store(stream)
	}
	return err
}

// anew says whether the slot may be made anew although a position is stored: a repair was asked for, or the
// configuration says so. Debezium takes a mere snapshot then.
func (p *pipeline) anew(stored *publisher.Stored) error {
	switch {
	case stored.Repair != nil:
		p.Log.Info("the slot is made anew to repair the topics", "asked", stored.Repair.Asked)
	case p.Config.Snapshot.Mode == "when_needed":
	default:
		return slotGone(stored, p.system)
	}
	p.repair = stored.Repair != nil || !p.debezium()
	return nil
}

// waiting tells what the creation of a slot waits for.
func (p *pipeline) waiting(blockers []decoder.Blocker) {
	for _, b := range blockers {
		p.now.state(statePreflight, "creating the slot waits for "+b.String())
		p.Log.Info("slot creation waits for a transaction to end", "transaction", b.String())
	}
}

// take fences whoever wrote before and compares the stored position with the server. The slot is held by
// then, so only one instance can come here at a time.
func (p *pipeline) take(ctx context.Context) error {
	p.options.Start = p.start()
	p.options.Renew = p.created != nil // a position of the slot that is gone counts no more: create allowed it
	if err := p.stream.Load().Hold(ctx, p.takeOver); err != nil {
		return err
	}
	if err := p.at(pointHeld); err != nil {
		return err
	}
	if err := p.fence(ctx); err != nil {
		return err
	}
	if err := p.at(pointFenced); err != nil {
		return err
	}
	stored, found := p.pub.Load().Stored()
	if !found && p.takenOver() {
		p.stream.Load().SetResume(p.options.Start, p.options.Taken.LastCommit)
	}
	if !found {
		return nil
	}
	err := stored.Verify(serverOf(p.Config, p.identity(), p.slot, p.history))
	if err != nil && stored.Rewind == nil && (p.Config.Snapshot.Mode == "when_needed" || stored.Repair != nil) {
		// From the slot as it is: what a repair finds it with, or has made before a crash.
		p.Log.Warn("stored position of no use: all rows are published again", "err", err)
		p.repair = stored.Repair != nil || !p.debezium()
		p.pub.Swap(nil).Close()
		p.options.Renew = true
		return p.fence(ctx)
	}
	if err != nil {
		return err
	}
	p.Log.Info("position read", "lsn", stored.Resume, "window", stored.Window, "written", stored.Written)
	p.stream.Load().SetResume(stored.Resume, stored.LastCommit)
	return nil
}

// serverOf is what a stored position is compared with.
func serverOf(c Config, identity publisher.Identity, slot *decoder.Slot,
	history []decoder.Switch,
) publisher.Server {
	return publisher.Server{
		Identity: identity, Confirmed: slot.Confirmed, End: slot.ServerEnd, History: history,
		Publications: []string{c.Source.Publication}, Protocol: protocolName,
	}
}

// fence takes the producer id and reads the position, while the server is answered.
func (p *pipeline) fence(ctx context.Context) error {
	return p.stream.Load().Hold(ctx, func(ctx context.Context) error {
		pub, err := publisher.Open(ctx, p.options)
		if err == nil {
			p.pub.Store(pub)
		}
		return err
	})
}

// start is where the stream begins without a stored position.
func (p *pipeline) start() decoder.LSN {
	if p.created != nil {
		return p.created.Point
	}
	return p.slot.Confirmed
}

// flow moves changes until the end: the whole of the program's concurrency while it works.
func (p *pipeline) flow(life context.Context) error {
	out := make(chan *decoder.Batch, 1)
	p.endOut, p.published = closing(out), make(chan struct{})
	group, ctx := errgroup.WithContext(life)
	side, endSide := context.WithCancel(ctx) // what runs beside the data ends at once
	defer endSide()
	defer context.AfterFunc(p.stopped, endSide)()
	group.Go(func() error { defer p.endOut(); return p.whole(p.source(ctx, out)) })
	group.Go(func() error { defer close(p.published); return p.pub.Load().Run(ctx, out) })
	group.Go(func() error { return p.watch(side) })
	group.Go(func() error { return p.keepAnchor(side) })
	group.Go(func() error { return p.beat(side) })
	if err := group.Wait(); err != nil {
		return err
	}
	return p.giveBack(life)
}

// ended is the end of what is sent, as the stream tells it, and returns what says that all of it is
// published.
func (p *pipeline) ended() <-chan struct{} {
	p.endOut()
	return p.published
}

// errUnfinished ends what is left when the stream has been stopped and its patience is over.
var errUnfinished = &publisher.AgainError{
	Doing: "publish what was read before the stop",
	Err:   errors.New("not taken in time by Kafka or the schema registry"),
}

// whole is the outcome of a source that has ended: in order only if all that it sent is published.
func (p *pipeline) whole(err error) error {
	if err != nil {
		return err
	}
	select {
	case <-p.published:
		return nil
	default:
		return errUnfinished
	}
}

// source sends the first snapshot, if this run has made the slot, and then the stream with whatever other
// snapshots are due. The rows of a snapshot enter where the stream reaches its consistent point.
func (p *pipeline) source(ctx context.Context, out chan<- *decoder.Batch) error {
	defer p.stop() // the end of the source is the end of the watch
	planned, err := p.plan()
	if err != nil {
		return err
	}
	stored, found := p.pub.Load().Stored()
	same := found && bytes.Equal(stored.Snapshot, planned.Progress) &&
		bytes.Equal(stored.Covered, planned.Covered)
	if !same {
		if err := send(ctx, out, planned); err != nil {
			return err
		}
	}
	if p.created != nil {
		if err := p.firstSnapshot(ctx, out); err != nil {
			return err
		}
	}
	if p.Config.Snapshot.Mode == "initial_only" {
		p.stopWhenRead()
	}
	p.Board.Control(p.controls())
	defer p.Board.Control(nil)
	return p.follow(ctx, out)
}

// send hands a batch over.
func send(ctx context.Context, out chan<- *decoder.Batch, b *decoder.Batch) error {
	select {
	case out <- b:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closing returns a function that closes a channel of batches, the first time that it is called: the source
// does at its end, and the end of the stream does before that.
func closing(out chan<- *decoder.Batch) func() {
	var closed atomic.Bool
	return func() {
		if !closed.Swap(true) {
			close(out)
		}
	}
}

// wait pauses.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

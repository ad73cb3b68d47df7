package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
	"github.com/tributary-cdc/tributary/snapshot"
)

// watchInterval is how often the slot is looked at, for status and metrics.
const watchInterval = 5 * time.Second

// caughtUpSlack is how old the last moment at which there was nothing to read may be while there is nothing
// to read: the stream looks ten times a second, on a machine that has time for it.
const caughtUpSlack = time.Second

// gauges is what a pipeline knows of itself beyond what its parts tell. Safe for concurrent use.
type gauges struct {
	mu       sync.Mutex // guards what follows
	phase    string
	detail   string
	system   decoder.System
	version  int
	slot     *decoder.Slot
	spilled  *decoder.SlotStats
	offset   *time.Duration // of the server's clock
	seen     time.Time
	xminNow  int64
	point    decoder.LSN
	progress *snapshot.Report
	// job is the snapshot that progress is of, before how many rows its earlier parts have sent.
	job      string
	before   int64
	forecast forecast
	places   whereabouts
}

// state tells where the pipeline stands, with a sentence for people or none. It says whether the phase is
// another.
func (g *gauges) state(phase, detail string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	changed := g.phase != phase
	g.phase, g.detail = phase, detail
	return changed
}

func (g *gauges) server(system decoder.System, version int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.system, g.version = system, version
}

// snapshot keeps a snapshot's report.
func (g *gauges) snapshot(job string, point decoder.LSN, r snapshot.Report) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.job != job {
		g.job, g.before = job, 0
	}
	r.Rows += g.before
	if r.EstimatedRows >= 0 {
		r.EstimatedRows += g.before
	}
	g.point, g.progress = point, &r
}

// settle counts the rows of a part of a snapshot that has ended.
func (g *gauges) settle(rows int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before += rows
}

// observe keeps a look at the slot, and returns what is foretold of it.
func (g *gauges) observe(slot *decoder.Slot, xmin, limit int64, h decoder.Holder) *statusForecast {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slot, g.seen, g.xminNow = slot, time.Now(), xmin
	g.forecast.observe(g.seen, slot, limit, h)
	if slot != nil {
		g.places.add(g.seen, slot.ServerEnd, slot.Confirmed)
	}
	return g.forecast.status()
}

// aside keeps the server's clock and statistics: what a look could not learn stays as it was.
func (g *gauges) aside(offset *time.Duration, spilled *decoder.SlotStats) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if offset != nil {
		g.offset = offset
	}
	if spilled != nil {
		g.spilled = spilled
	}
}

// xmin is what source.xmin tells, 0 for nothing.
func (g *gauges) xmin() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.xminNow
}

// watch looks at the slot while the pipeline works. What it sees is for people: a look that fails is
// told in the status and tried again, since the stream itself notices whatever matters to the data.
func (p *pipeline) watch(ctx context.Context) error {
	interval := watchInterval
	if x := p.Config.Source.XminInterval; x > 0 {
		interval = min(interval, x)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var conn *pgconn.PgConn
	defer func() { closeConn(conn) }()
	for {
		p.again()
		if conn == nil || conn.IsClosed() {
			// Nothing to report: without a look the status says how old the last one is.
			conn, _ = p.ordinary(ctx)
		}
		if conn != nil {
			if err := p.look(ctx, conn); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// again tells, once, that Kafka refuses records for now: they wait, and nothing ends that a person would see.
func (p *pipeline) again() {
	told := ""
	if pub := p.pub.Load(); pub != nil {
		if err := pub.Status().Again; err != nil {
			told = err.Error()
			if told != p.refused {
				code, _, fix := explained(err)
				p.Log.Warn("records wait for Kafka, which takes none", "code", code, "err", err, "fix", fix)
				p.Metrics.failed(code, false)
				p.Board.chronicle.problem(time.Now().UTC(), code, told, fix)
			}
		}
	}
	p.refused = told
}

// look takes one look at the slot, and warns once when its limit comes near. The one error gives the slot up.
func (p *pipeline) look(ctx context.Context, conn *pgconn.PgConn) error {
	slot, err := decoder.InspectSlot(ctx, conn, p.Config.Source.Slot)
	if err != nil {
		return nil // told by whoever needs the answer
	}
	var holder decoder.Holder
	if slot != nil && slot.RetainedBytes >= ownBacklog {
		// Without an answer nobody is named, which the forecast does not need.
		holder, _ = decoder.FindHolder(ctx, conn, slot)
	}
	p.lookAside(ctx, conn)
	told := p.now.observe(slot, p.xmin(slot), int64(p.Config.Source.WALLimit), holder)
	text := told.sentence()
	if text != "" && !p.warned {
		p.Log.Warn("the slot's limit comes near", "forecast", text)
	}
	p.warned = text != ""
	return p.overLimit(slot, told)
}

// glimpse is what a standby sees of the slot, so that it too can tell how the slot is doing: the leader may
// be unable to. Like a look it is for people, and it decides nothing.
func (p *pipeline) glimpse(ctx context.Context, conn *pgconn.PgConn) {
	p.now.mu.Lock()
	recent := time.Since(p.now.seen) < watchInterval
	p.now.mu.Unlock()
	if recent {
		return
	}
	if slot, err := decoder.InspectSlot(ctx, conn, p.Config.Source.Slot); err == nil {
		p.lookAside(ctx, conn)
		p.now.observe(slot, p.xmin(slot), int64(p.Config.Source.WALLimit), decoder.Holder{})
	}
}

// lookAside learns what is for people only, and does without where there is no answer.
func (p *pipeline) lookAside(ctx context.Context, conn *pgconn.PgConn) {
	spilled, _ := decoder.InspectSlotStats(ctx, conn, p.Config.Source.Slot)
	var known *time.Duration
	if offset, err := decoder.ClockOffset(ctx, conn); err == nil {
		known = &offset
	}
	p.now.aside(known, spilled)
}

// beat runs heartbeat.query in the source with each heartbeat. It is there to write into a database in
// which nothing else does. An error that does not pass, as a deadlock does, is the configuration's and ends
// the pipeline.
func (p *pipeline) beat(ctx context.Context) error {
	beat := p.Config.Heartbeat
	if beat.Query == "" || beat.Interval <= 0 {
		return nil
	}
	ticker := time.NewTicker(beat.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		conn, err := p.ordinary(ctx)
		if err != nil {
			if ctx.Err() == nil && !decoder.Retryable(err) {
				return fmt.Errorf("connect for heartbeat.query: %w", err)
			}
			continue // the stream notices a source that is away, and deals with it
		}
		err = decoder.Execute(ctx, conn, "run heartbeat.query", beat.Query)
		lost := conn.IsClosed()
		closeConn(conn)
		if err != nil && ctx.Err() == nil && !lost && !decoder.Retryable(err) {
			return err
		}
	}
}

// xmin is the slot's catalog_xmin where the configuration asks for it.
func (p *pipeline) xmin(slot *decoder.Slot) int64 {
	if slot == nil || p.Config.Source.XminInterval <= 0 {
		return 0
	}
	return slot.CatalogXMin
}

// status is what the board shows. It may be called at any time of a run.
func (p *pipeline) status() status {
	s := p.Board.Base()
	p.now.mu.Lock()
	defer p.now.mu.Unlock()
	s.State, s.Detail = p.now.phase, p.now.detail
	if p.now.version > 0 {
		s.Source.ServerVersion = fmt.Sprintf("%d.%d", p.now.version/10000, p.now.version%10000)
	}
	if slot := p.now.slot; slot != nil {
		s.Source.WALStatus, s.Source.SlotActive = slot.Status, &slot.Active
		s.Position.Restart = slot.Restart.String()
		s.Position.Server = slot.ServerEnd.String()
		s.Lag.RetainedBytes = slot.RetainedBytes
		if slot.SafeBytes >= 0 {
			s.Lag.SafeBytes = &slot.SafeBytes
		}
	}
	if spilled := p.now.spilled; spilled != nil {
		s.Source.Spilled = &statusSpill{spilled.SpilledTransactions, spilled.SpilledBytes}
	}
	if offset := p.now.offset; offset != nil {
		seconds := offset.Seconds()
		s.Source.ClockOffsetSeconds = &seconds
	}
	s.Forecast = p.now.forecast.status()
	if told := s.Forecast.sentence(); told != "" {
		s.Warnings = append(s.Warnings, told)
	}
	if r := p.now.progress; r != nil {
		s.Snapshot = snapshotStatus(p.now.point, *r)
		s.Snapshot.ID = p.now.job
	}
	p.jobStatus(&s)
	s.Anchor = anchorStatus(p.anchor.Status())
	p.streamStatus(&s)
	p.publisherStatus(&s)
	p.now.timeStatus(&s)
	s.stuck = p.stuck()
	return s
}

// timeStatus tells positions as times. The caller holds the lock.
func (g *gauges) timeStatus(s *status) {
	now := time.Now()
	s.Position.Times = statusTimes{
		Restart:   g.places.whenText(now, s.Position.Restart),
		Confirmed: g.places.whenText(now, s.Position.Confirmed),
		Published: g.places.whenText(now, s.Position.Published),
		Received:  g.places.whenText(now, s.Position.Received),
		Server:    g.places.whenText(now, s.Position.Server),
	}
	s.Lag.ConfirmedPerSecond, s.Lag.CaughtUpIn = g.places.pace()
}

// stuckAfter is how long one of the program's own loops may take to come round. They do several times a
// second, on whatever they wait.
const stuckAfter = 30 * time.Second

// stuck says which loop does not come round, empty when all do. Neither Postgres nor Kafka nor the registry
// can make one stay away: what waits for them comes round, or says that it waits.
func (p *pipeline) stuck() string {
	if stream := p.stream.Load(); stream != nil {
		now := stream.Status()
		if away := time.Since(now.Turned); !now.Closed && !now.Turned.IsZero() && away > stuckAfter {
			return fmt.Sprintf("the reader of the slot has not come round for %s", away.Round(time.Second))
		}
	}
	if pub := p.pub.Load(); pub != nil {
		if away := pub.Status().Working; away > stuckAfter {
			return fmt.Sprintf("the encoder has not come round for %s", away.Round(time.Second))
		}
	}
	return ""
}

func snapshotStatus(point decoder.LSN, r snapshot.Report) *statusSnapshot {
	s := &statusSnapshot{
		Running: !r.Done, Point: point.String(), Table: r.Table, TablesDone: r.TablesDone,
		Tables: r.Tables, Rows: r.Rows, RowsPerSecond: r.RowsPerSecond, Elapsed: r.Elapsed.Seconds(),
		Open: []statusOpenTable{}, estimates: r.Estimates,
	}
	if r.EstimatedRows >= 0 {
		s.Estimate = &r.EstimatedRows
	}
	if r.Remaining >= 0 {
		seconds := r.Remaining.Seconds()
		s.ETASeconds = &seconds
	}
	for _, t := range r.Open {
		one := statusOpenTable{Table: t.Table, Rows: t.Rows, Chunks: t.Ranges, ChunksDone: t.RangesRead}
		if estimate := t.EstimatedRows; estimate >= 0 {
			one.Estimate = &estimate
		}
		s.Open = append(s.Open, one)
	}
	return s
}

// streamStatus fills in what the stream knows.
func (p *pipeline) streamStatus(s *status) {
	s.Source.SystemID, s.Source.Timeline = p.now.system.ID, int32(p.now.system.Timeline)
	stream := p.stream.Load()
	if stream == nil {
		return
	}
	now := stream.Status()
	s.Source.Connected, s.Source.Lane, s.Source.LaneReason = true, now.Lane, now.Refusal
	s.Source.CatchUps, s.Source.Reopened = now.CatchUps, now.Reopened
	s.Source.ReceivedBytes, s.Source.StalledSeconds = now.Bytes, now.Stalled.Seconds()
	if behind := time.Since(now.CaughtUp); !now.CaughtUp.IsZero() && behind > caughtUpSlack {
		s.Lag.Seconds = behind.Seconds()
	}
	s.Position.Confirmed, s.Position.Received = now.Confirmed.String(), now.Received.String()
	server := now.ServerEnd
	if p.now.slot != nil {
		server = max(server, p.now.slot.ServerEnd)
	}
	s.Position.Server = server.String()
	if server > now.Confirmed && now.Confirmed > 0 {
		s.Lag.ConfirmedBytes = int64(server - now.Confirmed)
	}
	switch {
	case s.Detail != "":
	case now.Notice != "":
		s.Detail = "the server warns: " + now.Notice
	case now.Stopping:
		s.Detail = "the server wants to shut down: finishing what it sent"
	case !now.Blocked.IsZero() && time.Since(now.Blocked) > 2*time.Second:
		s.Detail = fmt.Sprintf("Kafka has taken nothing for %s; Postgres keeps the WAL",
			time.Since(now.Blocked).Round(time.Second))
	case now.Transaction > 0 && time.Since(now.Since) > 2*time.Second:
		s.Detail = fmt.Sprintf("in a transaction of %d changes so far, for %s", now.Rows,
			time.Since(now.Since).Round(time.Second))
	}
}

// publisherStatus fills in what the publisher knows.
func (p *pipeline) publisherStatus(s *status) {
	pub := p.pub.Load()
	if pub == nil {
		return
	}
	now := pub.Status()
	s.Position.Published = pub.Confirmed().String()
	s.Kafka.Records, s.Kafka.Windows = int64(now.Records), int64(now.Windows)
	s.Kafka.LastWindowSeconds = now.Last.Took.Seconds()
	s.Kafka.OldestUnacked, s.Kafka.BufferedBytes = now.OldestUnacked.Seconds(), now.BufferedBytes
	s.Recent = recentStatus(now.Recent)
	if now.Err != nil {
		s.Kafka.LastError = now.Err.Error()
	}
	if now.Again != nil {
		s.Kafka.LastError = now.Again.Error()
		s.Detail = fmt.Sprintf("%s [%s]", now.Again, codeOf(now.Again))
	}
	s.Warnings = append(s.Warnings, now.Warnings...)
	s.Kafka.BufferLimit = now.LimitBytes
	s.Lag.Seconds = max(s.Lag.Seconds, now.OldestUnacked.Seconds())
	for _, t := range now.Tables {
		s.Tables = append(s.Tables, statusTable{
			Table: t.Name, Topic: t.Topic, Read: int64(t.Read),
			Created: int64(t.Create), Updated: int64(t.Update), Deleted: int64(t.Delete),
			Truncated: int64(t.Truncated), Tombstones: int64(t.Tombstones),
		})
	}
}

// recentStatus is the last minute.
func recentStatus(r publisher.RecentStatus) statusRecent {
	s := statusRecent{Windows: r.Windows, ChangesPerSecond: r.ChangesPerSecond, BytesPerSecond: r.BytesPerSecond}
	if r.Windows > 0 {
		p50, p99 := r.P50.Seconds(), r.P99.Seconds()
		s.P50, s.P99 = &p50, &p99
	}
	return s
}

// closeConn ends a connection whose work is done: an error would change nothing.
func closeConn(conn *pgconn.PgConn) {
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

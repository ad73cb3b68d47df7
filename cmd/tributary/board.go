package main

import (
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/tributary-cdc/tributary/cmd/tributary/page"
)

// statusVersion is the version of the status JSON: it grows when a field changes its meaning or goes.
const statusVersion = 1

// The states of a pipeline.
const (
	stateStarting  = "starting"
	statePreflight = "preflight"
	stateStandby   = "standby"
	stateSnapshot  = "snapshot"
	stateStreaming = "streaming"
	stateRetrying  = "retrying"
	stateFailed    = "failed"
)

// status is what the pipeline says of itself: the body of /api/v1/status, and what `status` prints. LSNs are
// text
// in Postgres's form, empty when unknown; times are UTC.
type status struct {
	Version  int           `json:"version"`
	Pipeline string        `json:"pipeline"`
	State    string        `json:"state"`
	Since    time.Time     `json:"since"`
	Time     time.Time     `json:"time"`
	Detail   string        `json:"detail,omitempty"` // one sentence: who holds the slot, what is waited for
	Error    *statusError  `json:"error,omitempty"`
	Program  statusProgram `json:"program"`
	Source   statusSource  `json:"source"`
	Position statusLSNs    `json:"position"`
	Lag      statusLag     `json:"lag"`
	Recent   statusRecent  `json:"last_minute"`
	Anchor   statusAnchor  `json:"anchor"`
	// Forecast is null until the slot was looked at.
	Forecast *statusForecast `json:"forecast"`
	// Snapshot is null when none was begun since the start.
	Snapshot *statusSnapshot `json:"snapshot"`
	// stuck says which of the program's own loops does not come round, empty when all do.
	stuck string
	// Snapshots are those under way and waiting, in order.
	Snapshots []statusJob    `json:"snapshots"`
	Kafka     statusKafka    `json:"kafka"`
	Registry  statusRegistry `json:"registry"`
	Tables    []statusTable  `json:"tables"`
	Warnings  []string       `json:"warnings"`
	// Problems are the errors since the start, SchemaChanges the tables' changes of definition; the latest of
	// each come first.
	Problems      []statusProblem `json:"problems"`
	SchemaChanges []statusChange  `json:"schema_changes"`
}

type statusError struct {
	Code        string `json:"code"` // of the catalogue
	Text        string `json:"text"`
	NeedsPerson bool   `json:"needs_person"`
	Fix         string `json:"fix"` // one thing to paste
	ExitCode    int    `json:"exit_code"`
	Retrying    bool   `json:"retrying"`
}

type statusProgram struct {
	Version  string    `json:"version"`
	Revision string    `json:"revision"`
	Go       string    `json:"go"`
	Host     string    `json:"host"`
	Started  time.Time `json:"started"`
}

type statusSource struct {
	Address       string `json:"address"` // host:port, never the whole URL
	Database      string `json:"database"`
	ServerVersion string `json:"server_version"`
	SystemID      string `json:"system_id"`
	Timeline      int32  `json:"timeline"`
	Slot          string `json:"slot"`
	Publication   string `json:"publication"`
	Connected     bool   `json:"connected"`
	WALStatus     string `json:"wal_status"`
	Lane          string `json:"lane,omitempty"` // live or catch-up
	// LaneReason is why the slot is read live although it is far behind.
	LaneReason string `json:"lane_reason,omitempty"`
	// How often the catch-up lane was taken since the start of this connection, and how often the replication
	// connection was opened anew for its sake.
	CatchUps uint64 `json:"catch_ups,omitempty"`
	Reopened uint64 `json:"reopened,omitempty"`
	// SlotActive says whether anybody reads the slot; null until it was looked at.
	SlotActive *bool `json:"slot_active"`
	// ReceivedBytes came since this connection's start; StalledSeconds it waited with them for Kafka.
	ReceivedBytes  uint64  `json:"received_bytes"`
	StalledSeconds float64 `json:"stalled_seconds"`
	// ClockOffsetSeconds is how far the server's clock is ahead of ours; null while unknown.
	ClockOffsetSeconds *float64 `json:"clock_offset_seconds"`
	// Spilled is null where the server does not tell: before Postgres 14.
	Spilled *statusSpill `json:"spilled"`
}

// statusSpill is what the server wrote to its own disk to decode transactions larger than its
// logical_decoding_work_mem.
type statusSpill struct {
	Transactions int64 `json:"transactions"`
	Bytes        int64 `json:"bytes"`
}

// statusAnchor is the second slot, from which the past can be published again.
type statusAnchor struct {
	Slot          string `json:"slot"`
	Confirmed     string `json:"confirmed"` // nothing older can be replayed; empty when there is no anchor
	KeepBytes     int64  `json:"keep_bytes"`
	RetainedBytes int64  `json:"retained_bytes"`
	// What moving it has cost since the start: how often, how much WAL the server read, for how long.
	Advances       int     `json:"advances"`
	ReadBytes      int64   `json:"read_bytes"`
	AdvanceSeconds float64 `json:"advance_seconds"`
	Problem        string  `json:"problem,omitempty"`
}

type statusLSNs struct {
	Restart   string `json:"restart"`
	Confirmed string `json:"confirmed"`
	Published string `json:"published"`
	Received  string `json:"received"`
	Server    string `json:"server"`
	// Times are by when the server had written as much.
	Times statusTimes `json:"times"`
}

// statusTimes are null where that was before this process looked.
type statusTimes struct {
	Restart   *time.Time `json:"restart"`
	Confirmed *time.Time `json:"confirmed"`
	Published *time.Time `json:"published"`
	Received  *time.Time `json:"received"`
	Server    *time.Time `json:"server"`
}

// statusRecent is what was published in the last minute. The latencies are from the commit of a window's
// oldest change until Kafka had the window; null when no window of the stream was published.
type statusRecent struct {
	Windows          int      `json:"windows"`
	P50              *float64 `json:"latency_p50_seconds"`
	P99              *float64 `json:"latency_p99_seconds"`
	ChangesPerSecond float64  `json:"changes_per_second"`
	BytesPerSecond   float64  `json:"bytes_per_second"`
}

type statusLag struct {
	ConfirmedBytes int64   `json:"confirmed_bytes"` // server minus confirmed
	RetainedBytes  int64   `json:"retained_bytes"`  // server minus restart
	SafeBytes      *int64  `json:"safe_bytes"`      // null when the server keeps WAL without limit
	Seconds        float64 `json:"seconds"`         // age of the oldest change that is not confirmed
	// ConfirmedPerSecond is how fast what is confirmed grows, in bytes, as a mean of the last minute; CaughtUpIn
	// how many seconds the rest takes at that, null when it does not become less.
	ConfirmedPerSecond float64  `json:"confirmed_bytes_per_second"`
	CaughtUpIn         *float64 `json:"caught_up_in_seconds"`
}

type statusSnapshot struct {
	ID            string   `json:"id"`
	Running       bool     `json:"running"`
	Point         string   `json:"point"`
	Table         string   `json:"table"` // that the last rows came from
	TablesDone    int      `json:"tables_done"`
	Tables        int      `json:"tables"`
	Rows          int64    `json:"rows"`
	Estimate      *int64   `json:"estimate"` // null when a table was never analysed
	RowsPerSecond float64  `json:"rows_per_second"`
	ETASeconds    *float64 `json:"eta_seconds"` // null when unknown
	Elapsed       float64  `json:"elapsed_seconds"`
	// Open are the tables that are begun and not finished, at most 16.
	Open []statusOpenTable `json:"open"`
	// estimates are the rows of each table, where they are known; for the metrics, since they may be many.
	estimates map[string]int64
}

// statusOpenTable is how far a snapshot is with a table.
type statusOpenTable struct {
	Table      string `json:"table"`
	Rows       int64  `json:"rows"`
	Estimate   *int64 `json:"estimate"` // null when the table was never analysed
	Chunks     int    `json:"chunks"`
	ChunksDone int    `json:"chunks_done"`
}

type statusJob struct {
	ID     string    `json:"id"`
	Kind   string    `json:"kind"`   // initial, added, requested or signal
	State  string    `json:"state"`  // running, waiting or paused
	Tables []string  `json:"tables"` // patterns; none is all captured tables
	Asked  time.Time `json:"asked"`
}

type statusKafka struct {
	Delivery          string  `json:"delivery"`
	Records           int64   `json:"records"`
	Windows           int64   `json:"windows"`
	LastWindowSeconds float64 `json:"last_window_seconds"`
	OldestUnacked     float64 `json:"oldest_unacked_seconds"`
	BufferLimit       int64   `json:"buffer_limit_bytes"` // from which on what comes next waits
	BufferedBytes     int64   `json:"buffered_bytes"`
	LastError         string  `json:"last_error,omitempty"`
}

type statusRegistry struct {
	Waiting int        `json:"waiting"` // schemas that wait for an id
	Since   *time.Time `json:"since"`   // since when it does not answer; null when it does
}

type statusTable struct {
	Table      string `json:"table"`
	Topic      string `json:"topic"`
	Read       int64  `json:"read"`
	Created    int64  `json:"created"`
	Updated    int64  `json:"updated"`
	Deleted    int64  `json:"deleted"`
	Truncated  int64  `json:"truncated"`
	Tombstones int64  `json:"tombstones"`
	// What follows is known once the stream has described the table.
	Key         []string   `json:"key,omitempty"`
	Identity    string     `json:"identity,omitempty"` // default, nothing, full or index
	KeySchema   int        `json:"key_schema,omitempty"`
	ValueSchema int        `json:"value_schema,omitempty"`
	LastSeen    *time.Time `json:"last_seen,omitempty"` // when a change was seen to be published last
	// PerSecond is how many changes were published a second, as a mean of the last seconds.
	PerSecond float64 `json:"changes_per_second"`
}

// board holds how the status is asked for. Safe for concurrent use.
type board struct {
	base      status
	token     SecretSource
	settings  []page.Setting // for the page
	access    *awsAccess
	level     slog.LevelVar // of the log
	chronicle chronicle

	mu     sync.Mutex // guards what follows
	feed   func() status
	failed *statusError
	// control is nil while there is nobody to ask.
	control *control
	since   time.Time
	state   string
	// tried says that a first connection has ended, one way or the other.
	tried bool
}

// newBoard makes a board that says "starting".
func newBoard(c Config) *board {
	now := time.Now().UTC()
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // a label for people, nothing depends on it
	}
	build := readBuild()
	return &board{
		state: stateStarting, since: now, token: c.HTTP.TokenFrom, access: c.access(),
		settings: settingsOf(c), base: status{
			Version: statusVersion, Pipeline: c.Pipeline, State: stateStarting,
			Program: statusProgram{build.Version, build.Revision, build.Go, host, now},
			Source: statusSource{
				Address: sourceAddress(c.Source.URL), Database: sourceDatabase(c.Source.URL),
				Slot: c.Source.Slot, Publication: c.Source.Publication,
			},
			Kafka: statusKafka{Delivery: c.Delivery}, Snapshots: []statusJob{}, Tables: []statusTable{},
			Warnings: []string{},
		},
	}
}

// Feed tells the board whom to ask. The function starts from Base, and is called at any time from any
// goroutine
// until the next Feed. It also ends what Fail said.
func (b *board) Feed(feed func() status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.feed, b.failed = feed, nil
}

// Base is a status with what is known before anything runs: the feed fills in the rest.
func (b *board) Base() status {
	s := b.base
	s.Time = time.Now().UTC()
	return s
}

// Fail shows an error until the next Feed.
func (b *board) Fail(err error, retrying bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	exit := exitCode(err)
	code, text, fix := explained(err)
	b.chronicle.problem(time.Now().UTC(), code, text, fix)
	b.failed = &statusError{
		Code: code, Text: text, Fix: fix, NeedsPerson: exit == exitPerson, ExitCode: exit, Retrying: retrying,
	}
}

// Status asks for the present status.
func (b *board) Status() status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.Base()
	if b.feed != nil {
		s = b.feed()
	}
	if b.failed != nil {
		// What the pipeline that has ended knew last is no news.
		s.State, s.Error, s.Source.Connected, s.Source.SlotActive, s.stuck = stateFailed, b.failed, false, nil, ""
		if b.failed.Retrying {
			s.State = stateRetrying
		}
	}
	if s.State != b.state {
		b.state, b.since = s.State, s.Time
	}
	s.Since = b.since
	b.tried = b.tried || s.Error != nil || s.Source.ServerVersion != "" || ready(s)
	b.chronicle.fill(&s)
	return s
}

// Tried says whether a first connection to the source has been made, or has failed: the program has started.
// It stays so.
func (b *board) Tried() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tried
}

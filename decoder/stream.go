package decoder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	defaultMaxRowBytes = 16 << 20
	defaultStopTimeout = 10 * time.Second
	// unlimitedInterval is the time between statuses when the server has no wal_sender_timeout.
	unlimitedInterval = 10 * time.Second
	// wake bounds every wait of the goroutine that owns the connection, so that a stop, a cancellation and
	// a moved Confirmed are seen without a second goroutine.
	wake = 100 * time.Millisecond
	// noticeFresh is how long a notice is part of the status: what goes on is repeated sooner.
	noticeFresh = 5 * time.Second
	// startTimeout bounds the server's answer to START_REPLICATION.
	startTimeout = time.Minute
)

// StreamOptions say what to stream and how.
type StreamOptions struct {
	// Connect reaches the database; Replication is implied.
	Connect ConnectOptions
	// Conn, when set, is used instead of a new connection: the replication connection that created the
	// slot, which so is held from its creation on. The Stream owns it from the call of Open on, also when
	// Open fails.
	Conn *pgconn.PgConn
	// Slot is the slot's name, Publications the publications' names as Postgres stores them. Required.
	Slot         string
	Publications []string
	// Start is the position to start at; 0 is where the slot stands. The server silently raises it to the
	// slot's confirmed position: compare before.
	Start LSN
	// Confirmed returns up to where everything is durable. It must not go back and must be safe for use
	// from another goroutine. 0, or no function, is nothing yet.
	Confirmed func() LSN
	// Decoder has Describe, which is required.
	Decoder DecoderOptions
	// Pool makes the batches; nil means one of the defaults.
	Pool *Pool
	// MaxRowBytes bounds one message, the old and the new row together; 0 means 16 MiB. A larger one is a
	// *RowTooLargeError.
	MaxRowBytes int
	// CatchUp says when the slot is read through SQL.
	CatchUp CatchUpOptions
	// Observe, when set, is shown every change once it is decoded and before its batch leaves, by the
	// goroutine that calls Follow, Until and Run. It may set the batch's Progress and change nothing else;
	// what it is given is valid until it returns.
	Observe func(*Batch, *Change)
	// Stop, when closed, has Run end in order: see Run.
	Stop <-chan struct{}
	// Ended, when set, is called when Stop has ended the reading: nothing more is delivered. The channel
	// that it returns closes when the receiver is done with what it has. Without it that is once Confirmed
	// says so.
	Ended func() <-chan struct{}
	// StopTimeout bounds how long Run then waits for the receiver; 0 means 10 s.
	StopTimeout time.Duration
	// Logger gets the life story; nil is silence.
	Logger *slog.Logger
	// Failpoint, if set, is told the name of each step of a message's way when it is done: received, decoded,
	// delivered, status; crossed and parted on the way into the catch-up lane and out of it. A test ends the
	// process in it; a release has none.
	Failpoint func(name string)
}

// The steps of a message's way through the stream, in order.
const (
	pointReceived  = "received"  // bytes came from the socket
	pointDecoded   = "decoded"   // a message is in the batch
	pointDelivered = "delivered" // a batch is with its receiver
	pointStatus    = "status"    // the server was told what is confirmed
	pointCrossed   = "crossed"   // the other lane is read from here on
	pointParted    = "parted"    // the main connection is closed, the next not yet open
)

func (o StreamOptions) withDefaults() StreamOptions {
	if o.MaxRowBytes <= 0 {
		o.MaxRowBytes = defaultMaxRowBytes
	}
	if o.StopTimeout <= 0 {
		o.StopTimeout = defaultStopTimeout
	}
	if o.Confirmed == nil {
		o.Confirmed = func() LSN { return 0 }
	}
	if o.Pool == nil {
		o.Pool = NewPool(PoolOptions{})
	}
	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}
	if o.CatchUp.Reopen <= 0 {
		o.CatchUp.Reopen = defaultReopenBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Connect.Replication = true
	return o
}

// StreamStatus is what a Stream knows of itself at one moment.
type StreamStatus struct {
	Slot string
	// Lane is how the slot is read: live or catch-up. Refusal is why the stream stays live although it was
	// far behind when that was last looked at.
	Lane    string
	Refusal string
	// CatchUps counts how often the catch-up lane was taken, Reopened how often the main connection was
	// opened anew for its sake.
	CatchUps, Reopened uint64
	// PID is the walsender's process id.
	PID uint32
	// Received is the highest position that was received, ServerEnd how far the server had decoded when it
	// last said so, Confirmed what the server was last told.
	Received, ServerEnd, Confirmed LSN
	// Timeout is the server's wal_sender_timeout; 0 is none.
	Timeout time.Duration
	// Turned is when the owner of the connection last came round, which it does several times a second
	// whatever it waits for.
	Turned time.Time
	// Bytes is how many have come since Open.
	Bytes uint64
	// LastReceived is when bytes last came, LastAnswered when the server last showed that it is there: it
	// sent something, or (Linux) its kernel acknowledged a status. Both have a monotonic reading.
	LastReceived, LastAnswered time.Time
	// Transaction is the start of the commit record of the transaction that is being received, 0 for none;
	// Rows how many of its changes have come and Since when its first came.
	Transaction LSN
	Rows        uint64
	Since       time.Time
	// Blocked is since when the channel has not taken a batch, zero when it does, Stalled how long that was in
	// all since Open; Holding that Hold runs.
	Blocked time.Time
	Stalled time.Duration
	Holding bool
	// CaughtUp is when there was nothing left to read, or when the transaction that came last was committed
	// if that is later: how long ago that is tells how far behind the stream is.
	CaughtUp time.Time
	// Notice is what the server warned of within the last seconds, "" for nothing.
	Notice string
	// Stopping says that the server asks for replies in the way of one that wants to shut down.
	Stopping bool
	// Closed says that the session has ended: the slot may be another's. Reopening says that it has ended and
	// that the next one is on its way: nothing was unconfirmed when it ended.
	Closed    bool
	Reopening bool
	// Expired says that the server had been silent for its wal_sender_timeout at some time: it may have
	// given the slot to another, whatever was read since, which may have waited in the socket.
	Expired bool
}

// Stream reads one slot through the replication protocol. The goroutine that calls Until, Hold and Run owns
// the connection: one call at a time. Status may be called from any goroutine.
type Stream struct {
	o       StreamOptions
	decoder *Decoder
	wire    *wire
	pacer   pacer
	timeout time.Duration // the server's wal_sender_timeout
	pid     uint32
	// oversleeps says that the server's version may miss a commit: see nudgeInterval.
	oversleeps bool

	// What follows belongs to the goroutine that calls Until, Hold and Run.

	batch       *Batch    // being filled; never nil
	batchSince  time.Time // when its first message was decoded
	lastConfirm LSN       // highest Confirm delivered
	urged       LSN       // highest Confirm delivered as urgent
	received    LSN
	serverEnd   LSN
	bytes       uint64
	stalled     time.Duration // in which the channel did not take a batch
	idleEnd     LSN           // WAL end of the last keepalive outside of a transaction: all before it has come
	transaction time.Time     // when the open transaction's first message came
	blocked     time.Time     // since when the channel has not taken the batch
	answered    time.Time
	expired     bool
	held        time.Time // since when Hold runs
	probe       *probe    // nil when none runs
	probed      time.Time // when the last one began
	caughtUp    time.Time // when there was nothing to read
	committed   int64     // the commit time of the last BEGIN, microseconds since 1970
	closed      bool
	crossing
	out []byte // reused for statuses
	// noticed is the last notice, noticedAt when it came, noticeLogged when it was logged.
	noticed                 string
	noticedAt, noticeLogged time.Time

	mu     sync.Mutex // guards status
	status StreamStatus
}

// Open starts the slot's stream, which holds the slot from then on, and reads nothing yet. Nobody answers
// the server between Open, Until, Hold and Run: the pauses must be short against its wal_sender_timeout. A
// slot in use is a *SlotBusyError, one that can no longer be read a *SlotLostError, an unknown one a
// *SlotMissingError.
func Open(ctx context.Context, o StreamOptions) (*Stream, error) {
	o = o.withDefaults()
	conn := o.Conn
	if err := validateStream(o); err != nil {
		closeQuietly(conn)
		return nil, err
	}
	if conn == nil {
		var err error
		if conn, err = Connect(ctx, o.Connect); err != nil {
			return nil, err
		}
	}
	s, err := start(ctx, o, conn)
	if err != nil {
		closeQuietly(conn)
		return nil, explainStart(ctx, o, err)
	}
	o.Logger.Info("slot held", "slot", o.Slot, "lsn", o.Start, "pid", s.pid, "status_interval", s.pacer.interval)
	return s, nil
}

func validateStream(o StreamOptions) error {
	if err := ValidateSlotName(o.Slot); err != nil {
		return err
	}
	if len(o.Publications) == 0 {
		return fmt.Errorf("stream slot %s: no publication named", o.Slot)
	}
	if o.Decoder.Describe == nil {
		return fmt.Errorf("stream slot %s: no Describe given", o.Slot)
	}
	return nil
}

// start takes the connection from pgconn while it is idle, so that nothing can be in pgconn's buffer, and
// speaks the protocol from START_REPLICATION on by itself.
func start(ctx context.Context, o StreamOptions, conn *pgconn.PgConn) (*Stream, error) {
	version := ServerVersion(conn)
	timeout, err := senderTimeout(ctx, conn)
	if err != nil {
		return nil, err
	}
	// Were START_REPLICATION sent by pgconn, the first messages could be in its buffer when the socket is
	// taken.
	if err := conn.SyncConn(ctx); err != nil {
		return nil, fault("take over the replication connection", err)
	}
	bottom := socketOf(conn)
	taken, err := conn.Hijack()
	if err != nil {
		return nil, fault("take over the replication connection", err)
	}
	now := time.Now()
	s := &Stream{
		o: o, decoder: NewDecoder(o.Decoder), wire: newWire(taken.Conn, bottom, o.MaxRowBytes),
		timeout: timeout, pid: taken.PID, batch: o.Pool.Get(), answered: now,
		pacer: pacer{interval: statusInterval(timeout), last: now}, oversleeps: version >= nudgeVersion,
	}
	if err := s.command(ctx, startCommand(o, version)); err != nil {
		_ = s.hangUp() // err says more
		return nil, err
	}
	s.publish(now)
	return s, nil
}

// statusInterval is a third of the server's patience: it sends a reminder at half and ends the session at
// all of it.
func statusInterval(timeout time.Duration) time.Duration {
	if timeout <= 0 {
		return unlimitedInterval
	}
	return min(timeout/3, unlimitedInterval)
}

// senderTimeout asks for wal_sender_timeout in milliseconds.
func senderTimeout(ctx context.Context, conn *pgconn.PgConn) (time.Duration, error) {
	rows, err := simpleQuery(ctx, conn,
		"SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'")
	if err != nil {
		return 0, fault("read wal_sender_timeout", err)
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return 0, fmt.Errorf("read wal_sender_timeout: want 1 row, got %d", len(rows))
	}
	milliseconds, err := strconv.Atoi(rows[0][0])
	if err != nil {
		return 0, fmt.Errorf("read wal_sender_timeout: %w", err)
	}
	return time.Duration(milliseconds) * time.Millisecond, nil
}

// startCommand builds START_REPLICATION. The server parses publication_names as a list of SQL identifiers,
// so each name is quoted, and the list once more as a string.
func startCommand(o StreamOptions, version int) string {
	names := make([]string, len(o.Publications))
	for i, name := range o.Publications {
		names[i] = quoteIdentifier(name)
	}
	command := "START_REPLICATION SLOT " + quoteIdentifier(o.Slot) + " LOGICAL " + o.Start.String() +
		" (proto_version '1', publication_names " + quoteLiteral(strings.Join(names, ","))
	if version >= 140000 {
		command += ", messages 'true'"
	}
	return command + ")"
}

// command sends START_REPLICATION and waits until the server has begun to copy.
func (s *Stream) command(ctx context.Context, text string) error {
	doing := "start replication of slot " + s.o.Slot
	query, err := (&pgproto3.Query{String: text}).Encode(nil)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if err := s.wire.send(query); err != nil {
		return &ConnectionLostError{Doing: doing, Cause: err}
	}
	for deadline := time.Now().Add(startTimeout); ; {
		kind, body, size, err := s.wire.peek()
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		if size == 0 {
			if err := s.await(ctx, deadline); err != nil {
				return fault(doing, err)
			}
			continue
		}
		s.wire.skip(size)
		switch kind {
		case 'W':
			return nil
		case 'E':
			return refusal(doing, body)
		case 'N':
			if err := s.notice(body); err != nil {
				return err
			}
		case 'S':
		default:
			return fmt.Errorf("%s: unexpected message %q in answer", doing, kind)
		}
	}
}

// await reads once, in pieces short enough to see ctx end.
func (s *Stream) await(ctx context.Context, deadline time.Time) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now := time.Now()
	if now.After(deadline) {
		return &ConnectionLostError{Doing: "wait for the server", Cause: errors.New("no answer")}
	}
	_, err := s.wire.fill(now.Add(wake))
	return err
}

// refusal types an ErrorResponse.
func refusal(doing string, body []byte) error {
	var m pgproto3.ErrorResponse
	if err := m.Decode(body); err != nil {
		return fmt.Errorf("%s: read the server's refusal: %w", doing, err)
	}
	return serverFault(doing, pgconn.ErrorResponseToPgError(&m))
}

// SetResume has transactions dropped whose commit record starts below resume, as if the slot had stood there.
// lastCommit is where the last one before it ended, 0 when that is not known.
func (s *Stream) SetResume(resume, lastCommit LSN) { s.decoder.SetResume(resume, lastCommit) }

// Status returns what the stream knows of itself; it never waits for the connection.
func (s *Stream) Status() StreamStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// heard notes when the server showed that it is there. Once it has been silent for its timeout nothing
// mends that: a process that was stopped meanwhile finds bytes in its socket, and they are old.
func (s *Stream) heard(at time.Time) {
	if !at.After(s.answered) {
		return
	}
	if s.timeout > 0 && at.Sub(s.answered) >= s.timeout {
		s.expired = true
	}
	s.answered = at
}

// publish makes what the owner knows visible to Status.
func (s *Stream) publish(now time.Time) {
	s.heard(s.wire.lastRead)
	status := StreamStatus{
		Slot: s.o.Slot, PID: s.pid, Received: s.received,
		ServerEnd: s.serverEnd, Confirmed: s.pacer.flush, Timeout: s.timeout, LastReceived: s.source().lastRead,
		Turned: now, Bytes: s.bytes, LastAnswered: s.answered, Blocked: s.blocked, Stalled: s.stalled,
		Holding: !s.held.IsZero(), Stopping: s.pacer.storm(now),
		Closed: s.closed, Expired: s.expired,
	}
	s.tell(&status)
	if now.Sub(s.noticedAt) < noticeFresh {
		status.Notice = s.noticed
	}
	status.CaughtUp = s.caughtUp
	// The server's clock may be ahead of ours, and no transaction commits in the future.
	if at := time.UnixMicro(s.committed); at.After(s.caughtUp) && at.Before(now) {
		status.CaughtUp = at
	}
	if s.decoder.InTransaction() {
		status.Transaction, status.Rows, status.Since = s.decoder.Commit(), s.decoder.Ordinal(), s.transaction
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// Close ends the session without waiting for anything to be confirmed; after Run it does nothing.
func (s *Stream) Close() error {
	if s.closed {
		return nil
	}
	s.batch.Release()
	s.batch = s.o.Pool.Get()
	return s.hangUp()
}

// hangUp tells the server and closes the socket.
func (s *Stream) hangUp() error {
	s.closed = true
	s.endLook()
	s.endCatchUp()
	if s.away {
		return nil
	}
	// The server learns of a closed socket too, only later; so a failed farewell changes nothing.
	farewell := s.wire.send([]byte{'X', 0, 0, 0, 4})
	if err := s.wire.conn.Close(); err != nil && farewell == nil {
		return fmt.Errorf("close the stream of slot %s: %w", s.o.Slot, err)
	}
	return nil
}

// closeQuietly ends a connection on a path that has a better error to return.
func closeQuietly(conn *pgconn.PgConn) {
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := conn.Close(ctx); err != nil {
		return
	}
}

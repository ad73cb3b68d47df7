package decoder

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// defaultReopenBytes is CatchUpOptions.Reopen by default.
	defaultReopenBytes = 4 << 30
	// A round reads at least leastRound of WAL: below it what each call costs by itself shows. It reads at most
	// mostRound, so that its result stays within what a server's temporary files should hold. In between it
	// reads as much as it has to decode again.
	leastRound = 64 << 20
	mostRound  = 1 << 30
	// mostAgain is how much WAL a round may have to decode again. Behind a transaction that is open for longer
	// the replication protocol, which decodes everything once, is as fast.
	mostAgain = 2 << 30
	// roundMemory is work_mem of the session: the result of the smallest round in it, and no more, stays out of
	// temporary files.
	roundMemory = "128MB"
	// A look at how far the stream is behind is taken when it has not been at its end for lookAfter, once in
	// lookInterval, and after refusalPause when the server has refused. A server that collects a large
	// transaction is silent, which looks like the end: a stream that has moved looks in lookAnyway in any case.
	lookAfter    = 2 * time.Second
	lookInterval = 5 * time.Second
	lookAnyway   = 30 * time.Second
	refusalPause = 5 * time.Minute
	// stallPatience is how long a call stays open that nobody can read on, as Kafka takes nothing. While it is
	// open it holds the server's xmin, and vacuum cannot remove what has been deleted since.
	stallPatience = time.Minute
	// lookTimeout bounds it: the copy of a slot takes milliseconds.
	lookTimeout = 30 * time.Second
	// catchUpSuffix ends the name of the copy.
	catchUpSuffix = "_catchup"
)

// CatchUpOptions say when a slot is read through SQL.
type CatchUpOptions struct {
	// Bytes is how much WAL the stream must be behind; 0 or less is never.
	Bytes int64
	// Reopen is after how much WAL the main connection is opened anew, so that the server lets go of what it
	// keeps for it; 0 means 4 GiB.
	Reopen int64
	// Stay has the stream read through SQL to its end. It is for a temporary slot, which goes with the
	// connection that would be opened anew.
	Stay bool

	// For tests: interval is lookInterval, and lookAfter and lookAnyway too then; stall is stallPatience and
	// standbyPatience, least is leastRound, most mostAgain. With wait the stream waits for what its first look
	// finds.
	interval, stall time.Duration
	least, most     int64
	wait            bool
}

// tooMuch says that a round would have to decode too much again.
func (o CatchUpOptions) tooMuch(again int64) bool {
	if o.most > 0 {
		return again > o.most
	}
	return again > mostAgain
}

// round is the least that a round reads.
func (o CatchUpOptions) round() int64 {
	if o.least > 0 {
		return o.least
	}
	return leastRound
}

// patience is how long a call stays open that nobody reads on, and how long the standbys may hold one up.
func (o CatchUpOptions) patience() (stall, standbys time.Duration) {
	if o.stall > 0 {
		return o.stall, o.stall
	}
	return stallPatience, standbyPatience
}

// pace is how often a look is taken: of a stream that has not been at its end for after, or that has moved,
// whether it seemed to be at its end or not.
func (o CatchUpOptions) pace() (interval, after, anyway time.Duration) {
	if o.interval > 0 {
		return o.interval, o.interval, o.interval
	}
	return lookInterval, lookAfter, lookAnyway
}

// catchUp is the catch-up lane while it is in use. It belongs to the goroutine that owns the Stream.
type catchUp struct {
	wire *wire
	conn *pgconn.PgConn // the same connection, for what is not reading; nil in tests
	// main is the decoder of the main connection, which was opened at opened. What that has sent since is
	// dropped when it is read again.
	main     *Decoder
	opened   LSN
	stood    LSN  // where the slot stood when it was copied
	renewed  LSN  // how far it had come when it was opened, or this lane was taken
	reopened bool // for the way back
	// What the last round that was read to its end has told: up to where the slot's changes have come, where
	// the next round begins to decode, and where the server's WAL ends.
	position, restart, end LSN
	rounds                 int       // called and not yet read to their end
	turned                 bool      // one was read to its end, and what follows is to be decided
	landing                bool      // the rest is so small that the way back has begun
	again                  time.Time // when the next round is called; a caught-up lane pauses
	asked                  time.Time // when the main connection was last asked how far it is
	asks                   int       // how often it was asked since it was opened anew
	refused                error     // what the server said instead of a round
	call                   []byte    // the messages of one round
	failover               bool      // the slot is copied to standbys, ahead of which it must not be read
	held                   time.Time // since when those hold the next round up
	gone                   bool      // the session was given up: the way back begins when something is taken
}

// crossing is what a Stream knows of its lanes.
type crossing struct {
	catch     *catchUp  // nil in the live lane
	look      *look     // nil when none is taken
	looked    time.Time // when the next one is due
	lookedAt  LSN       // how far the stream had come at the last one
	refusal   error     // why the catch-up lane was not taken
	reopening bool      // the main connection is being opened anew
	away      bool      // and there is none
	lastData  LSN       // highest Confirm delivered behind changes
	catchUps  uint64
	reopened  uint64
}

// tell fills in the lane.
func (c *crossing) tell(status *StreamStatus) {
	status.Lane, status.Reopening = "live", c.reopening
	status.CatchUps, status.Reopened = c.catchUps, c.reopened
	if c.catch != nil {
		status.Lane = "catch-up"
	} else if c.refusal != nil {
		status.Refusal = c.refusal.Error()
	}
}

// look is a look at how far the stream is behind, taken beside it. Where that is far enough the answer has
// the copy of the slot, ready to be read.
type look struct {
	cancel context.CancelFunc
	answer chan looked
}

// looked is the answer. Without conn and reason the stream is not far behind.
type looked struct {
	conn   *pgconn.PgConn // owns the copy
	slot   *Slot          // the copied slot
	behind int64
	reason error // why the lane cannot be used although the stream is far behind
}

// consider looks from time to time whether the catch-up lane is to be taken, and takes it between two
// transactions. It never waits, but for tests.
func (s *Stream) consider(to Limit, now time.Time) error {
	o := s.o.CatchUp
	if !s.mayCross(to.LSN) {
		return nil
	}
	if s.look == nil {
		if !s.lookDue(now) {
			return nil
		}
		first := s.looked.IsZero()
		interval, _, _ := o.pace()
		s.looked, s.lookedAt = now.Add(interval), s.lastData
		s.startLook(s.reached())
		if !o.wait || !first {
			return nil
		}
		found := <-s.look.answer
		s.look.answer <- found
	}
	if s.decoder.InTransaction() {
		return nil // the copy waits for its end
	}
	select {
	case found := <-s.look.answer:
		s.look.cancel()
		s.look = nil
		if found.reason != nil {
			s.refuse(found.reason, now)
		}
		if found.conn == nil {
			return nil
		}
		if err := s.takeLane(found); err != nil {
			closeQuietly(found.conn)
			return err
		}
	default:
	}
	return nil
}

// lookDue says whether it is time for a look.
func (s *Stream) lookDue(now time.Time) bool {
	interval, after, anyway := s.o.CatchUp.pace()
	switch {
	case s.looked.IsZero():
		return true
	case now.Before(s.looked):
		return false
	case now.Sub(s.caughtUp) >= after:
		return true
	}
	return s.lastData > s.lookedAt && now.Sub(s.looked) >= anyway-interval
}

// crossingDue says that a look has its answer and the stream stands between two transactions, where the lane
// can be taken: under a load of large transactions what has been received seldom ends there.
func (s *Stream) crossingDue(until LSN) bool {
	return s.look != nil && len(s.look.answer) > 0 && !s.decoder.InTransaction() && s.mayCross(until)
}

// mayCross says that the lane may be taken: not by a stream that will be held at a point, where a call would
// stay open.
func (s *Stream) mayCross(until LSN) bool {
	o := s.o.CatchUp
	return o.Bytes > 0 && s.o.Connect.URL != "" && (until == 0 || o.Stay)
}

// hasMore says that a message is complete in the buffer of the connection that is read.
func (s *Stream) hasMore() bool {
	_, _, size, err := s.source().peek()
	return size > 0 || err != nil
}

// refuse notes that the lane cannot be used for now.
func (s *Stream) refuse(reason error, now time.Time) {
	s.looked = now.Add(refusalPause)
	if s.refusal == nil || s.refusal.Error() != reason.Error() {
		s.o.Logger.Info("far behind, and staying with the replication protocol", "slot", s.o.Slot, "reason", reason)
	}
	s.refusal = reason
}

// startLook begins a look; reached is how far the stream has come.
func (s *Stream) startLook(reached LSN) {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	s.look = &look{cancel: cancel, answer: make(chan looked, 1)}
	answer, o := s.look.answer, s.o
	go func() { answer <- lookBehind(ctx, o, reached) }()
}

// endLook ends a look and what it has found.
func (s *Stream) endLook() {
	if s.look == nil {
		return
	}
	s.look.cancel()
	found := <-s.look.answer
	closeQuietly(found.conn)
	s.look = nil
}

// lookBehind asks how far the slot is behind, and copies it when that is far enough.
func lookBehind(ctx context.Context, o StreamOptions, reached LSN) (found looked) {
	options := o.Connect
	options.Replication, options.bulk = false, true
	conn, err := Connect(ctx, options)
	if err != nil {
		return looked{} // the stream itself finds out what it is
	}
	defer func() {
		if found.conn == nil {
			closeQuietly(conn)
		}
	}()
	slot, err := InspectSlot(ctx, conn, o.Slot)
	if err != nil || slot == nil {
		return looked{}
	}
	behind := int64(slot.ServerEnd) - int64(max(reached, slot.Confirmed))
	if behind <= o.CatchUp.Bytes {
		return looked{}
	}
	if again := int64(slot.Confirmed) - int64(slot.Restart); o.CatchUp.tooMuch(again) {
		return looked{reason: tooFar(again)}
	}
	if slot.Failover {
		limit, err := standbyLimit(ctx, conn)
		if err != nil {
			return looked{reason: err}
		}
		if limit > 0 && int64(limit)-int64(max(reached, slot.Confirmed)) <= o.CatchUp.round() {
			return looked{reason: errStandbys}
		}
	}
	if err := prepareRounds(ctx, conn, o, slot.Failover); err != nil {
		var busy *SlotBusyError
		if errors.As(err, &busy) {
			return looked{} // the copy of a session that was killed, which the server has not noticed yet
		}
		return looked{reason: err}
	}
	return looked{conn: conn, slot: slot, behind: behind}
}

// prepareRounds copies the slot and prepares the statements of a round.
func prepareRounds(ctx context.Context, conn *pgconn.PgConn, o StreamOptions, failover bool) error {
	doing := "prepare to read slot " + o.Slot + " through SQL"
	if err := Execute(ctx, conn, doing, "SET work_mem = '"+roundMemory+"'"); err != nil {
		return err
	}
	if err := CopySlot(ctx, conn, o.Slot, copyName(o.Slot), true); err != nil {
		return err
	}
	query := roundQuery(o, ServerVersion(conn), failover)
	if _, err := conn.Prepare(ctx, changesName, query, nil); err != nil {
		return fault(doing, err)
	}
	state := fmt.Sprintf(stateQuery, quoteLiteral(copyName(o.Slot)))
	if _, err := conn.Prepare(ctx, stateName, state, nil); err != nil {
		return fault(doing, err)
	}
	// From here on the socket is read beside pgconn, in whose buffer nothing may be.
	return fault(doing, conn.SyncConn(ctx))
}

// errBeyond says that a round has come further than the standbys.
var errBeyond = errors.New("a record reaches beyond the standbys in synchronized_standby_slots")

// errStandbys says that only the standbys hold the stream up.
var errStandbys = errors.New("the standbys in synchronized_standby_slots are behind too")

func copyName(slot string) string { return SiblingName(slot, catchUpSuffix) }

func tooFar(again int64) error {
	return fmt.Errorf("each call would decode %d MiB again: a transaction has been open for long", again>>20)
}

// standbyMargin is how far a round stays behind the standbys. A round ends with the record that reaches its
// limit, and a record may reach beyond it: nothing is taken of a round that ends beyond the standbys, where a
// record larger than this stands.
const standbyMargin = 1 << 20

// standbyLimit returns up to where all standbys have come that a failover slot waits for, 0 when it waits for
// none. It is what the server compares with in StandbySlotsHaveCaughtup (slot.c): a slot there that is
// missing, invalid or not physical keeps the replication protocol waiting, and is an error here.
func standbyLimit(ctx context.Context, conn *pgconn.PgConn) (LSN, error) {
	rows, err := simpleQuery(ctx, conn, `SELECT n.name, coalesce(s.restart_lsn, '0/0'),
		coalesce(s.slot_type = 'physical' AND s.invalidation_reason IS NULL, false)
		FROM unnest(string_to_array(replace(current_setting('synchronized_standby_slots'), ' ', ''), ','))
			AS n (name) LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = trim(n.name, '"')
		WHERE n.name <> ''`)
	if err != nil {
		return 0, fault("read synchronized_standby_slots", err)
	}
	var limit LSN
	for _, row := range rows {
		lsn, err := ParseLSN(row[1])
		if err != nil {
			return 0, err
		}
		if row[2] != "t" || lsn == 0 {
			return 0, fmt.Errorf("slot %s of synchronized_standby_slots does not confirm", row[0])
		}
		if limit == 0 || lsn < limit {
			limit = lsn
		}
	}
	return limit, nil
}

// The statements of a round, in one transaction: the changes, and how far they have come. What a round reads
// is computed by the server, so that the next one can be called before the last one's result has been read.
const (
	changesName = "tributary_changes"
	stateName   = "tributary_state"

	// A pg_lsn has no addition before Postgres 14.
	changesQuery = `SELECT %[5]s, data FROM pg_catalog.pg_logical_slot_get_binary_changes(%[1]s,
		(SELECT (to_hex(u.n >> 32) || '/' || to_hex(u.n & 4294967295))::pg_lsn FROM (
			SELECT pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::bigint +
				greatest(%[2]d, least(pg_wal_lsn_diff(confirmed_flush_lsn, restart_lsn)::bigint, %[3]d)) AS n
			FROM pg_catalog.pg_replication_slots WHERE slot_name = %[1]s) AS u), NULL, VARIADIC %[4]s)`
	// standbysQuery is up to where the standbys have come, null without any.
	standbysQuery = `FROM pg_catalog.pg_replication_slots WHERE slot_name = ANY (string_to_array(
		translate(current_setting('synchronized_standby_slots'), ' "', ''), ','))`
	// The same, no further than the standbys.
	standbyQuery = `(SELECT least((to_hex(u.n >> 32) || '/' || to_hex(u.n & 4294967295))::pg_lsn,
			(SELECT min(restart_lsn) - %d::numeric ` + standbysQuery + `)) FROM (`
	// In place of the LSN: null in every row of a round that has come further than the standbys. It is computed
	// once, at the first row, when the round has been collected and the copy moved.
	withinQuery = `CASE WHEN (SELECT coalesce(c.confirmed_flush_lsn <= (SELECT min(restart_lsn) ` +
		standbysQuery + `), true) FROM pg_catalog.pg_replication_slots c WHERE c.slot_name = %[1]s) THEN lsn END`
	stateQuery = `SELECT confirmed_flush_lsn, restart_lsn, CASE WHEN pg_catalog.pg_is_in_recovery()
		THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_flush_lsn() END
		FROM pg_catalog.pg_replication_slots WHERE slot_name = %s`
)

// roundQuery is the statement that reads changes.
func roundQuery(o StreamOptions, version int, failover bool) string {
	names := make([]string, len(o.Publications))
	for i, name := range o.Publications {
		names[i] = quoteIdentifier(name)
	}
	plugin := []string{"proto_version", "1", "publication_names", strings.Join(names, ",")}
	if version >= 140000 {
		plugin = append(plugin, "messages", "true")
	}
	for i, word := range plugin {
		plugin[i] = quoteLiteral(word)
	}
	slot, lsn := quoteLiteral(copyName(o.Slot)), "lsn"
	if failover {
		lsn = fmt.Sprintf(withinQuery, slot)
	}
	text := fmt.Sprintf(changesQuery, slot, o.CatchUp.round(), int64(mostRound),
		"ARRAY["+strings.Join(plugin, ", ")+"]", lsn)
	if failover {
		plain := "(SELECT (to_hex(u.n >> 32) || '/' || to_hex(u.n & 4294967295))::pg_lsn FROM ("
		text = strings.Replace(text, plain, fmt.Sprintf(standbyQuery, standbyMargin), 1)
	}
	return text
}

package decoder

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Slot is a replication slot as pg_replication_slots shows it.
type Slot struct {
	Name, Plugin, Database string
	// Temporary slots vanish with their session.
	Temporary bool
	// Active says that a session, ActivePID, streams from it or has just made it.
	Active    bool
	ActivePID int
	// Restart is where reading WAL begins again, which is what retention is measured by; 0 for a lost slot.
	// Confirmed is up to where its consumer has confirmed.
	Restart, Confirmed LSN
	// Status is wal_status: reserved, extended, unreserved or lost.
	Status string
	// Reason is invalidation_reason, from Postgres 17 on.
	Reason string
	// CatalogXMin is the oldest transaction whose catalog rows the slot keeps; 0 for none.
	CatalogXMin int64
	// SafeBytes is how much WAL may still be written before the slot can be lost; -1 without a limit.
	SafeBytes int64
	// TwoPhase, from 15 on, and Failover, from 17 on.
	TwoPhase, Failover bool
	// RetainedBytes is how much WAL the slot keeps from being removed.
	RetainedBytes int64
	// ServerEnd is the server's position when the slot was looked at: what it has written, on a standby
	// replayed.
	ServerEnd LSN
}

// Lost says that the slot can never be read again.
func (s *Slot) Lost() bool { return s.Status == "lost" || s.Reason != "" }

// Usable returns nil for a slot that a pipeline on database can read, else what is wrong with it: a
// *SlotLostError or words on plugin, database or kind.
func (s *Slot) Usable(database string) error {
	switch {
	case s.Lost():
		return &SlotLostError{Slot: s.Name, Status: s.Status, Reason: s.Reason, Confirmed: s.Confirmed}
	case s.Plugin == "":
		return unusable("slot %s is a physical slot: name another", s.Name)
	case s.Plugin != "pgoutput":
		return unusable("slot %s has output plugin %s, want pgoutput: name another", s.Name, s.Plugin)
	case s.Database != database:
		return unusable("slot %s belongs to database %s, not to %s: name another, or connect there",
			s.Name, s.Database, database)
	case s.Temporary:
		return unusable("slot %s is temporary and vanishes with the session of pid %d: name another",
			s.Name, s.ActivePID)
	case s.TwoPhase:
		return unusable("slot %s has two_phase on, which sends transactions before they commit: "+
			"name another", s.Name)
	}
	return nil
}

// unusable is a slot that is there and is another's.
func unusable(format string, args ...any) error {
	return codedError{fmt.Errorf(format, args...), codeSlotUnusable}
}

var slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// ValidateSlotName says whether Postgres accepts the name.
func ValidateSlotName(name string) error {
	if !slotName.MatchString(name) {
		return fmt.Errorf("slot name %q: want 1 to 63 of the characters a-z, 0-9 and _", name)
	}
	return nil
}

// InspectSlot looks a slot up on any connection; nil without an error means that there is none.
func InspectSlot(ctx context.Context, conn *pgconn.PgConn, name string) (*Slot, error) {
	if err := ValidateSlotName(name); err != nil {
		return nil, err
	}
	slots, err := querySlots(ctx, conn, "WHERE slot_name = "+quoteLiteral(name))
	if err != nil || len(slots) == 0 {
		return nil, err
	}
	return &slots[0], nil
}

// ListSlots returns the logical slots of the connection's database, by name.
func ListSlots(ctx context.Context, conn *pgconn.PgConn) ([]Slot, error) {
	return querySlots(ctx, conn, "WHERE slot_type = 'logical' AND database = pg_catalog.current_database()")
}

func querySlots(ctx context.Context, conn *pgconn.PgConn, where string) ([]Slot, error) {
	version := ServerVersion(conn)
	since := func(first int, column, otherwise string) string {
		if version >= first {
			return "coalesce(" + column + "::text, '')"
		}
		return otherwise
	}
	query := `SELECT slot_name, coalesce(plugin, ''), coalesce(database, ''), temporary, active,
		coalesce(active_pid, 0), coalesce(restart_lsn, '0/0'), coalesce(confirmed_flush_lsn, '0/0'),
		coalesce(wal_status, ''), coalesce(safe_wal_size, -1), here.lsn,
		coalesce(pg_catalog.pg_wal_lsn_diff(here.lsn, restart_lsn)::bigint, 0), ` +
		since(170000, "invalidation_reason", "''") + ", " + since(140000, "two_phase", "'false'") + ", " +
		since(170000, "failover", "'false'") + `, coalesce(catalog_xmin::text, '0')
		FROM pg_catalog.pg_replication_slots, (SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
			THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END AS lsn) AS here ` +
		where + " ORDER BY slot_name"
	rows, err := simpleQuery(ctx, conn, query)
	if err != nil {
		return nil, fault("read pg_replication_slots", err)
	}
	slots := make([]Slot, len(rows))
	for i, row := range rows {
		if slots[i], err = readSlot(row); err != nil {
			return nil, fmt.Errorf("read pg_replication_slots: slot %s: %w", row[0], err)
		}
	}
	return slots, nil
}

func readSlot(row []string) (Slot, error) {
	s := Slot{
		Name: row[0], Plugin: row[1], Database: row[2], Temporary: row[3] == "t", Active: row[4] == "t",
		Status: row[8], Reason: row[12], TwoPhase: row[13] == "true", Failover: row[14] == "true",
	}
	var errs [7]error
	s.ActivePID, errs[0] = strconv.Atoi(row[5])
	s.Restart, errs[1] = ParseLSN(row[6])
	s.Confirmed, errs[2] = ParseLSN(row[7])
	s.SafeBytes, errs[3] = strconv.ParseInt(row[9], 10, 64)
	s.ServerEnd, errs[4] = ParseLSN(row[10])
	s.RetainedBytes, errs[5] = strconv.ParseInt(row[11], 10, 64)
	s.CatalogXMin, errs[6] = strconv.ParseInt(row[15], 10, 64)
	return s, errors.Join(errs[:]...)
}

// DropSlot drops a slot; one that does not exist is no error. A slot in use is a *SlotBusyError without its
// holder.
func DropSlot(ctx context.Context, conn *pgconn.PgConn, name string) error {
	if err := ValidateSlotName(name); err != nil {
		return err
	}
	_, err := simpleQuery(ctx, conn, "SELECT pg_catalog.pg_drop_replication_slot(slot_name) "+
		"FROM pg_catalog.pg_replication_slots WHERE slot_name = "+quoteLiteral(name))
	err = fault("drop slot "+name, err)
	var refused *ServerError
	if errors.As(err, &refused) {
		switch refused.Code {
		case codeUndefinedObject:
			return nil
		case codeObjectInUse:
			return busySlot(ctx, conn, name)
		}
	}
	return err
}

// busySlot describes the session that uses the slot, as far as this role may see it.
func busySlot(ctx context.Context, conn *pgconn.PgConn, name string) error {
	busy := &SlotBusyError{Slot: name}
	rows, err := simpleQuery(ctx, conn, `SELECT s.active_pid, coalesce(a.application_name, ''),
		coalesce(pg_catalog.host(a.client_addr),
			CASE WHEN a.backend_start IS NULL THEN '' ELSE 'a local socket' END),
		coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - a.backend_start)::bigint, 0)
		FROM pg_catalog.pg_replication_slots s LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid
		WHERE s.active_pid IS NOT NULL AND s.slot_name = `+quoteLiteral(name))
	if err != nil || len(rows) == 0 {
		return busy
	}
	seconds, err := strconv.ParseInt(rows[0][3], 10, 64)
	if err == nil {
		busy.Since = time.Duration(seconds) * time.Second
	}
	if busy.PID, err = strconv.Atoi(rows[0][0]); err != nil {
		busy.PID = 0
	}
	busy.ApplicationName, busy.ClientAddress = rows[0][1], rows[0][2]
	return busy
}

// explainStart asks the catalog, on a connection of its own, why START_REPLICATION was refused: the
// server's words differ between versions, the view does not.
func explainStart(ctx context.Context, o StreamOptions, err error) error {
	var refused *ServerError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Code {
	case codeObjectInUse, codeNotInState, codeUndefinedObject:
	default:
		return err
	}
	options := o.Connect
	options.Replication = false
	conn, unreachable := Connect(ctx, options)
	if unreachable != nil {
		if refused.Code == codeObjectInUse {
			return &SlotBusyError{Slot: o.Slot}
		}
		return err
	}
	defer closeQuietly(conn)
	if refused.Code == codeObjectInUse {
		return busySlot(ctx, conn, o.Slot)
	}
	slot, lookup := InspectSlot(ctx, conn, o.Slot)
	database, known := currentDatabase(ctx, conn)
	switch {
	case lookup != nil || known != nil:
		return err
	case slot == nil:
		return &SlotMissingError{Slot: o.Slot, Database: database}
	}
	if unusable := slot.Usable(database); unusable != nil {
		return fmt.Errorf("%w (%w)", unusable, err)
	}
	return err
}

func currentDatabase(ctx context.Context, conn *pgconn.PgConn) (string, error) {
	rows, err := simpleQuery(ctx, conn, "SELECT pg_catalog.current_database()")
	if err != nil {
		return "", fault("read the database's name", err)
	}
	return rows[0][0], nil
}

// System is what IDENTIFY_SYSTEM tells.
type System struct {
	// ID is the system identifier, made by initdb and the same on all copies of a cluster.
	ID string
	// Timeline is the server's, Flushed how far it has flushed its WAL, on a standby replayed.
	Timeline int
	Flushed  LSN
	Database string
}

// IdentifySystem asks on a replication connection.
func IdentifySystem(ctx context.Context, conn *pgconn.PgConn) (System, error) {
	rows, err := simpleQuery(ctx, conn, "IDENTIFY_SYSTEM")
	if err != nil {
		return System{}, fault("identify the system", err)
	}
	if len(rows) != 1 || len(rows[0]) != 4 {
		return System{}, fmt.Errorf("identify the system: want 1 row of 4 columns, got %d rows", len(rows))
	}
	system := System{ID: rows[0][0], Database: rows[0][3]}
	if system.Timeline, err = strconv.Atoi(rows[0][1]); err != nil {
		return System{}, fmt.Errorf("identify the system: timeline: %w", err)
	}
	if system.Flushed, err = ParseLSN(rows[0][2]); err != nil {
		return System{}, fmt.Errorf("identify the system: %w", err)
	}
	return system, nil
}

// Switch is where a timeline was left for the next.
type Switch struct {
	Timeline int
	LSN      LSN
	Reason   string
}

// TimelineHistory asks on a replication connection which timelines the given one descends from, oldest
// first. Timeline 1 has no history.
func TimelineHistory(ctx context.Context, conn *pgconn.PgConn, timeline int) ([]Switch, error) {
	if timeline <= 1 {
		return nil, nil
	}
	doing := fmt.Sprintf("read the history of timeline %d", timeline)
	rows, err := simpleQuery(ctx, conn, fmt.Sprintf("TIMELINE_HISTORY %d", timeline))
	if err != nil {
		return nil, fault(doing, err)
	}
	if len(rows) != 1 || len(rows[0]) != 2 {
		return nil, fmt.Errorf("%s: want 1 row of 2 columns, got %d rows", doing, len(rows))
	}
	history, err := parseHistory(rows[0][1])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return history, nil
}

// parseHistory reads a history file: lines of a timeline, the position where it was left and a reason; #
// begins a comment.
func parseHistory(text string) ([]Switch, error) {
	var history []Switch
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 2 {
			return nil, fmt.Errorf("line %q: want a timeline and a position", line)
		}
		timeline, err := strconv.Atoi(fields[0])
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		lsn, err := ParseLSN(fields[1])
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		history = append(history, Switch{Timeline: timeline, LSN: lsn, Reason: strings.Join(fields[2:], " ")})
	}
	return history, nil
}

// LeftAt returns where a timeline was left, 0 and false when the history does not name it.
func LeftAt(history []Switch, timeline int) (LSN, bool) {
	for _, s := range history {
		if s.Timeline == timeline {
			return s.LSN, true
		}
	}
	return 0, false
}

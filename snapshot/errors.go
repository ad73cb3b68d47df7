package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tributary-cdc/tributary/decoder"
)

// The SQLSTATEs that are acted upon.
const (
	codePrivilege       = "42501"
	codeUndefinedTable  = "42P01"
	codeUndefinedColumn = "42703"
	codeUndefinedObject = "42704"
	codeSnapshotTooOld  = "72000"
	codeInvalidSnapshot = "22023" // SET TRANSACTION SNAPSHOT of one that nobody holds any more
)

// Error is a refusal by the server while tables are looked up or read.
type Error struct {
	// Doing is what was being done, with its object.
	Doing string
	// Code is the SQLSTATE, Message the server's words.
	Code, Message string
	// Advice is what a person can do, "" when the server's words say it.
	Advice    string
	retryable bool
}

// Error has the server's words, and what to do about them.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s (SQLSTATE %s)", e.Doing, e.Message, e.Code)
	if e.Advice != "" {
		text += ": " + e.Advice
	}
	return text
}

// Retryable says whether a new snapshot may succeed without a person.
func (e *Error) Retryable() bool { return e.retryable }

// NeedsPerson is true for a missing right and for a row that cannot be sent: the server would refuse again.
func (e *Error) NeedsPerson() bool { return e.Code == codePrivilege || e.unsendable() }

// unsendable says that a row is larger, as text, than the server can send.
func (e *Error) unsendable() bool { return decoder.Unsendable(e.Code, e.Message) }

// RewrittenError says that a table was rewritten or truncated after the snapshot was taken and before it
// was read. Its rows as they were are gone for the snapshot, which sees an empty table: ALTER TABLE is not
// transactional in this respect. A new snapshot sees what the table holds now.
type RewrittenError struct{ Table string }

// Error names the table and what may have happened to it.
func (e *RewrittenError) Error() string {
	return fmt.Sprintf("read %s: the table was rewritten or truncated (ALTER TABLE, TRUNCATE, VACUUM FULL, "+
		"CLUSTER) "+
		"since the snapshot was taken: its rows can only be read under a new one", e.Table)
}

// Retryable is true: a new snapshot sees the table.
func (e *RewrittenError) Retryable() bool { return true }

// LostError says that the connection which held the snapshot, or one that read under it, is gone.
type LostError struct {
	Doing string
	Cause error
}

// Error says what was being done and why that ended.
func (e *LostError) Error() string {
	return fmt.Sprintf("%s: the snapshot is lost: %v: a new one is needed", e.Doing, e.Cause)
}

// Unwrap returns the cause.
func (e *LostError) Unwrap() error { return e.Cause }

// Retryable is true: networks and servers come back.
func (e *LostError) Retryable() bool { return true }

// GuardError says that transactions which the slot's snapshot counts as finished still run in the eyes of
// other sessions. Reading in that state can destroy their rows in the source.
type GuardError struct {
	// Waited is for how long, and Blockers are who.
	Waited   string
	Blockers []string
}

// Error names the sessions, as far as this role may see them.
func (e *GuardError) Error() string {
	who := "no session owns them; see pg_prepared_xacts"
	if len(e.Blockers) > 0 {
		who = strings.Join(e.Blockers, "; ")
	}
	return fmt.Sprintf("wait for the snapshot's transactions to end: still committing after %s: %s: "+
		"a commit that waits for a synchronous standby does this", e.Waited, who)
}

// Retryable is true: a commit ends one day.
func (e *GuardError) Retryable() bool { return true }

// fault gives an error of pgconn its type and the words around it.
func fault(doing string, err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refusal(doing, refused)
	}
	if isLost(err) {
		return &decoder.ConnectionLostError{Doing: doing, Cause: err}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// isLost says whether err means that the connection is gone, not that a caller has given up.
func isLost(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed)
}

// refusal gives the server's refusal its type. What ends a session or a transaction loses the snapshot, but
// not the reason to take another one; the classes are those of errcodes.txt.
func refusal(doing string, refused *pgconn.PgError) error {
	e := &Error{Doing: doing, Code: refused.Code, Message: refused.Message}
	if strings.HasPrefix(refused.Code, "22") && refused.Code != codeInvalidSnapshot {
		// The server's words on data quote the value, which no error of ours may show.
		e.Message = "a value does not fit"
		e.Advice = "look at the filter, the WHERE or the expression that reads it"
	}
	switch class := refused.Code[:min(2, len(refused.Code))]; {
	case class == "57" || class == "53" || class == "08" || class == "40" || class == "58":
		// Shutdown, cancel, resources, connection, conflict with recovery, I/O.
		return &LostError{Doing: doing, Cause: e}
	case refused.Code == codeSnapshotTooOld:
		return &LostError{Doing: doing, Cause: e}
	case refused.Code == codeInvalidSnapshot, refused.Code == codeUndefinedObject &&
		strings.Contains(refused.Message, "snapshot"):
		e.Advice, e.retryable = "the transaction that exported the snapshot is over", true
	}
	return e
}

// tableFault is fault for a table: it says which grant is missing, and what became of the table.
func tableFault(doing string, s Source, err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		if large := new(pgproto3.ExceededMaxBodyLenErr); errors.As(err, &large) {
			return &decoder.RowTooLargeError{
				Bytes: large.ActualBodyLen, Limit: large.MaxExpectedBodyLen, Relation: s.OID, Table: s.String(),
			}
		}
		if isLost(err) {
			return &LostError{Doing: doing, Cause: err}
		}
		return fault(doing, err)
	}
	refusal := refusal(doing, refused)
	var e *Error
	if !errors.As(refusal, &e) || errors.As(refusal, new(*LostError)) {
		return refusal
	}
	switch {
	case e.Code == codePrivilege && strings.Contains(e.Message, "row-level security"):
		e.Advice = "row security would hide rows from the snapshot that the stream has: ALTER ROLE ... " +
			"BYPASSRLS, " +
			"or let the table's owner read"
	case e.Code == codePrivilege:
		e.Advice = fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO the role; GRANT SELECT ON %s TO the role",
			quote(s.Namespace), s.sql())
	case e.unsendable():
		e.Advice = "a row is larger than the 1 GiB that Postgres can send, as text, of which a bytea takes two " +
			"bytes for each: make it smaller, or leave the column out of the publication"
	case e.Code == codeUndefinedTable:
		e.Advice, e.retryable = "the table was dropped or renamed after the snapshot was taken", true
	case e.Code == codeUndefinedColumn:
		e.Advice, e.retryable = "the table was altered while its reading began", true
	}
	return e
}

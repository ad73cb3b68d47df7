package decoder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The SQLSTATEs that are acted upon.
const (
	codeInvalidPassword   = "28P01"
	codeInvalidAuth       = "28000"
	codeUndefinedObject   = "42704"
	codeDuplicateObject   = "42710"
	codeUniqueViolation   = "23505"
	codeObjectInUse       = "55006"
	codeNotInState        = "55000"
	codeAdminShutdown     = "57P01"
	codeCrashShutdown     = "57P02"
	codeCannotConnectNow  = "57P03"
	codeDatabaseDropped   = "57P04"
	codeIdleTimeout       = "57P05"
	codeTooManyConnection = "53300"
	codeConfigLimit       = "53400"
	codeQueryCanceled     = "57014"
	codeLockNotAvailable  = "55P03"
	codeCharacterMissing  = "22021"
	codeNotSupported      = "0A000"
	codePrivilege         = "42501"
	codeNoDatabase        = "3D000"
	codeInternal          = "XX000"
	codeProtocol          = "08P01"
	codeProgramLimit      = "54000"
)

var (
	// ErrServerShutdown says that the server is shutting down, or restarting: connect again later.
	ErrServerShutdown error = codedError{errors.New("the server is shutting down"), codeShutdown}
	// ErrStopped says that Options.Stop ended the stream before it was where it was asked to go.
	ErrStopped = errors.New("stopped")
)

// Retryable says whether doing the same again later may succeed without a person: the error itself says so,
// or is a shutdown of the server. An unknown error is not retryable.
func Retryable(err error) bool {
	var known interface{ Retryable() bool }
	if errors.As(err, &known) {
		return known.Retryable()
	}
	return errors.Is(err, ErrServerShutdown)
}

// ServerError is a refusal by the server that no other type here describes.
type ServerError struct {
	Doing                   string // what was being done, with its object
	Code, Severity, Message string
	Detail, Hint            string
	Where                   string // slot, callback and LSN, when the output plugin failed
	Advice                  string // what a person can do, "" when the server's words say it
	shutdown, transient     bool
}

func (e *ServerError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s (SQLSTATE %s)", e.Doing, e.Message, e.Code)
	for _, more := range []struct{ name, text string }{
		{"detail", e.Detail}, {"hint", e.Hint}, {"where", e.Where},
	} {
		if more.text != "" {
			fmt.Fprintf(&b, ": %s: %s", more.name, more.text)
		}
	}
	if e.Advice != "" {
		b.WriteString(": ")
		b.WriteString(e.Advice)
	}
	return b.String()
}

// Retryable is true for what passes by itself: a restart, a full house, a lost resource.
func (e *ServerError) Retryable() bool { return e.transient || e.shutdown }

// NeedsPerson is true for a missing right, a setting that needs a restart, and a database that is not there:
// the server would refuse again.
func (e *ServerError) NeedsPerson() bool {
	return e.Code == codePrivilege || e.Code == codeNotInState || e.Code == codeNoDatabase ||
		e.Code == codeDatabaseDropped
}

// Is makes every form of shutdown ErrServerShutdown.
func (e *ServerError) Is(target error) bool { return target == ErrServerShutdown && e.shutdown }

// SlotBusyError says that another session streams from the slot. PID is 0 when it was gone when asked for.
type SlotBusyError struct {
	Slot            string
	PID             int
	ApplicationName string
	ClientAddress   string
	Since           time.Duration // how long that session has existed
}

func (e *SlotBusyError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("slot %s is active for another session, which has just ended: try again", e.Slot)
	}
	from := e.ClientAddress
	if from == "" {
		from = "an address that this role may not see"
	}
	return fmt.Sprintf("slot %s is active for pid %d (application %q from %s, connected for %s): "+
		"wait until it ends, or stop it; if it is dead, pg_terminate_backend(%d) frees the slot",
		e.Slot, e.PID, e.ApplicationName, from, e.Since.Round(time.Second), e.PID)
}

// Retryable is true: the slot is the leader lock, and its holder may go.
func (e *SlotBusyError) Retryable() bool { return true }

// SlotMissingError says that the slot does not exist.
type SlotMissingError struct{ Slot, Database string }

func (e *SlotMissingError) Error() string {
	return fmt.Sprintf("slot %s does not exist in database %s: what was committed since it was last read "+
		"is not in any stream; it is never re-created silently", e.Slot, e.Database)
}

// Retryable is false: a slot does not come back.
func (e *SlotMissingError) Retryable() bool { return false }

// SlotLostError says that the slot exists but can no longer be read.
type SlotLostError struct {
	Slot      string
	Status    string // wal_status, such as lost
	Reason    string // invalidation_reason, "" before Postgres 17
	Confirmed LSN    // everything from here on is missing from the stream
	Cause     error  // the server's words, nil when the view was asked first
}

func (e *SlotLostError) Error() string {
	reason := e.Reason
	if reason == "" {
		reason = "WAL removed, see max_slot_wal_keep_size"
	}
	text := fmt.Sprintf("slot %s is %s (%s): the changes after %s cannot be read from it any more: "+
		"drop the slot and take a new snapshot", e.Slot, e.Status, reason, e.Confirmed)
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns the server's words.
func (e *SlotLostError) Unwrap() error { return e.Cause }

// Retryable is false: lost WAL does not come back.
func (e *SlotLostError) Retryable() bool { return false }

// PublicationError says that the publication was not there when a change that is to be decoded was written:
// it was dropped and made anew, or made after the slot. Changes are decoded with the catalog of their own
// time, so making it again does not help.
type PublicationError struct {
	Publications []string
	Message      string // the server's words
	Where        string
	Confirmed    LSN // the changes from here on cannot be decoded
}

func (e *PublicationError) Error() string {
	return fmt.Sprintf("read publication %s: %s: %s: the publication did not exist when the changes from %s on "+
		"were written, which are a gap; create a publication before its slot and never drop it; to go on, "+
		"create it, make a new slot and take a new snapshot", strings.Join(e.Publications, ", "), e.Message,
		e.Where, e.Confirmed)
}

// Retryable is false: the same WAL meets the same catalog again.
func (e *PublicationError) Retryable() bool { return false }

// RowUnsendableError says that the server holds a row that it cannot send: neither a value's text nor a
// message may take 1 GiB, and what is stored may come close to that. bytea doubles as text.
type RowUnsendableError struct {
	Slot string
	// Commit is where the transaction's commit record starts, 0 when the server had not told of it.
	Commit LSN
	// Before is the table of the message that came last, "" for none: often the row's own.
	Before string
	Cause  *ServerError
}

func (e *RowUnsendableError) Error() string {
	text := "stream slot " + e.Slot + ": a change"
	if e.Commit > 0 {
		text += fmt.Sprintf(" in the transaction at %s", e.Commit)
	}
	if e.Before != "" {
		text += " (what came last was of " + e.Before + ")"
	}
	return fmt.Sprintf("%s is larger than the 1 GiB that Postgres can send, as text, of which a bytea takes "+
		"two bytes for each: no stream passes it: make the row smaller, or leave the column out of the "+
		"publication, and take a new snapshot: %v", text, e.Cause)
}

// Unwrap returns the server's words, which name the change's LSN.
func (e *RowUnsendableError) Unwrap() error { return e.Cause }

// Retryable is false: the same row comes again.
func (e *RowUnsendableError) Retryable() bool { return false }

// NeedsPerson is true: what is behind the row can be had by a new snapshot only.
func (e *RowUnsendableError) NeedsPerson() bool { return true }

// Unsendable says that a refusal is of a row whose text is too large: a value of it, or all of them together.
func Unsendable(code, message string) bool {
	return code == codeProgramLimit ||
		code == codeInternal && strings.Contains(message, "invalid memory alloc request size")
}

// unsendable says so of a change. The server's name for what it was doing is not translated.
func (e *ServerError) unsendable() bool {
	return Unsendable(e.Code, e.Message) && strings.Contains(e.Where, "change")
}

// AuthError says that the server refused who we are.
type AuthError struct {
	Doing, Code, Message string
}

func (e *AuthError) Error() string {
	advice := "check user and password, and pg_hba.conf: a replication connection to a database needs a line " +
		"for that database"
	return fmt.Sprintf("%s: %s (SQLSTATE %s): %s", e.Doing, e.Message, e.Code, advice)
}

// Retryable is false: Connect has read the secret afresh and tried again already.
func (e *AuthError) Retryable() bool { return false }

// NeedsPerson is true: a secret or a right does not come by itself.
func (e *AuthError) NeedsPerson() bool { return true }

// ConnectionLostError says that the connection was not made, or broke.
type ConnectionLostError struct {
	Doing string
	Cause error
}

func (e *ConnectionLostError) Error() string { return e.Doing + ": " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *ConnectionLostError) Unwrap() error { return e.Cause }

// Retryable is true: networks and servers come back.
func (e *ConnectionLostError) Retryable() bool { return true }

// fault gives an error of pgconn its type and the words around it. It keeps neither configuration nor URL.
func fault(doing string, err error) error {
	var refused *pgconn.PgError
	var parse *pgconn.ParseConfigError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return serverFault(doing, refused)
	case errors.As(err, &parse):
		return fmt.Errorf("%s: the connection string is invalid", doing)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.Is(err, context.DeadlineExceeded):
		// A host that says nothing: also the dialer's own timeout is one of these.
		return &ConnectionLostError{Doing: doing, Cause: innermost(err)}
	}
	if isTLS(err) {
		return &TLSError{Doing: doing, Cause: innermost(err)}
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed) {
		return &ConnectionLostError{Doing: doing, Cause: innermost(err)}
	}
	return fmt.Errorf("%s: %w", doing, innermost(err))
}

// innermost peels pgconn's wrappings, which repeat address and user and hold the whole configuration.
func innermost(err error) error {
	var connect *pgconn.ConnectError
	if !errors.As(err, &connect) {
		return err
	}
	cause := connect.Unwrap()
	if joined, ok := cause.(interface{ Unwrap() []error }); ok {
		if all := joined.Unwrap(); len(all) > 0 {
			return all[len(all)-1]
		}
	}
	return cause
}

// serverFault gives a refusal its type.
func serverFault(doing string, refused *pgconn.PgError) error {
	if refused.Code == codeInvalidPassword || refused.Code == codeInvalidAuth {
		return &AuthError{Doing: doing, Code: refused.Code, Message: refused.Message}
	}
	e := &ServerError{
		Doing: doing, Code: refused.Code, Severity: refused.Severity, Message: refused.Message,
		Detail: refused.Detail, Hint: refused.Hint, Where: refused.Where,
	}
	if strings.HasPrefix(refused.Code, "22") || strings.HasPrefix(refused.Code, "23") {
		e.Detail = "" // it shows the row's values
	}
	switch refused.Code {
	case codeAdminShutdown, codeCrashShutdown, codeCannotConnectNow:
		e.shutdown = true
	case codeTooManyConnection, codeConfigLimit:
		e.transient = true
		e.Advice = "raise max_connections, max_wal_senders or max_replication_slots (a restart), or end sessions"
	case codePrivilege:
		if e.ErrorCode() != codeReplication {
			break // the server's words name the object and the right
		}
		e.Advice = "the role needs LOGIN REPLICATION, on RDS membership in rds_replication"
	case codeCharacterMissing:
		e.Advice = "the database holds bytes that are not valid in its encoding: repair the row"
	case codeInternal:
		// What the server did not expect lies mostly in what its process remembers of the catalog ("could not
		// map filenumber", "cache lookup failed"): another process, of a new connection, reads it afresh.
		if e.transient = !Unsendable(e.Code, e.Message); e.transient {
			e.Advice = "an error inside the server; it is tried again, and if it stays the server's log says more"
		}
	case codeQueryCanceled, codeLockNotAvailable, codeIdleTimeout:
		e.transient = true
	case codeProtocol:
		// It understands the request no better later: a pooler, which takes no replication connection or no
		// setting of ours. What breaks a protocol in the middle ends the connection as well.
		e.transient = !strings.HasPrefix(doing, "connect")
	default:
		// 08: connection, 53: resources, 58: I/O around the server, 40: conflicts. What is lost for good,
		// such as WAL that is gone, shows in the slot at the next attempt.
		e.transient = strings.HasPrefix(refused.Code, "08") || strings.HasPrefix(refused.Code, "53") ||
			strings.HasPrefix(refused.Code, "58") || strings.HasPrefix(refused.Code, "40")
	}
	return e
}

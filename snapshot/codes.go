package snapshot

import "strings"

// The codes of this package's errors. What each means and what helps is in the catalogue that `tributary
// errors` prints; a code never changes its meaning.
const (
	codeNoTable     = "E135"
	codeRowSecurity = "E136"
	codeRead        = "E137"
	codeRefused     = "E154"
	codeLost        = "E155"
	codeGuard       = "E156"
	codeRewritten   = "E157"
	codeUnsendable  = "E158"
)

// selectionError is everything that the patterns of the captured tables get wrong.
type selectionError struct{ error }

// Unwrap returns the error inside.
func (e selectionError) Unwrap() error { return e.error }

// ErrorCode is that of patterns that match no table.
func (e selectionError) ErrorCode() string { return codeNoTable }

// ErrorCode tells row security, a missing grant and a snapshot that is gone from other refusals.
func (e *Error) ErrorCode() string {
	switch {
	case e.Code == codePrivilege && strings.Contains(e.Message, "row-level security"):
		return codeRowSecurity
	case e.Code == codePrivilege:
		return codeRead
	case e.unsendable():
		return codeUnsendable
	case e.retryable && (e.Code == codeInvalidSnapshot || e.Code == codeUndefinedObject):
		return codeLost // the transaction that exported it is over
	}
	return codeRefused
}

// ErrorCode is that of a table that was rewritten under its snapshot.
func (e *RewrittenError) ErrorCode() string { return codeRewritten }

// ErrorCode is that of a snapshot whose connection is gone.
func (e *LostError) ErrorCode() string { return codeLost }

// ErrorCode is that of commits that do not end.
func (e *GuardError) ErrorCode() string { return codeGuard }

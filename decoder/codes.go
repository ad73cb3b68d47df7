package decoder

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
)

// The codes of this package's errors. What each means and what helps is in the catalogue that `tributary
// errors` prints; a code never changes its meaning.
const (
	codeName          = "E101"
	codePort          = "E102"
	codeCertificate   = "E103"
	codeNoTLS         = "E104"
	codePassword      = "E105"
	codeHostRule      = "E106"
	codeDatabase      = "E107"
	codeBroken        = "E108"
	codeShutdown      = "E109"
	codeFull          = "E110"
	codeRight         = "E111"
	codeWALLevel      = "E112"
	codeReplication   = "E113"
	codePooler        = "E114"
	codeSlots         = "E115"
	codeSenders       = "E116"
	codeRefused       = "E119"
	codeTooOld        = "E120"
	codeSlotMissing   = "E121"
	codeSlotLost      = "E122"
	codeSlotBusy      = "E123"
	codeSlotUnusable  = "E124"
	codePublicationAt = "E125"
	codeRowSize       = "E152"
	codeRowUnsendable = "E158"
)

// findingCodes are the codes of findings.
var findingCodes = map[string]string{
	FindingPublicationMissing: "E131", FindingTableMissing: "E132", FindingOperationMissing: "E133",
	FindingNoIdentity: "E134", FindingViaRoot: "W141", FindingRowFilter: "W142", FindingColumnList: "W143",
	FindingIdentityNotKey: "W144",
}

// codedError is an error without a type of its own that has a code.
type codedError struct {
	error
	code string
}

// Unwrap returns the error inside.
func (e codedError) Unwrap() error { return e.error }

// ErrorCode is the code that the error was given.
func (e codedError) ErrorCode() string { return e.code }

// ErrorCode is that of a slot that is not there.
func (e *SlotMissingError) ErrorCode() string { return codeSlotMissing }

// ErrorCode is that of a slot that cannot be read any more.
func (e *SlotLostError) ErrorCode() string { return codeSlotLost }

// ErrorCode is that of a slot that another session reads.
func (e *SlotBusyError) ErrorCode() string { return codeSlotBusy }

// ErrorCode is that of a publication that the slot does not know.
func (e *PublicationError) ErrorCode() string { return codePublicationAt }

// ErrorCode is that of a message over the limit.
func (e *RowTooLargeError) ErrorCode() string { return codeRowSize }

// ErrorCode is that of a row that the server cannot send.
func (e *RowUnsendableError) ErrorCode() string { return codeRowUnsendable }

// ErrorCode tells a name, a port and a connection that broke apart.
func (e *ConnectionLostError) ErrorCode() string {
	var dns *net.DNSError
	var dial *net.OpError
	switch {
	case errors.As(e.Cause, &dns):
		return codeName
	case errors.As(e.Cause, &dial) && dial.Op == "dial":
		return codePort
	}
	return codeBroken
}

// ErrorCode tells a missing line of pg_hba.conf from a wrong password.
func (e *AuthError) ErrorCode() string {
	if strings.Contains(e.Message, "pg_hba.conf") {
		return codeHostRule
	}
	return codePassword
}

// ErrorCode is that of the first finding.
func (e *FindingsError) ErrorCode() string {
	if len(e.Findings) == 0 {
		return ""
	}
	return e.Findings[0].ErrorCode()
}

// ErrorCode is that of the finding's kind.
func (f Finding) ErrorCode() string { return findingCodes[f.Code] }

// ErrorCode is chosen by the SQLSTATE, and where one stands for several causes by the server's words.
func (e *ServerError) ErrorCode() string {
	said := func(words string) bool { return strings.Contains(e.Message, words) }
	switch {
	case e.shutdown:
		return codeShutdown
	case e.Code == codeNoDatabase, e.Code == codeDatabaseDropped:
		return codeDatabase
	case said("max_wal_senders"):
		return codeSenders
	case e.Code == codeTooManyConnection:
		return codeFull
	case e.Code == codeConfigLimit:
		return codeSlots
	case e.Code == codeNotInState && said("wal_level"):
		return codeWALLevel
	case e.Code == codePrivilege && (said("WAL sender") || said("replication")),
		e.Code == codePrivilege && said("walsender"):
		return codeReplication
	case e.Code == codePrivilege:
		return codeRight
	case e.Code == codeProtocol && strings.HasPrefix(e.Doing, "connect"):
		return codePooler
	case e.Code == codeIdleTimeout, e.Code != codeProtocol && strings.HasPrefix(e.Code, "08"),
		strings.HasPrefix(e.Code, "40"): // a session that ended, by a limit, the network or a standby's conflict
		return codeBroken
	}
	return codeRefused
}

// TLSError says that no encrypted connection was agreed upon.
type TLSError struct {
	Doing string
	Cause error
}

// Error says what was wrong with the certificate, or that the server speaks no TLS.
func (e *TLSError) Error() string {
	if e.ErrorCode() == codeNoTLS {
		return e.Doing + ": the server speaks no TLS, and source.url asks for it"
	}
	return e.Doing + ": TLS: " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *TLSError) Unwrap() error { return e.Cause }

// Retryable is false: a certificate does not become another by waiting.
func (e *TLSError) Retryable() bool { return false }

// ErrorCode tells a refused certificate from a server without TLS.
func (e *TLSError) ErrorCode() string {
	if strings.Contains(e.Cause.Error(), "refused TLS") {
		return codeNoTLS
	}
	return codeCertificate
}

// isTLS says whether a connection failed over its encryption.
func isTLS(err error) bool {
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var header tls.RecordHeaderError
	return errors.As(err, &verification) || errors.As(err, &unknown) || errors.As(err, &name) ||
		errors.As(err, &invalid) || errors.As(err, &header) || strings.Contains(err.Error(), "refused TLS")
}

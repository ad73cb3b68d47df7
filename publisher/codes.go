package publisher

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The codes of this package's errors. What each means and what helps is in the catalogue that `tributary
// errors` prints; a code never changes its meaning.
const (
	codeKeyColumn     = "E153"
	codeName          = "E201"
	codePort          = "E202"
	codeCertificate   = "E203"
	codeLogin         = "E204"
	codeMechanism     = "E205"
	codeTopicRight    = "E206"
	codeTransactional = "E207"
	codeClusterRight  = "E208"
	codeTopicMissing  = "E209"
	codeTooLarge      = "E210"
	codeReplicas      = "E211"
	codeNotEnough     = "E212"
	codeCollision     = "E213"
	codePolicy        = "E214"
	codeAgain         = "E215"
	codeFenced        = "E216"
	codeLease         = "E217"
	codeRecord        = "E219"
	codeForgets       = "E220"
	codeTimeout       = "E225"
	codeSettings      = "E227"
	codeVersion       = "E401"
	codeIdentity      = "E402"
	codeGap           = "E403"
	codeTimeline      = "E404"
	codeSplit         = "E405"
	codeRewind        = "E406"
	codeRepair        = "E409"
)

// kafkaCodes are the codes of what Kafka answers.
var kafkaCodes = []struct {
	err  *kerr.Error
	code string
}{
	{kerr.SaslAuthenticationFailed, codeLogin},
	{kerr.UnsupportedSaslMechanism, codeMechanism},
	{kerr.IllegalSaslState, codeMechanism},
	{kerr.TopicAuthorizationFailed, codeTopicRight},
	{kerr.GroupAuthorizationFailed, codeTopicRight},
	{kerr.TransactionalIDAuthorizationFailed, codeTransactional},
	{kerr.ClusterAuthorizationFailed, codeClusterRight},
	{kerr.UnknownTopicOrPartition, codeTopicMissing},
	{kerr.MessageTooLarge, codeTooLarge},
	{kerr.RecordListTooLarge, codeTooLarge},
	{kerr.InvalidReplicationFactor, codeReplicas},
	{kerr.NotEnoughReplicas, codeNotEnough},
	{kerr.NotEnoughReplicasAfterAppend, codeNotEnough},
	{kerr.PolicyViolation, codePolicy},
	{kerr.InvalidTransactionTimeout, codeTimeout},
	{kerr.ProducerFenced, codeFenced},
	{kerr.InvalidConfig, codeSettings},
	{kerr.InvalidPartitions, codeSettings},
	{kerr.InvalidTopicException, codeSettings},
}

// ErrorCode gives an error of the Kafka client its code, "" when it has none.
func ErrorCode(err error) string {
	var known interface{ ErrorCode() string }
	var dns *net.DNSError
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var header tls.RecordHeaderError
	var dial *net.OpError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &known):
		return known.ErrorCode()
	case errors.As(err, &dns):
		return codeName
	case errors.As(err, &verification), errors.As(err, &unknown), errors.As(err, &header):
		return codeCertificate
	}
	for _, one := range kafkaCodes {
		if errors.Is(err, one.err) {
			return one.code
		}
	}
	if errors.As(err, &dial) && dial.Op == "dial" {
		return codePort
	}
	return ""
}

// codeOr is the code of an error, or another where it has none.
func codeOr(err error, otherwise string) string {
	if code := ErrorCode(err); code != "" {
		return code
	}
	return otherwise
}

// ErrorCode is that of a position that another version wrote.
func (e *VersionError) ErrorCode() string { return codeVersion }

// ErrorCode is that of a position of another server.
func (e *IdentityError) ErrorCode() string { return codeIdentity }

// ErrorCode is that of a slot that somebody else has read.
func (e *GapError) ErrorCode() string { return codeGap }

// ErrorCode is that of history that was lost.
func (e *TimelineError) ErrorCode() string { return codeTimeline }

// ErrorCode is that of a position that is not where it was.
func (e *SplitError) ErrorCode() string { return codeSplit }

// ErrorCode is that of a rewind that is not done.
func (e *RewindError) ErrorCode() string { return codeRewind }

// ErrorCode is that of a repair that has not begun.
func (e *RepairError) ErrorCode() string { return codeRepair }

// ErrorCode is that of two tables of one topic.
func (e *CollisionError) ErrorCode() string { return codeCollision }

// ErrorCode is that of a change without its key.
func (e *KeyError) ErrorCode() string { return codeKeyColumn }

// ErrorCode is that of a record over a limit.
func (e *TooLargeError) ErrorCode() string { return codeTooLarge }

// ErrorCode is chosen by Kafka's answer.
func (e *RecordError) ErrorCode() string { return codeOr(e.Err, codeRecord) }

// ErrorCode is that of an instance that was taken over.
func (e *FencedError) ErrorCode() string { return codeFenced }

// ErrorCode is the cause's, or that of a window to be tried again: also where the broker has ended a
// transaction of ours, which it tells in the words in which it tells of a successor.
func (e *AgainError) ErrorCode() string {
	if code := codeOr(e.Err, codeAgain); code != codeFenced {
		return code
	}
	return codeAgain
}

// ErrorCode is that of a server that does not answer.
func (e *LeaseError) ErrorCode() string { return codeLease }

// ErrorCode is chosen by Kafka's answer.
func (e *TopicError) ErrorCode() string { return codeOr(e.Err, codeTopicMissing) }

// codedError is an error without a type of its own that has a code.
type codedError struct {
	error
	code string
}

// Unwrap returns the error inside.
func (e codedError) Unwrap() error { return e.error }

// ErrorCode is the code that the error was given.
func (e codedError) ErrorCode() string { return e.code }

package publisher

import (
	"bytes"
	"regexp"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
)

// traceParent is what W3C Trace Context calls the header that says which trace something belongs to, and the
// prefix of the logical message that brings it into a transaction:
//
//	SELECT pg_logical_emit_message(true, 'traceparent',
//		'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')
const traceParent = "traceparent"

// traceForm is that of version 00, in which other versions are taken too; ff is none, nor is a trace or a
// span of zeros.
var (
	traceForm = regexp.MustCompile(`^[0-9a-e][0-9a-f]-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$|` +
		`^f[0-9a-e]-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	noTrace = []byte("-00000000000000000000000000000000-")
	noSpan  = []byte("-0000000000000000-")
)

// trace has the records that follow in a transaction bear its traceparent. One that is not well formed is
// left out, as the standard has it: an empty or broken header breaks the trace of whoever reads it. Under
// Debezium's compatibility the records have Debezium's headers and no other, but belong to the trace too.
func (b *builder) trace(c *decoder.Change) {
	if !c.Transactional || c.Prefix != traceParent || !traceForm.Match(c.Content) ||
		bytes.Contains(c.Content, noTrace) || bytes.Contains(c.Content, noSpan) {
		return
	}
	b.traced = string(c.Content)
	if b.debezium {
		return
	}
	// The records on their way hold the slice: a new one for each transaction.
	headers := make([]kgo.RecordHeader, 0, len(b.untraced)+1)
	b.headers = append(append(headers, b.untraced...), kgo.RecordHeader{
		Key: traceParent, Value: bytes.Clone(c.Content),
	})
}

// untrace ends what trace began.
func (b *builder) untrace() { b.headers, b.traced = b.untraced, "" }

package publisher

import "github.com/tributary-cdc/tributary/decoder"

// Taken is what another program, Debezium, has published behind Options.Start: the beginning of one
// transaction. Debezium stores no ordinal, so the beginning is known by the LSN of its last change.
type Taken struct {
	// LSN is what the other program stored as its last event's. The position that is taken over keeps it for
	// good, to tell a later takeover from the same one begun again.
	LSN decoder.LSN `json:"lsn"`
	// LastCommit is the other program's Stored.LastCommit.
	LastCommit decoder.LSN `json:"last_commit,omitempty"`
	// XID is the transaction that the event belongs to; 0 when nothing behind Options.Start is published.
	XID uint32 `json:"xid,omitempty"`
	// Changes is how many of the transaction's changes at LSN are published: rows of one COPY share an LSN,
	// and one that shares it with the last event is not proven by it.
	Changes int `json:"changes,omitempty"`
	// Counts are the transaction's numbered changes, as in Split.
	Counts []TableCount `json:"counts,omitempty"`
	// Passed says that the stream is behind it all.
	Passed bool `json:"passed,omitempty"`
}

// passed returns t as it is behind the stream's first transaction.
func (t *Taken) passed() *Taken {
	if t == nil || t.Passed {
		return t
	}
	after := *t
	after.Passed = true
	return &after
}

// takes says that the transaction is the one of which another program has published the beginning.
func (e *encoder) takes(t *decoder.Transaction) bool {
	k := e.at.taken
	return k != nil && !k.Passed && k.XID != 0 && k.XID == t.XID && !isLone(t)
}

// taken says that another program has published a change. Within a transaction the server sends changes in
// the order of their LSNs, so those before the last published one are all published.
func (e *encoder) taken(t *decoder.Transaction, c *decoder.Change) bool {
	if !e.takes(t) {
		return false
	}
	k := e.at.taken
	if c.LSN < k.LSN {
		return true
	}
	if c.LSN == k.LSN && e.shared < k.Changes {
		e.shared++
		return true
	}
	e.at.taken = k.passed()
	return false
}

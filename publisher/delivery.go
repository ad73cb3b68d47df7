package publisher

import (
	"errors"
	"slices"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
)

// Delivery is what became of one delivery window, for whoever traces: see Options.Delivered.
type Delivery struct {
	// Epoch and Window are the window's numbers in the ledger. One that was not delivered leaves its number to
	// the next.
	Epoch, Window uint64
	Mode          Mode
	// Began is when its first record was made, Ended when its position was stored or it failed.
	Began, Ended time.Time
	// First and Last are the positions of its first and last streamed change, zero without one, and Snapshot
	// the consistent point of its snapshot rows, 0 without any.
	First, Last decoder.Position
	Snapshot    decoder.LSN
	// Resume is up to where everything is published whole with this window; 0 when it was not delivered.
	Resume decoder.LSN
	// Transactions counts the Postgres transactions that ended in it with a record. Records and Bytes, of keys
	// and values before compression, are those of tables, messages, marks and heartbeats.
	Transactions, Records, Bytes int
	// Traces are the traceparents that its transactions were given, each once, at most MaxTraces.
	Traces []string
	// Err is why it was not delivered, nil when it was. What it held comes again.
	Err error
}

// MaxTraces is how many traceparents a Delivery names: as many as a span of OpenTelemetry links to by
// default.
const MaxTraces = 128

// errUnended ends a window whose last transaction is not whole.
var errUnended = errors.New("stopped before the end of a transaction was read")

// account sums up windows for a Delivery.
type account struct {
	began                        time.Time
	transactions, records, bytes int
	traces                       []string
}

// join adds the window that follows.
func (a *account) join(w *window) {
	if a.records == 0 {
		a.began = w.began
	}
	a.transactions += w.transactions
	a.records += w.n
	a.bytes += w.size
	for _, trace := range w.traces {
		if len(a.traces) < MaxTraces && !slices.Contains(a.traces, trace) {
			a.traces = append(a.traces, trace)
		}
	}
}

// reset empties the account and keeps its memory.
func (a *account) reset() { *a = account{traces: a.traces[:0]} }

// belongs has the window known to hold records of a trace. Those before since are of earlier transactions,
// which may move to another window without this one.
func (w *window) belongs(trace string, since int) {
	if n := len(w.traces); n >= MaxTraces || n > since && w.traces[n-1] == trace {
		return
	}
	w.traces = append(w.traces, trace)
}

// delivery is what there is to tell of windows that lead to a stored position, or were to.
func (p *Publisher) delivery(g *group, next *Stored) Delivery {
	if p.o.Delivered == nil {
		return Delivery{}
	}
	return Delivery{
		Epoch: next.Epoch, Window: next.Window, Mode: p.o.Mode, Began: g.account.began,
		First: g.span.first, Last: g.span.last, Snapshot: g.span.snapshot, Resume: next.Resume,
		Transactions: g.account.transactions, Records: g.account.records, Bytes: g.account.bytes,
		Traces: slices.Clone(g.account.traces),
	}
}

// tell passes on what became of a delivery. An advance without a record is not worth it.
func (p *Publisher) tell(d Delivery, err error) {
	if p.o.Delivered == nil || d.Records == 0 {
		return
	}
	if d.Ended, d.Err = time.Now(), err; err != nil {
		d.Resume = 0
	}
	p.o.Delivered(d)
}

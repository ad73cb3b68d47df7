package audit

import (
	"fmt"
	"strconv"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
)

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Problem is one thing that is not as the ledger, or the order of the log, says. Its JSON is that of verify
// --log --json.
type Problem struct {
	// What is one word: gap, twice, backward, missing, unaccounted, changed, torn, partition, doubled,
	// malformed.
	What string `json:"what"`
	// Epoch and Window say which window; Window is 0 when it is not of one.
	Epoch     uint64 `json:"epoch"`
	Window    uint64 `json:"window,omitempty"`
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition"`
	// Offset is that of the first record meant, -1 for none.
	Offset int64  `json:"offset"`
	Detail string `json:"detail"`
}

// String tells the problem in one line.
func (p Problem) String() string {
	where := ""
	if p.Topic != "" {
		where = fmt.Sprintf(" %s/%d", p.Topic, p.Partition)
	}
	if p.Offset >= 0 {
		where += fmt.Sprintf(" offset %d", p.Offset)
	}
	if p.Window > 0 {
		where += fmt.Sprintf(" window %d", p.Window)
		if p.Epoch > 0 {
			where += fmt.Sprintf(" of epoch %d", p.Epoch)
		}
	}
	return p.What + where + ": " + p.Detail
}

// Log is what became of the audit of a log. Its JSON is that of verify --log --json.
type Log struct {
	// From and To are the first and the last window that the ledger still has, Since when the first was written.
	From     uint64    `json:"from_window"`
	To       uint64    `json:"to_window"`
	Epochs   uint64    `json:"epochs"`
	Since    time.Time `json:"since"`
	Complete bool      `json:"complete"` // From is the pipeline's first window
	Windows  int64     `json:"windows"`
	// Records and Bytes were counted again and are as the ledger says.
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
	// Before are records from before the first window that the ledger has for their partition.
	Before int64 `json:"before"`
	// Expired are the ledger's records that the topics' retention has deleted.
	Expired int64 `json:"expired"`
	// Rewound are windows that repeat what an earlier epoch had, Repeated those that repeat a suffix after a
	// restart in at-least-once, and RepeatedRecords the records of such a suffix that no window counts.
	Rewound         int64 `json:"rewound"`
	Repeated        int64 `json:"repeated"`
	RepeatedRecords int64 `json:"repeated_records"`
	// Uncounted are the last records in at-least-once, which no window counts yet.
	Uncounted int64 `json:"uncounted"`
	// Replayed are records that a replay published: they are in its own ledger.
	Replayed int64 `json:"replayed"`
	// NotRecounted are topics that cannot be: compaction has taken records of them.
	NotRecounted []string `json:"not_recounted,omitempty"`
	// Problems are the first ones, Found is how many there are.
	Found    int64     `json:"problems_found"`
	Problems []Problem `json:"problems,omitempty"`
}

// maxProblems is how many problems a Log holds.
const maxProblems = 100

// Clean says that nothing was found.
func (l *Log) Clean() bool { return l.Found == 0 }

// problem notes a problem.
func (l *Log) problem(p Problem) {
	l.Found++
	if len(l.Problems) < maxProblems {
		l.Problems = append(l.Problems, p)
	}
}

// Ledger is a pipeline's ledger as it is read, and the audit of what it says of itself.
type Ledger struct {
	Log
	windows []window
	shares  map[TopicPartition][]share
	last    window
	runs    map[string]bool // those that have windows
	highest position        // of all epochs
	covered position        // of this one
	reached position        // of its last run
}

// position is a decoder.Position that may be none.
type position struct {
	decoder.Position
	set bool
}

// window is what the audit keeps of a window.
type window struct {
	epoch, number uint64
	run           string
	exact         bool
	resume        decoder.LSN
	// halves are the sum over the deletes of key changes less that over their inserts: 0 when all are whole.
	// deletes and inserts count them.
	halves           uint64
	deletes, inserts int
}

// share is what a window has in one partition.
type share struct {
	window  int // index
	records int64
	bytes   int64
	crc     uint32
}

// NewLedger returns an empty one.
func NewLedger() *Ledger {
	return &Ledger{shares: map[TopicPartition][]share{}, runs: map[string]bool{}}
}

// Partitions returns the partitions in which the windows have records.
func (l *Ledger) Partitions() []TopicPartition {
	all := make([]TopicPartition, 0, len(l.shares))
	for tp := range l.shares {
		all = append(all, tp)
	}
	return all
}

// Add takes a ledger record; they come in the order of their offsets.
func (l *Ledger) Add(r publisher.LedgerRecord) error {
	w := window{
		epoch: r.Epoch, number: r.Window, run: r.Run, exact: r.Mode == publisher.ExactlyOnce.String(),
		resume: r.Resume,
	}
	late := !w.exact && w.epoch == l.last.epoch && w.run != l.last.run && l.runs[w.run]
	switch {
	case late:
		l.Repeated++ // it lay in a socket when its run was over; what follows does not follow it
	case l.Windows == 0:
		l.From, l.Since, l.Complete = r.Window, r.Written, r.Window == 1 && r.Epoch == 0
	default:
		l.follows(&w)
	}
	if l.Windows == 0 || w.epoch != l.last.epoch {
		l.reached, l.covered = position{}, position{}
		l.Epochs++
	}
	if !late {
		l.positions(&w, &r)
		l.To, l.last, l.runs[w.run] = r.Window, w, true
	}
	l.Windows++
	index := len(l.windows)
	l.windows = append(l.windows, w)
	for topic, partitions := range r.Partitions {
		for text, count := range partitions {
			p, errPartition := strconv.ParseInt(text, 10, 32)
			crc, errCRC := strconv.ParseUint(count.CRC32C, 16, 32)
			if errPartition != nil || errCRC != nil || count.Records <= 0 {
				return fmt.Errorf("read the ledger record of window %d: the count of %s/%s", r.Window, topic, text)
			}
			tp := TopicPartition{topic, int32(p)}
			l.shares[tp] = append(l.shares[tp], share{index, count.Records, count.Bytes, uint32(crc)})
		}
	}
	return nil
}

// at returns a problem of a window.
func (w *window) at(what, detail string, args ...any) Problem {
	return Problem{What: what, Epoch: w.epoch, Window: w.number, Offset: -1, Detail: fmt.Sprintf(detail,
		args...)}
}

// follows checks a window's number.
func (l *Ledger) follows(w *window) {
	before := &l.last
	switch {
	case w.epoch < before.epoch:
		l.problem(w.at("backward", "it follows window %d of epoch %d", before.number, before.epoch))
	case w.epoch > before.epoch && w.number != 1 && w.number != before.number+1:
		l.problem(w.at("gap", "it follows window %d of epoch %d", before.number, before.epoch))
	case w.epoch > before.epoch || w.number == before.number+1:
	case w.number > before.number:
		l.problem(w.at("gap", "it follows window %d", before.number))
	case !w.exact && w.run != before.run:
		l.Repeated++ // its ledger record arrived, and its position did not
	case w.number == before.number:
		l.problem(w.at("twice", "window %d is in the ledger twice", w.number))
	default:
		l.problem(w.at("backward", "it follows window %d", before.number))
	}
}

// positions checks that a window lies behind the one before.
func (l *Ledger) positions(w *window, r *publisher.LedgerRecord) {
	again := !w.exact && w.run != l.last.run
	if l.Windows > 0 && w.epoch == l.last.epoch && w.resume < l.last.resume && !again {
		l.problem(w.at("backward", "resume %s, and %s in the window before", w.resume, l.last.resume))
	}
	if again {
		l.reached = position{} // a restart repeats what it found no stored position of, in any number of windows
	}
	if r.First == nil || r.Last == nil {
		return
	}
	first := decoder.Position{Commit: r.First.Commit, Ordinal: r.First.Ordinal}
	last := decoder.Position{Commit: r.Last.Commit, Ordinal: r.Last.Ordinal}
	if first.Compare(last) > 0 {
		l.problem(w.at("backward", "its first change stands at %s and its last at %s", first.Commit, last.Commit))
	}
	switch {
	case l.reached.notBefore(first):
		l.problem(w.at("backward", "it begins at %s/%d, and what is before it reaches to %s/%d", first.Commit,
			first.Ordinal, l.reached.Commit, l.reached.Ordinal))
	case l.covered.notBefore(first):
		l.Repeated++
	case l.highest.notBefore(first):
		l.Rewound++
	}
	l.reached.reach(last)
	l.covered.reach(last)
	l.highest.reach(last)
}

// notBefore says whether a change at a position is there already.
func (p *position) notBefore(other decoder.Position) bool {
	return p.set && other.Compare(p.Position) <= 0
}

// reach moves on to a position, and never back.
func (p *position) reach(other decoder.Position) {
	if !p.set || other.Compare(p.Position) > 0 {
		*p = position{other, true}
	}
}

// finish checks, once all partitions are read, that no window holds a part of a key change: whole says which
// windows were recounted in every partition that they touch.
func (l *Ledger) finish(whole func(window int) bool) {
	for i := range l.windows {
		w := &l.windows[i]
		if (w.halves != 0 || w.deletes != w.inserts) && whole(i) {
			l.problem(w.at("torn", "%d deletes of changed keys and %d inserts under the new ones", w.deletes,
				w.inserts))
		}
	}
}

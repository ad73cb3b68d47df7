package audit

import (
	"slices"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/publisher"
)

// sentAgain is what another producer sent of the same changes, at another time.
func sentAgain(records []*kgo.Record, producer int64) []*kgo.Record {
	var made []*kgo.Record
	for _, r := range records {
		again := *r
		again.ProducerID = producer
		if again.Value = slices.Clone(r.Value); r.Value != nil {
			again.Value[len(again.Value)-1] ^= 2 // ts_ms
		}
		made = append(made, &again)
	}
	return made
}

// takenOver is a log of two runs in at-least-once: b has taken over from a with window 16, and the broker
// knows them as producers 1 and 2.
func takenOver(t *testing.T) *written {
	w := newWritten(t)
	for i := range w.ledger {
		w.ledger[i].Mode = "at-least-once"
		if i >= 15 {
			w.ledger[i].Run = "b"
		}
	}
	for p := range w.records {
		from, _ := w.share(15, p)
		for i, r := range w.records[p] {
			r.ProducerID = 1
			if i >= from {
				r.ProducerID = 2
			}
		}
	}
	return w
}

// insert puts records into a partition's log.
func (w *written) insert(p, at int, records ...*kgo.Record) {
	w.records[p] = slices.Insert(slices.Clone(w.records[p]), at, records...)
}

// strayLogs are logs of two runs in which records of another producer arrive late.
var strayLogs = map[string]struct {
	spoil    func(w *written)
	want     string
	repeated int64
}{
	"in the middle of a window": {func(w *written) {
		from, _ := w.share(17, 0)
		w.insert(0, from+1, sentAgain(w.records[0][from-3:from], 1)...)
	}, "", 3},
	"before what they repeat": {func(w *written) {
		from, n := w.share(17, 0)
		w.insert(0, from+1, sentAgain(w.records[0][from+n:from+n+3], 1)...)
	}, "", 3},
	"in two windows": {func(w *written) {
		from, n := w.share(17, 0)
		again := sentAgain(w.records[0][from-4:from], 1)
		w.insert(0, from+n+2, again[2:]...)
		w.insert(0, from+2, again[:2]...)
	}, "", 4},
	"of two instances": {func(w *written) {
		from, _ := w.share(17, 0)
		w.insert(0, from+2, sentAgain(w.records[0][from-4:from], 7)...)
		w.insert(0, from+1, sentAgain(w.records[0][from-3:from], 1)...)
	}, "", 7},
	"with their window": {func(w *written) {
		late := w.ledger[16]
		late.Run, late.Partitions = "a", map[string]map[string]publisher.LedgerCount{"t": {}}
		for p := range w.records {
			from, n := w.share(16, p)
			if n == 0 {
				continue
			}
			again := sentAgain(w.records[p][from:from+n], 1)
			w.insert(p, from+n+1, again...)
			late.Partitions["t"][strconv.Itoa(p)] = counted(again)
		}
		w.ledger = slices.Insert(w.ledger, 19, late)
	}, "", 0},
	"with a window that ends behind its successor's first": {func(w *written) {
		from, n := w.share(14, 0)
		next := slices.Clone(w.records[0][from+n : from+n+2])
		w.records[0] = slices.Delete(slices.Clone(w.records[0]), from+n, from+n+2)
		w.insert(0, from+1, next...)
	}, "", 0},
	"of a change that nobody else has": {func(w *written) {
		from, _ := w.share(17, 0)
		key, value := w.b.record(change{op: 'u', row: "1 y 1", lsn: 16001, txID: 16000})
		w.insert(0, from+1, &kgo.Record{Topic: "t", Key: key, Value: value, ProducerID: 1})
	}, "unaccounted", 0},
	"by the same producer": {func(w *written) {
		from, _ := w.share(17, 0)
		w.insert(0, from+1, sentAgain(w.records[0][from-3:from], 2)...)
	}, "changed", 0},
	"and a record is missing": {func(w *written) {
		from, _ := w.share(17, 0)
		w.records[0] = slices.Delete(slices.Clone(w.records[0]), from+2, from+3)
		w.insert(0, from+1, sentAgain(w.records[0][from-3:from], 1)...)
	}, "changed", 0},
	"in exactly-once": {func(w *written) {
		for i := range w.ledger {
			w.ledger[i].Mode = "exactly-once"
		}
		from, _ := w.share(17, 0)
		w.insert(0, from+1, sentAgain(w.records[0][from-3:from], 1)...)
	}, "changed", 0},
}

// TestLogStrays: what lay in the sockets of an instance that was replaced arrives among the records of its
// successor. It is counted, wherever it stands, and nothing else passes for it.
func TestLogStrays(t *testing.T) {
	for name, test := range strayLogs {
		t.Run(name, func(t *testing.T) {
			w := takenOver(t)
			test.spoil(w)
			l := w.audit(t, len(w.ledger))
			got := ""
			for _, p := range l.Problems {
				got += p.What
			}
			if got != test.want || l.RepeatedRecords != test.repeated {
				t.Errorf("%q and %d repeated, want %q and %d: %v", got, l.RepeatedRecords, test.want, test.repeated,
					l.Problems)
			}
		})
	}
}

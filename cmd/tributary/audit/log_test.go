package audit

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/publisher"
	"github.com/tributary-cdc/tributary/schema"
)

// written is a log as a pipeline wrote it: the records of each partition, and the ledger.
type written struct {
	b       *bench
	records [2][]*kgo.Record
	ledger  []publisher.LedgerRecord
	options PartitionOptions
}

// window appends a window of changes and its ledger record.
func (w *written) window(changes ...change) {
	number := uint64(len(w.ledger) + 1)
	r := publisher.LedgerRecord{
		Version: 1, Mode: "exactly-once", Window: number, Run: "a",
		Resume: decoder.LSN(number * 1000), Partitions: map[string]map[string]publisher.LedgerCount{"t": {}},
	}
	var added [2][]*kgo.Record
	for _, c := range changes {
		key, value := w.b.record(c)
		record := &kgo.Record{Topic: "t", Key: key, Value: value}
		if half := map[bool]string{
			true:  headerNewKey,
			false: headerOldKey,
		}[c.op != 'c']; c.partition == halfChange {
			record.Headers = []kgo.RecordHeader{{Key: half, Value: []byte("{}")}}
		}
		record.Partition = int32(kgo.StickyKeyPartitioner(nil).ForTopic("t").Partition(record, 2))
		added[record.Partition] = append(added[record.Partition], record)
		if c.lsn > 0 {
			at := &publisher.LedgerPosition{Commit: decoder.LSN(c.lsn), Ordinal: 1}
			if r.First == nil {
				r.First = at
			}
			r.Last = at
		}
	}
	for p, records := range added {
		if len(records) > 0 {
			r.Partitions["t"][strconv.Itoa(p)] = counted(records)
			w.records[p] = append(w.records[p], records...)
		}
	}
	w.ledger = append(w.ledger, r)
}

// halfChange as a change's partition puts the header of a key change on its record.
const halfChange = 99

// counted sums up records as the ledger's documentation says.
func counted(records []*kgo.Record) publisher.LedgerCount {
	var all bytes.Buffer
	n := int64(0)
	for _, r := range records {
		for _, part := range [][]byte{r.Key, r.Value} {
			length := uint32(len(part))
			if part == nil {
				length = 0xffffffff
			}
			_ = binary.Write(&all, binary.BigEndian, length) // to memory
			all.Write(part)
			n += int64(len(part))
		}
	}
	return publisher.LedgerCount{
		Records: int64(len(records)), Bytes: n,
		CRC32C: fmt.Sprintf("%08x", crc32.Checksum(all.Bytes(), crc32.MakeTable(crc32.Castagnoli))),
	}
}

// newWritten is a good log: 30 windows with inserts, updates, deletes and key changes in both partitions.
func newWritten(t *testing.T) *written {
	t.Helper()
	w := &written{b: newBench(t, relation(0), schema.Avro)}
	w.window(change{op: 'r', row: "1 one 1", txID: 90}, change{op: 'r', row: "2 two 2", txID: 90})
	for i := range 29 {
		id, lsn := strconv.Itoa(10+2*i), int64(1000*(i+1))
		next := strconv.Itoa(11 + 2*i)
		w.window(
			change{op: 'c', row: id + " a 1", lsn: lsn, txID: lsn}, change{
				op: 'u', row: id + " b 2", lsn: lsn + 1,
				txID: lsn,
			},
			change{op: 'd', row: id, lsn: lsn + 2, txID: lsn, partition: halfChange}, change{row: id},
			change{op: 'c', row: next + " b 2", lsn: lsn + 2, txID: lsn, partition: halfChange},
			change{op: 'u', row: "1 x 1", lsn: lsn + 3, txID: lsn}, change{
				op: 'u', row: "2 x 1", lsn: lsn + 4,
				txID: lsn,
			},
			change{op: 'd', row: next, lsn: lsn + 5, txID: lsn}, change{row: next})
	}
	return w
}

// audit runs the audit. The floor is how many windows had been committed before the ends were looked up.
func (w *written) audit(t *testing.T, floor int) *Log {
	t.Helper()
	l := NewLedger()
	for _, r := range w.ledger {
		if err := l.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	var all []*Partition
	for number, records := range w.records {
		o := w.options
		o.TopicPartition, o.Partitions = TopicPartition{"t", int32(number)}, 2
		o.Ledger, o.Reader = l, w.b.reader
		p := NewPartition(o)
		for i, r := range records {
			copied := *r
			copied.Offset, copied.Partition = int64(100+i), int32(number)
			if err := p.Record(t.Context(), &copied); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, p)
	}
	for _, p := range all {
		p.End(floor)
	}
	l.Finish(all)
	return &l.Log
}

// find returns where the n-th record of an operation stands; 0 is a tombstone.
func (w *written) find(op byte, n int) (partition, at int) {
	for p, records := range w.records {
		for i, r := range records {
			rec, err := w.b.reader.value(w.b.t.Context(), r.Value)
			if err != nil {
				w.b.t.Fatal(err)
			}
			if byte(rec.Op) == op {
				if n--; n < 0 {
					return p, i
				}
			}
		}
	}
	w.b.t.Fatalf("no such record")
	return 0, 0
}

// cut removes the n-th record of an operation, and puts others in its place.
func (w *written) cut(op byte, n int, instead ...*kgo.Record) {
	p, i := w.find(op, n)
	w.records[p] = slices.Concat(w.records[p][:i], instead, w.records[p][i+1:])
}

// recount makes the ledger agree with the records of a window, in one partition: the pipeline itself was
// wrong.
func (w *written) recount(index, partition, from, n int) {
	w.ledger[index].Partitions["t"][strconv.Itoa(partition)] = counted(w.records[partition][from : from+n])
}

// share is where a window's records of a partition begin, and how many there are.
func (w *written) share(index, partition int) (from, n int) {
	for i := range index {
		from += int(w.ledger[i].Partitions["t"][strconv.Itoa(partition)].Records)
	}
	return from, int(w.ledger[index].Partitions["t"][strconv.Itoa(partition)].Records)
}

// remake changes the records of window 10 in partition 0 and what the ledger says of them.
func (w *written) remake(change func(records []*kgo.Record) []*kgo.Record) {
	const index, partition = 9, 0
	from, n := w.share(index, partition)
	records := w.records[partition]
	made := change(slices.Clone(records[from : from+n]))
	w.records[partition] = slices.Concat(records[:from], made, records[from+n:])
	w.recount(index, partition, from, len(made))
}

// isDelete says that a record with the tests' key and value is a delete.
func (w *written) isDelete(r *kgo.Record) bool {
	rec, err := w.b.reader.value(w.b.t.Context(), r.Value)
	return err == nil && rec.Op == schema.OpDelete
}

// spoiltLogs are logs with one thing wrong each, or with something that only looks so.
var spoiltLogs = []struct {
	name  string
	spoil func(w *written)
	want  string // the kinds of the problems, in order
	check func(l *Log) bool
}{
	{"clean", func(*written) {}, "", func(l *Log) bool {
		return l.Records == 29*9+2 && l.Windows == 30 &&
			l.Complete
	}},
	{"a record missing", func(w *written) { w.cut('u', 10) }, "changed", nil},
	{"a stray record", func(w *written) {
		p, i := w.find('d', 10)
		w.cut('d', 10, w.records[p][i], w.records[p][i])
	}, "changed", nil},
	{"a stray record between windows", func(w *written) {
		from, _ := w.share(12, 0)
		w.records[0] = slices.Insert(slices.Clone(w.records[0]), from, w.records[0][0])
	}, "unaccounted", nil},
	{
		"a stray record at the end", func(w *written) { w.records[0] = append(w.records[0], w.records[0][0]) },
		"unaccounted", nil,
	},
	{"two records change places", func(w *written) {
		from, _ := w.share(9, 0)
		w.records[0][from], w.records[0][from+1] = w.records[0][from+1], w.records[0][from]
	}, "changed", nil},
	{"a changed byte", func(w *written) {
		p, i := w.find('u', 10)
		r := *w.records[p][i]
		r.Value = slices.Clone(r.Value)
		r.Value[len(r.Value)-1] ^= 2
		w.cut('u', 10, &r)
	}, "changed", nil},
	{"an empty value instead of a tombstone", func(w *written) {
		p, i := w.find(0, 4)
		r := *w.records[p][i]
		r.Value = []byte{}
		w.cut(0, 4, &r)
	}, "malformed changed", nil},
	{"a window's records missing", func(w *written) {
		from, n := w.share(9, 0)
		w.records[0] = slices.Delete(w.records[0], from, from+n)
	}, "missing", nil},
	{"the last window's records missing", func(w *written) {
		from, n := w.share(29, 1)
		w.records[1] = slices.Delete(w.records[1], from, from+n)
	}, "missing", nil},
	{
		"the last window cut in two", func(w *written) { w.records[1] = w.records[1][:len(w.records[1])-1] },
		"changed", nil,
	},
	{
		"a gap in the ledger", func(w *written) { w.ledger = slices.Delete(w.ledger, 9, 10) },
		"gap unaccounted unaccounted", nil,
	},
	{"a window twice in the ledger", func(w *written) { w.ledger[9].Window = 9 }, "twice gap", nil},
	{"an epoch goes back", func(w *written) { w.ledger[8].Epoch = 1 }, "backward", nil},
	{
		"a position goes back", func(w *written) {
			w.ledger[9].First = &publisher.LedgerPosition{
				Commit:  3000,
				Ordinal: 1,
			}
		},
		"backward", nil,
	},
	{"a resume goes back", func(w *written) { w.ledger[9].Resume = 5 }, "backward", nil},
	{"a torn delete", func(w *written) {
		w.remake(func(records []*kgo.Record) []*kgo.Record {
			return slices.DeleteFunc(records, func(r *kgo.Record) bool { return r.Value == nil })
		})
	}, "torn", nil},
	{"a tombstone before its delete", func(w *written) {
		w.remake(func(records []*kgo.Record) []*kgo.Record {
			i := slices.IndexFunc(records, w.isDelete)
			records[i], records[i+1] = records[i+1], records[i]
			return records
		})
	}, "torn", nil},
	{"a torn key change", func(w *written) {
		w.remake(func(records []*kgo.Record) []*kgo.Record {
			i := slices.IndexFunc(records, func(r *kgo.Record) bool { return len(r.Headers) > 0 })
			n := 1
			if w.isDelete(records[i]) {
				n = 2
			}
			return slices.Delete(records, i, i+n)
		})
	}, "torn", nil},
	{"a wrong partition", func(w *written) {
		w.remake(func(records []*kgo.Record) []*kgo.Record {
			return slices.Insert(records, 0, w.records[1][0])
		})
	}, "partition backward", nil},
	{"a change twice, as the ledger says", func(w *written) {
		w.remake(func(records []*kgo.Record) []*kgo.Record {
			return append(records[:1:1], records...)
		})
	}, "doubled", nil},
	{"changes out of order, as the ledger says", func(w *written) {
		w.remake(func(records []*kgo.Record) []*kgo.Record {
			records[0], records[1] = records[1], records[0]
			return records
		})
	}, "backward", nil},
	{"records from before", func(w *written) {
		w.records[0] = slices.Concat([]*kgo.Record{w.records[0][3], w.records[0][4]}, w.records[0])
	}, "", func(l *Log) bool { return l.Before == 2 }},
	{
		"an old ledger that is gone", func(w *written) { w.ledger = w.ledger[10:] }, "",
		func(l *Log) bool { return l.From == 11 && !l.Complete && l.Before == 9*9+2 && l.Records == 20*9 },
	},
	{"old records that are gone", func(w *written) {
		w.options.Truncated = true
		w.records[0], w.records[1] = w.records[0][30:], w.records[1][31:]
	}, "", func(l *Log) bool { // what is left of a window that is cut in two is neither
		return l.Expired == 61 && l.Records+l.Expired > 28*9 && l.Records+l.Expired < 29*9+2
	}},
	{
		"all records are gone", func(w *written) { w.options.Truncated, w.records = true, [2][]*kgo.Record{} }, "",
		func(l *Log) bool { return l.Expired == 29*9+2 },
	},
	{
		"old records that are gone though nothing was deleted",
		func(w *written) { w.records[0] = w.records[0][30:] },
		"changed", nil,
	},
}

// TestLog: each mistake is found, as what it is and no more often than it is there.
func TestLog(t *testing.T) {
	for _, test := range spoiltLogs {
		t.Run(test.name, func(t *testing.T) {
			w := newWritten(t)
			test.spoil(w)
			l := w.audit(t, len(w.ledger))
			var kinds []string
			for _, p := range l.Problems {
				kinds = append(kinds, p.What)
			}
			if got := strings.Join(kinds, " "); got != test.want || l.Clean() != (test.want == "") {
				t.Errorf("got %q, want %q: %v", got, test.want, l.Problems)
			}
			if test.check != nil && !test.check(l) {
				t.Errorf("%+v", l)
			}
		})
	}
}

// TestLogEnd: a window that was committed while the ends were looked up may be there in part.
func TestLogEnd(t *testing.T) {
	w := newWritten(t)
	w.records[1] = w.records[1][:len(w.records[1])-1]
	if l := w.audit(t, len(w.ledger)-1); !l.Clean() {
		t.Errorf("%v", l.Problems)
	}
	w = newWritten(t)
	w.records[0] = append(w.records[0], w.records[0][0])
	if l := w.audit(t, len(w.ledger)-1); l.Clean() {
		t.Error("a stray record behind the last window is not found")
	}
}

// TestLogRewound: a new epoch repeats what was before, and that is counted.
func TestLogRewound(t *testing.T) {
	w := newWritten(t)
	const back = 20
	for p := range w.records {
		from, _ := w.share(back, p)
		w.records[p] = append(w.records[p], w.records[p][from:]...)
	}
	for _, r := range w.ledger[back:] {
		r.Epoch, r.Run, r.Window = 1, "b", r.Window-back
		w.ledger = append(w.ledger, r)
	}
	if l := w.audit(t, len(w.ledger)); !l.Clean() || l.Rewound != 10 || l.Epochs != 2 {
		t.Errorf("%+v", l)
	}
	w.ledger[len(w.ledger)-10].Epoch = 0
	if l := w.audit(t, len(w.ledger)); l.Clean() {
		t.Error("the same within an epoch is taken")
	}
}

// TestLogAtLeastOnce: a run that ends may leave records that no window counts, and the next repeats a suffix.
func TestLogAtLeastOnce(t *testing.T) {
	w := newWritten(t)
	for i := range w.ledger {
		w.ledger[i].Mode = "at-least-once"
	}
	for i := 15; i < 30; i++ {
		w.ledger[i].Run = "b"
	}
	for p := range w.records {
		from, n := w.share(15, p)
		suffix := slices.Clone(w.records[p][from : from+n])
		for i, r := range suffix { // sent at another time
			again := *r
			if again.Value = slices.Clone(r.Value); r.Value != nil {
				again.Value[len(again.Value)-1] ^= 2
			}
			suffix[i] = &again
		}
		w.records[p] = slices.Insert(slices.Clone(w.records[p]), from, suffix...)
	}
	if l := w.audit(t, len(w.ledger)); !l.Clean() || l.RepeatedRecords != 9 {
		t.Errorf("%+v", l)
	}
	p, i := w.find('u', 40) // in the same run
	w.records[p] = slices.Insert(w.records[p], i, w.records[p][i])
	if l := w.audit(t, len(w.ledger)); l.Clean() {
		t.Error("a repetition within a run is taken")
	}
	w = newWritten(t)
	for i := range w.ledger {
		w.ledger[i].Mode = "at-least-once"
	}
	w.ledger = w.ledger[:29]
	if l := w.audit(t, 29); !l.Clean() || l.Uncounted != 9 {
		t.Errorf("records that are not counted yet: %+v", l)
	}
}

// TestLogRepeatedWindows: what a run repeats may be several windows, and they follow each other.
func TestLogRepeatedWindows(t *testing.T) {
	w := newWritten(t)
	for p := range w.records {
		from, _ := w.share(20, p)
		w.records[p] = append(w.records[p], w.records[p][from:]...)
	}
	repeated := slices.Clone(w.ledger[20:])
	for i := range repeated {
		repeated[i].Run, repeated[i].Window = "b", uint64(31+i)
	}
	w.ledger = append(w.ledger, repeated...)
	if l := w.audit(t, len(w.ledger)); l.Clean() {
		t.Error("exactly-once repeats windows, and nothing is found")
	}
	for i := range w.ledger {
		w.ledger[i].Mode = "at-least-once"
	}
	if l := w.audit(t, len(w.ledger)); !l.Clean() || l.Repeated != 10 || l.Rewound != 0 {
		t.Errorf("%+v", l)
	}
	w.ledger[33].First, w.ledger[33].Last = w.ledger[31].First, w.ledger[31].Last
	if l := w.audit(t, len(w.ledger)); l.Clean() {
		t.Error("a run goes back within itself, and nothing is found")
	}
}

// TestShifted holds the arithmetic of CRCs against their definition.
func TestShifted(t *testing.T) {
	text := []byte("the quick brown fox jumps over the lazy dog, and once more over a dog that is not")
	for i := range text {
		first, second := crc32.Checksum(text[:i], castagnoli), crc32.Checksum(text[i:], castagnoli)
		if got := shifted(first, int64(len(text)-i)) ^ second; got != crc32.Checksum(text, castagnoli) {
			t.Fatalf("cut at %d: %08x", i, got)
		}
	}
}

// TestLedgerRefuses: a count that is none is an error and not a count of nothing.
func TestLedgerRefuses(t *testing.T) {
	for name, count := range map[string]publisher.LedgerCount{
		"x": {Records: 1, CRC32C: "00000000"}, "0": {Records: 1, CRC32C: "zz"}, "1": {CRC32C: "00000000"},
	} {
		r := publisher.LedgerRecord{
			Window:     1,
			Partitions: map[string]map[string]publisher.LedgerCount{"t": {name: count}},
		}
		if err := NewLedger().Add(r); err == nil {
			t.Errorf("partition %s: %+v is taken", name, count)
		}
	}
}

package publisher

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/tributary-cdc/tributary/decoder"
)

// ledgerVersion is the version of the ledger record.
const ledgerVersion = 1

// castagnoli is CRC-32C's table, for which processors have an instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// LedgerRecord is what the ledger topic says of one delivery window, as JSON, under the key
// pipeline/slot/window.
type LedgerRecord struct {
	Version  int    `json:"version"`
	Pipeline string `json:"pipeline"`
	Slot     string `json:"slot"`
	Mode     string `json:"mode"`
	Epoch    uint64 `json:"epoch"`
	Window   uint64 `json:"window"`
	// First and Last are the positions of the window's first and last streamed change, absent without one.
	First *LedgerPosition `json:"first,omitempty"`
	Last  *LedgerPosition `json:"last,omitempty"`
	// Resume is up to where everything is published whole with this window.
	Resume decoder.LSN `json:"resume"`
	// CommitTimes are the least and the greatest commit time in the window, in UTC, absent without a change.
	CommitTimes []time.Time `json:"commit_times,omitempty"`
	// Snapshot is the consistent point of the snapshot rows in the window, absent without any.
	Snapshot decoder.LSN `json:"snapshot,omitzero"`
	// Partitions holds the window's records by topic and partition; those of positions and ledger do not count.
	Partitions map[string]map[string]LedgerCount `json:"partitions"`
	Run        string                            `json:"run"`
	Written    time.Time                         `json:"written"`
}

// LedgerPosition is a decoder.Position in the ledger.
type LedgerPosition struct {
	Commit  decoder.LSN `json:"commit"`
	Ordinal uint64      `json:"ordinal"`
}

// LedgerCount sums up the records of one partition in the order of their offsets: how many, the bytes of
// keys and values, and the CRC-32C (Castagnoli, as 8 hexadecimal digits) over all of them, each as
//
//	length of the key, 4 bytes big-endian, ffffffff for null    the key
//	length of the value, likewise                               the value
//
// without anything between one record and the next.
type LedgerCount struct {
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"`
	CRC32C  string `json:"crc32c"`
}

// tally is a LedgerCount being made. Its zero value counts nothing.
type tally struct {
	records, bytes int64
	crc            uint32
}

// add counts a record.
func (t *tally) add(key, value []byte) {
	t.records++
	t.bytes += int64(len(key) + len(value))
	t.crc = addFramed(addFramed(t.crc, key), value)
}

// addFramed continues a CRC over a length and what has it. The length goes by the table: as a slice it would
// cost an allocation, because crc32.Update lets its argument escape.
func addFramed(crc uint32, p []byte) uint32 {
	length := uint32(len(p))
	if p == nil {
		length = 0xffffffff
	}
	crc = ^crc
	for shift := 24; shift >= 0; shift -= 8 {
		crc = castagnoli[byte(crc)^byte(length>>shift)] ^ crc>>8
	}
	return crc32.Update(^crc, castagnoli, p)
}

// join makes t what it would be with all that next counted added behind it.
func (t *tally) join(next tally) {
	t.crc = combineCRC(t.crc, next.crc, next.bytes+8*next.records)
	t.records += next.records
	t.bytes += next.bytes
}

// combineCRC returns the CRC-32C of the concatenation of two texts from theirs and the length of the second.
// Behind a first text the second's CRC is what it is behind nothing, xor the first's CRC moved on by as many
// zero bytes, and moving on is linear: a matrix over the two-element field, squared for each bit of the
// length.
func combineCRC(first, second uint32, length int64) uint32 {
	if length <= 0 {
		return first
	}
	var odd, even crcMatrix
	odd[0] = 0x82f63b78 // the polynomial, reversed: one zero bit
	for i := 1; i < 32; i++ {
		odd[i] = 1 << (i - 1)
	}
	even.square(&odd) // two zero bits
	odd.square(&even) // four
	for {
		even.square(&odd) // eight bits: one byte for the lowest bit of the length
		if length&1 != 0 {
			first = even.times(first)
		}
		if length >>= 1; length == 0 {
			return first ^ second
		}
		odd, even = even, odd
	}
}

// crcMatrix is a linear function on a CRC's bits: the image of each of them.
type crcMatrix [32]uint32

// times applies the function.
func (m *crcMatrix) times(vector uint32) (sum uint32) {
	for i := 0; vector != 0; i, vector = i+1, vector>>1 {
		if vector&1 != 0 {
			sum ^= m[i]
		}
	}
	return sum
}

// square makes m the function of applying of twice.
func (m *crcMatrix) square(of *crcMatrix) {
	for i := range m {
		m[i] = of.times(of[i])
	}
}

// tallies are the counts of a window, by the index of the topic, then by partition.
type tallies struct {
	byTopic [][]tally
	touched []*topic // in order of their first record
}

// at returns the tally of a partition.
func (t *tallies) at(to *topic, partition int32) *tally {
	for len(t.byTopic) <= to.index {
		t.byTopic = append(t.byTopic, nil)
	}
	counts := t.byTopic[to.index]
	if len(counts) == 0 {
		if cap(counts) >= int(to.partitions) {
			counts = counts[:to.partitions]
			clear(counts)
		} else {
			counts = make([]tally, to.partitions)
		}
		t.byTopic[to.index] = counts
		t.touched = append(t.touched, to)
	}
	return &counts[partition]
}

// reset forgets all counts and keeps their memory.
func (t *tallies) reset() {
	for _, to := range t.touched {
		t.byTopic[to.index] = t.byTopic[to.index][:0]
	}
	t.touched = t.touched[:0]
}

// join adds the counts of what follows.
func (t *tallies) join(next *tallies) {
	for _, to := range next.touched {
		for p, count := range next.byTopic[to.index] {
			if count.records > 0 {
				t.at(to, int32(p)).join(count)
			}
		}
	}
}

// partitions returns the counts as the ledger has them.
func (t *tallies) partitions() map[string]map[string]LedgerCount {
	all := make(map[string]map[string]LedgerCount, len(t.touched))
	for _, to := range t.touched {
		counts := make(map[string]LedgerCount)
		for p, count := range t.byTopic[to.index] {
			if count.records > 0 {
				counts[strconv.Itoa(p)] = LedgerCount{count.records, count.bytes, fmt.Sprintf("%08x", count.crc)}
			}
		}
		all[to.name] = counts
	}
	return all
}

// span is what of the stream a window covers.
type span struct {
	first, last      decoder.Position
	changes          bool // first, last and the times are set
	minTime, maxTime int64
	snapshot         decoder.LSN
}

// add extends the span by a streamed change.
func (s *span) add(p decoder.Position, commitTime int64) {
	if !s.changes {
		*s = span{first: p, changes: true, minTime: commitTime, maxTime: commitTime, snapshot: s.snapshot}
	}
	s.last = p
	s.minTime, s.maxTime = min(s.minTime, commitTime), max(s.maxTime, commitTime)
}

// join extends the span by what follows.
func (s *span) join(next span) {
	if next.snapshot != 0 {
		s.snapshot = next.snapshot
	}
	if next.changes {
		s.add(next.first, next.minTime)
		s.add(next.last, next.maxTime)
	}
}

// ledgerRecord returns the key and the value of a window's ledger record.
func ledgerRecord(o *Options, stored *Stored, s span, counts *tallies) (key, value []byte, err error) {
	r := LedgerRecord{
		Version: ledgerVersion, Pipeline: o.Pipeline, Slot: o.Slot, Mode: o.Mode.String(),
		Epoch: stored.Epoch, Window: stored.Window, Resume: stored.Resume, Snapshot: s.snapshot,
		Partitions: counts.partitions(), Run: stored.Run, Written: stored.Written,
	}
	if s.changes {
		r.First = &LedgerPosition{s.first.Commit, s.first.Ordinal}
		r.Last = &LedgerPosition{s.last.Commit, s.last.Ordinal}
		r.CommitTimes = []time.Time{time.UnixMicro(s.minTime).UTC(), time.UnixMicro(s.maxTime).UTC()}
	}
	value, err = json.Marshal(r)
	if err != nil {
		return nil, nil, fmt.Errorf("write the ledger of window %d: %w", stored.Window, err)
	}
	return []byte(o.positionKey() + "/" + strconv.FormatUint(stored.Window, 10)), value, nil
}

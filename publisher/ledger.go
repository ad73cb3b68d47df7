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
	// Partitions holds the window's records by topic and partition; those of positions and ledger do not
	// count.
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

// combineCRC returns the CRC-32C of the concatenation of two texts from theirs and the length of the
// second. A CRC is a polynomial over the two-element field, reduced by another one; behind a first text the
// second's is what it is behind nothing, plus (xor) the first's times x to the number of the bits behind
// it. That power is a product of the powers whose exponents are powers of two.
func combineCRC(first, second uint32, length int64) uint32 {
	for bit := 0; length > 0; bit, length = bit+1, length>>1 {
		if length&1 != 0 {
			first = timesCRC(crcPowers[bit], first)
		}
	}
	return first ^ second
}

// crcPowers are x to the power of 8, 16, 32 and so on: by how much a CRC moves on for 1, 2, 4 and so many
// bytes.
var crcPowers = makeCRCPowers()

func makeCRCPowers() (powers [63]uint32) {
	power := uint32(1) << 30 // x; bits are reversed, so that 1 is the topmost one
	for range 3 {
		power = timesCRC(power, power)
	}
	for i := range powers {
		powers[i] = power
		power = timesCRC(power, power)
	}
	return powers
}

// timesCRC multiplies two polynomials and reduces the product by CRC-32C's.
func timesCRC(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a&(1<<31) != 0 {
			product ^= b
		}
		b = b>>1 ^ -(b&1)&crc32.Castagnoli
	}
	return product
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

// topics returns the topics that were counted, by name.
func (t *tallies) topics() map[string]*topic {
	byName := make(map[string]*topic, len(t.touched))
	for _, to := range t.touched {
		byName[to.name] = to
	}
	return byName
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

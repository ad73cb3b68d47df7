package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/tributary-cdc/tributary/decoder"
)

// walSegment is the size of a WAL file unless initdb was told another.
const walSegment = Bytes(16 << 20)

// shownLSN is an LSN in its forms.
type shownLSN struct {
	LSN     string `json:"lsn"`
	Decimal uint64 `json:"decimal"`
	File    string `json:"wal_file"` // that holds the byte which the LSN names
	Offset  uint64 `json:"offset"`   // of that byte in the file
	// Distance is the bytes of WAL from the LSN before this one to it; null for the first.
	Distance *int64 `json:"distance,omitempty"`
}

// lsnForms converts LSNs, for WAL of a timeline in files of a size.
func lsnForms(texts []string, timeline uint32, segment Bytes) ([]shownLSN, error) {
	if segment < 1<<20 || segment > 1<<30 || segment&(segment-1) != 0 {
		return nil, fmt.Errorf("--wal-segment-size %s: want a power of two from 1MiB to 1GiB, as SHOW "+
			"wal_segment_size says", segment)
	}
	var list []shownLSN
	var before decoder.LSN
	for i, text := range texts {
		lsn, err := parseLSN(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		// XLogFileName of access/xlog_internal.h: the number of the file in two halves, the first of which counts
		// 4 GiB.
		number, perID := uint64(lsn)/uint64(segment), uint64(1<<32)/uint64(segment)
		one := shownLSN{
			LSN: lsn.String(), Decimal: uint64(lsn),
			File:   fmt.Sprintf("%08X%08X%08X", timeline, number/perID, number%perID),
			Offset: uint64(lsn) % uint64(segment),
		}
		if i > 0 {
			distance := int64(lsn - before)
			one.Distance = &distance
		}
		before = lsn
		list = append(list, one)
	}
	return list, nil
}

func writeLSNs(w io.Writer, list []shownLSN) error {
	var b strings.Builder
	for _, one := range list {
		if d := one.Distance; d != nil {
			word, n := "later", *d
			if n < 0 {
				word, n = "earlier", -n
			}
			fmt.Fprintf(&b, "   %s bytes (%s) %s\n", thousands(n), size(n), word)
		}
		fmt.Fprintf(&b, "%-18s %d  byte %d of %s\n", one.LSN, one.Decimal, one.Offset, one.File)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

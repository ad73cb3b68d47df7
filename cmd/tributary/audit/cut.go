package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// epochSlack is how much earlier than the cut, in microseconds, a commit must lie for its transaction id to
// be taken for one of an earlier epoch. The server's clock may have been set back by less, and nobody uses
// up half of all ids in it.
const epochSlack = 3_600_000_000

// Cut is a snapshot of the database: which transactions count.
type Cut struct {
	xmax    uint64
	running []uint64 // ascending
	time    int64    // microseconds since 1970
}

// ParseCut reads pg_current_snapshot()'s text, xmin:xmax:xip,xip. micros is the server's time then, in
// microseconds since 1970.
func ParseCut(text string, micros int64) (Cut, error) {
	bad := fmt.Errorf("read pg_snapshot %q: want xmin:xmax:xip_list", text)
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return Cut{}, bad
	}
	xmax, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return Cut{}, bad
	}
	c := Cut{xmax: xmax, time: micros}
	if parts[2] == "" {
		return c, nil
	}
	for part := range strings.SplitSeq(parts[2], ",") {
		x, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return Cut{}, bad
		}
		c.running = append(c.running, x)
	}
	slices.Sort(c.running)
	return c, nil
}

// extend returns the 64-bit id of a transaction whose lower half a record carries: the nearest one to the
// cut, since a server does not let ids in use lie further apart.
func (c *Cut) extend(txID int64) uint64 {
	if txID>>32 != 0 {
		return uint64(txID)
	}
	const epoch = 1 << 32
	x := c.xmax&^(epoch-1) | uint64(txID)
	switch {
	case x > c.xmax+epoch/2 && x >= epoch:
		x -= epoch
	case x+epoch/2 < c.xmax:
		x += epoch
	}
	return x
}

// finished says that the cut counts a transaction as finished.
func (c *Cut) finished(x uint64) bool {
	_, running := slices.BinarySearch(c.running, x)
	return x < c.xmax && !running
}

// Sees says whether a record counts. A tombstone is asked about by the delete before it.
func (c *Cut) Sees(r *Record) bool {
	switch {
	case r.TxID < 0:
		return true
	case r.Snapshot:
		// Everything below its xmax that it saw was seen as finished by an ordinary session before any row
		// was read under it.
		return uint64(r.TxID) <= c.xmax
	}
	// Only what committed long before the cut can seem not to be finished: it is of an earlier epoch, or of the
	// server before this one.
	return c.finished(c.extend(r.TxID)) || r.Time < c.time-epochSlack
}

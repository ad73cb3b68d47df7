package snapshot

import "time"

// reportInterval is the least time between two Reports.
const reportInterval = 250 * time.Millisecond

// meterSamples of reportInterval each are what RowsPerSecond is the mean of.
const meterSamples = 20

// meter measures a run for its Reports.
type meter struct {
	c       *collector
	ticker  *time.Ticker
	started time.Time
	// estimate is how many rows were left at the beginning, -1 when unknown.
	estimate int64
	// estimates are those of whole tables, where they are known.
	estimates map[string]int64
	// samples is a ring of how many rows were sent by when.
	samples [meterSamples]sample
	next    int
}

// sample is how many rows were sent at a moment.
type sample struct {
	at   time.Time
	rows int64
}

// newMeter adds up what is left to read. One table that was never analysed makes the sum unknown: a guess
// by its size would be shown to a person as if it were known.
func newMeter(c *collector, started time.Time) *meter {
	m := &meter{
		c: c, ticker: time.NewTicker(reportInterval), started: started, estimates: map[string]int64{},
	}
	for _, t := range c.tables {
		if rows := t.report().EstimatedRows; rows >= 0 {
			m.estimates[t.table.String()] = rows
		}
	}
	for i := range m.samples {
		m.samples[i].at = started
	}
	for _, u := range c.units {
		switch {
		case u.done:
		case u.source.RelTuples < 0 || u.override != "":
			m.estimate = -1
			return m
		default:
			m.estimate += int64(u.source.RelTuples * u.left())
		}
	}
	return m
}

// left is the share of a unit's ranges that is not read.
func (u *unit) left() float64 {
	if len(u.spans) == 0 {
		return 1
	}
	open := 0
	for _, sp := range u.spans {
		if !sp.read {
			open++
		}
	}
	return float64(open) / float64(len(u.spans))
}

// report tells how far the run is.
func (m *meter) report(done bool) {
	now, c := time.Now(), m.c
	oldest := m.samples[m.next]
	m.samples[m.next] = sample{at: now, rows: c.rows}
	m.next = (m.next + 1) % meterSamples
	r := Report{
		Table: c.table, Tables: len(c.tables), Rows: c.rows, EstimatedRows: m.estimate,
		Remaining: -1, Elapsed: now.Sub(m.started), Done: done, Estimates: m.estimates,
	}
	for _, t := range c.tables {
		switch {
		case t.done():
			r.TablesDone++
		case t.begun && !done && len(r.Open) < maxOpen:
			r.Open = append(r.Open, t.report())
		}
	}
	if seconds := now.Sub(oldest.at).Seconds(); seconds > 0 {
		r.RowsPerSecond = float64(c.rows-oldest.rows) / seconds
	}
	r.EstimatedRows, r.Remaining = remaining(m.estimate, c.rows, r.RowsPerSecond, done)
	c.o.Metrics.remaining(r.Tables - r.TablesDone)
	c.o.Report(r)
}

// report tells how far the run is with the table.
func (t *tableState) report() TableReport {
	r := TableReport{Table: t.table.String(), Rows: t.rows}
	for _, u := range t.units {
		if r.EstimatedRows >= 0 {
			r.EstimatedRows += int64(u.source.RelTuples)
		}
		if u.source.RelTuples < 0 || u.override != "" {
			r.EstimatedRows = -1
		}
		ranges, read := max(len(u.spans), 1), 0
		for _, sp := range u.spans {
			if sp.read {
				read++
			}
		}
		if u.done {
			read = ranges
		}
		r.Ranges += ranges
		r.RangesRead += read
	}
	return r
}

// remaining corrects an estimate that was too low, and returns the time that the rest takes; -1 is unknown.
func remaining(estimate, rows int64, rate float64, done bool) (int64, time.Duration) {
	switch {
	case done:
		return rows, 0
	case estimate < 0:
		return -1, -1
	case rows >= estimate || rate <= 0:
		return max(estimate, rows), -1
	}
	return estimate, time.Duration(float64(estimate-rows) / rate * float64(time.Second))
}

// done says that all of the table was sent.
func (t *tableState) done() bool {
	for _, u := range t.units {
		if !u.done {
			return false
		}
	}
	return true
}

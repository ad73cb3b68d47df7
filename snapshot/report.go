package snapshot

import "time"

// Report is how far a Run is, for a person to see.
type Report struct {
	// Table is the table that the last rows came from, "" before the first.
	Table string
	// TablesDone of Tables are finished, those of a run before included.
	TablesDone, Tables int
	// Rows were delivered by this run.
	Rows int64
	// EstimatedRows is how many rows this run delivers in all, by the server's estimate; -1 is unknown,
	// since a table was never analysed.
	EstimatedRows int64
	// RowsPerSecond is the mean of the last seconds.
	RowsPerSecond float64
	// Remaining is the estimated time to the end; -1 is unknown.
	Remaining time.Duration
	// Elapsed is the time since Run began.
	Elapsed time.Duration
	// Done says that this is the last report.
	Done bool
}

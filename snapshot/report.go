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
	// Estimates are the rows of each table of the run by the server's estimate, without those never analysed.
	// All reports of a run share it: it is to be read only.
	Estimates map[string]int64
	// RowsPerSecond is the mean of the last seconds.
	RowsPerSecond float64
	// Remaining is the estimated time to the end; -1 is unknown.
	Remaining time.Duration
	// Elapsed is the time since Run began.
	Elapsed time.Duration
	// Open are the tables that are begun and not finished, at most maxOpen of them.
	Open []TableReport
	// Done says that this is the last report.
	Done bool
}

// TableReport is how far a Run is with a table.
type TableReport struct {
	Table string
	// Rows were delivered by this run; EstimatedRows is how many there are, -1 for a table never analysed.
	Rows, EstimatedRows int64
	// RangesRead of Ranges have been read to their end. A table, or a partition, that is read whole is one.
	RangesRead, Ranges int
}

// maxOpen bounds Report.Open. As many tables are read at once as there are workers, which are few.
const maxOpen = 16

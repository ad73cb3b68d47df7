package page

import "time"

// Mood is how a state is to be felt: it chooses colour and icon, beside the text.
type Mood string

// The moods.
const (
	Good Mood = "good" // nothing to do
	Busy Mood = "busy" // on its way: starting, reading a snapshot
	Idle Mood = "idle" // standing by
	Warn Mood = "warn" // goes on, but look
	Bad  Mood = "bad"  // stopped
)

// View is what the page shows at one moment. Every text is ready to be read; times are in UTC, and a zero
// time is unknown and left out.
type View struct {
	Pipeline, State, Role, Host, Version string
	Mood                                 Mood
	Since, Started, Now                  time.Time
	// Sentence says in plain words how the pipeline is, Fix what to do when it is not well.
	Sentence, Fix string
	Tiles         []Tile
	Positions     []Position
	Snapshot      *Snapshot // nil when none was begun
	Snapshots     []Job
	Tables        []Table
	Problems      []Problem // the latest first
	Changes       []Change  // the latest first
	Replay        *Replay   // nil without an anchor
	Warnings      []string
	Facts         []Fact
}

// Tile is one number that matters.
type Tile struct {
	Title, Value, Detail string
	Mood                 Mood
	// Fraction fills a bar, from 0 to 1; negative is no bar.
	Fraction float64
}

// Position is one step of the way from what the source keeps to what it has written.
type Position struct {
	Name, Meaning, LSN string
	Decimal            uint64 // the LSN as a number
	// Gap is how much WAL lies between the step before and this one.
	Gap string
	// Written is by when the server had written as much.
	Written time.Time
}

// Snapshot is the progress of the one that is under way, or was last.
type Snapshot struct {
	Running                    bool
	Point, Table, Tables, Rows string
	Rate, Remaining            string
	Fraction                   float64 // from 0 to 1; negative when nobody knows how many rows there are
	Parts                      []Part  // the tables that are being read
}

// Part is how far a snapshot is with a table.
type Part struct {
	Table, Rows, Chunks string
	Fraction            float64 // as in Snapshot
}

// Job is a snapshot that is under way or waits.
type Job struct {
	ID, Kind, State, Tables string
	Asked                   time.Time
}

// Table is a captured table.
type Table struct {
	Name, Topic, Key, Identity               string
	Read, Created, Updated, Deleted, Emptied string
	Tombstones, Rate                         string // the rate is in changes a second
	Schemas                                  string // the ids of key and value
	Last                                     time.Time
	Warning                                  string
}

// Problem is an error, told once for as often as it came.
type Problem struct {
	Code, Text, Fix string
	First, Last     time.Time
	Count           int
}

// Change is a change of a table's definition, seen in the stream.
type Change struct {
	Time           time.Time
	Table, What    string
	Subject, Refer string // the registry's subject and the new id, empty for none
}

// Replay is the part of the past that can be published again.
type Replay struct {
	From, To, Retained, Kept string
	Command                  string
	Problem                  string
}

// Fact is a line about the parts: their addresses and versions.
type Fact struct{ Name, Text string }

// Setting is a key of the configuration with its value, as text without secrets.
type Setting struct {
	Key, Value, Help string
	// Origin is where the value comes from; empty is the default.
	Origin  string
	Changed bool // it is not the default's value
}

// Known is an error of the catalogue, with how often it came in this process.
type Known struct {
	Code, Sentence, Cause, Fix string
	Count                      int
	Last                       time.Time
}

// Counters are read for the charts. Totals count since the program's start and may fall back to 0.
type Counters struct {
	LagBytes, RetainedBytes          float64
	LagSeconds                       float64
	Created, Updated, Deleted, Reads float64 // totals
}

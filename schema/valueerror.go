package schema

import "strings"

// ValueError says that a value cannot be written under its column's schema. It never holds the value.
type ValueError struct {
	// Table is schema.table, Type the column's Postgres type.
	Table, Column, Type string
	// Reason says what is wrong with the value, such as "NaN has no Decimal form".
	Reason string
	// Mode is the setting that would carry the value, such as decimal.handling.mode=string; empty when
	// none would.
	Mode string
}

// Error names table, column, type, reason and the setting that helps.
func (e *ValueError) Error() string {
	var b strings.Builder
	b.WriteString("write " + e.Table + " column " + e.Column + " (" + e.Type + "): " + e.Reason)
	if e.Mode != "" {
		b.WriteString("; " + e.Mode + " carries it")
	}
	return b.String()
}

// NeedsPerson is true: the same value comes again.
func (e *ValueError) NeedsPerson() bool { return true }

// unrepresentable is a converter's half of a ValueError: the value is well formed, but the column's
// schema has no form for it. Any other error of a converter means that the text is not what Postgres
// writes for the type.
type unrepresentable struct {
	reason string
	mode   string // empty: no setting carries it
}

// Error returns the reason.
func (e *unrepresentable) Error() string { return e.reason }

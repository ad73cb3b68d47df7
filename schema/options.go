package schema

import (
	"regexp"
	"unicode/utf8"
)

// Options says how rows are written. The zero value is Debezium 3.6.1's defaults, in Avro, telling the
// truth where Debezium's own values do not.
type Options struct {
	// Name is source.name, the topic prefix; Database is source.db; Version is source.version.
	Name, Database, Version string
	// KeyFormat and ValueFormat are what Kafka Connect calls the key and the value converter.
	KeyFormat, ValueFormat Format

	Decimal  DecimalMode
	Time     TimeMode
	Interval IntervalMode
	Hstore   HstoreMode
	Binary   BinaryMode
	// MoneyDigits is the number of fraction digits of money; 0 means 2, and NoDigits none.
	MoneyDigits int
	// UnknownTypes writes the text of types without a Debezium form instead of leaving the column out.
	UnknownTypes bool
	// Placeholder stands for a TOASTed value that was not sent; nil means __debezium_unavailable_value.
	Placeholder []byte

	// SchemaNames adjusts the names of schemas, FieldNames those of fields. FieldNames none counts as
	// avro as soon as the key or the value is Avro, which knows no other names.
	SchemaNames, FieldNames NameMode

	// Debezium writes Debezium's bytes also where they lose or change a value.
	Debezium bool
	// Unrepresentable says what becomes of a value that its schema cannot carry; with Debezium set it is
	// not asked, and the value is left out as Debezium does.
	Unrepresentable Unrepresentable
	// IgnoreDefaultForNullables writes the null of a nullable column with a default as null also with
	// Debezium set; then source.snapshot of a streamed change is null too, as with the converter's
	// setting of this name. Without Debezium set such a null is always written as null.
	IgnoreDefaultForNullables bool

	// Columns are the rules for single columns. Of the rules for one column that change its value the
	// first one counts; with Debezium set the one that Debezium looks for first: it truncates, masks,
	// propagates the type or hashes, and does one of them only.
	Columns []ColumnRule
	// PropagateColumns is matched against schema.table.column, PropagateTypes against schema.table.type:
	// such columns have their Postgres type, length and scale as parameters. Nil matches none.
	PropagateColumns, PropagateTypes *regexp.Regexp
	// Generated writes stored generated columns natively too: to be set when the publication publishes
	// them (Postgres 18). Otherwise only a snapshot knows them, and they are left out of both.
	Generated bool
	// Comments writes the comments of tables and columns into the schema, which Debezium never does
	// for Postgres.
	Comments bool
}

// NoDigits as Options.MoneyDigits is money without a fraction, as a yen has none.
const NoDigits = -1

// Format is the form of keys or values.
type Format uint8

// The formats, named for what Kafka Connect calls them.
const (
	Avro        Format = iota // Confluent's AvroConverter
	JSONBare                  // JsonConverter with schemas.enable=false
	JSONSchemas               // JsonConverter with schemas.enable=true: schema and payload in each record
)

// DecimalMode is decimal.handling.mode: what numeric and money become.
type DecimalMode uint8

// The decimal modes.
const (
	DecimalPrecise DecimalMode = iota // Decimal; VariableScaleDecimal without a declared scale
	DecimalDouble
	DecimalString
)

// TimeMode is time.precision.mode: what date, time and timestamp become.
type TimeMode uint8

// The time modes.
const (
	TimeAdaptive       TimeMode = iota // milliseconds or microseconds by the column's precision
	TimeAdaptiveMicros                 // as adaptive, time always in microseconds
	TimeConnect                        // Kafka Connect's own types, in milliseconds
	TimeISOString
	TimeMicros
	TimeNanos
)

// IntervalMode is interval.handling.mode.
type IntervalMode uint8

// The interval modes.
const (
	IntervalNumeric IntervalMode = iota // microseconds, a month of 30.4375 days
	IntervalString                      // ISO 8601, every part written
)

// HstoreMode is hstore.handling.mode.
type HstoreMode uint8

// The hstore modes.
const (
	HstoreJSON HstoreMode = iota
	HstoreMap
)

// BinaryMode is binary.handling.mode: what bytea becomes.
type BinaryMode uint8

// The binary modes.
const (
	BinaryBytes BinaryMode = iota
	BinaryBase64
	BinaryBase64URL
	BinaryHex
)

// NameMode is schema.name.adjustment.mode and field.name.adjustment.mode.
type NameMode uint8

// The name modes.
const (
	NameNone        NameMode = iota
	NameAvro                 // what Avro forbids becomes an underscore
	NameAvroUnicode          // what Avro forbids becomes _u and its hexadecimal number
)

// Unrepresentable is the policy for a value that its column's schema cannot carry.
type Unrepresentable uint8

// The policies.
const (
	Stop      Unrepresentable = iota // AppendValue returns a *ValueError
	WriteNull                        // nullable columns become null; any other still stops
)

// placeholder returns the bytes that stand for an unsent TOASTed value.
func (o *Options) placeholder() []byte {
	if o.Placeholder != nil {
		return o.Placeholder
	}
	return []byte("__debezium_unavailable_value")
}

// textPlaceholder is placeholder where a text stands: Java reads UTF-8 only, and puts U+FFFD for the rest.
func (o *Options) textPlaceholder() []byte {
	raw := o.placeholder()
	if utf8.Valid(raw) {
		return raw
	}
	var text []byte
	for _, r := range string(raw) {
		text = utf8.AppendRune(text, r)
	}
	return text
}

// moneyDigits returns the number of fraction digits of money.
func (o *Options) moneyDigits() int {
	switch o.MoneyDigits {
	case 0:
		return 2
	case NoDigits:
		return 0
	}
	return o.MoneyDigits
}

// fieldNames returns the mode in which field names are adjusted.
func (o *Options) fieldNames() NameMode {
	if o.FieldNames == NameNone && (o.KeyFormat == Avro || o.ValueFormat == Avro) {
		return NameAvro
	}
	return o.FieldNames
}

// substitutes says that the null of a nullable node with a default is written as the default, which is
// what Kafka Connect's Struct.get makes of it.
func (o *Options) substitutes() bool { return o.Debezium && !o.IgnoreDefaultForNullables }

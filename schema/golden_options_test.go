package schema

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// goldenModes are the properties of the recorded scenarios with the values that they have there.
var goldenModes = map[string]func(o *Options){
	"decimal.handling.mode=double": func(o *Options) {
		o.Decimal = DecimalDouble
	},
	"decimal.handling.mode=string": func(o *Options) {
		o.Decimal = DecimalString
	},
	"time.precision.mode=connect": func(o *Options) {
		o.Time = TimeConnect
	},
	"time.precision.mode=isostring": func(o *Options) {
		o.Time = TimeISOString
	},
	"time.precision.mode=microseconds": func(o *Options) {
		o.Time = TimeMicros
	},
	"time.precision.mode=nanoseconds": func(o *Options) {
		o.Time = TimeNanos
	},
	"time.precision.mode=adaptive": func(o *Options) {
		o.Time = TimeAdaptive
	},
	"time.precision.mode=adaptive_time_microseconds": func(o *Options) {
		o.Time = TimeAdaptiveMicros
	},
	"interval.handling.mode=numeric": func(o *Options) {
		o.Interval = IntervalNumeric
	},
	"binary.handling.mode=base64-url-safe": func(o *Options) {
		o.Binary = BinaryBase64URL
	},
	"money.fraction.digits=0": func(o *Options) {
		o.MoneyDigits = NoDigits
	},
	"money.fraction.digits=4": func(o *Options) {
		o.MoneyDigits = 4
	},
	"unavailable.value.placeholder=n/a": func(o *Options) {
		o.Placeholder = []byte("n/a")
	},
	"unavailable.value.placeholder=hex:00ff41": func(o *Options) {
		o.Placeholder = []byte("\x00\xffA")
	},
	"field.name.adjustment.mode=avro": func(o *Options) {
		o.FieldNames = NameAvro
	},
	"value.converter.replace.null.with.default=false": func(o *Options) {
		o.IgnoreDefaultForNullables = true
	},
	"key.converter.replace.null.with.default=false": func(o *Options) {
		o.IgnoreDefaultForNullables = true
	},
	"interval.handling.mode=string": func(o *Options) {
		o.Interval = IntervalString
	},
	"hstore.handling.mode=map": func(o *Options) {
		o.Hstore = HstoreMap
	},
	"binary.handling.mode=base64": func(o *Options) {
		o.Binary = BinaryBase64
	},
	"binary.handling.mode=hex": func(o *Options) {
		o.Binary = BinaryHex
	},
	"field.name.adjustment.mode=avro_unicode": func(o *Options) {
		o.FieldNames = NameAvroUnicode
	},
	"schema.name.adjustment.mode=avro_unicode": func(o *Options) {
		o.SchemaNames = NameAvroUnicode
	},
	"value.converter.ignore.default.for.nullables=true": func(o *Options) {
		o.IgnoreDefaultForNullables = true
	},
	"include.unknown.datatypes=true": func(o *Options) {
		o.UnknownTypes = true
	},
	"schema.name.adjustment.mode=avro": func(o *Options) {
		o.SchemaNames = NameAvro
	},
	"key.converter=org.apache.kafka.connect.json.JsonConverter": func(o *Options) {
		o.KeyFormat = JSONSchemas
	},
	"value.converter=org.apache.kafka.connect.json.JsonConverter": func(o *Options) {
		o.ValueFormat = JSONSchemas
	},
}

// options returns the options that the scenario's Debezium properties mean.
func (g *goldenCase) options(tb testing.TB, name string) Options {
	tb.Helper()
	o := Options{Name: name, Database: name, Version: "3.6.1.Final", Debezium: true}
	for key, value := range g.config {
		if set := goldenModes[key+"="+value]; set != nil {
			set(&o)
		} else if !o.goldenRule(tb, key, value) {
			tb.Fatalf("no option for %s=%s", key, value)
		}
	}
	if g.config["value.converter.schemas.enable"] == "false" {
		o.KeyFormat, o.ValueFormat = JSONBare, JSONBare
	}
	if g.config["key.converter.schemas.enable"] == "false" {
		o.KeyFormat = JSONBare
	}
	return o
}

// notOurs are properties that do not concern this package.
var notOurs = regexp.MustCompile(`^(table\.include|publication|snapshot|signal|incremental|message\.key|` +
	`skip|tombstones|topic|provide|include\.schema\.comments|.*\.schemas\.enable)`)

// goldenRule adds the column rule that a property means.
func (o *Options) goldenRule(tb testing.TB, key, value string) bool {
	tb.Helper()
	pattern, err := ColumnPattern(value)
	if err != nil {
		tb.Fatal(err)
	}
	rule := ColumnRule{Columns: pattern}
	switch {
	case key == "column.propagate.source.type":
		o.PropagateColumns = pattern
		return true
	case key == "datatype.propagate.source.type":
		o.PropagateTypes = pattern
		return true
	case key == "column.exclude.list":
		rule.Action = Exclude
	case key == "column.include.list":
		rule.Action = Include
	case strings.HasPrefix(key, "column.mask.hash."):
		hash, salt, _ := strings.Cut(strings.TrimPrefix(key, "column.mask.hash."), ".with.salt.")
		algorithm, v2 := strings.CutPrefix(hash, "v2.")
		rule.Action, rule.Hash, rule.Salt, rule.JavaObject = Hash, algorithm, []byte(salt), !v2
	case strings.HasPrefix(key, "column.mask.with."):
		rule.Action = Mask
		_, err = fmt.Sscanf(key, "column.mask.with.%d.chars", &rule.Length)
	case strings.HasPrefix(key, "column.truncate.to."):
		rule.Action = Truncate
		_, err = fmt.Sscanf(key, "column.truncate.to.%d.chars", &rule.Length)
	default:
		return notOurs.MatchString(key)
	}
	o.Columns = append(o.Columns, rule)
	return err == nil
}

package schema

import (
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"
)

// nativeDiffers are the recorded scenarios in which the native values are others than Debezium's, and
// why; the schemas are the same but where said.
var nativeDiffers = map[string]string{
	"arrays_dates_odd":         "infinities and BC in arrays are those of columns, NaN is refused",
	"arrays_dimensions":        "an array of arrays is refused",
	"arrays_iso_double":        "NaN and infinity in arrays stay, infinite dates are those of columns",
	"arrays_of_domains":        "a name has its text in the stream too",
	"arrays_text_forms":        "NaN in an array of numeric stays, 24:00 is refused where it has no form",
	"default_scales":           "null in a nullable column with a default is null",
	"defaults_function":        "null in a nullable column with a default is null",
	"identity_mix":             "null in a nullable column with a default is null",
	"interval_numeric":         "intervals are exact or refused",
	"interval_string":          "null in a nullable column with a default is null",
	"masks_more":               "null in a nullable column with a default is null",
	"money_double":             "null in a nullable column with a default is null",
	"money_more":               "null in a nullable column with a default is null",
	"time_adaptive_micro":      "null in a nullable column with a default is null",
	"time_connect_more":        "null in a nullable column with a default is null",
	"time_extreme_isostring":   "24:00 is the end of the day",
	"time_iso":                 "null in a nullable column with a default is null",
	"time_microseconds":        "null in a nullable column with a default is null",
	"time_nanoseconds":         "null in a nullable column with a default is null, what does not fit is refused",
	"toast_rare":               "text-like arrays have the placeholder too",
	"defaults_literal":         "null in a nullable column with a default is null",
	"ignore_defaults":          "source.snapshot of a streamed change is false, not null",
	"keys_odd":                 "a name has its text in the stream too",
	"types_arrays_temporal":    "the microseconds of a time in an array are kept",
	"types_identity_generated": "a generated column is left out of snapshot and schema, as of the stream",
}

// nativeSchemas are the scenarios in which a native schema is another one too.
var nativeSchemas = map[string]bool{
	"types_identity_generated": true,
	// The source types that a snapshot's schema tells are those of the stream.
	"propagate_all": true, "propagate_snapshot": true, "propagate_types": true,
}

// nativeRefuses are the scenarios whose masks Debezium takes and does not apply.
var nativeRefuses = map[string]bool{"columns_more": true, "truncate_more": true}

// TestNativeDiffersWhereSaid compiles the recorded tables natively: everything but the differences above
// is the same, schema and datum.
func TestNativeDiffersWhereSaid(t *testing.T) {
	paths, err := filepath.Glob("testdata/golden/*.jsonl")
	if err != nil || len(paths) == 0 {
		t.Fatalf("found %d cases (%v)", len(paths), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		g := readGolden(t, path)
		o := g.options(t, name)
		if o.Debezium = false; o.ValueFormat != Avro || nativeRefuses[name] {
			continue
		}
		schemas, values := g.nativeDifferences(t, name, o)
		_, listed := nativeDiffers[name]
		if values > 0 != listed || schemas > 0 && !nativeSchemas[name] {
			t.Errorf("%s: %d schemas and %d values differ, %q is listed", name, schemas, values, nativeDiffers[name])
		}
	}
}

// nativeDifferences counts the changes whose schema or datum is another one under the options.
func (g *goldenCase) nativeDifferences(t *testing.T, name string, o Options) (schemas, values int) {
	t.Helper()
	for i := range g.changes {
		c := &g.changes[i]
		if c.Relation < 0 {
			continue
		}
		r := g.relations[c.Relation]
		codec, err := Compile(r, Topic(name, r.Namespace, r.Name), o)
		if err != nil {
			t.Fatal(err)
		}
		e, _ := c.envelope(t)
		value, err := codec.AppendValue(nil, &e)
		if codec.ValueSchema() != g.schema(t, c.Record.Value.Schema) {
			schemas++
		}
		if err != nil || hex.EncodeToString(value) != c.Record.Value.Hex {
			values++
		}
	}
	return schemas, values
}

package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// form is how the values, or the keys, of one schema are read.
type form struct {
	schema  *avro.Schema
	version *version // of the rows in an envelope, nil for what is none
	fields  []string // of a key
}

// version is one set of columns that rows of a log have, in the order of their fields.
type version struct {
	index   int
	columns []string
}

// field is what is read of a record field's definition.
type field struct {
	Name string          `json:"name"`
	Type json.RawMessage `json:"type"`
}

// recordType is what is read of a record's definition.
type recordType struct {
	Name      string  `json:"name"`
	Namespace string  `json:"namespace"`
	Fields    []field `json:"fields"`
}

// sourceFields are the fields of the source block that an audit reads, all of them nullable here so that one
// reading schema fits every version of the block.
var sourceFields = [][2]string{
	{"snapshot", `["null","string"]`},
	{"sequence", `["null","string"]`},
	{"ts_us", `["null","long"]`},
	{"txId", `["null","long"]`},
	{"lsn", `["null","long"]`},
}

// parseSchema compiles a schema without its logical types: a decimal is compared as the bytes that it is.
func parseSchema(text string) (*avro.Schema, error) {
	return avro.Parse(strings.ReplaceAll(text, `"logicalType":`, `"wasLogicalType":`))
}

// newForm compiles the schema of a key or value.
func (r *Reader) newForm(text string) (*form, error) {
	var writer recordType
	if json.Unmarshal([]byte(text), &writer) != nil {
		writer = recordType{} // a primitive, which is no record of a table
	}
	whole, err := parseSchema(text)
	if err != nil {
		return nil, fmt.Errorf("parse a schema: %w", err)
	}
	f := &form{schema: whole}
	for _, each := range writer.Fields {
		f.fields = append(f.fields, each.Name)
	}
	row, found := writer.row()
	if !found {
		return f, nil
	}
	reading, err := parseSchema(writer.reading(row))
	if err != nil {
		return nil, fmt.Errorf("parse the schema to read %s.%s with: %w", writer.Namespace, writer.Name, err)
	}
	if f.schema, err = avro.Resolve(whole, reading); err != nil {
		return nil, fmt.Errorf("resolve the schema of %s.%s: %w", writer.Namespace, writer.Name, err)
	}
	var columns []string
	var parsed recordType
	if err := json.Unmarshal(row, &parsed); err != nil {
		return nil, fmt.Errorf("read the schema of rows: %w", err)
	}
	for _, column := range parsed.Fields {
		columns = append(columns, column.Name)
	}
	f.version = r.versionOf(columns)
	return f, nil
}

// row returns the definition of an envelope's row, which stands where before first uses it.
func (t recordType) row() (json.RawMessage, bool) {
	at := slices.IndexFunc(t.Fields, func(f field) bool { return f.Name == "before" })
	if at < 0 || !slices.ContainsFunc(t.Fields, func(f field) bool { return f.Name == "source" }) {
		return nil, false
	}
	var branches []json.RawMessage
	if json.Unmarshal(t.Fields[at].Type, &branches) != nil || len(branches) != 2 {
		return nil, false
	}
	return branches[1], true
}

// reading returns the schema with which an envelope is read: the rest is passed over without being built.
func (t recordType) reading(row json.RawMessage) string {
	var source strings.Builder
	for i, f := range sourceFields {
		if i > 0 {
			source.WriteByte(',')
		}
		fmt.Fprintf(&source, `{"name":%q,"type":%s,"default":null}`, f[0], f[1])
	}
	return fmt.Sprintf(`{"type":"record","name":%q,"namespace":%q,"fields":[{"name":"after","type":["null",%s],`+
		`"default":null},{"name":"source","type":{"type":"record","name":"Source",`+
		`"namespace":"io.debezium.connector.postgresql","fields":[%s]}},{"name":"op","type":"string"}]}`,
		t.Name, t.Namespace, row, source.String())
}

// versionOf returns the version of a set of columns, the same for the same ones.
func (r *Reader) versionOf(columns []string) *version {
	for _, v := range r.versions {
		if slices.Equal(v.columns, columns) {
			return v
		}
	}
	v := &version{index: len(r.versions), columns: columns}
	r.versions = append(r.versions, v)
	return v
}

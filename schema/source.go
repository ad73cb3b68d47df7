package schema

import "strconv"

// connector is source.connector: consumers know a Debezium stream from Postgres by it.
const connector = "postgresql"

// markerTexts are the texts of source.snapshot.
var markerTexts = [...]string{
	MarkerNone:         "false",
	MarkerTrue:         "true",
	MarkerFirst:        "first",
	MarkerFirstInTable: "first_in_data_collection",
	MarkerLastInTable:  "last_in_data_collection",
	MarkerLast:         "last",
	MarkerIncremental:  "incremental",
}

// markerNode is the schema of source.snapshot.
var markerNode = &node{
	kind: nodeString, name: "io.debezium.data.Enum", version: 1, optional: true, def: literalString("false"),
	params: []param{{
		"allowed",
		"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental",
	}},
}

// sourceNode is the schema of the source block.
var sourceNode = &node{
	kind: nodeStruct, name: "io.debezium.connector.postgresql.Source", version: 1,
	fields: []field{
		{"version", requiredString},
		{"connector", requiredString},
		{"name", requiredString},
		{"ts_ms", requiredLong},
		{"snapshot", markerNode},
		{"db", requiredString},
		{"sequence", optionalString},
		{"ts_us", optionalLong},
		{"ts_ns", optionalLong},
		{"schema", requiredString},
		{"table", requiredString},
		{"txId", optionalLong},
		{"lsn", optionalLong},
		{"xmin", optionalLong},
		{"origin", optionalString},
		{"origin_lsn", optionalLong},
	},
}

// sourceRuns are the parts of a source block that are the same in every record, written once.
type sourceRuns struct {
	head    []byte                   // from the start to name
	markers [len(markerTexts)][]byte // snapshot and db
	table   []byte                   // schema and table
}

// newSourceRuns writes the constant parts for a table, or for messages, which have no table.
func newSourceRuns(o *Options, namespace, table string) sourceRuns {
	run := func(write func(w *writer)) []byte {
		w := writer{json: o.ValueFormat != Avro}
		write(&w)
		return w.dst
	}
	s := sourceRuns{
		head: run(func(w *writer) {
			w.structBegin()
			w.fieldName(0, "version")
			w.textString(o.Version)
			w.fieldName(1, "connector")
			w.textString(connector)
			w.fieldName(2, "name")
			w.textString(o.Name)
		}),
		table: run(func(w *writer) {
			w.fieldName(9, "schema")
			w.textString(namespace)
			w.fieldName(10, "table")
			w.textString(table)
		}),
	}
	for m := range s.markers {
		s.markers[m] = run(func(w *writer) {
			w.fieldName(4, "snapshot")
			// Debezium never sets the field for a streamed change: "false" is the schema's default.
			if Marker(m) == MarkerNone && o.Debezium && o.IgnoreDefaultForNullables {
				w.null(markerNode)
			} else {
				w.present(markerNode)
				w.textString(markerTexts[m])
			}
			w.fieldName(5, "db")
			w.textString(o.Database)
		})
	}
	return s
}

// append appends the source block.
func (r *sourceRuns) append(w *writer, s *Source) {
	w.dst = append(w.dst, r.head...)
	w.fieldName(3, "ts_ms")
	w.integer(floorDiv(s.Time, 1000))
	w.dst = append(w.dst, r.markers[s.Snapshot]...)
	w.fieldName(6, "sequence")
	w.sequence(s)
	w.fieldName(7, "ts_us")
	w.optionalInteger(s.Time)
	w.fieldName(8, "ts_ns")
	w.optionalInteger(s.Time * 1000)
	w.dst = append(w.dst, r.table...)
	w.fieldName(11, "txId")
	w.nullableInteger(s.TxID, s.HasTxID)
	w.fieldName(12, "lsn")
	w.nullableInteger(int64(s.LSN), s.LSN != 0)
	w.fieldName(13, "xmin")
	w.nullableInteger(s.XMin, s.XMin != 0)
	w.fieldName(14, "origin")
	if s.Origin == "" {
		w.null(optionalString)
	} else {
		w.present(optionalString)
		w.textString(s.Origin)
	}
	w.fieldName(15, "origin_lsn")
	w.nullableInteger(int64(s.OriginLSN), s.OriginLSN != 0)
	w.structEnd()
}

// sequence writes source.sequence: a text that is a JSON array of the last commit and the change's own
// position, both numbers as strings, null when unknown. An incremental snapshot's row has no position of
// its own and stands at the last commit.
func (w *writer) sequence(s *Source) {
	own := s.LSN
	if own == 0 {
		own = s.LastCommit
	}
	b := appendSequenceLSN(append(w.scratch[:0], '['), s.LastCommit)
	b = appendSequenceLSN(append(b, ','), own)
	w.scratch = append(b, ']')
	w.present(optionalString)
	w.text(w.scratch)
}

// appendSequenceLSN appends one part of a sequence.
func appendSequenceLSN(dst []byte, lsn uint64) []byte {
	if lsn == 0 {
		return append(dst, "null"...)
	}
	dst = strconv.AppendUint(append(dst, '"'), lsn, 10)
	return append(dst, '"')
}

// nullableInteger writes an optional integer without a default.
func (w *writer) nullableInteger(v int64, valid bool) {
	if !valid {
		w.null(optionalLong)
		return
	}
	w.optionalInteger(v)
}

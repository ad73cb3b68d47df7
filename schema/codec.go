package schema

import (
	"errors"
	"fmt"
	"slices"
)

// Codec writes the keys and values of one version of one table under one set of options. It keeps memory
// from row to row, so it must not be used by two goroutines at a time.
type Codec struct {
	relation   *Relation
	options    Options
	key, row   []cell
	keyFrame   frame
	valueFrame frame
	source     sourceRuns
	omitted    []string
	w          writer
}

// cell is one field of a key or a row: a column, and how its nulls are written.
type cell struct {
	column
	name string
	// ruled says that a rule changes the values; masked that it does so also with null.
	ruled, masked bool
	// unread says that the column is not among those that were read, so that its value counts as null.
	unread bool
	// substitutes writes the default for null, where the node is nullable and has a default.
	substitutes bool
}

// Compile returns the codec of a table whose records go to topic, from which the schemas take their
// names. It fails when a rule or the types of the columns make no sense together; a column whose type
// has no Debezium form is no failure, but is left out and told by Omitted.
func Compile(r *Relation, topic string, o Options) (*Codec, error) {
	c := &Codec{relation: r, options: o}
	row := &node{kind: nodeStruct, name: adjustSchemaName(topic+".Value", o.SchemaNames), optional: true}
	for i := range r.Columns {
		source := &r.Columns[i]
		rule, stays := o.ruleFor(r, source)
		if !stays || source.Generated && !o.Debezium && !o.Generated {
			continue
		}
		field, ok, err := c.compileField(i, rule)
		if err != nil {
			return nil, err
		}
		if !ok {
			c.omitted = append(c.omitted, source.Name+" "+source.Type.Name)
			continue
		}
		c.row = append(c.row, field)
		row.fields = append(row.fields, fieldOf(&field))
	}
	if o.Comments {
		row.doc = r.Comment
	}
	key := &node{kind: nodeStruct, name: adjustSchemaName(topic+".Key", o.SchemaNames)}
	for _, i := range r.Key {
		field, ok, err := c.compileKey(i)
		if err != nil {
			return nil, err
		}
		if ok {
			c.key = append(c.key, field)
			key.fields = append(key.fields, fieldOf(&field))
		}
	}
	for _, n := range []*node{row, key} {
		if name, twice := duplicate(n.fields); twice {
			return nil, fmt.Errorf("compile %s: two columns become field %s: rename one, exclude one, "+
				"or set field.name.adjustment.mode=avro_unicode", r, name)
		}
	}
	if len(c.key) > 0 {
		c.keyFrame = newFrame(key, o.KeyFormat)
	}
	envelope := envelopeNode(adjustSchemaName(topic+".Envelope", o.SchemaNames), row)
	c.valueFrame = newFrame(envelope, o.ValueFormat)
	c.source = newSourceRuns(&o, r.Namespace, r.Name)
	return c, nil
}

// compileKey returns the cell of a key column. Debezium forgets what the catalog says of a column that is
// excluded from the rows, so in its key the column is nullable and without a default. In a snapshot it knows
// that much, but reads only the columns of the rows, if there are any.
func (c *Codec) compileKey(i int) (field cell, ok bool, err error) {
	_, stays := c.options.ruleFor(c.relation, &c.relation.Columns[i])
	if stays || !c.options.Debezium || c.relation.Snapshot {
		field, ok, err = c.compileCell(c.relation, i)
		field.unread = !stays && c.options.Debezium && len(c.row) > 0
		return field, ok, err
	}
	forgetful := *c.relation
	forgetful.Columns = slices.Clone(forgetful.Columns)
	forgetful.Columns[i].NotNull, forgetful.Columns[i].Default = false, nil
	return c.compileCell(&forgetful, i)
}

// compileCell returns the cell of the column of index i, false if its type has no Debezium form.
func (c *Codec) compileCell(r *Relation, i int) (field cell, ok bool, err error) {
	source, o := &r.Columns[i], &c.options
	compiled, ok, err := o.column(r, i)
	if err != nil {
		return cell{}, false, err
	}
	if !ok {
		return cell{}, false, nil
	}
	field = cell{
		column:      compiled,
		name:        adjustFieldName(source.Name, o.fieldNames()),
		substitutes: o.substitutes(),
	}
	return field, true, nil
}

// compileField returns the cell of a column in before and after, where the rules apply that the key is
// spared.
func (c *Codec) compileField(i int, rule *ColumnRule) (field cell, ok bool, err error) {
	source, o := &c.relation.Columns[i], &c.options
	field, ok, err = c.compileCell(c.relation, i)
	if err != nil || !ok {
		return cell{}, false, err
	}
	if rule != nil {
		if err := o.applyRule(c.relation, &field, rule); err != nil {
			return cell{}, false, err
		}
	}
	if o.propagates(c.relation, source) && (rule == nil || !o.Debezium) {
		propagate(c.relation, source, field.node)
	}
	if o.Comments && field.node.doc == "" {
		field.node.doc = source.Comment
	}
	return field, true, nil
}

// duplicate returns a field name that stands twice.
func duplicate(fields []field) (name string, twice bool) {
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		if seen[f.name] {
			return f.name, true
		}
		seen[f.name] = true
	}
	return "", false
}

// fieldOf returns the struct field that a cell writes.
func fieldOf(c *cell) field { return field{c.name, c.node} }

// HasKey says whether the table's records have a key; without one AppendKey must not be called.
func (c *Codec) HasKey() bool { return len(c.key) > 0 }

// KeySchema returns the Avro schema of the key as it is to be registered; empty when there is no key or
// the key is JSON.
func (c *Codec) KeySchema() string { return c.keyFrame.avro }

// ValueSchema returns the Avro schema of the value as it is to be registered; empty when it is JSON.
func (c *Codec) ValueSchema() string { return c.valueFrame.avro }

// Omitted names the columns that are left out because their types have no Debezium form, each as
// "column type".
func (c *Codec) Omitted() []string { return c.omitted }

// AppendKey appends the key of a streamed row: the datum alone, behind the registry's prefix if the caller
// wrote one. On an error dst is returned as it came.
func (c *Codec) AppendKey(dst []byte, row Row) ([]byte, error) {
	return c.appendKey(dst, row, false)
}

// AppendSnapshotKey is AppendKey for a row of a snapshot. The two differ only with Options.Debezium set,
// in what Debezium itself reads otherwise there: names and infinite dates.
func (c *Codec) AppendSnapshotKey(dst []byte, row Row) ([]byte, error) {
	return c.appendKey(dst, row, true)
}

func (c *Codec) appendKey(dst []byte, row Row, snapshot bool) ([]byte, error) {
	start := len(dst)
	w := &c.w
	w.snapshot = snapshot
	c.keyFrame.begin(w, dst)
	if err := c.appendRow(w, c.key, row); err != nil {
		return w.take()[:start], err
	}
	return c.keyFrame.end(w), nil
}

// AppendValue appends the value that an envelope makes, as AppendKey does. A value that its schema
// cannot carry is a *ValueError.
func (c *Codec) AppendValue(dst []byte, e *Envelope) ([]byte, error) {
	start := len(dst)
	w := &c.w
	w.snapshot = e.Source.Snapshot != MarkerNone
	c.valueFrame.begin(w, dst)
	if err := c.appendEnvelope(w, e); err != nil {
		return w.take()[:start], err
	}
	return c.valueFrame.end(w), nil
}

// appendRow appends the struct that the cells make of a row.
func (c *Codec) appendRow(w *writer, cells []cell, row Row) error {
	if len(row) != len(c.relation.Columns) {
		return fmt.Errorf("write %s: row of %d values for %d columns",
			c.relation, len(row), len(c.relation.Columns))
	}
	w.structBegin()
	for i := range cells {
		field := &cells[i]
		w.fieldName(i, field.name)
		value := row[field.index]
		if field.unread {
			value = Datum{}
		}
		if err := c.appendDatum(w, field, value); err != nil {
			return err
		}
	}
	w.structEnd()
	return nil
}

// appendDatum appends one value with its union's branch, or what stands for a value that is not there.
func (c *Codec) appendDatum(w *writer, field *cell, d Datum) error {
	start := len(w.dst)
	var err error
	switch {
	case d.Kind == Text:
		w.present(field.node)
		err = field.write(w, d.Text)
	case d.Kind == Encoded && !field.ruled: // what a rule would hide stays hidden
		w.present(field.node)
		w.dst = append(w.dst, d.Text...)
	case d.Kind == Unchanged && field.unchanged != nil:
		w.present(field.node)
		err = field.unchanged(w)
	case d.Kind == Unchanged:
		err = &unrepresentable{reason: "the value was not sent (TOAST, replica identity is not full), " +
			"and the type has no placeholder"}
	default:
		return c.appendNull(w, field)
	}
	if err == nil {
		return nil
	}
	w.dst = w.dst[:start] // never a value by half
	return c.refuse(w, field, d.Kind, err)
}

// appendNull appends what stands for null, and for a value that the old tuple does not hold: for a NOT
// NULL column its default or its type's zero.
func (c *Codec) appendNull(w *writer, field *cell) error {
	n := field.node
	switch {
	case field.masked:
		w.present(n)
		field.zero(w)
	case n.optional && field.source.NotNull && field.zero != nil:
		// A geometry: its own schema is optional, though its column is not.
		w.present(n)
		field.zero(w)
	case n.optional && (n.def == nil || !field.substitutes):
		w.null(n)
	case n.def != nil && (n.optional || !field.ruled):
		w.present(n)
		writeLiteral(w, n)
	case field.zero != nil:
		field.zero(w)
	default:
		return c.valueError(field, &unrepresentable{reason: "null in a NOT NULL column without a zero value"})
	}
	return nil
}

// refuse answers a converter's error: null where that is the policy and the column takes it, else the
// error. An unsent value becomes null under every policy, as in Debezium.
func (c *Codec) refuse(w *writer, field *cell, kind Kind, err error) error {
	var reason *unrepresentable
	if !errors.As(err, &reason) {
		return fmt.Errorf("write %s column %s (%s): %w",
			c.relation, field.source.Name, field.source.Type.Name, err)
	}
	lenient := c.options.Debezium || c.options.Unrepresentable == WriteNull || kind == Unchanged
	n := field.node
	if lenient && n.optional && n.def == nil && !field.masked {
		w.null(n)
		return nil
	}
	if lenient && (n.optional || n.def != nil && c.options.Debezium) {
		return c.appendNull(w, field)
	}
	return c.valueError(field, reason)
}

// valueError returns the error that names the field.
func (c *Codec) valueError(field *cell, reason *unrepresentable) error {
	return &ValueError{
		Table:  c.relation.String(),
		Column: field.source.Name,
		Type:   field.source.Type.Name,
		Reason: reason.reason,
		Mode:   reason.mode,
	}
}

// frame is how a datum stands in a record: an Avro datum under its schema text, JSON alone, or JSON
// between the two halves of its frame.
type frame struct {
	avro   string
	json   bool
	prefix []byte // {"schema":...,"payload":
}

// newFrame returns the frame of a node's data in a format.
func newFrame(n *node, f Format) frame {
	switch f {
	case Avro:
		return frame{avro: string(avroText(nil, n))}
	case JSONSchemas:
		prefix := connectJSON([]byte(`{"schema":`), n)
		return frame{json: true, prefix: append(prefix, `,"payload":`...)}
	}
	return frame{json: true}
}

// begin points the writer at dst and writes what stands before the datum.
func (f *frame) begin(w *writer, dst []byte) {
	w.json = f.json
	w.dst = append(dst, f.prefix...)
}

// end writes what stands behind the datum, and returns the writer's memory.
func (f *frame) end(w *writer) []byte {
	if f.prefix != nil {
		w.dst = append(w.dst, '}')
	}
	return w.take()
}

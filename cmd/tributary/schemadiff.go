package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tributary-cdc/tributary/schema"
)

// What would become of a schema.
const (
	verdictSame    = "same"        // it is registered
	verdictFirst   = "new subject" // and a new subject takes any
	verdictVersion = "new version" // which the registry takes
	verdictRefused = "refused"
)

// shownDiff is what `schema diff` prints.
type shownDiff struct {
	Table string `json:"table"`
	// Alter is the actions that were tried, empty for the table as it is.
	Alter    string        `json:"alter,omitempty"`
	Subjects []subjectDiff `json:"subjects"`
}

// subjectDiff compares a subject's latest version with what would be registered.
type subjectDiff struct {
	Subject string `json:"subject"`
	// Version and ID are those of the version that is compared with: of the same text, or the latest.
	Version int    `json:"version,omitempty"`
	ID      int    `json:"id,omitempty"`
	Verdict string `json:"verdict"`
	// Finding is why the registry refuses.
	Finding string        `json:"finding,omitempty"`
	Changes []fieldChange `json:"changes"`
}

// fieldChange is a field that differs: Was is empty for a new one, Is for one that is gone.
type fieldChange struct {
	Field string `json:"field"` // a column's name, or envelope. and a path
	Was   string `json:"was,omitempty"`
	Is    string `json:"is,omitempty"`
}

// diff compares a table's schemas with the registered ones, after ALTER TABLE with actions if there are any.
func (s *schemas) diff(ctx context.Context, name, actions string) (shownDiff, error) {
	d := shownDiff{Table: name, Alter: actions, Subjects: []subjectDiff{}}
	c, err := s.now(ctx, name)
	if err != nil {
		return d, err
	}
	if actions != "" {
		r, err := s.catalog.Altered(ctx, c.table.OID, actions)
		if err != nil {
			return d, err
		}
		if c, err = s.compile(c.table, r); err != nil {
			return d, err
		}
	}
	for _, h := range c.halves() {
		one, err := s.compare(ctx, h)
		if err != nil {
			return d, err
		}
		d.Subjects = append(d.Subjects, one)
	}
	return d, nil
}

// compare asks the registry about one schema.
func (s *schemas) compare(ctx context.Context, h half) (subjectDiff, error) {
	d := subjectDiff{Subject: h.subject, Verdict: verdictFirst, Changes: []fieldChange{}}
	found, err := s.registry.Find(ctx, h.subject, h.text)
	if err != nil {
		return d, err
	}
	if found != nil {
		d.Version, d.ID, d.Verdict = found.Version, found.ID, verdictSame
		return d, nil
	}
	latest, err := s.registry.Latest(ctx, h.subject)
	if err != nil || latest == nil {
		return d, err
	}
	d.Version, d.ID, d.Verdict = latest.Version, latest.ID, verdictVersion
	var incompatible *schema.IncompatibleError
	switch err := s.registry.Check(ctx, h.subject, h.text); {
	case errors.As(err, &incompatible):
		d.Verdict = verdictRefused
		d.Finding = textOr(incompatible.Finding, incompatible.Detail)
	case err != nil:
		return d, err
	}
	d.Changes = fieldChanges(latest.Text, h.text)
	if len(d.Changes) == 0 {
		d.Changes = append(d.Changes, fieldChange{Field: "(outside of the fields)", Is: firstDifference(latest.Text,
			h.text)})
	}
	return d, nil
}

// refused says whether the registry would refuse a schema.
func (d shownDiff) refused() bool {
	for _, s := range d.Subjects {
		if s.Verdict == verdictRefused {
			return true
		}
	}
	return false
}

// write tells the differences, one line for each field.
func (d shownDiff) write(w io.Writer, color bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", d.Table)
	if d.Alter != "" {
		fmt.Fprintf(&b, "as it would be after ALTER TABLE %s %s\n", d.Table, d.Alter)
	}
	for _, s := range d.Subjects {
		fmt.Fprintf(&b, "\n%s\n  %s\n", s.Subject, s.sentence(color))
		for _, c := range s.Changes {
			switch {
			case c.Was == "":
				fmt.Fprintf(&b, "  %s %s  %s\n", paint(color, "32", "+"), c.Field, c.Is)
			case c.Is == "":
				fmt.Fprintf(&b, "  %s %s  %s\n", paint(color, "31", "-"), c.Field, c.Was)
			default:
				fmt.Fprintf(&b, "  %s %s  %s -> %s\n", paint(color, "33", "~"), c.Field, c.Was, c.Is)
			}
		}
	}
	if d.refused() {
		e, _ := lookUp("E304")
		fmt.Fprintf(&b, "\nfix: %s\n", e.Fix)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// sentence says what would become of a schema.
func (s subjectDiff) sentence(color bool) string {
	place := (&shownSchema{Version: s.Version, ID: s.ID}).place()
	switch s.Verdict {
	case verdictSame:
		return place + " is this schema: nothing is new"
	case verdictFirst:
		return "no schema is registered yet: any is taken"
	case verdictVersion:
		return "would be a new version after " + place + ", which the registry takes"
	}
	return paint(color, "31;1", "refused") + " after " + place + ": " + textOr(s.Finding,
		"it is not compatible, the registry says no more")
}

// avroField is a field of an Avro record. Default is nil for none, which null is not.
type avroField struct {
	Name    string          `json:"name"`
	Type    json.RawMessage `json:"type"`
	Default json.RawMessage `json:"default"`
}

// avroRecord is a record's definition.
type avroRecord struct {
	Type   json.RawMessage `json:"type"`
	Fields []avroField     `json:"fields"`
}

// flatField is a field with its path and what it may hold.
type flatField struct{ path, text string }

// fieldChanges compares two Avro schemas field by field: in the order of the new one, then what is gone.
func fieldChanges(was, is string) []fieldChange {
	old, now := flatten(was), flatten(is)
	before := map[string]string{}
	for _, f := range old {
		before[f.path] = f.text
	}
	changes := []fieldChange{}
	for _, f := range now {
		text, had := before[f.path]
		delete(before, f.path)
		if !had || text != f.text {
			changes = append(changes, fieldChange{f.path, text, f.text})
		}
	}
	for _, f := range old {
		if text, gone := before[f.path]; gone {
			changes = append(changes, fieldChange{Field: f.path, Was: text})
		}
	}
	return changes
}

// flatten lists the fields of a key's or a value's schema. The columns of a value stand in the record of its
// field before, which after refers to by name.
func flatten(schema string) []flatField {
	record := recordIn(json.RawMessage(schema))
	if record == nil {
		return nil
	}
	for _, f := range record.Fields {
		if row := recordIn(f.Type); f.Name == "before" && row != nil {
			return append(appendFields(nil, "", row), appendFields(nil, "envelope.", without(record, "before"))...)
		}
	}
	return appendFields(nil, "", record)
}

// without is a record less one field.
func without(r *avroRecord, name string) *avroRecord {
	rest := &avroRecord{}
	for _, f := range r.Fields {
		if f.Name != name {
			rest.Fields = append(rest.Fields, f)
		}
	}
	return rest
}

// appendFields appends a record's fields, and those of the records in them.
func appendFields(dst []flatField, prefix string, r *avroRecord) []flatField {
	for _, f := range r.Fields {
		var text bytes.Buffer
		if inner := recordIn(f.Type); inner != nil {
			dst = appendFields(dst, prefix+f.Name+".", inner)
			text.WriteString("record")
			if bytes.HasPrefix(bytes.TrimSpace(f.Type), []byte("[")) {
				text.WriteString(" or null")
			}
		} else if json.Compact(&text, f.Type) != nil {
			continue // not JSON, which the registry would not have taken
		}
		if f.Default != nil {
			text.WriteString(" = ")
			text.Write(f.Default)
		}
		dst = append(dst, flatField{prefix + f.Name, text.String()})
	}
	return dst
}

// recordIn returns the record that a type is, or that its union holds; nil for none.
func recordIn(t json.RawMessage) *avroRecord {
	var branches []json.RawMessage
	if json.Unmarshal(t, &branches) == nil {
		for _, branch := range branches {
			if record := recordIn(branch); record != nil {
				return record
			}
		}
		return nil
	}
	var record avroRecord
	if json.Unmarshal(t, &record) != nil || string(record.Type) != `"record"` {
		return nil
	}
	return &record
}

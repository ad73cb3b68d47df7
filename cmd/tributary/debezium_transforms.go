package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// transformRules are the single-message transforms that are known by their class. Those without apply are
// refused.
var transformRules = map[string]struct {
	apply func(d *connector, prefix string) error
	text  string
}{
	"org.apache.kafka.connect.transforms.RegexRouter": {(*connector).regexRouter, "is topic.routes"},
	"io.debezium.transforms.ByLogicalTableRouter": {
		(*connector).logicalRouter,
		"is topic.routes with schemas",
	},
	"org.apache.kafka.connect.transforms.InsertHeader": {(*connector).insertHeader, "is headers"},
	"io.debezium.transforms.ExtractNewRecordState": {
		nil,
		"tributary writes the whole envelope, from which consumers tell " +
			"deletes and old values: put this transform on the sink connector, where it reads these topics as they " +
			"are",
	},
	"org.apache.kafka.connect.transforms.InsertField$Value": {
		nil,
		"a field that is no column would change every schema: " +
			"use headers for static values, and the sink's transform for a field",
	},
	"org.apache.kafka.connect.transforms.ReplaceField$Value": {
		nil,
		"use column.exclude.list to leave columns out, " +
			"and the sink's transform to rename",
	},
	"org.apache.kafka.connect.transforms.MaskField$Value": {nil, "use column.mask.with.N.chars"},
	"org.apache.kafka.connect.transforms.ValueToKey":      {nil, "use message.key.columns"},
	"org.apache.kafka.connect.transforms.ExtractField$Key": {
		nil,
		"the key stays a record, whose bytes choose the partition: " +
			"put this transform on the sink",
	},
	"io.debezium.transforms.Filter": {
		nil,
		"use a row filter of the publication, or skipped.operations",
	},
	"org.apache.kafka.connect.transforms.Filter": {
		nil,
		"use a row filter of the publication, or skipped.operations",
	},
	"io.debezium.transforms.ContentBasedRouter": {
		nil,
		"route in a consumer: a row's topic does not depend on its content",
	},
	"io.debezium.transforms.outbox.EventRouter": {
		nil,
		"put it on the sink, or route outbox rows in a consumer",
	},
	"io.debezium.transforms.partitions.PartitionRouting": {
		nil,
		"the key chooses the partition: use message.key.columns",
	},
	"io.debezium.transforms.ExtractChangedRecordState": {
		nil,
		"compare before and after, with REPLICA IDENTITY FULL",
	},
	"io.debezium.transforms.TimezoneConverter": {nil, "convert in the consumer"},
}

// transforms reads the chain in the order that "transforms" gives.
func (d *connector) transforms() {
	known := map[string]bool{"transforms": true, "predicates": true}
	if list, set := d.properties["transforms"]; set {
		d.rule("transforms", mapped, "its members are judged one by one")
		for _, alias := range splitList(list, true) {
			d.transform("transforms."+alias, known)
		}
	}
	if _, set := d.properties["predicates"]; set {
		d.refuse("predicates", "a transform that is mapped works on every record")
	}
	for _, name := range d.names {
		switch {
		case known[name]:
		case strings.HasPrefix(name, "transforms."):
			d.rule(name, ignored, "belongs to a transform that \"transforms\" does not name, or that is judged as "+
				"a whole")
		case strings.HasPrefix(name, "predicates."):
			d.rule(name, ignored, "a predicate that no mapped transform uses")
		case strings.HasPrefix(name, "transforms"), strings.HasPrefix(name, "predicates"):
			d.refuse(name, "not a property of Debezium's PostgreSQL connector 3.6.1")
		}
	}
}

func (d *connector) transform(prefix string, known map[string]bool) {
	name := prefix + ".type"
	known[name] = true
	class := d.properties[name]
	r, found := transformRules[class]
	if !found {
		short := class[strings.LastIndexByte(class, '.')+1:]
		for full, candidate := range transformRules {
			if strings.HasSuffix(full, "."+short) && !strings.Contains(class, ".") {
				r, found = candidate, true // Connect knows plug-ins by their short names too
			}
		}
	}
	switch {
	case !found:
		d.refuse(name, textOr(class, "a transform without a class")+" is Java, which tributary cannot load: put "+
			"it on the sink")
	case r.apply == nil:
		d.refuse(name, r.text)
	case d.properties[prefix+".predicate"] != "":
		d.refuse(prefix+".predicate", "a transform that is mapped works on every record: put the condition into "+
			"its regex")
	default:
		d.current = name
		if err := r.apply(d, prefix+"."); err != nil {
			d.refuse(name, err.Error())
			return
		}
		d.rule(name, mapped, r.text)
		for _, n := range d.names {
			if strings.HasPrefix(n, prefix+".") && n != name {
				known[n] = true
				d.rule(n, mapped, r.text)
			}
		}
	}
}

// options checks that a transform has no option but these; each is then known to be read.
func (d *connector) options(prefix string, names ...string) error {
	for _, n := range d.names {
		if option, ours := strings.CutPrefix(n, prefix); ours && option != "type" && !isOneOf(option, names) {
			return fmt.Errorf("its option %s is not known here%s", option, didYouMean(option, names))
		}
	}
	return nil
}

func (d *connector) regexRouter(prefix string) error {
	if err := d.options(prefix, "regex", "replacement"); err != nil {
		return err
	}
	return d.route(d.properties[prefix+"regex"], d.properties[prefix+"replacement"], false)
}

func (d *connector) logicalRouter(prefix string) error {
	err := d.options(prefix, "topic.regex", "topic.replacement", "key.enforce.uniqueness",
		"schema.name.adjustment.mode", "logical.table.cache.size")
	if err != nil {
		return err
	}
	if !strings.EqualFold(d.properties[prefix+"key.enforce.uniqueness"], "false") {
		return errors.New("it adds a field to the key unless key.enforce.uniqueness is false, which is what " +
			"tributary does: " +
			"set it to false where the keys of the joined tables never meet")
	}
	if mode := d.properties[prefix+"schema.name.adjustment.mode"]; mode != "" &&
		!strings.EqualFold(mode, "none") {
		return errors.New("its schema.name.adjustment.mode: use the connector's")
	}
	return d.route(d.properties[prefix+"topic.regex"], d.properties[prefix+"topic.replacement"], true)
}

func (d *connector) route(expression, replacement string, schemas bool) error {
	if expression == "" || replacement == "" {
		return errors.New("it needs an expression and a replacement")
	}
	match, err := javaPattern(expression, "", "")
	if err != nil {
		return err
	}
	r := Route{Match: match, Replace: javaReplacement(replacement), Schemas: schemas}
	if err := checkReplacement(r); err != nil {
		return err
	}
	d.l.config.Topic.Routes = append(d.l.config.Topic.Routes, r)
	d.note("topic.routes")
	return nil
}

func (d *connector) insertHeader(prefix string) error {
	if err := d.options(prefix, "header", "value.literal"); err != nil {
		return err
	}
	name, value := d.properties[prefix+"header"], d.properties[prefix+"value.literal"]
	if name == "" {
		return errors.New("it needs a header")
	}
	// Connect reads a literal as a number when it is one, and writes it in its own form.
	if _, err := strconv.ParseFloat(value, 64); err == nil && strings.Trim(value, "0123456789") != "" {
		return fmt.Errorf("the literal %s is a number, which Connect writes in a form of its own: set headers "+
			"in tributary's file", value)
	}
	if value != "" && strings.ContainsAny(value[:1], `{["`) {
		return errors.New("the literal has structure: set headers in tributary's file")
	}
	if d.l.config.Headers == nil {
		d.l.config.Headers = map[string]string{}
	}
	d.l.config.Headers[name] = value
	d.note("headers")
	return nil
}

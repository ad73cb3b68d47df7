package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
	"github.com/tributary-cdc/tributary/snapshot"
)

// checkDebezium says what would differ once tributary stands in a connector's place: properties, position,
// and the schema of each table against the ones that are registered.
func checkDebezium(ctx context.Context, c Config, f *findings) {
	counts := map[verdict]int{}
	for _, r := range c.rulings {
		counts[r.Verdict]++
		if r.Verdict == ignored {
			f.add("I506", "property", r.Property+": ignored: "+r.Text, "")
		}
	}
	f.ok("properties", fmt.Sprintf("%d mapped, %d ignored without effect on the records", counts[mapped],
		counts[ignored]))
	conn, err := decoder.Connect(ctx, sourceOptions(c))
	if err != nil {
		f.skip("schemas", "the source does not answer")
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	checkOffset(ctx, c, conn, f)
	if err := checkSchemas(ctx, c, conn, f); err != nil {
		f.fault("schemas", err, "")
	}
}

// checkOffset says where run would begin.
func checkOffset(ctx context.Context, c Config, conn *pgconn.PgConn, f *findings) {
	slot, err := decoder.InspectSlot(ctx, conn, c.Source.Slot)
	if err != nil {
		return // the source's part tells it
	}
	if c.Takeover.ConnectOffsets == "" && slot != nil {
		text, fix := "run reads all rows again if it has stored no position, since nothing says what of the "+
			"slot's changes Debezium has published", "tributary check --connect-offsets connect-offsets --name "+
			textOr(c.Takeover.Connector, "CONNECTOR")
		if c.Snapshot.WithoutPosition == "stop" {
			text = "run stops if it has stored no position"
		}
		f.add("W505", "position", text, fix)
		return
	}
	offset := &connectorOffset{}
	if c.Takeover.ConnectOffsets != "" {
		opts, err := kafkaOptions(ctx, c)
		if err == nil {
			offset, err = readOffset(ctx, opts, c.Takeover, c.Topic.Prefix)
		}
		if err != nil {
			f.fault("position", err, kafkaTool(c, "kafka-topics.sh")+
				" --list   # offset.storage.topic of the Connect worker")
			return
		}
	}
	switch {
	case slot == nil && offset.finished() && c.Snapshot.Mode != "when_needed":
		f.fault("position", offset.slotless(c), "")
	case slot == nil:
		f.add("I506", "position", "no slot: run takes a snapshot as a new connector would", "")
	case !offset.found:
		f.add("W505", "position", fmt.Sprintf("connector %s has no offset under server %s: run takes a snapshot",
			c.Takeover.Connector, c.Topic.Prefix),
			"curl CONNECT/connectors   # --name takes the connector's name")
	case offset.beyond(c, slot.ServerEnd) != nil:
		f.fault("position", offset.beyond(c, slot.ServerEnd), "")
	case !offset.finished():
		f.add("W505", "position", fmt.Sprintf("connector %s has %s: run takes a snapshot", c.Takeover.Connector,
			offset), "")
	default:
		from, taken := offset.start(slot.Confirmed)
		text := fmt.Sprintf("connector %s has %s: run goes on from %s", c.Takeover.Connector, offset, from)
		if !taken.Passed && taken.Changes > 0 {
			text += fmt.Sprintf(", behind what is published of transaction %d", taken.XID)
		}
		f.ok("position", text)
	}
}

// checkSchemas compiles every captured table as the stream will have it and asks whether that schema is
// registered.
func checkSchemas(ctx context.Context, c Config, conn *pgconn.PgConn, f *findings) error {
	if !c.NeedsRegistry() {
		return nil
	}
	options, err := registryOptions(c)
	if err != nil {
		return err
	}
	registry, err := schema.NewRegistry(options)
	if err != nil {
		return err
	}
	tables, err := openCaptured(ctx, c)
	if err != nil {
		return err
	}
	defer tables.close()
	same := 0
	for _, t := range tables.tables {
		relation, err := streamedRelation(ctx, tables.catalog, t.OID)
		if err != nil {
			return err
		}
		one, err := tables.compile(t, relation)
		if err != nil {
			f.fault(t.String(), err, "")
			continue
		}
		key := checkSchema(ctx, registry, one.topic+"-key", one.key, f)
		if value := checkSchema(ctx, registry, one.topic+"-value", one.value, f); key && value {
			same++
		}
	}
	f.ok("schemas", fmt.Sprintf("of %s %d have the schemas that are registered",
		count(len(tables.tables), "table"), same))
	return nil
}

// streamedRelation is a table's relation as the stream describes it: Debezium's snapshot has generated
// columns too.
func streamedRelation(ctx context.Context, catalog *snapshot.Catalog, oid uint32) (*schema.Relation,
	error,
) {
	relation, err := catalog.Relation(ctx, oid)
	if err != nil {
		return nil, err
	}
	shape := decoder.Shape{
		OID: oid, Namespace: relation.Namespace, Name: relation.Name,
		Identity: relation.Identity,
	}
	for _, column := range relation.Columns {
		if !column.Generated || !relation.Snapshot {
			shape.Columns = append(shape.Columns, decoder.ShapeColumn{
				Name:    column.Name,
				TypeOID: column.Type.OID,
				TypMod:  column.TypMod, Key: column.InIdentity,
			})
		}
	}
	return catalog.Describe(ctx, shape)
}

// checkSchema says whether a subject has the schema already, and where not, what registering it would do.
func checkSchema(ctx context.Context, registry *schema.Registry, subject, text string, f *findings) bool {
	if text == "" {
		return true // no key, or JSON
	}
	exists, same, err := registry.Known(ctx, subject, text)
	var incompatible *schema.IncompatibleError
	switch {
	case err != nil:
		f.fault(subject, err, "")
	case same:
		return true
	case !exists:
		f.add("I506", subject, "no schema is registered yet", "")
	default:
		latest, err := registry.Latest(ctx, subject)
		if err == nil && latest == nil {
			err = fmt.Errorf("read subject %s: it is gone", subject)
		}
		if err != nil {
			f.fault(subject, err, "")
			return false
		}
		where := "the schema would be a new version: " + firstDifference(latest.Text, text)
		if err := registry.Check(ctx, subject, text); errors.As(err, &incompatible) {
			f.add("E504", subject, where+"; the registry refuses it", "")
			return false
		}
		f.add("W505", subject, where, "")
	}
	return false
}

// firstDifference shows where two schema texts part.
func firstDifference(was, is string) string {
	const around = 40
	at := 0
	for at < min(len(was), len(is)) && was[at] == is[at] {
		at++
	}
	show := func(text string) string {
		part := text[max(0, at-around):min(len(text), at+around)]
		return strings.ToValidUTF8(part, "?")
	}
	return fmt.Sprintf("at byte %d %s becomes %s", at, show(was), show(is))
}

package main

import (
	"context"
	"fmt"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
	"github.com/tributary-cdc/tributary/snapshot"
)

// capturedTables is the tables that a configuration captures, and what becomes of each in Kafka.
type capturedTables struct {
	config  Config
	catalog *snapshot.Catalog
	tables  []snapshot.Table
	rows    schema.Options
	// topic is where a table's records go, schemaTopic what names their schemas.
	topic, schemaTopic func(namespace, table string) string
}

// openCaptured asks the source for the tables. Whoever calls it closes it.
func openCaptured(ctx context.Context, c Config) (*capturedTables, error) {
	conn, err := decoder.Connect(ctx, sourceOptions(c))
	if err != nil {
		return nil, err
	}
	defer closeConn(conn)
	publication, err := decoder.InspectPublication(ctx, conn, c.Source.Publication)
	if err != nil {
		return nil, err
	}
	viaRoot := c.Source.PublishViaRoot
	if publication != nil {
		viaRoot = publication.ViaRoot
	}
	k := &capturedTables{config: c}
	if k.rows, err = schemaOptions(c); err != nil {
		return nil, err
	}
	k.topic, k.schemaTopic = topicNames(c)
	if k.catalog, err = snapshot.OpenCatalog(ctx, catalogOptions(c, viaRoot)); err != nil {
		return nil, err
	}
	selection, err := k.catalog.Tables(ctx, c.Source.Select())
	if err != nil {
		k.close()
		return nil, err
	}
	k.tables = selection.Tables
	return k, nil
}

// close ends the connection, which only read.
func (k *capturedTables) close() {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	_ = k.catalog.Close(ctx)
}

// names lists the tables as schema.table.
func (k *capturedTables) names() []string {
	names := make([]string, len(k.tables))
	for i, t := range k.tables {
		names[i] = t.String()
	}
	return names
}

// find returns the table of a name.
func (k *capturedTables) find(name string) (snapshot.Table, error) {
	for _, t := range k.tables {
		if t.String() == name {
			return t, nil
		}
	}
	return snapshot.Table{}, usageError{fmt.Errorf("%s is not a captured table%s", name,
		didYouMean(name, k.names()))}
}

// compile says what becomes of a table that is shaped like r.
func (k *capturedTables) compile(t snapshot.Table, r *schema.Relation) (capture, error) {
	one := capture{table: t, topic: k.topic(t.Namespace, t.Name)}
	codec, err := schema.Compile(r, k.schemaTopic(t.Namespace, t.Name), k.rows)
	if err != nil {
		return one, err
	}
	one.key, one.value = codec.KeySchema(), codec.ValueSchema()
	return one, nil
}

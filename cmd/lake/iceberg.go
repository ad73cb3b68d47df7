package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The files of an Iceberg table are those that its present snapshot's manifests name, and no others: what a
// sink had written before it failed lies beside them.

// icebergFiles returns the keys of a table's data files. A table that is not there yet has none.
func (l *lake) icebergFiles(ctx context.Context, table string) ([]string, error) {
	conn, err := pgx.Connect(ctx, l.at.catalog)
	if err != nil {
		return nil, fmt.Errorf("connect to the catalog: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var location string
	err = conn.QueryRow(ctx, "SELECT coalesce((SELECT metadata_location FROM iceberg_tables "+
		"WHERE table_namespace = $1 AND table_name = $2), '')", namespace, table).Scan(&location)
	switch {
	case err != nil && strings.Contains(err.Error(), "42P01"): // the sink has not made its catalog yet
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the catalog: %w", err)
	case location == "":
		return nil, nil
	}
	list, err := l.manifests(ctx, location)
	if err != nil || list == "" {
		return nil, err
	}
	var files []string
	err = records(ctx, l, list, manifestSchema, func(m manifest) error {
		return records(ctx, l, m.Path, entrySchema, func(e entry) error {
			switch {
			case e.Status == 2: // deleted
				return nil
			case e.File.Content != 0:
				return fmt.Errorf("%s deletes rows: what the sink writes only grows", e.File.Path)
			}
			files = append(files, inBucket(e.File.Path))
			return nil
		})
	})
	return files, err
}

// catalogThere says whether a sink has made the catalog's tables.
func (l *lake) catalogThere(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, l.at.catalog)
	if err != nil {
		return fmt.Errorf("connect to the catalog: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var columns int
	err = conn.QueryRow(ctx, "SELECT count(*) FROM information_schema.columns "+
		"WHERE table_name = 'iceberg_tables' AND column_name = 'iceberg_type'").Scan(&columns)
	if err == nil && columns == 0 {
		err = errors.New("it has no tables yet")
	}
	return err
}

// manifests returns where the present snapshot's list of manifests is.
func (l *lake) manifests(ctx context.Context, location string) (string, error) {
	text, err := l.s3.get(ctx, inBucket(location))
	if err != nil {
		return "", err
	}
	var table struct {
		Current   int64 `json:"current-snapshot-id"`
		Snapshots []struct {
			ID   int64  `json:"snapshot-id"`
			List string `json:"manifest-list"`
		}
	}
	if err := json.Unmarshal(text, &table); err != nil {
		return "", fmt.Errorf("read %s: %w", location, err)
	}
	for _, s := range table.Snapshots {
		if s.ID == table.Current {
			return s.List, nil
		}
	}
	return "", nil
}

// What is read of Iceberg's own Avro files, in the names of its specification.
const (
	manifestSchema = `{"type":"record","name":"manifest_file","fields":[
		{"name":"manifest_path","type":"string"}]}`
	entrySchema = `{"type":"record","name":"manifest_entry","fields":[{"name":"status","type":"int"},
		{"name":"data_file","type":{"type":"record","name":"r2","fields":[
			{"name":"content","type":"int"},{"name":"file_path","type":"string"}]}}]}`
)

// manifest and entry have those fields.
type manifest struct {
	Path string `avro:"manifest_path"`
}

type entry struct {
	Status int32 `avro:"status"`
	File   struct {
		Content int32  `avro:"content"`
		Path    string `avro:"file_path"`
	} `avro:"data_file"`
}

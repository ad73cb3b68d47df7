package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// recipe is a sink of deploy/connect.
type recipe struct {
	name   string // the file's, without .json
	layout layout
}

// layout is what a sink writes: how its objects are read, and where they are.
type layout int

const (
	parquet    layout = iota // envelopes
	avroFile                 // envelopes
	jsonFile                 // envelopes
	jsonWrap                 // {key, value, offset}
	iceberg                  // envelopes, in an Iceberg table
	icebergRow               // rows with _cdc, in an Iceberg table
)

// namespace is the recipes' Iceberg namespace.
const namespace = "lake"

// apicurio is how Apicurio's converter reads what tributary writes with a registry's Confluent API.
func apicurio(address string) map[string]string {
	keys := map[string]string{}
	for _, side := range []string{"key.converter", "value.converter"} {
		keys[side] = "io.apicurio.registry.utils.converter.AvroConverter"
		for name, value := range map[string]string{
			"url": address, "as-confluent": "true", "headers.enabled": "false", "use-id": "contentId",
		} {
			keys[side+".apicurio.registry."+name] = value
		}
	}
	return keys
}

// here returns what of a recipe is another on this machine: addresses, keys, topics, folders, and how long
// it waits before it writes.
func (l *lake) here(r recipe, config map[string]string) map[string]string {
	folder := l.folder(r)
	keys := map[string]string{
		"topics.regex":                      strings.ReplaceAll(config["topics.regex"], `pagila\.`, l.prefix+`\.`),
		"key.converter.schema.registry.url": l.at.registry, "value.converter.schema.registry.url": l.at.registry,
	}
	switch {
	case r.layout == iceberg || r.layout == icebergRow:
		// The JDBC catalog in place of Glue's.
		catalog, err := url.Parse(l.at.catalog)
		if err != nil {
			panic("lake: the catalog's address is not a URL")
		}
		password, _ := catalog.User.Password()
		maps.Copy(keys, map[string]string{
			"iceberg.control.topic":                l.name(r) + "-control",
			"iceberg.control.group-id-prefix":      l.name(r),
			"iceberg.control.commit.interval-ms":   "2000",
			"iceberg.catalog.catalog-impl":         "org.apache.iceberg.jdbc.JdbcCatalog",
			"iceberg.catalog.uri":                  "jdbc:postgresql://" + catalog.Host + catalog.Path,
			"iceberg.catalog.jdbc.user":            catalog.User.Username(),
			"iceberg.catalog.jdbc.password":        password,
			"iceberg.catalog.jdbc.schema-version":  "V1",
			"iceberg.catalog.warehouse":            "s3://" + bucket + "/" + folder,
			"iceberg.catalog.client.region":        s3Region,
			"iceberg.catalog.s3.endpoint":          l.at.s3,
			"iceberg.catalog.s3.path-style-access": "true",
			"iceberg.catalog.s3.access-key-id":     s3Key,
			"iceberg.catalog.s3.secret-access-key": s3Secret,
		})
	case config["aws.s3.bucket.name"] != "": // Aiven's
		maps.Copy(keys, map[string]string{
			"aws.s3.bucket.name": bucket, "aws.s3.region": s3Region, "aws.s3.endpoint": l.at.s3,
			"aws.access.key.id": s3Key, "aws.secret.access.key": s3Secret,
			"file.name.template": strings.Replace(config["file.name.template"], "log/", folder+"/", 1),
		})
	default: // Confluent's
		maps.Copy(keys, map[string]string{
			"s3.bucket.name": bucket, "s3.region": s3Region, "store.url": l.at.s3,
			"s3.path.style.access.enabled": "true", "aws.access.key.id": s3Key, "aws.secret.access.key": s3Secret,
			"topics.dir": folder, "rotate.schedule.interval.ms": "2000",
		})
	}
	maps.Copy(keys, l.at.converter)
	return keys
}

// name is the connector's, folder is where its objects are.
func (l *lake) name(r recipe) string   { return l.prefix + "-" + r.name }
func (l *lake) folder(r recipe) string { return l.prefix + "/" + r.name }

// sink starts a recipe's connector. The topics are there: a sink looks for new ones only now and then.
func (l *lake) sink(ctx context.Context, r recipe) error {
	content, err := os.ReadFile(filepath.Join(l.deploy, "connect", r.name+".json"))
	if err != nil {
		return err
	}
	var config map[string]string
	if err := json.Unmarshal(content, &config); err != nil {
		return fmt.Errorf("read recipe %s: %w", r.name, err)
	}
	maps.Copy(config, l.here(r, config))
	if topic := config["iceberg.control.topic"]; topic != "" { // the sink does not make it
		if _, err := l.admin.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
			return fmt.Errorf("make topic %s: %w", topic, err)
		}
	}
	err = l.within(ctx, startPatience, "the worker to take "+r.name, func() error {
		_, err := l.rest(ctx, http.MethodPut, "/connectors/"+l.name(r)+"/config", config)
		if err != nil && !strings.Contains(err.Error(), "409") && !strings.Contains(err.Error(), "rebalanc") {
			return stop{err}
		}
		return err
	})
	if err != nil || config["iceberg.control.topic"] == "" {
		return err
	}
	// The first of two sinks makes the catalog's tables; both at a time would fail.
	return l.until(ctx, "the catalog of "+r.name, func() error {
		if err := l.failure(ctx, r); err != nil {
			return err
		}
		return l.catalogThere(ctx)
	})
}

// namespaceTwice is in the trace of a sink that made the namespace when another one did: it is there then.
const namespaceTwice = "iceberg_namespace_properties_pkey"

// failure returns why a sink's task has failed, or nil.
func (l *lake) failure(ctx context.Context, r recipe) error {
	body, err := l.rest(ctx, http.MethodGet, "/connectors/"+l.name(r)+"/status", nil)
	if err != nil {
		return nil // the worker may be about to move it; what does not come is seen anyway
	}
	var status struct {
		Connector taskStatus
		Tasks     []taskStatus
	}
	if err := json.Unmarshal(body, &status); err != nil {
		return fmt.Errorf("read the status of %s: %w", r.name, err)
	}
	for _, task := range append(status.Tasks, status.Connector) {
		if task.State == "FAILED" && strings.Contains(task.Trace, namespaceTwice) {
			again := "/connectors/" + l.name(r) + "/restart?includeTasks=true&onlyFailed=true"
			_, err := l.rest(ctx, http.MethodPost, again, nil)
			return err
		}
		if task.State == "FAILED" {
			return stop{fmt.Errorf("sink %s failed: %s", r.name, task.Trace)}
		}
	}
	return nil
}

type taskStatus struct {
	State, Trace string
}

// rest asks the Connect worker.
func (l *lake) rest(ctx context.Context, method, path string, config map[string]string) ([]byte, error) {
	var body io.Reader
	if config != nil {
		content, err := json.Marshal(config)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(content)
	}
	request, err := http.NewRequestWithContext(ctx, method, l.at.connect+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s", answer)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %s: %w", method, path, response.Status, err)
	}
	return answer, nil
}

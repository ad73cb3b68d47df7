// Package check holds the files of deploy against what can be known of them without a cloud. It is a module
// of its own, so that the libraries that it needs are no dependencies of the program.
package check

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const chart = "../helm/tributary"

// object is a YAML mapping.
type object = map[string]any

// at follows a path of keys and indexes through YAML; nil where it leads nowhere.
func at(v any, path ...any) any {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			o, _ := v.(object)
			v = o[s]
		case int:
			list, _ := v.([]any)
			if s >= len(list) {
				return nil
			}
			v = list[s]
		}
	}
	return v
}

// manifests are the documents of all renderings, by file and kind/name.
func manifests(t *testing.T) map[string]map[string]object {
	t.Helper()
	files, err := filepath.Glob("../kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	all := map[string]map[string]object{}
	for _, file := range files {
		set := strings.TrimSuffix(filepath.Base(file), ".yaml")
		all[set] = map[string]object{}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewDecoder(bytes.NewReader(text))
		for {
			var doc object
			err := decoder.Decode(&doc)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if doc != nil {
				all[set][fmt.Sprintf("%v/%v", doc["kind"], at(doc, "metadata", "name"))] = doc
			}
		}
	}
	return all
}

func compile(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return schema
}

// TestManifests holds every rendered object against the strict schema of its kind, which refuses what is
// misspelt.
func TestManifests(t *testing.T) {
	for set, docs := range manifests(t) {
		for name, doc := range docs {
			if err := schemaOf(t, doc).Validate(doc); err != nil {
				t.Errorf("%s: %s: %v", set, name, err)
			}
		}
	}
	deployment := manifests(t)["minimal"]["Deployment/tributary"]
	container := at(deployment, "spec", "template", "spec", "containers", 0).(object)
	container["imagePullPolice"] = "Always"
	if schemaOf(t, deployment).Validate(deployment) == nil {
		t.Error("the schema takes a property that does not exist")
	}
}

func schemaOf(t *testing.T, doc object) *jsonschema.Schema {
	t.Helper()
	group, version, grouped := strings.Cut(fmt.Sprint(doc["apiVersion"]), "/")
	name := strings.ToLower(fmt.Sprint(doc["kind"]))
	if grouped {
		first, _, _ := strings.Cut(group, ".")
		name += "-" + first + "-" + version
	} else {
		name += "-" + group
	}
	return compile(t, "testdata/schemas/"+name+".json")
}

// TestRendered finds a chart that was changed without `make -C deploy render`: helm itself is too big for the
// tests of every change.
func TestRendered(t *testing.T) {
	recorded, err := os.ReadFile("../kubernetes/CHART.sha256")
	if err != nil {
		t.Fatal(err)
	}
	var now strings.Builder
	err = filepath.Walk(chart, func(name string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		fmt.Fprintf(&now, "%x  %s\n", sha256.Sum256(text), strings.TrimPrefix(name, "../"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want, got := lines(string(recorded)), lines(now.String())
	for line := range got {
		if !want[line] {
			t.Errorf("changed since kubernetes/ was rendered (make -C deploy render): %s", line)
		}
	}
	for line := range want {
		if !got[line] {
			t.Errorf("gone or changed since kubernetes/ was rendered: %s", line)
		}
	}
	for _, name := range []string{"alerts.yaml", "dashboard.json"} {
		source, err1 := os.ReadFile("../monitoring/" + name)
		copied, err2 := os.ReadFile(chart + "/files/" + name)
		if err1 != nil || err2 != nil || !bytes.Equal(source, copied) {
			t.Errorf("monitoring/%s and the chart's copy differ: make -C deploy render", name)
		}
	}
}

func lines(text string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(text) {
		all[strings.TrimSpace(line)] = true
	}
	return all
}

// TestValues holds values.yaml and the sets against the chart's schema, and the schema against nonsense.
func TestValues(t *testing.T) {
	schema := compile(t, chart+"/values.schema.json")
	files, err := filepath.Glob(chart + "/ci/*-values.yaml")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d value sets, %v", len(files), err)
	}
	read := func(text string) (v object) {
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, file := range append(files, chart+"/values.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(read(string(text))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, bad := range []string{
		"replicaCount: 3", "replicas: 1", "image: {digest: latest}", "resources: {limits: {memory: 1e9}}",
		"source: {password: secret}", "networkPolicy: {postgres: {cidrs: [everywhere]}}", "memoryLimitPercent: 100",
		"config: {topic: {partitons: 3}}", "config: {delivery: twice}", "config: {source: {tables: 7}}",
	} {
		if schema.Validate(read(bad)) == nil {
			t.Errorf("the schema of the values takes %s", bad)
		}
	}
}

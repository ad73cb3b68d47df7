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
		for _, doc := range documents(t, file) {
			all[set][fmt.Sprintf("%v/%v", doc["kind"], at(doc, "metadata", "name"))] = doc
		}
	}
	return all
}

// documents are those of a YAML file.
func documents(t *testing.T, file string) (docs []object) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var doc object
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if doc != nil {
			docs = append(docs, doc)
		}
	}
}

// TestExamples holds the files for Argo CD, Istio and eksctl against the strict schemas of what reads them,
// and the schemas against a misspelt field.
func TestExamples(t *testing.T) {
	for file, want := range map[string]int{
		"../argocd/application.yaml": 1, "../istio/serviceentries.yaml": 3, "../aws/eksctl.yaml": 1,
	} {
		docs := documents(t, file)
		if len(docs) != want {
			t.Errorf("%s: %d documents, want %d", file, len(docs), want)
		}
		for _, doc := range docs {
			schema := schemaOf(t, doc)
			if err := schema.Validate(doc); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			for _, part := range []any{doc, doc["spec"], doc["iam"]} {
				if o, is := part.(object); is {
					o["misspelt"] = "x"
					if schema.Validate(doc) == nil {
						t.Errorf("%s: the schema takes a field that does not exist", file)
					}
					delete(o, "misspelt")
				}
			}
		}
	}
	application := documents(t, "../argocd/application.yaml")[0]
	path := fmt.Sprint(at(application, "spec", "source", "path"))
	for _, file := range at(application, "spec", "source", "helm", "valueFiles").([]any) {
		if _, err := os.Stat(filepath.Join("../..", path, fmt.Sprint(file))); err != nil {
			t.Errorf("argocd/application.yaml: %v", err)
		}
	}
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
	if err != nil || len(files) != 9 {
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
		"replicaCount: 3", "replicas: 1", "otel: {endpont: x}", "otel: {endpoint: 'otel:4317'}",
		"otel: {protocol: udp}", "image: {digest: latest}", "resources: {limits: {memory: 1e9}}",
		"source: {password: secret}", "networkPolicy: {postgres: {cidrs: [everywhere]}}", "memoryLimitPercent: 100",
		"config: {topic: {partitons: 3}}", "config: {delivery: twice}", "config: {source: {tables: 7}}",
	} {
		if schema.Validate(read(bad)) == nil {
			t.Errorf("the schema of the values takes %s", bad)
		}
	}
}

package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// deployed is where the files between the binary and a running service are.
const deployed = "../../deploy/"

// read returns a file of deploy.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(deployed + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestChartConfigurations loads the configuration of every rendering as run would.
func TestChartConfigurations(t *testing.T) {
	files, err := filepath.Glob(deployed + "kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no renderings: %v", err)
	}
	texts := map[string]string{"compose/tributary.yaml": read(t, "compose/tributary.yaml")}
	for _, file := range files {
		decoder := yaml.NewDecoder(strings.NewReader(read(t, "kubernetes/"+filepath.Base(file))))
		for {
			var doc struct {
				Data map[string]string `yaml:"data"`
			}
			err := decoder.Decode(&doc)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if text := doc.Data["config.yaml"]; text != "" {
				texts[file] = text
			}
		}
	}
	if len(texts) != len(files)+1 {
		t.Fatalf("%d configurations in %d renderings", len(texts)-1, len(files))
	}
	for name, text := range texts {
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		config, err := load(loadOptions{File: file})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if config.HTTP.Listen != ":8080" {
			t.Errorf("%s: listens at %s, where no probe comes", name, config.HTTP.Listen)
		}
	}
}

// TestProbes asks the program's own handler for what the chart's probes ask.
func TestProbes(t *testing.T) {
	paths := regexp.MustCompile(`httpGet: \{path: (/[a-z]+)`).FindAllStringSubmatch(
		read(t, "kubernetes/minimal.yaml"), -1)
	if len(paths) != 3 {
		t.Fatalf("probes %v, want startup, liveness and readiness", paths)
	}
	b := newBoard(defaultConfig())
	h := handler(b, prometheus.NewRegistry(), testPage(t, b))
	for _, path := range append(paths, []string{"", "/metrics"}) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path[1], nil))
		if w.Code != http.StatusOK && w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d", path[1], w.Code)
		}
	}
}

// TestErrorDocumentRunbook holds the table of the error codes in RUNBOOK.md to the catalogue, as
// TestErrorDocument does ERRORS.md. No field may be missing.
func TestErrorDocumentRunbook(t *testing.T) {
	const begin = "| code | symptom | cause | command |\n|---|---|---|---|\n"
	var table strings.Builder
	for _, e := range catalogue() {
		fmt.Fprintf(&table, "| [%s](ERRORS.md#%s) |", e.Code, strings.ToLower(e.Code))
		for _, text := range []string{e.Sentence, e.Cause, "`" + e.Fix + "`"} {
			if len(text) < 5 || strings.ContainsAny(text, "\n") || strings.Contains(e.Fix, "`") {
				t.Errorf("%s: %q is no cell of a table", e.Code, text)
			}
			table.WriteString(" " + strings.ReplaceAll(text, "|", `\|`) + " |")
		}
		table.WriteByte('\n')
	}
	head, _, found := strings.Cut(read(t, "RUNBOOK.md"), begin)
	if !found {
		t.Fatal("RUNBOOK.md has no table of codes")
	}
	compare(t, deployed+"RUNBOOK.md", head+begin+table.String())
}

// TestRunbookSections: each section of an alert tells symptom, cause and a command.
func TestRunbookSections(t *testing.T) {
	alerts, _, _ := strings.Cut(read(t, "RUNBOOK.md"), "\n## Rotating")
	sections := strings.Split(alerts, "\n### ")[1:]
	if len(sections) < 20 {
		t.Fatalf("%d sections", len(sections))
	}
	command := regexp.MustCompile(`(?m)^    (kubectl|psql|tributary|aws) `)
	for _, section := range sections {
		name, text, _ := strings.Cut(section, "\n")
		if !strings.Contains(text, "Symptom: ") || !strings.Contains(text, "Cause: ") ||
			!command.MatchString(text) {
			t.Errorf("RUNBOOK.md: %s lacks its symptom, its cause or a command", name)
		}
	}
}

// TestRunbook wants a section for each alert, by the anchor that the alert links to.
func TestRunbook(t *testing.T) {
	runbook, alerts := read(t, "RUNBOOK.md"), read(t, "monitoring/alerts.yaml")
	names := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(alerts, -1)
	if len(names) < 5 {
		t.Fatalf("%d alerts", len(names))
	}
	for _, name := range names {
		if !strings.Contains(runbook, "\n### "+name[1]+"\n") {
			t.Errorf("RUNBOOK.md has no section %s", name[1])
		}
		if !strings.Contains(alerts, "RUNBOOK.md#"+strings.ToLower(name[1])) {
			t.Errorf("%s links to no section", name[1])
		}
	}
	for _, alarm := range regexp.MustCompile(`(?m)^  (\w+Alarm):`).FindAllStringSubmatch(
		read(t, "aws/cloudformation.yaml"), -1) {
		if !strings.Contains(runbook, "\n### "+alarm[1]+"\n") {
			t.Errorf("RUNBOOK.md has no section %s", alarm[1])
		}
	}
}

// TestDocumentPaths finds files that the documents name and that are not there.
func TestDocumentPaths(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	for _, file := range []string{"README.md", "RUNBOOK.md"} {
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			if _, err := os.Stat(deployed + m[1]); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// released writes the released binary from the module in a directory.
func released(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "tributary")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version=test", "-o", out, "./cmd/tributary")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build in %s: %v\n%s", dir, err, text)
	}
	return out
}

// TestRealRelease builds what is released from two directories and compares the bytes, then runs it where
// there is nothing else. `make deploy-check` compares both architectures, built with an empty cache.
func TestRealRelease(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "elsewhere")
	for _, dir := range []string{"cmd/tributary", "decoder", "publisher", "schema", "snapshot", "deploy/sql"} {
		if err := copyTree(filepath.Join(root, dir), filepath.Join(other, dir)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err == nil {
			err = os.WriteFile(filepath.Join(other, file), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	binary := released(t, root)
	if first, second := sum(t, binary), sum(t, released(t, other)); first != second {
		t.Errorf("two builds of one source differ: %s, %s", first, second)
	}
	t.Run("empty root", func(t *testing.T) { emptyRoot(t, binary) })
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		relative, relErr := filepath.Rel(from, name)
		switch {
		case err != nil || relErr != nil:
			return fmt.Errorf("copy %s: %w", name, err)
		case entry.IsDir() && entry.Name() == "testdata":
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, relative), 0o700)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, relative), text, 0o600)
	})
}

func sum(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// emptyRoot runs the released binary where there is nothing but itself and a configuration, as a user who is
// in no file: it needs no library, no shell and no file of the system.
func emptyRoot(t *testing.T, binary string) {
	if os.Geteuid() != 0 {
		t.Skip("only root may chroot")
	}
	root := t.TempDir()
	for _, dir := range []string{root, filepath.Dir(root)} { // the user must get there
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	source := local.Database(t, local.Postgres(t))
	dial(t, source).exec("CREATE TABLE orders (id int PRIMARY KEY)")
	r := newRig(t, source, local.Kafka(t), local.Registry(t), "[public.orders]", "")
	config, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"tributary": text, "config.yaml": config} {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o755); err != nil { // as in the image
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"version"}, {"config", "schema"}, {"check", "--config", "/config.yaml"}} {
		var out bytes.Buffer
		cmd := exec.CommandContext(t.Context(), "/tributary", args...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", []string{}, &out, &out
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532},
		}
		if err := cmd.Run(); err != nil {
			t.Errorf("tributary %s in an empty root: %v\n%s", strings.Join(args, " "), err, out.String())
		}
	}
}

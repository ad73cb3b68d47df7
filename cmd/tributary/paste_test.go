package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// mending is what a fix does when it is pasted where it belongs.
type mending struct {
	file string // the configuration from then on
	mend bool   // it is mended now; else the fix shows what is to be mended by hand
	out  string // what a command printed
}

var (
	configLine = regexp.MustCompile(`^[a-z_]+: \{`)
	sqlLine    = regexp.MustCompile(`^(ALTER|CREATE|GRANT|SELECT|ANALYZE|DROP) `)
	exportLine = regexp.MustCompile(`^export ([A-Z_]+)=\.\.\.;? ?(tributary .*)?$`)
	meantWord  = regexp.MustCompile(`did you mean ([^?]+)\?`)
)

// paste does what a fix says: a line of the configuration is put into it, SQL is run by a superuser, a
// variable is set to the password, a command is run. text is the configuration that the fix was told for.
func (b *bench) paste(fix, text string) mending {
	b.Helper()
	plain, _, _ := strings.Cut(fix, "   -- ")
	line, _, _ := strings.Cut(plain, "   #")
	switch parts := exportLine.FindStringSubmatch(line); {
	case configLine.MatchString(line):
		return mending{file: merged(b.T, text, line), mend: true}
	case strings.HasPrefix(line, "?sslmode="):
		return mending{file: regexp.MustCompile(`\?sslmode=[a-z-]+`).ReplaceAllString(text, line), mend: true}
	case sqlLine.MatchString(line):
		b.exec(line)
		return mending{file: text, mend: true}
	case parts != nil && parts[2] == "":
		b.Setenv(parts[1], "postgres")
		return mending{file: text, mend: true}
	case parts != nil:
		b.Setenv(parts[1], "postgres")
		code, stdout, stderr := execute(b.T, &program{}, strings.Fields(parts[2])[1:]...)
		if code != exitOK {
			b.Errorf("%s: exit code %d:\n%s%s", line, code, stdout, stderr)
		}
		return mending{file: text, mend: false, out: stdout}
	}
	return mending{file: text, out: b.shell(line)}
}

// shell runs a command that only shows something, and returns what it printed. One that is not installed here
// prints nothing: what it would show is not asked for then.
func (b *bench) shell(line string) string {
	b.Helper()
	words := strings.Fields(line)
	if _, err := exec.LookPath(words[0]); err != nil {
		b.Logf("not installed: %s", words[0])
		return ""
	}
	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, "sh", "-c", line)
	command.Env = append(os.Environ(), "PGPASSWORD=postgres") // as the person has it
	out, err := command.CombinedOutput()
	if code := command.ProcessState.ExitCode(); code > 2 || code < 0 { // 2: a name or a port that is not there
		b.Errorf("%s: %v:\n%s", line, err, out)
	}
	return string(out)
}

// merged puts a line of flow YAML into a configuration, as a person does who finds the key there or not.
func merged(t testing.TB, text, line string) string {
	t.Helper()
	var whole, more yaml.MapSlice
	for source, into := range map[string]*yaml.MapSlice{text: &whole, line: &more} {
		if err := yaml.UnmarshalWithOptions([]byte(source), into, yaml.UseOrderedMap()); err != nil {
			t.Fatalf("%s: %v", source, err)
		}
	}
	result, err := yaml.Marshal(mergeMaps(whole, more))
	if err != nil {
		t.Fatal(err)
	}
	return string(result)
}

func mergeMaps(whole, more yaml.MapSlice) yaml.MapSlice {
	for _, item := range more {
		found := false
		for i := range whole {
			if whole[i].Key != item.Key {
				continue
			}
			found = true
			below, isMap := whole[i].Value.(yaml.MapSlice)
			if wanted, both := item.Value.(yaml.MapSlice); isMap && both {
				whole[i].Value = mergeMaps(below, wanted)
			} else {
				whole[i].Value = item.Value
			}
		}
		if !found {
			whole = append(whole, item)
		}
	}
	return whole
}

// found runs check and returns what it finds, in its order.
func (b *bench) found() (int, []finding) {
	b.Helper()
	code, stdout, stderr := execute(b.T, &program{}, "check", "-c", b.file, "--json")
	var list []finding
	if err := json.Unmarshal([]byte(stdout), &list); err != nil {
		b.Fatalf("check: exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	return code, list
}

// TestNewcomerRole begins with a role that has nothing but a password, and does what check says, finding
// after finding, until check is content. Then the pipeline runs.
func TestNewcomerRole(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	role := b.prefix
	b.exec("CREATE SCHEMA private; CREATE TABLE private.notes (v text); " +
		"ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY; CREATE ROLE " + role + " LOGIN PASSWORD 'x'")
	t.Cleanup(func() { b.exec("DROP OWNED BY " + role + "; DROP ROLE " + role) })
	b.as(url.UserPassword(role, "x"))
	b.change("[public.orders, private.notes]", "skipped_operations: [t]")
	met := map[string]bool{}
	for round := 0; ; round++ {
		code, list := b.found()
		if code == exitOK {
			break
		}
		if round == 5 {
			t.Fatalf("after %d rounds check still finds %+v", round, list)
		}
		for _, f := range list {
			if f.Level == levelFail {
				met[f.Code] = true
				fix := strings.ReplaceAll(f.Fix, "(COLUMN)", "(v)") // a name that the newcomer fills in
				if done := b.paste(fix, ""); !done.mend {
					t.Errorf("%s: the fix %s mends nothing: %s", f.Code, f.Fix, done.out)
				}
			}
		}
	}
	for _, code := range []string{"E113", "E131", "E134", "E136", "E137"} {
		if !met[code] {
			t.Errorf("the newcomer was never told %s: %v", code, met)
		}
	}
	l := b.rig.run(t)
	l.settled(t)
	b.exec("INSERT INTO private.notes VALUES ('x'); UPDATE private.notes SET v = 'y'")
	l.eventually(t, func() error {
		s, err := l.status()
		for _, table := range s.Tables {
			if table.Table == "private.notes" && table.Created == 1 && table.Updated+table.Deleted > 0 {
				return nil
			}
		}
		return fmt.Errorf("the notes are not there: %+v, %w", s.Tables, err)
	})
	l.stop(t)
}

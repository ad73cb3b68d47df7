package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/tributary-cdc/tributary/snapshot"
)

// starter makes a first configuration out of flags, variables and answers.
type starter struct {
	program *program
	values  map[string]string // by key path: what flags and answers say
	environ []string
}

// starterFile is where init writes unless told otherwise.
const starterFile = "tributary.yaml"

// startConfig asks for what is missing where there is somebody to ask, and writes the file.
func (p *program) startConfig(ctx context.Context, flags *configFlags, file string, force bool) error {
	if _, err := os.Stat(file); err == nil && !force {
		return usageError{fmt.Errorf("%s is there already: --force writes over it, --out names another", file)}
	}
	s := &starter{p, maps.Clone(flags.values), flags.environ}
	if err := s.ask(ctx); err != nil && !errors.Is(err, errNobody) {
		return err
	}
	text, err := s.text()
	if err != nil {
		return err
	}
	how := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if !force {
		how |= os.O_EXCL // it may have come meanwhile
	}
	out, err := os.OpenFile(file, how, 0o644) // it holds no secret
	if err != nil {
		return usageError{fmt.Errorf("write the configuration: %w", err)}
	}
	_, err = out.WriteString(text)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	_, err = fmt.Fprintf(p.stdout, "%s written. What comes next:\n"+
		"  tributary init -c %[1]s --print-sql all   # the SQL that prepares the source\n"+
		"  tributary check -c %[1]s                  # what is missing still\n"+
		"  tributary run -c %[1]s\n", file)
	return err
}

// ask puts the questions that neither flags nor variables answer, each with what is proposed.
func (s *starter) ask(ctx context.Context) error {
	if err := s.question("source.url", "The database, as postgres://USER@HOST:5432/DATABASE", ""); err != nil {
		return err
	}
	if err := s.hidePassword(); err != nil {
		return err
	}
	if err := s.question("source.password_from",
		"Where its password is read: file:PATH, env:NAME; empty for none", ""); err != nil {
		return err
	}
	if !s.given("source.tables") {
		proposed, err := s.discover(ctx)
		if err != nil {
			return err
		}
		if err := s.question("source.tables", "The tables to capture, with commas", proposed); err != nil {
			return err
		}
	}
	prefix := ""
	if address, err := url.Parse(s.value("source.url")); err == nil {
		prefix = strings.Trim(address.Path, "/")
	}
	for _, q := range []struct{ path, text, proposed string }{
		{"kafka.brokers", "Kafka's brokers, as HOST:PORT with commas", "127.0.0.1:9092"},
		{"schema_registry.url", "The schema registry", "http://127.0.0.1:8081"},
		{"topic.prefix", "The first part of every topic: PREFIX.SCHEMA.TABLE", prefix},
	} {
		if err := s.question(q.path, q.text, q.proposed); err != nil {
			return err
		}
	}
	return nil
}

// given says whether a flag, a variable or an answer sets a key.
func (s *starter) given(path string) bool { return s.value(path) != "" }

// value is what a flag, an answer or a variable sets a key to.
func (s *starter) value(path string) string {
	return textOr(s.values[path], lookup(s.environ, key{path: path}.env()))
}

// question asks until the answer is one that the key takes. Nothing and no proposal is no answer, which is
// fine for a key that need not be set.
func (s *starter) question(path, text, proposed string) error {
	if s.given(path) {
		return nil
	}
	if s.program.ask == nil {
		return errNobody
	}
	if proposed != "" {
		text += " [" + proposed + "]"
	}
	for range 3 {
		answer, err := s.program.ask(text + ": ")
		if err != nil {
			return err
		}
		answer = textOr(strings.TrimSpace(answer), proposed)
		if answer == "" {
			return nil
		}
		s.values[path] = answer
		problem := s.problem(path)
		if problem == "" {
			return nil
		}
		delete(s.values, path)
		fmt.Fprintln(s.program.stdout, problem)
	}
	return usageError{fmt.Errorf("%s: no answer that it takes was given", path)}
}

// load loads what there is so far, with words that are right for what is missing.
func (s *starter) load() (Config, error) {
	values := maps.Clone(s.values)
	for path, word := range map[string]string{
		"source.url": "postgres://unsaid@unsaid/unsaid", "source.tables": "*.*", "topic.prefix": "unsaid",
		"kafka.brokers":       unsaid["kafka.brokers"],
		"schema_registry.url": unsaid["schema_registry.url"],
	} {
		if !s.given(path) {
			values[path] = word
		}
	}
	return load(loadOptions{Flags: values, Environ: s.environ})
}

// problem is what is wrong with a key's value, empty when nothing is.
func (s *starter) problem(path string) string {
	_, err := s.load()
	var wrong *configError
	if !errors.As(err, &wrong) {
		return ""
	}
	for _, p := range wrong.problems {
		if p.path == path {
			return p.text
		}
	}
	return ""
}

// hidePassword takes a password out of the URL, for it must not stand in a file.
func (s *starter) hidePassword() error {
	address, err := url.Parse(s.value("source.url"))
	if err != nil {
		return nil // load says what is wrong with it
	}
	if query := address.Query(); query.Has("password") || query.Has("sslpassword") {
		return usageError{errors.New("source.url: a password among the parameters would stand in the file: leave " +
			"it out, source.password_from says where it is read")}
	}
	if _, has := address.User.Password(); has && !s.given("source.password_from") {
		s.values["source.password_from"] = "env:SOURCE_PASSWORD"
		fmt.Fprintln(s.program.stdout, "The password is not written: put it into the variable SOURCE_PASSWORD, "+
			"or name\nanother place in source.password_from.")
	}
	return nil
}

// fewTables is up to how many tables are proposed by their names.
const fewTables = 12

// discover lists the database's tables, and returns those to propose.
func (s *starter) discover(ctx context.Context) (string, error) {
	c, err := s.load()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	// The URL has the password that was typed, and the place that is to have it may not have it yet.
	if address, err := url.Parse(string(c.Source.URL)); err == nil {
		if _, has := address.User.Password(); has {
			c.Source.PasswordFrom = ""
		}
	}
	catalog, err := snapshot.OpenCatalog(ctx, catalogOptions(c, false))
	if err != nil {
		return "", err
	}
	defer func() { _ = catalog.Close(context.WithoutCancel(ctx)) }() // it only read
	all, err := catalog.Tables(ctx, snapshot.Select{Patterns: []string{"*.*"}})
	if err != nil {
		return "", err
	}
	var names, schemas []string
	for _, t := range all.Tables {
		text := "about " + thousands(int64(t.EstimatedRows())) + " rows"
		if t.EstimatedRows() < 0 {
			text = "rows not counted yet"
		}
		if !t.HasKey() {
			text += ", no key"
		}
		fmt.Fprintf(s.program.stdout, "  %-40s %s\n", t.String(), text)
		names = append(names, patternOf(t.Namespace)+"."+patternOf(t.Name))
		if one := patternOf(t.Namespace) + ".*"; !isOneOf(one, schemas) {
			schemas = append(schemas, one)
		}
	}
	if len(names) > fewTables {
		names = schemas
	}
	return strings.Join(names, ","), nil
}

// plainName is a name that stands for itself in a pattern.
var plainName = regexp.MustCompile(`\A[A-Za-z0-9_$-]+\z`)

// patternOf writes a name as a part of a pattern in a list.
func patternOf(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return strings.ReplaceAll(quotedName(name), ",", `\,`)
}

// text writes the file, and reads it again before anybody does.
func (s *starter) text() (string, error) {
	if err := s.hidePassword(); err != nil {
		return "", err
	}
	c, err := load(loadOptions{Flags: s.values, Environ: s.environ})
	if err != nil {
		return "", err
	}
	text := starterText(c)
	l := newLoader(loadOptions{Environ: s.environ})
	l.file = starterFile
	l.parse([]byte(text))
	l.config.derive()
	l.validate()
	if len(l.problems) > 0 {
		return "", &configError{l.problems}
	}
	return text, nil
}

// starterKeys are the keys that a first configuration shows, set or not: those that are asked for.
var starterKeys = []string{
	"pipeline", "source.url", "source.auth", "source.password_from", "source.tables", "source.exclude_tables",
	"source.publication", "source.slot", "source.wal_limit", "snapshot.mode", "replay.keep", "kafka.brokers",
	"kafka.auth", "kafka.user", "kafka.password_from", "schema_registry.url", "schema_registry.user",
	"schema_registry.password_from", "topic.prefix", "topic.partitions", "topic.replication_factor", "delivery",
	"tombstones", "on_failure", "http.listen", "http.token_from", "log.level",
}

// starterText writes the keys that somebody set, and as comments those that many set one day.
func starterText(c Config) string {
	var b strings.Builder
	b.WriteString("# tributary's configuration, written by tributary init. A key behind # has the value " +
		"shown:\n# take the # away, and its section's, to change it.\n" +
		"# All keys: tributary config print --comments. For editors: tributary config schema.\n")
	set := func(k key) bool {
		kind := c.origins[k.path].kind
		return kind != "" && kind != "default"
	}
	keys := configKeys()
	live := map[string]bool{} // sections with a key that is set
	for _, k := range keys {
		if at := strings.LastIndex(k.path, "."); at >= 0 && set(k) {
			live[k.path[:at]], live[strings.Split(k.path, ".")[0]] = true, true
		}
	}
	values, open := reflect.ValueOf(c), []string(nil)
	for _, k := range keys {
		if !set(k) && !isOneOf(k.path, starterKeys) {
			continue
		}
		parts := strings.Split(k.path, ".")
		for i := range parts[:len(parts)-1] {
			if i < len(open) && open[i] == parts[i] {
				continue
			}
			open = append(open[:i:i], parts[i])
			mark := "# "
			if live[strings.Join(parts[:i+1], ".")] {
				mark = ""
			}
			fmt.Fprintf(&b, "\n%s%s%s:", strings.Repeat("  ", i), mark, parts[i])
		}
		open = open[:len(parts)-1]
		indent, mark := strings.Repeat("  ", len(parts)-1), ""
		if !set(k) {
			mark = "# "
		}
		fmt.Fprintf(&b, "\n%s# %s\n%s%s%s: %s\n", indent,
			strings.ReplaceAll(wrap(k.help, 96-len(indent), 0), "\n", "\n"+indent+"# "), indent, mark,
			parts[len(parts)-1], yamlText(values.FieldByIndex(k.index), true))
	}
	return b.String()
}

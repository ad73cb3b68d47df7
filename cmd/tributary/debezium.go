package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"reflect"
	"strings"
)

// verdict says what became of a property of a Debezium connector.
type verdict string

// The verdicts. None is silence: a property that is not in the tables is refused as unknown.
const (
	mapped  verdict = "mapped"  // the same effect, by a key of ours or because tributary always does so
	ignored verdict = "ignored" // no effect on the records, with the reason
	refused verdict = "refused" // another effect, with what to use instead
)

// rule is what tributary does about one property of the connector or its converters.
type rule struct {
	name    string // a name that ends in * stands for all that begin so
	verdict verdict
	key     string // mapped: the key that takes the value, as convert gives it
	convert func(value string) (string, error)
	apply   func(d *connector, value string) error // mapped: what a key alone cannot say
	fine    []string                               // refused: values that change nothing
	text    string                                 // the reason, or what to use instead
}

// ruling is the verdict on one property of a file, for `config convert`.
type ruling struct {
	Property string  `json:"property"`
	Verdict  verdict `json:"verdict"`
	Text     string  `json:"text"`
}

// connector is a Debezium connector's configuration on its way into a Config.
type connector struct {
	l          *loader
	file       string
	properties map[string]string
	lines      map[string]int // of each property
	names      []string       // in the order of the file
	rulings    []ruling
	source     url.URL
	query      url.Values // of source
	password   string
	current    string // the property whose rule is being applied
	wrote      string // the key that it has set
}

// loadDebezium reads a connector's JSON, the bare map or {"name", "config"}, into the configuration:
// Debezium's
// defaults first, then every property by its rule.
func (l *loader) loadDebezium(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return usageError{fmt.Errorf("read connector configuration: %w", err)}
	}
	d := &connector{
		l: l, file: path, properties: map[string]string{}, lines: map[string]int{},
		query: url.Values{},
	}
	if err := d.read(text); err != nil {
		return usageError{fmt.Errorf("read connector configuration %s: %w", path, err)}
	}
	d.defaults()
	for _, name := range d.names {
		d.decide(name)
	}
	d.finish()
	l.config.rulings = d.rulings
	return nil
}

// read takes the properties out of the JSON. Values may be text, numbers, true or false, as Connect allows.
func (d *connector) read(text []byte) error {
	var outer struct {
		Name   json.RawMessage `json:"name"`
		Config json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(text, &outer); err != nil {
		return jsonError(text, err)
	}
	var name string
	if json.Unmarshal(outer.Name, &name) == nil {
		d.l.config.Takeover.Connector = name
		d.l.note("takeover.connector", origin{"debezium", "name"})
	}
	start := 0
	if len(outer.Config) > 0 && outer.Config[0] == '{' {
		start = bytes.Index(text, outer.Config)
	}
	decoder := json.NewDecoder(bytes.NewReader(text[start:]))
	decoder.UseNumber()
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return errors.New("want an object of properties")
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return jsonError(text, err)
		}
		name, _ := token.(string)
		line := 1 + bytes.Count(text[:start+int(decoder.InputOffset())], []byte("\n"))
		value, err := decoder.Token()
		if err != nil {
			return jsonError(text, err)
		}
		switch v := value.(type) {
		case string:
			d.properties[name] = v
		case json.Number, bool:
			d.properties[name] = fmt.Sprint(v)
		case nil:
			continue // Connect takes null as not set
		default:
			return fmt.Errorf("line %d: %s: want a text, not a list or an object", line, name)
		}
		if d.lines[name] != 0 {
			return fmt.Errorf("line %d: %s is given twice, first on line %d", line, name, d.lines[name])
		}
		d.lines[name] = line
		d.names = append(d.names, name)
	}
	return nil
}

// jsonError says where JSON is broken, without repeating any of it.
func jsonError(text []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("line %d: not JSON: %w", 1+bytes.Count(text[:min(int(syntax.Offset), len(text))],
			[]byte("\n")), err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("not JSON: it ends too early")
	}
	return errors.New("not JSON: want an object of properties")
}

// defaults puts Debezium's defaults where they are not tributary's.
func (d *connector) defaults() {
	c := &d.l.config
	c.Compatibility = "debezium"
	c.Source.Slot, c.Source.Publication = "debezium", "dbz_publication"
	c.Source.CreatePublication = "all_tables"
	c.Replay.Keep = 0 // whoever sizes a server for Debezium counts on one slot
	c.Source.Tables = []Pattern{everything()}
	c.Snapshot.Workers = 1 // the order of tables shows in the rows' markers
	d.source = url.URL{Scheme: "postgres"}
	d.query.Set("sslmode", "prefer")
	for _, path := range []string{
		"compatibility", "source.slot", "source.publication",
		"source.create_publication", "source.tables", "snapshot.workers", "replay.keep",
	} {
		d.l.note(path, origin{"debezium", "default"})
	}
}

// everything is the pattern that matches every name.
func everything() Pattern {
	p, err := parsePattern("/.*/")
	if err != nil {
		panic("tributary: " + err.Error())
	}
	return p
}

// decide applies the rule of one property and notes the verdict.
func (d *connector) decide(name string) {
	value := d.properties[name]
	if strings.HasPrefix(name, "transforms") || strings.HasPrefix(name, "predicates") {
		return // finish reads them together, in the order that "transforms" gives
	}
	r, found := findRule(name)
	switch {
	case !found:
		known := make([]string, 0, 200)
		for _, r := range allRules() {
			known = append(known, r.name)
		}
		d.refuse(name, "not a property of Debezium's PostgreSQL connector 3.6.1"+didYouMean(name, known))
	case strings.Contains(value, "${") && r.verdict == mapped && !d.provided(name, value):
		d.refuse(name, "a reference to a Connect config provider, which only Connect can read: give the value "+
			"itself, "+
			"or for a password ${env:NAME}, --source-password-from or --schema-registry-password-from")
	case r.verdict == mapped:
		d.applyRule(name, r)
	case r.verdict == refused && isOneOf(value, r.fine):
		d.rule(name, mapped, "what tributary does anyway")
	case r.verdict == refused:
		d.refuse(name, r.text)
	default:
		d.rule(name, r.verdict, r.text)
	}
}

// provided takes ${env:NAME} where it stands for a password, and any reference where a flag or variable gives
// the password anyway.
func (d *connector) provided(name, value string) bool {
	if name != "database.password" {
		return false
	}
	if _, set := d.l.environ["TRIBUTARY_SOURCE_PASSWORD_FROM"]; set || d.l.flags["source.password_from"] != "" {
		d.properties[name] = ""
		return true
	}
	if variable, isEnv := strings.CutPrefix(value, "${env:"); isEnv && strings.HasSuffix(variable, "}") {
		d.l.config.Source.PasswordFrom = SecretSource("env:" + strings.TrimSuffix(variable, "}"))
		d.l.note("source.password_from", origin{"debezium", name})
		d.properties[name] = ""
		return true
	}
	return false
}

func (d *connector) applyRule(name string, r rule) {
	value := d.properties[name] // provided may have replaced a reference
	d.current, d.wrote = name, "source.url"
	var err error
	if r.apply != nil {
		err = r.apply(d, value)
	} else {
		err = d.set(name, r.key, value, r.convert)
	}
	if err != nil {
		d.refuse(name, err.Error())
		return
	}
	d.rule(name, mapped, textOr(r.text, "is "+d.wrote))
}

// set gives a key of ours the value of a property.
func (d *connector) set(name, path, value string, convert func(string) (string, error)) error {
	if convert != nil {
		var err error
		if value, err = convert(value); err != nil {
			return err
		}
	}
	for _, k := range d.l.keys {
		if k.path != path {
			continue
		}
		v := reflect.ValueOf(&d.l.config).Elem().FieldByIndex(k.index)
		if patterns, isList := v.Addr().Interface().(*[]Pattern); isList {
			list, err := javaPatterns(value)
			*patterns = list
			d.note(path)
			return err
		}
		d.note(path)
		return setScalar(v, strings.TrimSpace(value), k.enum)
	}
	panic("tributary: the rule of " + name + " names an unknown key " + path)
}

// note says that the current property has set a key.
func (d *connector) note(path string) {
	d.wrote = path
	d.l.note(path, origin{"debezium", showProperty(d.current)})
}

func (d *connector) rule(name string, v verdict, text string) {
	d.rulings = append(d.rulings, ruling{showProperty(name), v, text})
}

// refuse notes a verdict that is also a problem.
func (d *connector) refuse(name, text string) {
	d.rule(name, refused, text)
	where := d.file
	if line := d.lines[name]; line > 0 {
		where = fmt.Sprintf("%s:%d", d.file, line)
	}
	d.l.problems = append(d.l.problems, problem{where: where, path: showProperty(name), text: text})
}

// showProperty is a property's name without the salt that a hash rule has in it.
func showProperty(name string) string {
	if before, _, salted := strings.Cut(name, ".with.salt."); salted {
		return before + ".with.salt." + redacted
	}
	return name
}

// finish does what takes several properties together.
func (d *connector) finish() {
	c := &d.l.config
	if d.source.Host == "" {
		d.source.Host = "localhost" // the driver's default; validate says that the database is missing
	}
	d.source.RawQuery = d.query.Encode()
	if d.password != "" {
		d.source.User = url.UserPassword(d.source.User.Username(), d.password)
	}
	c.Source.URL = URL(d.source.String())
	d.l.note("source.url", origin{"debezium", "database.*"})
	d.transforms()
	if name := d.properties["name"]; c.Takeover.Connector == "" && name != "" {
		c.Takeover.Connector = name
		d.l.note("takeover.connector", origin{"debezium", "name"})
	}
	if c.Format.Key == "avro" && d.properties["key.converter"] == "" || c.Format.Value == "avro" &&
		d.properties["value.converter"] == "" {
		c.notes = append(c.notes, "the connector's JSON names no key.converter or value.converter, and the "+
			"worker's "+
			"defaults are not known here: Avro is written")
	}
	if plugin := d.properties["plugin.name"]; plugin == "" {
		c.notes = append(c.notes, "the connector's JSON has no plugin.name, so Debezium's slot would be one of "+
			"decoderbufs: "+
			"tributary reads pgoutput only")
	}
}

// findRule finds the rule of a property: by its name, else the longest pattern that it begins with.
func findRule(name string) (rule, bool) {
	best, found := rule{}, false
	for _, r := range allRules() {
		if r.name == name {
			return r, true
		}
		prefix, isPattern := strings.CutSuffix(r.name, "*")
		if isPattern && strings.HasPrefix(name, prefix) && len(r.name) > len(best.name) {
			best, found = r, true
		}
	}
	return best, found
}

func isOneOf(value string, words []string) bool {
	for _, w := range words {
		if strings.EqualFold(strings.TrimSpace(value), w) {
			return true
		}
	}
	return false
}

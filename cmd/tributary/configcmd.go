package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tributary-cdc/tributary/cmd/tributary/page"
)

func (p *program) configCommand() *cobra.Command {
	return group("config", "Show, check and convert configurations",
		"  tributary config print --config tributary.yaml\n"+
			"  tributary config convert connector.json > tributary.yaml",
		p.configPrintCommand(), p.configValidateCommand(), p.configSchemaCommand(), p.configConvertCommand())
}

func (p *program) configPrintCommand() *cobra.Command {
	var comments bool
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print every key with its value and where that comes from",
		Long: "print shows the configuration as run would use it: every key, its value, and\n" +
			"behind it the file, variable or flag that set it. Secrets are left out.",
		Example: "  tributary config print --config tributary.yaml\n" +
			"  TRIBUTARY_TOPIC_PARTITIONS=6 tributary config print --comments",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	cmd.Flags().BoolVar(&comments, "comments", false, "put each key's help above it")
	cmd.RunE = func(*cobra.Command, []string) error {
		config, err := flags.load()
		if err != nil {
			return err
		}
		for _, note := range config.notes {
			fmt.Fprintln(p.stderr, "note: "+note)
		}
		return writeYAML(p.stdout, config, yamlOptions{comments: comments, origins: true})
	}
	return cmd
}

func (p *program) configValidateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Name everything wrong with a configuration, asking no server",
		Example: "  tributary config validate --config tributary.yaml\n" +
			"  tributary config validate --from-debezium connector.json --brokers b:9092",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		config, err := flags.load()
		if err != nil {
			return err
		}
		for _, note := range config.notes {
			fmt.Fprintln(p.stderr, "note: "+note)
		}
		_, err = fmt.Fprintln(p.stdout, "the configuration is valid; tributary check asks the servers")
		return err
	}
	return cmd
}

func (p *program) configSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file",
		Long: "schema prints the JSON Schema that editors and charts check a file with. In a\n" +
			"file's first line: # yaml-language-server: $schema=config.schema.json",
		Example: "  tributary config schema > config.schema.json\n" +
			"  tributary config schema | jq -r '.properties.topic.properties | keys[]'",
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			encoder := json.NewEncoder(p.stdout)
			encoder.SetIndent("", "  ")
			encoder.SetEscapeHTML(false)
			return encoder.Encode(configSchema())
		},
	}
}

func (p *program) configConvertCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "convert FILE",
		Short: "Turn a Debezium connector's JSON into a configuration",
		Long: "convert prints the YAML that means the same, and as comments below it what\n" +
			"became of each property: mapped, ignored with a reason, or refused with what to\n" +
			"use instead. It exits 2 when one is refused. Secrets are not copied.",
		Example: "  tributary config convert connector.json > tributary.yaml\n" +
			"  tributary config convert --json connector.json | jq '.[].verdict'",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes one file, but got %d", cmd.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return p.convert(args[0], asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print only the verdicts, as JSON")
	return cmd
}

func (p *program) convert(file string, asJSON bool) error {
	l := newLoader(loadOptions{})
	if err := l.loadDebezium(file); err != nil {
		return err
	}
	l.config.derive()
	if asJSON {
		encoder := json.NewEncoder(p.stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(l.config.rulings); err != nil {
			return err
		}
	} else if err := writeConverted(p.stdout, file, l.config); err != nil {
		return err
	}
	if len(l.problems) > 0 {
		return &configError{l.problems}
	}
	return nil
}

func writeConverted(w io.Writer, file string, c Config) error {
	missing := []string{"kafka.brokers"}
	if c.NeedsRegistry() && c.SchemaRegistry.URL == "" {
		missing = append(missing, "schema_registry.url")
	}
	if u, err := url.Parse(string(c.Source.URL)); err == nil {
		if _, inClear := u.User.Password(); inClear {
			missing = append(missing, "source.password_from")
		}
	}
	if c.SchemaRegistry.inline != "" {
		missing = append(missing, "schema_registry.password_from")
	}
	fmt.Fprintf(w, "# From %s by tributary config convert.\n# To be added: %s.\n", file,
		strings.Join(missing, ", "))
	if err := writeYAML(w, c, yamlOptions{changedOnly: true, portable: true}); err != nil {
		return err
	}
	fmt.Fprintln(w, "\n# What became of each property:")
	for _, r := range c.rulings {
		if _, err := fmt.Fprintf(w, "#   %-8s %s: %s\n", r.Verdict, r.Property, r.Text); err != nil {
			return err
		}
	}
	for _, n := range c.notes {
		if _, err := fmt.Fprintf(w, "#   note     %s\n", n); err != nil {
			return err
		}
	}
	return nil
}

// yamlOptions says what writeYAML shows.
type yamlOptions struct {
	comments, origins bool
	changedOnly       bool // leave out what is as the defaults have it
	portable          bool // a file to run with: secrets become variables to set
}

// writeYAML prints a configuration without its secrets.
func writeYAML(w io.Writer, c Config, o yamlOptions) error {
	var b strings.Builder
	defaults := reflect.ValueOf(defaultConfig())
	v := reflect.ValueOf(c)
	open := []string(nil) // the sections that stand above
	for _, k := range configKeys() {
		value := v.FieldByIndex(k.index)
		if o.changedOnly && reflect.DeepEqual(value.Interface(), defaults.FieldByIndex(k.index).Interface()) {
			continue
		}
		parts := strings.Split(k.path, ".")
		for i, section := range parts[:len(parts)-1] {
			if i >= len(open) || open[i] != section {
				open = append(open[:i:i], section)
				fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", i), section)
			}
		}
		open = open[:len(parts)-1]
		indent := strings.Repeat("  ", len(parts)-1)
		if o.comments && k.help != "" {
			fmt.Fprintf(&b, "%s# %s\n", indent, k.help)
		}
		fmt.Fprintf(&b, "%s%s: %s", indent, parts[len(parts)-1], yamlText(value, o.portable))
		if from, known := c.origins[k.path]; o.origins && known {
			b.WriteString("  # " + from.String())
		} else if o.origins {
			b.WriteString("  # default")
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// settingsOf is every key with its value and origin, as config print shows them: without secrets.
func settingsOf(c Config) []page.Setting {
	v, defaults := reflect.ValueOf(c), reflect.ValueOf(defaultConfig())
	var all []page.Setting
	for _, k := range configKeys() {
		value := v.FieldByIndex(k.index)
		one := page.Setting{
			Key: k.path, Value: yamlText(value, false), Help: k.help,
			Changed: !reflect.DeepEqual(value.Interface(), defaults.FieldByIndex(k.index).Interface()),
		}
		if from, known := c.origins[k.path]; known {
			one.Origin = from.String()
		}
		all = append(all, one)
	}
	return all
}

// yamlText writes one value in flow style.
func yamlText(v reflect.Value, portable bool) string {
	switch x := v.Interface().(type) {
	case Pattern:
		return quoteYAML(x.String(), portable)
	case time.Duration:
		return x.String()
	case Bytes:
		return x.String()
	case URL:
		return quoteYAML(strings.ReplaceAll(x.String(), ":xxx@", "@"), portable)
	case Secret:
		if portable && x != "" {
			return `"${COLUMN_SALT}"` // to be set when the file is used
		}
		return quoteYAML(x.String(), false)
	}
	switch v.Kind() {
	case reflect.String:
		return quoteYAML(v.String(), portable)
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = yamlText(v.Index(i), portable)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Map:
		var items []string
		for _, name := range v.MapKeys() {
			items = append(items, quoteYAML(name.String(), portable)+": "+yamlText(v.MapIndex(name), portable))
		}
		sort.Strings(items)
		return "{" + strings.Join(items, ", ") + "}"
	case reflect.Struct:
		var items []string
		for i := range v.NumField() {
			if name := v.Type().Field(i).Tag.Get("yaml"); name != "" && !v.Field(i).IsZero() {
				items = append(items, name+": "+yamlText(v.Field(i), portable))
			}
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return fmt.Sprint(v.Interface())
}

// quoteYAML writes a text as a double-quoted YAML scalar, which JSON's form is. In a file to run with, a
// dollar
// sign is doubled so that nothing is filled in.
func quoteYAML(text string, portable bool) string {
	if portable {
		text = strings.ReplaceAll(text, "$", "$$")
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		panic("tributary: a text has a JSON form: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// jsonSchema is the part of JSON Schema that a configuration needs.
type jsonSchema struct {
	Schema      string                 `json:"$schema,omitempty"`
	Title       string                 `json:"title,omitempty"`
	Description string                 `json:"description,omitempty"`
	Type        string                 `json:"type,omitempty"`
	Enum        []json.RawMessage      `json:"enum,omitempty"`
	Default     json.RawMessage        `json:"default,omitempty"`
	Properties  map[string]*jsonSchema `json:"properties,omitempty"`
	Additional  *bool                  `json:"additionalProperties,omitempty"`
	Items       *jsonSchema            `json:"items,omitempty"`
	AnyOf       []*jsonSchema          `json:"anyOf,omitempty"`
	Required    []string               `json:"required,omitempty"`
}

// configSchema is the JSON Schema of the file. Nothing is required of the file itself: the environment may
// give
// it.
func configSchema() *jsonSchema {
	s := structSchema(reflect.TypeFor[Config](), reflect.ValueOf(defaultConfig()), fieldHelp(), false)
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "tributary"
	return s
}

func structSchema(t reflect.Type, defaults reflect.Value, help map[string]string, require bool) *jsonSchema {
	closed := false
	s := &jsonSchema{Type: "object", Properties: map[string]*jsonSchema{}, Additional: &closed}
	for i := range t.NumField() {
		field := t.Field(i)
		name := field.Tag.Get("yaml")
		if name == "" {
			continue
		}
		var value reflect.Value
		if defaults.IsValid() {
			value = defaults.Field(i)
		}
		f := fieldSchema(field.Type, value, enumOf(field), help)
		f.Description = help[t.Name()+"."+field.Name]
		s.Properties[name] = f
		if require && field.Tag.Get("required") != "" {
			s.Required = append(s.Required, name)
		}
	}
	return s
}

func fieldSchema(t reflect.Type, value reflect.Value, enum []string, help map[string]string) *jsonSchema {
	switch {
	case section(t):
		return structSchema(t, value, help, !value.IsValid())
	case t.Kind() == reflect.Slice:
		return withDefault(&jsonSchema{Type: "array", Items: fieldSchema(t.Elem(), reflect.Value{}, nil, help)},
			value)
	case t.Kind() == reflect.Map:
		return &jsonSchema{Type: "object"}
	case t == reflect.TypeFor[Bytes]():
		return withDefault(&jsonSchema{AnyOf: []*jsonSchema{{Type: "integer"}, {Type: "string"}}}, value)
	case t == reflect.TypeFor[time.Duration](), t == reflect.TypeFor[Pattern]():
		return withDefault(&jsonSchema{Type: "string"}, value)
	case t.Kind() == reflect.Bool:
		return withDefault(&jsonSchema{Type: "boolean"}, value)
	case t.Kind() == reflect.Int:
		return withDefault(&jsonSchema{Type: "integer"}, value)
	}
	s := &jsonSchema{Type: "string"}
	for _, word := range enum {
		s.Enum = append(s.Enum, json.RawMessage(quoteYAML(word, false)))
		if word == "true" || word == "false" {
			s.Type, s.Enum = "", append(s.Enum, json.RawMessage(word)) // YAML reads the bare word as a truth value
		}
	}
	return withDefault(s, value)
}

func withDefault(s *jsonSchema, value reflect.Value) *jsonSchema {
	if !value.IsValid() || value.IsZero() {
		return s
	}
	text := yamlText(value, false)
	if value.Kind() == reflect.Int64 {
		text = quoteYAML(text, false)
	}
	if !json.Valid([]byte(text)) {
		panic("tributary: default " + text + " is not JSON")
	}
	s.Default = json.RawMessage(text)
	return s
}

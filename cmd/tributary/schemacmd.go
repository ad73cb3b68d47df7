package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tributary-cdc/tributary/schema"
)

// shownSchema is one of a table's two schemas, as `schema show` prints it.
type shownSchema struct {
	Subject string `json:"subject"`
	Version int    `json:"version,omitempty"` // 0 until it is registered
	ID      int    `json:"id,omitempty"`
	Schema  string `json:"schema"` // to the byte as it is registered
}

// shownSchemas is what `schema show` prints. A half that has no schema is null: no key, or JSON.
type shownSchemas struct {
	Table string       `json:"table"`
	Topic string       `json:"topic"`
	Key   *shownSchema `json:"key"`
	Value *shownSchema `json:"value"`
}

func (p *program) schemaCommand() *cobra.Command {
	return group("schema", "Show a table's Avro schemas, and what a change would do",
		"  tributary schema show -c tributary.yaml public.orders\n"+
			"  tributary schema diff -c tributary.yaml public.orders \\\n"+
			"    --alter 'ADD COLUMN note text'",
		p.schemaShowCommand(), p.schemaDiffCommand())
}

// oneTable wants the name of a table.
func oneTable(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s takes one table, as schema.table, but got %d", cmd.CommandPath(),
			len(args))}
	}
	return nil
}

func (p *program) schemaShowCommand() *cobra.Command {
	var asJSON bool
	var only string
	cmd := &cobra.Command{
		Use:   "show TABLE",
		Short: "Print the schemas of a table's keys and values",
		Long: "show prints the Avro schemas that run registers for a table as it is now, with\n" +
			"subject, version and id where the registry has them. It registers nothing.\n" +
			"--only and --json give the text to the byte, as registries hash it.",
		Example: "  tributary schema show -c tributary.yaml public.orders\n" +
			"  tributary schema show -c tributary.yaml public.orders \\\n" +
			"    --only value > orders.avsc",
		Args: oneTable,
	}
	flags := p.addConfigFlags(cmd)
	cmd.ValidArgsFunction = oneName(p.completeTables)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&only, "only", "", "print the text of one `HALF` alone: key or value")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if only != "" && only != "key" && only != "value" {
			return usageError{fmt.Errorf("--only %q: want key or value", only)}
		}
		return p.withSchemas(cmd.Context(), flags, func(ctx context.Context, s *schemas) error {
			shown, err := s.show(ctx, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(p.stdout, shown)
			}
			return shown.write(p.stdout, only)
		})
	}
	return cmd
}

func (p *program) schemaDiffCommand() *cobra.Command {
	var asJSON bool
	var alter string
	cmd := &cobra.Command{
		Use:   "diff TABLE",
		Short: "Compare the registered schemas with what the table has now",
		Long: "diff compares the latest registered schemas with those that the table leads to,\n" +
			"and asks the registry whether it would take them. --alter does the same for the\n" +
			"table as it would be after an ALTER TABLE: it is tried on an empty temporary\n" +
			"copy in a transaction that is rolled back; whether the rows allow it, it does\n" +
			"not say. Nothing is registered or changed. It exits 3 when the registry would\n" +
			"refuse a schema.",
		Example: "  tributary schema diff -c tributary.yaml public.orders\n" +
			"  tributary schema diff -c tributary.yaml public.orders \\\n" +
			"    --alter 'ALTER TABLE public.orders ADD COLUMN note text NOT NULL'",
		Args: oneTable,
	}
	flags := p.addConfigFlags(cmd)
	cmd.ValidArgsFunction = oneName(p.completeTables)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&alter, "alter", "", "the ALTER TABLE to try, or its `ACTIONS` alone")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		actions, err := alterActions(alter, args[0])
		if err != nil {
			return usageError{err}
		}
		return p.withSchemas(cmd.Context(), flags, func(ctx context.Context, s *schemas) error {
			d, err := s.diff(ctx, args[0], actions)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(p.stdout, d)
			} else {
				err = d.write(p.stdout, p.wantsColor(p.stdout))
			}
			if err == nil && d.refused() {
				err = codedError{errors.New(""), exitCheck}
			}
			return err
		})
	}
	return cmd
}

// alterHead is what stands before the actions of an ALTER TABLE.
var alterHead = regexp.MustCompile(`(?is)^ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?` +
	`((?:"(?:[^"]|"")+"|[^\s".]+)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[^\s".]+))?)\s*\*?\s+(.*)$`)

// alterActions returns the actions of an ALTER TABLE, which must be of the table that is asked about.
func alterActions(text, table string) (string, error) {
	text = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), ";"))
	found := alterHead.FindStringSubmatch(text)
	if found == nil {
		return text, nil
	}
	var parts []string
	for rest := found[1]; rest != ""; {
		if strings.HasPrefix(rest, `"`) {
			name, length := unquoted(rest, 0)
			parts, rest = append(parts, name), rest[length:]
		} else {
			name, after, _ := strings.Cut(rest, ".")
			parts, rest = append(parts, strings.ToLower(strings.TrimSpace(name))), after
		}
		rest = strings.TrimLeft(rest, ". \t\n")
	}
	name := strings.Join(parts, ".")
	if name != table && !(len(parts) == 1 && strings.HasSuffix(table, "."+name)) {
		return "", fmt.Errorf("--alter changes %s, and the question is of %s", name, table)
	}
	return found[2], nil
}

// schemas is what the commands of schema ask.
type schemas struct {
	*capturedTables
	registry *schema.Registry
}

// withSchemas calls use with the captured tables and the registry.
func (p *program) withSchemas(ctx context.Context, flags *configFlags,
	use func(context.Context, *schemas) error,
) error {
	config, err := flags.load()
	if err != nil {
		return err
	}
	if !config.NeedsRegistry() {
		return usageError{errors.New("keys and values are JSON (format.key, format.value): no schema is " +
			"registered")}
	}
	o, err := registryOptions(config)
	if err != nil {
		return err
	}
	registry, err := schema.NewRegistry(o)
	if err != nil {
		return err
	}
	tables, err := openCaptured(ctx, config)
	if err != nil {
		return err
	}
	defer tables.close()
	return use(ctx, &schemas{tables, registry})
}

// halves are a capture's schemas with their subjects, those left out that there are not.
func (t capture) halves() (halves []half) {
	for _, h := range []half{{"key", t.topic + "-key", t.key}, {"value", t.topic + "-value", t.value}} {
		if h.text != "" {
			halves = append(halves, h)
		}
	}
	return halves
}

// half is the schema of a record's key or value.
type half struct{ name, subject, text string }

// show looks a table's schemas up.
func (s *schemas) show(ctx context.Context, name string) (shownSchemas, error) {
	c, err := s.now(ctx, name)
	if err != nil {
		return shownSchemas{}, err
	}
	shown := shownSchemas{Table: name, Topic: c.topic}
	for _, h := range c.halves() {
		one := &shownSchema{Subject: h.subject, Schema: h.text}
		found, err := s.registry.Find(ctx, h.subject, h.text)
		if err != nil {
			return shown, err
		}
		if found != nil {
			one.Version, one.ID = found.Version, found.ID
		}
		if h.name == "key" {
			shown.Key = one
		} else {
			shown.Value = one
		}
	}
	return shown, nil
}

// now is what a table leads to as it is.
func (s *schemas) now(ctx context.Context, name string) (capture, error) {
	t, err := s.find(name)
	if err != nil {
		return capture{}, err
	}
	r, err := streamedRelation(ctx, s.catalog, t.OID)
	if err != nil {
		return capture{}, err
	}
	return s.compile(t, r)
}

// write prints the schemas, or the text of one half alone.
func (s shownSchemas) write(w io.Writer, only string) error {
	var b strings.Builder
	if only == "" {
		fmt.Fprintf(&b, "table  %s\ntopic  %s\n", s.Table, s.Topic)
	}
	for _, h := range []struct {
		name   string
		schema *shownSchema
	}{{"key", s.Key}, {"value", s.Value}} {
		switch {
		case only != "" && only != h.name:
		case h.schema == nil && only != "":
			return usageError{fmt.Errorf("%s has no %s schema: it has no key, or format.%[2]s is JSON", s.Table,
				h.name)}
		case h.schema == nil:
			fmt.Fprintf(&b, "\n%-5s  no schema\n", h.name)
		case only != "":
			b.WriteString(h.schema.Schema + "\n")
		default:
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, []byte(h.schema.Schema), "", "  "); err != nil {
				return fmt.Errorf("read the schema of %s: %w", h.schema.Subject, err)
			}
			fmt.Fprintf(&b, "\n%-5s  %s  %s\n%s\n", h.name, h.schema.Subject, h.schema.place(), pretty.String())
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// place says where the registry has a schema.
func (s *shownSchema) place() string {
	if s.Version == 0 {
		return "not registered yet"
	}
	return fmt.Sprintf("version %d, id %d", s.Version, s.ID)
}

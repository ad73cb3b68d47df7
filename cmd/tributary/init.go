package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tributary-cdc/tributary/deploy/sql"
)

// printSQLParts are what --print-sql takes: a script's name, or a person's errand of several.
var printSQLParts = map[string][]string{
	"all": {"role", "grants", "publication"},
	"rds": {"role-rds", "grants", "publication"},
}

func (p *program) initCommand() *cobra.Command {
	var part, out string
	var force bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a first configuration, or the SQL for the source",
		Long: "init writes a commented configuration. On a terminal it asks for what flags and\n" +
			"variables do not say, and proposes the tables that it finds; elsewhere it asks\n" +
			"nothing and connects to nothing. It never writes over a file without --force,\n" +
			"and writes no password.\n" +
			"\n" +
			"With --print-sql it prints what to run in the source before the first start,\n" +
			"with the configuration's names filled in. PART is all (role, grants and\n" +
			"publication), rds (the same for RDS), " + wrap(strings.Join(sql.Parts(), ", "), 38, 0) + ".",
		Example: "  tributary init\n" +
			"  tributary init --source-url postgres://cdc@db.example/shop \\\n" +
			"    --source-password-from file:/run/secrets/cdc --source-tables public.orders \\\n" +
			"    --brokers broker:9092 --registry http://registry:8081 --topic-prefix shop\n" +
			"  tributary init -c tributary.yaml --print-sql all | psql -d shop\n" +
			"  tributary init --print-sql rds --source-url postgres://cdc@db.example/shop \\\n" +
			"    --source-tables public.orders --topic-prefix shop",
		Args: noArguments,
	}
	flags := p.addConfigFlags(cmd)
	cmd.Flags().StringVar(&part, "print-sql", "", "which `PART` of the SQL to print")
	cmd.Flags().StringVarP(&out, "out", "o", starterFile, "the `FILE` to write")
	cmd.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	exclude(cmd, "print-sql", "out")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch changed := cmd.Flags().Changed; {
		case changed("print-sql"):
		case changed("config") || flags.debezium != "":
			return usageError{errors.New("init writes a new file, which --out names; --print-sql all reads one, " +
				"and config convert a connector's")}
		default:
			return p.startConfig(cmd.Context(), flags, out, force)
		}
		known := append([]string{"all", "rds"}, sql.Parts()...)
		if !isOneOf(part, known) {
			return usageError{fmt.Errorf("--print-sql %q: want one of %s%s", part, strings.Join(known, ", "),
				didYouMean(part, known))}
		}
		config, err := loadSource(flags)
		if err != nil {
			return err
		}
		text, err := initSQL(config, part)
		if err != nil {
			return usageError{err}
		}
		_, err = fmt.Fprint(p.stdout, text)
		return err
	}
	return cmd
}

// loadSource loads a configuration of which only the source need be said: who prepares the database often
// does not know the brokers.
func loadSource(flags *configFlags) (Config, error) {
	config, err := flags.load()
	var wrong *configError
	if !errors.As(err, &wrong) {
		return config, err
	}
	for _, problem := range wrong.problems {
		if problem.path == "kafka.brokers" || problem.path == "schema_registry.url" {
			if problem.line == 0 && flags.values[problem.path] == "" {
				flags.values[problem.path] = unsaid[problem.path]
			}
		}
	}
	return flags.load()
}

// unsaid stands for servers that no SQL names.
var unsaid = map[string]string{"kafka.brokers": "unsaid:9092", "schema_registry.url": "http://unsaid"}

// initSQL fills the scripts of a part in.
func initSQL(c Config, part string) (string, error) {
	values := sql.Values{
		Database: sourceDatabase(c.Source.URL), Publication: c.Source.Publication, Slot: c.Source.Slot,
		ViaRoot: c.Source.PublishViaRoot,
	}
	if address, err := url.Parse(string(c.Source.URL)); err == nil {
		values.Role = address.User.Username()
	}
	if values.Role == "" || values.Database == "" {
		return "", errors.New("source.url: the SQL needs the role and the database: " +
			"postgres://ROLE@HOST/DATABASE")
	}
	scripts := printSQLParts[part]
	if scripts == nil {
		scripts = []string{part}
	}
	for _, pattern := range c.Source.Tables {
		table, exact := exactTable(pattern)
		if !exact {
			return "", fmt.Errorf("source.tables: %s is a pattern, and SQL names tables: "+
				"--source-tables public.orders,public.customers names them for this once", pattern)
		}
		values.Tables = append(values.Tables, table)
	}
	var b strings.Builder
	for i, script := range scripts {
		text, err := sql.Script(script, values)
		if err != nil {
			return "", err
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// exactTable reads a pattern that names one table, its parts quoted or not.
func exactTable(p Pattern) (sql.Table, bool) {
	text := p.String()
	if !p.Exact() {
		return sql.Table{}, false
	}
	var parts []string
	for len(text) > 0 {
		if strings.HasPrefix(text, `"`) {
			name, length := unquoted(text, 0)
			parts, text = append(parts, name), strings.TrimPrefix(text[length:], ".")
			continue
		}
		name, rest, _ := strings.Cut(text, ".")
		parts, text = append(parts, name), rest
	}
	if len(parts) != 2 {
		return sql.Table{}, false
	}
	return sql.Table{Schema: parts[0], Name: parts[1]}, true
}

package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// referenceHead stands above the generated list of keys.
const referenceHead = "# Configuration\n\n" +
	"Every key, in the order of the file, with its default. Written from the program's own list by a test,\n" +
	"which fails when the two differ. `tributary config schema` gives the same to an editor, `config print`\n" +
	"the values in force and where each came from, `config validate` what is wrong with a file.\n\n" +
	"A key can also be set by an environment variable and by a flag. A flag is stronger than a variable, a\n" +
	"variable than the file: `source.tables` is `TRIBUTARY_SOURCE_TABLES` and `--source-tables`, and every\n" +
	"other key likewise. Sizes take a unit (16MiB), durations too (90s). What holds a secret names where\n" +
	"it is, such as `file:PATH` or `env:NAME`.\n"

// TestConfigurationReference: deploy/CONFIGURATION.md lists the keys as the program has them.
func TestConfigurationReference(t *testing.T) {
	var b strings.Builder
	b.WriteString(referenceHead)
	defaults, block := reflect.ValueOf(defaultConfig()), "\x00"
	for _, k := range configKeys() {
		at := strings.LastIndex(k.path, ".")
		if name := k.path[:max(at, 0)]; name != block {
			block = name
			title := "Top level"
			if name != "" {
				title = "`" + name + "`"
			}
			fmt.Fprintf(&b, "\n## %s\n\n| key | default | what |\n|---|---|---|\n", title)
		}
		help := k.help
		if len(k.enum) > 0 {
			help += " One of: " + strings.Join(k.enum, ", ") + "."
		}
		text := "`" + yamlText(defaults.FieldByIndex(k.index), true) + "`"
		if k.required {
			text = "required"
		}
		cell := strings.NewReplacer("|", `\|`, "<", "&lt;").Replace
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.path, cell(text), cell(help))
	}
	compare(t, "../../deploy/CONFIGURATION.md", b.String())
}

package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// TestChartSchema: the chart checks its value config by the schema that `config schema` prints. -update puts
// it there; the chart's checksum is written by make -C deploy.
func TestChartSchema(t *testing.T) {
	const file = "helm/tributary/values.schema.json"
	s := configSchema()
	s.Schema, s.Title = "", ""
	s.Description = "The configuration file, as tributary config schema prints its schema."
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("    ", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		t.Fatal(err)
	}
	text := read(t, file)
	// It ends where its own indentation closes a brace.
	at := regexp.MustCompile(`(?ms)^    "config": (\{"type": "object"\}|\{$.*?^    \})`).FindStringIndex(text)
	if at == nil {
		t.Fatal("the chart's schema has no config")
	}
	compare(t, deployed+file, text[:at[0]]+`    "config": `+strings.TrimSpace(b.String())+text[at[1]:])
}

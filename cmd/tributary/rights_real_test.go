package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// pasted runs the command of a finding's fix as a shell would, at another address of the same broker where
// one is given: an operator has an own way in.
func pasted(t *testing.T, java local.KafkaFiles, fix, address string) {
	t.Helper()
	command, _, _ := strings.Cut(fix, " #")
	words := strings.Fields(command)
	for i, word := range words {
		if word == "--bootstrap-server" && address != "" {
			words[i+1] = address
		}
	}
	if err := java.Tool(t.Context(), words[0], words[1:]...); err != nil {
		t.Fatalf("%s: %v", fix, err)
	}
}

// granted has a user of a broker with access control who may do nothing: check names each right that is
// missing, and the commands that it gives are all that the user needs to run a pipeline.
func granted(t *testing.T, server string, k *securedKafka, trusted, secret string) {
	java, err := local.KafkaProgram(local.RealKafka(t))
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, server, k.address["INTERNAL"], local.Registry(t))
	b.change(b.tables, fmt.Sprintf("kafka: {brokers: [%q], position_topic: PREFIX.positions, ledger_topic: "+
		"other.ledger, %s, auth: plain, user: clerk, password_from: 'file:%s'}", k.address["PLAIN"], trusted,
		secret))
	refusals := map[string]bool{}
	for range 5 {
		fixes := map[string]bool{}
		for _, f := range b.look("source kafka", findings{}).list {
			if strings.HasPrefix(f.Code, "E2") {
				t.Logf("%s %s %s: %s", f.Code, f.Name, f.Text, f.Fix)
				refusals[f.Code+" "+f.Name] = true
				fixes[f.Fix] = true
			}
		}
		for fix := range fixes {
			pasted(t, java, fix, strings.Replace(k.address["INTERNAL"], "localhost", "127.0.0.1", 1))
		}
		if len(fixes) == 0 {
			break
		}
	}
	for _, want := range []string{"E207 producer", "E206 writing", "E206 topics"} {
		if !refusals[want] {
			t.Errorf("nothing was told of %s: %v", want, refusals)
		}
	}
	found := b.look("source kafka", findings{})
	for _, f := range found.list {
		if f.Level == levelFail {
			t.Fatalf("still refused:\n%s", found.text())
		}
	}
	b.delivered()
}

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// pasted runs the command of a finding's fix as a shell would; file holds the operator's own login, whose
// name a person fills in.
func pasted(t *testing.T, java local.KafkaFiles, fix, file string) {
	t.Helper()
	command, _, _ := strings.Cut(fix, " #")
	words := strings.Fields(strings.Replace(command, "--command-config FILE", "--command-config "+file, 1))
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
	operator := writeFile(t, "operator.properties", fmt.Sprintf("security.protocol=SASL_SSL\n"+
		"sasl.mechanism=PLAIN\n"+
		"sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule "+
		"required username=\"writer\" password=%q;\nssl.truststore.type=PEM\nssl.truststore.location=%s\n",
		kafkaWord, k.ca))
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
			pasted(t, java, fix, operator)
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

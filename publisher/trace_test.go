package publisher

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

const testTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// traceMessage is the logical message that brings a trace into a transaction.
func traceMessage(content string, transactional bool) decoder.Change {
	return decoder.Change{
		Op: schema.OpMessage, Prefix: traceParent, Content: []byte(content), Transactional: transactional,
	}
}

// traced are the ids of the rows in a topic whose records bear testTrace, and how many bear none.
func traced(t *testing.T, records []*kgo.Record) (ids []string, untraced int) {
	t.Helper()
	for _, r := range records {
		header := ""
		for _, h := range r.Headers {
			if h.Key == traceParent {
				header += string(h.Value)
			}
		}
		switch header {
		case testTrace:
			ids = append(ids, strings.Trim(string(r.Key), `{}"id:`))
		case "":
			untraced++
		default:
			t.Errorf("record %s has traceparent %q", r.Key, header)
		}
	}
	slices.Sort(ids)
	return ids, untraced
}

// TestTrace: the records of a transaction bear its trace from where it is given, those of others do not, and
// what is no trace is none.
func TestTrace(t *testing.T) {
	a := relationOf("a")
	for _, debezium := range []bool{false, true} {
		r := newRig(t)
		r.o.Schema.Debezium = debezium
		r.o.Message = func(string) bool { return false } // the message itself need not be published
		s := newStory()
		s.transaction(insert(a, 1, "before"), traceMessage(testTrace, true), insert(a, 2, "x"), insert(a, 3, "x"))
		s.transaction(insert(a, 4, "the next"))
		for _, bad := range []string{
			"", "x", strings.ToUpper(testTrace), "ff" + testTrace[2:], testTrace + "-more",
			"00-" + strings.Repeat("0", 32) + testTrace[35:], testTrace[:36] + strings.Repeat("0", 16) + "-01",
		} {
			s.transaction(traceMessage(bad, true), insert(a, 5, "bad"))
		}
		s.transaction(traceMessage(testTrace, false)).transaction(insert(a, 6, "of no transaction"))
		r.must(s.cut())
		ids, untraced := traced(t, r.read("p.public.a"))
		want, others := "[2 3]", 10
		if debezium {
			want, others = "[]", 12
		}
		if fmt.Sprint(ids) != want || untraced != others {
			t.Errorf("debezium %t: traced %v and %d others, want %s and %d", debezium, ids, untraced, want, others)
		}
	}
}

// TestTraceAfterRestart: the rest of a transaction that a restart found in parts bears the trace too, though
// the message that gave it was published before.
func TestTraceAfterRestart(t *testing.T) {
	a, r := relationOf("a"), newRig(t)
	r.o.WindowRecords = 2
	r.o.Message = func(string) bool { return false }
	changes := []decoder.Change{traceMessage(testTrace, true)}
	for id := range 9 {
		changes = append(changes, insert(a, id+1, "x"))
	}
	if _, err := r.run(newStory().part(true, false, changes...).cut()); err != nil {
		t.Fatal(err)
	}
	first, _ := traced(t, r.read("p.public.a"))
	if len(first) == 0 || len(first) == 9 || r.stored().Split == nil {
		t.Fatalf("%d of 9 records before the restart, want a part", len(first))
	}
	r.must(newStory().transaction(changes...).cut())
	if ids, untraced := traced(t, r.read("p.public.a")); len(ids) != 9 || untraced != 0 {
		t.Errorf("traced %v and %d others, want all 9", ids, untraced)
	}
}

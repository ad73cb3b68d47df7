package main

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestRealDrill is a drill for continuous integration: a round in each delivery, with short outages.
func TestRealDrill(t *testing.T) {
	kafka, registry := local.RealKafka(t), local.RealRegistry(t)
	dir := t.TempDir()
	binary := filepath.Join(dir, "tributary")
	if text, err := exec.Command("go", "build", "-o", binary, "../tributary").CombinedOutput(); err != nil {
		t.Fatalf("build tributary: %v: %s", err, text)
	}
	for i, delivery := range []string{"exactly-once", "at-least-once"} {
		t.Run(delivery, func(t *testing.T) {
			err := run(t.Context(), settings{
				binary: binary, delivery: delivery, seed: uint64(7 + i), rounds: 1, kafka: kafka,
				registry: registry, out: filepath.Join(dir, delivery+".jsonl"), state: dir, scale: 0.2, bulk: 5000,
				patience: 5 * time.Minute, faults: 4,
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestExact holds the audit against what it must find.
func TestExact(t *testing.T) {
	c, u := event{op: 'c', seq: 1, xid: 10}, event{op: 'u', seq: 2, xid: 11}
	d, again := event{op: 'd', xid: 12}, event{op: 'c', seq: 3, xid: 13}
	row := func(e event) event { e.op = 'r'; return e }
	want := []event{c, u, d, again}
	for name, test := range map[string]struct {
		got           []event
		exact, suffix bool // what exactly-once and at-least-once allow
	}{
		"all":                       {want, true, true},
		"read by the snapshot":      {[]event{row(u), d, again}, true, true},
		"read between":              {[]event{u, row(u), d, again}, true, true},
		"after the snapshot":        {[]event{again}, true, true},
		"read too late":             {[]event{row(c), d, again}, false, false},
		"one lost":                  {[]event{c, d, again}, false, false},
		"the last lost":             {[]event{c, u, d}, false, false},
		"one doubled":               {[]event{c, u, u, d, again}, false, true},
		"a repeated suffix":         {[]event{c, u, d, u, d, again}, false, true},
		"one at the wrong place":    {[]event{u, c, d, again}, false, false},
		"one that nobody wrote":     {[]event{c, u, {op: 'u', seq: 9}, d, again}, false, false},
		"a snapshot's row too many": {[]event{c, u, d, row(u), again}, false, false},
	} {
		if v := exact(want, test.got); (v.fault == "") != test.exact {
			t.Errorf("%s, exactly once: %q", name, v.fault)
		}
		if v := repeating(want, test.got); (v.fault == "") != test.suffix {
			t.Errorf("%s, at least once: %q", name, v.fault)
		}
	}
}

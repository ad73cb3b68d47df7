package main

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// page reads what the running program serves under a path, as a person reads it: without escapes.
func (l *life) page(t testing.TB, path string) string {
	t.Helper()
	response, err := http.Get("http://" + l.address() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, response.Status, err)
	}
	return html.UnescapeString(string(body))
}

// address is where the running program serves its status.
func (l *life) address() string {
	_, rest, _ := strings.Cut(l.log.String(), `"address":"http://`)
	address, _, _ := strings.Cut(rest, `"`)
	return address
}

// TestOneFaultEverywhere stages one fault, and finds its code, its text and its fix, word for word,
// wherever a person looks.
func TestOneFaultEverywhere(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.change(b.tables, "on_failure: stay\n"+
		"topic: {prefix: PREFIX, partitions: 3, replication_factor: 1, create: false}")
	const code = "E209"
	known, _ := lookUp(code)
	l := b.rig.run(t)
	l.logged(t, code)

	var logged struct{ Code, Err, Fix, Level string }
	for _, line := range strings.Split(l.log.String(), "\n") {
		if strings.Contains(line, `"code":"`+code+`"`) {
			if err := json.Unmarshal([]byte(line), &logged); err != nil {
				t.Fatal(err)
			}
		}
	}
	if logged.Level != "ERROR" || logged.Fix == "" ||
		!strings.Contains(logged.Err, "topics are not to be created") {
		t.Fatalf("the log tells %+v", logged)
	}
	s := l.reach(t, stateFailed)
	if e := s.Error; e == nil || e.Code != code || e.Text != logged.Err || e.Fix != logged.Fix ||
		!e.NeedsPerson {
		t.Errorf("the status has %+v, the log %+v", e, logged)
	}
	if p := s.Problems; len(p) != 1 || p[0].Code != code || p[0].Text != logged.Err || p[0].Fix != logged.Fix {
		t.Errorf("the status remembers %+v", p)
	}
	exit, stdout, _ := execute(t, &program{}, "status", "--addr", l.address())
	if exit != exitPerson ||
		!strings.Contains(flat(stdout), flat(fmt.Sprintf("%s [%s] fix: %s", logged.Err, code,
			logged.Fix))) {
		t.Errorf("status: exit code %d\n%s", exit, stdout)
	}
	for path, wants := range map[string][]string{
		"/": {
			`<p class="sentence bad">` + logged.Err + " [" + code + "]</p>",
			"<strong>What to do:</strong> " + logged.Fix + "</p>",
			`<a href="errors#` + code + `"><code>` + code + "</code></a> " + logged.Err,
		},
		"/errors":        {`<tbody><tr id="` + code + `" class="changed">`, known.Sentence, `<td class="n">1</td>`},
		"/metrics":       {`code="E209",component="kafka"`, `tributary_state{`},
		"/api/v1/errors": {`"code": "` + code + `"`},
	} {
		text := l.page(t, path)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not have %q:\n%s", path, want, text)
			}
		}
	}
	exit, stdout, _ = execute(t, &program{}, "errors", code)
	if exit != exitOK || !strings.Contains(flat(stdout), code+" "+known.Sentence+" why "+known.Cause) {
		t.Errorf("errors %s: exit code %d\n%s", code, exit, stdout)
	}
	exit, stdout, _ = execute(t, &program{}, "check", "-c", b.file)
	if exit != exitCheck || !strings.Contains(flat(stdout), "["+code+"] why "+known.Cause) {
		t.Errorf("check: exit code %d\n%s", exit, stdout)
	}
	l.signals <- syscall.SIGTERM
	if exit := l.wait(t); exit != exitPerson || !strings.HasSuffix(strings.TrimSpace(l.log.String()),
		fmt.Sprintf("tributary: %s [%s]\nfix: %s", logged.Err, code, logged.Fix)) {
		t.Errorf("run ends with exit code %d:\n%s", exit, l.log.tail())
	}
}

package check

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// monitoring is where rules and dashboard are; the chart has copies, which another test compares.
const monitoring = "../monitoring/"

// text returns a file.
func text(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// rule is an alert of alerts.yaml.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// alerts are the rules of alerts.yaml, strictly read.
func alerts(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	err := yaml.UnmarshalWithOptions([]byte(text(t, monitoring+"alerts.yaml")), &file, yaml.Strict())
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 || len(file.Groups[0].Rules) < 10 {
		t.Fatalf("%d groups", len(file.Groups))
	}
	return file.Groups[0].Rules
}

// metricLabels are the labels of every series that a metric of the program has, by the series' name.
func metricLabels(t *testing.T) map[string][]string {
	t.Helper()
	known := map[string][]string{}
	line := regexp.MustCompile(`^(\S+) (counter|gauge|histogram) \{([^}]*)\} `)
	for one := range strings.Lines(text(t, "../../cmd/tributary/testdata/metrics.txt")) {
		parts := line.FindStringSubmatch(one)
		if parts == nil {
			t.Fatalf("metrics.txt: %q", one)
		}
		of := append(strings.Split(parts[3], ","), "pipeline", "slot")
		if parts[2] != "histogram" {
			known[parts[1]] = of
			continue
		}
		known[parts[1]+"_sum"], known[parts[1]+"_count"] = of, of
		known[parts[1]+"_bucket"] = append(of, "le")
	}
	for _, name := range []string{
		"process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total",
		"go_memstats_heap_inuse_bytes",
	} {
		known[name] = nil
	}
	return known
}

// targetLabels come with every scrape, in Kubernetes.
var targetLabels = []string{"namespace", "pod", "job", "instance"}

// wrong says what an expression names that does not exist: metrics, and labels of them, in matchers and in
// the groupings around them.
func wrong(expression string, known map[string][]string) error {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		return err
	}
	var selectors int
	parser.Inspect(parsed, func(node parser.Node, path []parser.Node) error {
		selector, is := node.(*parser.VectorSelector)
		if !is {
			return nil
		}
		selectors++
		own, exists := known[selector.Name]
		if !exists {
			err = fmt.Errorf("no metric is called %q", selector.Name)
		}
		used := []string{}
		for _, m := range selector.LabelMatchers {
			if m.Name != labels.MetricName {
				used = append(used, m.Name)
			}
		}
		for _, around := range path {
			if a, is := around.(*parser.AggregateExpr); is {
				used = append(used, a.Grouping...)
			}
		}
		for _, label := range used {
			if !slices.Contains(own, label) && !slices.Contains(targetLabels, label) {
				err = fmt.Errorf("%s has no label %q", selector.Name, label)
			}
		}
		return nil
	})
	if selectors == 0 {
		err = fmt.Errorf("no metric in %s", expression)
	}
	return err
}

// TestExpressions parses every PromQL of rules and dashboard with Prometheus's parser, and holds the names in
// it against those that the program has.
func TestExpressions(t *testing.T) {
	known := metricLabels(t)
	for _, r := range alerts(t) {
		if err := wrong(r.Expr, known); err != nil {
			t.Errorf("%s: %v", r.Alert, err)
		}
		if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: no severity, summary or description", r.Alert)
		}
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
	}
	if err := json.Unmarshal([]byte(text(t, monitoring+"dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$namespace", "cdc", "$pipeline", "shop")
	for i, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 || panel.ID != i+1 {
			t.Errorf("panel %d %q: no query, or its id is another's", panel.ID, panel.Title)
		}
		for _, query := range panel.Targets {
			if err := wrong(variables.Replace(query.Expr), known); err != nil {
				t.Errorf("panel %q: %v", panel.Title, err)
			}
		}
	}
	for _, a := range dashboard.Annotations.List {
		if err := wrong(variables.Replace(a.Expr), known); err != nil {
			t.Errorf("annotation %s: %v", a.Name, err)
		}
	}
	for _, bad := range []string{
		"rate(tributary_no_such_total[5m])", `tributary_state{status="failed"}`, "sum(tributary_leader",
		"sum by (topic) (tributary_leader)", "tributary_event_latency_seconds", "1 > 0",
	} {
		if wrong(bad, known) == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// ruleTest is one test of alerts_test.yaml, in promtool's form.
type ruleTest struct {
	Name        string
	Interval    string
	InputSeries []struct{ Series, Values string } `yaml:"input_series"`
	Checks      []ruleCheck                       `yaml:"alert_rule_test"`
}

// ruleCheck is what an alert must say at a time.
type ruleCheck struct {
	At   string `yaml:"eval_time"`
	Name string `yaml:"alertname"`
	Want []struct {
		Labels map[string]string `yaml:"exp_labels"`
	} `yaml:"exp_alerts"`
}

// TestAlerts runs the tests of the rules, and wants each rule to be silent in one and to fire in another.
func TestAlerts(t *testing.T) {
	var file struct {
		RuleFiles []string `yaml:"rule_files"`
		Interval  string   `yaml:"evaluation_interval"`
		Tests     []ruleTest
	}
	err := yaml.UnmarshalWithOptions([]byte(text(t, monitoring+"alerts_test.yaml")), &file, yaml.Strict())
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]rule{}
	for _, r := range alerts(t) {
		rules[r.Alert] = r
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute})
	silent, fired := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		series := load(t, test)
		for _, c := range test.Checks {
			r, exists := rules[c.Name]
			if !exists {
				t.Errorf("%s: no alert is called %s", test.Name, c.Name)
				continue
			}
			var want []string
			for _, w := range c.Want {
				want = append(want, labels.FromMap(w.Labels).String())
			}
			slices.Sort(want)
			got := firing(t, engine, series, r, duration(t, c.At))
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s at %s: got %v, want %v", test.Name, c.Name, c.At, got, want)
			}
			silent[c.Name], fired[c.Name] = silent[c.Name] || len(got) == 0, fired[c.Name] || len(got) > 0
		}
	}
	for name := range rules {
		if !silent[name] || !fired[name] {
			t.Errorf("%s: shown to be silent %t, to fire %t", name, silent[name], fired[name])
		}
	}
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// firing evaluates a rule each minute, as Prometheus does, and returns the alerts that fire at a time: those
// whose condition has held for as long as the rule says.
func firing(t *testing.T, engine *promql.Engine, series memory, r rule, at time.Duration) []string {
	t.Helper()
	pending := map[string]time.Duration{}
	for now := time.Duration(0); now <= at; now += time.Minute {
		query, err := engine.NewInstantQuery(t.Context(), series, nil, r.Expr, time.UnixMilli(now.Milliseconds()))
		if err != nil {
			t.Fatal(err)
		}
		vector, err := query.Exec(t.Context()).Vector()
		if err != nil {
			t.Fatalf("%s: %v", r.Alert, err)
		}
		holds := map[string]time.Duration{}
		for _, sample := range vector {
			b := labels.NewBuilder(sample.Metric).Del(labels.MetricName)
			for name, value := range r.Labels {
				b.Set(name, value)
			}
			name := b.Labels().String()
			since, before := pending[name]
			if !before {
				since = now
			}
			holds[name] = since
		}
		pending = holds
		query.Close()
	}
	var fires []string
	for name, since := range pending {
		if at-since >= duration(t, r.For) {
			fires = append(fires, name)
		}
	}
	slices.Sort(fires)
	return fires
}

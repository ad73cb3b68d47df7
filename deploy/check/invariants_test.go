package check

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// TestOneWriter holds the renderings against what keeps two pods from streaming at a time, and an update from
// waiting for itself.
func TestOneWriter(t *testing.T) {
	for set, docs := range manifests(t) {
		spec := at(docs["Deployment/tributary"], "spec")
		replicas, strategy := fmt.Sprint(at(spec, "replicas")), at(spec, "strategy")
		switch replicas {
		case "1":
			if at(strategy, "type") != "Recreate" || docs["PodDisruptionBudget/tributary"] != nil {
				t.Errorf("%s: one replica, strategy %v, and a disruption budget would block a drain", set, strategy)
			}
		case "2":
			if fmt.Sprint(at(strategy, "rollingUpdate", "maxSurge")) != "0" ||
				docs["PodDisruptionBudget/tributary"] == nil {
				t.Errorf("%s: two replicas, strategy %v, or no disruption budget", set, strategy)
			}
		default:
			t.Errorf("%s: %s replicas: one slot is one stream", set, replicas)
		}
		for name := range docs {
			kind, _, _ := strings.Cut(name, "/")
			if kind == "HorizontalPodAutoscaler" || kind == "StatefulSet" || kind == "Secret" {
				t.Errorf("%s: %s has no place here", set, name)
			}
		}
	}
}

// TestRestricted holds every pod against the restricted Pod Security Standard, and against what else it must
// not have.
func TestRestricted(t *testing.T) {
	for set, docs := range manifests(t) {
		for name, doc := range docs {
			pod := at(doc, "spec", "template", "spec")
			if doc["kind"] == "Pod" {
				pod = doc["spec"]
			}
			if pod == nil || at(pod, "containers") == nil {
				continue
			}
			container := at(pod, "containers", 0)
			for _, want := range []struct {
				what  any
				value any
			}{
				{at(pod, "securityContext", "runAsNonRoot"), true},
				{at(pod, "securityContext", "seccompProfile", "type"), "RuntimeDefault"},
				{at(container, "securityContext", "allowPrivilegeEscalation"), false},
				{at(container, "securityContext", "readOnlyRootFilesystem"), true},
				{at(container, "securityContext", "capabilities", "drop"), []any{"ALL"}},
				{at(pod, "automountServiceAccountToken"), false},
				{at(pod, "enableServiceLinks"), false},
				{at(container, "resources", "limits", "cpu"), nil},
			} {
				if !reflect.DeepEqual(want.what, want.value) {
					t.Errorf("%s: %s: %v, want %v", set, name, want.what, want.value)
				}
			}
			memoryLimit(t, set+": "+name, container)
		}
	}
}

// memoryLimit compares what the Go runtime may use with what the container may.
func memoryLimit(t *testing.T, name string, container any) {
	t.Helper()
	mib := func(text string) int {
		n, unit := strings.TrimRight(text, "MGiB"), 1
		if strings.HasSuffix(text, "Gi") {
			unit = 1024
		}
		value, err := strconv.Atoi(n)
		if err != nil {
			t.Fatalf("%s: memory %q", name, text)
		}
		return value * unit
	}
	limit := mib(fmt.Sprint(at(container, "resources", "limits", "memory")))
	if at(container, "env", 0, "name") != "GOMEMLIMIT" {
		t.Fatalf("%s: no GOMEMLIMIT", name)
	}
	if soft := mib(fmt.Sprint(at(container, "env", 0, "value"))); soft*100/limit < 79 || soft*100/limit > 80 {
		t.Errorf("%s: GOMEMLIMIT %d MiB of %d", name, soft, limit)
	}
}

// logins are how the sets that mount no secret for the source have it log in.
var logins = map[string]string{
	"demo":           "url: postgres://",
	"rds-iam":        "auth: rds_iam",
	"secretsmanager": "password_from: secretsmanager:arn:aws:secretsmanager:us-east-1:111122223333:secret:cdc-",
	"mtls":           "sslkey=/etc/tributary/tls/source/tls.key",
}

// TestNoSecretInClear looks for passwords where everybody can read them.
func TestNoSecretInClear(t *testing.T) {
	for set, docs := range manifests(t) {
		config := fmt.Sprint(at(docs["ConfigMap/tributary"], "data", "config.yaml"))
		for line := range strings.Lines(config) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "password:") || strings.Contains(line, "://") &&
				strings.Count(strings.SplitN(line, "://", 2)[1], ":") > 1 && strings.Contains(line, "@") {
				t.Errorf("%s: the ConfigMap holds %q", set, line)
			}
		}
		from := "password_from: file:/etc/tributary/secrets/source/password"
		if elsewhere, known := logins[set]; known {
			from = elsewhere
		}
		if !strings.Contains(config, from) {
			t.Errorf("%s: the source's login does not come by %q", set, from)
		}
	}
}

// TestNetworkPolicy shows that egress is closed but for what is listed.
func TestNetworkPolicy(t *testing.T) {
	policy := manifests(t)["restricted"]["NetworkPolicy/tributary"]
	var ports []string
	for _, rule := range at(policy, "spec", "egress").([]any) {
		peers := at(rule, "to")
		for _, port := range at(rule, "ports").([]any) {
			number := fmt.Sprint(at(port, "port"))
			ports = append(ports, number)
			if number != "53" && peers == nil {
				t.Errorf("port %s is open to every address", number)
			}
		}
	}
	if got := strings.Join(ports, " "); got != "53 53 5432 9094 443 4317" {
		t.Errorf("egress to ports %s", got)
	}
	if at(policy, "spec", "ingress", 0, "from", 0, "namespaceSelector") == nil {
		t.Error("ingress is not limited to the monitoring namespace")
	}
}

// TestScrapeReaches shows that where Prometheus is asked to scrape and ingress is closed, it is let in from
// the namespace that it runs in: it seldom is the pipeline's own.
func TestScrapeReaches(t *testing.T) {
	both := 0
	for set, docs := range manifests(t) {
		policy := docs["NetworkPolicy/tributary"]
		if policy == nil || docs["ServiceMonitor/tributary"] == nil {
			continue
		}
		both++
		if at(policy, "spec", "ingress", 0, "from", 0, "namespaceSelector", "matchLabels") == nil {
			t.Errorf("%s: a ServiceMonitor, and a NetworkPolicy that lets no other namespace in", set)
		}
	}
	if both == 0 {
		t.Error("no set has a ServiceMonitor and a NetworkPolicy")
	}
}

package check

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// TestCompose parses compose.yaml with the library of docker compose itself.
func TestCompose(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../compose.yaml"}, cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pinned := regexp.MustCompile(`:\d+\.\d+`)
	for _, name := range []string{"postgres", "kafka", "registry", "tributary", "s3", "connect"} {
		service, err := project.GetService(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if service.HealthCheck == nil || len(service.HealthCheck.Test) < 2 {
			t.Errorf("%s has no health check", name)
		}
		if service.Build == nil && !pinned.MatchString(service.Image) {
			t.Errorf("%s: the image %s is not pinned", name, service.Image)
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to the network", name, port.Published)
			}
		}
		for _, volume := range service.Volumes {
			if strings.HasSuffix(volume.Source, ".sql") || strings.HasSuffix(volume.Source, ".yaml") {
				if _, err := os.Stat(volume.Source); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		for dependency, how := range service.DependsOn {
			if how.Condition != "service_healthy" {
				t.Errorf("%s does not wait until %s is healthy", name, dependency)
			}
		}
	}
}

// policy is an IAM policy document.
type policy struct {
	Version   string
	Statement []struct {
		Effect           string
		Action, Resource any
		Condition        map[string]map[string]string
	}
}

// TestIAM holds the policies against their promise: no wildcard action, and what the template grants.
func TestIAM(t *testing.T) {
	template, err := os.ReadFile("../aws/cloudformation.yaml")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"msk", "msk-reader", "secret", "rds-login", "trust-irsa", "trust-pod-identity"}
	for _, name := range names {
		text, err := os.ReadFile("../aws/iam/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var p policy
		if err := json.Unmarshal(text, &p); err != nil || p.Version != "2012-10-17" || len(p.Statement) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		for _, statement := range p.Statement {
			for _, action := range texts(statement.Action) {
				granted := strings.Contains(string(template), action)
				if strings.Contains(action, "*") || !granted && name != "trust-irsa" {
					t.Errorf("%s: action %s: a wildcard, or not in the template: %v", name, action, granted)
				}
			}
			for _, resource := range texts(statement.Resource) {
				if resource == "*" {
					t.Errorf("%s: every resource", name)
				}
			}
		}
		if name == "trust-irsa" && len(p.Statement[0].Condition["StringEquals"]) != 2 {
			t.Error("trust-irsa: want conditions on sub and aud")
		}
	}
}

func texts(v any) (all []string) {
	switch x := v.(type) {
	case string:
		return []string{x}
	case []any:
		for _, one := range x {
			all = append(all, one.(string))
		}
	}
	return all
}

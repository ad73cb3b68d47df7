package check

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
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
	once := map[string]bool{"plugins": true, "control": true} // they end
	all := []string{"postgres", "kafka", "registry", "tributary", "s3", "plugins", "control", "connect", "sink"}
	if len(project.Services) != len(all) {
		t.Errorf("the services are %v, want %v", project.ServiceNames(), all)
	}
	for _, name := range all {
		service, err := project.GetService(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if !once[name] && (service.HealthCheck == nil || len(service.HealthCheck.Test) < 2) {
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
			if volume.Type == "bind" {
				if _, err := os.Stat(volume.Source); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		for dependency, how := range service.DependsOn {
			want := "service_healthy"
			if once[dependency] {
				want = "service_completed_successfully"
			}
			if how.Condition != want {
				t.Errorf("%s waits for %s: %s, want %s", name, dependency, how.Condition, want)
			}
		}
	}
	composeSink(t, project)
}

// composeSink holds the connector of compose.yaml against the recipe that tests run, and against what the
// other services are told.
func composeSink(t *testing.T, project *types.Project) {
	t.Helper()
	read := func(name string) (keys map[string]string) {
		content, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(content, &keys)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return keys
	}
	sink, recipe := read("../compose/sink.json"), read("../connect/iceberg-log.json")
	// Other tables, a catalog in place of Glue, an S3 server in place of AWS, and a shorter wait.
	own := regexp.MustCompile(`^(topics\.regex|iceberg\.tables?(\.lake\.\w+\.route-regex)?|` +
		`iceberg\.control\.commit\.interval-ms|iceberg\.catalog\.(catalog-impl|uri|jdbc\..*|s3\..*))$`)
	for key, value := range recipe {
		if !own.MatchString(key) && sink[key] != value {
			t.Errorf("sink.json: %s is %q, in the recipe %q", key, sink[key], value)
		}
	}
	for key, value := range sink {
		if _, known := recipe[key]; !known && !own.MatchString(key) {
			t.Errorf("sink.json: %s is not in the recipe", key)
		}
		for _, host := range regexp.MustCompile(`//([a-z0-9]+):\d+`).FindAllStringSubmatch(value, -1) {
			if _, err := project.GetService(host[1]); err != nil {
				t.Errorf("sink.json: %s: %v", key, err)
			}
		}
	}
	source, err := os.ReadFile("../compose/tributary.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"customers", "orders"} {
		route := sink["iceberg.table.lake."+table+"_log.route-regex"]
		if !strings.Contains(string(source), "public."+table) || route != table ||
			!regexp.MustCompile("^"+sink["topics.regex"]+"$").MatchString("shop.public."+table) {
			t.Errorf("table %s does not reach the lake", table)
		}
	}
	bucket := strings.Split(sink["iceberg.catalog.warehouse"], "/")[2]
	for name, want := range map[string]string{
		"control": sink["iceberg.control.topic"], "sink": sink["iceberg.catalog.s3.endpoint"] + "/" + bucket,
	} {
		if command := strings.Join(project.Services[name].Command, " "); !strings.Contains(command, want) {
			t.Errorf("%s does not make %s: %s", name, want, command)
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

// TestTerraform holds Terraform's resources against the template's: as many of each kind, and their settings.
func TestTerraform(t *testing.T) {
	template, err := os.ReadFile("../aws/cloudformation.yaml")
	if err != nil {
		t.Fatal(err)
	}
	terraform, err := os.ReadFile("../aws/terraform/main.tf")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{
		"AWS::RDS::DBParameterGroup": "aws_db_parameter_group", "AWS::MSK::Configuration": "aws_msk_configuration",
		"AWS::IAM::Role": "aws_iam_role", "AWS::IAM::RolePolicy": "aws_iam_role_policy",
		"AWS::EKS::PodIdentityAssociation": "aws_eks_pod_identity_association",
		"AWS::CloudWatch::Alarm":           "aws_cloudwatch_metric_alarm",
	}
	want, have := map[string]int{}, map[string]int{}
	for _, found := range regexp.MustCompile(`(?m)^    Type: (AWS::\S+)$`).FindAllSubmatch(template, -1) {
		want[kinds[string(found[1])]]++
	}
	for _, found := range regexp.MustCompile(`(?m)^resource "(\w+)"`).FindAllSubmatch(terraform, -1) {
		have[string(found[1])]++
	}
	if len(want) != len(kinds) || !maps.Equal(want, have) {
		t.Errorf("the template has the resources %v, Terraform %v", want, have)
	}
	// The group's parameters, the server's properties, the alarms, the limits; Terraform spells keys its way.
	settings := regexp.MustCompile(`(?m)^ +((?:rds\.)?[a-z_]+): (?:(?:!If \[\w+, )?"(\d+)"|!Ref)|` +
		`^ +([a-z.]+)=(\S+)$|` +
		`^      (MetricName|Statistic|Period|EvaluationPeriods|ComparisonOperator|TreatMissingData): (\S+)$|` +
		`Type: Number, (Default): (\d+)`)
	humps, spaces := regexp.MustCompile(`([a-z])([A-Z])`), regexp.MustCompile(`[ "]+`)
	text, wanted := spaces.ReplaceAllString(string(terraform), ""), map[string]int{}
	for _, found := range settings.FindAllStringSubmatch(string(template), -1) {
		wanted[found[1]+found[3]+strings.ToLower(humps.ReplaceAllString(found[5]+found[7], "${1}_$2"))+
			"="+found[2]+found[4]+found[6]+found[8]]++
	}
	if len(wanted) != 7+5+2*6-1+3 { // both alarms have one period
		t.Errorf("%d settings of the template were found", len(wanted))
	}
	for setting, times := range wanted {
		has := regexp.MustCompile(`\b` + regexp.QuoteMeta(setting) + `(\W|tostring)`)
		if n := len(has.FindAllString(text, -1)); n != times {
			t.Errorf("Terraform has %s %d times, want %d", setting, n, times)
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

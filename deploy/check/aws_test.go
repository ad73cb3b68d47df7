package check

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestAWS has the AWS CLI check the parameters of every line of rds.sh and of the metric filters in LOGS.md,
// without an account: it validates what it is given before it prints the skeleton of an answer. `make
// deploy-check` runs it.
func TestAWS(t *testing.T) {
	if os.Getenv("TRIBUTARY_TEST_AWS") == "" {
		t.Skip("TRIBUTARY_TEST_AWS is not set")
	}
	var text string
	for _, file := range []string{"../aws/rds.sh", "../monitoring/LOGS.md"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text += strings.ReplaceAll(string(content), "\\\n", " ")
	}
	lines, bad := 0, 0
	check := func(line string) error {
		if !strings.HasPrefix(line, "aws rds wait") { // a waiter has no skeleton
			line += " --generate-cli-skeleton " + skeleton(line)
		} else {
			line += " help >/dev/null"
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "AWS_DEFAULT_REGION=us-east-1", "AWS_PAGER=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return &exec.Error{Name: string(out), Err: err}
		}
		return nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "aws ") {
			continue
		}
		lines++
		if err := check(line); err != nil {
			bad++
			t.Errorf("%s: %v", line, err)
		}
	}
	if lines < 13 {
		t.Errorf("only %d lines", lines)
	}
	if check("aws rds modify-db-instance --db-instance-identifier shop --db-parameter-grup-name x") == nil {
		t.Error("a misspelt option is taken")
	}
}

// skeleton is what the CLI is asked to print. It refuses its own example answers of three commands, of which
// only the names of the options are checked.
func skeleton(line string) string {
	for _, command := range []string{"kafka list-clusters-v2", "iam create-policy", "iam create-role"} {
		if strings.HasPrefix(line, "aws "+command) {
			return "input"
		}
	}
	return "output"
}

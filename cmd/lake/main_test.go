package main

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// TestMakeLake runs make lake as it is, where TRIBUTARY_TEST_LAKE is set: it starts all of its servers,
// fetches what is not in the cache, and takes minutes. No run in CI sets it: the recipe and the verdict are
// TestRealLake's too.
func TestMakeLake(t *testing.T) {
	if os.Getenv("TRIBUTARY_TEST_LAKE") == "" {
		t.Skip("TRIBUTARY_TEST_LAKE is not set")
	}
	out, err := exec.CommandContext(t.Context(), "make", "-C", "../..", "lake").CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`(?m)^the article's lake: 11 rows +this lake's log: 12 records$`,
		`(?m)^ +\(still there, for ever\) +104 +d +deleted$`,
		`(?m)^rows [1-9]\d\d\d, differing 0$`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("it does not print %s", want)
		}
	}
}

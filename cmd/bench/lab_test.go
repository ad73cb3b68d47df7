package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPatiently: a worker that is not ready in time is started again, and what else fails is not.
func TestPatiently(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return file
	}
	slow := write("slow.sh", `echo x >>"$0.runs"
[ "$(wc -l <"$0.runs")" -ge 3 ] && { echo "result $1"; exit; }
echo "the Connect worker not ready after 120s" >&2
exit 1
`)
	var told bytes.Buffer
	output, err := patiently(t.Context(), &told, slow, "7")
	if err != nil || string(output) != "result 7\n" || strings.Count(told.String(), "once more") != 2 {
		t.Errorf("%s, %v, told %s", output, err, told.String())
	}
	told.Reset()
	broken := write("broken.sh", "echo no java >&2\nexit 1\n")
	if _, err := patiently(t.Context(), &told, broken); err == nil || told.String() != "no java\n" {
		t.Errorf("%v, told %s", err, told.String())
	}
}

package main

import (
	"bytes"
	"context"
	_ "embed" // the runner of DuckDB
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// duckRunner is the script that runs SQL.
//
//go:embed duck.mjs
var duckRunner []byte

// duckVersion is DuckDB's, as npm has it.
const duckVersion = "1.5.6-r.1"

// duck is where DuckDB is installed.
type duck struct {
	dir string
}

// openDuck installs DuckDB under a directory, where it is not there yet.
func openDuck(ctx context.Context, cache string) (duck, error) {
	dir := filepath.Join(cache, "duckdb-"+duckVersion)
	err := once(dir, func(parts string) error {
		return run(ctx, parts, "npm", "install", "--prefix", ".", "--no-audit", "--no-fund",
			"@duckdb/node-api@"+duckVersion)
	})
	if err != nil {
		return duck{}, fmt.Errorf("install DuckDB: %w", err)
	}
	return duck{dir}, os.WriteFile(filepath.Join(dir, "duck.mjs"), duckRunner, 0o600)
}

// result is the rows of one statement, each value as JSON.
type result []map[string]json.RawMessage

// run runs statements in a database of their own, and returns the result of each.
func (d duck) run(ctx context.Context, statements ...string) ([]result, error) {
	input, err := json.Marshal(statements)
	if err != nil {
		return nil, fmt.Errorf("write SQL for DuckDB: %w", err)
	}
	command := exec.CommandContext(ctx, "node", filepath.Join(d.dir, "duck.mjs"))
	var out, errs bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), &out, &errs
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("DuckDB: %w: %s", err, strings.TrimSpace(errs.String()))
	}
	var results []result
	if err := json.Unmarshal(out.Bytes(), &results); err != nil {
		return nil, fmt.Errorf("read DuckDB's answer: %w", err)
	}
	if len(results) != len(statements) {
		return nil, errors.New("read DuckDB's answer: not one result for each statement")
	}
	return results, nil
}

// text returns a value of a row, a string without its quotes.
func text(r map[string]json.RawMessage, column string) string {
	var s string
	if json.Unmarshal(r[column], &s) == nil {
		return s
	}
	return string(r[column])
}

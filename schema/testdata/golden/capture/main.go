// Command capture makes the test cases in testdata/golden: it plays the SQL of each recorded scenario
// against a Postgres, notes the shapes and rows that a consumer of pgoutput gets, and puts each beside the
// record that Debezium made of it. It is run by hand, when scenarios are recorded anew:
//
//	go run ./schema/testdata/golden/capture -scenarios ../shared/golden -pg postgres://... -out DIR
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// record is a recorded record, as far as the test cases need it.
type record struct {
	Topic   string      `json:"topic"`
	Stage   int         `json:"stage"`
	Key     *datum      `json:"key"`
	Value   *datum      `json:"value"`
	Headers [][2]string `json:"headers,omitempty"`
}

// datum is a recorded key or value: Avro as hex, JSON as data.
type datum struct {
	Schema string          `json:"schema"`
	Data   json.RawMessage `json:"data"`
	Hex    string          `json:"hex,omitempty"`
}

// envelope is what of a recorded value tells which change it is.
type envelope struct {
	Op     string `json:"op"`
	Source struct {
		Schema   string `json:"schema"`
		Table    string `json:"table"`
		Snapshot string `json:"snapshot"`
	} `json:"source"`
}

// leftOut are the scenarios of many like rows: of several partitions, whose order is not ours to know.
var leftOut = []string{"bulk_copy", "snapshot_only", "topic_partitions"}

func main() {
	scenarios := flag.String("scenarios", "", "folder of the recorded scenarios")
	pg := flag.String("pg", "", "URL of a Postgres superuser; each scenario has a database of its own there")
	out := flag.String("out", "", "folder of the test cases")
	only := flag.String("only", "", "the one scenario to capture")
	flag.Parse()
	folders, err := filepath.Glob(filepath.Join(*scenarios, "*", "setup.sql"))
	if err == nil && len(folders) == 0 {
		err = fmt.Errorf("find scenarios in %q: none", *scenarios)
	}
	for _, f := range folders {
		folder := filepath.Dir(f)
		name := filepath.Base(folder)
		if err == nil && !has(leftOut, name) && (*only == "" || *only == name) {
			err = captureScenario(context.Background(), folder, *pg, *out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "capture:", err)
		os.Exit(1)
	}
}

// captureScenario makes the test case of one scenario.
func captureScenario(ctx context.Context, folder, pg, out string) error {
	name := filepath.Base(folder)
	database := "capture_" + name
	admin, err := pgx.Connect(ctx, pg)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer admin.Close(ctx)
	drop := `DROP DATABASE IF EXISTS ` + database + ` WITH (FORCE)`
	for _, sql := range []string{drop, `CREATE DATABASE ` + database} {
		if _, err := admin.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	p, err := newPlayer(ctx, pg, database, folder)
	if err == nil {
		err = p.play(ctx, folder)
		p.close(ctx)
	}
	if _, dropErr := admin.Exec(ctx, drop); err == nil {
		err = dropErr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Printf("%s: %d records paired, %d not, %d changes without record\n",
		name, p.paired, p.unpaired, p.skipped)
	return os.WriteFile(filepath.Join(out, name+".jsonl"), p.out.Bytes(), 0o644)
}

// readFile reads a file that may be compressed.
func readFile(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if !os.IsNotExist(err) {
		return b, err
	}
	f, err := os.Open(path + ".gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// readRecords reads a recording by topic.
func readRecords(folder string) (map[string][]record, error) {
	text, err := readFile(filepath.Join(folder, "records.jsonl"))
	if err != nil {
		return nil, err
	}
	topics := make(map[string][]record)
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("read record: %w", err)
		}
		// The headers on every record are the connector's name and the like; a key change's are the table's.
		r.Headers = slices.DeleteFunc(r.Headers, func(h [2]string) bool {
			return h[0] != "__debezium.newkey" && h[0] != "__debezium.oldkey"
		})
		topics[r.Topic] = append(topics[r.Topic], r)
	}
	return topics, lines.Err()
}

// withDatabase puts another database into a URL.
func withDatabase(url, database string) string {
	address, query, _ := strings.Cut(url, "?")
	return address[:strings.LastIndexByte(address, '/')+1] + database + "?" + query
}

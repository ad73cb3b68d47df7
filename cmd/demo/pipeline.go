package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
	"github.com/tributary-cdc/tributary/deploy/local/pagila"
)

// pipeline is the program under demonstration, as a child process.
type pipeline struct {
	binary string
	dir    string // configuration and log
	listen string
	child  *local.Process // nil before the start, and once it has ended
}

// newPipeline writes the configuration: as a person would, but for the ports.
func newPipeline(binary, dir string, db *database, brokers, registry string) (*pipeline, error) {
	p := &pipeline{binary: binary, dir: dir}
	address, password, err := db.address()
	if err != nil {
		return nil, err
	}
	port, err := local.FreePort()
	if err != nil {
		return nil, err
	}
	p.listen = fmt.Sprintf("127.0.0.1:%d", port)
	// The password goes into a file of its own, as anybody's should.
	secret, passwordFrom := filepath.Join(dir, "password"), ""
	if password != "" {
		passwordFrom = "\n  password_from: " + quoted("file:"+secret)
		if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
			return nil, err
		}
	}
	names := make([]string, len(pagila.Tables))
	for i, t := range pagila.Tables {
		names[i] = db.schema + "." + t.Name
	}
	config := fmt.Sprintf(`source:
  url: %s%s
  tables: [%s]
  publication: %s
  slot: %s
kafka: {brokers: [%s]}
schema_registry: {url: %s}
topic: {prefix: %s, partitions: 3, replication_factor: 1}
delivery: exactly-once
replay: {keep: 0} # no second slot in a database that is yours
snapshot: {mode: initial, workers: 2}
http: {listen: %s}
`, quoted(address), passwordFrom, strings.Join(names, ", "), ownName, ownName,
		quoted(brokers), quoted(registry), topicPrefix, quoted(p.listen))
	return p, os.WriteFile(p.config(), []byte(config), 0o600)
}

// quoted writes a YAML string; JSON's are.
func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic("demo: a string has no JSON form")
	}
	return string(b)
}

// config and logFile are in the directory that the demo removes at its end.
func (p *pipeline) config() string  { return filepath.Join(p.dir, "tributary.yaml") }
func (p *pipeline) logFile() string { return filepath.Join(p.dir, "tributary.log") }

// start starts the program.
func (p *pipeline) start() error {
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.child, err = local.StartProcess(exec.Command(p.binary, "run", "--config", p.config()), log)
	return err
}

// failed returns an error with the end of the log when the program has ended by itself.
func (p *pipeline) failed() error {
	err := p.child.Ended()
	if err == nil {
		return nil
	}
	p.child = nil
	return fmt.Errorf("the pipeline ended by itself: %w; its log ends:\n%s", err, p.log())
}

// log returns the end of the program's log.
func (p *pipeline) log() string { return local.Tail(p.logFile()) }

// kill ends the program as a crash would: it can do nothing about it.
func (p *pipeline) kill() error {
	err := p.child.Kill()
	p.child = nil
	if err != nil {
		return fmt.Errorf("kill the pipeline: %w", err)
	}
	return nil
}

// stop asks the program to finish, and kills it when it does not within 20 s. It is an error if it does not
// end well.
func (p *pipeline) stop() error {
	if p == nil || p.child == nil {
		return nil
	}
	err := p.child.Stop(20 * time.Second)
	p.child = nil
	if err != nil {
		return fmt.Errorf("stop the pipeline: %w; its log ends:\n%s", err, p.log())
	}
	return nil
}

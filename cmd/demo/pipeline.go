package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// pipeline is the program under demonstration, as a child process.
type pipeline struct {
	binary string
	dir    string // configuration and log
	listen string
	cmd    *exec.Cmd
	exited chan error // gets the result of the process, once for each start
}

// newPipeline writes the configuration: as a person would, but for the ports.
func newPipeline(binary, dir string, db *database, brokers, registry string) (*pipeline, error) {
	p := &pipeline{binary: binary, dir: dir}
	address, password, err := db.address()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.listen = listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	// The password goes into a file of its own, as anybody's should.
	secret, passwordFrom := filepath.Join(dir, "password"), ""
	if password != "" {
		passwordFrom = "\n  password_from: " + quoted("file:"+secret)
		if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
			return nil, err
		}
	}
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = db.schema + "." + t.name
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

// start starts the program. It has a process group of its own, so that Ctrl-C reaches the demo alone, which
// stops it.
func (p *pipeline) start() error {
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(p.binary, "run", "--config", p.config())
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.binary, err)
	}
	p.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(p.cmd, p.exited)
	return nil
}

// failed returns an error with the end of the log when the program has ended by itself.
func (p *pipeline) failed() error {
	select {
	case err := <-p.exited:
		p.cmd = nil
		return fmt.Errorf("the pipeline ended by itself: %w; its log ends:\n%s", ended(err), p.log())
	default:
		return nil
	}
}

// ended tells an exit status of 0 as well.
func ended(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// log returns the end of the program's log.
func (p *pipeline) log() string {
	text, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// kill ends the program as a crash would: it can do nothing about it.
func (p *pipeline) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill the pipeline: %w", err)
	}
	err := <-p.exited
	p.cmd = nil
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return nil
	}
	return fmt.Errorf("kill the pipeline: it had ended before: %w", ended(err))
}

// stop asks the program to finish, and kills it when it does not within 20 s. It is an error if it does not
// end well.
func (p *pipeline) stop() error {
	if p == nil || p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the pipeline: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	select {
	case err := <-p.exited:
		p.cmd = nil
		if err != nil {
			return fmt.Errorf("stop the pipeline: %w; its log ends:\n%s", err, p.log())
		}
		return nil
	case <-ctx.Done():
		late := fmt.Errorf("stop the pipeline: still running after 20 s; its log ends:\n%s", p.log())
		return errors.Join(late, p.kill())
	}
}

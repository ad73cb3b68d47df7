package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// fleet is the instances of one pipeline: one, or two of which one stands by. Safe for concurrent use.
type fleet struct {
	binary, dir string
	members     []*member

	mu   sync.Mutex // guards what follows and the members
	peak int        // greatest resident memory seen, in KiB
	died []string   // ends that nobody asked for
}

// member is one instance.
type member struct {
	config, log string
	cmd         *exec.Cmd
	exited      chan struct{}
	asked       bool // its end is wanted
}

// newFleet writes a configuration for each instance.
func newFleet(binary, dir string, size int, config string) (*fleet, error) {
	f := &fleet{binary: binary, dir: dir}
	for i := range size {
		port, err := local.FreePort()
		if err != nil {
			return nil, err
		}
		address := fmt.Sprintf("127.0.0.1:%d", port)
		m := &member{
			config: filepath.Join(dir, fmt.Sprintf("tributary-%d.yaml", i)),
			log:    filepath.Join(dir, fmt.Sprintf("tributary-%d.log", i)),
		}
		text := config + "http: {listen: \"" + address + "\"}\n"
		if err := os.WriteFile(m.config, []byte(text), 0o600); err != nil {
			return nil, err
		}
		f.members = append(f.members, m)
	}
	return f, nil
}

// start starts an instance unless it runs.
func (f *fleet) start(i int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[i]
	if m.cmd != nil {
		return nil
	}
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(f.binary, "run", "--config", m.config)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches us alone
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", f.binary, err)
	}
	m.cmd, m.exited, m.asked = cmd, make(chan struct{}), false
	go f.await(m, cmd, m.exited)
	return nil
}

// await takes note of an instance's end.
func (f *fleet) await(m *member, cmd *exec.Cmd, exited chan struct{}) {
	err := cmd.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !m.asked {
		f.died = append(f.died, fmt.Sprintf("an instance ended by itself: %v; its log ends:\n%s", err, tail(m.log)))
	}
	m.cmd = nil
	close(exited)
}

// signal sends a signal; ends says whether that is to end the instance, which is then waited for.
func (f *fleet) signal(ctx context.Context, i int, s syscall.Signal, ends bool) error {
	f.mu.Lock()
	m := f.members[i]
	cmd, exited := m.cmd, m.exited
	if cmd == nil {
		f.mu.Unlock()
		return nil
	}
	m.asked = m.asked || ends
	f.peak = max(f.peak, peakOf(cmd.Process.Pid))
	err := cmd.Process.Signal(s)
	f.mu.Unlock()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	if err != nil || !ends {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	select {
	case <-exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("an instance did not end within 30 s of %s; its log ends:\n%s", s, tail(m.log))
	}
}

// kill ends all instances at once.
func (f *fleet) kill(ctx context.Context) {
	for i := range f.members {
		_ = f.signal(ctx, i, syscall.SIGKILL, true) // ends with us in any case
	}
}

// check samples the memory and returns what ended by itself since the last call.
func (f *fleet) check() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		if m.cmd != nil {
			f.peak = max(f.peak, peakOf(m.cmd.Process.Pid))
		}
	}
	died := f.died
	f.died = nil
	return died
}

// says waits until an instance has logged a text more often than before.
func (f *fleet) says(ctx context.Context, text string, before int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for f.said(text) <= before {
		if ctx.Err() != nil {
			return errNotNow
		}
		pause(ctx, 5*time.Millisecond)
	}
	return nil
}

// said counts how often the instances have logged a text.
func (f *fleet) said(text string) (n int) {
	for _, m := range f.members {
		log, err := os.ReadFile(m.log)
		if err == nil { // it is not there before the first start
			n += strings.Count(string(log), text)
		}
	}
	return n
}

// peakOf reads the greatest resident memory of a process in KiB, 0 when it cannot be read.
func peakOf(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			return kib
		}
	}
	return 0
}

// tail returns the end of a file.
func tail(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

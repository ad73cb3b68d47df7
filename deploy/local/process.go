package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Process is a child that this process watches, and stops before it ends itself. Its methods are for one
// goroutine.
type Process struct {
	cmd    *exec.Cmd
	exited chan error // gets the result of the process, once
}

// StartProcess starts a command whose output goes to log, which the caller may close then. It has a process
// group of its own, so that Ctrl-C reaches this process alone, which stops it.
func StartProcess(cmd *exec.Cmd, log io.Writer) (*Process, error) {
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &Process{cmd: cmd, exited: make(chan error, 1)}
	go func() { p.exited <- cmd.Wait() }()
	return p, nil
}

// Ended returns how the process ended, an exit status of 0 as an error too, or nil while it runs. It tells
// the end once.
func (p *Process) Ended() error {
	select {
	case err := <-p.exited:
		return ended(err)
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

// Kill ends the process with SIGKILL, and returns once it is gone. It is an error if it had ended before.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	err := <-p.exited
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return nil
	}
	return fmt.Errorf("it had ended before: %w", ended(err))
}

// Stop asks the process to finish, and kills it when it has not done so within limit. Any end but exit
// status 0 is an error.
func (p *Process) Stop(limit time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case err := <-p.exited:
		return err
	case <-late.C:
		return errors.Join(fmt.Errorf("still running after %s", limit), p.Kill())
	}
}

// Tail returns the last 15 lines of a log, or why it cannot be read.
func Tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cost is what a turn took of the machine. What is negative is unknown.
type cost struct {
	client, server, broker float64 // CPU seconds
	others                 float64 // cores that neither of these took, on average
	rss                    float64 // MiB, the client's peak
}

// ticksPerSecond is USER_HZ, in which /proc counts: 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// cpuOf returns the CPU seconds of a process, -1 when they are unknown.
func cpuOf(pid int) float64 {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return -1
	}
	// The name, in brackets, may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return -1
	}
	user, userErr := strconv.ParseFloat(fields[11], 64)
	system, systemErr := strconv.ParseFloat(fields[12], 64)
	if userErr != nil || systemErr != nil {
		return -1
	}
	return (user + system) / ticksPerSecond
}

// busy returns the CPU seconds that the whole machine has spent, -1 when they are unknown.
func busy() float64 {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return -1
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	sum := 0.0
	for i, field := range strings.Fields(line) {
		// user nice system idle iowait irq softirq; what follows is counted in these or not ours.
		if n, err := strconv.ParseFloat(field, 64); err == nil && (i <= 3 || i == 6 || i == 7) {
			sum += n
		}
	}
	return sum / ticksPerSecond
}

// listener returns the process that listens on an address of this machine, 0 when it is unknown.
func listener(address string) int {
	_, port, err := net.SplitHostPort(strings.Split(address, ",")[0])
	if err != nil {
		return 0
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	sockets := make(map[string]bool)
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
			f := strings.Fields(lines.Text())
			const listening = "0A"
			if len(f) > 9 && f[3] == listening && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) {
				sockets["socket:["+f[9]+"]"] = true
			}
		}
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && sockets[target] {
			pid, err := strconv.Atoi(strings.Split(link, "/")[2])
			if err != nil {
				return 0
			}
			return pid
		}
	}
	return 0
}

// meter watches servers while a client runs.
type meter struct {
	began           time.Time
	machine, broker float64
	brokerPID       int
	backends        map[int]float64 // CPU seconds of each process that served the client, as last seen
	client, served  float64         // what the client and those had taken before what counts
}

func newMeter(brokerPID int) *meter {
	return &meter{
		began: time.Now(), machine: busy(), broker: cpuOf(brokerPID), brokerPID: brokerPID,
		backends: make(map[int]float64),
	}
}

// look notes what backends have taken so far: they may be gone at the end.
func (m *meter) look(pids []int) {
	for _, pid := range pids {
		m.backends[pid] = max(m.backends[pid], cpuOf(pid))
	}
}

// restart has the meter count from now on. client is the client's process.
func (m *meter) restart(client int) {
	m.began, m.machine, m.broker = time.Now(), busy(), cpuOf(m.brokerPID)
	m.client, m.served = max(cpuOf(client), 0), m.sum()
}

// sum is what the backends have taken.
func (m *meter) sum() (seconds float64) {
	for _, s := range m.backends {
		seconds += s
	}
	return seconds
}

// cost returns what the turn of a client that has ended took.
func (m *meter) cost(client *os.ProcessState) cost {
	c := cost{server: -1, broker: -1, rss: -1, others: -1}
	c.client = (client.UserTime() + client.SystemTime()).Seconds() - m.client
	if usage, ok := client.SysUsage().(*syscall.Rusage); ok && runtime.GOOS == "linux" {
		c.rss = float64(usage.Maxrss) / 1024
	}
	if len(m.backends) > 0 {
		c.server = m.sum() - m.served
	}
	if end := cpuOf(m.brokerPID); end >= 0 && m.broker >= 0 {
		c.broker = end - m.broker
	}
	if end := busy(); end >= 0 && m.machine >= 0 {
		mine := c.client + max(c.server, 0) + max(c.broker, 0)
		c.others = max(end-m.machine-mine, 0) / time.Since(m.began).Seconds()
	}
	return c
}

// child is a process of the measured program.
type child struct {
	cmd *exec.Cmd
	log string
}

// start starts the pipeline of a configuration.
func start(binary, config string) (*child, error) {
	log, err := os.Create(config + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &child{cmd: exec.Command(binary, "run", "--config", config), log: log.Name()}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	return c, nil
}

// alive says that the process runs, or with which words it ended.
func (c *child) alive() error {
	if err := c.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		return c.failed(err)
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(c.cmd.Process.Pid, &status, syscall.WNOHANG, nil); err == nil && pid > 0 {
		return c.failed(fmt.Errorf("exit status %d", status.ExitStatus()))
	}
	return nil
}

// failed adds the end of the log.
func (c *child) failed(err error) error {
	text, readErr := os.ReadFile(c.log)
	if readErr != nil {
		return err
	}
	return fmt.Errorf("the pipeline ended: %w; its log ends:\n%s", err, text[max(len(text)-2000, 0):])
}

// kill ends the process if it runs still.
func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		// Both fail for a process that has ended just now, which is what they are for.
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// stop ends the process in order.
func (c *child) stop() (*os.ProcessState, error) {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, c.failed(err)
	}
	if err := c.cmd.Wait(); err != nil {
		return nil, c.failed(err)
	}
	return c.cmd.ProcessState, nil
}

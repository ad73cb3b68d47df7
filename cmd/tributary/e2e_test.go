package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The end-to-end tests drive the whole program against servers: a pipeline's life runs in this process, or as
// a child that can be killed.

// childVariable makes this binary the program itself.
const childVariable = "TRIBUTARY_TEST_CHILD"

// e2ePatience bounds each wait. Nothing takes that long but on a machine that does much else.
const e2ePatience = 90 * time.Second

// TestMain is the program instead of its tests where a test asks for a child.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if at := os.Getenv(failpointVariable); at != "" {
			os.Exit(doomed(at))
		}
		main()
	}
	os.Exit(m.Run())
}

// rig is one pipeline under test: its servers and its configuration.
type rig struct {
	source, brokers, registry string
	prefix                    string // of the topics; it names pipeline, slot and publication too
	tables                    string // as YAML
	file                      string // the configuration
}

// newRig writes the configuration of a pipeline with a name of its own. more is YAML that follows.
func newRig(t testing.TB, source, brokers, registry, tables, more string) *rig {
	t.Helper()
	r := &rig{
		source: source, brokers: brokers, registry: registry, tables: tables,
		prefix: "e2e_" + strings.ToLower(rand.Text()[:10]),
	}
	r.file = filepath.Join(t.TempDir(), r.prefix+".yaml")
	r.write(t, more)
	return r
}

// write writes the configuration. A block that more has replaces the one that would be there.
func (r *rig) write(t testing.TB, more string) {
	t.Helper()
	text := fmt.Sprintf("source: {url: %q, tables: %s, slot: %s, publication: %s}\n", r.source, r.tables,
		r.prefix, r.prefix) +
		fmt.Sprintf("kafka: {brokers: [%q], compression: %s, position_topic: %s.positions, "+
			"ledger_topic: %s.ledger}\n", r.brokers, testCompression, r.prefix, r.prefix) +
		fmt.Sprintf("schema_registry: {url: %q}\n", r.registry) +
		fmt.Sprintf("topic: {prefix: %s, partitions: 3, replication_factor: 1}\n", r.prefix) +
		"http: {listen: '127.0.0.1:0'}\n"
	for _, line := range strings.Split(strings.TrimSpace(more), "\n") {
		block, _, _ := strings.Cut(line, ":")
		kept := ""
		for _, old := range strings.SplitAfter(text, "\n") {
			if !strings.HasPrefix(old, block+":") || block == "" {
				kept += old
			}
		}
		text = kept + strings.ReplaceAll(line, "PREFIX", r.prefix) + "\n"
	}
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// life is one run of the program.
type life struct {
	log     *lockedBuffer
	signals chan os.Signal // to the program in this process
	child   *exec.Cmd      // nil in this process
	ended   chan struct{}  // closed when code is there
	code    int
}

// lockedBuffer is written by the program while the test reads.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(text)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// tail is the end of the log.
func (l *lockedBuffer) tail() string {
	text := l.String()
	return text[max(0, len(text)-3000):]
}

// run starts the program in this process. It is cancelled at the end of the test, should it still run.
func (r *rig) run(t testing.TB, args ...string) *life {
	l := &life{log: &lockedBuffer{}, signals: make(chan os.Signal, 2), ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{stdout: l.log, stderr: l.log, signals: l.signals, run: run}
	go func() {
		defer close(l.ended)
		l.code = p.execute(ctx, append([]string{"run", "-c", r.file}, args...))
	}()
	t.Cleanup(func() {
		cancel()
		<-l.ended
	})
	return l
}

// start starts the program as a child.
func (r *rig) start(t testing.TB, args ...string) *life {
	t.Helper()
	l := &life{log: &lockedBuffer{}, ended: make(chan struct{})}
	l.child = exec.Command(os.Args[0], append([]string{"run", "-c", r.file}, args...)...)
	l.child.Env = append(os.Environ(), childVariable+"=1")
	l.child.Stdout, l.child.Stderr = l.log, l.log
	if err := l.child.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(l.ended)
		_ = l.child.Wait() // its state says it
		l.code = l.child.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = l.child.Process.Kill() // it may have ended
		<-l.ended
	})
	return l
}

// kill ends a child as a crash would.
func (l *life) kill(t testing.TB) {
	t.Helper()
	select {
	case <-l.ended:
		t.Fatalf("ended by itself with %d before it was killed:\n%s", l.code, l.log.tail())
	default:
	}
	if err := l.child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-l.ended
	if text := l.log.String(); strings.Contains(text, "DATA RACE") {
		t.Errorf("the child raced:\n%s", text)
	}
}

// stop asks the program to end, which it must do in order.
func (l *life) stop(t testing.TB) {
	t.Helper()
	if l.child == nil {
		l.signals <- syscall.SIGTERM
	} else if err := l.child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := l.wait(t); code != exitOK {
		t.Fatalf("after SIGTERM: exit code %d:\n%s", code, l.log.tail())
	}
}

// wait waits for the end and returns the exit code.
func (l *life) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-l.ended:
		return l.code
	case <-time.After(e2ePatience):
		t.Fatalf("still running after %s:\n%s", e2ePatience, l.log.tail())
		return 0
	}
}

// eventually asks until f has nothing to say. The program must not end meanwhile.
func (l *life) eventually(t testing.TB, f func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(e2ePatience)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-l.ended:
			t.Fatalf("ended with exit code %d while waiting: %v:\n%s", l.code, err, l.log.tail())
		case <-deadline:
			t.Fatalf("after %s: %v:\n%s", e2ePatience, err, l.log.tail())
		}
	}
}

// status asks the program how it is.
func (l *life) status() (s status, err error) {
	_, rest, found := strings.Cut(l.log.String(), `"address":"`)
	if !found {
		return s, fmt.Errorf("the log does not tell the address of the status")
	}
	address, _, _ := strings.Cut(rest, `"`)
	response, err := http.Get(address + "/api/v1/status")
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	return s, json.NewDecoder(response.Body).Decode(&s)
}

// reach waits for a state, and returns the status that has it.
func (l *life) reach(t testing.TB, state string) (s status) {
	t.Helper()
	l.eventually(t, func() (err error) {
		if s, err = l.status(); err == nil && s.State != state {
			err = fmt.Errorf("state %s (%s), want %s", s.State, s.Detail, state)
		}
		return err
	})
	return s
}

// source is a connection to a database.
type sourceConn struct {
	t    testing.TB
	conn *pgconn.PgConn
}

// dial connects to a database until the end of the test.
func dial(t testing.TB, address string) *sourceConn {
	t.Helper()
	conn, err := pgconn.Connect(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &sourceConn{t, conn}
}

// exec runs statements, which must succeed.
func (s *sourceConn) exec(sql string) {
	s.t.Helper()
	if _, err := s.conn.Exec(context.Background(), sql).ReadAll(); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// rows returns a query's result as text; NULL is "".
func (s *sourceConn) rows(sql string) [][]string {
	s.t.Helper()
	results, err := s.conn.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	var rows [][]string
	for _, values := range results[len(results)-1].Rows {
		row := make([]string, len(values))
		for i, value := range values {
			row[i] = string(value)
		}
		rows = append(rows, row)
	}
	return rows
}

// value returns the one value of a query.
func (s *sourceConn) value(sql string) string {
	s.t.Helper()
	rows := s.rows(sql)
	if len(rows) != 1 || len(rows[0]) != 1 {
		s.t.Fatalf("%s: %d rows, want one value", sql, len(rows))
	}
	return rows[0][0]
}

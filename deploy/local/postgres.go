package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options says how Start starts a server; the zero value is a server for logical replication.
type Options struct {
	// Parameters are server settings, such as wal_level, that replace or add to the defaults of this package.
	Parameters map[string]string
	// StartTimeout limits each of the attempts to start; 0 means 60 s.
	StartTimeout time.Duration
	// Bin is the directory of another server's programs, initdb and pg_ctl among them; empty means the one
	// from Maven Central.
	Bin string
}

// Server is a Postgres server that belongs to this process.
type Server struct {
	url     string
	dir     string
	bin     string
	attr    *syscall.SysProcAttr
	watcher *exec.Cmd
	// hold is the write end of the pipe that the watcher reads: closing it stops the server.
	hold io.Closer
}

// script starts a server, of the data that are there or of new ones, and waits: for the end of its input,
// which comes when Stop closes the pipe or when the process that holds its other end is gone, killed ones
// included. Then it stops the server at once and removes the directory. "ready" on its output says that the
// server answers.
const script = `
bin=$1
dir=$2
cd "$dir" || exit 1
{ [ -d data ] ||
	"$bin/initdb" -D data -U postgres -E UTF8 --locale=C --no-sync -A scram-sha-256 --pwfile=password \
		>log 2>&1; } &&
	cat parameters >>data/postgresql.conf &&
	"$bin/pg_ctl" -D data -l log -w -t 60 start >>log 2>&1 </dev/null &&
	echo ready || echo failed
cat >/dev/null
"$bin/pg_ctl" -D data -m immediate -w -t 10 stop >>log 2>&1
cd / && rm -rf "$dir"
`

// password is the superuser's. The server holds test data only and listens on 127.0.0.1; a password is
// asked for so that tests can give a wrong one.
const password = "postgres"

// Start starts a Postgres server and returns when it answers. It ends with Stop or with this process.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin := o.Bin
	if bin == "" {
		found, err := binaries()
		if err != nil {
			return nil, err
		}
		bin = filepath.Join(found, "bin")
	}
	// Another process may take the free port before the server does.
	var errs []error
	for range 3 {
		server, err := start(ctx, bin, o, func(string, *syscall.SysProcAttr) error { return nil })
		if err == nil {
			return server, nil
		}
		errs = append(errs, err)
		if !strings.Contains(err.Error(), "could not bind") {
			break
		}
	}
	return nil, fmt.Errorf("start Postgres of %s: %w", bin, errors.Join(errs...))
}

// start makes one attempt. prepare may put the data of another server into the directory.
func start(ctx context.Context, bin string, o Options,
	prepare func(dir string, attr *syscall.SysProcAttr) error,
) (*Server, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tributary-postgres-")
	if err != nil {
		return nil, err
	}
	attr, err := serverUser(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	files := map[string]string{"password": password, "parameters": parameters(port, o.Parameters)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	if err := prepare(dir, attr); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	watcher := exec.Command("/bin/sh", "-c", script, "sh", bin, dir)
	watcher.Dir, watcher.SysProcAttr = "/", attr
	// Nothing of the environment: PG... variables would change the programs, and HOME may be closed to them.
	watcher.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	hold, err := watcher.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	out, err := watcher.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, hold.Close(), os.RemoveAll(dir))
	}
	if err := watcher.Start(); err != nil {
		return nil, errors.Join(err, hold.Close(), os.RemoveAll(dir))
	}
	s := &Server{
		url:     fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/postgres?sslmode=disable", password, port),
		dir:     dir,
		bin:     bin,
		attr:    attr,
		watcher: watcher,
		hold:    hold,
	}
	if err := s.ready(ctx, out, o.StartTimeout); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// ready waits for the watcher's word.
func (s *Server) ready(ctx context.Context, out io.ReadCloser, limit time.Duration) error {
	if limit == 0 {
		limit = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// Closing the pipe wakes the read below. The watcher writes nothing more, so closing it later harms
	// nobody.
	stop := context.AfterFunc(ctx, func() { out.Close() })
	defer stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if line == "ready\n" {
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer: %w", ctx.Err())
	} else if err == nil {
		err = errors.New("it did not start")
	}
	return fmt.Errorf("%w; its log ends:\n%s", err, s.log())
}

// log returns the end of the server's log.
func (s *Server) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return "not readable: " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// URL returns the address of the server's database "postgres", with the superuser and its password.
func (s *Server) URL() string { return s.url }

// Dir returns the server's directory: data/ with the database cluster, and the log. It is gone after Stop.
func (s *Server) Dir() string { return s.dir }

// Control runs pg_ctl on the server, such as "restart", "-m", "immediate", and waits until it is done.
func (s *Server) Control(ctx context.Context, args ...string) error {
	args = append([]string{"-D", "data", "-l", "log", "-w", "-t", "60"}, args...)
	command := exec.CommandContext(ctx, filepath.Join(s.bin, "pg_ctl"), args...)
	command.Dir, command.SysProcAttr = s.dir, s.attr
	command.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	if err := command.Run(); err != nil {
		return fmt.Errorf("pg_ctl %s: %w; the server's log ends:\n%s", strings.Join(args, " "), err, s.log())
	}
	return nil
}

// Stop stops the server at once, without a checkpoint, and removes its data.
func (s *Server) Stop() error {
	if err := s.hold.Close(); err != nil {
		return fmt.Errorf("stop Postgres: %w", err)
	}
	if err := s.watcher.Wait(); err != nil {
		return fmt.Errorf("stop Postgres: %w", err)
	}
	return nil
}

// parameters returns the lines for postgresql.conf. Durability is off: the data dies with the server anyway.
func parameters(port int, more map[string]string) string {
	all := map[string]string{
		"port": strconv.Itoa(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
		"wal_level": "logical", "max_wal_senders": "40", "max_replication_slots": "40",
		"max_connections": "200", "shared_buffers": "64MB", "max_wal_size": "1GB", "timezone": "UTC",
		"log_timezone": "UTC", "track_commit_timestamp": "on",
		"fsync": "off", "full_page_writes": "off", "autovacuum_naptime": "5min",
	}
	maps.Copy(all, more)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(all[name], "'", "''"))
	}
	return b.String()
}

// serverUser returns how to start the server's processes, and gives them dir. They get a session of their
// own, so that Ctrl-C in a terminal reaches us and not them.
func serverUser(dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Getuid() != 0 {
		return attr, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("find a user for Postgres, which refuses to run as root: %w", err)
	}
	uid, errUID := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(nobody.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		return nil, fmt.Errorf("read the ids of user nobody: %w", err)
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, os.Chown(dir, int(uid), int(gid))
}

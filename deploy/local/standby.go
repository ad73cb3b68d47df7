package local

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// StandbySlot is the physical slot that a standby reads its primary by. A primary whose
// synchronized_standby_slots names it sends nothing to failover slots that the standby does not have.
const StandbySlot = "standby"

// Standby starts a hot standby of the server, from Postgres 17 on. It has the slots with failover, and
// becomes a primary by Control "promote". It ends with its own Stop, or with this process.
func (s *Server) Standby(ctx context.Context, o Options) (*Server, error) {
	conn, err := pgconn.Connect(ctx, s.url)
	if err != nil {
		return nil, fmt.Errorf("start a standby: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // the backup ends with it in any case
	begin := "SELECT pg_create_physical_replication_slot('" + StandbySlot + "', true) " +
		"WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '" + StandbySlot + "');" +
		"SELECT pg_backup_start('standby', true)"
	if err := conn.Exec(ctx, begin).Close(); err != nil {
		return nil, fmt.Errorf("start a standby: begin its backup: %w", err)
	}
	primary, err := url.Parse(s.url)
	if err != nil {
		return nil, fmt.Errorf("start a standby: %w", err)
	}
	settings := Options{StartTimeout: o.StartTimeout, Parameters: map[string]string{
		"primary_conninfo": fmt.Sprintf("host=127.0.0.1 port=%s user=postgres password=%s dbname=postgres",
			primary.Port(), password),
		"primary_slot_name": StandbySlot, "hot_standby_feedback": "on", "sync_replication_slots": "on",
		"wal_receiver_status_interval": "1s", "wal_retrieve_retry_interval": "200ms",
	}}
	for name, value := range o.Parameters {
		settings.Parameters[name] = value
	}
	standby, err := start(ctx, s.bin, settings, func(dir string, attr *syscall.SysProcAttr) error {
		return s.backUp(ctx, conn, dir, attr)
	})
	if err != nil {
		return nil, fmt.Errorf("start a standby of %s: %w", s.bin, err)
	}
	return standby, nil
}

// backUp copies the data of the running server, as its manual's chapter on low-level backups has it: what
// changes meanwhile the log makes good.
func (s *Server) backUp(ctx context.Context, conn *pgconn.PgConn, dir string,
	attr *syscall.SysProcAttr,
) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	// Files vanish while they are copied, which cp tells by its exit status; what counts is looked for after.
	copying := exec.CommandContext(ctx, "/bin/sh", "-c", `cp -a "$1/data" data 2>/dev/null
rm -rf data/postmaster.pid data/postmaster.opts data/pg_replslot/* data/pg_stat_tmp/*
[ -s data/PG_VERSION ] && [ -s data/global/pg_control ]`, "sh", s.dir)
	copying.Dir, copying.SysProcAttr = dir, attr
	if err := copying.Run(); err != nil {
		return fmt.Errorf("copy %s: %w", s.dir, err)
	}
	rows, err := conn.Exec(ctx, "SELECT labelfile FROM pg_backup_stop(false)").ReadAll()
	if err != nil {
		return fmt.Errorf("end the backup: %w", err)
	}
	if len(rows) != 1 || len(rows[0].Rows) != 1 {
		return errors.New("end the backup: the server gives no label")
	}
	for name, text := range map[string][]byte{"backup_label": rows[0].Rows[0][0], "standby.signal": nil} {
		path := filepath.Join(dir, "data", name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
		if attr.Credential == nil {
			continue
		}
		if err := os.Chown(path, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/deploy/local/pagila"
)

// The names that the demo takes on a server: schema (on an embedded server: public), slot and publication.
const (
	ownName     = "tributary_demo"
	topicPrefix = "pagila"
)

// database is the demo's place on a Postgres server.
type database struct {
	conn   *pgconn.PgConn
	url    string
	schema string
	// foreign says that the server is the user's: what the demo made there is removed at the end.
	foreign bool
}

// openDatabase connects, and checks that the server can serve and that nothing of the names is taken.
func openDatabase(ctx context.Context, address string, foreign bool) (*database, error) {
	conn, err := pgconn.Connect(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("connect to the source: %w", err)
	}
	d := &database{conn: conn, url: address, schema: "public", foreign: foreign}
	if foreign {
		d.schema = ownName
	}
	if err := d.check(ctx); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return d, nil
}

// check refuses a server that cannot serve, and names that an earlier, killed demo or somebody else has
// taken.
func (d *database) check(ctx context.Context) error {
	if err := d.exec(ctx, "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'"); err != nil {
		return err
	}
	level, err := d.one(ctx, "SHOW wal_level")
	if err != nil {
		return err
	}
	if level != "logical" {
		return fmt.Errorf("the source has wal_level=%s: set wal_level = logical and restart it", level)
	}
	if !d.foreign {
		return nil
	}
	for _, thing := range d.leftovers() {
		found, err := d.one(ctx,
			"SELECT count(*) FROM "+thing.catalog+" WHERE "+thing.column+" = '"+ownName+"'")
		if err != nil {
			return err
		}
		if found != "0" {
			return fmt.Errorf("the source already has a %s %s, which a killed demo may have left; "+
				"remove it with: %s", thing.name, ownName, thing.remove)
		}
	}
	return nil
}

// leftover is a kind of thing that the demo makes on a server of the user's.
type leftover struct {
	name, catalog, column, remove string
}

// leftovers lists the things in the order in which they are removed. The slot goes first: it retains WAL.
func (d *database) leftovers() []leftover {
	return []leftover{
		{
			"slot", "pg_replication_slots", "slot_name",
			"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots " +
				"WHERE slot_name = '" + ownName + "'",
		},
		{"publication", "pg_publication", "pubname", "DROP PUBLICATION IF EXISTS " + ownName},
		{"schema", "pg_namespace", "nspname", "DROP SCHEMA IF EXISTS " + ownName + " CASCADE"},
	}
}

// fill makes the tables and their rows.
func (d *database) fill(ctx context.Context) error { return pagila.Fill(ctx, d.conn, d.schema) }

// close removes what the demo made on a server of the user's, and disconnects. It does all it can whatever
// fails.
func (d *database) close(ctx context.Context) error {
	var errs []error
	if d.foreign {
		// The connection may have been cut by the same Ctrl-C that ended the demo.
		if d.conn.IsClosed() {
			conn, err := pgconn.Connect(ctx, d.url)
			if err != nil {
				return fmt.Errorf("connect to remove schema, slot and publication %s: %w", ownName, err)
			}
			d.conn = conn
		}
		for _, thing := range d.leftovers() {
			if err := d.remove(ctx, thing); err != nil {
				errs = append(errs, fmt.Errorf("remove %s %s: %w", thing.name, ownName, err))
			}
		}
	}
	return errors.Join(append(errs, d.conn.Close(ctx))...)
}

// remove removes one thing. A walsender whose client was killed holds its slot until it notices.
func (d *database) remove(ctx context.Context, thing leftover) error {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		err := d.exec(ctx, thing.remove)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "55006" { // object_in_use
			return err
		}
		if err := d.exec(ctx, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "+
			"WHERE slot_name = '"+ownName+"' AND active_pid IS NOT NULL"); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}

// exec runs statements and forgets their results.
func (d *database) exec(ctx context.Context, sql string) error {
	if err := d.conn.Exec(ctx, sql).Close(); err != nil {
		return fmt.Errorf("%s: %w", clip(strings.Join(strings.Fields(sql), " "), 60), err)
	}
	return nil
}

// one returns the only value of a query, NULL as the empty text.
func (d *database) one(ctx context.Context, sql string) (string, error) {
	results, err := d.conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", fmt.Errorf("%s: %w", clip(sql, 60), err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return "", fmt.Errorf("%s: want one row", clip(sql, 60))
	}
	return string(results[0].Rows[0][0]), nil
}

// rows returns a table as the records should have it: row by key.
func (d *database) rows(ctx context.Context, t pagila.Table) (map[string]row, error) {
	return pagila.Rows(ctx, d.conn, d.schema, t)
}

// address splits the URL for the pipeline's configuration: the password goes elsewhere.
func (d *database) address() (withoutPassword, password string, err error) {
	u, err := url.Parse(d.url)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return "", "", errors.New("SOURCE: want a URL, postgres://user@host:port/database")
	}
	password, _ = u.User.Password()
	u.User = url.User(u.User.Username())
	return u.String(), password, nil
}

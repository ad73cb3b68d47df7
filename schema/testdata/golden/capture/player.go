package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

// In a row a string is a value's text and null is NULL; these two stand for what was not sent.
const (
	absent    = 1
	unchanged = 0
)

// row is the values of a tuple: string, nil, absent or unchanged.
type row []json.RawMessage

// player plays one scenario and pairs its changes with the recorded records.
type player struct {
	url, slot, prefix string
	config            map[string]string
	reader            *pgx.Conn            // reads shapes, rows and changes under the pinned settings
	writers           map[string]*pgx.Conn // by session
	topics            map[string][]record
	keys              map[string][]string
	relations         map[uint32]*relation
	flags             map[uint32][]bool // which columns old tuples hold
	written           map[*relation]int
	out               bytes.Buffer
	skips             bool // the configuration leaves changes out

	paired, unpaired, skipped int
}

func newPlayer(ctx context.Context, pg, database, folder string) (*player, error) {
	p := &player{
		url: withDatabase(pg, database), slot: database, prefix: filepath.Base(folder),
		writers: make(map[string]*pgx.Conn), relations: make(map[uint32]*relation),
		flags: make(map[uint32][]bool), written: make(map[*relation]int),
	}
	text, err := os.ReadFile(filepath.Join(folder, "config.json"))
	if err == nil {
		err = json.Unmarshal(text, &p.config)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	p.skips = strings.HasPrefix(p.prefix, "skip_")
	p.keys = messageKeys(p.config["message.key.columns"])
	if p.topics, err = readRecords(folder); err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(p.url)
	if err != nil {
		return nil, fmt.Errorf("parse URL: %w", err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	maps.Copy(config.RuntimeParams, map[string]string{
		"datestyle": "ISO", "intervalstyle": "postgres", "timezone": "UTC", "bytea_output": "hex",
		"extra_float_digits": "3", "lc_monetary": "C",
	})
	p.reader, err = pgx.ConnectConfig(ctx, config)
	return p, err
}

func (p *player) close(ctx context.Context) {
	// A slot keeps its database; the error of a play that made none says nothing.
	_, _ = p.reader.Exec(ctx, `SELECT pg_drop_replication_slot('`+p.slot+`')`)
	p.reader.Close(ctx)
	for _, conn := range p.writers {
		conn.Close(ctx)
	}
}

// play runs setup.sql, pairs the snapshot, runs stream.sql and pairs its changes.
func (p *player) play(ctx context.Context, folder string) error {
	p.line("config", p.config)
	schemas, err := readFile(filepath.Join(folder, "schemas.json"))
	if err != nil {
		return err
	}
	p.line("schemas", json.RawMessage(schemas))
	if err := p.run(ctx, filepath.Join(folder, "setup.sql"), nil); err != nil {
		return err
	}
	var exists bool
	err = p.reader.QueryRow(ctx,
		`SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = 'golden')`).Scan(&exists)
	if err == nil && !exists {
		_, err = p.reader.Exec(ctx, `CREATE PUBLICATION golden FOR ALL TABLES`)
	}
	if err == nil {
		_, err = p.reader.Exec(ctx, `SELECT pg_create_logical_replication_slot('`+p.slot+`', 'pgoutput')`)
	}
	if err != nil {
		return fmt.Errorf("create slot: %w", err)
	}
	if err := p.snapshot(ctx); err != nil {
		return err
	}
	if err := p.run(ctx, filepath.Join(folder, "stream.sql"), p.changes); err != nil {
		return err
	}
	// A message outside of a transaction waits for somebody else's flush.
	if _, err := p.reader.Exec(ctx, `CHECKPOINT`); err != nil {
		return err
	}
	if err := p.changes(ctx); err != nil {
		return err
	}
	for _, topic := range slices.Sorted(maps.Keys(p.topics)) {
		for _, r := range p.topics[topic] {
			switch {
			case strings.HasSuffix(topic, ".transaction"):
				p.line("transaction", r)
				p.paired++
			case r.Value != nil:
				p.unpaired++
			}
		}
	}
	return nil
}

// line writes a line of the test case.
func (p *player) line(kind string, value any) {
	fmt.Fprintf(&p.out, "{%q:", kind)
	e := json.NewEncoder(&p.out)
	e.SetEscapeHTML(false) // JSON payloads are to stay as they were recorded
	if err := e.Encode(value); err != nil {
		panic("capture: " + err.Error()) // our own types always have a JSON form
	}
	p.out.Truncate(p.out.Len() - 1)
	p.out.WriteString("}\n")
}

// run runs a script, and after each statement what follows it.
func (p *player) run(ctx context.Context, path string, then func(context.Context) error) error {
	script, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	steps, err := splitScript(string(script))
	if err != nil {
		return fmt.Errorf("split %s: %w", path, err)
	}
	session := ""
	for _, s := range steps {
		word, argument, _ := strings.Cut(s.directive, " ")
		switch {
		case word == "session":
			session = argument
		case word == "sleep":
			<-time.After(100 * time.Millisecond)
		}
		if s.directive != "" {
			continue
		}
		conn := p.writers[session]
		if conn == nil {
			if conn, err = pgx.Connect(ctx, p.url); err != nil {
				return err
			}
			p.writers[session] = conn
		}
		if isCopy(s.sql) {
			_, err = conn.PgConn().CopyFrom(ctx, strings.NewReader(s.copyRows), s.sql)
		} else {
			_, err = conn.PgConn().Exec(ctx, s.sql).ReadAll()
		}
		if err == nil && then != nil {
			err = then(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s line %d: %w", path, s.line, err)
		}
	}
	return nil
}

// snapshot pairs the recorded snapshot's records with the rows of their tables.
func (p *player) snapshot(ctx context.Context) error {
	for _, topic := range slices.Sorted(maps.Keys(p.topics)) {
		records := p.topics[topic]
		var e envelope
		if records[0].Value == nil || json.Unmarshal(records[0].Value.Data, &e) != nil || e.Op != "r" ||
			e.Source.Snapshot == "incremental" {
			continue
		}
		table := pgx.Identifier{e.Source.Schema, e.Source.Table}.Sanitize()
		var oid uint32
		if err := p.reader.QueryRow(ctx, `SELECT '`+table+`'::regclass::oid`).Scan(&oid); err != nil {
			return fmt.Errorf("find %s: %w", table, err)
		}
		r, err := readRelation(ctx, p.reader, oid, nil, p.keys)
		if err != nil {
			return err
		}
		results, err := p.reader.PgConn().Exec(ctx, `SELECT * FROM `+table).ReadAll()
		if err != nil {
			return fmt.Errorf("read %s: %w", table, err)
		}
		for _, values := range results[0].Rows {
			tuple := make(row, len(values))
			for i, v := range values {
				tuple[i] = textOf(v)
			}
			p.pair(topic, change{op: "r", relation: r, after: tuple})
		}
	}
	return nil
}

// textOf returns a value's text as JSON, null for nil.
func textOf(v []byte) json.RawMessage {
	if v == nil {
		return json.RawMessage("null")
	}
	text, err := json.Marshal(string(v))
	if err != nil {
		panic("capture: " + err.Error())
	}
	return text
}

// changes reads what the slot has, and pairs it.
func (p *player) changes(ctx context.Context) error {
	results, err := p.reader.PgConn().Exec(ctx, `SELECT encode(data, 'hex')
		FROM pg_logical_slot_get_binary_changes('`+p.slot+`', NULL, NULL,
		'proto_version', '1', 'publication_names', 'golden', 'messages', 'true')`).ReadAll()
	if err != nil {
		return fmt.Errorf("read changes: %w", err)
	}
	for _, values := range results[0].Rows {
		data := make([]byte, len(values[0])/2)
		if _, err := fmt.Sscanf(string(values[0]), "%x", &data); err != nil {
			return fmt.Errorf("read change: %w", err)
		}
		m, err := pglogrepl.Parse(data)
		if err == nil {
			err = p.message(ctx, m)
		}
		if err != nil {
			return fmt.Errorf("read change: %w", err)
		}
	}
	return nil
}

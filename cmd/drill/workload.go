package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	tableCount  = 50
	writerCount = 4
	// hotKeys is how many keys of each table the writers fight for.
	hotKeys = 60
)

// kind is what a table is there for.
type kind int

// The kinds, by a table's number modulo kinds.
const (
	plain     kind = iota // primary key, default identity
	full                  // replica identity full
	composite             // two key columns, not in column order
	toasted               // large values, stored out of line
	truncated             // emptied now and then; its topic has one partition
	kinds
)

func kindOf(table int) kind { return kind(table) % kinds }

func tableName(table int) string { return fmt.Sprintf("t%02d", table) }

// foundation makes the journal and the triggers. A row's seq is the number of the write that made it: no
// two writes share one, and no two columns that are added to a table: rows are not written again when a
// column is dropped, nor when one of the same name comes back, and the last record would tell of the old
// one. The journal's own number orders the writes of one key as they committed, since the
// trigger that draws it runs while the row is locked.
const foundation = `
CREATE SCHEMA drill;
CREATE SEQUENCE drill.writes;
CREATE SEQUENCE drill.ids START 1000000;
CREATE TABLE drill.journal (n bigserial PRIMARY KEY, tbl text, op text, key text, old text, seq bigint,
	xid bigint, hash text, num int);
CREATE TABLE drill.bulk (id bigint PRIMARY KEY, pad text);
CREATE TABLE drill.ends (last pg_lsn);
CREATE TABLE drill.unpublished (id bigserial PRIMARY KEY, pad text);
CREATE FUNCTION drill.number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.seq := nextval('drill.writes'); RETURN NEW; END $$;
CREATE FUNCTION drill.note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE k text; o text; x bigint := pg_current_xact_id()::text::bigint & 4294967295;
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		INSERT INTO drill.journal (tbl, op, key, xid) VALUES (TG_TABLE_NAME, 't', '', x);
		RETURN NULL;
	END IF;
	IF TG_OP <> 'INSERT' THEN o := concat_ws('/', to_jsonb(OLD) ->> 'part', OLD.id); END IF;
	IF TG_OP = 'DELETE' THEN
		INSERT INTO drill.journal (tbl, op, key, xid) VALUES (TG_TABLE_NAME, 'd', o, x);
		RETURN NULL;
	END IF;
	k := concat_ws('/', to_jsonb(NEW) ->> 'part', NEW.id);
	INSERT INTO drill.journal (tbl, op, key, old, seq, xid, hash, num) VALUES (TG_TABLE_NAME,
		CASE TG_OP WHEN 'INSERT' THEN 'c' ELSE 'u' END, k, nullif(o, k), NEW.seq, x,
		md5(coalesce(NEW.body, '~')), NEW.n);
	RETURN NULL;
END $$;
CREATE FUNCTION drill.shrink(tbl regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE c text := (SELECT attname FROM pg_attribute WHERE attrelid = tbl AND attname LIKE 'x%'
	AND attnum > 0 AND NOT attisdropped ORDER BY attnum LIMIT 1);
BEGIN
	IF c IS NOT NULL THEN EXECUTE format('ALTER TABLE %s DROP COLUMN %I', tbl, c); END IF;
END $$;
CREATE FUNCTION drill.grow(tbl regclass, row_id bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE c text := 'x' || nextval('drill.writes');
BEGIN
	IF (SELECT count(*) > 2 FROM pg_attribute WHERE attrelid = tbl AND attname LIKE 'x%'
		AND attnum > 0 AND NOT attisdropped) THEN PERFORM drill.shrink(tbl); END IF;
	EXECUTE format('ALTER TABLE %s ADD COLUMN %I text', tbl, c);
	EXECUTE format('UPDATE %s SET %I = ''new'' WHERE id = %s', tbl, c, row_id);
END $$;`

// definition makes one table.
func definition(table int) string {
	name, key := "drill."+tableName(table), "PRIMARY KEY (id)"
	columns := "id bigint NOT NULL, seq bigint, n int, body text"
	if kindOf(table) == composite {
		columns = "id bigint NOT NULL, seq bigint, n int, part int NOT NULL, body text"
		key = "PRIMARY KEY (part, id)"
	}
	sql := fmt.Sprintf(`CREATE TABLE %[1]s (%[2]s, %[3]s);
CREATE TRIGGER a BEFORE INSERT OR UPDATE ON %[1]s FOR EACH ROW EXECUTE FUNCTION drill.number();
CREATE TRIGGER b AFTER INSERT OR UPDATE OR DELETE ON %[1]s FOR EACH ROW EXECUTE FUNCTION drill.note();
CREATE TRIGGER c AFTER TRUNCATE ON %[1]s FOR EACH STATEMENT EXECUTE FUNCTION drill.note();
`, name, columns, key)
	switch kindOf(table) {
	case full:
		sql += "ALTER TABLE " + name + " REPLICA IDENTITY FULL;"
	case toasted:
		sql += "ALTER TABLE " + name + " ALTER body SET STORAGE EXTERNAL;"
	}
	return sql
}

// createTables makes the schema with some rows in each table.
func createTables(ctx context.Context, conn *pgconn.PgConn, rows int) error {
	sql := foundation
	for i := range tableCount {
		sql += definition(i) + insertRange(i, 1, rows, 0)
	}
	if err := conn.Exec(ctx, sql).Close(); err != nil {
		return fmt.Errorf("create the tables: %w", err)
	}
	return nil
}

// insertRange inserts or overwrites the rows of ids in a range.
func insertRange(table, from, to, n int) string {
	body := "CASE id % 3 WHEN 0 THEN NULL ELSE repeat(chr(97 + (id % 26)::int), 20) END"
	if kindOf(table) == toasted {
		body = fmt.Sprintf("repeat(md5((id + %d)::text), 100)", n)
	}
	if kindOf(table) == composite {
		return fmt.Sprintf(`INSERT INTO drill.%s (id, n, part, body) SELECT id, %d, id %% 7, %s
			FROM generate_series(%d, %d) id ON CONFLICT (part, id) DO UPDATE SET n = excluded.n;`,
			tableName(table), n, body, from, to)
	}
	return fmt.Sprintf(`INSERT INTO drill.%s (id, n, body) SELECT id, %d, %s FROM generate_series(%d, %d) id
		ON CONFLICT (id) DO UPDATE SET n = excluded.n;`, tableName(table), n, body, from, to)
}

// writer is one session of the workload. What it does follows from its random numbers alone.
type writer struct {
	address func() string
	r       *rand.Rand
	bulk    int
	first   string // what it begins with, empty for what chance brings
	conn    *pgconn.PgConn
	count   *atomic.Int64 // transactions that ended well
}

// run writes until ctx ends. Sessions break when the server is restarted; whether such a transaction
// committed the journal knows.
func (w *writer) run(ctx context.Context) {
	defer func() {
		if w.conn != nil {
			closeSession(w.conn)
		}
	}()
	for ctx.Err() == nil {
		if w.conn == nil || w.conn.IsClosed() {
			conn, err := pgconn.Connect(ctx, w.address())
			if err != nil {
				pause(ctx, 100*time.Millisecond)
				continue
			}
			w.conn = conn
		}
		if err := w.next(ctx); err == nil {
			w.count.Add(1)
		} else if pgErr := (*pgconn.PgError)(nil); !errors.As(err, &pgErr) {
			closeSession(w.conn)
			w.conn = nil
		}
		pause(ctx, time.Duration(w.r.IntN(200))*time.Millisecond)
	}
}

// next is the writer's next transaction; what it begins with is tried until it commits.
func (w *writer) next(ctx context.Context) error {
	if w.first == "" {
		return w.transaction(ctx)
	}
	err := w.exec(ctx, w.first)
	if err == nil {
		w.first = ""
	}
	return err
}

// transaction runs one, and rolls back what failed.
func (w *writer) transaction(ctx context.Context) error {
	if w.r.IntN(12) == 0 {
		return w.exec(ctx, w.statement()) // alone
	}
	err := w.exec(ctx, "BEGIN")
	depth := 0
	for range 1 + w.r.IntN(8) {
		if err != nil {
			break
		}
		switch p := w.r.IntN(10); {
		case p == 0:
			depth++
			err = w.exec(ctx, fmt.Sprintf("SAVEPOINT s%d", depth))
		case p == 1 && depth > 0:
			err = w.exec(ctx, fmt.Sprintf("ROLLBACK TO s%d", 1+w.r.IntN(depth)))
			// What is above the savepoint is gone; its name may be used again.
			depth = 0
		case p == 2 && depth > 0:
			err = w.exec(ctx, fmt.Sprintf("RELEASE s%d", depth))
			depth--
		case p == 3:
			pause(ctx, time.Duration(w.r.IntN(40))*time.Millisecond) // others commit in between
		case p == 4:
			err = w.copyRows(ctx)
		default:
			err = w.exec(ctx, w.statement())
		}
	}
	end := "COMMIT"
	if err != nil || w.r.IntN(10) == 0 {
		end = "ROLLBACK"
	}
	return errors.Join(err, w.exec(ctx, end))
}

func (w *writer) exec(ctx context.Context, sql string) error {
	// A statement is not cut off by the end of the round: it would look like a broken session.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return w.conn.Exec(ctx, sql).Close()
}

// statement draws one.
func (w *writer) statement() string {
	table := w.r.IntN(tableCount)
	name, id := "drill."+tableName(table), 1+w.r.IntN(hotKeys)
	n := w.r.IntN(1_000_000)
	switch w.r.IntN(20) {
	case 0, 1, 2, 3:
		return insertRange(table, id, id+w.r.IntN(5), n)
	case 4, 5, 6:
		return fmt.Sprintf("UPDATE %s SET n = %d WHERE id BETWEEN %d AND %d", name, n, id, id+w.r.IntN(4))
	case 7, 8:
		return fmt.Sprintf("UPDATE %s SET body = repeat(md5(%d::text), %d) WHERE id = %d", name, n,
			1+w.r.IntN(150), id)
	case 9, 10:
		return fmt.Sprintf("DELETE FROM %s WHERE id BETWEEN %d AND %d", name, id, id+w.r.IntN(3))
	case 11, 12:
		to := id + hotKeys*(1+w.r.IntN(3))
		return fmt.Sprintf(`UPDATE %[1]s SET id = %[3]d WHERE id = %[2]d
			AND NOT EXISTS (SELECT FROM %[1]s WHERE id = %[3]d)`, name, id, to)
	case 13: // both at once: the key changes and the large value stays
		return fmt.Sprintf("UPDATE %s SET id = nextval('drill.ids'), n = %d WHERE id = %d", name, n, id)
	case 14:
		if kindOf(table) == truncated && w.r.IntN(4) == 0 {
			second := (table + int(kinds)) % tableCount
			return fmt.Sprintf("TRUNCATE %s, drill.%s", name, tableName(second))
		}
		return fmt.Sprintf("UPDATE %s SET body = NULL WHERE id = %d", name, id)
	case 15:
		if w.r.IntN(3) > 0 {
			return "SELECT pg_logical_emit_message(true, 'drill', 'transactional')"
		}
		return fmt.Sprintf("SELECT drill.grow('%s', %d)", name, id)
	case 16:
		if w.r.IntN(3) > 0 {
			return fmt.Sprintf(`INSERT INTO drill.unpublished (pad)
				SELECT repeat('x', 100) FROM generate_series(1, %d)`, id*10)
		}
		return fmt.Sprintf("SELECT drill.shrink('%s')", name)
	case 17:
		switch p := w.r.IntN(12); {
		case p > 2:
			return fmt.Sprintf("UPDATE %s SET n = n + 1 WHERE id <= %d", name, 2*hotKeys)
		case p > 0:
			return fmt.Sprintf("UPDATE %s SET n = n + 1", name) // every row
		}
		return bulkRows(max(1, w.bulk>>w.r.IntN(12)))
	}
	return fmt.Sprintf("UPDATE %[1]s SET n = %[2]d WHERE id = %[3]d; DELETE FROM %[1]s WHERE id = %[3]d; %[4]s",
		name, n, id, insertRange(table, id, id, n+1))
}

// bulkRows inserts rows into the table without triggers, and says so in the journal.
func bulkRows(rows int) string {
	return fmt.Sprintf(`WITH ids AS (SELECT setval('drill.ids', nextval('drill.ids') + %d) AS last),
		noted AS (INSERT INTO drill.journal (tbl, op, key, old)
			SELECT 'bulk', 'b', last - %[1]d + 1, last FROM ids RETURNING key, old)
		INSERT INTO drill.bulk SELECT id, repeat('b', 60)
			FROM noted, generate_series(key::bigint, old::bigint) id`, rows)
}

// copyRows brings new rows by COPY.
func (w *writer) copyRows(ctx context.Context) error {
	table := w.r.IntN(tableCount)
	rows := 1 + w.r.IntN(60)
	first := 10_000_000 + w.r.IntN(1_000_000_000)
	columns, line := "id, n, body", "%d\t%d\tcopied\n"
	if kindOf(table) == composite {
		columns, line = "id, n, body, part", "%d\t%d\tcopied\t1\n"
	}
	var data strings.Builder
	for i := range rows {
		fmt.Fprintf(&data, line, first+i, i)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	_, err := w.conn.CopyFrom(ctx, strings.NewReader(data.String()),
		fmt.Sprintf("COPY drill.%s (%s) FROM STDIN", tableName(table), columns))
	return err
}

// pause waits, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func closeSession(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // its transaction ends either way
}

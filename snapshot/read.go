package snapshot

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tributary-cdc/tributary/decoder"
	"github.com/tributary-cdc/tributary/schema"
)

// task is what a worker does next: split a unit (span nil), or read one of its spans.
type task struct {
	unit *unit
	span *span
}

// result is what a worker has to tell: a plan, a batch, the end of a span, or an error.
type result struct {
	unit *unit
	span *span
	// plan is the unit's ranges of keys, in answer to a task without a span.
	plan  []*span
	batch *decoder.Batch
	// last is the key of the batch's last row, nil for a unit that is read in no order.
	last []string
	// ended says that the span holds nothing more; paused that the deadline left the rest of it; follows that
	// a heavy row is about to be read, for which there must be room.
	ended, paused, follows bool
	err                    error
}

// outcome says that the task is over.
func (r *result) outcome() bool { return r.batch == nil && r.err == nil && !r.follows }

// worker reads under the keeper's snapshot on a connection of its own.
type worker struct {
	o       Options
	conn    *pgconn.PgConn
	results chan<- result
	// deadline is when a range in key order is left where it is, zero for never.
	deadline time.Time
	// admitted is what the pool has admitted for the heavy row that is being read.
	admitted int
}

// run does tasks until there are none or ctx ends. It tells of an error in a result.
func (w *worker) run(ctx context.Context, tasks <-chan task) {
	var err error
	if w.conn, err = w.o.Connect(ctx); err != nil {
		w.tell(ctx, result{err: fmt.Errorf("connect to read the snapshot: %w", err)})
		return
	}
	defer closeQuietly(w.conn)
	defer func() { w.o.Pool.Leave(w.admitted) }()
	// Back-pressure is a closed window: it must not look like a dead peer, however long it lasts.
	if _, err := w.conn.Exec(ctx, "SET tcp_user_timeout = 0").ReadAll(); err != nil {
		w.tell(ctx, result{err: fault("prepare a snapshot connection", err)})
		return
	}
	w.conn.Frontend().SetMaxBodyLen(w.o.MaxRowBytes)
	for {
		select {
		case <-ctx.Done():
			return
		case t, more := <-tasks:
			if !more {
				return
			}
			if err := w.do(ctx, t); err != nil {
				w.tell(ctx, result{unit: t.unit, span: t.span, err: err})
				return
			}
		}
	}
}

// tell hands a result over; it returns false when nobody listens any more.
func (w *worker) tell(ctx context.Context, r result) bool {
	select {
	case w.results <- r:
		return true
	case <-ctx.Done():
		return false
	}
}

// do runs one task in one transaction, so that the table's lock is held no longer than this. The task's
// outcome is told last: once every outcome is known, no worker is at work any more.
func (w *worker) do(ctx context.Context, t task) error {
	exists, err := w.begin(ctx, t.unit.source)
	if err != nil {
		return err
	}
	outcome := result{unit: t.unit, span: t.span}
	switch {
	case !exists:
		// The table was made after the snapshot: all its rows are in the stream.
		outcome.plan = []*span{}
	case t.span == nil:
		outcome.plan, err = w.boundaries(ctx, t.unit.source)
	default:
		outcome.paused, err = w.read(ctx, t.unit, t.span)
	}
	if err != nil {
		return err
	}
	outcome.ended = t.span != nil && !outcome.paused
	if _, err := w.conn.Exec(ctx, "COMMIT").ReadAll(); err != nil {
		return tableFault("end reading "+t.unit.source.String(), t.unit.source, err)
	}
	w.tell(ctx, outcome)
	return nil
}

// begin starts a transaction that sees the keeper's snapshot, proves it, takes the table's lock, and checks
// that the table still has the file that it had: once locked, it keeps it. It returns false for a table
// that the snapshot does not know.
func (w *worker) begin(ctx context.Context, s Source) (exists bool, err error) {
	results, err := w.conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "+
		"SET TRANSACTION SNAPSHOT "+literal(w.o.Keeper.name)+"; "+
		"SELECT pg_catalog.pg_current_snapshot()::text; "+
		// Any column will do as the privilege, and no row is read.
		"SELECT FROM ONLY "+s.sql()+" WHERE false; "+
		fmt.Sprintf("SELECT relfilenode, coalesce(pg_catalog.pg_relation_filenode(oid), 0) FROM "+
			"pg_catalog.pg_class "+
			"WHERE oid = %d", s.OID)).ReadAll()
	if err != nil {
		return false, tableFault("read "+s.String(), s, err)
	}
	if seen := string(results[2].Rows[0][0]); seen != w.o.Keeper.seen.text {
		return false, fmt.Errorf("read %s: the connection sees snapshot %s, the keeper %s",
			s, seen, w.o.Keeper.seen.text)
	}
	rows := results[4].Rows
	if len(rows) == 0 {
		return false, nil
	}
	if string(rows[0][0]) != string(rows[0][1]) {
		return false, &RewrittenError{Table: s.String()}
	}
	return true, nil
}

// boundaries asks the server for keys that split s, and returns the ranges between them.
func (w *worker) boundaries(ctx context.Context, s Source) ([]*span, error) {
	count := spanCount(s, w.o.Workers, w.o.ResumeRows)
	answer := w.conn.ExecParams(ctx, selectBoundaries(s, count), nil, nil, nil, nil).Read()
	if answer.Err != nil {
		return nil, tableFault("split "+s.String(), s, answer.Err)
	}
	boundaries := make([][]string, len(answer.Rows))
	for i, row := range answer.Rows {
		for _, value := range row {
			boundaries[i] = append(boundaries[i], string(value))
		}
	}
	return keySpans(boundaries), nil
}

// read reads one span into batches. paused says that the deadline came before its end.
func (w *worker) read(ctx context.Context, u *unit, sp *span) (paused bool, err error) {
	f, columns, err := w.filler(ctx, u, sp)
	if err != nil {
		return false, err
	}
	if err := w.preferIndex(ctx, u, sp); err != nil {
		return false, err
	}
	s := selectRows(u, sp, columns)
	decoder.BeforeHeavy(w.conn, func(bytes int) error { return f.makeRoom(ctx, bytes) })
	defer decoder.BeforeHeavy(w.conn, nil)
	if w.deadline.IsZero() || !u.keyed {
		_, err = f.rows(ctx, s)
	} else {
		paused, err = w.fetch(ctx, f, s)
	}
	if err == nil && !f.send(ctx) {
		err = context.Cause(ctx)
	}
	return paused, err
}

// The portions in which a cursor is read: about as many rows as come in fetchTime, so that a deadline is kept
// also with large rows and slow conditions, and the server does not wait for us between small ones. What a
// row takes is known only behind the first. A deadline leaves a range no earlier than behind fetchLeast rows
// or fetchTime, so that a short one brings something too.
const (
	fetchFirst = 1
	fetchLeast = 500
	fetchMost  = 50_000
	fetchTime  = 50 * time.Millisecond
)

// fetch reads a statement through a cursor, portion by portion until the deadline. A query left in its middle
// would have to be cancelled.
func (w *worker) fetch(ctx context.Context, f *filler, s statement) (paused bool, err error) {
	declare := "DECLARE tributary NO SCROLL CURSOR FOR " + s.sql
	declared := w.conn.ExecParams(ctx, declare, s.values(), nil, nil, nil).Read()
	if declared.Err != nil {
		return false, tableFault("read "+f.unit.source.String(), f.unit.source, declared.Err)
	}
	started, total := time.Now(), 0
	for portion := fetchFirst; ; {
		began := time.Now()
		n, err := f.rows(ctx, statement{sql: fmt.Sprintf("FETCH %d FROM tributary", portion)})
		total += n
		enough := total >= fetchLeast || time.Since(started) >= fetchTime
		switch {
		case err != nil:
			return false, err
		case n < portion:
			return false, nil // the transaction's end closes the cursor
		case enough && !time.Now().Before(w.deadline):
			return true, nil
		}
		if took := time.Since(began); took < fetchTime {
			portion = min(2*portion, fetchMost)
		} else if took > 2*fetchTime {
			portion = max(portion/2, 1)
		}
	}
}

// filler prepares to read a unit's rows, and returns the columns to select.
func (w *worker) filler(ctx context.Context, u *unit, sp *span) (*filler, []string, error) {
	relation, err := w.o.Relation(ctx, u.table.table.OID)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", u.source, err)
	}
	columns := make([]string, len(relation.Columns))
	for i, column := range relation.Columns {
		columns[i] = column.Name
	}
	f := &filler{worker: w, unit: u, span: sp, relation: relation, key: keyPositions(u, columns)}
	return f, columns, nil
}

// preferIndex sets the planner, for this transaction, to walk the key's index. It keeps the server from
// sorting a large table to give a range its order: the first row would come late, and the disk would hold
// the table twice. Small tables may be sorted.
func (w *worker) preferIndex(ctx context.Context, u *unit, sp *span) error {
	if !u.keyed || u.source.estimate() <= float64(w.o.ResumeRows) && sp.start() == nil {
		return nil
	}
	_, err := w.conn.Exec(ctx, "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; "+
		"SET LOCAL enable_sort = off").ReadAll()
	if err != nil {
		return tableFault("read "+u.source.String(), u.source, err)
	}
	return nil
}

// keyPositions returns where in a row the read key's columns stand.
func keyPositions(u *unit, columns []string) []int {
	if !u.keyed {
		return nil
	}
	all := withKey(u, columns)
	positions := make([]int, len(u.source.ReadKey))
	for i, column := range u.source.ReadKey {
		positions[i] = slices.Index(all, column.Name)
	}
	return positions
}

// filler copies rows into batches.
type filler struct {
	worker   *worker
	unit     *unit
	span     *span
	relation *schema.Relation
	key      []int
	batch    *decoder.Batch
	// last is the last row in its batch's memory, with the key's columns that the relation does not have
	// behind.
	last [][]byte
}

// rows runs a statement, copies every row as it arrives and lets the connection's buffer wait while a batch
// is handed over: nothing but the batch grows. It returns how many there were.
func (f *filler) rows(ctx context.Context, s statement) (n int, err error) {
	rows := f.worker.conn.ExecParams(ctx, s.sql, s.values(), nil, nil, nil)
	for ; rows.NextRow(); n++ {
		f.next().add(rows.Values(), f.worker.o.LSN)
		if f.batch.Full() && !f.send(ctx) {
			// The caller has gone: closing the connection ends the query.
			return n, context.Cause(ctx)
		}
	}
	if _, err := rows.Close(); err != nil {
		return n, tableFault("read "+f.unit.source.String(), f.unit.source, err)
	}
	return n, nil
}

// next sees to it that there is a batch for the next row.
func (f *filler) next() *filler {
	if f.batch == nil {
		o := &f.worker.o
		f.batch = o.Pool.Get()
		f.batch.Begin(decoder.Transaction{Commit: o.Point, Time: o.Keeper.time, FullXID: o.Keeper.seen.xmax})
	}
	return f
}

// add appends a row; values are valid until the next one is read.
func (f *filler) add(values [][]byte, lsn decoder.LSN) {
	change := f.batch.Add()
	change.Op = schema.OpRead
	change.Relation = f.relation
	change.LSN = lsn
	change.Marker = schema.MarkerTrue
	if f.worker.o.Incremental {
		change.Marker = schema.MarkerIncremental
	}
	row := f.batch.Row(len(f.relation.Columns))
	for i := range row {
		if values[i] == nil {
			row[i] = schema.Datum{}
			continue
		}
		row[i] = schema.Datum{Kind: schema.Text, Text: f.batch.Copy(values[i])}
	}
	change.New = row
	f.batch.Carry(f.worker.admitted)
	f.worker.admitted = 0
	f.last = f.last[:0]
	for _, at := range f.key {
		if at < len(row) {
			f.last = append(f.last, row[at].Text)
		} else {
			f.last = append(f.last, f.batch.Copy(values[at]))
		}
	}
}

// makeRoom waits until a heavy row may be read. What was read before it goes first, and whoever holds rows
// back until it is known whether others follow learns that this one does: they may be what there is no room
// for.
func (f *filler) makeRoom(ctx context.Context, bytes int) error {
	w := f.worker
	if w.admitted > 0 {
		return nil // for a message that was no row
	}
	if !f.send(ctx) || !w.tell(ctx, result{unit: f.unit, span: f.span, follows: true}) {
		return context.Cause(ctx)
	}
	if err := w.o.Pool.Await(ctx, bytes); err != nil {
		return err
	}
	w.admitted = bytes
	return nil
}

// send hands the batch over; it returns false when nobody listens any more.
func (f *filler) send(ctx context.Context) bool {
	if f.batch == nil {
		return true
	}
	r := result{unit: f.unit, span: f.span, batch: f.batch}
	for _, value := range f.last {
		r.last = append(r.last, string(value))
	}
	f.batch = nil
	return f.worker.tell(ctx, r)
}

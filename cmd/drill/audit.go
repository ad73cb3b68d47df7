package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// result is what an audit counts. Lost, Doubled and Disordered are events that are missing, that came
// again, and that came at the wrong place; Repeated are those that at-least-once may repeat, which did as a
// suffix.
type result struct {
	Records    int `json:"records"`
	Keys       int `json:"keys"`
	Events     int `json:"events"`
	Lost       int `json:"lost"`
	Doubled    int `json:"doubled"`
	Disordered int `json:"disordered"`
	Repeated   int `json:"repeated"`
	Unknown    int `json:"placeholders"`

	problems []string
}

func (r *result) problem(format string, args ...any) {
	if len(r.problems) < 20 {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
}

// truth is the journal, read as far as it goes.
type truth struct {
	last int64
	// events by table and key; a truncation is in the list of every key.
	events map[string]map[string][]event
	bulk   [][2]int64
	// settled is the journal's end when the snapshot was certainly over: all behind it must have been streamed.
	settled int64
	later   map[string]map[string]int // how many events of a key stand behind settled
}

func newTruth() *truth {
	return &truth{events: map[string]map[string][]event{}, later: map[string]map[string]int{}}
}

// read takes what is new in the journal.
func (t *truth) read(ctx context.Context, conn *pgconn.PgConn) error {
	rows := conn.ExecParams(ctx, `SELECT n, tbl, op, key, old, seq, xid, hash, num FROM drill.journal
		WHERE n > $1 ORDER BY n`,
		[][]byte{strconv.AppendInt(nil, t.last, 10)}, nil, nil, nil)
	for rows.NextRow() {
		v := rows.Values()
		number := func(i int) int64 {
			n, _ := strconv.ParseInt(string(v[i]), 10, 64) // null is 0
			return n
		}
		t.last = number(0)
		table, key, old := string(v[1]), string(v[3]), string(v[4])
		made := event{op: v[2][0], seq: number(5), xid: number(6), hash: string(v[7]), num: number(8)}
		switch {
		case made.op == 'b':
			t.bulk = append(t.bulk, [2]int64{number(3), number(4)})
		case made.op == 't':
			keys := t.keys(table)
			if _, found := keys[""]; !found {
				keys[""] = nil
			}
			for k := range keys {
				t.add(table, k, made)
			}
		case v[4] != nil: // the key changed: a delete and a create
			t.add(table, old, event{op: 'd', xid: made.xid})
			made.op = 'c'
			t.add(table, key, made)
		default:
			t.add(table, key, made)
		}
	}
	_, err := rows.Close()
	return err
}

func (t *truth) keys(table string) map[string][]event {
	if t.events[table] == nil {
		t.events[table], t.later[table] = map[string][]event{}, map[string]int{}
	}
	return t.events[table]
}

func (t *truth) add(table, key string, e event) {
	keys := t.keys(table)
	keys[key] = append(keys[key], e)
	// A truncation is in the lists of keys that it did not concern too.
	if t.settled > 0 && t.last > t.settled && (e.op != 't' || key == "") {
		t.later[table][key]++
	}
}

// audit compares what came with the journal, and the journal with the tables.
func (l *life) audit(ctx context.Context, r *result) error {
	conn, err := pgconn.Connect(ctx, l.address())
	if err != nil {
		return err
	}
	defer closeSession(conn)
	if err := l.truth.read(ctx, conn); err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	for i := range tableCount {
		table := tableName(i)
		if err := l.auditTable(ctx, conn, table, i, r); err != nil {
			return err
		}
		for key, want := range l.truth.keys(table) {
			r.Keys++
			r.Events += len(want)
			l.auditKey(table, key, want, l.log.events[table][key], r)
		}
		for key := range l.log.events[table] {
			if _, found := l.truth.keys(table)[key]; !found {
				r.Doubled++
				r.problem("%s %s: it came, and nobody wrote it", table, key)
			}
		}
	}
	l.auditBulk(r)
	r.Records, r.Unknown = l.log.records, l.log.unknown
	r.problems = append(r.problems, l.log.problems...)
	r.Disordered += len(l.log.problems)
	if l.truth.settled == 0 {
		l.truth.settled = l.truth.last
	}
	return nil
}

// auditTable compares the journal's last word on each key with the table: the audit audits itself.
func (l *life) auditTable(ctx context.Context, conn *pgconn.PgConn, table string, number int,
	r *result,
) error {
	key := "id::text"
	if kindOf(number) == composite {
		key = "part || '/' || id"
	}
	sql := "SELECT " + key + ", seq, md5(coalesce(body, '~')), n FROM drill." + table
	rows := conn.ExecParams(ctx, sql, nil, nil, nil, nil)
	left := map[string]bool{}
	for key, events := range l.truth.keys(table) {
		if e := events[len(events)-1]; e.op != 'd' && e.op != 't' {
			left[key] = true
		}
	}
	for rows.NextRow() {
		v := rows.Values()
		events := l.truth.events[table][string(v[0])]
		delete(left, string(v[0]))
		if len(events) == 0 {
			r.problem("%s %s: the table has it, and the journal does not", table, v[0])
			continue
		}
		last := events[len(events)-1]
		if strconv.FormatInt(last.seq, 10) != string(v[1]) || last.hash != string(v[2]) {
			r.problem("%s %s: the table has write %s, the journal %d", table, v[0], v[1], last.seq)
		}
	}
	for key := range left {
		r.problem("%s %s: the journal has it, and the table does not", table, key)
	}
	_, err := rows.Close()
	return err
}

// auditKey compares one key's events.
func (l *life) auditKey(table, key string, want, got []event, r *result) {
	compare := exact
	if l.s.delivery != "exactly-once" {
		compare = repeating
	}
	verdict := compare(want, got)
	r.Repeated += verdict.repeated
	// What came before the snapshot need not come, but all since the first audit must.
	missed := l.truth.later[table][key] - verdict.streamed(want, key)
	if verdict.fault == "" && missed > 0 {
		verdict.fault = fmt.Sprintf("%d events since the snapshot are missing", missed)
		verdict.lost = missed
	}
	if verdict.fault == "" {
		return
	}
	lost, doubled, disordered := classify(want, got, verdict)
	r.Lost, r.Doubled, r.Disordered = r.Lost+lost, r.Doubled+doubled, r.Disordered+disordered
	r.problem("%s %s: %s\n  wanted %s\n  got    %s", table, key, verdict.fault, story(want), story(got))
}

// auditBulk counts the rows of the table without triggers.
func (l *life) auditBulk(r *result) {
	wanted := 0
	for _, ids := range l.truth.bulk {
		for id := ids[0]; id <= ids[1]; id++ {
			wanted++
			n := l.log.bulk[id]
			again := int(max(n.streamed, 1)-1) + int(max(n.read, 1)-1)
			switch {
			case n.streamed+n.read == 0:
				r.Lost++
				r.problem("bulk %d: lost", id)
			case again > 0 && l.log.exactly:
				r.Doubled += again
				r.problem("bulk %d: came %d times by the stream and %d times by a snapshot", id, n.streamed, n.read)
			default:
				r.Repeated += again
			}
		}
	}
	r.Events += wanted
	if len(l.log.bulk) > wanted {
		r.Doubled += len(l.log.bulk) - wanted
		r.problem("bulk: %d rows came that nobody wrote", len(l.log.bulk)-wanted)
	}
}

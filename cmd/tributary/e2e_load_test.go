package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const (
	loadSessions = 3  // transactions that are open at a time
	loadIDs      = 30 // ids that rows are picked from, so that keys are changed often
)

// workload is a random workload. One goroutine interleaves the statements of several sessions, so that a
// seed gives the same transactions in the same commit order each time.
type workload struct {
	t        testing.TB
	chance   *rand.Rand
	tables   []*loadTable
	sessions []*loadSession
	admin    *sourceConn
	// locked is who changed a row in a transaction that is still open: another session would wait for ever.
	locked map[string]*loadSession
	fresh  int  // ids above loadIDs, each used once
	calm   bool // neither TRUNCATE nor DDL for now
}

// loadSession is a connection with at most one open transaction.
type loadSession struct {
	*sourceConn
	left       int // statements until its transaction ends, 0 when there is none
	savepoints int
}

// newWorkload makes and fills the tables.
func newWorkload(t testing.TB, address string, seed uint64) *workload {
	t.Helper()
	l := &workload{
		t: t, chance: rand.New(rand.NewPCG(seed, 7)), tables: loadTables(), admin: dial(t, address),
		locked: map[string]*loadSession{}, fresh: 1000,
	}
	l.admin.exec(loadSetup(l.tables))
	for range loadSessions {
		l.sessions = append(l.sessions, &loadSession{sourceConn: dial(t, address)})
	}
	for _, table := range l.tables {
		for id := 1; id <= loadIDs; id += 2 {
			l.admin.exec(l.insert(table, id))
		}
	}
	return l
}

// steps runs n statements or ends of transactions.
func (l *workload) steps(n int) {
	l.t.Helper()
	for range n {
		s := l.sessions[l.chance.IntN(len(l.sessions))]
		switch {
		case s.left == 0 && !l.calm && l.chance.IntN(60) == 0:
			l.alone()
		case s.left == 0:
			s.exec("BEGIN")
			s.left = 1 + l.chance.IntN(8)
		case s.left == 1:
			l.finish(s)
		default:
			s.left--
			l.statement(s)
		}
	}
}

// finish ends a transaction, sometimes by a rollback.
func (l *workload) finish(s *loadSession) {
	if s.left == 0 {
		return
	}
	s.left, s.savepoints = 0, 0
	s.exec([]string{"COMMIT", "COMMIT", "COMMIT", "ROLLBACK"}[l.chance.IntN(4)])
	maps.DeleteFunc(l.locked, func(_ string, holder *loadSession) bool { return holder == s })
}

// settle ends all transactions.
func (l *workload) settle() {
	for _, s := range l.sessions {
		l.finish(s)
	}
}

// statement runs one in an open transaction.
func (l *workload) statement(s *loadSession) {
	switch l.chance.IntN(12) {
	case 0:
		s.savepoints++
		s.exec(fmt.Sprintf("SAVEPOINT s%d", s.savepoints))
		return
	case 1:
		if s.savepoints > 0 {
			s.exec(fmt.Sprintf("ROLLBACK TO SAVEPOINT s%d", s.savepoints))
			return
		}
	}
	table := l.tables[l.chance.IntN(len(l.tables))]
	if table.copied {
		l.copy(s, table)
		return
	}
	id, rows := 1+l.chance.IntN(loadIDs), 1
	if l.chance.IntN(3) == 0 {
		rows = 1 + l.chance.IntN(4)
	}
	if !l.lock(s, table, id, rows) {
		return
	}
	switch op := l.chance.IntN(10); {
	case op < 3:
		for i := range rows {
			s.exec(l.insert(table, id+i))
		}
	case op < 4 && table.keyMoves:
		l.fresh++
		s.exec(fmt.Sprintf("UPDATE %s SET id = %s, %s WHERE id = %s", table.quoted(), table.idOf(l.fresh),
			l.set(table),
			table.idOf(id)))
	case op < 8:
		s.exec(fmt.Sprintf("UPDATE %s SET %s WHERE id %s", table.quoted(), l.set(table), l.among(table, id, rows)))
	default:
		s.exec(fmt.Sprintf("DELETE FROM %s WHERE id %s", table.quoted(), l.among(table, id, rows)))
	}
}

// lock says whether a session may change rows, and remembers that it did.
func (l *workload) lock(s *loadSession, table *loadTable, id, rows int) bool {
	for i := range rows {
		if holder := l.locked[fmt.Sprint(table.name, id+i)]; holder != nil && holder != s {
			return false
		}
	}
	for i := range rows {
		l.locked[fmt.Sprint(table.name, id+i)] = s
	}
	return true
}

// among is a condition on several ids.
func (l *workload) among(table *loadTable, id, rows int) string {
	ids := make([]string, rows)
	for i := range ids {
		ids[i] = table.idOf(id + i)
	}
	return "IN (" + strings.Join(ids, ", ") + ")"
}

// values gives each column of a table a random literal.
func (l *workload) values(table *loadTable) (names, literals []string) {
	for _, name := range slices.Sorted(maps.Keys(table.columns)) {
		names, literals = append(names, quotedName(name)), append(literals, table.columns[name](l.chance))
	}
	return names, literals
}

// insert is a statement that adds a row if there is none with that id.
func (l *workload) insert(table *loadTable, id int) string {
	names, literals := l.values(table)
	return fmt.Sprintf("INSERT INTO %s (id, %s) SELECT %s, %s "+
		"WHERE NOT EXISTS (SELECT FROM %[1]s WHERE id = %[3]s)",
		table.quoted(), strings.Join(names, ", "), table.idOf(id), strings.Join(literals, ", "))
}

// set changes some columns, or none but by name.
func (l *workload) set(table *loadTable) string {
	names, literals := l.values(table)
	var parts []string
	for i, name := range names {
		if l.chance.IntN(2) == 0 {
			parts = append(parts, name+" = "+literals[i])
		}
	}
	if len(parts) == 0 {
		parts = append(parts, names[0]+" = "+names[0])
	}
	return strings.Join(parts, ", ")
}

// copy adds rows by COPY.
func (l *workload) copy(s *loadSession, table *loadTable) {
	var b strings.Builder
	for range 1 + l.chance.IntN(20) {
		l.fresh++
		fmt.Fprintf(&b, "%d\t%d\tcopied \u00e9 \\\\ %d\n", l.fresh, l.chance.IntN(1000), l.fresh)
	}
	_, err := s.conn.CopyFrom(context.Background(), strings.NewReader(b.String()),
		"COPY "+table.quoted()+" (id, n, v) FROM STDIN")
	if err != nil {
		l.t.Fatal(err)
	}
}

// alone does what locks whole tables: TRUNCATE and DDL, in a transaction with rows or by itself.
func (l *workload) alone() {
	l.settle()
	if l.chance.IntN(3) == 0 {
		l.admin.exec([]string{
			"TRUNCATE shop.trunc_a", "TRUNCATE shop.trunc_a, shop.trunc_b",
			"BEGIN; " + l.insert(l.table("trunc_b"), 3) + "; TRUNCATE shop.trunc_b; " + l.insert(l.table("trunc_b"),
				4) +
				"; COMMIT",
		}[l.chance.IntN(3)])
		return
	}
	table := l.table([]string{"ddl_add", "ddl_drop", "ddl_rename", "ddl_type"}[l.chance.IntN(4)])
	l.alter(table)
}

// table finds a table by name.
func (l *workload) table(name string) *loadTable {
	i := slices.IndexFunc(l.tables, func(t *loadTable) bool { return t.name == name })
	return l.tables[i]
}

// alter runs the next DDL of a table, with rows before and after it in the same transaction, first in one
// that is rolled back.
func (l *workload) alter(table *loadTable) {
	if len(table.ddl) == 0 {
		return
	}
	ddl := "ALTER TABLE " + table.quoted() + " " + table.ddl[0]
	before := "UPDATE " + table.quoted() + " SET " + l.set(table)
	words := strings.Fields(table.ddl[0])
	switch words[0] {
	case "ADD":
		table.columns[words[2]] = map[string]func(*rand.Rand) string{"int": digits, "text": pick("'x'",
			"'y'")}[words[3]]
	case "DROP":
		delete(table.columns, words[2])
	case "RENAME":
		table.columns[words[4]] = table.columns[words[2]]
		delete(table.columns, words[2])
	}
	after := "UPDATE " + table.quoted() + " SET " + l.set(table)
	l.admin.exec("BEGIN; " + before + "; " + ddl + "; " + after + "; ROLLBACK")
	l.admin.exec("BEGIN; " + before + "; " + ddl + "; " + after + "; COMMIT")
	table.ddl = table.ddl[1:]
}

// end runs the DDL that is left, touches every row that DDL may have changed without a change of its own, and
// writes the row that marks the end.
func (l *workload) end() {
	l.t.Helper()
	l.settle()
	for _, table := range l.tables {
		for len(table.ddl) > 0 {
			l.alter(table)
		}
	}
	l.admin.exec("INSERT INTO shop.plain (id) VALUES (-1)")
}

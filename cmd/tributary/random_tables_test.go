package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// randomType is a column type with values and defaults to choose from, as SQL.
type randomType struct {
	name             string
	values, defaults []string
	keyed            bool // fit for a primary key
}

// randomTypes are the types of random tables. Values are what Debezium and Postgres agree to carry.
var randomTypes = []randomType{
	{"smallint", []string{"0", "-32768", "32767"}, []string{"7", "(1+1)"}, true},
	{"int", []string{"0", "-2147483648", "2147483647", "42"}, []string{"-5", "length('abc')"}, true},
	{"bigint", []string{"0", "-9223372036854775808", "9223372036854775807"}, []string{
		"10",
		"'11'::bigint",
	}, true},
	{"numeric", []string{"0", "1.5", "-12345678901234567890.123", "1e-20"}, []string{"1.50"}, true},
	{"numeric(8,3)", []string{"0", "-99999.999", "1.5"}, []string{"2.5", "'3'::numeric"}, true},
	{"numeric(30,0)", []string{"0", "123456789012345678901234567890"}, nil, true},
	{"real", []string{"0", "1.1", "'NaN'", "'Infinity'", "-3e38"}, []string{"1.25"}, false},
	{"double precision", []string{"0", "0.1", "'-Infinity'", "1e308"}, []string{"0.5", "pi()"}, false},
	{"boolean", []string{"true", "false"}, []string{"true", "false"}, false},
	{"text", []string{"''", "'a'", "'h\u00e9llo \U0001f600'", "repeat('x', 3000)"}, []string{
		"'it''s'",
		"'d'", "upper('u')",
	}, true},
	{"varchar(10)", []string{"'abc'", "''", "'\u00e4\u00f6\u00fc'"}, []string{"'dv'", "NULL"}, true},
	{"char(5)", []string{"'ab'", "'abcde'"}, []string{"'x'"}, true},
	{"bytea", []string{`'\x00ff'`, `'\x'`}, []string{`'\x01'`}, true},
	{"date", []string{"'2024-02-29'", "'1969-12-31'", "'9999-12-31'"}, []string{
		"'2020-01-01'",
		"'2020-01-01'::date",
	}, true},
	{"time", []string{"'00:00'", "'23:59:59.999999'"}, []string{"'12:00'"}, true},
	{"time(3)", []string{"'00:00'", "'23:59:59.999'"}, nil, true},
	{"timetz", []string{"'10:00+02'", "'23:59:59.5-11:30'"}, []string{"'12:00+00'"}, false},
	{"timestamp", []string{"'2024-01-01 12:34:56.789123'", "'1900-01-01'"}, []string{"'2020-01-01'"}, true},
	{"timestamp(3)", []string{"'2024-01-01 12:34:56.789'"}, []string{"'2020-01-01'"}, true},
	{"timestamptz", []string{"'2024-01-01 12:34:56+05'", "'1900-01-01Z'"}, []string{"'2020-01-01Z'"}, true},
	{"interval", []string{"'1 day'", "'-1 year 2 mons 03:04:05.6'"}, []string{"'1 hour'"}, false},
	{
		"uuid",
		[]string{"'123e4567-e89b-12d3-a456-426614174000'"},
		[]string{"'00000000-0000-0000-0000-000000000000'"},
		true,
	},
	{"json", []string{`'{"a": [1, null]}'`, "'3'"}, []string{"'{}'"}, false},
	{"jsonb", []string{`'{"b": 1.50, "a": "\u00fc"}'`, "'null'"}, []string{"'[]'"}, false},
	{"xml", []string{"'<a>1</a>'"}, nil, false},
	{"inet", []string{"'10.0.0.1'", "'::1/64'"}, []string{"'127.0.0.1'"}, true},
	{"cidr", []string{"'10.0.0.0/8'"}, nil, true},
	{"macaddr", []string{"'08:00:2b:01:02:03'"}, nil, true},
	{"macaddr8", []string{"'08:00:2b:01:02:03:04:05'"}, nil, false},
	{"money", []string{"'12.34'", "'-0.01'"}, []string{"'1.00'"}, false},
	{"bit", []string{"B'1'", "B'0'"}, []string{"B'1'"}, false},
	{"bit(5)", []string{"B'10101'", "B'00000'"}, []string{"B'00001'"}, false},
	{"varbit(9)", []string{"B'101'", "B''"}, nil, false},
	{"int4range", []string{"'[1,5)'", "'empty'"}, []string{"'[0,1)'"}, false},
	{"tstzrange", []string{"'[2024-01-01Z,2024-02-01Z)'"}, nil, false},
	{"point", []string{"'(1.5,-2)'"}, []string{"'(0,1)'"}, false},
	{"oid", []string{"0", "4294967295"}, nil, true},
	{"name", []string{"'nm'"}, nil, false},
	{`"char"`, []string{"'a'"}, nil, false},
	{"tsvector", []string{"'a b'"}, nil, false},
	{"int[]", []string{"'{}'", "'{1,NULL,3}'"}, []string{"'{1,2}'", "'{}'"}, false},
	{"text[]", []string{`'{a,"b c",NULL}'`, "'{}'"}, []string{"'{x}'"}, false},
	{"numeric(6,2)[]", []string{"'{1.5,NULL}'"}, nil, false},
	{"bool[]", []string{"'{t,f}'"}, nil, false},
	{"timestamptz[]", []string{"'{2024-01-01Z}'"}, nil, false},
	{"uuid[]", []string{"'{123e4567-e89b-12d3-a456-426614174000}'"}, nil, false},
	{"mood", []string{"'sad'", "'it''s \u00fc'"}, []string{"'sad'"}, true},
	{`"Mood Two"`, []string{"'A'", "'b c'"}, []string{"'A'"}, true},
	{"mood[]", []string{"'{sad}'"}, nil, false},
	{"positive", []string{"1", "99"}, []string{"5"}, true},
	{"small_positive", []string{"1", "9"}, []string{"3"}, false},
	{"short_text", []string{"'ab'"}, []string{"'q'"}, true},
	{"pair", []string{"ROW(1, 'x')"}, nil, false},
}

// randomSetup makes the types of randomTypes that are not built in.
const randomSetup = `CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s ` + "\u00fc" + `');
CREATE TYPE "Mood Two" AS ENUM ('A', 'b c');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN small_positive AS positive CHECK (VALUE < 10);
CREATE DOMAIN short_text AS varchar(4) DEFAULT 'dd';
CREATE TYPE pair AS (a int, b text);`

// randomNames are parts of names, odd ones among them.
var randomNames = []string{
	"a", "B", "c d", "e-f", "g.h", "1i", "j$k", "\u00fcml", "select", "_x",
	"Mixed", "q''",
}

type randomColumn struct {
	name string
	typ  randomType
}

// randomTable is a table under test: its quoted name, its columns, and what its rows are found by.
type randomTable struct {
	name    string
	columns []randomColumn
	next    int
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// newRandomTable makes up a table and the statements that create it.
func newRandomTable(chance *rand.Rand, n int) (*randomTable, string) {
	// Debezium loses the changes of a table that has a quote in its name.
	t := &randomTable{name: fmt.Sprintf("t%d %s", n, randomNames[chance.IntN(len(randomNames)-1)])}
	if chance.IntN(2) == 0 {
		t.name = fmt.Sprintf("t%d", n)
	}
	parts := []string{"n int NOT NULL"} // every row's number, so that single rows can be found
	var key []string
	for i := range 1 + chance.IntN(9) {
		c := randomColumn{
			fmt.Sprintf("%s%d", randomNames[chance.IntN(len(randomNames))], i),
			randomTypes[chance.IntN(len(randomTypes))],
		}
		t.columns = append(t.columns, c)
		text := quoted(c.name) + " " + c.typ.name
		if d := c.typ.defaults; len(d) > 0 && chance.IntN(2) == 0 {
			text += " DEFAULT " + d[chance.IntN(len(d))]
		}
		if chance.IntN(4) == 0 && c.typ.name != "pair" {
			text += " NOT NULL"
		}
		if c.typ.keyed && len(key) < 2 && chance.IntN(4) == 0 {
			key = append(key, quoted(c.name))
		}
		parts = append(parts, text)
	}
	key = append(key, "n")
	identity := []string{
		"DEFAULT", "DEFAULT", "FULL", "NOTHING",
		"USING INDEX " + quoted(t.name+"_u"),
	}[chance.IntN(5)]
	if chance.IntN(5) > 0 {
		parts = append(parts, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
	}
	sql := fmt.Sprintf("CREATE TABLE %s (%s); CREATE UNIQUE INDEX %s ON %s (n);"+
		"ALTER TABLE %s REPLICA IDENTITY %s",
		quoted(t.name), strings.Join(parts, ", "), quoted(t.name+"_u"), quoted(t.name), quoted(t.name),
		identity)
	return t, sql
}

// value is a value of a column, or now and then none.
func (c randomColumn) value(chance *rand.Rand) string {
	switch chance.IntN(8) {
	case 0:
		return "NULL"
	case 1:
		return "DEFAULT"
	}
	return c.typ.values[chance.IntN(len(c.typ.values))]
}

// insert adds a row. Any statement may fail: a NULL where none may be, say.
func (t *randomTable) insert(chance *rand.Rand) string {
	t.next++
	names, values := []string{"n"}, []string{fmt.Sprint(t.next)}
	for _, c := range t.columns {
		names, values = append(names, quoted(c.name)), append(values, c.value(chance))
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", quoted(t.name), strings.Join(names, ", "),
		strings.Join(values, ", "))
}

// statement is one change of the table, or of its shape.
func (t *randomTable) statement(chance *rand.Rand) string {
	row := 1 + chance.IntN(t.next+1)
	c := t.columns[chance.IntN(len(t.columns))]
	switch chance.IntN(9) {
	case 0, 1, 2:
		return t.insert(chance)
	case 3:
		return fmt.Sprintf("DELETE FROM %s WHERE n = %d", quoted(t.name), row)
	case 4:
		t.next++
		return fmt.Sprintf("UPDATE %s SET n = %d WHERE n = %d", quoted(t.name), t.next, row)
	}
	return fmt.Sprintf("UPDATE %s SET %s = %s WHERE n = %d", quoted(t.name), quoted(c.name),
		c.value(chance), row)
}

// alter changes the table's shape.
func (t *randomTable) alter(chance *rand.Rand) string {
	c := randomColumn{fmt.Sprintf("added%d", len(t.columns)), randomTypes[chance.IntN(len(randomTypes))]}
	at := chance.IntN(len(t.columns))
	switch chance.IntN(4) {
	case 0:
		if len(t.columns) > 1 && !t.columns[at].typ.keyed {
			name := t.columns[at].name
			t.columns = append(t.columns[:at:at], t.columns[at+1:]...)
			return fmt.Sprintf("ALTER TABLE %s DROP COLUMN %s", quoted(t.name), quoted(name))
		}
	case 1:
		if d := c.typ.defaults; len(d) > 0 {
			t.columns = append(t.columns, c)
			return fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s DEFAULT %s", quoted(t.name), c.name,
				c.typ.name,
				d[chance.IntN(len(d))])
		}
	}
	t.columns = append(t.columns, c)
	return fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s", quoted(t.name), c.name, c.typ.name)
}

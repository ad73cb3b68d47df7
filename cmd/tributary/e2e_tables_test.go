package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// loadTable is a table of the random workload. Its first column is id, which the workload picks rows by.
type loadTable struct {
	namespace, name string
	definition      string   // what follows the column id
	id              string   // its type, "int" when empty
	key             []string // the columns of the record key, nil for none
	after           string   // SQL after CREATE TABLE; TABLE stands for the quoted name
	leaves          []string // partitions, in the same schema
	columns         map[string]func(chance *rand.Rand) string
	full            bool     // old rows are whole
	keyMoves        bool     // updates may change the key
	copied          bool     // rows come by COPY only
	truncated       bool     // TRUNCATE may happen, and so only one partition has an order
	ddl             []string // statements to run one after another
}

// quoted is the name as SQL has it.
func (t *loadTable) quoted() string { return quotedName(t.namespace) + "." + quotedName(t.name) }

// idOf writes the id as SQL has it.
func (t *loadTable) idOf(id int) string {
	if t.id == "text" {
		return fmt.Sprintf("'key %d'", id)
	}
	return fmt.Sprint(id)
}

func integer(chance *rand.Rand) string {
	if chance.IntN(8) == 0 {
		return "NULL"
	}
	return fmt.Sprint(chance.IntN(2_000_000) - 1_000_000)
}

func digits(chance *rand.Rand) string { return fmt.Sprint(chance.IntN(1000)) }

func words(chance *rand.Rand) string {
	list := []string{
		"NULL", "''", "'plain'", "'it''s'", "E'tab\\tnewline\\nbackslash\\\\'", "'\u00e9t\u00e9'",
		"'\u65e5\u672c\u8a9e'", "'\U0001F600 astral'", "'  blanks  '", "'{\"json\": [1]}'",
	}
	return list[chance.IntN(len(list))]
}

// large is a value that Postgres stores outside of the row: random enough not to shrink below that size.
func large(chance *rand.Rand) string {
	if chance.IntN(6) == 0 {
		return "NULL"
	}
	return fmt.Sprintf("(SELECT string_agg(md5((g * %d)::text), '') FROM generate_series(1, %d) g)",
		chance.IntN(1<<20), 100+chance.IntN(300))
}

// pick returns one of several literals.
func pick(literals ...string) func(*rand.Rand) string {
	return func(chance *rand.Rand) string { return literals[chance.IntN(len(literals))] }
}

// simple are the columns that most tables have.
func simple() map[string]func(*rand.Rand) string {
	return map[string]func(*rand.Rand) string{"n": integer, "v": words}
}

// kinds are columns of many types.
func kinds() map[string]func(*rand.Rand) string {
	return map[string]func(*rand.Rand) string{
		"i2": pick("-32768", "32767", "0", "NULL"), "i8": pick("-9223372036854775808", "9223372036854775807", "1"),
		"f4": pick("1.5", "-0.25", "NULL"), "f8": pick("0.1", "1e300", "-2.5e-300", "'NaN'", "'Infinity'"),
		"b": pick("true", "false", "NULL"), "num": pick("12.30", "-99999999.99", "0", "NULL"),
		"d":  pick("'2026-11-21'", "'1969-12-31'", "'0001-01-01'", "NULL"),
		"ts": pick("'2026-11-21 12:34:56.789012'", "'1960-01-01 00:00:00'", "NULL"),
		"tz": pick("'2026-11-21 12:34:56.789012+02'", "'1999-12-31 23:59:59Z'", "NULL"),
		"u":  pick("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "NULL"), "raw": pick(`'\x00ff10'`, `'\x'`, "NULL"),
		"js": pick(`'{"a": [1, null, "x"]}'`, `'{}'`, "NULL"), "c": pick("'ab'", "'abcdefgh'", "NULL"),
	}
}

const simpleColumns = ", n int, v text"

const (
	primary  = ", PRIMARY KEY (id)"
	identity = "ALTER TABLE TABLE REPLICA IDENTITY FULL"
)

// onID is the key of most tables; nobody changes it.
var onID = []string{"id"}

// loadTables are the tables of the workload, made anew because DDL changes them.
func loadTables() []*loadTable {
	list := slices.Concat(namedTables(), keyedTables(), changingTables())
	for _, t := range list {
		if t.namespace == "" {
			t.namespace = "shop"
		}
	}
	return list
}

// namedTables have many types, large values and odd names.
func namedTables() []*loadTable {
	return []*loadTable{
		{name: "plain", definition: simpleColumns + primary, key: onID, columns: simple(), keyMoves: true},
		{
			name: "kinds", id: "bigint", key: onID, columns: kinds(),
			definition: ", i2 smallint, i8 bigint, f4 real, " +
				"f8 double precision, b boolean, num numeric(10,2), d date, ts timestamp, tz timestamptz, u uuid, " +
				"raw bytea, js jsonb, c char(8)" + primary,
		},
		{
			name: "texts", id: "text", definition: simpleColumns + primary, key: onID, columns: simple(),
			keyMoves: true,
		},
		{
			name: "composite", definition: ", part text NOT NULL, n int, PRIMARY KEY (part, id)",
			key: []string{"id", "part"}, keyMoves: true, columns: map[string]func(*rand.Rand) string{
				"part": pick("'a'", "'\u00fc'"), "n": integer,
			},
		},
		{
			name: "toast", definition: ", n int, big text" + primary, key: onID,
			columns: map[string]func(*rand.Rand) string{"n": integer, "big": large}, keyMoves: true,
		},
		{
			name: "toast_full", definition: ", n int, big text" + primary, key: onID, full: true, keyMoves: true,
			after: identity, columns: map[string]func(*rand.Rand) string{"n": integer, "big": large},
		},
		{
			namespace: "Odd.Schema", name: `Weird ".Name`, key: onID, keyMoves: true,
			definition: `, "odd col" int, "sel""from" text, "1st" int NOT NULL` + primary,
			columns:    map[string]func(*rand.Rand) string{"odd col": integer, `sel"from`: words, "1st": digits},
		},
		{
			namespace: "Odd.Schema", name: "caf\u00e9", definition: ", \"na\u00efve\" text, \"\u65e5\u672c\" int" +
				primary,
			key: onID, columns: map[string]func(*rand.Rand) string{"na\u00efve": words, "\u65e5\u672c": integer},
		},
	}
}

// keyedTables have other keys than a primary one, or columns of other kinds, or partitions.
func keyedTables() []*loadTable {
	return []*loadTable{
		{name: "keyless", definition: simpleColumns, columns: simple(), full: true, after: identity},
		{
			name: "key_by_config", definition: simpleColumns, key: onID, columns: simple(), full: true,
			after: identity,
		},
		{
			name: "by_index", definition: " NOT NULL UNIQUE" + simpleColumns, key: onID, columns: simple(),
			keyMoves: true,
			after:    "ALTER TABLE TABLE REPLICA IDENTITY USING INDEX by_index_id_key",
		},
		{
			name: "derived", definition: ", n int, v text, gen_n int GENERATED ALWAYS AS (n * 2) STORED" + primary,
			key: onID, columns: simple(),
		},
		{
			name: "arrays", definition: ", mood shop.mood, dom shop.positive, ai int[], at text[]" + primary,
			key: onID,
			columns: map[string]func(*rand.Rand) string{
				"mood": pick("'sad'", "'happy'", "NULL"),
				"dom":  pick("1", "2", "NULL"), "ai": pick("'{1,NULL,3}'", "'{}'", "NULL"),
				"at": pick(`'{a,"b c",NULL}'`, "NULL"),
			},
		},
		{
			name: "parts", definition: ", region text NOT NULL, n int, " +
				"PRIMARY KEY (id, region)) PARTITION BY LIST (region",
			key: []string{"id", "region"}, keyMoves: true, leaves: []string{"parts_eu", "parts_us"},
			after: "CREATE TABLE shop.parts_eu PARTITION OF TABLE FOR VALUES IN ('eu'); " +
				"CREATE TABLE shop.parts_us PARTITION OF TABLE FOR VALUES IN ('us')",
			columns: map[string]func(*rand.Rand) string{"region": pick("'eu'", "'us'"), "n": integer},
		},
		{
			name: "ranged", definition: simpleColumns + primary + ") PARTITION BY RANGE (id", key: onID,
			columns: simple(),
			leaves:  []string{"ranged_low", "ranged_high"}, keyMoves: true,
			after: "CREATE TABLE shop.ranged_low PARTITION OF TABLE FOR VALUES FROM (0) TO (15); " +
				"CREATE TABLE shop.ranged_high PARTITION OF TABLE FOR VALUES FROM (15) TO (100000)",
		},
	}
}

// changingTables are filled by COPY, altered and truncated.
func changingTables() []*loadTable {
	return []*loadTable{
		{name: "copied", definition: simpleColumns + primary, key: onID, columns: simple(), copied: true},
		{name: "ddl_add", definition: simpleColumns + primary, key: onID, columns: simple(), ddl: []string{
			"ADD COLUMN added int", "ADD COLUMN filled int NOT NULL DEFAULT 7", "DROP COLUMN added",
			"ALTER COLUMN n SET DEFAULT 4",
		}},
		{name: "ddl_drop", definition: simpleColumns + primary, key: onID, columns: simple(), ddl: []string{
			"DROP COLUMN v", "ADD COLUMN v text", "DROP COLUMN n",
		}},
		{name: "ddl_rename", definition: simpleColumns + primary, key: onID, columns: simple(), ddl: []string{
			"RENAME COLUMN v TO w", "RENAME COLUMN n TO v", "RENAME COLUMN w TO n",
		}},
		{
			name: "ddl_type", definition: ", n int, v varchar(40)" + primary, key: onID, columns: simple(),
			ddl: []string{
				"ALTER COLUMN v TYPE text", "ALTER COLUMN n TYPE bigint",
			},
		},
		{name: "trunc_a", definition: simpleColumns + primary, key: onID, columns: simple(), truncated: true},
		{name: "trunc_b", definition: simpleColumns + primary, key: onID, columns: simple(), truncated: true},
	}
}

// loadSetup returns the SQL that makes the tables, with a journal that triggers write in the transactions of
// the changes: rows of one key are locked until the end of a transaction, so that its order by key is commit
// order.
func loadSetup(tables []*loadTable) string {
	var b strings.Builder
	b.WriteString(`CREATE SCHEMA shop; CREATE SCHEMA "Odd.Schema"; CREATE SCHEMA audit;
		CREATE TYPE shop.mood AS ENUM ('sad', 'happy'); CREATE DOMAIN shop.positive AS int CHECK (VALUE > 0);
		CREATE TABLE audit.journal (seq bigserial PRIMARY KEY, name text, op text, old jsonb, new jsonb);
		CREATE FUNCTION audit.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO audit.journal (name, op, old, new) SELECT TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, TG_OP,
				CASE WHEN TG_OP IN ('UPDATE', 'DELETE') THEN to_jsonb(OLD) END,
				CASE WHEN TG_OP IN ('UPDATE', 'INSERT') THEN to_jsonb(NEW) END;
			RETURN NULL;
		END $$;
	`)
	for _, t := range tables {
		id := t.id
		if id == "" {
			id = "int"
		}
		statements := fmt.Sprintf("CREATE TABLE TABLE (id %s%s); %s;", id, t.definition, t.after) +
			"CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON TABLE FOR EACH ROW EXECUTE FUNCTION audit.note();"
		if t.leaves == nil {
			statements += "CREATE TRIGGER note_all AFTER TRUNCATE ON TABLE FOR EACH STATEMENT " +
				"EXECUTE FUNCTION audit.note();"
		}
		// "CREATE TABLE TABLE", "ALTER TABLE TABLE", "PARTITION OF TABLE", "ON TABLE": the second word is
		// the name.
		for _, before := range []string{"CREATE TABLE ", "ALTER TABLE ", "PARTITION OF ", " ON "} {
			statements = strings.ReplaceAll(statements, before+"TABLE", before+t.quoted())
		}
		b.WriteString(statements + "\n")
	}
	return b.String()
}

package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
)

func TestColumnPattern(t *testing.T) {
	for _, test := range []struct {
		list, column string
		want         bool
	}{
		{"public.users.secret", "public.users.secret", true},
		{"public.users.secret", "public.users.secrets", false},
		{"public.users.secret", "xpublic.users.secret", false},
		{`a\.b\.c, public\.users\..*`, "public.users.x", true},
		{"PUBLIC.USERS.SECRET", "public.users.secret", true},
		{`public.t.x{1\,2}`, "public.t.xx", true},
		{"a.b.c|d,e", "e", true},
		{"a.b.c|d,e", "a.b.ce", false},
	} {
		p, err := ColumnPattern(test.list)
		if err != nil {
			t.Errorf("%q: %v", test.list, err)
			continue
		}
		if got := p.MatchString(test.column); got != test.want {
			t.Errorf("%q matches %q: %v, want %v", test.list, test.column, got, test.want)
		}
	}
	for _, bad := range []string{"", " , ", "a,(b"} {
		if _, err := ColumnPattern(bad); err == nil {
			t.Errorf("%q makes a pattern", bad)
		}
	}
}

// ruleOptions returns options with one rule for the column name of ordersTable.
func ruleOptions(debezium bool, rule ColumnRule) Options {
	o := ordersOptions()
	o.Debezium = debezium
	rule.Columns = regexp.MustCompile(`\.name$`)
	o.Columns = []ColumnRule{rule}
	return o
}

func TestRules(t *testing.T) {
	sha := func(text string) string {
		sum := sha256.Sum256([]byte("pepper" + text))
		return hex.EncodeToString(sum[:])
	}
	hash := ColumnRule{Action: Hash, Hash: "SHA-256", Salt: []byte("pepper")}
	mask := ColumnRule{Action: Mask, Length: 3}
	cut := func(n int) ColumnRule { return ColumnRule{Action: Truncate, Length: n} }
	const placeholder = "__debezium_unavailable_value"
	value, absent, unsent := textOf("Al"), Datum{Kind: Absent}, Datum{Kind: Unchanged}
	face := textOf("a\u00e9\U0001f600b") // the face is two UTF-16 units, a pair
	for _, test := range []struct {
		name     string
		rule     ColumnRule
		debezium bool
		datum    Datum
		want     string
	}{
		{"mask", mask, false, value, "***"},
		{"mask of an absent value", mask, false, absent, "***"},
		{"mask of an unsent value", mask, false, unsent, "***"},
		{"mask of nothing", ColumnRule{Action: Mask}, false, value, ""},
		{"truncate", cut(1), false, value, "A"},
		{"truncate longer", cut(9), false, value, "Al"},
		{"truncate before a pair", cut(2), false, face, "a\u00e9"},
		{"truncate in a pair", cut(3), false, face, "a\u00e9"},
		{"truncate in a pair, Java", cut(3), true, face, "a\u00e9?"},
		{"truncate after a pair", cut(4), true, face, "a\u00e9\U0001f600"},
		{"truncate an unsent value", cut(4), false, unsent, placeholder},
		{"truncate an unsent value, Debezium", cut(4), true, unsent, "__de"},
		{"hash", hash, false, value, sha("Al")},
		{"hash of an absent value", hash, false, absent, sha("")},
		{"hash of an unsent value", hash, false, unsent, placeholder},
		{"hash of an unsent value, Debezium", hash, true, unsent, sha(placeholder)},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := mustCompile(t, ordersTable(), ruleOptions(test.debezium, test.rule))
			row := ordersRow()
			row[1] = test.datum
			for range 2 { // the second value must not see the first one's scratch
				if got := after(t, c, row)["name"]; got != test.want {
					t.Errorf("name is %q, want %q", got, test.want)
				}
			}
		})
	}
}

func TestRulesAllocate(t *testing.T) {
	for _, rule := range []ColumnRule{
		{Action: Mask, Length: 3}, {Action: Truncate, Length: 1}, {Action: Hash, Hash: "SHA-512"},
	} {
		c := mustCompile(t, ordersTable(), ruleOptions(false, rule))
		e := ordersEnvelope()
		room := make([]byte, 0, 4096)
		run := func() {
			if _, err := c.AppendValue(room, &e); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("action %d: %v allocations per row", rule.Action, n)
		}
	}
}

func TestHashOfJavaObject(t *testing.T) {
	// "a" in an ObjectOutputStream is aced 0005 74 0001 61.
	sum := sha256.Sum256([]byte("salt\xac\xed\x00\x05t\x00\x01a"))
	rule := ColumnRule{Action: Hash, Hash: "SHA-256", Salt: []byte("salt"), JavaObject: true}
	c := mustCompile(t, ordersTable(), ruleOptions(true, rule))
	row := ordersRow()
	row[1] = textOf("a")
	if got := after(t, c, row)["name"]; got != hex.EncodeToString(sum[:]) {
		t.Errorf("name is %q, want %x", got, sum)
	}
}

func TestHashFitsTheColumn(t *testing.T) {
	r := ordersTable()
	r.Columns[1].Type, r.Columns[1].TypMod = varcharType, 10+4
	c := mustCompile(t, r, ruleOptions(false, ColumnRule{Action: Hash, Hash: "MD5"}))
	if got := after(t, c, ordersRow())["name"].(string); len(got) != 10 {
		t.Errorf("the hash in a varchar(10) is %q", got)
	}
}

func TestRulesOnOtherTypes(t *testing.T) {
	rule := ColumnRule{Action: Mask, Length: 3}
	o := ruleOptions(false, rule)
	o.Columns[0].Columns = regexp.MustCompile(`\.amount$`)
	_, err := Compile(ordersTable(), "t", o)
	if err == nil || !strings.Contains(err.Error(), "amount (numeric)") {
		t.Errorf("mask of a numeric: %v", err)
	}
	// Debezium says masked, and writes the number.
	o.Debezium = true
	c := mustCompile(t, ordersTable(), o)
	got := after(t, c, ordersRow())["amount"]
	if got == nil || !strings.Contains(c.ValueSchema(), `"masked":"true"`) {
		t.Errorf("amount is %v under %s", got, c.ValueSchema())
	}
	o = ruleOptions(false, ColumnRule{Action: Hash, Hash: "CRC"})
	if _, err := Compile(ordersTable(), "t", o); err == nil {
		t.Error("CRC is an algorithm")
	}
}

func TestRulesSpareTheKey(t *testing.T) {
	r := ordersTable()
	r.Key = []int{1}
	c := mustCompile(t, r, ruleOptions(false, ColumnRule{Action: Exclude}))
	key, err := c.AppendKey(nil, ordersRow())
	if err != nil || string(key) != "\x04Al" {
		t.Errorf("key is %x (%v)", key, err)
	}
	if _, found := after(t, c, ordersRow())["name"]; found {
		t.Error("the excluded column is in after")
	}
}

func TestIncludeRules(t *testing.T) {
	c := mustCompile(t, ordersTable(), ruleOptions(false, ColumnRule{Action: Include}))
	if got := after(t, c, ordersRow()); len(got) != 1 || got["name"] != "Al" {
		t.Errorf("after is %v, want the name alone", got)
	}
}

// TestJDBCSize has what pgjdbc 42.7's TypeInfoCache gives.
func TestJDBCSize(t *testing.T) {
	for _, test := range []struct {
		typ           string
		mod           int32
		length, scale int
	}{
		{"int2", -1, 5, 0},
		{"int4", -1, 10, 0},
		{"int8", -1, 19, 0},
		{"bool", -1, 1, 0},
		{"float4", -1, 8, 8},
		{"float8", -1, 17, 17},
		{"numeric", -1, 131089, 0},
		{"numeric", 9<<16 + 4 + 4, 9, 4},
		{"numeric", 5<<16 + 2046 + 4, 5, -2},
		{"varchar", -1, 2147483647, 0},
		{"varchar", 16, 12, 0},
		{"bpchar", 5, 1, 0},
		{"bit", 4, 4, 0},
		{"varbit", -1, 2147483647, 0},
		{"text", -1, 2147483647, 0},
		{"date", -1, 13, 0},
		{"time", -1, 15, 6},
		{"timetz", 0, 14, 0},
		{"timestamp", 3, 26, 3},
		{"timestamp", -1, 29, 6},
		{"timestamptz", 1, 31, 1},
		{"interval", -1, 49, 6},
		{"interval", 0x7fff<<16 | 2, 49, 2},
	} {
		c := &Column{Type: builtin(0, test.typ), TypMod: test.mod}
		if length, scale := jdbcSize(c); length != test.length || scale != test.scale {
			t.Errorf("%s, typmod %d: %d and %d, want %d and %d",
				test.typ, test.mod, length, scale, test.length, test.scale)
		}
	}
}

func TestPropagateByType(t *testing.T) {
	o := ordersOptions()
	o.PropagateTypes = regexp.MustCompile(`(?i)^inventory\.orders\.varchar$`)
	text := mustCompile(t, ordersTable(), o).ValueSchema()
	want := `"connect.parameters":{"__debezium.source.column.type":"VARCHAR",` +
		`"__debezium.source.column.length":"20","__debezium.source.column.scale":"0",` +
		`"__debezium.source.column.name":"status"}`
	if !strings.Contains(text, want) || strings.Count(text, "__debezium.source.column.type") != 1 {
		t.Errorf("%s is not once in %s", want, text)
	}
}

func TestRulePrecedence(t *testing.T) {
	name := regexp.MustCompile(`\.name$`)
	hash := ColumnRule{Columns: name, Action: Hash, Hash: "MD5"}
	mask := ColumnRule{Columns: name, Action: Mask, Length: 2}
	cut := ColumnRule{Columns: name, Action: Truncate, Length: 1}
	for _, test := range []struct {
		name     string
		rules    []ColumnRule
		debezium bool
		spread   bool // propagate the column's type too
		want     string
	}{
		{"native takes the first", []ColumnRule{mask, cut}, false, false, "**"},
		{"native propagates beside", []ColumnRule{mask}, false, true, "**"},
		{"Debezium truncates first", []ColumnRule{hash, mask, cut}, true, false, "A"},
		{"Debezium masks before it hashes", []ColumnRule{hash, mask}, true, false, "**"},
		{"Debezium propagates instead of hashing", []ColumnRule{hash}, true, true, "Al"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := ordersOptions()
			o.Columns, o.Debezium = test.rules, test.debezium
			if test.spread {
				o.PropagateColumns = name
			}
			c := mustCompile(t, ordersTable(), o)
			if got := after(t, c, ordersRow())["name"]; got != test.want {
				t.Errorf("name is %q, want %q", got, test.want)
			}
			told := strings.Contains(c.ValueSchema(), "__debezium.source.column.type")
			if told != test.spread {
				t.Errorf("the type is told: %v, want %v", told, test.spread)
			}
		})
	}
}

func TestHashAlgorithms(t *testing.T) {
	for name, digits := range map[string]int{
		"MD5": 32, "sha-1": 40, "SHA-256": 64, "SHA-384": 96, "SHA-512": 128,
	} {
		c := mustCompile(t, ordersTable(), ruleOptions(false, ColumnRule{Action: Hash, Hash: name}))
		if got := after(t, c, ordersRow())["name"].(string); len(got) != digits {
			t.Errorf("%s is %q, want %d digits", name, got, digits)
		}
	}
}

// TestJavaString has the bytes of java.io.ObjectOutputStream.writeObject.
func TestJavaString(t *testing.T) {
	got := string(appendJavaString(nil, []byte("a\u00e9\U0001f600")))
	if want := "\xac\xed\x00\x05t\x00\x09a\u00e9\xed\xa0\xbd\xed\xb8\x80"; got != want {
		t.Errorf("string is %x, want %x", got, want)
	}
	long := appendJavaString(nil, make([]byte, 0x10000))
	want := "\xac\xed\x00\x05|\x00\x00\x00\x00\x00\x01\x00\x00"
	if string(long[:13]) != want || len(long) != 13+0x10000 {
		t.Errorf("a long string starts with %x, want %x", long[:13], want)
	}
}

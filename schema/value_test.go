package schema

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// benchValues are the common types with a value of ordinary size.
var benchValues = []struct{ typ, text string }{
	{"bool", "t"},
	{"int2", "12345"},
	{"int4", "1234567890"},
	{"int8", "1234567890123456789"},
	{"float4", "3.1415927"},
	{"float8", "3.141592653589793"},
	{"numeric/655366", "12345678.90"},
	{"numeric/2490382", "123456789012345678901234.12345678"},
	{"numeric", "1234567.891"},
	{"money", "$1,234,567.89"},
	{"text", "the quick brown fox jumps over the lazy dog"},
	{"varchar/44", "someone@example.com"},
	{"uuid", "6f1b2b7c-1d0e-4f6e-9f4b-3b0a4c1d2e3f"},
	{"jsonb", `{"a": [1, 2, {"b": null}]}`},
	{"enum(sad,ok,happy)", "happy"},
	{"bytea", `\xdeadbeefdeadbeefdeadbeefdeadbeef`},
	{"bit/16", "0000000100000010"},
	{"date", "2024-02-29"},
	{"time", "01:02:03.456789"},
	{"timetz", "01:02:03.456789+02"},
	{"timestamp", "2024-02-29 12:34:56.789012"},
	{"timestamptz", "2024-02-29 12:34:56.789012+00"},
	{"interval", "1 year 2 mons 3 days 04:05:06.78"},
	{"point", "(1.5,-2.25)"},
	{"geometry", "0101000020E6100000000000000000F03F0000000000000040"},
	{"hstore", `"a"=>"1", "b"=>NULL`},
	{"vector", "[1,2.5,-3]"},
	{"_int4", "{1,2,NULL,4}"},
	{"_text", `{plain,"in quotes","with \"escape\""}`},
}

func BenchmarkValue(b *testing.B) {
	for _, v := range benchValues {
		c, _ := compileOne(b, Options{}, testColumn(v.typ))
		text := []byte(v.text)
		b.Run(strings.ReplaceAll(v.typ, "/", "."), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			var w writer
			for b.Loop() {
				w.dst = w.dst[:0]
				if err := c.write(&w, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestValuesDoNotAllocate(t *testing.T) {
	modes := []Options{
		{},
		{Debezium: true, Time: TimeISOString, Interval: IntervalString, Binary: BinaryBase64, Hstore: HstoreMap},
		{Decimal: DecimalString, Time: TimeConnect, Binary: BinaryHex},
		{Decimal: DecimalDouble, Time: TimeNanos},
	}
	for _, o := range modes {
		for _, v := range benchValues {
			for _, json := range []bool{false, true} {
				c, _ := compileOne(t, o, testColumn(v.typ))
				w, text := writer{json: json}, []byte(v.text)
				var err error
				got := testing.AllocsPerRun(10, func() {
					w.dst = w.dst[:0]
					err = errors.Join(err, c.write(&w, text))
				})
				if got != 0 || err != nil {
					t.Errorf("%s %q: %v allocations, error %v", v.typ, v.text, got, err)
				}
			}
		}
	}
}

// badTexts are texts that Postgres never prints, and what reading them says.
var badTexts = []struct{ typ, text, want string }{
	{"bool", "true", "read boolean: want t or f at byte 0"},
	{"bool", "", "read boolean: want t or f at byte 0"},
	{"int2", "32768", "read integer: want a number of 16 bits at byte 4"},
	{"int4", "-2147483649", "read integer: want a number of 32 bits at byte 10"},
	{"int8", "12x", "read integer: want a digit at byte 2"},
	{"int8", "-", "read integer: want a digit at byte 1"},
	{"int4", "", "read integer: want a digit at byte 0"},
	{"oid", "-1", "read oid: want a digit at byte 0"},
	{"oid", "4294967296", "read integer: want a number of 33 bits at byte 9"},
	{"float8", "0x1p4", "read number: want a digit at byte 1"},
	{"float8", "1_0", "read number: want a digit at byte 1"},
	{"float8", "1e", "read number: want a digit at byte 2"},
	{"numeric/655366", "1e5", "read numeric: want a digit at byte 1"},
	{"numeric", "1.", "read numeric: want a digit at byte 2"},
	{"numeric", ".5", "read numeric: want a digit at byte 0"},
	{"numeric", "1.2.3", "read numeric: want a digit at byte 3"},
	{"numeric", "-", "read numeric: want a digit at byte 1"},
	{"money", "1 EUR", "read money: want a digit at byte 1"},
	{"bytea", "abc", `read bytea: want \x at byte 0`},
	{"bytea", `\x0g`, "read bytea: want a hexadecimal digit at byte 3"},
	{"bytea", `\x012`, "read bytea: want an even number of hexadecimal digits at byte 5"},
	{"bit/3", "102", "read bit string: want 0 or 1 at byte 2"},
	{"date", "2024-02-30", "read date: want a day of the calendar at byte 0"},
	{"date", "2023-02-29", "read date: want a day of the calendar at byte 0"},
	{"date", "2024-13-01", "read date: want a month at byte 5"},
	{"date", "29/02/2024", "read date: want a digit at byte 2"},
	{"date", "2024-02-29 AD", "read date: want BC at byte 11"},
	{"date", "2024-02-29x", "read date: want the end at byte 10"},
	{"time", "24:00:01", "read time: want a time of day at byte 0"},
	{"time", "12:60:00", "read time: want a minute at byte 3"},
	{"time", "12:00", "read time: want a colon at byte 5"},
	{"time", "12:00:00.1234567", "read time: want the end at byte 15"},
	{"timetz", "12:00:00", "read time with time zone: want an offset at byte 8"},
	{"timestamp", "2024-02-29T12:00:00", "read timestamp: want a space at byte 10"},
	{"timestamptz", "2024-02-29 12:00:00", "read timestamp: want an offset at byte 19"},
	{"interval", "1 fortnight", "read interval: want a unit at byte 2"},
	{"interval", "P1Y", "read interval: want a digit at byte 0"},
	{"interval", "", "read interval: want a digit at byte 0"},
	{"point", "1,2", "read point: want two numbers in parentheses at byte 0"},
	{"point", "(1,x)", "read point: want a number at byte 3"},
	{"geometry", "0101", "read geometry: want a byte order and a type at byte 0"},
	{"geometry", "zz", "read geometry: want a hexadecimal digit at byte 0"},
	{"geometry", "0101000020E6", "read geometry: want a spatial reference id at byte 10"},
	{"hstore", `"a"=>1`, `read hstore: want " at byte 5`},
	{"hstore", `"a"=>"1"x`, "read hstore: want ,  at byte 8"},
	{"hstore", `"a`, "read hstore: want a closing quote at byte 2"},
	{"hstore", `"a"=>`, `read hstore: want " at byte 5`},
	{"vector", "1,2", "read vector: want brackets at byte 0"},
	{"vector", "[1,]", "read vector: want a number at byte 3"},
	{"vector", "[1,x,2]", "read vector: want a number at byte 3"},
	{"sparsevec", "{1:1}", "read sparse vector: want {...}/n at byte 0"},
	{"sparsevec", "{1=1}/5", "read sparse vector: want a number at byte 1"},
	{"_int4", "1,2", "read array: want an opening brace at byte 0"},
	{"_int4", "{1,2", "read array: want a closing brace at byte 4"},
	{"_int4", "{1,2}x", "read array: want the end at byte 5"},
	{"_int4", "{1,,2}", "read array: want an item at byte 3"},
	{"_int4", "{1,}", "read array: want an item at byte 3"},
	{"_int4", "{1,x}", "read array of integer: want a digit at byte 3"},
	{"_text", `{"a}`, "read array: want a closing quote at byte 4"},
	{"_text", `{"a"b}`, "read array: want a comma or a closing brace at byte 4"},
	{"_text", "", "read array: want an opening brace at byte 0"},
}

// TestBadText checks that an error says where, and holds nothing of the value.
func TestBadText(t *testing.T) {
	for _, c := range badTexts {
		compiled, _ := compileOne(t, Options{}, testColumn(c.typ))
		err := compiled.write(&writer{}, []byte(c.text))
		var syntax *syntaxError
		if !errors.As(err, &syntax) || err.Error() != c.want {
			t.Errorf("%s %q: error %v, want %s", c.typ, c.text, err, c.want)
		}
	}
}

// TestDigits checks numerics of every length up to beyond the stack's room against math/big.
func TestDigits(t *testing.T) {
	for n := 1; n < 900; n += 1 + n/40 {
		nines, zeros := strings.Repeat("9", n), strings.Repeat("0", n-1)
		for _, digits := range []string{nines, "1" + zeros, strings.Repeat("5", n)} {
			for _, text := range []string{digits, "-" + digits, "0." + digits, "-1." + digits} {
				checkDecimal(t, []byte(text))
			}
		}
	}
	for shift := range 200 {
		for _, delta := range []int64{-1, 0, 1} {
			v := new(big.Int).Lsh(big.NewInt(1), uint(shift))
			v.Add(v, big.NewInt(delta))
			checkDecimal(t, []byte(v.String()))
			checkDecimal(t, []byte(v.Neg(v).String()))
		}
	}
}

// checkDecimal compares one numeric with math/big, in value and in length.
func checkDecimal(t *testing.T, text []byte) {
	t.Helper()
	d, err := parseDecimal(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	got := appendUnscaled(nil, &d, len(d.fraction))
	want, ok := new(big.Int).SetString(strings.Replace(string(text), ".", "", 1), 10)
	if !ok {
		t.Fatalf("%s: the oracle does not read it", text)
	}
	if have := fromTwos(got); have.Cmp(want) != 0 {
		t.Errorf("%s: %x is %s", text, got, have)
	}
	// The least length has room for the magnitude and one bit of sign; -2^n needs one bit less.
	magnitude := new(big.Int).Set(want)
	if want.Sign() < 0 {
		magnitude.Not(want)
	}
	if least := magnitude.BitLen()/8 + 1; len(got) != least {
		t.Errorf("%s: %d bytes, want %d", text, len(got), least)
	}
}

// fromTwos reads a big-endian two's complement number.
func fromTwos(b []byte) *big.Int {
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return v
}

func FuzzNumeric(f *testing.F) {
	for _, seed := range []string{
		"0", "-0.00", "12.340", "99999999999999999999.5", "NaN", "-Infinity", "1e5", ".",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := parseDecimal(text)
		rat, ok := new(big.Rat).SetString(string(text))
		plain := !bytes.ContainsAny(text, "eEpPxXbBoO_/+") && len(text) > 0
		if err != nil || d.special != finite {
			if ok && plain && text[len(text)-1] != '.' && text[0] != '.' && !bytes.HasPrefix(text, []byte("-.")) {
				t.Fatalf("%q is a number, got %v", text, err)
			}
			return
		}
		if !ok {
			t.Fatalf("%q is no number", text)
		}
		checkDecimal(t, text)
		d.fraction = d.trimmed()
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(len(d.fraction))), nil)
		got := new(big.Rat).SetFrac(fromTwos(appendUnscaled(nil, &d, len(d.fraction))), scale)
		if got.Cmp(rat) != 0 {
			t.Fatalf("%q: %s", text, got)
		}
	})
}

// TestCalendar goes through the days around every leap day in the range of the time package's years.
func TestCalendar(t *testing.T) {
	for year := int64(-4800); year <= 12000; year++ {
		for _, month := range []int64{1, 2, 3, 12} {
			want := time.Date(int(year), time.Month(month), 1, 0, 0, 0, 0, time.UTC).Unix() / 86400
			if got := daysOf(year, month, 1); got != want {
				t.Fatalf("%d-%d: %d days, want %d", year, month, got, want)
			}
			next := time.Date(int(year), time.Month(month)+1, 1, 0, 0, 0, 0, time.UTC).Unix() / 86400
			if got := daysIn(year, month); got != next-want {
				t.Fatalf("%d-%d: %d days in the month, want %d", year, month, got, next-want)
			}
			for _, days := range []int64{want - 1, want} {
				y, m, d := civil(days)
				date := time.Unix(days*86400, 0).UTC()
				if int(y) != date.Year() || int(m) != int(date.Month()) || int(d) != date.Day() {
					t.Fatalf("%d days: %d-%d-%d, want %s", days, y, m, d, date)
				}
			}
		}
	}
}

func FuzzTime(f *testing.F) {
	for _, seed := range []string{
		"2024-02-29 12:34:56.789012", "0044-03-15 00:00:00 BC", "12345-01-01 24:00:00", "infinity",
		"2024-02-30 00:00:00", "294276-12-31 23:59:59.999999", "0001-01-01 00:00:00.1",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseTimestamp(text, false)
		// The oracle reads four digits of year, no era, no end of day, and any number of fraction digits.
		want, bad := time.Parse("2006-01-02 15:04:05.999999", string(text))
		if bad == nil && !strings.HasPrefix(string(text), want.Format("2006-01-02 15:04:05")) {
			return // it also reads hours of one digit
		}
		if comma := bytes.IndexByte(text, ','); comma >= 0 || len(text) > 26 {
			return
		}
		if bad == nil && want.Year() > 0 && err != nil {
			t.Fatalf("%q is %s, got %v", text, want, err)
		}
		if err != nil || m.infinity != 0 {
			return
		}
		if bad == nil {
			if v, ok := m.unixMicros(); !ok || v != want.UnixMicro() {
				t.Fatalf("%q: %d, want %d", text, v, want.UnixMicro())
			}
		}
		if m.micros < 0 || m.micros >= microsPerDay {
			t.Fatalf("%q: %d microseconds in the day", text, m.micros)
		}
		// What is printed must read back as the same moment.
		w := writer{}
		writeInstant(&w, m, 6)
		iso := string(w.scratch)
		if m.days < daysOf(10000, 1, 1) && m.days >= daysOf(1, 1, 1) {
			back, err := time.Parse(time.RFC3339Nano, iso)
			if v, _ := m.unixMicros(); err != nil || back.UnixMicro() != v {
				t.Fatalf("%q prints as %s: %v", text, iso, err)
			}
		}
	})
}

// renderArray is array_out for one dimension, from its documentation: quotes around what is empty, is
// NULL, or has a brace, comma, quote, backslash or space in it.
func renderArray(items []string) string {
	for i, item := range items {
		if item == "" || strings.EqualFold(item, "null") || strings.ContainsAny(item, "{},\"\\ \t\n\r\v\f") {
			items[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(item) + `"`
		}
	}
	return "{" + strings.Join(items, ",") + "}"
}

func FuzzArray(f *testing.F) {
	for _, seed := range []string{
		"{}", `{a,"b c","d\"e",NULL,""}`, "[0:1]={1,2}", "{{1},{2}}", "a\x00b", `"`, "{,}",
	} {
		f.Add([]byte(seed))
	}
	compiled, _ := compileOne(f, Options{}, testColumn("_text"))
	f.Fuzz(func(t *testing.T, input []byte) {
		// The input as a list of items must come back as it is.
		items := strings.Split(string(input), "\x00")
		w := writer{}
		if err := compiled.write(&w, []byte(renderArray(slices.Clone(items)))); err != nil {
			t.Fatalf("%q: %v", items, err)
		}
		r := datumReader{rest: w.dst}
		if n := r.long(); n != int64(len(items)) {
			t.Fatalf("%q: %d items", items, n)
		}
		for _, item := range items {
			if branch := r.long(); branch != 1 {
				t.Fatalf("%q: branch %d", items, branch)
			}
			if got := string(r.take(r.long())); got != item {
				t.Fatalf("%q: got %q", items, got)
			}
		}
		// As an array's text it is an array or an error, and never a datum that does not read back.
		w = writer{}
		if err := compiled.write(&w, input); err != nil {
			return
		}
		r = datumReader{rest: w.dst}
		n := *compiled.node
		n.optional = false
		if r.value(&n); r.err != nil || len(r.rest) > 0 {
			t.Fatalf("%q: datum %x: %v", input, w.dst, r.err)
		}
	})
}

// TestIntervalRounding checks that an interval's exact length and Debezium's differ by rounding alone.
func TestIntervalRounding(t *testing.T) {
	for years := int64(-900); years <= 900; years += 7 {
		v := interval{years: years, months: years % 12, days: years * 3, hours: years * 5}
		v.minutes, v.seconds, v.fraction = 59, 1, 999999
		exact, err := v.micros()
		if err != nil {
			t.Fatal(err)
		}
		rounded, err := v.roundedMicros()
		if err != nil || math.Abs(float64(exact-rounded)) > 16 {
			t.Errorf("%+v: %d, rounded %d, %v", v, exact, rounded, err)
		}
	}
}

package schema

import (
	"math/big"
	"testing"
)

// keyHeader returns the header of a table of one key column.
func keyHeader(t *testing.T, c Column, o Options, d Datum) string {
	t.Helper()
	c.Name = "k"
	r := &Relation{Namespace: "public", Name: "t", Key: []int{0}, Columns: []Column{c}}
	header, err := mustCompile(t, r, o).AppendKeyHeader([]byte("x"), Row{d})
	if err != nil || header[0] != 'x' {
		t.Fatalf("header %q: %v", header, err)
	}
	return string(header[1:])
}

// TestKeyHeader has what Values.convertToString of Kafka Connect gives: close to JSON, and none.
func TestKeyHeader(t *testing.T) {
	for _, test := range []struct {
		name string
		typ  *Type
		mod  int32
		mode TimeMode
		in   Datum
		want string
	}{
		{"integer", int4Type, -1, 0, textOf("-7"), `{"k":-7}`},
		{"string", textType, -1, 0, textOf("a\"b\\c\n\u00e9"), "{\"k\":\"a\\\"b\\\\c\n\u00e9\"}"},
		{"null", textType, -1, 0, Datum{}, `{"k":null}`},
		{"boolean", boolType, -1, 0, textOf("t"), `{"k":true}`},
		{"bytes", byteaType, -1, 0, textOf(`\x00ff`), `{"k":"AP8="}`},
		{"double", float8Type, -1, 0, textOf("1e10"), `{"k":1.0E10}`},
		{"no number", float8Type, -1, 0, textOf("NaN"), `{"k":NaN}`},
		{"decimal", numericType, 10<<16 + 2 + 4, 0, textOf("-12.30"), `{"k":-12.30}`},
		{"struct", numericType, -1, 0, textOf("1.5"), `{"k":{"scale":1,"value":"Dw=="}}`},
		{"Connect date", builtin(1082, "date"), -1, TimeConnect, textOf("2024-02-29"), `{"k":2024-02-29}`},
		{"Connect time", builtin(1083, "time"), -1, TimeConnect, textOf("10:20:30.5"), `{"k":10:20:30.500Z}`},
		{
			"Connect timestamp", builtin(1114, "timestamp"), -1, TimeConnect, textOf("2024-02-29 10:20:30.5"),
			`{"k":2024-02-29T10:20:30.500Z}`,
		},
		{
			"array", &Type{OID: 1007, Namespace: "pg_catalog", Name: "_int4", Kind: KindArray, Elem: int4Type}, -1, 0,
			textOf("{1,NULL,3}"), `{"k":[1,null,3]}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := ordersOptions()
			o.Time = test.mode
			if got := keyHeader(t, Column{Type: test.typ, TypMod: test.mod}, o, test.in); got != test.want {
				t.Errorf("header %s, want %s", got, test.want)
			}
		})
	}
}

// TestHeaderDecimal has what BigDecimal.toString prints.
func TestHeaderDecimal(t *testing.T) {
	for _, test := range []struct {
		unscaled, scale, want string
	}{
		{"0", "0", "0"},
		{"0", "2", "0.00"},
		{"0", "8", "0E-8"},
		{"123", "0", "123"},
		{"-123", "2", "-1.23"},
		{"5", "2", "0.05"},
		{"123", "9", "1.23E-7"},
		{"123", "8", "0.00000123"},
		{"1", "7", "1E-7"},
		{"1", "-3", "1E+3"},
		{"-125", "-3", "-1.25E+5"},
	} {
		unscaled, _ := new(big.Int).SetString(test.unscaled, 10)
		body := unscaled.Bytes()
		if unscaled.Sign() < 0 { // two's complement in one byte more
			body = new(big.Int).Add(unscaled, new(big.Int).Lsh(big.NewInt(1), uint(8*len(body)+8))).Bytes()
		}
		n := &node{kind: nodeBytes, name: decimalName, params: []param{{"scale", test.scale}}}
		if got := string(appendHeaderDecimal(nil, n, body)); got != test.want {
			t.Errorf("%s of scale %s is %s, want %s", test.unscaled, test.scale, got, test.want)
		}
	}
}

package schema

import (
	"strings"
	"testing"
)

// TestErrorsHoldNoValue writes values that no type takes and looks for them in the errors: row values
// are private, and errors are logged.
func TestErrorsHoldNoValue(t *testing.T) {
	const canary = "canary8817"
	refused := 0
	for i := range pgTypes {
		line := &pgTypes[i]
		typ := builtin(line.oid, line.name)
		if line.oid == 0 {
			typ.Namespace = "public"
		}
		array := &Type{OID: 50000, Namespace: "public", Name: "_" + line.name, Kind: KindArray, Elem: typ}
		for _, typ := range []*Type{typ, array} {
			r := &Relation{Namespace: "public", Name: "t", Columns: []Column{{Name: "c", Type: typ, TypMod: -1}}}
			for _, text := range []string{
				canary, "8817" + canary, "{" + canary, "{8817," + canary + "}", "(" + canary, `"` + canary,
				"\\x" + canary, "$" + canary, "2024-01-01 " + canary, "12:00:00" + canary, "1 year " + canary,
				"8817.8817e" + canary, "[" + canary, "(8817," + canary + ")", `"a"=>"` + canary, "01" + canary,
			} {
				for _, debezium := range []bool{false, true} {
					o := ordersOptions()
					o.Debezium = debezium
					e := Envelope{Op: OpCreate, After: Row{textOf(text)}}
					_, err := mustCompile(t, r, o).AppendValue(nil, &e)
					if err == nil {
						continue
					}
					refused++
					if strings.Contains(err.Error(), "8817") {
						t.Errorf("%s: %v", typ.Name, err)
					}
				}
			}
		}
	}
	if refused < 500 {
		t.Errorf("%d values were refused, too few to say anything", refused)
	}
}

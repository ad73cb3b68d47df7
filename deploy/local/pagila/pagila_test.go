package pagila

import (
	"slices"
	"testing"
)

// TestNames has each city and country another name.
func TestNames(t *testing.T) {
	for _, name := range []string{"city", "country"} {
		i := slices.IndexFunc(Tables, func(t Table) bool { return t.Name == name })
		seen := map[string]int{}
		for n := 1; n <= Tables[i].Rows; n++ {
			first := Tables[i].row(n)[0]
			if seen[first] != 0 {
				t.Errorf("%s %d and %d are both called %s", name, seen[first], n, first)
			}
			seen[first] = n
		}
	}
}

package decoder

import (
	"encoding/json"
	"math"
	"testing"
)

func TestParseLSN(t *testing.T) {
	for _, test := range []struct {
		text string
		want LSN
	}{
		{"0/0", 0},
		{"0/16B3748", 0x16B3748},
		{"0/16b3748", 0x16B3748},
		{"16/B374D848", 0x16_B374D848},
		{"FFFFFFFF/FFFFFFFF", math.MaxUint64},
		{"00000001/00000002", 1<<32 | 2},
	} {
		t.Run(test.text, func(t *testing.T) {
			if got, err := ParseLSN(test.text); err != nil || got != test.want {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
	for _, text := range []string{
		"", "0", "/", "0/", "/0", "1/2/3", "1/2 ", " 1/2", "+1/2", "-1/2", "0x1/2", "1_0/2", "1FFFFFFFF/0",
		"000000001/0", "0/000000001", "G/0", "0/G",
	} {
		t.Run("not "+text, func(t *testing.T) {
			if got, err := ParseLSN(text); err == nil {
				t.Errorf("accepted as %s", got)
			}
		})
	}
}

func TestLSNInJSON(t *testing.T) {
	type stored struct{ Resume LSN }
	text, err := json.Marshal(stored{0x1_0000000A})
	if err != nil || string(text) != `{"Resume":"1/A"}` {
		t.Fatalf("%s, %v", text, err)
	}
	var got stored
	if err := json.Unmarshal(text, &got); err != nil || got.Resume != 0x1_0000000A {
		t.Errorf("%s, %v", got.Resume, err)
	}
	if err := json.Unmarshal([]byte(`{"Resume":"1"}`), &got); err == nil {
		t.Error("accepted an LSN of one number")
	}
}

func TestPositionOrder(t *testing.T) {
	// In the order of the log. A message outside of a transaction that ends where a commit record starts
	// has its LSN, and stands before.
	order := []Position{{}, {0, 1}, {5, 0}, {5, 1}, {5, 2}, {6, 0}, {6, 1}, {math.MaxUint64, 0}}
	for i, a := range order {
		for j, b := range order {
			want := 0
			switch {
			case i < j:
				want = -1
			case i > j:
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%v to %v: got %d, want %d", a, b, got, want)
			}
		}
	}
}

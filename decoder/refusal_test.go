package decoder

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// A refusal says whether it passes by itself, and shows nobody's values.
func TestRefusals(t *testing.T) {
	for code, passes := range map[string]bool{
		"40P01": true, "40001": true, "53300": true, "57014": true, "57P01": true, "58030": true, "08006": true,
		"23505": false, "22P02": false, "42601": false, "42501": false, "28P01": false,
	} {
		err := fault("do it", &pgconn.PgError{Code: code, Message: "no", Detail: "Key (id)=(secret)"})
		if Retryable(err) != passes {
			t.Errorf("%s: retryable %t, want %t", code, Retryable(err), passes)
		}
		if data := code[:2] == "22" || code[:2] == "23"; data && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: shows a value: %v", code, err)
		}
	}
}

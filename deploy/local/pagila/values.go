package pagila

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// Row is a row's columns by name, each value as JSON text.
type Row map[string]string

// asRecord turns a value that Postgres printed into the JSON text that the same value has in a record. It
// knows the types of the tables here and no other.
func asRecord(oid uint32, text []byte) (string, error) {
	if text == nil {
		return "null", nil
	}
	switch oid {
	case pgtype.Int4OID:
		return string(text), nil
	case pgtype.TextOID:
		return quote(string(text))
	case pgtype.BoolOID:
		return strconv.FormatBool(string(text) == "t"), nil
	case pgtype.DateOID: // days since 1970
		day, err := time.Parse(time.DateOnly, string(text))
		return strconv.FormatInt(day.Unix()/(24*60*60), 10), err
	case pgtype.TimestamptzOID: // always UTC, always six digits
		at, err := time.Parse("2006-01-02 15:04:05.999999-07", string(text))
		if err != nil {
			return "", err
		}
		return quote(at.UTC().Format("2006-01-02T15:04:05.000000Z"))
	}
	return "", fmt.Errorf("type %d has no comparison here", oid)
}

// quote writes JSON text with the characters that its reader would see.
func quote(text string) (string, error) {
	b, err := json.Marshal(text)
	return string(b), err
}

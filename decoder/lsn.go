package decoder

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a byte position in the write-ahead log: a number that prints as Postgres prints it.
type LSN uint64

// String returns the LSN as Postgres writes it, such as 0/16B3748.
func (l LSN) String() string {
	b := strconv.AppendUint(make([]byte, 0, 17), uint64(l)>>32, 16)
	b = strconv.AppendUint(append(b, '/'), uint64(l)&0xffffffff, 16)
	return strings.ToUpper(string(b))
}

// ParseLSN reads the form that String writes; each half has 1 to 8 hexadecimal digits.
func ParseLSN(s string) (LSN, error) {
	high, low, found := strings.Cut(s, "/")
	if !found || len(high) > 8 || len(low) > 8 {
		return 0, fmt.Errorf("LSN %q: want two hexadecimal numbers of at most 8 digits, such as 0/16B3748", s)
	}
	h, errHigh := strconv.ParseUint(high, 16, 32)
	l, errLow := strconv.ParseUint(low, 16, 32)
	if errHigh != nil || errLow != nil {
		return 0, fmt.Errorf("LSN %q: want two hexadecimal numbers of at most 8 digits, such as 0/16B3748", s)
	}
	return LSN(h<<32 | l), nil
}

// MarshalText writes the LSN as String does.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what ParseLSN reads.
func (l *LSN) UnmarshalText(text []byte) error {
	parsed, err := ParseLSN(string(text))
	if err != nil {
		return err
	}
	*l = parsed
	return nil
}

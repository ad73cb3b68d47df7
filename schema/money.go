package schema

import (
	"math/bits"
	"strconv"
)

// moneyForm is the form of money. Its text depends on lc_monetary, which every session pins to C: a dollar
// sign after the sign of the number, commas between thousands and two fraction digits, as in -$1,234.50.
// The parentheses that other locales put around negative amounts are read too, as by Debezium's driver.
func moneyForm(r request) form {
	digits := r.options.moneyDigits()
	switch r.options.Decimal {
	case DecimalDouble:
		return form{
			node: &node{kind: nodeFloat64}, zero: func(w *writer) { w.float64(0) },
			write: func(w *writer, text []byte) error {
				if err := readMoney(w, text); err != nil {
					return err
				}
				v, _, err := parseFloat(w.scratch, 64)
				if err == nil {
					w.float64(v)
				}
				return err
			},
		}
	case DecimalString:
		f := numericString(r, digits, true)
		f.write = func(w *writer, text []byte) error {
			if err := readMoney(w, text); err != nil {
				return err
			}
			w.text(w.scratch)
			return nil
		}
		return f
	}
	n := named(nodeBytes, decimalName)
	n.params = []param{{"scale", strconv.Itoa(digits)}}
	f := decimalForm(n, digits)
	f.write = func(w *writer, text []byte) error { return writeMoney(w, text, digits) }
	return f
}

// writeMoney writes an amount as a Decimal, rounded half up to so many digits.
func writeMoney(w *writer, text []byte, digits int) error {
	if err := readMoney(w, text); err != nil {
		return err
	}
	d, err := parseDecimal(w.scratch)
	if err != nil {
		return err
	}
	// The digits are read from the scratch memory while the number grows behind them.
	n := len(w.scratch)
	if len(d.fraction) <= digits {
		w.scratch = appendUnscaled(w.scratch, &d, digits)
	} else {
		v, err := roundMoney(&d, digits)
		if err != nil {
			return err
		}
		w.scratch = appendWords(w.scratch, []uint64{v}, d.negative)
	}
	w.bytes(w.scratch[n:])
	return nil
}

// roundMoney returns an amount's magnitude in units of the last of so many digits, rounded half up. An
// amount is 64 bits in Postgres, so its digits fit a word.
func roundMoney(d *decimal, digits int) (uint64, error) {
	var v uint64
	n := len(d.whole) + digits
	for i := range n {
		high, low := bits.Mul64(v, 10)
		sum, carry := bits.Add64(low, d.digit(i), 0)
		if high+carry != 0 {
			return 0, badText("money", "a number of 64 bits", i)
		}
		v = sum
	}
	if d.digit(n) >= 5 {
		v++
	}
	return v, nil
}

// readMoney puts an amount's digits, with its sign and its point, into the scratch memory.
func readMoney(w *writer, text []byte) error {
	w.scratch = w.scratch[:0]
	if len(text) > 0 && (text[0] == '-' || text[0] == '(') {
		w.scratch = append(w.scratch, '-')
	}
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9' || c == '.':
			w.scratch = append(w.scratch, c)
		case c == ',' || c == '$' || c == '-' && i == 0 || c == '(' && i == 0 || c == ')' && i == len(text)-1:
		default:
			// lc_monetary is pinned to C, whose currency sign is the dollar.
			return badText("money", "a digit", i)
		}
	}
	return nil
}

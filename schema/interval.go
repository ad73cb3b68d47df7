package schema

import (
	"errors"
	"math"
	"strconv"
)

// The intervals that a mode has no form for.
var (
	errDuration = &unrepresentable{
		reason: "it is longer than microseconds in 64 bits reach", mode: "interval.handling.mode=string",
	}
	errForever = &unrepresentable{reason: "an infinite interval has no form"}
)

// interval is an interval's fields as Postgres prints them, each with its own sign.
type interval struct {
	years, months, days               int64
	hours, minutes, seconds, fraction int64 // fraction in microseconds; these four have one sign
}

// intervalParser returns the function that reads an interval: with Debezium set an infinite one is none at
// all, since the driver finds no number in it.
func intervalParser(o *Options) func([]byte) (interval, error) {
	if !o.Debezium {
		return parseInterval
	}
	return func(text []byte) (interval, error) {
		v, err := parseInterval(text)
		if errors.Is(err, errForever) {
			return interval{}, nil
		}
		return v, err
	}
}

// parseInterval reads an interval in the style postgres: "1 year 2 mons -3 days +04:05:06.78".
func parseInterval(text []byte) (interval, error) {
	var v interval
	if infinite(text) != 0 {
		return v, errForever
	}
	c := clock{form: "interval", text: text}
	// A clock ends the text; years, months and days before it are left out when they are zero, and a text
	// without any is 00:00:00.
	for first := true; c.err == nil && (first || c.at < len(text)); first = false {
		if !first {
			c.expect(' ', "a space")
		}
		negative := c.take('-')
		if !negative {
			c.take('+')
		}
		start := c.at
		n := c.digits(1, 10)
		if c.take(':') {
			c.at = start
			v.clock(&c, negative)
			break
		}
		if negative {
			n = -n
		}
		c.expect(' ', "a space")
		v.unit(&c, n)
	}
	return v, c.end()
}

// unit reads the name of a unit and sets the field that it stands for.
func (v *interval) unit(c *clock, n int64) {
	start := c.at
	for c.at < len(c.text) && c.text[c.at] != ' ' {
		c.at++
	}
	if c.err != nil {
		return
	}
	switch string(c.text[start:c.at]) {
	case "year", "years":
		v.years = n
	case "mon", "mons":
		v.months = n
	case "day", "days":
		v.days = n
	default:
		c.at = start
		c.fail("a unit")
	}
}

// clock reads the hours, of which there may be any number, and what is below them.
func (v *interval) clock(c *clock, negative bool) {
	v.hours = c.digits(2, 10)
	c.expect(':', "a colon")
	v.minutes = c.ranged(0, 59, "a minute")
	c.expect(':', "a colon")
	v.seconds = c.ranged(0, 59, "a second")
	if c.take('.') {
		v.fraction = c.fraction()
	}
	if negative {
		v.hours, v.minutes, v.seconds, v.fraction = -v.hours, -v.minutes, -v.seconds, -v.fraction
	}
}

// intervalForm is the form of interval. As a number a month is 30.4375 days; as text nothing is converted, so
// that months, days and time stay apart, as they do in Postgres.
func intervalForm(r request) form {
	parse := intervalParser(r.options)
	if r.options.Interval == IntervalString {
		return isoForm("io.debezium.time.Interval", "P0Y0M0DT0H0M0S", func(w *writer, text []byte) error {
			v, err := parse(text)
			if err == nil {
				w.scratch = v.appendISO(w.scratch[:0])
				w.text(w.scratch)
			}
			return err
		})
	}
	micros := interval.micros
	if r.options.Debezium {
		micros = interval.roundedMicros
	}
	n := named(nodeInt64, "io.debezium.time.MicroDuration")
	return form{node: n, zero: zeroInteger, write: func(w *writer, text []byte) error {
		v, err := parse(text)
		if err != nil {
			return err
		}
		length, err := micros(v)
		if err == nil {
			w.integer(length)
		}
		return err
	}}
}

// microsPerMonth is a month of 30.4375 days, the average of the Julian calendar.
const microsPerMonth = 2_629_800_000_000

// micros returns the interval's length.
func (v interval) micros() (int64, error) {
	months := v.years*12 + v.months
	// Each part fits 64 bits alone up to here; the sum of their magnitudes tells whether all together do.
	size := math.Abs(float64(months))*microsPerMonth + math.Abs(float64(v.days))*microsPerDay +
		math.Abs(float64(v.hours))*microsPerHour
	if size > math.MaxInt64/2 {
		return 0, errDuration
	}
	return months*microsPerMonth + v.days*microsPerDay + v.hours*microsPerHour +
		v.minutes*microsPerMinute + v.seconds*microsPerSecond + v.fraction, nil
}

// roundedMicros returns the interval's length as Debezium computes it, in double precision. The
// conversions keep the compiler from joining a product and a sum into one operation, which rounds once
// where Java rounds twice.
func (v interval) roundedMicros() (int64, error) {
	days := float64(float64(v.years*12+v.months)*30.4375) + float64(v.days)
	hours := float64(days*24) + float64(v.hours)
	minutes := float64(hours*60) + float64(v.minutes)
	seconds := float64(v.seconds) + float64(v.fraction)/microsPerSecond
	micros := float64(float64(minutes*60)+seconds) * microsPerSecond
	switch { // Java's conversion stops at the ends of the range
	case micros >= math.MaxInt64:
		return math.MaxInt64, nil
	case micros <= math.MinInt64:
		return math.MinInt64, nil
	}
	return int64(micros), nil
}

// appendISO appends the interval as an ISO 8601 duration of which every part is written.
func (v interval) appendISO(dst []byte) []byte {
	for _, part := range [...]struct {
		n      int64
		prefix string
		unit   byte
	}{
		{v.years, "P", 'Y'}, {v.months, "", 'M'}, {v.days, "", 'D'}, {v.hours, "T", 'H'}, {v.minutes, "", 'M'},
	} {
		dst = append(strconv.AppendInt(append(dst, part.prefix...), part.n, 10), part.unit)
	}
	seconds, fraction := v.seconds, v.fraction
	if seconds < 0 || fraction < 0 {
		dst, seconds, fraction = append(dst, '-'), -seconds, -fraction
	}
	dst = strconv.AppendInt(dst, seconds, 10)
	if fraction != 0 {
		digits := 6
		for ; fraction%10 == 0; digits-- {
			fraction /= 10
		}
		dst = appendPadded(append(dst, '.'), fraction, digits)
	}
	return append(dst, 'S')
}

package schema

import (
	"bytes"
	"math"
)

// The values of dates and times that a mode has no form for.
var (
	errMicros = &unrepresentable{
		reason: "it is outside of what microseconds in 64 bits reach", mode: "time.precision.mode=isostring",
	}
	errNanos = &unrepresentable{
		reason: "it is outside of what nanoseconds in 64 bits reach", mode: "time.precision.mode=microseconds",
	}
)

// What Debezium writes for the infinities, by the index that sentinel gives: positive, then negative.
var (
	// Streamed, these are days of the year -5877611.
	infiniteDays = [2]int64{-2147472692, -2147472691}
	// In a snapshot the driver's milliseconds are beyond the days that fit 32 bits, and wrap around. Which
	// of two neighbouring days it is depends on the zone of the connector's host; these are in UTC.
	infiniteSnapshotDays   = [2]int64{-622191234, -625821272}
	infiniteSnapshotDates  = [2]string{"+292278994-08-16Z", "+292269055-12-02Z"}
	infiniteMicros         = [2]int64{9223372036825200000, -9223372036832400000}
	infiniteMillis         = [2]int64{9223372036825200, -9223372036832400}
	infiniteNanos          = [2]int64{math.MaxInt64, math.MinInt64}
	infiniteISOTimestamps  = [2]string{"+294247-01-10T04:00:25.2Z", "-290308-12-21T19:59:27.6Z"}
	infiniteZonedTimestamp = [2]string{"infinity", "-infinity"}
)

// negativeZonedItem is -infinity in an array: the driver's sentinel without its era.
const negativeZonedItem = "+292269055-12-02T23:00:00.000000Z"

// sentinel returns an infinity's index in the tables above.
func (m moment) sentinel() int {
	if m.infinity > 0 {
		return 0
	}
	return 1
}

// unixMicros returns the microseconds since 1970; false if they do not fit.
func (m moment) unixMicros() (int64, bool) {
	// The last day that fits ends before its midnight, the first one begins after it.
	const last, lastMicros = math.MaxInt64 / microsPerDay, math.MaxInt64 % microsPerDay
	if m.days > last || m.days == last && m.micros > lastMicros || m.days < -last {
		return 0, false
	}
	return m.days*microsPerDay + m.micros, true
}

// dateForm is the form of date: days since 1970, or text. The infinities are days too, and natively the same
// ones in snapshot and stream: those that Debezium streams.
func dateForm(r request) form {
	phases, item := r.options.Debezium, r.item // the driver reads arrays alike in both phases
	parse := func(w *writer, text []byte) (moment, error) {
		if phases && (w.snapshot || item) {
			// The driver's java.sql.Date gives its year without the era.
			text = bytes.TrimSuffix(text, []byte(" BC"))
		}
		return parseDate(text)
	}
	if r.options.Time == TimeISOString {
		return isoForm("io.debezium.time.IsoDate", "1970-01-01Z", func(w *writer, text []byte) error {
			m, err := parse(w, text)
			if err != nil {
				return err
			}
			if m.infinity != 0 {
				if phases && (w.snapshot || item) {
					w.textString(infiniteSnapshotDates[m.sentinel()])
					return nil
				}
				m.days = infiniteDays[m.sentinel()]
			}
			w.scratch = append(appendDate(w.scratch[:0], m.days), 'Z')
			w.text(w.scratch)
			return nil
		})
	}
	name := "io.debezium.time.Date"
	if r.options.Time == TimeConnect {
		name = dateName
	}
	return form{node: named(nodeInt32, name), zero: zeroInteger, write: func(w *writer, text []byte) error {
		m, err := parse(w, text)
		switch {
		case err != nil:
			return err
		case m.infinity != 0 && phases && (w.snapshot || item):
			m.days = infiniteSnapshotDays[m.sentinel()]
		case m.infinity != 0:
			m.days = infiniteDays[m.sentinel()]
		}
		w.integer(m.days)
		return nil
	}}
}

// isoForm is the form of a type that is a text in ISO 8601.
func isoForm(name, zero string, write func(*writer, []byte) error) form {
	return form{node: named(nodeString, name), zero: func(w *writer) { w.textString(zero) }, write: write}
}

// timeDigits returns the declared fraction digits of a type with a precision, six if there are none.
func (r *request) timeDigits() int {
	if r.typmod < 0 || r.typmod > 6 {
		return 6
	}
	return int(r.typmod)
}

// timeParser returns the function that reads a time of day. Debezium has the items of an array from the
// driver as java.sql.Time, which ends at the millisecond and knows no end of the day.
func timeParser(r request) func([]byte) (int64, error) {
	if !r.options.Debezium || !r.item {
		return parseTime
	}
	return func(text []byte) (int64, error) {
		v, err := parseTime(text)
		return (v - v%1000) % microsPerDay, err
	}
}

// timeForm is the form of time without time zone, a number of units since midnight in all modes but one. The
// end of the day, 24:00:00, is a whole day of them.
func timeForm(r request) form {
	parse := timeParser(r)
	scaled := func(kind nodeKind, name string, multiply, divide int64) form {
		return form{node: named(kind, name), zero: zeroInteger, write: func(w *writer, text []byte) error {
			v, err := parse(text)
			if err == nil {
				w.integer(v * multiply / divide)
			}
			return err
		}}
	}
	switch mode := r.options.Time; {
	case mode == TimeISOString:
		debezium := r.options.Debezium
		return isoForm("io.debezium.time.IsoTime", "00:00:00Z", func(w *writer, text []byte) error {
			v, err := parse(text)
			if err != nil {
				return err
			}
			if debezium {
				v %= microsPerDay // the end of the day is its start
			}
			w.scratch = append(appendClock(w.scratch[:0], v, -1), 'Z')
			w.text(w.scratch)
			return nil
		})
	case mode == TimeConnect:
		return scaled(nodeInt32, timeName, 1, 1000)
	case mode == TimeNanos:
		return scaled(nodeInt64, "io.debezium.time.NanoTime", 1000, 1)
	case mode == TimeAdaptive && r.timeDigits() <= 3:
		return scaled(nodeInt32, "io.debezium.time.Time", 1, 1000)
	}
	return scaled(nodeInt64, "io.debezium.time.MicroTime", 1, 1)
}

// timestampForm is the form of timestamp without time zone, whose wall clock is taken for UTC. Adaptive modes
// go by the declared precision: up to three digits are milliseconds, more are microseconds.
func timestampForm(r request) form {
	mode := r.options.Time
	millis := mode == TimeConnect || r.timeDigits() <= 3 && (mode == TimeAdaptive || mode == TimeAdaptiveMicros)
	long := func(name string, write func(*writer, []byte) error) form {
		return form{node: named(nodeInt64, name), zero: zeroInteger, write: write}
	}
	switch {
	case mode == TimeISOString:
		return isoForm("io.debezium.time.IsoTimestamp", "1970-01-01T00:00:00Z", writeISOTimestamp)
	case mode == TimeNanos:
		return long("io.debezium.time.NanoTimestamp", writeNanos)
	case !millis && r.options.Debezium:
		return long("io.debezium.time.MicroTimestamp", writeWrappedMicros)
	case !millis:
		return long("io.debezium.time.MicroTimestamp", writeMicros)
	case mode == TimeConnect:
		return long(timestampName, writeMillis)
	}
	return long("io.debezium.time.Timestamp", writeMillis)
}

// writeMillis writes a timestamp in milliseconds, rounded down.
func writeMillis(w *writer, text []byte) error {
	m, err := parseTimestamp(text, false)
	switch {
	case err != nil:
		return err
	case m.infinity != 0:
		w.integer(infiniteMillis[m.sentinel()])
	default:
		w.integer(m.days*(microsPerDay/1000) + m.micros/1000)
	}
	return nil
}

// writeMicros writes a timestamp in microseconds.
func writeMicros(w *writer, text []byte) error {
	m, err := parseTimestamp(text, false)
	if err != nil {
		return err
	}
	if m.infinity != 0 {
		w.integer(infiniteMicros[m.sentinel()])
		return nil
	}
	v, ok := m.unixMicros()
	if !ok {
		return errMicros
	}
	w.integer(v)
	return nil
}

// writeWrappedMicros is writeMicros with what Java makes of a timestamp that does not fit: its seconds stop
// at the end of the range, and the fraction that is added wraps around.
func writeWrappedMicros(w *writer, text []byte) error {
	m, err := parseTimestamp(text, false)
	if err != nil || m.infinity != 0 {
		return writeMicros(w, text)
	}
	v, ok := m.unixMicros()
	if !ok {
		const lastSecond = math.MaxInt64 / microsPerSecond
		v = math.MaxInt64
		if second := m.days*(microsPerDay/microsPerSecond) + m.micros/microsPerSecond; second <= lastSecond {
			v = second * microsPerSecond
		}
		v += m.micros % microsPerSecond
	}
	w.integer(v)
	return nil
}

// writeNanos writes a timestamp in nanoseconds.
func writeNanos(w *writer, text []byte) error {
	m, err := parseTimestamp(text, false)
	if err != nil {
		return err
	}
	if m.infinity != 0 {
		w.integer(infiniteNanos[m.sentinel()])
		return nil
	}
	v, ok := m.unixMicros()
	if !ok || v > math.MaxInt64/1000 || v < math.MinInt64/1000 {
		return errNanos
	}
	w.integer(v * 1000)
	return nil
}

// writeISOTimestamp writes a timestamp as text, with as few fraction digits as it needs.
func writeISOTimestamp(w *writer, text []byte) error {
	m, err := parseTimestamp(text, false)
	if err != nil {
		return err
	}
	if m.infinity != 0 {
		w.textString(infiniteISOTimestamps[m.sentinel()])
		return nil
	}
	writeInstant(w, m, -1)
	return nil
}

// writeInstant writes an instant as text in UTC, with so many fraction digits or as few as it needs.
func writeInstant(w *writer, m moment, digits int) {
	w.scratch = append(appendDate(w.scratch[:0], m.days), 'T')
	w.scratch = append(appendClock(w.scratch, m.micros, digits), 'Z')
	w.text(w.scratch)
}

// timestamptzForm is the form of timestamp with time zone in every mode: text in UTC, with exactly the
// declared fraction digits.
func timestamptzForm(r request) form {
	digits, item := r.timeDigits(), r.item && r.options.Debezium // the driver loses the era in an array
	const name, zero = "io.debezium.time.ZonedTimestamp", "1970-01-01T00:00:00Z"
	return isoForm(name, zero, func(w *writer, text []byte) error {
		if item {
			text = bytes.TrimSuffix(text, []byte(" BC"))
		}
		m, err := parseTimestamp(text, true)
		if err != nil {
			return err
		}
		switch {
		case m.infinity < 0 && item:
			w.textString(negativeZonedItem)
			return nil
		case m.infinity != 0:
			w.textString(infiniteZonedTimestamp[m.sentinel()])
			return nil
		}
		writeInstant(w, m, digits)
		return nil
	})
}

// timetzForm is the form of time with time zone in every mode: text in UTC, with as few fraction digits as
// it needs.
func timetzForm(r request) form {
	debezium := r.options.Debezium
	return isoForm("io.debezium.time.ZonedTime", "00:00:00Z", func(w *writer, text []byte) error {
		v, offset, err := parseZonedTime(text)
		if err != nil {
			return err
		}
		// The end of the day in UTC is the one time that need not wrap into a day; with Debezium it does.
		if v != microsPerDay || offset != 0 || debezium {
			v -= offset
			v -= floorDiv(v, microsPerDay) * microsPerDay
		}
		w.scratch = append(appendClock(w.scratch[:0], v, -1), 'Z')
		w.text(w.scratch)
		return nil
	})
}

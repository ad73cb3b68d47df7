package schema

// What is read here, under DateStyle ISO and TimeZone UTC:
//
//	date          2024-02-29       0044-03-15 BC    12345-01-01
//	time          01:02:03         01:02:03.456789  24:00:00
//	timetz        01:02:03.4+02    01:02:03-03:30   01:02:03+01:02:03
//	timestamp     2024-02-29 01:02:03.456789 BC
//	timestamptz   2024-02-29 01:02:03.456789+00 BC
//
// The era comes last, behind an offset. The time package reads none of these whole: it has no era, no
// years beyond four digits, no 24:00:00 and no offsets with seconds.

// Units of time in microseconds.
const (
	microsPerSecond = 1_000_000
	microsPerMinute = 60 * microsPerSecond
	microsPerHour   = 60 * microsPerMinute
	microsPerDay    = 24 * microsPerHour
)

// moment is an instant: days since 1970 in the proleptic Gregorian calendar, and microseconds within the
// day. infinity is 1 and -1 for the infinities, which have no other fields.
type moment struct {
	days, micros int64
	infinity     int8
}

// clock reads times from a text, from left to right. After an error it reads nothing more.
type clock struct {
	form string
	text []byte
	at   int
	err  error
}

// fail records that the text does not hold what it should at the current position.
func (c *clock) fail(want string) {
	if c.err == nil {
		c.err = badText(c.form, want, c.at)
	}
}

// digits reads a number of at least least and at most most digits.
func (c *clock) digits(least, most int) int64 {
	start := c.at
	var v int64
	for c.at < len(c.text) && c.at-start < most && c.text[c.at] >= '0' && c.text[c.at] <= '9' {
		v = v*10 + int64(c.text[c.at]-'0')
		c.at++
	}
	if c.at-start < least {
		c.fail("a digit")
	}
	return v
}

// ranged reads two digits that stand for a number from low to high.
func (c *clock) ranged(low, high int64, want string) int64 {
	start := c.at
	v := c.digits(2, 2)
	if c.err == nil && (v < low || v > high) {
		c.at = start
		c.fail(want)
	}
	return v
}

// take reads one byte if it is the next one.
func (c *clock) take(b byte) bool {
	if c.err != nil || c.at == len(c.text) || c.text[c.at] != b {
		return false
	}
	c.at++
	return true
}

// expect reads one byte that must be the next one.
func (c *clock) expect(b byte, want string) {
	if !c.take(b) {
		c.fail(want)
	}
}

// date reads year, month and day; the year is of its era until era has been read.
func (c *clock) date() (year, month, day int64) {
	if t := c.text[c.at:]; len(t) >= 10 && t[4] == '-' && t[7] == '-' {
		// Nearly every date is of this length; what is odd about it the long way finds out.
		century, rest := pair(t), pair(t[2:])
		month, day = pair(t[5:]), pair(t[8:])
		if century|rest >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= 31 {
			c.at += 10
			return century*100 + rest, month, day
		}
	}
	year = c.digits(4, 7)
	c.expect('-', "a hyphen")
	month = c.ranged(1, 12, "a month")
	c.expect('-', "a hyphen")
	return year, month, c.ranged(1, 31, "a day")
}

// pair returns the number of two digits, -1 if they are none.
func pair(t []byte) int64 {
	tens, ones := t[0]-'0', t[1]-'0'
	if tens > 9 || ones > 9 {
		return -1
	}
	return int64(tens)*10 + int64(ones)
}

// timeOfDay reads hours, minutes and seconds with up to six fraction digits, in microseconds. The end of a
// day is 24:00:00.
func (c *clock) timeOfDay() int64 {
	start := c.at
	v, ok := c.wholeSeconds()
	if !ok {
		v = c.ranged(0, 24, "an hour") * microsPerHour
		c.expect(':', "a colon")
		v += c.ranged(0, 59, "a minute") * microsPerMinute
		c.expect(':', "a colon")
		v += c.ranged(0, 60, "a second") * microsPerSecond
	}
	if c.take('.') {
		v += c.fraction()
	}
	if c.err == nil && v > microsPerDay {
		c.at = start
		c.fail("a time of day")
	}
	return v
}

// wholeSeconds reads HH:MM:SS in one step; false is a text that needs a closer look.
func (c *clock) wholeSeconds() (micros int64, ok bool) {
	t := c.text[c.at:]
	if c.err != nil || len(t) < 8 || t[2] != ':' || t[5] != ':' {
		return 0, false
	}
	hour, minute, second := pair(t), pair(t[3:]), pair(t[6:])
	if hour|minute|second < 0 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	c.at += 8
	return hour*microsPerHour + minute*microsPerMinute + second*microsPerSecond, true
}

// fraction reads up to six digits of a second, in microseconds.
func (c *clock) fraction() int64 {
	point := c.at
	v := c.digits(1, 6)
	for range 6 - (c.at - point) {
		v *= 10
	}
	return v
}

// offset reads the offset of a zone, in microseconds east of Greenwich.
func (c *clock) offset() int64 {
	negative := c.take('-')
	if !negative {
		c.expect('+', "an offset")
	}
	v := c.ranged(0, 99, "an hour") * microsPerHour
	if c.take(':') {
		v += c.ranged(0, 59, "a minute") * microsPerMinute
		if c.take(':') {
			v += c.ranged(0, 59, "a second") * microsPerSecond
		}
	}
	if negative {
		return -v
	}
	return v
}

// era reads what may follow a date: 1 BC is the year 0.
func (c *clock) era(year int64) int64 {
	if c.take(' ') {
		c.expect('B', "BC")
		c.expect('C', "BC")
		return 1 - year
	}
	return year
}

// end checks that the text has been read, and returns the first error on the way.
func (c *clock) end() error {
	if c.err == nil && c.at != len(c.text) {
		c.fail("the end")
	}
	return c.err
}

// infinite tells infinity and -infinity.
func infinite(text []byte) int8 {
	switch string(text) {
	case "infinity":
		return 1
	case "-infinity":
		return -1
	}
	return 0
}

// parseDate reads a date.
func parseDate(text []byte) (moment, error) {
	if sign := infinite(text); sign != 0 {
		return moment{infinity: sign}, nil
	}
	c := clock{form: "date", text: text}
	year, month, day := c.date()
	year = c.era(year)
	return c.moment(year, month, day, 0)
}

// parseTimestamp reads a timestamp; zoned says that it has an offset, which is taken away.
func parseTimestamp(text []byte, zoned bool) (moment, error) {
	if sign := infinite(text); sign != 0 {
		return moment{infinity: sign}, nil
	}
	c := clock{form: "timestamp", text: text}
	year, month, day := c.date()
	c.expect(' ', "a space")
	micros := c.timeOfDay()
	if zoned {
		micros -= c.offset()
	}
	year = c.era(year)
	return c.moment(year, month, day, micros)
}

// moment checks the day against its month and returns the moment so many microseconds after its midnight.
func (c *clock) moment(year, month, day, micros int64) (moment, error) {
	if err := c.end(); err != nil {
		return moment{}, err
	}
	if day > 28 && day > daysIn(year, month) {
		c.at = 0
		c.fail("a day of the calendar")
		return moment{}, c.err
	}
	days := daysOf(year, month, day)
	if micros >= 0 && micros < microsPerDay {
		return moment{days: days, micros: micros}, nil
	}
	// 24:00 and offsets reach into the days around.
	shift := floorDiv(micros, microsPerDay)
	return moment{days: days + shift, micros: micros - shift*microsPerDay}, nil
}

// parseTime reads a time of day; 24:00:00 is a whole day.
func parseTime(text []byte) (int64, error) {
	c := clock{form: "time", text: text}
	v := c.timeOfDay()
	return v, c.end()
}

// parseZonedTime reads a time of day and its offset.
func parseZonedTime(text []byte) (micros, offset int64, err error) {
	c := clock{form: "time with time zone", text: text}
	micros = c.timeOfDay()
	offset = c.offset()
	return micros, offset, c.end()
}

// floorDiv is division that rounds down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// daysOf returns the days from 1970 to a date. It counts years from March, so that a leap day is the last
// day of one, in eras of 400 years of 146097 days.
func daysOf(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := floorDiv(year, 400)
	yearOfEra := year - era*400
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	// From 0000-03-01 to 1970-01-01 there are 719468 days.
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}

// daysIn returns the number of days of a month.
func daysIn(year, month int64) int64 {
	switch {
	case month == 4 || month == 6 || month == 9 || month == 11:
		return 30
	case month != 2:
		return 31
	case year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	}
	return 28
}

// civil returns the date that is so many days after 1970, the inverse of daysOf. Both are Howard Hinnant's
// algorithms (chrono-Compatible Low-Level Date Algorithms), which need no table and no loop.
func civil(days int64) (year, month, day int64) {
	days += 719468
	era := floorDiv(days, 146097)
	dayOfEra := days - era*146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	march := (5*dayOfYear + 2) / 153
	day = dayOfYear - (153*march+2)/5 + 1
	year, month = yearOfEra+era*400, march+3
	if month > 12 {
		return year + 1, month - 12, day
	}
	return year, month, day
}

// appendDate appends a date in ISO 8601 as Java prints it: a sign for years beyond four digits and below 0.
func appendDate(dst []byte, days int64) []byte {
	year, month, day := civil(days)
	switch {
	case year > 9999:
		dst = append(dst, '+')
	case year < 0:
		dst, year = append(dst, '-'), -year
	}
	dst = appendPadded(dst, year, 4)
	dst = appendPadded(append(dst, '-'), month, 2)
	return appendPadded(append(dst, '-'), day, 2)
}

// appendClock appends a time of day with so many fraction digits; -1 is as few as it needs.
func appendClock(dst []byte, micros int64, digits int) []byte {
	dst = appendPadded(dst, micros/microsPerHour, 2)
	dst = appendPadded(append(dst, ':'), micros/microsPerMinute%60, 2)
	dst = appendPadded(append(dst, ':'), micros/microsPerSecond%60, 2)
	fraction := micros % microsPerSecond
	if digits < 0 {
		for digits = 6; digits > 0 && fraction%10 == 0; digits-- {
			fraction /= 10
		}
	} else {
		for range 6 - digits {
			fraction /= 10
		}
	}
	if digits == 0 {
		return dst
	}
	return appendPadded(append(dst, '.'), fraction, digits)
}

// appendPadded appends a number that is not negative, with zeros before it up to a width.
func appendPadded(dst []byte, v int64, width int) []byte {
	if width == 2 && v < 100 {
		return append(dst, '0'+byte(v/10), '0'+byte(v%10))
	}
	var room [20]byte
	i := len(room)
	for v > 0 || width > 0 {
		i--
		room[i] = '0' + byte(v%10)
		v, width = v/10, width-1
	}
	return append(dst, room[i:]...)
}

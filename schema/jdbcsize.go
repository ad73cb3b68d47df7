package schema

import "math"

// undeclaredNumeric is what the driver gives as the width of a numeric without precision: as many digits as
// Postgres takes before and behind the point.
const undeclaredNumeric = 131089

// jdbcSize returns a column's length and scale as the JDBC driver (TypeInfoCache of pgjdbc 42.7) tells
// them to Debezium: the precision, or where the driver has none the width of the printed value.
func jdbcSize(c *Column) (length, scale int) {
	name, mod := c.Type.Name, int(c.TypMod)
	switch {
	case c.Type.Elem != nil:
		name = c.Type.Elem.Name
	case c.Type.Base != nil:
		name, mod = c.Type.Base.Name, int(c.Type.BaseTypMod)
	}
	switch name {
	case "int2":
		return 5, 0
	case "int4", "oid":
		return 10, 0
	case "int8":
		return 19, 0
	case "float4":
		return 8, 8
	case "float8":
		return 17, 17
	case "char", "bool":
		return 1, 0
	case "numeric":
		if mod < 4 {
			return undeclaredNumeric, 0
		}
		// A typmod holds the precision in its upper half and the scale as 11 bits with a sign.
		return (mod - 4) >> 16, ((mod-4)&0x7ff ^ 1024) - 1024
	case "bpchar", "varchar":
		if mod < 4 {
			return math.MaxInt32, 0
		}
		return mod - 4, 0
	case "bit", "varbit":
		if mod < 0 {
			return math.MaxInt32, 0
		}
		return mod, 0
	case "interval":
		return 49, fraction(mod & 0xffff)
	}
	return jdbcTimeSize(name, mod)
}

// jdbcTimeSize is jdbcSize for dates and times, and for everything else, whose length is unknown.
func jdbcTimeSize(name string, mod int) (length, scale int) {
	// The driver reckons a point and two digits also for a precision of one.
	second := 7
	switch {
	case mod == 0:
		second = 0
	case mod == 1:
		second = 3
	case mod > 1:
		second = mod + 1
	}
	switch name {
	case "date":
		return 13, 0
	case "time":
		return 8 + second, fraction(mod)
	case "timetz":
		return 8 + second + 6, fraction(mod)
	case "timestamp":
		return 22 + second, fraction(mod)
	case "timestamptz":
		return 22 + second + 6, fraction(mod)
	}
	return math.MaxInt32, 0
}

// fraction returns the number of fraction digits of a time type.
func fraction(mod int) int {
	if mod < 0 || mod == 0xffff {
		return 6
	}
	return mod
}

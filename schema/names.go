package schema

import (
	"strconv"
	"unicode/utf16"
)

// topicNameLimit is the longest topic name that Debezium makes (and Kafka takes).
const topicNameLimit = 249

// Topic returns the topic of a table: prefix.schema.table, an empty part left out, with every character
// that Kafka forbids turned into an underscore, and cut to 249 characters. As in Debezium two tables
// may come to the same topic; nobody is told here.
func Topic(prefix, namespace, table string) string {
	name := prefix
	for _, part := range []string{namespace, table} {
		switch {
		case part == "":
		case name == "":
			name = part
		default:
			name += "." + part
		}
	}
	// Java counts and replaces UTF-16 units: what lies beyond U+FFFF becomes two underscores.
	units := utf16.Encode([]rune(name))
	units = units[:min(len(units), topicNameLimit)]
	topic := make([]byte, len(units))
	for i, u := range units {
		topic[i] = '_'
		if u < 0x80 && (isWordByte(byte(u)) || u == '.' || u == '-') {
			topic[i] = byte(u)
		}
	}
	switch string(topic) {
	case ".":
		return "_"
	case "..":
		return "__"
	}
	return string(topic)
}

// adjustSchemaName returns the full name of a schema as the mode has it; its dots stay.
func adjustSchemaName(name string, mode NameMode) string { return adjustName(name, mode, true) }

// adjustFieldName returns the name of a field as the mode has it.
func adjustFieldName(name string, mode NameMode) string { return adjustName(name, mode, false) }

// adjustName replaces what Avro does not take in a name. Debezium looks at the very first character
// only for a leading digit: a digit behind a dot stays, although Avro forbids it.
func adjustName(name string, mode NameMode, dots bool) string {
	if mode == NameNone {
		return name
	}
	adjusted := make([]byte, 0, len(name)+4)
	for i, u := range utf16.Encode([]rune(name)) {
		c := byte(u)
		switch {
		case u < 0x80 && i == 0 && c >= '0' && c <= '9':
			if mode == NameAvro {
				adjusted = append(adjusted, '_', c)
			} else {
				adjusted = appendUnicodeEscape(adjusted, u)
			}
		case u < 0x80 && (isWordByte(c) && (c != '_' || mode == NameAvro) || dots && c == '.'):
			adjusted = append(adjusted, c)
		case mode == NameAvro:
			adjusted = append(adjusted, '_')
		default:
			adjusted = appendUnicodeEscape(adjusted, u)
		}
	}
	return string(adjusted)
}

// appendUnicodeEscape appends _u and the number in lower-case hexadecimal. Debezium puts 00 before one
// or two digits, and nothing before three.
func appendUnicodeEscape(dst []byte, unit uint16) []byte {
	dst = append(dst, '_', 'u')
	if unit <= 0xff {
		dst = append(dst, '0', '0')
	}
	return strconv.AppendUint(dst, uint64(unit), 16)
}

// isWordByte says whether c is an ASCII letter, a digit or an underscore.
func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

package audit

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
)

// appendValue appends a decoded value as text: JSON where JSON has the value, and one text only for one
// value.
func appendValue(dst []byte, value column) []byte {
	switch v := value.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case int32:
		return strconv.AppendInt(dst, int64(v), 10)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case float32:
		return appendFloat(dst, float64(v))
	case float64:
		return appendFloat(dst, v)
	case string:
		return appendString(dst, v)
	case []byte:
		return append(hex.AppendEncode(append(dst, `"\\x`...), v), '"')
	}
	return appendReflected(dst, reflect.ValueOf(value))
}

// appendReflected appends arrays, maps, and records, which are maps to the decoder.
func appendReflected(dst []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, v.Index(i).Interface())
		}
		return append(dst, ']')
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int {
			switch {
			case a.String() < b.String():
				return -1
			case a.String() > b.String():
				return 1
			}
			return 0
		})
		dst = append(dst, '{')
		for i, key := range keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(append(appendString(dst, key.String()), ':'), v.MapIndex(key).Interface())
		}
		return append(dst, '}')
	}
	// What a schema without logical types decodes to ends above: anything else would compare as equal to all.
	panic("tributary: a decoded value of kind " + v.Kind().String())
}

func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return appendString(dst, strconv.FormatFloat(f, 'g', -1, 64))
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

// appendString appends a string as JSON writes it. A string always marshals.
func appendString(dst []byte, text string) []byte {
	plain := true
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			plain = false
			break
		}
	}
	if plain {
		return append(append(append(dst, '"'), text...), '"')
	}
	quoted, _ := json.Marshal(text)
	return append(dst, quoted...)
}

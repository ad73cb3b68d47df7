package schema

import (
	"encoding/base64"
	"encoding/hex"
)

// errNoPlaceholder is Debezium's lack of a placeholder in base64, for which it has no code.
var errNoPlaceholder = &unrepresentable{
	reason: "Debezium has no TOAST placeholder in base64", mode: "binary.handling.mode=bytes",
}

// binaryForm is the form of bytea, which prints as \x and two hexadecimal digits for each byte: the other
// format, with octal escapes, is excluded by the session's bytea_output.
func binaryForm(r request) form {
	mode, placeholder := r.options.Binary, r.options.placeholder()
	f := form{node: named(nodeString, ""), zero: zeroText}
	if mode == BinaryBytes {
		f.node.kind, f.zero = nodeBytes, zeroBytes
	}
	f.write = func(w *writer, text []byte) error { return writeBytea(w, mode, text) }
	f.unchanged = func(w *writer) error {
		writeBinary(w, mode, placeholder)
		return nil
	}
	switch mode {
	case BinaryHex:
		// Debezium does not encode it here, and consumers look for exactly this text.
		f.unchanged = placeholderText(r.options)
	case BinaryBase64, BinaryBase64URL:
		if r.options.Debezium {
			f.unchanged = func(*writer) error { return errNoPlaceholder }
		}
	}
	return f
}

// writeBytea writes a bytea from its hexadecimal text.
func writeBytea(w *writer, mode BinaryMode, text []byte) error {
	if len(text) < 2 || text[0] != '\\' || text[1] != 'x' {
		return badText("bytea", `\x`, 0)
	}
	digits := text[2:]
	if mode == BinaryHex {
		if at := badHex(digits); at >= 0 {
			return badText("bytea", "a hexadecimal digit", 2+at)
		}
		w.text(digits)
		return nil
	}
	// The digits of mode hex are the server's own; all other modes start from the bytes.
	v, err := decodeHex(w, "bytea", digits, 2)
	if err != nil {
		return err
	}
	writeBinary(w, mode, v)
	return nil
}

// decodeHex decodes hexadecimal digits into the scratch memory; at is where they stand in the text.
func decodeHex(w *writer, form string, digits []byte, at int) ([]byte, error) {
	// The result is half as long as its source, so that decoding may overwrite what it has read.
	w.scratch = append(w.scratch[:0], digits...)
	n, err := hex.Decode(w.scratch, w.scratch)
	if err != nil {
		if bad := badHex(digits); bad >= 0 {
			return nil, badText(form, "a hexadecimal digit", at+bad)
		}
		return nil, badText(form, "an even number of hexadecimal digits", at+len(digits))
	}
	return w.scratch[:n], nil
}

// badHex returns the index of the first byte that is no hexadecimal digit, -1 if there is none.
func badHex(digits []byte) int {
	for i, c := range digits {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return i
		}
	}
	return -1
}

// writeBinary writes bytes in a mode. v may be the scratch memory.
func writeBinary(w *writer, mode BinaryMode, v []byte) {
	if mode == BinaryBytes {
		w.bytes(v)
		return
	}
	encoding := base64.StdEncoding
	if mode == BinaryBase64URL {
		encoding = base64.URLEncoding
	}
	// v is read to its end while the text grows, so the text goes behind it.
	kept := append(w.scratch[:0], v...)
	n := len(kept)
	if mode == BinaryHex {
		kept = hex.AppendEncode(kept, kept[:n])
	} else {
		kept = encoding.AppendEncode(kept, kept[:n])
	}
	w.scratch = kept
	w.text(kept[n:])
}

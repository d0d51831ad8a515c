package task

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Portable returns a JSON value in a form that every reader accepts (RFC 8259, section 8, and RFC 7493): each
// byte that is not UTF-8 and each lone surrogate escape becomes U+FFFD, and a number that does not fit into a
// float64 becomes a string of its digits. Everything else stays byte for byte, and a value without faults is
// returned itself. A text that is not JSON is returned as it is.
func Portable(raw json.RawMessage) json.RawMessage {
	if !mayNeedRepair(raw) {
		return raw
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	var out []byte
	copied := 0 // up to here raw is in out
	for {
		literal, err := nextLiteral(dec)
		if err != nil { // the end, or a text that is not JSON
			break
		}
		if isPortable(literal) {
			continue
		}
		end := int(dec.InputOffset())
		if out == nil {
			out = make([]byte, 0, len(raw)+len(raw)/16+64)
		}
		out = append(out, raw[copied:end-len(literal)]...)
		out = appendPortable(out, literal)
		copied = end
	}
	if out == nil {
		return raw
	}
	return append(out, raw[copied:]...)
}

// float64Digits is how many digits a whole number can have and fit into a float64.
const float64Digits = 308

// mayNeedRepair reports whether a value may have a fault. It is one quick look at each byte, so that the many
// values without faults cost no more.
func mayNeedRepair(raw []byte) bool {
	digits, ascii := 0, true // digits in a row
	for i, b := range raw {
		switch {
		case '0' <= b && b <= '9':
			digits++
			if digits > float64Digits {
				return true
			}
			continue
		case (b == 'e' || b == 'E') && digits > 0 && startsExponent(raw[i+1:]), b == '\\' && startsSurrogate(raw[i:]):
			return true
		case b >= utf8.RuneSelf:
			ascii = false
		}
		digits = 0
	}
	return !ascii && !utf8.Valid(raw)
}

func startsExponent(rest []byte) bool {
	return len(rest) > 0 && (rest[0] == '+' || rest[0] == '-' || '0' <= rest[0] && rest[0] <= '9')
}

// startsSurrogate reports whether a text begins with \ud8 to \udf.
func startsSurrogate(text []byte) bool {
	return len(text) > 3 && text[1] == 'u' && text[2]|0x20 == 'd' && text[3] >= '8'
}

// nextLiteral returns the next string, number or word, and nil for a bracket. It is valid until the next call.
func nextLiteral(dec *jsontext.Decoder) ([]byte, error) {
	switch dec.PeekKind() {
	case '{', '}', '[', ']':
		_, err := dec.ReadToken()
		return nil, err
	default:
		return dec.ReadValue()
	}
}

// isPortable reports whether every reader accepts a literal.
func isPortable(literal []byte) bool {
	if len(literal) == 0 || literal[0] != '"' {
		return !isOutOfRange(literal)
	}
	if bytes.IndexByte(literal, '\\') < 0 {
		return utf8.Valid(literal)
	}
	for len(literal) > 0 {
		width, ok := firstUnit(literal)
		if !ok {
			return false
		}
		literal = literal[width:]
	}
	return true
}

// isOutOfRange reports whether a literal is a number that does not fit into a float64.
func isOutOfRange(literal []byte) bool {
	if jsontext.Value(literal).Kind() != '0' {
		return false
	}
	_, err := strconv.ParseFloat(string(literal), 64)
	return err != nil
}

// appendPortable appends a literal in the form that every reader accepts.
func appendPortable(out, literal []byte) []byte {
	if literal[0] != '"' {
		out = append(append(out, '"'), literal...)
		return append(out, '"')
	}
	for len(literal) > 0 {
		width, ok := firstUnit(literal)
		if ok {
			out = append(out, literal[:width]...)
		} else {
			out = utf8.AppendRune(out, utf8.RuneError)
		}
		literal = literal[width:]
	}
	return out
}

// firstUnit returns the width of the first character or escape of a JSON string, in bytes, and whether every
// reader accepts it. A pair of surrogate escapes is one.
func firstUnit(text []byte) (width int, ok bool) {
	switch {
	case text[0] >= utf8.RuneSelf:
		r, width := utf8.DecodeRune(text)
		return width, r != utf8.RuneError || width > 1
	case text[0] != '\\':
		return 1, true
	case text[1] != 'u':
		return len(`\n`), true
	}
	const escape = len(`\u0000`)
	r := escaped(text)
	switch {
	case !utf16.IsSurrogate(r):
		return escape, true
	case len(text) >= 2*escape && utf16.DecodeRune(r, escaped(text[escape:])) != utf8.RuneError:
		return 2 * escape, true
	default:
		return escape, false
	}
}

// escaped returns the character of the escape \uXXXX that a text begins with, and 0 where it begins with none.
func escaped(text []byte) rune {
	if text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	r, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return rune(r)
}

package redact

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The kinds of escaping, by the first byte of their escapes.
const (
	inJSON = '\\' // RFC 8259, section 7
	inURL  = '%'  // RFC 3986, section 2.1
	inHTML = '&'  // WHATWG HTML, section 13.1.4: the names that serializers write, and numbers
)

// kinds lists the kinds of escaping.
const kinds = `\%&`

// longestEscape is the width of the longest escape in bytes: two UTF-16 code units in JSON. Numbers in HTML are shorter.
const longestEscape = len(`\ud83d\ude00`)

// maxWidth returns the greatest width in bytes of an escape that begins with these two bytes. A layer looks
// no further ahead.
func maxWidth(first, second byte) int {
	switch {
	case first == inURL:
		return 3
	case first == inJSON && second != 'u':
		return 2
	default:
		return longestEscape
	}
}

// unescape decodes the escape at the beginning of text and appends what it means to dst. The width is that of the escape,
// or 0 if there is none.
func unescape(dst, text []byte) (decoded []byte, width int) {
	switch text[0] {
	case inJSON:
		return unescapeJSON(dst, text)
	case inURL:
		var b [1]byte
		if len(text) < 3 {
			return dst, 0
		}
		if _, err := hex.Decode(b[:], text[1:3]); err != nil {
			return dst, 0
		}
		return append(dst, b[0]), 3
	default:
		return unescapeHTML(dst, text)
	}
}

// unescapeJSON also decodes \', which JavaScript has and JSON does not. The width is 0 for any other
// escape, which then stays as it is.
func unescapeJSON(dst, text []byte) (decoded []byte, width int) {
	if len(text) < 2 {
		return dst, 0
	}
	switch text[1] {
	case '"', '\\', '/', '\'':
		return append(dst, text[1]), 2
	case 'u':
		return unescapeUTF16(dst, text)
	}
	if i := strings.IndexByte("bfnrt", text[1]); i >= 0 {
		return append(dst, "\b\f\n\r\t"[i]), 2
	}
	return dst, 0
}

// unescapeUTF16 decodes \uXXXX, or two of them if they are the surrogates of one character. A single surrogate becomes
// U+FFFD.
func unescapeUTF16(dst, text []byte) (decoded []byte, width int) {
	const one = len(`\u0000`)
	first, ok := codeUnit(text)
	if !ok {
		return dst, 0
	}
	if second, ok := codeUnit(text[one:]); ok {
		if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
			return utf8.AppendRune(dst, r), 2 * one
		}
	}
	// AppendRune writes U+FFFD for a surrogate.
	return utf8.AppendRune(dst, first), one
}

// codeUnit decodes the UTF-16 code unit of one \uXXXX.
func codeUnit(text []byte) (unit rune, ok bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var b [2]byte
	_, err := hex.Decode(b[:], text[2:6])
	return rune(b[0])<<8 | rune(b[1]), err == nil
}

// unescapeHTML decodes a character reference, by name or number, that ends with a semicolon.
func unescapeHTML(dst, text []byte) (decoded []byte, width int) {
	end := bytes.IndexByte(text, ';')
	if end < 3 {
		return dst, 0
	}
	name := string(text[1:end])
	if number, ok := strings.CutPrefix(name, "#"); ok {
		if r, ok := characterNumber(number); ok {
			return utf8.AppendRune(dst, r), end + 1
		}
		return dst, 0
	}
	if character := namedCharacter(name); character != "" {
		return append(dst, character...), end + 1
	}
	return dst, 0
}

// namedCharacter returns the character for one of the names that serializers of HTML write, or "".
func namedCharacter(name string) string {
	switch name {
	case "amp":
		return "&"
	case "lt":
		return "<"
	case "gt":
		return ">"
	case "quot":
		return `"`
	case "apos":
		return "'"
	case "nbsp":
		return "\u00a0"
	default:
		return ""
	}
}

// characterNumber parses a number that is decimal or, after an x, hexadecimal. Characters above U+10FFFF do
// not exist.
func characterNumber(digits string) (r rune, ok bool) {
	base := 10
	if digits != "" && digits[0]|0x20 == 'x' {
		base, digits = 16, digits[1:]
	}
	n, err := strconv.ParseUint(digits, base, 32)
	return rune(n), err == nil && n <= utf8.MaxRune //#nosec G115 // a number that overflows is not ok
}

package task

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// literalEnd returns where the string, the number, the word in small letters or else the single byte ends
// that begins at from. A string that is not closed ends with the data.
func literalEnd(data []byte, from int) int {
	switch {
	case data[from] == '"':
		return stringEnd(data, from)
	case isNumber(data[from]):
		return endOf(data, from, func(b byte) bool { return isNumber(b) || strings.IndexByte("+.eE", b) >= 0 })
	case isLetter(data[from]):
		return endOf(data, from, isLetter)
	default:
		return from + 1
	}
}

// stringEnd returns where the string that begins at from ends: behind the first quote that has no
// backslash of its own.
func stringEnd(data []byte, from int) int {
	begin := from + 1
	for end := begin; ; end++ {
		next := bytes.IndexByte(data[end:], '"')
		if next < 0 {
			return len(data)
		}
		end += next
		inside := data[begin:end]
		if backslashes := len(inside) - len(bytes.TrimRight(inside, `\`)); backslashes%2 == 0 {
			return end + 1
		}
	}
}

// endOf returns where the bytes from from on end that are inside.
func endOf(data []byte, from int, inside func(byte) bool) int {
	end := from + 1
	for end < len(data) && inside(data[end]) {
		end++
	}
	return end
}

func isLetter(b byte) bool { return 'a' <= b && b <= 'z' }

// isJSON reports whether the data is JSON, perhaps behind a byte order mark.
func isJSON(data []byte) bool { return json.Valid(withoutMark(data)) }

// isNumber reports whether a JSON number can begin with b.
func isNumber(b byte) bool { return b == '-' || '0' <= b && b <= '9' }

// unquote returns the text of a JSON string that is valid. As encoding/json does, it puts U+FFFD in the
// place of each byte that is not UTF-8, and of half a surrogate pair.
func unquote(literal []byte) string {
	if inside := literal[1 : len(literal)-1]; bytes.IndexByte(inside, '\\') < 0 && utf8.Valid(inside) {
		return string(inside)
	}
	text, _ := jsontext.AppendUnquote(nil, literal)
	return string(text)
}

// halfMark stands in what exact returns where the string has half a surrogate pair, before its four hex digits. No text in UTF-8
// has this byte.
const halfMark = "\xff"

// exact returns the text of a JSON string in UTF-8, so that two strings have the same only if they say the same: half a
// surrogate pair, which is no character and cannot be written in UTF-8, is told by halfMark.
//
// It may be a part of the literal.
func exact(literal []byte) []byte {
	if bytes.IndexByte(literal, '\\') < 0 {
		return literal[1 : len(literal)-1]
	}
	text, err := jsontext.AppendUnquote(nil, literal)
	if err == nil {
		return text
	}
	text = text[:0]
	begin := 1
	for at := 1; at < len(literal)-1; {
		unit, width := escapedUnit(literal[at:])
		if unit == "" {
			at += width
			continue
		}
		text, _ = jsontext.AppendUnquote(text, `"`+string(literal[begin:at])+`"`)
		text = append(append(text, halfMark...), unit...)
		at += width
		begin = at
	}
	text, _ = jsontext.AppendUnquote(text, `"`+string(literal[begin:]))
	return text
}

// escapedUnit returns the hex digits of half a surrogate pair, or nothing for anything else that text begins with, and how many
// bytes that is wide.
func escapedUnit(text []byte) (unit string, width int) {
	const one = len(`\u0000`)
	switch {
	case text[0] != '\\':
		return "", 1
	case text[1] != 'u':
		return "", len(`\n`)
	}
	first := unitOf(text)
	switch {
	case !utf16.IsSurrogate(first):
		return "", one
	case utf16.DecodeRune(first, unitOf(text[one:])) != utf8.RuneError:
		return "", 2 * one
	default:
		return strings.ToLower(string(text[2:one])), one
	}
}

// unitOf returns the UTF-16 code unit of the \uXXXX that text begins with, or 0 where it begins with none.
func unitOf(text []byte) rune {
	if len(text) < len(`\u0000`) || text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	unit, _ := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(unit)
}

// isBlank reports whether a JSON string that is valid says nothing but white space. Of one that does not
// begin with an escape, it reads no more than it has to.
func isBlank(literal []byte) bool {
	inside := bytes.TrimSpace(literal[1 : len(literal)-1])
	if len(inside) > 0 && inside[0] != '\\' {
		return false
	}
	return strings.TrimSpace(unquote(literal)) == ""
}

// quote returns the text as a JSON string, without the escapes that only HTML needs.
func quote(text string) []byte { return appendQuoted(nil, text, false) }

// appendQuoted appends the text as a JSON string, with the escapes that HTML needs or without them.
func appendQuoted(b []byte, text string, forHTML bool) []byte {
	begin := len(b)
	b, _ = jsontext.AppendQuote(b, text)
	if !forHTML || !strings.ContainsAny(text, "<>&\u2028\u2029") {
		return b
	}
	quoted := b[begin:]
	escaped := append(make([]byte, 0, len(b)+len(b)/8), b[:begin]...)
	done := 0
	for at, c := range quoted {
		if c != '<' && c != '>' && c != '&' && c != "\u2028"[0] {
			continue
		}
		if character, size := utf8.DecodeRune(quoted[at:]); strings.ContainsRune("<>&\u2028\u2029", character) {
			escaped = append(escaped, quoted[done:at]...)
			escaped = fmt.Appendf(escaped, `\u%04x`, character)
			done = at + size
		}
	}
	return append(escaped, quoted[done:]...)
}

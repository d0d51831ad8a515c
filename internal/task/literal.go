package task

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
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

// isNumber reports whether a JSON number can begin with b.
func isNumber(b byte) bool { return b == '-' || '0' <= b && b <= '9' }

// unquote returns the text of a JSON string that is valid. As encoding/json does, it puts U+FFFD in the
// place of each byte that is not UTF-8.
func unquote(literal []byte) string {
	text := string(literal[1 : len(literal)-1])
	if strings.IndexByte(text, '\\') >= 0 {
		text = unescape(text)
	}
	if !utf8.ValidString(text) {
		text = string([]rune(text))
	}
	return text
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

// unescape returns what the inside of a JSON string says.
func unescape(text string) string {
	b := make([]byte, 0, len(text))
	for {
		next := strings.IndexByte(text, '\\')
		if next < 0 {
			return string(append(b, text...))
		}
		var width int
		b, width = appendBackslash(append(b, text[:next]...), text[next:])
		text = text[next+width:]
	}
}

// quote returns the text as a JSON string, without the escapes that only HTML needs.
func quote(text string) []byte { return appendQuoted(nil, text, false) }

// appendQuoted appends the text as a JSON string, with the escapes that HTML needs or without them.
func appendQuoted(b []byte, text string, forHTML bool) []byte {
	if isPlain(text) {
		b = append(b, '"')
		b = append(b, text...)
		return append(b, '"')
	}
	buffer := bytes.NewBuffer(b)
	enc := json.NewEncoder(buffer)
	enc.SetEscapeHTML(forHTML)
	if err := enc.Encode(text); err != nil {
		panic(err) // every string can be encoded
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
}

// isPlain reports whether a text stands in JSON as it is, in HTML too. Of one that is not ASCII that is not said.
func isPlain(text string) bool {
	for i := range len(text) {
		switch b := text[i]; {
		case b < ' ', b > '~', b == '"', b == '\\', b == '<', b == '>', b == '&':
			return false
		}
	}
	return true
}

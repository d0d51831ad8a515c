package task

import (
	"bytes"
	"encoding/json"
	"strings"
)

// literalEnd returns where the string, the number or else the single byte ends that begins at from. A
// string that is not closed ends with the data.
func literalEnd(data []byte, from int) int {
	switch {
	case data[from] == '"':
		return stringEnd(data, from)
	case isNumber(data[from]):
		end := from + 1
		for end < len(data) && (isNumber(data[end]) || strings.IndexByte("+.eE", data[end]) >= 0) {
			end++
		}
		return end
	default:
		return from + 1
	}
}

func stringEnd(data []byte, from int) int {
	for i := from + 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// isNumber reports whether a JSON number can begin with b.
func isNumber(b byte) bool { return b == '-' || '0' <= b && b <= '9' }

// unquoteJSON returns the text of a JSON string, or what stands between the quotes of a broken one.
func unquoteJSON(literal []byte) string {
	var text string
	if json.Unmarshal(literal, &text) != nil {
		return strings.Trim(string(literal), `"`)
	}
	return text
}

// quoteJSON returns the text as a JSON string, without the escapes that only HTML needs.
func quoteJSON(text string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // a string can always be encoded
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

package task

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// digest returns the hex SHA-256 of the request in a canonical form: members sorted by name, no space between them,
// numbers as they were written, and strings as json.Marshal writes them, except that halves of surrogate pairs stay
// escapes. RFC 8785 is not used, because records hold digests of this form: it sorts by UTF-16 code units and rounds
// numbers to float64.
//
// Secrets and metadata do not count, because they may differ between two copies of a request. The task id is the
// resolved one, because it may come from the body or from a header.
func digest(all []member, taskID string) string {
	content := []member{{name: "task_id", value: quote(taskID)}}
	for _, m := range all {
		if m.name != secretValues && m.name != "metadata" && m.name != "task_id" {
			content = append(content, m)
		}
	}
	slices.SortFunc(content, func(a, b member) int { return strings.Compare(a.name, b.name) })
	sum := sha256.New()
	separator := "{"
	for _, m := range content {
		sum.Write([]byte(separator + `"` + m.name + `":`)) // known names need no escapes
		sum.Write(appendCanonical(nil, newDecoder(m.value)))
		separator = ","
	}
	sum.Write([]byte("}"))
	return hex.EncodeToString(sum.Sum(nil))
}

// appendCanonical appends the next value in the canonical form. Errors are left out: the request was read as JSON before.
func appendCanonical(b []byte, dec *jsontext.Decoder) []byte {
	switch dec.PeekKind() {
	case '{':
		return appendCanonicalObject(b, dec)
	case '[':
		_, _ = dec.ReadToken()
		separator := byte('[')
		for kind := dec.PeekKind(); kind != ']' && kind != jsontext.KindInvalid; kind = dec.PeekKind() {
			b = appendCanonical(append(b, separator), dec)
			separator = ','
		}
		return appendEnd(b, dec, separator)
	default:
		literal, _ := dec.ReadValue()
		if literal.Kind() == '"' {
			return appendCanonicalString(b, literal)
		}
		return append(b, literal...)
	}
}

func appendCanonicalObject(b []byte, dec *jsontext.Decoder) []byte {
	_, _ = dec.ReadToken()
	texts := map[string][]byte{} // of whole members, by what distinctText returns of their names
	for dec.PeekKind() == '"' {
		literal, _ := dec.ReadValue()
		name, text := distinctText(literal), appendCanonicalString(nil, literal)
		texts[name] = appendCanonical(append(text, ':'), dec)
	}
	separator := byte('{')
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		b = append(append(b, separator), texts[name]...)
		separator = ','
	}
	return appendEnd(b, dec, separator)
}

// appendEnd appends the closing bracket. The opening one is missing if it was to come before a first element.
func appendEnd(b []byte, dec *jsontext.Decoder, separator byte) []byte {
	if separator != ',' {
		b = append(b, separator)
	}
	end, _ := dec.ReadToken()
	return append(b, byte(end.Kind()))
}

// appendCanonicalString appends a JSON string as json.Marshal writes its text. Halves of surrogate pairs stay escapes, in
// lower case.
func appendCanonicalString(b, literal []byte) []byte {
	asMarshal := []jsontext.Options{jsontext.EscapeForHTML(true), jsontext.EscapeForJS(true)}
	if formatted, err := jsontext.AppendFormat(b, literal, asMarshal...); err == nil {
		return formatted
	}
	b = append(b, '"')
	for i, part := range strings.Split(distinctText(literal), halfMark) {
		if i > 0 {
			const digits = len("d83d")
			b = append(append(b, `\u`...), part[:digits]...)
			part = part[digits:]
		}
		quoted, _ := jsontext.AppendFormat(nil, quote(part), asMarshal...)
		b = append(b, quoted[1:len(quoted)-1]...)
	}
	return append(b, '"')
}

package task

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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
		// The names of fields need no escapes.
		sum.Write([]byte(separator + `"` + m.name + `":`))
		sum.Write(canonical(jsontext.Value(m.value)))
		separator = ","
	}
	sum.Write([]byte("}"))
	return hex.EncodeToString(sum.Sum(nil))
}

// canonical returns a value in the canonical form.
func canonical(value jsontext.Value) []byte {
	if kind := value.Kind(); kind == '{' || kind == '[' {
		return appendCanonical(nil, newDecoder(value))
	}
	return appendCanonicalLiteral(nil, value)
}

// appendCanonical appends the next value in the canonical form. Errors are left out: the request was read as JSON before.
func appendCanonical(b []byte, dec *jsontext.Decoder) []byte {
	switch dec.PeekKind() {
	case '{':
		return appendCanonicalObject(b, dec)
	case '[':
		_, _ = dec.ReadToken()
		separator := byte('[')
		// A request that was read before has no invalid part. If it had one, the loop would still end.
		for kind := dec.PeekKind(); kind != ']' && kind != jsontext.KindInvalid; kind = dec.PeekKind() {
			b = appendCanonical(append(b, separator), dec)
			separator = ','
		}
		return appendEnd(b, dec, separator)
	default:
		literal, _ := dec.ReadValue()
		return appendCanonicalLiteral(b, literal)
	}
}

// appendCanonicalLiteral appends a string in the canonical form, and any other literal as it was written.
func appendCanonicalLiteral(b []byte, literal jsontext.Value) []byte {
	if literal.Kind() == '"' {
		return appendCanonicalString(b, literal)
	}
	return append(b, literal...)
}

// appendCanonicalObject appends an object with its members sorted by the text of their names, as bytes in
// UTF-8.
func appendCanonicalObject(b []byte, dec *jsontext.Decoder) []byte {
	type member struct{ name, text []byte } // the text is that of name and value
	var all []member
	_, _ = dec.ReadToken()
	for dec.PeekKind() == '"' {
		literal, _ := dec.ReadValue()
		m := member{distinctText(literal), append(appendCanonicalString(nil, literal), ':')}
		m.text = appendCanonical(m.text, dec)
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	separator := byte('{')
	for _, m := range all {
		b = append(append(b, separator), m.text...)
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
	// It fails only for a half of a surrogate pair, which has no text in UTF-8.
	if formatted, err := jsontext.AppendFormat(b, literal, asMarshal...); err == nil {
		return formatted
	}
	b = append(b, '"')
	for i, part := range strings.Split(string(distinctText(literal)), halfMark) {
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

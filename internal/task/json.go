package task

import (
	"bytes"
	"encoding/json"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// newDecoder returns a decoder that accepts what encoding/json accepts: names that come twice and strings that are not
// UTF-8. It reads from raw without copying it.
func newDecoder(raw []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// readLiteral reads the next string, number, true, false or null and returns its bytes, which are valid until the next
// read. For a bracket it returns nil. The error is io.EOF at the end, or else says why the input is not JSON.
func readLiteral(dec *jsontext.Decoder) (jsontext.Value, error) {
	switch dec.PeekKind() {
	case '{', '}', '[', ']':
		_, err := dec.ReadToken()
		return nil, err
	default:
		return dec.ReadValue()
	}
}

// literals yields each string, number, true, false and null of the rest of the input as readLiteral reads it, and nil for
// each bracket. It ends where the input ends or is not JSON.
func literals(dec *jsontext.Decoder) iter.Seq[jsontext.Value] {
	return func(yield func(jsontext.Value) bool) {
		for {
			literal, err := readLiteral(dec)
			if err != nil || !yield(literal) {
				return
			}
		}
	}
}

// lastWasName reports whether the string that was just read is the name of a member.
func lastWasName(dec *jsontext.Decoder) bool {
	container, length := dec.StackIndex(dec.StackDepth())
	return container == '{' && length%2 == 1
}

// member is a name of a JSON object with its value.
type member struct {
	name  string
	value json.RawMessage // a part of the object's bytes
	begin int             // where the value begins in them
}

// eachMember yields the members of a JSON object in their order. It yields nothing if raw is not an object, and stops
// where raw is not valid.
func eachMember(raw []byte) iter.Seq[member] {
	return func(yield func(member) bool) {
		dec := newDecoder(raw)
		if dec.PeekKind() != '{' {
			return
		}
		_, err := dec.ReadToken()
		for err == nil && dec.PeekKind() == '"' {
			var m member
			if m, err = readMember(dec, raw); err != nil || !yield(m) {
				return
			}
		}
	}
}

// readMember reads the next member from the decoder of an object.
func readMember(dec *jsontext.Decoder, object []byte) (member, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return member{}, err
	}
	name := token.String()
	value, err := dec.ReadValue()
	end := int(dec.InputOffset())
	begin := end - len(value)
	return member{name: name, value: object[begin:end], begin: begin}, err
}

// members returns the members of a JSON object in their order, or nothing if raw is not an object.
func members(raw []byte) (all []member) {
	for m := range eachMember(raw) {
		all = append(all, m)
	}
	return all
}

// valueOf returns the value of the first member with this name, or nil.
func valueOf(all []member, name string) json.RawMessage {
	for _, m := range all {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// textOf returns the text of a JSON string, and "" for any other value. Each byte that is not UTF-8 and each half of a
// surrogate pair becomes U+FFFD.
func textOf(raw []byte) string {
	if jsontext.Value(raw).Kind() != '"' {
		return ""
	}
	text, _ := jsontext.AppendUnquote(nil, bytes.TrimSpace(raw)) // an error only reports what became U+FFFD
	return string(text)
}

// quote returns the text as a JSON string. Each byte that is not UTF-8 becomes U+FFFD.
func quote(text string) []byte {
	quoted, _ := jsontext.AppendQuote(nil, text) // an error only reports what became U+FFFD
	return quoted
}

// kindName names the kind of a JSON value for people, with its article. It is "null" for anything else.
func kindName(raw []byte) string {
	switch jsontext.Value(raw).Kind() {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case '0':
		return "a number"
	default:
		return "null"
	}
}

// isJSON reports whether the data is JSON, possibly after a byte order mark, that newDecoder's decoder can read to its end.
func isJSON(data []byte) bool {
	return jsontext.Value(withoutMark(data)).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// byteOrderMark may come before JSON, and a reader may ignore it: RFC 8259, section 8.1.
const byteOrderMark = "\ufeff"

// withoutMark returns the data after the byte order mark, if it begins with one.
func withoutMark(data []byte) []byte { return bytes.TrimPrefix(data, []byte(byteOrderMark)) }

package task

import (
	"bytes"
	"encoding/json"
)

// tokens is a way through the bytes of a JSON value. It judges nothing: the value has to be valid.
type tokens struct {
	data []byte
	at   int
}

// next returns the next bracket, string, number or word, and nothing behind the last. Commas and colons
// are passed over: in JSON that is valid, they say nothing more.
func (t *tokens) next() []byte {
	t.skip()
	if t.at == len(t.data) {
		return nil
	}
	from := t.at
	t.at = literalEnd(t.data, from)
	return t.data[from:t.at]
}

// value returns the bytes of the next value, whatever it is.
func (t *tokens) value() []byte {
	t.skip()
	from := t.at
	for depth := 0; ; {
		switch token := t.next(); token[0] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth == 0 {
			return t.data[from:t.at]
		}
	}
}

func (t *tokens) skip() {
	for t.at < len(t.data) {
		switch t.data[t.at] {
		case ' ', '\t', '\r', '\n', ',', ':':
			t.at++
		default:
			return
		}
	}
}

// beforeColon reports whether a colon comes next: then the last token was a member's name.
func (t *tokens) beforeColon() bool {
	rest := bytes.TrimLeft(t.data[t.at:], " \t\r\n")
	return len(rest) > 0 && rest[0] == ':'
}

// member is a name of a JSON object with its value, as it came.
type member struct {
	name  string
	value json.RawMessage // a part of the object's bytes
}

// members returns the members of a JSON object in their order, or nothing where raw is no object. It has
// to be valid.
func members(raw []byte) []member {
	if kindOf(raw) != "an object" {
		return nil
	}
	all := make([]member, 0, 8)
	t := tokens{data: raw}
	t.next() // the bracket
	for name := t.next(); name[0] != '}'; name = t.next() {
		all = append(all, member{name: unquote(name), value: t.value()})
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

// sizeOf returns about how many bytes it takes to write the members.
func sizeOf(all []member) int {
	size := len("{}")
	for _, m := range all {
		size += len(m.name) + len(m.value) + len(`"":,`)
	}
	return size
}

// textOf returns the text of a JSON string, and nothing of any other value.
func textOf(raw json.RawMessage) string {
	if kindOf(raw) != "a string" {
		return ""
	}
	return unquote(bytes.TrimSpace(raw))
}

// kindOf returns in words what kind of JSON value raw is, by its first byte.
func kindOf(raw []byte) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

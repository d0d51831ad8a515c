package operator

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// object is a JSON object whose values keep their bytes, so that numbers and escapes arrive as they were written.
type object []member

// member is a name of an object with its value.
type member struct {
	name  string
	value jsontext.Value
}

// parseObject reads one JSON object, which must be all of the text. Like a worker it accepts names that come twice and
// strings that are not UTF-8; the parser of requests decides on them.
func parseObject(text []byte) (object, error) {
	dec := newDecoder(WithoutBOM(text))
	if dec.PeekKind() != '{' {
		return nil, errors.New("is not a JSON object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, jsonError(err)
	}
	var all object
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, jsonError(err)
		}
		m := member{name: name.String()} // before the next read, which makes the token invalid
		value, err := dec.ReadValue()
		if err != nil {
			return nil, jsonError(err)
		}
		m.value = bytes.Clone(value)
		all = append(all, m)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, jsonError(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more after its JSON object")
	}
	return all, nil
}

// newDecoder returns a decoder that accepts what the parser of requests accepts.
func newDecoder(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// jsonError says in plain words that a text is not JSON, and where.
func jsonError(err error) error {
	if wrong, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("is not JSON: %w at byte %d", wrong.Err, wrong.ByteOffset)
	}
	return errors.New("is not JSON: it ends too early")
}

// get returns the value of the first member with a name, or nil.
func (o object) get(name string) jsontext.Value {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// text returns the value of a member that is a string, or "".
func (o object) text(name string) string {
	value := o.get(name)
	if value.Kind() != '"' {
		return ""
	}
	text, _ := jsontext.AppendUnquote(nil, value) // an error only reports what became U+FFFD
	return string(text)
}

// with returns the object with this value in place of every member of the name, or at its end if there is none. The
// value nil removes the name.
func (o object) with(name string, value jsontext.Value) object {
	all := make(object, 0, len(o)+1)
	for _, m := range o {
		if m.name != name {
			all = append(all, m)
			continue
		}
		if value != nil {
			all, value = append(all, member{name, value}), nil
		}
	}
	if value != nil {
		all = append(all, member{name, value})
	}
	return all
}

// json returns the object as JSON, without space between its members.
func (o object) json() []byte {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, quote(m.name)...), ':')
		b = append(b, m.value...)
	}
	return append(b, '}')
}

// quote returns a text as a JSON string. Each byte that is not UTF-8 becomes U+FFFD.
func quote(text string) jsontext.Value {
	quoted, _ := jsontext.AppendQuote(nil, text) // an error only reports what became U+FFFD
	return quoted
}

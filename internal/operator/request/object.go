package request

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Object is a JSON object whose values keep their bytes, so that numbers and escapes arrive as they were written.
type Object []member

// member is a name of an object with its value.
type member struct {
	name  string
	value jsontext.Value
}

// Parse reads one JSON object, which must be all of the text. Like a worker it accepts names that come twice and
// strings that are not UTF-8; the parser of requests decides on them.
func Parse(text []byte) (Object, error) {
	dec := newDecoder(WithoutBOM(text))
	if dec.PeekKind() != '{' {
		return nil, errors.New("is not a JSON object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, syntaxError(err)
	}
	var all Object
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, syntaxError(err)
		}
		m := member{name: name.String()} // before the next read, which makes the token invalid
		value, err := dec.ReadValue()
		if err != nil {
			return nil, syntaxError(err)
		}
		m.value = bytes.Clone(value)
		all = append(all, m)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, syntaxError(err)
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

// syntaxError says in plain words that a text is not JSON, and where.
func syntaxError(err error) error {
	if wrong, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("is not JSON: %w at byte %d", wrong.Err, wrong.ByteOffset)
	}
	return errors.New("is not JSON: it ends too early")
}

// WithoutBOM returns a text without the byte order mark that some editors and spreadsheets write at the beginning of UTF-8.
// RFC 8259, section 8.1, forbids it in JSON that is sent.
func WithoutBOM(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\ufeff")) }

// Get returns the value of the first member with a name, or nil.
func (o Object) Get(name string) jsontext.Value {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// Text returns the value of a member that is a string, or "".
func (o Object) Text(name string) string {
	value := o.Get(name)
	if value.Kind() != '"' {
		return ""
	}
	text, _ := jsontext.AppendUnquote(nil, value) // an error only reports what became U+FFFD
	return string(text)
}

// With returns the object with this value in place of every member of the name, or at its end if there is none.
func (o Object) With(name string, value jsontext.Value) Object {
	all, isSet := make(Object, 0, len(o)+1), false
	for _, m := range o {
		switch {
		case m.name != name:
			all = append(all, m)
		case !isSet:
			all, isSet = append(all, member{name, value}), true
		}
	}
	if !isSet {
		all = append(all, member{name, value})
	}
	return all
}

// JSON returns the object as JSON, without space between its members.
func (o Object) JSON() []byte {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, Quote(m.name)...), ':')
		b = append(b, m.value...)
	}
	return append(b, '}')
}

// Quote returns a text as a JSON string. Each byte that is not UTF-8 becomes U+FFFD.
func Quote(text string) jsontext.Value {
	quoted, _ := jsontext.AppendQuote(nil, text) // an error only reports what became U+FFFD
	return quoted
}

package anchor

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// newDecoder reads the JSON at the beginning of data without copying it. It is lenient: names may be repeated, and
// strings need not be valid UTF-8, because an answer that is refused for that may be a lost workflow.
func newDecoder(data []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// trimBOM removes a byte order mark, which a parser may ignore (RFC 8259, section 8.1).
func trimBOM(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\ufeff")) }

// eachMember reads the next value, which must be an object. It calls read for each member, and read must read the
// member's value.
func eachMember(d *jsontext.Decoder, read func(name string) error) error {
	begin, err := d.ReadToken()
	if err != nil {
		return err
	}
	if begin.Kind() != '{' {
		return errors.New("expected a JSON object")
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		if err := read(name.String()); err != nil {
			return err
		}
	}
	_, err = d.ReadToken()
	return err
}

// readString reads the next value, which must be a string or null. For null it returns "".
func readString(d *jsontext.Decoder) (string, error) {
	token, err := d.ReadToken()
	switch {
	case err != nil:
		return "", err
	case token.Kind() == 'n':
		return "", nil
	case token.Kind() != '"':
		return "", errors.New("expected a string")
	}
	return token.String(), nil
}

// rawValue returns the next value as a part of data, which d reads.
func rawValue(d *jsontext.Decoder, data []byte) ([]byte, error) {
	value, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	end := d.InputOffset()
	return data[end-int64(len(value)) : end : end], nil
}

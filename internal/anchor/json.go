package anchor

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// newDecoder reads the JSON at the beginning of data, and does not copy it. The API is taken at its word where other
// readers are strict: names may come twice, and texts need not be UTF-8.
func newDecoder(data []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// withoutBOM takes off a byte order mark, which RFC 8259, section 8.1, allows to ignore.
func withoutBOM(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\ufeff")) }

// eachMember reads the object that comes next. It calls read for each member, which must read the member's value.
func eachMember(d *jsontext.Decoder, read func(name string) error) error {
	begin, err := d.ReadToken()
	if err != nil {
		return err
	}
	if begin.Kind() != '{' {
		return errors.New("there is no object where one is documented")
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

// readString reads the string or the null that comes next; null is "".
func readString(d *jsontext.Decoder) (string, error) {
	token, err := d.ReadToken()
	switch {
	case err != nil:
		return "", err
	case token.Kind() == 'n':
		return "", nil
	case token.Kind() != '"':
		return "", errors.New("there is no string where one is documented")
	}
	return token.String(), nil
}

// rawValue returns the value that comes next, as a part of data.
func rawValue(d *jsontext.Decoder, data []byte) ([]byte, error) {
	value, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	end := d.InputOffset()
	return data[end-int64(len(value)) : end : end], nil
}

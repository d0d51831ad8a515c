package anchor

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxErrorDepth bounds how deeply errors may be nested in errors. The documented form has one error in an
// object.
const maxErrorDepth = 3

// apiError is what the body of an error says.
type apiError struct {
	// text is its message, or its JSON if it has none. It is not truncated, and may contain the API key.
	text string

	// ownForm is set if it has the form of the API's errors, so that the API itself answered, and no
	// gateway.
	ownForm bool
}

// parseError reads the body of an error. The documented form is {"error":{"code","message"}}. In practice there are also a
// message at the top level, an error that is a string, and an error in an error. The names must be spelled exactly like
// this to count as the API's own, because other servers use Message, detail, errors or fault. A body that is cut off
// after its message is accepted.
func (a answer) parseError() apiError {
	body := trimBOM(a.body)
	d := newDecoder(body)
	isObject := d.PeekKind() == '{'
	e, _ := readError(d, body, maxErrorDepth) // ignore the error: what was read before it counts
	e.ownForm = e.ownForm && isObject
	return e
}

// readError reads the next value as an error. It descends at most depth objects.
func readError(d *jsontext.Decoder, data []byte, depth int) (apiError, error) {
	switch kind := d.PeekKind(); {
	case kind == 'n':
		return apiError{}, d.SkipValue()
	case kind == '"':
		return readErrorString(d)
	case kind == '{' && depth > 0:
		return readErrorObject(d, data, depth)
	default:
		value, err := rawValue(d, data)
		return apiError{text: compactJSON(value), ownForm: isListOfStrings(value)}, err
	}
}

// readErrorString reads a message, or an error that is only a string.
func readErrorString(d *jsontext.Decoder) (apiError, error) {
	token, err := d.ReadToken()
	if err != nil {
		// A message that is longer than maxError is cut off. It still has the API's form.
		return apiError{ownForm: errors.Is(err, io.ErrUnexpectedEOF)}, err
	}
	text := strings.TrimSpace(token.String())
	return apiError{text: text, ownForm: text != ""}, nil
}

// readErrorObject reads an object with a message, an error or a code. A message takes precedence over an inner error, and
// the text of an object without either is its JSON. A code counts only in the inner object, where it is documented.
func readErrorObject(d *jsontext.Decoder, data []byte, depth int) (apiError, error) {
	start := int(d.InputOffset())
	start += bytes.IndexByte(data[start:], '{')
	var message, inner apiError
	hasCode := false
	err := eachMember(d, func(name string) (err error) {
		switch lower := strings.ToLower(name); lower {
		case "message":
			message, err = readError(d, data, depth-1)
			message.ownForm = message.ownForm && name == lower
		case "error":
			inner, err = readError(d, data, depth-1)
			inner.ownForm = inner.ownForm && name == lower
		default:
			hasCode = hasCode || name == "code" && (d.PeekKind() == '0' || d.PeekKind() == '"')
			err = d.SkipValue()
		}
		return err
	})
	e := apiError{text: message.text, ownForm: message.ownForm || inner.ownForm || hasCode && depth < maxErrorDepth}
	if e.text == "" {
		e.text = inner.text
	}
	if e.text == "" && err == nil {
		e.text = compactJSON(data[start:d.InputOffset()])
	}
	return e, err
}

// isListOfStrings reports whether a value is a list whose first item is a string, as in the messages of validators.
func isListOfStrings(value []byte) bool {
	list, ok := bytes.CutPrefix(value, []byte("["))
	return ok && bytes.HasPrefix(bytes.TrimSpace(list), []byte(`"`))
}

// compactJSON returns JSON without white space, so that it fits on one line of a log, or "" if it is not
// JSON.
func compactJSON(value []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return ""
	}
	return b.String()
}

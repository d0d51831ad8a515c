package anchor

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// errorLevels is how deep errors stand inside errors at most.
const errorLevels = 3

// said is what an error's body says.
type said struct {
	text string // its message; if it has none, its JSON
	own  bool   // it has the form of the API's errors
}

// said reads the body of an error. Documented is {"error":{"code","message"}}; also seen are a message at the top, an
// error that is a string, and an error inside an error. The names are spelled exactly like this: those of other
// servers are not (Message, detail, errors, fault). A body that is cut off after its message will do.
func (a answer) said() said {
	body := withoutBOM(a.body)
	d := newDecoder(body)
	isObject := d.PeekKind() == '{'
	s, _ := readError(d, body, errorLevels) // what was read before a mistake counts
	s.own = s.own && isObject
	return s
}

// readError reads the value that comes next as an error, and looks no more than levels deep.
func readError(d *jsontext.Decoder, data []byte, levels int) (said, error) {
	switch kind := d.PeekKind(); {
	case kind == 'n':
		return said{}, d.SkipValue()
	case kind == '"':
		return readErrorText(d)
	case kind == '{' && levels > 0:
		return readErrorObject(d, data, levels)
	default:
		value, err := rawValue(d, data)
		return said{text: compact(value), own: isListOfTexts(value)}, err
	}
}

func readErrorText(d *jsontext.Decoder) (said, error) {
	token, err := d.ReadToken()
	if err != nil {
		return said{own: errors.Is(err, io.ErrUnexpectedEOF)}, err // it is too long to be read to its end
	}
	text := strings.TrimSpace(token.String())
	return said{text: text, own: text != ""}, nil
}

func readErrorObject(d *jsontext.Decoder, data []byte, levels int) (said, error) {
	start := int(d.InputOffset())
	start += bytes.IndexByte(data[start:], '{')
	var message, inner said
	hasCode := false
	err := eachMember(d, func(name string) (err error) {
		switch known := strings.ToLower(name); known {
		case "message":
			message, err = readError(d, data, levels-1)
			message.own = message.own && name == known
		case "error":
			inner, err = readError(d, data, levels-1)
			inner.own = inner.own && name == known
		default:
			hasCode = hasCode || name == "code" && (d.PeekKind() == '0' || d.PeekKind() == '"')
			err = d.SkipValue()
		}
		return err
	})
	s := said{text: message.text, own: message.own || inner.own || hasCode && levels < errorLevels}
	if s.text == "" {
		s.text = inner.text
	}
	if s.text == "" && err == nil {
		s.text = compact(data[start:d.InputOffset()])
	}
	return s, err
}

// isListOfTexts reports whether a value is a list that begins with a string, as the messages of validators are.
func isListOfTexts(value []byte) bool {
	list, ok := bytes.CutPrefix(value, []byte("["))
	return ok && bytes.HasPrefix(bytes.TrimSpace(list), []byte(`"`))
}

func compact(value []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return ""
	}
	return b.String()
}

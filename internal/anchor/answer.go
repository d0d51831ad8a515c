package anchor

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
)

// maxText bounds a message that comes from outside, in bytes.
const maxText = 2 << 10

// answer is what the API said to one request.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error  // why body is not all of it; else nil
	key    string // the key that was sent, to be taken out of texts
	size   int64  // of the body as the API says it; -1 where it does not
}

// ok reports whether the API says that it did what it was asked for.
func (a answer) ok() bool { return a.status >= 200 && a.status <= 299 }

// text is what the API said of an error, for people: its message, or the meaning of the HTTP status.
func (a answer) text() string {
	text := a.message()
	if text == "" {
		text = http.StatusText(a.status)
	}
	return bounded(strings.ReplaceAll(text, a.key, redacted))
}

// message finds the message in an error's body. Gateways in front of the API answer with HTML, which
// says nothing to anybody, or with one line of text.
func (a answer) message() string {
	if json.Valid(a.body) {
		return errorText(a.body, 3)
	}
	if strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
		return strings.TrimSpace(string(a.body))
	}
	return ""
}

// errorText finds the message in an error value. Documented is {"error":{"code","message"}}; also seen
// are a message at the top, an error that is a string, and an error inside an error. Where none of
// these fits, the JSON itself is the message. It looks no more than levels deep.
func errorText(value json.RawMessage, levels int) string {
	var text string
	if json.Unmarshal(value, &text) == nil { // null too
		return text
	}
	var object struct{ Error, Message json.RawMessage }
	if levels == 0 || json.Unmarshal(value, &object) != nil {
		return compact(value)
	}
	for _, inner := range []json.RawMessage{object.Message, object.Error} {
		if len(inner) == 0 {
			continue
		}
		if text := errorText(inner, levels-1); text != "" {
			return text
		}
	}
	return compact(value)
}

func compact(value json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return ""
	}
	return b.String()
}

// bounded cuts a text to maxText bytes of valid UTF-8.
func bounded(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxText)], "")
}

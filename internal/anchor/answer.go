package anchor

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// How much is read of an answer, in bytes. The rest of a larger one is not looked at.
const (
	// MaxAnswer is the most that Status may be asked to read.
	MaxAnswer = 32 << 20

	maxAnswer = 1 << 20  // of an accepted submission, and of the plan
	maxError  = 64 << 10 // of every error
)

// maxText bounds a message that comes from outside, in bytes.
const maxText = 2 << 10

// answer is what the API said to one request.
type answer struct {
	status int
	header http.Header
	path   string // of the call
	body   []byte
	size   int64    // of the whole body as announced, in bytes; -1 if it was not announced
	err    error    // why body is not all of it; else nil
	keys   []string // to be taken out of texts
}

// ok reports whether the API says that it did what it was asked for.
func (a answer) ok() bool { return a.status >= 200 && a.status <= 299 }

// text is what the API said of an error, for people: its message, or the meaning of the HTTP status.
func (a answer) text() string {
	text := a.said().text
	if text == "" && strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
		text = strings.TrimSpace(string(a.body))
	}
	if text == "" {
		text = statusWords(a.status)
	}
	return publicText(text, a.keys)
}

// ownForm reports whether an error is in the API's own form, so that it is the API that speaks. Gateways on the way
// to it answer with pages in HTML, with text, with nothing, or with JSON of another form.
//
// The API's router answers in the same form for a path that does not exist, and names that path. Such an answer says
// nothing about the task: the base URL leads elsewhere.
func (a answer) ownForm() bool {
	said := a.said()
	if a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed {
		return said.own && !strings.Contains(said.text, a.path)
	}
	return said.own
}

// errTooLarge: an answer has more bytes than are read of one.
var errTooLarge = errors.New("the answer is too large")

// readBody reads no more than most bytes of the body, and returns the answer with body, size and err. If the body is
// announced to be larger, its beginning is read only if wantStart is set.
//
// The client asks for answers without compression, so that the announced size is the size in memory. If one comes
// compressed all the same, most bounds what it expands to.
func (a answer) readBody(resp *http.Response, most int64, wantStart bool) answer {
	a.size = resp.ContentLength
	body := io.Reader(resp.Body)
	switch encoding := strings.ToLower(resp.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		unzipped, err := gzip.NewReader(resp.Body)
		if err != nil {
			a.err = fmt.Errorf("read answer: %w", err)
			return a
		}
		a.size, body = -1, unzipped
	default:
		a.err = fmt.Errorf("read answer: it is compressed with %.20q", encoding)
		return a
	}
	if a.size > most && !wantStart {
		a.err = errTooLarge
		return a
	}
	a.body, a.err = readAtMost(body, a.size, most)
	return a
}

// readAtMost returns the beginning of what r holds, together with an error if that is not all of it. If the size is
// known, the result is allocated once.
func readAtMost(r io.Reader, size, most int64) (data []byte, err error) {
	if size >= 0 {
		data = make([]byte, min(size, most))
		n, err := io.ReadFull(r, data)
		if err != nil {
			return data[:n], fmt.Errorf("read answer: %w", err)
		}
	} else {
		data, err = io.ReadAll(io.LimitReader(r, most+1))
		if err != nil {
			return data, fmt.Errorf("read answer: %w", err)
		}
	}
	if size > most || int64(len(data)) > most {
		return data[:most], errTooLarge
	}
	return data, nil
}

// publicText is a text without the keys, and bounded.
func publicText(text string, keys []string) string {
	for _, key := range keys {
		text = strings.ReplaceAll(text, key, redacted)
	}
	return bounded(text)
}

// bounded returns the first maxText bytes of a text, as valid UTF-8. It does not keep the rest in memory.
func bounded(text string) string {
	if len(text) > maxText {
		text = strings.Clone(text[:maxText])
	}
	return strings.ToValidUTF8(text, "")
}

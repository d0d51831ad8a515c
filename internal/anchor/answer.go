package anchor

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/capstan-worker/capstan/internal/task"
)

// Bounds of what is read of an answer, in bytes. The rest is discarded.
const (
	// MaxAnswer is the largest limit that Status accepts.
	MaxAnswer = task.MaxAnswer

	// maxSmall is for answers that are short: all but those to Status and FindSessions.
	maxSmall = 1 << 20

	// maxList is for lists of sessions, of which each takes some hundred bytes.
	maxList = 8 << 20

	// maxError is for every error, of which only the message matters.
	maxError = 64 << 10
)

// maxText bounds texts of the API that are passed on, such as an error's message, in bytes. They end up in
// events, records and logs.
const maxText = 2 << 10

// answer is the API's answer to one request. It belongs to the goroutine that made the call. A body that is
// cut off may still have what is needed: see readWorkflowID and parseError.
type answer struct {
	status int
	header http.Header

	// path is that of the request, without its query. See fromAPI.
	path string
	body []byte
	size int64 // Content-Length, or -1 if it is not known

	// err says why body is incomplete. It is nil if body is complete.
	err error

	// keys are the API keys that texts must not contain, of which the first one was sent.
	keys []string
}

// isSuccess reports whether the status is 2xx.
func (a answer) isSuccess() bool { return a.status >= 200 && a.status <= 299 }

// message returns what an error says to people: its own message, or else the meaning of the HTTP status.
// The text is bounded, has no API key, and may quote the request.
func (a answer) message() string {
	text := a.parseError().text
	if text == "" && strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
		text = strings.TrimSpace(string(a.body))
	}
	if text == "" {
		text = statusText(a.status)
	}
	return publicText(text, a.keys)
}

// fromAPI reports whether an error has the form of the API's own errors. Gateways in front of the API answer with HTML,
// plain text, an empty body, or JSON of another form.
//
// The API's router uses the same form for an unknown path, and its message names that path. Such an answer says nothing
// about a task: the base URL is wrong.
func (a answer) fromAPI() bool {
	e := a.parseError()
	if a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed {
		return e.ownForm && !strings.Contains(e.text, a.path)
	}
	return e.ownForm
}

// errTooLarge means that an answer has more bytes than may be read.
var errTooLarge = errors.New("the answer is too large")

// readBody sets body, size and err, and returns the answer. It reads at most limit bytes. If Content-Length exceeds
// the limit, it reads nothing unless wantStart is set.
//
// The client asks for uncompressed answers, so that Content-Length is the size in memory. For an answer that is
// compressed nevertheless, limit bounds the uncompressed size.
func (a answer) readBody(resp *http.Response, limit int64, wantStart bool) answer {
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
	default: // such as br, which a server should not send unasked (RFC 9110, section 12.5.3)
		a.err = fmt.Errorf("read answer: unsupported Content-Encoding %.20q", encoding)
		return a
	}
	if a.size > limit && !wantStart {
		a.err = errTooLarge
		return a
	}
	a.body, a.err = readAtMost(body, a.size, limit)
	return a
}

// readAtMost returns the first limit bytes of r, with an error if there are more or if reading fails. If size is known,
// it allocates the result once.
func readAtMost(r io.Reader, size, limit int64) (data []byte, err error) {
	if size >= 0 {
		data = make([]byte, min(size, limit))
		n, err := io.ReadFull(r, data)
		if err != nil {
			return data[:n], fmt.Errorf("read answer: %w", err)
		}
	} else {
		data, err = io.ReadAll(io.LimitReader(r, limit+1))
		if err != nil {
			return data, fmt.Errorf("read answer: %w", err)
		}
	}
	if size > limit || int64(len(data)) > limit {
		return data[:limit], errTooLarge
	}
	return data, nil
}

// publicText removes API keys from a text and truncates it. It removes them first: a key that is cut in
// half would not be found.
func publicText(text string, keys []string) string {
	for _, key := range keys {
		text = strings.ReplaceAll(text, key, redacted)
	}
	return truncate(text)
}

// truncate returns the first maxText bytes of a text, as valid UTF-8: a character that is cut in half is
// left out. It copies them, so that the rest can be freed.
func truncate(text string) string {
	if len(text) > maxText {
		text = strings.Clone(text[:maxText])
	}
	return strings.ToValidUTF8(text, "")
}

// statusText returns the meaning of an HTTP status, for an answer without a message. The codes from 520 on are those of
// Cloudflare, which stands in front of the API (developers.cloudflare.com, "Cloudflare 5xx errors").
func statusText(status int) string {
	texts := map[int]string{
		520: "the gateway got an answer from the API that it could not read",
		521: "the API refused the gateway's connection",
		522: "the API did not answer the gateway's connection",
		523: "the gateway could not reach the API",
		524: "the API did not answer the gateway in time",
		525: "the TLS handshake between the gateway and the API failed",
		526: "the gateway does not trust the API's certificate",
		527: "the connection between the gateway and the API broke",
		529: "overloaded",
		530: "the gateway could not find the API",
	}
	if text := texts[status]; text != "" {
		return text
	}
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "no message"
}

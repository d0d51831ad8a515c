package anchortest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// write sends the answer that the fault describes.
func write(w http.ResponseWriter, f Fault) {
	c := f.content()
	header := w.Header()
	header.Set("Content-Type", "application/json")
	for name, value := range f.Header {
		header.Set(name, value)
	}
	if !f.Chunked {
		header.Set("Content-Length", strconv.Itoa(c.length()))
	}
	w.WriteHeader(f.status())
	if !f.Cut {
		c.writeTo(w, c.length())
		return
	}
	c.writeTo(w, c.length()/2)
	_ = http.NewResponseController(w).Flush()
	reset(w)
}

// writeTooMuch sends an answer and, in the same write, more bytes than it says that it has. The connection ends
// with that.
func writeTooMuch(w http.ResponseWriter, f Fault) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the documented way to break off an answer
	}
	defer func() { _ = conn.Close() }()
	c := f.content()
	var answer bytes.Buffer
	_, _ = fmt.Fprintf(&answer, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		f.status(), http.StatusText(f.status()), c.length())
	c.writeTo(&answer, c.length())
	answer.WriteString(f.Behind)
	_, _ = conn.Write(answer.Bytes()) // a client that went away is its own business
}

func (f Fault) status() int {
	if f.Status == 0 {
		return http.StatusOK
	}
	return f.Status
}

// content is the body of an answer: a text that is repeated up to a length, between two others. It can be larger
// than anyone wants to keep in memory.
type content struct {
	begin  string
	fill   string
	filled int // bytes of the repeated text
	end    string
}

func (f Fault) content() content {
	c := content{begin: f.Body}
	switch {
	case f.Size > 0:
		c = content{begin: `{"data":{"status":"COMPLETED","result":"`, fill: f.Fill, end: `"}}`}
		if c.fill == "" {
			c.fill = "a"
		}
		c.filled = max(0, f.Size-len(c.begin)-len(c.end)) / len(c.fill) * len(c.fill)
	case f.Body == "":
		c.begin = refusal(f.status(), http.StatusText(f.status())).Body
	}
	c.begin, c.end = f.Prefix+c.begin, c.end+f.Suffix
	return c
}

func (c content) length() int { return len(c.begin) + c.filled + len(c.end) }

// writeTo writes the first n bytes, in pieces. It stops where a write fails: the client went away.
func (c content) writeTo(w io.Writer, n int) {
	for _, part := range []io.Reader{strings.NewReader(c.begin), c.repeated(), strings.NewReader(c.end)} {
		written, err := io.Copy(w, io.LimitReader(part, int64(n)))
		if n -= int(written); err != nil || n <= 0 {
			return
		}
	}
}

// repeated reads as the text that is repeated.
func (c content) repeated() io.Reader {
	if c.filled == 0 {
		return strings.NewReader("")
	}
	const piece = 32 << 10
	text := strings.Repeat(c.fill, piece/len(c.fill)+1)
	return io.LimitReader(&endless{text: text}, int64(c.filled))
}

// endless reads as a text again and again.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

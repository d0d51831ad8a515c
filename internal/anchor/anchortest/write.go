package anchortest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// write sends the answer that f describes. Cut sends half of the body, but the Content-Length of all of it,
// and resets the connection.
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

// writeTooMuch sends an answer and, in the same write, more bytes than its Content-Length. Then it closes the
// connection.
func writeTooMuch(w http.ResponseWriter, f Fault) {
	conn := takeConn(w)
	defer func() { _ = conn.Close() }()
	c := f.content()
	var answer bytes.Buffer
	_, _ = fmt.Fprintf(&answer, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n",
		f.status(), http.StatusText(f.status()), c.length())
	_ = w.Header().Write(&answer) // what a handler around this one has set
	answer.WriteString("\r\n")
	c.writeTo(&answer, c.length())
	answer.WriteString(f.Behind)
	_, _ = conn.Write(answer.Bytes()) // ignore a client that closed the connection
}

// status is the HTTP status of the answer: 200 if the fault names none.
func (f Fault) status() int {
	if f.Status == 0 {
		return http.StatusOK
	}
	return f.Status
}

// content is the body of an answer: begin, then fill repeated up to a length, then end. It is written in pieces, because
// it can be larger than the memory of a test.
type content struct {
	begin  string
	fill   string
	filled int // bytes between begin and end
	end    string
}

// content returns the body of the answer: Body, a status answer of that Size, or an error of the documented form.
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

// length is the number of bytes of the whole body.
func (c content) length() int { return len(c.begin) + c.filled + len(c.end) }

// writeTo writes the first n bytes. It stops if a write fails, because the client closed the connection.
func (c content) writeTo(w io.Writer, n int) {
	if c.filled == 0 {
		_, _ = io.WriteString(w, (c.begin + c.end)[:n])
		return
	}
	const piece = 32 << 10 // bytes for each write
	fill := &repeater{text: strings.Repeat(c.fill, piece/len(c.fill)+1)}
	all := io.MultiReader(strings.NewReader(c.begin), io.LimitReader(fill, int64(c.filled)), strings.NewReader(c.end))
	_, _ = io.CopyN(w, all, int64(n))
}

// repeater reads a text again and again, without an end.
type repeater struct {
	text string
	next int // index in text
}

// Read implements io.Reader. It never fails.
func (r *repeater) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.next:])
	r.next = (r.next + n) % len(r.text)
	return n, nil
}

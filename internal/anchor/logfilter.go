package anchor

import (
	"bytes"
	"io"
)

// LogFilter returns a writer for the standard logger (log.SetOutput). It passes each line to w, but removes the bytes of
// an answer that net/http quotes.
//
// If a server sends bytes after the end of an answer, net/http writes them to the standard logger. They may be part of
// another answer, including secrets, and http.Transport has no setting to prevent it.
func LogFilter(w io.Writer) io.Writer { return logFilter{w} }

type logFilter struct{ w io.Writer }

// Write writes one line. The standard logger calls it once for each.
func (f logFilter) Write(line []byte) (int, error) {
	quoted := []byte("Unsolicited response received on idle HTTP channel")
	start := bytes.Index(line, quoted)
	if start < 0 {
		return f.w.Write(line)
	}
	if _, err := f.w.Write(append(bytes.Clone(line[:start+len(quoted)]), '\n')); err != nil {
		return 0, err
	}
	return len(line), nil
}

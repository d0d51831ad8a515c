package anchor

import (
	"bytes"
	"io"
)

// LogFilter returns a writer for the standard logger (log.SetOutput). It passes each line on to w, but cuts off the
// bytes of an answer that net/http quotes.
//
// If a server sends bytes after the end of an answer, net/http writes them to the standard logger. They can be part of
// another answer, secrets included, and http.Transport has no setting to prevent it.
func LogFilter(w io.Writer) io.Writer { return logFilter{w} }

type logFilter struct{ w io.Writer }

// Write writes one line, as the standard logger does.
func (f logFilter) Write(line []byte) (int, error) {
	quoted := []byte("Unsolicited response received on idle HTTP channel")
	if start := bytes.Index(line, quoted); start >= 0 {
		kept := append(bytes.Clone(line[:start+len(quoted)]), '\n')
		if _, err := f.w.Write(kept); err != nil {
			return 0, err
		}
		return len(line), nil
	}
	return f.w.Write(line)
}

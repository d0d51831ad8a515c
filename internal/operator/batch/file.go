package batch

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/operator/request"
)

// Format is how a file holds its requests.
type Format string

// The formats. The zero Format is recognized by the file's name and content.
const (
	JSON      Format = "json"  // one request
	JSONLines Format = "jsonl" // one on each line
	CSV       Format = "csv"   // a template, filled by each row
)

// File is a text with requests.
type File struct {
	Name         string // for messages
	Data         []byte
	Format       Format
	Template     []byte // for CSV: a request with {{column}} in its strings; nil for none
	TemplateName string // for messages
	Batch        string // the batch of all requests; "" leaves them as they are
}

// fileLine is a request as it stands in a file, before it is checked.
type fileLine struct {
	place  string
	number int // of the line, from 1
	data   []byte
	err    error // why there is no data
}

// Read returns the requests of a file. It checks all of them, so that none is sent if one is wrong: the error is then a
// *MistakesError. With a batch, a request without a task_id gets the batch and the number of its line as its id, such as
// night-000017: the same line has the same id whenever the file is read.
func Read(f File, cfg app.Config) (*Batch, error) {
	if f.Batch != "" {
		if err := request.CheckBatch(f.Batch); err != nil {
			return nil, err
		}
	}
	f.Data = request.WithoutBOM(f.Data)
	if err := checkText(f); err != nil {
		return nil, err
	}
	lines, err := f.lines()
	if err != nil {
		return nil, err
	}
	c := &checker{cfg: cfg, batch: f.Batch, places: map[string]string{}, mistakes: &MistakesError{}}
	b := &Batch{Name: f.Batch}
	for line := range lines {
		if r, ok := c.add(line); ok {
			b.Requests = append(b.Requests, r)
		}
	}
	if err := c.mistakes.err(); err != nil {
		return nil, err
	}
	if len(b.Requests) == 0 {
		return nil, fmt.Errorf("%s has no requests", f.Name)
	}
	return b, nil
}

// checkText refuses a file whose characters would be lost.
func checkText(f File) error {
	if utf8.Valid(f.Data) {
		return nil
	}
	for i, line := range bytes.Split(f.Data, []byte("\n")) {
		if !utf8.Valid(line) {
			return fmt.Errorf("%s:%d: is not UTF-8; save the file as UTF-8", f.Name, i+1)
		}
	}
	return nil
}

// lines yields the requests of the file.
func (f File) lines() (iter.Seq[fileLine], error) {
	format := f.Format
	if format == "" {
		format = Recognize(f)
	}
	switch {
	case format == CSV && f.Template == nil:
		return nil, fmt.Errorf("%s is read as CSV, which needs --template FILE: a request with {{column}} in its strings; or give --format jsonl", f.Name)
	case format != CSV && f.Template != nil:
		return nil, fmt.Errorf("--template is only for CSV, and %s is read as %s; leave it out, or give --format csv", f.Name, format)
	case format == CSV:
		return f.rows()
	case format == JSON:
		whole := fileLine{place: f.Name, number: 1, data: bytes.TrimSpace(f.Data)}
		return func(yield func(fileLine) bool) { yield(whole) }, nil
	default:
		return f.jsonLines, nil
	}
}

// Recognize tells the format of a file. With a template it is CSV, unless the name ends in .jsonl or .ndjson. Otherwise a
// first line that is a JSON object, with more after it, means JSON Lines, and anything else is one JSON request.
func Recognize(f File) Format {
	switch strings.ToLower(filepath.Ext(f.Name)) {
	case ".jsonl", ".ndjson":
		return JSONLines
	case ".csv":
		return CSV
	}
	if f.Template != nil {
		return CSV
	}
	text := bytes.TrimSpace(request.WithoutBOM(f.Data))
	first, rest, more := bytes.Cut(text, []byte("\n"))
	if more && isObject(first) && len(bytes.TrimSpace(rest)) > 0 {
		return JSONLines
	}
	return JSON
}

// isObject reports whether a text is one JSON object.
func isObject(text []byte) bool {
	_, err := request.Parse(text)
	return err == nil
}

// jsonLines yields a request for each line that is not blank.
func (f File) jsonLines(yield func(fileLine) bool) {
	number := 0
	for text := range bytes.SplitSeq(f.Data, []byte("\n")) {
		number++
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			continue
		}
		line := fileLine{place: fmt.Sprintf("%s:%d", f.Name, number), number: number, data: text}
		if text[0] == '[' {
			line.err = errors.New("is a JSON array; write one request on each line, without brackets and commas around them")
		}
		if !yield(line) {
			return
		}
	}
}

package batch

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/capstan-worker/capstan/internal/operator/request"
)

// rows yields a request for each row of a CSV file: the template, filled by the row.
func (f File) rows() (iter.Seq[fileLine], error) {
	tmpl, err := request.ParseTemplate(f.Template)
	if err != nil {
		return nil, fmt.Errorf("%s %w", f.TemplateName, err)
	}
	r := csv.NewReader(bytes.NewReader(f.Data))
	r.FieldsPerRecord = -1 // a row of another length is a mistake, which has words of its own
	header, err := r.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s has no requests", f.Name)
	case err != nil:
		return nil, fmt.Errorf("%s:1: %s", f.Name, csvMistake(err))
	}
	for i := range header {
		header[i] = strings.TrimSpace(header[i])
	}
	line, _ := r.FieldPos(0)
	if err := checkColumns(header, tmpl.Columns()); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", f.Name, line, err)
	}
	return func(yield func(fileLine) bool) {
		for {
			row, err := r.Read()
			if errors.Is(err, io.EOF) || !yield(f.row(r, tmpl, header, row, err)) {
				return
			}
		}
	}, nil
}

// checkColumns refuses a header with a name that stands there twice, and one without a column that the template uses.
// Columns without a name are allowed: spreadsheets leave some at the end.
func checkColumns(header, used []string) error {
	for i, name := range header {
		if name != "" && slices.Contains(header[:i], name) {
			return fmt.Errorf("has the column %q twice; rename one of them", name)
		}
	}
	for _, name := range used {
		if !slices.Contains(header, name) {
			return fmt.Errorf("has no column %q, which the template uses; its columns, separated by commas, are %q", name, header)
		}
	}
	return nil
}

// row fills the template by a row that was read, or takes over the error.
func (f File) row(r *csv.Reader, tmpl request.Template, header, row []string, err error) fileLine {
	var number int
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		number = wrong.StartLine
		err = errors.New(csvMistake(err))
	} else {
		number, _ = r.FieldPos(0)
	}
	if err == nil && len(row) != len(header) {
		err = fmt.Errorf("has %d fields, but the header has %d", len(row), len(header))
	}
	line := fileLine{place: fmt.Sprintf("%s:%d", f.Name, number), number: number, err: err}
	if err == nil {
		line.data = tmpl.Fill(func(column string) string { return row[slices.Index(header, column)] })
	}
	return line
}

// csvMistake says what is wrong with a row. The place is added by the caller.
func csvMistake(err error) string {
	wrong, ok := errors.AsType[*csv.ParseError](err)
	switch {
	case ok && errors.Is(err, csv.ErrQuote):
		return "has a quoted field that does not end, or goes on after its end; write a quote inside of it twice"
	case ok && errors.Is(err, csv.ErrBareQuote):
		return "has a quote inside a field without quotes around it; put the field in quotes, and write the quote twice"
	case ok:
		return wrong.Err.Error()
	default:
		return err.Error()
	}
}

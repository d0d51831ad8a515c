package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"unicode"

	"github.com/fatih/color"
	"github.com/mattn/go-isatty"
)

// terminal is where the user is. Results go to out and everything else to err, so that the output can be
// piped into another program. The package color decides whether there are colors: only if standard output
// is a terminal, and not if NO_COLOR is set (no-color.org).
type terminal struct {
	// in is nil if a person would have to type. A command then reports the missing input and does not wait
	// for it.
	in       io.Reader
	out, err io.Writer

	// size returns the size of the terminal at out now. It is nil if out is a pipe or a file.
	size func() room
}

// newTerminal returns the terminal of the process. The writer color.Output translates colors for consoles
// of Windows that do not understand them.
func newTerminal() *terminal {
	t := &terminal{out: color.Output, err: os.Stderr}
	if !isatty.IsTerminal(os.Stdin.Fd()) {
		t.in = os.Stdin
	}
	if isatty.IsTerminal(os.Stdout.Fd()) {
		t.size = func() room { return roomOf(os.Stdout) }
	}
	return t
}

// room returns the space for results now. Look again for each line that is printed: people change the size of a window.
func (t *terminal) room() room {
	if t.size == nil {
		return room{}
	}
	return t.size()
}

// results remembers that results could not be written, such as to a full disk: the command has failed then.
type results struct {
	io.Writer
	failed error // the first one
}

func (r *results) Write(p []byte) (n int, err error) {
	if n, err = r.Writer.Write(p); err != nil && r.failed == nil {
		r.failed = err
	}
	return n, err
}

// printf writes a result to out. run reports an error of writing at the end.
func (t *terminal) printf(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format, args...) }

// note writes a line to err, so that it does not mix with the results that a program may read from out.
func (t *terminal) note(format string, args ...any) { _, _ = fmt.Fprintf(t.err, format+"\n", args...) }

// complain writes an error to err, after the name of the program as is the custom on Unix. An error may have texts of the
// server and of the command line, which must not control the terminal.
func (t *terminal) complain(err error) { t.note("capstan: %s", printableLines(err.Error())) }

// faint is for details that a reader may skip, such as a time. It returns the text unchanged where there
// are no colors.
func faint(text string) string { return color.New(color.Faint).Sprint(text) }

// bold is for headings and for the name of what is shown.
func bold(text string) string { return color.New(color.Bold).Sprint(text) }

// printJSON prints a value as indented JSON, for people and for programs. It escapes characters that could
// control a terminal, which does not change the value. The error means that the value cannot be encoded,
// and then nothing is printed.
func (t *terminal) printJSON(v any) error { return t.encodeJSON(v, "  ") }

// printJSONLine prints a value as JSON on one line, for programs that read line by line. See printJSON.
func (t *terminal) printJSONLine(v any) error { return t.encodeJSON(v, "") }

// encodeJSON prints a value as JSON, on one line if indent is empty.
func (t *terminal) encodeJSON(v any, indent string) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	// The output is not HTML. The escape \u003c for < would make markup hard to read.
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	t.printf("%s", escapeControls(text.String()))
	return nil
}

// escapeControls escapes the control and format characters that JSON allows in strings (RFC 8259, section
// 7, requires it only below U+0020), such as U+009B, which begins a terminal sequence, and U+202E, which
// reverses the text after it. Characters beyond U+FFFF would need two escapes and stay unchanged.
func escapeControls(text string) []byte {
	var b []byte
	for _, r := range text {
		if r > unicode.MaxASCII && r <= 0xffff && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) || r == 0x7f {
			b = fmt.Appendf(b, `\u%04x`, r)
			continue
		}
		b = append(b, string(r)...)
	}
	return b
}

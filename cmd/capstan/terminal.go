package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/capstan-worker/capstan/internal/app"
)

// terminal is where people sit: results go to out, everything else to err.
type terminal struct {
	in       io.Reader // nil where a person would have to type
	out, err io.Writer
	color    bool // of out
}

// newTerminal returns the process's own. It has colors where out is a terminal, unless NO_COLOR is set
// (no-color.org).
func newTerminal() *terminal {
	t := &terminal{out: os.Stdout, err: os.Stderr, color: app.IsTerminal(os.Stdout) && os.Getenv("NO_COLOR") == ""}
	if !app.IsTerminal(os.Stdin) {
		t.in = os.Stdin
	}
	return t
}

// printf writes to out. Like all writes to a terminal it has nobody to tell of an error.
func (t *terminal) printf(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format, args...) }

// note says something beside the result.
func (t *terminal) note(format string, args ...any) { _, _ = fmt.Fprintf(t.err, format+"\n", args...) }

// complain says what went wrong.
func (t *terminal) complain(err error) { t.note("capstan: %v", err) }

// color is an SGR code (ECMA-48).
type color string

const (
	dim    color = "2"
	bold   color = "1"
	red    color = "31"
	green  color = "32"
	yellow color = "33"
)

// paint colors a text where there are colors.
func (t *terminal) paint(c color, text string) string {
	if !t.color || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// oneLine makes foreign text fit for a line of at most limit characters: white space becomes one blank,
// and whatever could steer a terminal is left out.
func oneLine(text string, limit int) string {
	printable := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
	runes := []rune(strings.Join(strings.Fields(printable), " "))
	if len(runes) <= limit {
		return string(runes)
	}
	return string(runes[:limit-1]) + "…"
}

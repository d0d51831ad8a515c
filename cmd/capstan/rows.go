package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
)

// rowName is the width of the names in a list of names and values.
const rowName = 9

// row prints a name and its value, unless that is empty. See paintedRow.
func (t *terminal) row(name, value string) {
	t.paintedRow(name, value, func(text string) string { return text })
}

// paintedRow prints a name and its value in a color, unless the value is empty. On a terminal, a value that is too long for a
// line continues on the next ones; a single word that fits on a line of its own gets one, so that it can be copied. For awk,
// the name is one word, and the value is whole.
func (t *terminal) paintedRow(name, value string, paint func(string) string) {
	if value == "" {
		return
	}
	r := t.room()
	if !r.isTerminal() {
		t.printf("%-*s  %s\n", rowName, strings.ReplaceAll(name, " ", "_"), printable(value))
		return
	}
	value = oneLine(value, messageWidth)
	left := faint(fmt.Sprintf("%-*s", rowName, name))
	if width := runewidth.StringWidth(value); width > r.columns-rowName-columnGap && width <= r.columns && !strings.Contains(value, " ") {
		t.printf("%s\n%s\n", faint(name), paint(value))
		return
	}
	for _, line := range wrapLines(value, " ", r.columns-rowName-columnGap) {
		t.printf("%s  %s\n", left, paint(line))
		left = strings.Repeat(" ", rowName)
	}
}

// timeRow prints a name and a time, unless that is zero. On a terminal it is followed by its distance from another one,
// unless that is zero.
func (t *terminal) timeRow(name string, at, since time.Time) {
	switch r := t.room(); {
	case at.IsZero():
	case since.IsZero() || !r.isTerminal():
		t.row(name, r.clock(at))
	default:
		t.row(name, r.clock(at)+" +"+rounded(at.Sub(since)))
	}
}

// paragraph prints a text from elsewhere. On a terminal it is wrapped like a help text.
func (t *terminal) paragraph(text string) {
	r := t.room()
	text = printable(text)
	if r.isTerminal() {
		text = runewidth.Truncate(text, 2*messageWidth, "…")
	}
	for _, line := range wrapLines(text, " ", min(r.columns, widestHelp)) {
		t.printf("%s\n", line)
	}
}

// counted prints a number and what it counts, indented. On a terminal, the text may continue on the next lines.
func (t *terminal) counted(n int, text string) {
	const left = 9 // for the number
	width := 0
	if r := t.room(); r.isTerminal() {
		width = r.columns - left - columnGap
	}
	number := fmt.Sprintf("%*d", left, n)
	for _, line := range wrapLines(printable(text), " ", width) {
		t.printf("%s  %s\n", number, line)
		number = strings.Repeat(" ", left)
	}
}

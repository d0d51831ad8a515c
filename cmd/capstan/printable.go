package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// mostMarks is how many combining marks a character may have. No language needs so many, and an endless row of marks takes
// no width.
const mostMarks = 8

// printable makes a text from elsewhere fit for one line: a page can make an agent return any text. It replaces white space
// by single spaces, and shows what could control the terminal, turn the text around or be invisible as an escape, such as
// \x1b or \u202e. The escapes take the width that they have. printable leaves out the two joiners (U+200C, U+200D), which
// only choose between forms of their neighbors: terminals do not agree on the width of joined characters.
func printable(text string) string { return strings.Join(strings.Fields(escaped(text)), " ") }

// printableWord is printable for a text that must stay one word for awk. It escapes spaces, too, and an empty text is "-".
func printableWord(text string) string {
	if text == "" {
		return "-"
	}
	return strings.ReplaceAll(escaped(text), " ", `\x20`)
}

// printableLines is printable for a text of several lines. It keeps the line breaks and the spaces.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = escaped(line)
	}
	return strings.Join(lines, "\n")
}

// escaped replaces each white space by a space, and escapes what printable escapes.
func escaped(text string) string {
	var b strings.Builder
	marks := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case r == '\u200c' || r == '\u200d':
		case !unicode.IsPrint(r) || marks > mostMarks:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// oneLine is printable for a text that has at most width columns of a terminal. Wide characters count as two columns, and a
// text that is too long ends in an ellipsis.
func oneLine(text string, width int) string { return runewidth.Truncate(printable(text), width, "…") }

// quoted is a text from elsewhere in quotes, for a message that says what was given.
func quoted(text string) string {
	const longest = 80
	return `"` + oneLine(text, longest) + `"`
}

// wrapLines splits a printable text into lines of at most width columns, behind a separator that ends in a space or, if a
// piece is wider than a line, inside of it. A width of 0 is no limit.
func wrapLines(text, separator string, width int) []string {
	if width == 0 || runewidth.StringWidth(text) <= width {
		return []string{text}
	}
	var lines []string
	line := ""
	add := func() {
		if line != "" {
			lines = append(lines, strings.TrimRight(line, " "))
		}
	}
	for piece := range strings.SplitAfterSeq(text, separator) {
		if joined := line + piece; runewidth.StringWidth(strings.TrimRight(joined, " ")) <= width {
			line = joined
			continue
		}
		add()
		word := strings.TrimRight(piece, " ")
		for n := fitting(word, width); 0 < n && n < len(word); n = fitting(word, width) {
			lines, word = append(lines, word[:n]), word[n:]
		}
		line = word + strings.Repeat(" ", len(piece)-len(strings.TrimRight(piece, " ")))
	}
	add()
	return lines
}

// fitting returns how many bytes of a text have at most this width.
func fitting(text string, width int) int {
	for i, r := range text {
		if width -= runewidth.RuneWidth(r); width < 0 {
			return i
		}
	}
	return len(text)
}

// wrapAtMost is wrapLines with a limit of lines. The last one is cut if the text does not fit.
func wrapAtMost(text, separator string, width, most int) []string {
	lines := wrapLines(text, separator, width)
	if len(lines) <= most {
		return lines
	}
	rest := strings.Join(lines[most-1:], " ")
	return append(lines[:most-1], runewidth.Truncate(rest, width, "…"))
}

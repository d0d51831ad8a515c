package main

import (
	"cmp"
	"os"
	"strconv"
	"time"

	"golang.org/x/term"
)

// room is the space for results. The zero room is that of a pipe or a file: nothing is cut or wrapped, and lines have a form
// for awk. Their words are separated by spaces, and only the last value of a line may consist of several words.
type room struct {
	columns, rows int // of the terminal; 0 for no limit
}

// leastColumns is the width of the narrowest terminal for which lines are laid out. On a narrower one they wrap.
const leastColumns = 52

// isTerminal reports whether people read the results.
func (r room) isTerminal() bool { return r.columns > 0 }

// roomOf returns the size that a terminal has now. COLUMNS counts more than what the terminal says, as for the help, whose
// width Kong finds out by the same rule.
func roomOf(file *os.File) room {
	columns, rows, err := term.GetSize(int(file.Fd()))
	if err != nil || columns <= 0 || rows <= 0 { // a serial line, for example
		columns, rows = 80, 24
	}
	return room{columns: max(cmp.Or(givenColumns(), columns), leastColumns), rows: rows}
}

// givenColumns returns the width that the variable COLUMNS asks for, or 0 if it is not set or makes no sense.
func givenColumns() int {
	given, err := strconv.Atoi(os.Getenv("COLUMNS"))
	if err != nil || given < 0 {
		return 0
	}
	return given
}

// clock is a time in the local zone: for people the time of day, with the date unless it is today's, and for programs RFC
// 3339.
func (r room) clock(at time.Time) string {
	if r.isTerminal() {
		return clock(at)
	}
	return at.Local().Format(time.RFC3339)
}

// cell is a text from elsewhere in a table: for people on one line, and for programs one word.
func (r room) cell(text string) string {
	if r.isTerminal() {
		return printable(text)
	}
	return printableWord(text)
}

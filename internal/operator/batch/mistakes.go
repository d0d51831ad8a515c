package batch

import (
	"fmt"
	"strings"
)

// maxShown is how many mistakes are shown.
const maxShown = 20

// MistakesError lists what is wrong with the requests of a file.
type MistakesError struct {
	Shown []Mistake // the first 20 that differ
	More  int       // how many others there are
}

// Mistake is what is wrong with a request, and with others.
type Mistake struct {
	Place string // of the first one
	Text  string
	Also  int // how many other requests have the same mistake
}

// String returns the mistake on a line.
func (m Mistake) String() string {
	switch m.Also {
	case 0:
		return m.Place + ": " + m.Text
	case 1:
		return m.Place + ": " + m.Text + " (and 1 more line)"
	default:
		return fmt.Sprintf("%s: %s (and %d more lines)", m.Place, m.Text, m.Also)
	}
}

// Error returns a line for each mistake that is shown.
func (e *MistakesError) Error() string {
	var lines []string
	for _, m := range e.Shown {
		lines = append(lines, m.String())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

// add notes a mistake at a place.
func (e *MistakesError) add(place, text string) {
	for i := range e.Shown {
		if e.Shown[i].Text == text {
			e.Shown[i].Also++
			return
		}
	}
	if len(e.Shown) == maxShown {
		e.More++
		return
	}
	e.Shown = append(e.Shown, Mistake{Place: place, Text: text})
}

// err returns the mistakes as an error, or nil if there are none.
func (e *MistakesError) err() error {
	if len(e.Shown) == 0 {
		return nil
	}
	return e
}

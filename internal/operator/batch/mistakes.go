package batch

import (
	"fmt"
	"strings"
)

// maxShown is how many mistakes are shown.
const maxShown = 20

// MistakesError lists what is wrong with the requests of a file.
type MistakesError struct {
	Shown []string // the first 20, each with its place
	More  int      // how many others there are
}

// Error returns a line for each mistake that is shown.
func (e *MistakesError) Error() string {
	text := strings.Join(e.Shown, "\n")
	if e.More > 0 {
		text += fmt.Sprintf("\nand %d more", e.More)
	}
	return text
}

// add notes a mistake at a place.
func (e *MistakesError) add(place, text string) {
	if len(e.Shown) == maxShown {
		e.More++
		return
	}
	e.Shown = append(e.Shown, place+": "+text)
}

// err returns the mistakes as an error, or nil if there are none.
func (e *MistakesError) err() error {
	if len(e.Shown) == 0 {
		return nil
	}
	return e
}

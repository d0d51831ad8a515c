//go:build !nodemo

package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// Widths of the columns of a call.
const (
	stubPathWidth   = 44
	stubNoteWidth   = 200
	stubPromptWidth = 60

	// shortID is how many bytes of an id are shown within a path. The lines about the submission have all of it.
	shortID = 8
)

// newCallPrinter returns a function that prints a line for each call.
func newCallPrinter(t *terminal) func(anchortest.Call) {
	var mu sync.Mutex // so that lines do not mix
	return func(c anchortest.Call) {
		line := callLine(c)
		mu.Lock()
		defer mu.Unlock()
		t.printf("%s\n", line)
	}
}

// callLine describes a call: when it came, what was asked, the answer, how long that took, and what happened. A call has
// texts of the client, which must not control the terminal.
func callLine(c anchortest.Call) string {
	status := "none" // there was no answer
	if c.Status != 0 {
		status = fmt.Sprint(c.Status)
	}
	head := fmt.Sprintf("%s  %-6s  %-*s  %-4s  %6s", c.Began.Format("15:04:05.000"), oneLine(c.Method, 10), stubPathWidth,
		shortPath(c), status, c.Took.Round(time.Millisecond))
	if c.Status >= http.StatusBadRequest || c.Status == 0 {
		head = bold(head)
	}
	parts := []string{head}
	if c.Note != "" {
		parts = append(parts, oneLine(c.Note, stubNoteWidth))
	}
	if c.Fault != "" {
		parts = append(parts, "["+oneLine(c.Fault, stubNoteWidth)+"]")
	}
	if c.Task != "" {
		parts = append(parts, faint(`"`+oneLine(c.Task, stubPromptWidth)+`"`))
	}
	return strings.Join(parts, "  ")
}

// shortPath is the path with the ids in it shortened to their ends.
func shortPath(c anchortest.Call) string {
	path := c.Path
	for _, id := range []string{c.Workflow, c.Session} {
		if len(id) > 2*shortID {
			path = strings.ReplaceAll(path, id, "…"+id[len(id)-shortID:])
		}
	}
	return oneLine(path, stubNoteWidth)
}

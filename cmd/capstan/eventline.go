package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/mattn/go-runewidth"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// Widths in columns of the terminal. A longer id pushes its line to the right rather than lose characters that
// a user may want to copy.
const (
	idWidth = 16

	// statusWidth is the width of the longest status, "✗ submission_unknown".
	statusWidth = 20

	// codeWidth is the width of the longest code.
	codeWidth = statusWidth - 2

	// runTimeWidth is the width of a run time of less than ten hours.
	runTimeWidth = 7

	// answerLeast is the width that a result or an error needs to be worth its place.
	answerLeast = 30

	// answerIndent is the indentation of a result or an error on a line of its own.
	answerIndent = 10

	// messageWidth bounds texts on a terminal that are shown whole. They come from elsewhere and could be of any length.
	messageWidth = 2048
)

// eventLines is an event: when the task finished, its id, its status, its run time, and its result or error. That is one line
// or, on a narrow terminal, two, of which none is wider than the terminal. A terminal that is not quite wide enough for one
// line does without the run time. The lines have no line break and nothing that could control a terminal, whatever the event
// contains.
func eventLines(ev operator.Event, r room) []string {
	if !r.isTerminal() {
		return []string{plainEventLine(ev)}
	}
	id := taskCell(ev.TaskID)
	at, status := clock(ev.FinishedAt), statusCell(ev.Status, describeStatus(ev.Event))
	ran := fmt.Sprintf("%*s", runTimeWidth, runTime(ev.Event))
	head := fmt.Sprintf("%s  %s  %s", faint(at), id, status)
	left := r.columns - len(at) - runewidth.StringWidth(id) - statusWidth - 3*columnGap
	switch {
	case left-len(ran)-columnGap >= answerLeast:
		return []string{head + "  " + ran + "  " + answerText(ev, left-len(ran)-columnGap)}
	case left >= answerLeast:
		return []string{head + "  " + answerText(ev, left)}
	}
	lines := []string{head + "  " + ran}
	if left < len(ran) { // the id is too long even for that
		lines = []string{oneLine(ev.TaskID, r.columns), fmt.Sprintf("%s  %s  %s", faint(at), status, ran)}
	}
	return append(lines, strings.Repeat(" ", answerIndent)+answerText(ev, r.columns-answerIndent))
}

// plainEventLine is an event for programs: the time, the id, the status, the code, the run time, and the result or the error,
// whole. Only the last one may consist of several words.
func plainEventLine(ev operator.Event) string {
	var r room
	code := ""
	if ev.Error != nil {
		code = string(ev.Error.Code)
	}
	line := fmt.Sprintf("%s  %s  %-9s  %s  %*s  %s", r.clock(ev.FinishedAt), runewidth.FillRight(r.cell(ev.TaskID), idWidth),
		r.cell(string(ev.Status)), runewidth.FillRight(r.cell(code), codeWidth), runTimeWidth, runTime(ev.Event), answerText(ev, 0))
	return strings.TrimRight(line, " ")
}

// taskCell is a task id, padded to the width of its column.
func taskCell(id string) string { return runewidth.FillRight(printable(id), idWidth) }

// statusCell is a text in the color of a state, padded to the width of its column.
func statusCell(s task.State, text string) string {
	return colorOf(s).Sprint(runewidth.FillRight(text, statusWidth))
}

// colorOf is green for success, red for failure, and yellow for unfinished tasks.
func colorOf(s task.State) *color.Color {
	switch s {
	case task.Succeeded:
		return color.New(color.FgGreen)
	case task.Failed:
		return color.New(color.FgRed)
	default:
		return color.New(color.FgYellow)
	}
}

// describeStatus is "✓ succeeded", or "✗" with the error's code. The code is cut to the column: a newer
// worker may use one that is longer than those of this version.
func describeStatus(ev task.Event) string {
	if ev.Error == nil {
		return oneLine("✓ "+string(ev.Status), statusWidth)
	}
	return oneLine("✗ "+string(ev.Error.Code), statusWidth)
}

// clock is the local time of day, with the date unless it is today's, in whichever zone the event has its
// times.
func clock(at time.Time) string {
	at = at.Local()
	if now := time.Now(); at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format(time.TimeOnly)
	}
	return at.Format(time.DateTime)
}

// runTime is the time from submission to the end, or "-" for a task that was never submitted. It includes
// the detection delay: the event has no time at which the workflow itself ended.
func runTime(ev task.Event) string {
	if ev.SubmittedAt.IsZero() {
		return "-"
	}
	return rounded(ev.FinishedAt.Sub(ev.SubmittedAt))
}

// rounded is a duration with about three digits: hundredths below ten seconds, tenths below a minute, and
// whole seconds from there on.
func rounded(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// answerText is the result or the error on one line, of at most width columns, or of any length if width is 0. It does not
// fetch a large result, and names the object that holds it.
func answerText(ev operator.Event, width int) string {
	var text string
	switch {
	case ev.Status != task.Succeeded && ev.Error != nil:
		text = ev.Error.Message
	case ev.ResultRef != nil:
		text = fmt.Sprintf("%d bytes in object store %s under %s", ev.ResultRef.Size, ev.ResultRef.Bucket, ev.ResultRef.Name)
	case json.Unmarshal(ev.Result, &text) != nil: // a string is shown without its quotes
		text = string(ev.Result)
	}
	text, prefix := printable(text), ""
	if ev.Replay {
		prefix = "(replay) "
	}
	if width > 0 {
		text = runewidth.Truncate(text, width-len(prefix), "…")
	}
	if prefix != "" {
		prefix = faint(prefix)
	}
	return prefix + text
}

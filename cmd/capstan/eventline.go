package main

import (
	"encoding/json"
	"fmt"
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

	answerWidth = 100

	// messageWidth bounds texts that are shown whole. They come from elsewhere and could be of any length.
	messageWidth = 2048
)

// eventLine is an event on one line: when the task finished, its id, its status, its run time, and its
// result or error. The line has no line break and nothing that could control a terminal, whatever the event
// contains.
func eventLine(ev operator.Event) string {
	return fmt.Sprintf("%s  %s  %s  %7s  %s",
		faint(clock(ev.FinishedAt)), taskCell(ev.TaskID), statusCell(ev.Status, describeStatus(ev.Event)), runTime(ev.Event), answerText(ev))
}

// taskCell is a task id, padded to the width of its column.
func taskCell(id string) string { return runewidth.FillRight(oneLine(id, messageWidth), idWidth) }

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
		return "✓ " + string(ev.Status)
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

// answerText is the result or the error on one line, of at most about answerWidth columns. It does not fetch a
// large result, and names the object that holds it.
func answerText(ev operator.Event) string {
	prefix := ""
	if ev.Replay {
		prefix = faint("(replay) ")
	}
	var text string
	switch {
	case ev.Status != task.Succeeded && ev.Error != nil:
		text = ev.Error.Message
	case ev.ResultRef != nil:
		text = fmt.Sprintf("%d bytes in object store %s under %s", ev.ResultRef.Size, ev.ResultRef.Bucket, ev.ResultRef.Name)
	case json.Unmarshal(ev.Result, &text) != nil: // a string is shown without its quotes
		text = string(ev.Result)
	}
	return prefix + oneLine(text, answerWidth)
}

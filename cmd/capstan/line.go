package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode"

	"github.com/capstan-worker/capstan/internal/task"
)

// Widths of the columns that people read, in characters.
const (
	idWidth     = 16
	statusWidth = 18 // as wide as submission_unknown
	answerWidth = 100

	messageWidth = 2048 // of what is shown as a whole, within reason
)

// eventLine is an event on one line: when it ended, the task, how it ended, how long it ran, and the
// answer or what went wrong.
func eventLine(t *terminal, ev received) string {
	return fmt.Sprintf("%s  %-*s  %s  %7s  %s",
		t.paint(dim, clock(ev.FinishedAt)), idWidth, oneLine(ev.TaskID, messageWidth), outcome(t, ev.Event), runTime(ev.Event), ev.answer(t))
}

// clock is the time of day, with the date where that is not today's.
func clock(at time.Time) string {
	at = at.Local()
	if now := time.Now(); at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format(time.TimeOnly)
	}
	return at.Format(time.DateTime)
}

// outcome is how a task ended, as wide as the column.
func outcome(t *terminal, ev task.Event) string { return cell(t, mood(ev.Status), mark(ev)) }

func cell(t *terminal, c color, text string) string {
	return t.paint(c, fmt.Sprintf("%-*s", statusWidth+2, text))
}

// mark is "✓ succeeded", or a cross and the error's code.
func mark(ev task.Event) string {
	if ev.Error == nil {
		return "✓ " + string(ev.Status)
	}
	return "✗ " + oneLine(string(ev.Error.Code), statusWidth)
}

// mood is the color of a state.
func mood(s task.State) color {
	switch s {
	case task.Succeeded:
		return green
	case task.Failed:
		return red
	default:
		return yellow
	}
}

// runTime is from submission to end; a task that was never submitted has none.
func runTime(ev task.Event) string {
	if ev.SubmittedAt.IsZero() {
		return "-"
	}
	return short(ev.FinishedAt.Sub(ev.SubmittedAt))
}

// short is a duration in the unit a person would choose.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// answer is the result, or what went wrong, cut to one line.
func (ev received) answer(t *terminal) string {
	again := ""
	if ev.replay {
		again = t.paint(dim, "(again) ")
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
	return again + oneLine(text, answerWidth)
}

// printJSON prints a value as JSON for people and programs alike. Characters that could steer a terminal
// are escaped; the value stays the same.
func (t *terminal) printJSON(v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	t.printf("%s", escapeControls(text.String()))
	return nil
}

// escapeControls escapes what JSON lets pass inside strings though it is a control or format character.
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

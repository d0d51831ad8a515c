package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator"
)

// A status fits into a small terminal.
const (
	statusWidthMax = 80
	statusName     = 10 // columns of the names
	statusText     = statusWidthMax - statusName - 2
	pauserWidth    = 24
	mostPauseRows  = 4
	mostWorkers    = 5
	mostNotes      = 3
)

// statusLines is a status for people: at most 24 lines of 80 columns.
func statusLines(s operator.Status) (lines []string) {
	row := func(name, format string, args ...any) {
		text := oneLine(fmt.Sprintf(format, args...), statusText)
		lines = append(lines, strings.TrimRight(faint(fmt.Sprintf("%-*s", statusName, name))+"  "+text, " "))
	}
	title := "all tasks"
	if s.Batch != "" {
		title = "batch " + s.Batch
	}
	lines = append(lines, bold(oneLine(title, statusWidthMax-12))+"  "+faint(clock(s.At)))
	row("waiting", "%s", waitingText(s))
	row("running", "%d%s", s.Running+s.Submitting, submittingText(s))
	row("ended", "%d succeeded, %d failed", s.Succeeded, s.Failed)
	if s.Failed > 0 {
		for i, line := range wrapped(codesText(s.FailedByCode), ", ") {
			row([]string{"failed", ""}[i], "%s", line)
		}
	}
	row("rate", "%s", rateText(s))
	row("done", "%s", doneText(s))
	row("limit", "%s", limitText(s.Limit))
	listRows(s, row)
	return lines
}

// listRows adds a row for each pause, worker and note, as far as there is room.
func listRows(s operator.Status, row func(name, format string, args ...any)) {
	pauseRows(s, row)
	row("workers", "%s", workersText(s.Workers))
	for i, w := range s.Workers {
		if i == mostWorkers {
			row("", "and %d more", len(s.Workers)-i)
			break
		}
		row("", "%s  %s  %d in progress, %d of them run", w.Worker, w.Version, w.InProgress, w.Running)
	}
	for i, note := range s.Notes {
		if i < mostNotes {
			row("note", "%s", note)
		}
	}
}

// pauseRows adds up to two rows for each pause, as far as there is room.
func pauseRows(s operator.Status, row func(name, format string, args ...any)) {
	rows := 0
	for i, pause := range s.Pauses {
		lines := wrapped(whyPaused(pause, s.At), " ")
		if rows += len(lines); rows > mostPauseRows {
			row("", "and %d more", len(s.Pauses)-i)
			return
		}
		for i, line := range lines {
			row([]string{"paused", ""}[i], "%s", line)
		}
	}
}

// whyPaused says why nothing is submitted and, unless it is an operator's pause, on which workers.
func whyPaused(p operator.PausedBy, now time.Time) string {
	text := oneLine(p.Text(now), messageWidth)
	if p.By == operator.ByOperator {
		return text
	}
	return oneLine(p.By, pauserWidth) + ": " + text
}

// waitingText is how many tasks wait, where, and for what.
func waitingText(s operator.Status) string {
	least := ""
	if s.QueuedAtLeast {
		least = "at least "
	}
	text := fmt.Sprintf("%s%d", least, s.Queued+s.Waiting)
	if s.Waiting == 0 {
		return text + fmt.Sprintf(" (%d queued)", s.Queued)
	}
	text += fmt.Sprintf(" (%d queued, %d on workers", s.Queued, s.Waiting)
	delete(s.WaitsFor, "")
	if len(s.WaitsFor) > 0 {
		text += ": " + codesText(s.WaitsFor)
	}
	return text + ")"
}

// submittingText names the tasks that are being submitted, if there are any.
func submittingText(s operator.Status) string {
	if s.Submitting == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d of them being submitted)", s.Submitting)
}

// wrapped splits a text behind a separator into two lines, if one does not do.
func wrapped(text, separator string) []string {
	if len(text) <= statusText {
		return []string{text}
	}
	cut := strings.LastIndex(text[:statusText], separator)
	if cut < 0 {
		return []string{text}
	}
	cut += len(separator)
	return []string{text[:cut], text[cut:]}
}

// rateText is how many tasks end in a minute.
func rateText(s operator.Status) string {
	switch {
	case s.PerMinute == 0:
		return "unknown: too few tasks have ended lately"
	case s.PerMinute < 10:
		return fmt.Sprintf("%.1f tasks a minute", s.PerMinute)
	default:
		return fmt.Sprintf("%.0f tasks a minute", s.PerMinute)
	}
}

// doneText is when all will have ended.
func doneText(s operator.Status) string {
	ended := s.Succeeded + s.Failed
	switch {
	case s.Open() == 0 && ended == 0 && s.Batch != "":
		return "no task of this batch is known"
	case s.Open() == 0 && ended == 0:
		return "there are no tasks"
	case s.Open() == 0 && !s.LastEnd.IsZero():
		return "all have ended, the last one at " + clock(s.LastEnd)
	case s.Open() == 0:
		return "all have ended"
	case s.Done.IsKnown():
		return fmt.Sprintf("at %s, in %s (between %s and %s)", operator.Clock(s.Done.At, s.At), roughly(s.Done.At.Sub(s.At)), operator.Clock(s.Done.From, s.At), operator.Clock(s.Done.To, s.At))
	default:
		return "unknown: " + s.Done.Unknown
	}
}

// roughly is a duration with a precision that an estimate can have.
func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(1, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	default:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// limitText is how many tasks the workers hold, and may hold.
func limitText(l operator.LimitUse) string {
	switch {
	case l.InFlight == 0:
		return "not known yet: no worker has run"
	case l.Reason == "":
		return fmt.Sprintf("%d of %d tasks in progress", l.Held, l.InFlight)
	case l.InFlight < l.Plan:
		return fmt.Sprintf("%d of %d tasks in progress, plan %d (%s)", l.Held, l.InFlight, l.Plan, l.Reason)
	default:
		return fmt.Sprintf("%d of %d tasks in progress (%s)", l.Held, l.InFlight, l.Reason)
	}
}

// workersText is how many workers answer.
func workersText(all []fleet.Status) string {
	if len(all) == 0 {
		return "none answers"
	}
	return fmt.Sprint(len(all))
}

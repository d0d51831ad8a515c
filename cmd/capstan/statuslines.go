package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
)

const (
	statusName   = 10 // columns of the names
	pauserWidth  = 24
	mostRowLines = 2 // of a row's text
	mostPauses   = 4 // lines of pauses
	mostNotes    = 2
)

// statusRows are the rows of a status.
type statusRows struct {
	inspect.Status
	room  room
	lines []string
}

// statusLines is a status on one screen of a terminal: in a small one some workers are left out. For awk, it has a line for
// each fact, which begins with its name, and nothing is left out.
func statusLines(s inspect.Status, r room) []string {
	for workers := len(s.Workers); ; workers-- {
		if r.isTerminal() {
			workers = min(workers, r.rows)
		}
		all := statusRows{Status: s, room: r}
		all.add(workers)
		if !r.isTerminal() || workers == 0 || len(all.lines) < r.rows { // the line below is for the prompt
			return all.lines
		}
	}
}

// add adds all rows, with those of some workers.
func (s *statusRows) add(workers int) {
	title := "all tasks"
	if s.Batch != "" {
		title = "batch " + s.room.cell(s.Batch)
	}
	at := s.room.clock(s.At)
	if s.room.isTerminal() {
		title = oneLine(title, s.room.columns-len(at)-columnGap)
	}
	s.lines = append(s.lines, bold(title)+"  "+faint(at))
	if s.Canceled != nil {
		why := strings.TrimLeft(strings.TrimPrefix(s.Canceled.String(), "canceled"), ": ")
		s.row("canceled", strings.TrimPrefix(why+"; tasks that are submitted to it later are canceled, too", "; "))
	}
	s.row("waiting", waitingText(s.Status))
	s.row("running", fmt.Sprintf("%d%s", s.Running+s.Submitting, submittingText(s.Status)))
	if s.Other > 0 {
		s.row("other", fmt.Sprintf("%d in a state that only a newer version knows", s.Other))
	}
	s.row("ended", endedText(s.Status))
	if s.Failed > 0 {
		s.put("failed", s.wrapBehind(", ", codesText(s.FailedByCode), mostRowLines))
	}
	if cost := operator.CostText(s.Cost, s.FailedCost); cost != "" {
		s.row("cost", cost)
	}
	s.row("rate", rateText(s.Status))
	s.row("done", doneText(s.Status))
	s.row("limit", limitText(s.Limit))
	s.pauses()
	s.workers(workers)
	for i, note := range s.Notes {
		if i < mostNotes || !s.room.isTerminal() {
			s.put("note", s.wrap(note, 1))
		}
	}
}

// row adds a name and a text, which may continue on a second line.
func (s *statusRows) row(name, text string) { s.put(name, s.wrap(text, mostRowLines)) }

// wrap splits a text into so many lines of a row at most.
func (s *statusRows) wrap(text string, most int) []string { return s.wrapBehind(" ", text, most) }

// wrapBehind is wrap at other places than spaces.
func (s *statusRows) wrapBehind(separator, text string, most int) []string {
	if !s.room.isTerminal() {
		return []string{printable(text)}
	}
	return wrapAtMost(oneLine(text, messageWidth), separator, s.room.columns-statusName-columnGap, most)
}

// put adds the lines of a row.
func (s *statusRows) put(name string, lines []string) {
	for _, line := range lines {
		s.lines = append(s.lines, strings.TrimRight(faint(fmt.Sprintf("%-*s", statusName, name))+"  "+line, " "))
		name = ""
	}
}

// unnamed is the name of a row that continues the one above: none for people, and for awk its kind.
func (s *statusRows) unnamed(kind string) string {
	if s.room.isTerminal() {
		return ""
	}
	return kind
}

// workers adds how many workers answer, and rows for the first n of them.
func (s *statusRows) workers(n int) {
	s.row("workers", workersText(s.Workers))
	for _, w := range s.Workers[:n] {
		s.row(s.unnamed("worker"), fmt.Sprintf("%s %s %d in progress, %d of them run", s.room.cell(w.Worker), s.room.cell(w.Version), w.InProgress, w.Running))
	}
	if left := len(s.Workers) - n; left > 0 {
		s.row("", fmt.Sprintf("and %d more", left))
	}
}

// pauses adds a row for each pause, as far as there is room.
func (s *statusRows) pauses() {
	rows := 0
	for i, pause := range s.Pauses {
		lines := s.wrap(s.whyPaused(pause), mostRowLines)
		if rows += len(lines); rows > mostPauses && s.room.isTerminal() {
			s.row("", fmt.Sprintf("and %d more", len(s.Pauses)-i))
			return
		}
		s.put("paused", lines)
	}
}

// whyPaused says why nothing is submitted and, unless it is an operator's pause, on which workers.
func (s *statusRows) whyPaused(p inspect.PausedBy) string {
	switch text := p.Text(s.At); {
	case p.By == inspect.ByOperator:
		return text
	case s.room.isTerminal():
		return oneLine(p.By, pauserWidth) + ": " + text
	default:
		return p.By + ": " + text
	}
}

// waitingText is how many tasks wait, where, and for what.
func waitingText(s inspect.Status) string {
	text := fmt.Sprint(s.Queued + s.Waiting)
	if s.QueuedAtLeast {
		text += " or more"
	}
	if s.Waiting == 0 {
		return text + fmt.Sprintf(" (%d queued)", s.Queued)
	}
	text += fmt.Sprintf(" (%d queued, %d on workers", s.Queued, s.Waiting)
	if len(s.WaitsFor) > 0 {
		text += ": " + codesText(s.WaitsFor)
	}
	return text + ")"
}

// submittingText names the tasks that are being submitted, if there are any.
func submittingText(s inspect.Status) string {
	if s.Submitting == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d of them being submitted)", s.Submitting)
}

// endedText is how many tasks have ended, and how many of those that failed were run again.
func endedText(s inspect.Status) string {
	text := fmt.Sprintf("%d succeeded, %d failed", s.Succeeded, s.Failed)
	if s.Redriven > 0 {
		text += fmt.Sprintf(" (%d of them run again)", s.Redriven)
	}
	return text
}

// rateText is how many tasks end in a minute.
func rateText(s inspect.Status) string {
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
func doneText(s inspect.Status) string {
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
		return fmt.Sprintf("at %s, in %s (between %s and %s)", inspect.Clock(s.Done.At, s.At), roughly(s.Done.At.Sub(s.At)), inspect.Clock(s.Done.From, s.At), inspect.Clock(s.Done.To, s.At))
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
func limitText(l inspect.LimitUse) string {
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

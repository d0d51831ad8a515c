package dashboard

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// figure is a number with its name.
type figure struct {
	Name   string
	Value  string
	Detail string
	URL    string // of the tasks that it counts
	Class  string
}

// codeCount is how many tasks failed with a code, or how many requests were refused with it.
type codeCount struct {
	Code      task.Code
	IsRefusal bool
	Tasks     int
	URL       string
}

// figuresOf returns the figures of a queue or of a batch, of which so many requests were refused.
func figuresOf(s inspect.Status, refused map[task.Code]int) []figure {
	least := map[bool]string{true: "at least "}[s.QueuedAtLeast]
	all := []figure{
		{Name: "Queued", Value: least + grouped(s.Queued), Detail: "no worker has begun them", URL: tasksURL("state", string(inspect.Queued), "batch", s.Batch), Class: "idle"},
		{Name: "Waiting", Value: grouped(s.Waiting), Detail: waitsText(s), URL: tasksURL("state", string(task.Waiting), "batch", s.Batch), Class: "idle"},
		{Name: "Running", Value: grouped(s.Running + s.Submitting), Detail: submittingText(s.Submitting), URL: tasksURL("state", string(task.Running), "batch", s.Batch), Class: "busy"},
		{Name: "Succeeded", Value: grouped(s.Succeeded), Detail: ratioText(s.Succeeded, s.Failed), URL: tasksURL("state", string(task.Succeeded), "batch", s.Batch), Class: "good"},
		failedFigure(s, refused),
	}
	if s.Batch == "" || s.Open() > 0 { // it says nothing of a batch that has ended
		all = append(all, figure{Name: "Per minute", Value: rateText(s.PerMinute), Detail: rateDetail(s)})
	}
	return append(all, costFigures(s)...)
}

// failedFigure returns how many tasks failed, and how many of these were run again. Requests that were refused count, too, and
// are in no list of tasks.
func failedFigure(s inspect.Status, refused map[task.Code]int) figure {
	n := 0
	for _, each := range refused {
		n += each
	}
	f := figure{Name: "Failed", Value: grouped(s.Failed), URL: tasksURL("state", string(task.Failed), "batch", s.Batch), Class: "bad"}
	switch n {
	case 0:
	case s.Failed:
		f.Detail, f.URL = "all of them requests that were refused", lettersURL("batch", s.Batch)
	default:
		f.Detail = grouped(n) + " of them requests that were refused"
	}
	if s.Redriven > 0 {
		f.Detail = strings.TrimPrefix(f.Detail+", "+grouped(s.Redriven)+" of them run again", ", ")
	}
	return f
}

// costFigures returns what the tasks that have ended used, as far as it is known.
func costFigures(s inspect.Status) (all []figure) {
	if s.Cost.StepsKnown > 0 {
		detail := "in " + counted(s.Cost.StepsKnown, "task")
		if s.FailedCost.StepsKnown > 0 {
			detail += ", " + grouped(s.FailedCost.Steps) + " of them in those that failed"
		}
		all = append(all, figure{Name: "Steps", Value: grouped(s.Cost.Steps), Detail: detail})
	}
	if s.Cost.CreditsKnown > 0 {
		detail := "in " + counted(s.Cost.CreditsKnown, "task")
		if s.FailedCost.CreditsKnown > 0 {
			detail += ", " + operator.CreditsText(s.FailedCost.Credits) + " of them in those that failed"
		}
		all = append(all, figure{Name: "Credits", Value: operator.CreditsText(s.Cost.Credits), Detail: detail})
	}
	return all
}

// waitsText says what the tasks on workers wait for.
func waitsText(s inspect.Status) string {
	var parts []string
	reasons := slices.SortedFunc(maps.Keys(s.WaitsFor), func(a, b task.WaitReason) int {
		return cmp.Or(cmp.Compare(s.WaitsFor[b], s.WaitsFor[a]), cmp.Compare(a, b))
	})
	for _, reason := range reasons {
		if reason != "" { // for a moment only
			parts = append(parts, fmt.Sprintf("%s %s", grouped(s.WaitsFor[reason]), line(string(reason))))
		}
	}
	if len(parts) == 0 {
		return "on workers, not submitted"
	}
	return "on workers: " + strings.Join(parts, ", ")
}

// submittingText names the tasks that are being submitted, if there are any.
func submittingText(n int) string {
	if n == 0 {
		return ""
	}
	return grouped(n) + " of them being submitted"
}

// ratioText is which share of the tasks that have ended succeeded.
func ratioText(succeeded, failed int) string {
	if succeeded+failed == 0 {
		return "none has ended"
	}
	share := 100 * float64(succeeded) / float64(succeeded+failed)
	if failed > 0 { // 100 % is only said if it is true
		share = min(share, 99.9)
	}
	return fmt.Sprintf("%.3g %% of those that ended", share)
}

// rateText is how many tasks end in a minute.
func rateText(perMinute float64) string {
	switch {
	case perMinute == 0:
		return "–"
	case perMinute < 10:
		return fmt.Sprintf("%.1f", perMinute)
	default:
		return grouped(int(perMinute + 0.5))
	}
}

// rateDetail says what the rate is.
func rateDetail(s inspect.Status) string {
	switch {
	case s.PerMinute == 0:
		return "too few tasks have ended lately"
	case s.Batch != "":
		return "tasks of all batches that ended lately"
	default:
		return "tasks that ended lately"
	}
}

// doneText says when all tasks will have ended.
func doneText(s inspect.Status) string {
	whole := "The queue"
	if s.Batch != "" {
		whole = "The batch"
	}
	switch {
	case s.Open() == 0 && s.Succeeded+s.Failed == 0:
		return whole + " has no tasks."
	case s.Open() == 0 && !s.LastEnd.IsZero():
		return "All tasks have ended, the last one at " + inspect.Clock(s.LastEnd, s.At) + "."
	case s.Open() == 0:
		return "All tasks have ended."
	case s.Done.IsKnown():
		return fmt.Sprintf("%s will be done at %s, in %s (between %s and %s).", whole, inspect.Clock(s.Done.At, s.At), roughly(s.Done.At.Sub(s.At)),
			inspect.Clock(s.Done.From, s.At), inspect.Clock(s.Done.To, s.At))
	case s.Done.Unknown != "":
		return "When it will be done is not known: " + line(s.Done.Unknown) + "."
	default:
		return "When it will be done is not known yet."
	}
}

// roughly is a duration with a precision that an estimate can have.
func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(1, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	default:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
}

// codesOf returns the codes of failed tasks, and of the requests that were refused: the most frequent first.
func codesOf(s inspect.Status, refused map[task.Code]int) (codes []codeCount) {
	for code, n := range s.FailedByCode {
		if r := refused[code]; r > 0 {
			codes, n = append(codes, codeCount{Code: code, IsRefusal: true, Tasks: r, URL: lettersURL("code", string(code), "batch", s.Batch)}), n-r
		}
		if n > 0 {
			codes = append(codes, codeCount{Code: code, Tasks: n, URL: tasksURL("state", string(task.Failed), "code", string(code), "batch", s.Batch)})
		}
	}
	slices.SortFunc(codes, func(a, b codeCount) int { return cmp.Or(cmp.Compare(b.Tasks, a.Tasks), cmp.Compare(a.Code, b.Code)) })
	return codes
}

// limitText says how many tasks the workers hold, and may hold.
func limitText(s inspect.Status) string {
	l := s.Limit
	text := fmt.Sprintf("%s of %s tasks in progress", grouped(l.Held), grouped(l.InFlight))
	switch {
	case l.InFlight == 0:
		return "Not known yet: no worker has run."
	case l.Plan > 0 && (l.Reason == "" || l.InFlight < l.Plan): // otherwise the reason names the plan
		text += fmt.Sprintf("; the plan has %s", counted(l.Plan, "browser"))
	case l.Plan < 0 && l.Reason == "":
		text += "; the plan has no browser limit"
	}
	if l.Reason != "" {
		text += " (" + line(l.Reason) + ")"
	}
	return text + "."
}

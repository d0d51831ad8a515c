package dashboard

import (
	"html/template"
	"net/url"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// templateFuncs returns the functions that the templates use.
func templateFuncs() template.FuncMap {
	return template.FuncMap{
		"clock": clock, "iso": func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"hour":    func(t time.Time) string { return t.Local().Format("15:04") },
		"grouped": grouped, "counted": counted, "line": line, "pieces": pieces, "stateClass": stateClass,
		"taskURL": taskURL, "batchURL": batchURL, "tasksURL": tasksURL, "redriveURL": redriveURL, "lettersURL": lettersURL, "cancelURL": cancelURL,
		"credits": operator.CreditsText,
		"plus":    func(a, b int) int { return a + b },
	}
}

// clock returns a moment in the dashboard's time zone, with the date if it is not today's.
func clock(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	local, now := t.Local(), time.Now()
	if local.Year() == now.Year() && local.YearDay() == now.YearDay() {
		return local.Format(time.TimeOnly)
	}
	if local.Year() == now.Year() {
		return local.Format("Jan 2 15:04:05")
	}
	return local.Format("2006-01-02 15:04:05")
}

// zone names the time zone of a moment: UTC, or CET (UTC+01:00).
func zone(t time.Time) string {
	name, offset := t.Zone()
	if offset == 0 {
		return name
	}
	return name + t.Format(" (UTC-07:00)")
}

// stateClass returns the style of a state.
func stateClass(state inspect.State) string {
	switch state {
	case inspect.State(task.Succeeded):
		return "good"
	case inspect.State(task.Failed), inspect.Canceled, inspect.Refused:
		return "bad"
	case inspect.State(task.Running), inspect.State(task.Submitting):
		return "busy"
	default:
		return "idle"
	}
}

func taskURL(id string) string    { return "/tasks/" + url.PathEscape(id) }
func batchURL(name string) string { return "/batches/" + url.PathEscape(name) }

// tasksURL returns the address of a list of tasks. The filters are names and values in turn; empty values do not count.
func tasksURL(filters ...string) string { return withQuery("/tasks", filters...) }

// lettersURL returns the address of the dead letters, listed one by one if there is a filter.
func lettersURL(filters ...string) string { return withQuery("/dead-letters", filters...) }

// redriveURL returns the address of the dry run of a redrive.
func redriveURL(filters ...string) string { return withQuery("/redrive", filters...) }

// cancelURL returns the address of the page that asks before a task or a batch is canceled.
func cancelURL(kind, name string) string { return withQuery("/cancel", kind, name) }

func withQuery(path string, filters ...string) string {
	query := url.Values{}
	for i := 0; i+1 < len(filters); i += 2 {
		if filters[i+1] != "" {
			query.Set(filters[i], filters[i+1])
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

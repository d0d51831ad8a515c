package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/board"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// pageTasks is how many tasks a list shows at once.
	pageTasks = 50
)

// tasksView is what the list of tasks shows.
type tasksView struct {
	Filter  taskFilter
	States  []inspect.State
	Codes   []task.Code
	Periods []period
	Rows    []taskRow
	All     int
	IsCut   bool
	IsQueue bool   // only queued tasks are shown, in the order in which workers take them
	Newer   string // what has changed since the list was opened, or ""
	Newest  string // address of the first page
	Older   string // address of the next page, or ""
	IsLater bool   // this is not the first page
}

// HasPeriod reports whether the filter's period is one of the choices.
func (v tasksView) HasPeriod() bool {
	return slices.ContainsFunc(v.Periods, func(p period) bool { return p.Value == v.Filter.Since })
}

// taskRow is a row of the list.
type taskRow struct {
	inspect.Entry
	Number int
	Place  int    // in line; 0: it is not queued
	Ran    string // how long it ran, or has run
	Waits  string // what it waits for
}

// taskFilter is the filter of a list as it is written in its address.
type taskFilter struct{ State, Code, Batch, Host, ID, Since string }

// query returns the filter as it is written in an address.
func (f taskFilter) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"state": f.State, "code": f.Code, "batch": f.Batch, "host": f.Host, "id": f.ID, "since": f.Since} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// sincePeriods returns the choices of how far a list looks back.
func sincePeriods() []period {
	return []period{{"", "any time"}, {"15m", "15 minutes"}, {"1h", "1 hour"}, {"6h", "6 hours"}, {"24h", "24 hours"}, {"168h", "7 days"}}
}

// listingOf reads a filter. The error names the field, what it holds, and what would do.
func listingOf(q url.Values) (taskFilter, board.Listing, error) {
	get := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	f := taskFilter{State: get("state"), Code: get("code"), Batch: get("batch"), Host: get("host"), ID: get("id"), Since: get("since")}
	l := board.Listing{Prefix: f.ID}
	l.Batch, l.Host, l.Limit = f.Batch, f.Host, pageTasks
	if f.State != "" {
		if !slices.Contains(inspect.ListedStates(), inspect.State(f.State)) {
			return f, l, badRequest("state must be one of %v (got %.40q)", inspect.ListedStates(), f.State)
		}
		l.States = []inspect.State{inspect.State(f.State)}
	}
	if f.Code != "" {
		if !slices.Contains(task.Codes(), task.Code(f.Code)) {
			return f, l, badRequest("code must be one of %v (got %.40q)", task.Codes(), f.Code)
		}
		l.Codes = []task.Code{task.Code(f.Code)}
	}
	if f.Since != "" {
		d, err := time.ParseDuration(f.Since)
		if err != nil || d <= 0 {
			return f, l, badRequest("since must be a duration above 0, such as 12h (got %.40q)", f.Since)
		}
		l.Since = d
	}
	if after := q.Get("after"); after != "" {
		at, id, _ := strings.Cut(after, ".")
		nanos, err := strconv.ParseInt(at, 10, 64)
		if err != nil || id == "" {
			return f, l, badRequest("after must be a time and a task id, as a link to older tasks has it (got %.40q)", after)
		}
		l.After = inspect.Entry{ID: id, ChangedAt: time.Unix(0, nanos)}
		if isQueue(f) {
			l.After = inspect.Entry{ID: id, Seq: uint64(max(nanos, 0))}
		}
	}
	return f, l, nil
}

// loadTasks returns a list of tasks. An address with ids shows these, in their order: a list that is open keeps its rows in
// place, and says how many tasks have changed since.
func (s *Server) loadTasks(_ context.Context, r *http.Request) (view, error) {
	q := r.URL.Query()
	filter, l, err := listingOf(q)
	if err != nil {
		return view{}, err
	}
	v := tasksView{
		Filter: filter, States: inspect.ListedStates(), Codes: task.Codes(), Periods: sincePeriods(),
		Newest: "/tasks?" + filter.query().Encode(), IsLater: l.After.ID != "", IsQueue: isQueue(filter),
	}
	ids := q["id-shown"]
	var shown []inspect.Entry
	if opened := q.Get("opened"); opened != "" {
		nanos, err := strconv.ParseInt(opened, 10, 64)
		if err != nil || len(ids) > pageTasks {
			return view{}, badRequest("opened must be a time, and id-shown must not be given more than %d times", pageTasks)
		}
		shown = s.board.Entries(ids...)
		if l.After.ID == "" {
			l.Opened, l.Shown = time.Unix(0, nanos), ids
		}
	}
	page := s.board.List(l)
	if v.Newer = newerText(page.Newer); v.IsQueue && !l.Opened.IsZero() {
		v.Newer = queueText(l.Shown, shown, page.Tasks)
	}
	v.All, v.IsCut = page.All, page.IsCut
	if shown == nil {
		shown = page.Tasks
	}
	if page.More {
		older := filter.query()
		older.Set("after", afterText(filter, page.Tasks[len(page.Tasks)-1]))
		v.Older = "/tasks?" + older.Encode()
	}
	v.Rows = s.taskRows(shown)
	return view{Title: "Tasks", Live: liveTasksURL(filter, l.After, shown), Data: v}, nil
}

// isQueue reports whether a list has only queued tasks.
func isQueue(f taskFilter) bool { return f.State == string(inspect.Queued) }

// afterText returns where the next page of a list begins, as an address has it.
func afterText(f taskFilter, last inspect.Entry) string {
	if isQueue(f) {
		return fmt.Sprintf("%d.%s", last.Seq, last.ID)
	}
	return fmt.Sprintf("%d.%s", last.ChangedAt.UnixNano(), last.ID)
}

// liveTasksURL returns the address of what keeps a list up to date.
func liveTasksURL(f taskFilter, after inspect.Entry, shown []inspect.Entry) string {
	q := f.query()
	if after.ID != "" {
		q.Set("after", afterText(f, after))
	}
	opened := time.Unix(0, 1) // of an empty list: before every task
	for _, e := range shown {
		q.Add("id-shown", e.ID)
		if e.ChangedAt.After(opened) {
			opened = e.ChangedAt
		}
	}
	q.Set("opened", strconv.FormatInt(opened.UnixNano(), 10))
	return "/live/tasks?" + q.Encode()
}

// newerText says how many tasks that are not shown have changed since the list was opened, or "" if none has.
func newerText(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 other task has changed"
	default:
		return grouped(n) + " other tasks have changed"
	}
}

// queueText says what has changed in the queue since the list was opened that shows these ids, or "" if nothing has. shown are
// their tasks as they are now, and first those that would be shown.
func queueText(ids []string, shown, first []inspect.Entry) string {
	left, joined := 0, 0
	for _, e := range shown {
		if e.State != inspect.Queued {
			left++
		}
	}
	for _, e := range first {
		if !slices.Contains(ids, e.ID) {
			joined++
		}
	}
	has := map[bool]string{true: " has", false: " have"}
	switch {
	case left > 0:
		return grouped(left) + " of these tasks" + has[left == 1] + " left the queue"
	case joined > 0:
		return counted(joined, "task") + has[joined == 1] + " joined the queue"
	default:
		return ""
	}
}

// taskRows returns the rows of tasks.
func (s *Server) taskRows(shown []inspect.Entry) (rows []taskRow) {
	now, snapshot := time.Now(), s.board.Snapshot()
	for i, e := range shown {
		row := taskRowOf(i, e, now)
		if e.State == inspect.Queued {
			row.Place = snapshot.Place(snapshot.Line.Place(e.Seq))
		}
		rows = append(rows, row)
	}
	return rows
}

// taskRowOf returns the row of a task.
func taskRowOf(i int, e inspect.Entry, now time.Time) taskRow {
	row := taskRow{Entry: e, Number: i}
	switch {
	case e.SubmittedAt.IsZero():
	case !e.FinishedAt.IsZero():
		row.Ran = duration(e.FinishedAt.Sub(e.SubmittedAt))
	case e.State == inspect.State(task.Running):
		row.Ran = duration(now.Sub(e.SubmittedAt).Truncate(time.Second))
	}
	if e.WaitsFor != "" {
		row.Waits = "for " + line(string(e.WaitsFor))
		if !e.WaitsUntil.IsZero() {
			row.Waits += " until " + clock(e.WaitsUntil)
		}
	}
	return row
}

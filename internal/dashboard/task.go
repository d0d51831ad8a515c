package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/request"
	"github.com/capstan-worker/capstan/internal/task"
)

// mostWhy bounds the sentences about a task, in bytes. The message of an error is shown in full below them.
const mostWhy = 1000

// taskView is what the page of a task shows.
type taskView struct {
	CanAct    bool
	ID        string
	State     inspect.State
	Why       string // at most mostWhy bytes
	IsOpen    bool
	HasFailed bool
	RunsAgain bool   // the visitor can run it again
	UndoURL   string // of the page that takes its cancellation back; "" if it is not canceled, or has ended
	UndoText  string // of the button that leads there
	Batch     string
	Steps     []step
	Bar       bar
	Facts     []fact
	Runs      []runRow
	LiveView  string // a link that shows the browser, or ""
	Blocks    []block
	Command   string // that publishes the request again, or ""
	NoCommand string // why there is none
}

// step is a moment in the life of a task, with the time since the one before.
type step struct {
	Name string
	At   time.Time
	Took string
}

// fact is a detail of a task.
type fact struct {
	Name, Value string
	URL         string // "" if the value leads nowhere
	Copy        bool   // it is worth copying
}

// runRow is a run of a task that was retried.
type runRow struct {
	Number    int
	Workflow  string
	Code      task.Code
	Submitted time.Time
	Took      string
	Session   inspect.Session
}

// HaveSessions reports whether one of the runs had a browser session that Capstan created.
func (v taskView) HaveSessions() bool {
	return slices.ContainsFunc(v.Runs, func(r runRow) bool { return r.Session.ID != "" })
}

// loadTask returns the page of a task.
func (s *Server) loadTask(ctx context.Context, r *http.Request) (view, error) {
	id := r.PathValue("id")
	why, found, err := s.findTask(ctx, id)
	if err != nil {
		return view{}, err
	}
	short, isCut := cut(why, mostWhy)
	if isCut {
		short += "…"
	}
	v := taskView{
		CanAct: s.canAct(), ID: id, State: found.State, Why: short, IsOpen: found.State.IsOpen(),
		HasFailed: stateClass(found.State) == "bad", Batch: batchOf(found),
	}
	v.UndoURL, v.UndoText = s.undoOf(found)
	v.RunsAgain = v.CanAct && v.HasFailed && found.Code().Retryable()
	v.Steps, v.Bar = timeline(found, time.Now())
	v.Facts, v.Runs = factsOf(found, s.board.Snapshot()), runsOf(found)
	v.Blocks = blocksOf(found)
	if v.CanAct { // the visitor has logged in
		v.LiveView = webLink(found.LiveView)
	}
	s.addRequest(ctx, &v, found)
	live := ""
	if v.IsOpen {
		live = "/live" + taskURL(id)
	}
	return view{Title: "Task " + id, Live: live, Data: v}, nil
}

// findTask finds a task, and the sentences about it. The error is a problem if there is no trace of it.
func (s *Server) findTask(ctx context.Context, id string) (why string, found inspect.Task, err error) {
	if err := request.CheckTaskID(id); err != nil {
		return "", found, badRequest("%v", err)
	}
	if !s.queue.Conn.IsConnected() { // a call would wait for seconds
		return "", found, problem{http.StatusServiceUnavailable, "NATS is unreachable, so this task cannot be read now. Reload the page when NATS is back."}
	}
	why, found, err = s.board.Why(ctx, id, s.nextPoll, inspect.OnPage)
	if err == nil && found.State == inspect.Unknown {
		err = problem{http.StatusNotFound, why}
	}
	return why, found, err
}

// nextPoll is fleet.NextPoll.
func (s *Server) nextPoll(ctx context.Context, id string) time.Time {
	return fleet.NextPoll(ctx, s.queue.Conn, id)
}

// webLink returns a link if it leads to a web page, or "". The record that has it can be written by others than workers.
func webLink(link task.Secret) string {
	const longest = 4096
	u, err := url.Parse(string(link))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(link) > longest {
		return ""
	}
	return u.String()
}

// batchOf returns the batch of a task.
func batchOf(t inspect.Task) string {
	switch {
	case t.Record != nil:
		return t.Record.Batch
	case t.Event != nil:
		return t.Event.Batch
	default:
		return ""
	}
}

// timeline returns the moments of a task, and how its time was spent until it ended, or until now.
func timeline(t inspect.Task, now time.Time) (steps []step, b bar) {
	requested, submitted, finished := momentsOf(t)
	var before time.Time
	add := func(name string, at time.Time) {
		if at.IsZero() {
			return
		}
		s := step{Name: name, At: at}
		if !before.IsZero() {
			s.Took = duration(at.Sub(before))
		}
		steps, before = append(steps, s), at
	}
	add("requested", requested)
	for i, run := range earlierRuns(t) {
		add(fmt.Sprintf("run %d submitted", i+1), run.SubmittedAt)
		add(fmt.Sprintf("run %d failed: %s", i+1, run.Code), run.FinishedAt)
	}
	add("submitted", submitted)
	if finished.IsZero() {
		add("now", now)
	} else {
		add(string(t.State), finished)
	}
	end := finished
	if end.IsZero() {
		end = now
	}
	waited, ran := end.Sub(requested), time.Duration(0)
	if !submitted.IsZero() {
		waited, ran = submitted.Sub(requested), end.Sub(submitted)
	}
	b.Label = "until submission " + duration(waited) + ", then " + duration(ran)
	return steps, b.with(int(end.Sub(requested).Milliseconds()), segment{Class: "idle", Count: int(waited.Milliseconds())}, segment{Class: "busy", Count: int(ran.Milliseconds())})
}

// momentsOf returns when a task was requested, submitted and finished, as far as it was.
func momentsOf(t inspect.Task) (requested, submitted, finished time.Time) {
	switch {
	case t.Record != nil:
		return t.Record.RequestedAt, t.Record.SubmittedAt, t.Record.FinishedAt
	case t.Event != nil:
		return t.Event.RequestedAt, t.Event.SubmittedAt, t.Event.FinishedAt
	default:
		return t.QueuedAt, time.Time{}, time.Time{}
	}
}

// earlierRuns returns the runs of a task before the last one.
func earlierRuns(t inspect.Task) []task.Run {
	if t.Record != nil {
		return t.Record.Runs
	}
	if t.Event != nil && len(t.Event.Runs) > 0 {
		return t.Event.Runs[:len(t.Event.Runs)-1]
	}
	return nil
}

// factsOf returns the details of a task.
func factsOf(t inspect.Task, s *inspect.Snapshot) (facts []fact) {
	add := func(name, value, address string, isCopied bool) {
		if value != "" {
			facts = append(facts, fact{name, line(value), address, isCopied})
		}
	}
	batch := batchOf(t)
	add("Batch", batch, batchURL(batch), false)
	if t.Position > 0 {
		add("Place in line", grouped(s.Place(t.Position)), "", false)
	}
	if t.Cancel != nil {
		add("Mark", t.Cancel.String(), "", false)
	}
	if r := t.Record; r != nil {
		add("Host", r.Host, tasksURL("host", r.Host), false)
		add("Worker", r.Owner, "", false)
		add("Workflow", r.WorkflowID, "", true)
		add("Submissions", grouped(r.Attempts), "", false)
		add("Polls", grouped(r.Polls), "", false)
	} else if e := t.Event; e != nil {
		add("Worker", e.Worker, "", false)
		add("Workflow", e.WorkflowID, "", true)
		add("Submissions", grouped(e.Attempts), "", false)
		add("Polls", grouped(e.Polls), "", false)
	}
	session := t.Session()
	add("Session", session.ID, "", true)
	add("Browser", session.EndText(), "", false)
	add("Steps", session.StepsText(), "", false)
	add("Credits", session.CreditsText(), "", false)
	if e := t.Event; e != nil {
		add("Status at Anchor", e.WorkflowStatus, "", false)
		if e.UnnoticedMS > 0 {
			add("Noticed", "at most "+duration(time.Duration(e.UnnoticedMS)*time.Millisecond)+" after the workflow ended", "", false)
		}
		add("Left out", strings.Join(e.Dropped, ", "), "", false)
	}
	if !t.NextPoll.IsZero() {
		add("Next poll", clock(t.NextPoll), "", false)
	}
	return facts
}

// runsOf returns the runs of a task that was retried.
func runsOf(t inspect.Task) (rows []runRow) {
	runs := earlierRuns(t)
	if t.Event != nil && len(t.Event.Runs) > 0 {
		runs = t.Event.Runs
	}
	for i, run := range runs {
		row := runRow{Number: i + 1, Workflow: line(run.WorkflowID), Code: run.Code, Submitted: run.SubmittedAt, Session: inspect.SessionOf(run)}
		if !run.SubmittedAt.IsZero() && !run.FinishedAt.IsZero() {
			row.Took = duration(run.FinishedAt.Sub(run.SubmittedAt))
		}
		rows = append(rows, row)
	}
	return rows
}

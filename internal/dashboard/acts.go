package dashboard

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/request"
	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

// act is something that visitors can do: a page that asks, and says how many tasks are concerned, and what its form does.
type act struct {
	ask http.HandlerFunc
	do  func(w http.ResponseWriter, r *http.Request) error
}

// question is what the page of an act shows.
type question struct {
	CanAct  bool
	Act     string // where the form goes
	Heading string
	What    []string // sentences: what will happen, and to how many tasks
	Fields  url.Values
	Reason  bool     // the form asks for a reason
	Periods []period // the form asks for how long
	Button  string
	IsGrave bool
	Back    string // the page before
	Command string // of the tool that does the same
}

// period is a choice of how long a pause lasts.
type period struct{ Value, Text string }

// acting lets an act be done where that is allowed. An act that fails says why; the log has a line for each that succeeds.
func (s *Server) acting(do func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.canAct() {
			s.fail(w, r, problem{http.StatusForbidden, "This dashboard was started without DASHBOARD_TOKEN, so it only shows. Nothing was done."})
			return
		}
		if err := do(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

// askQuestion shows the page of an act.
func (s *Server) askQuestion(w http.ResponseWriter, r *http.Request, q question) {
	q.CanAct = s.canAct()
	s.answer(w, r, http.StatusOK, "question", q.Heading, q)
}

// by is who has acted, as records and workers show it.
func by(r *http.Request) string { return "dashboard, from " + networkOf(r.RemoteAddr) }

// target is what is to be canceled: a task, or else a batch.
type target struct{ task, batch string }

// targetOf reads what is to be canceled.
func targetOf(values url.Values) (t target, err error) {
	t = target{task: values.Get("task"), batch: values.Get("batch")}
	switch {
	case (t.task == "") == (t.batch == ""):
		return t, badRequest("Name either a task or a batch.")
	case t.task != "":
		err = request.CheckTaskID(t.task)
	default:
		err = request.CheckBatch(t.batch)
	}
	if err != nil {
		return t, badRequest("%v", err)
	}
	return t, nil
}

// page returns the address of the page of a target.
func (t target) page() string {
	if t.task != "" {
		return "/tasks/" + url.PathEscape(t.task)
	}
	return "/batches/" + url.PathEscape(t.batch)
}

// askCancel says how many tasks would be canceled, and how far they are.
func (s *Server) askCancel(w http.ResponseWriter, r *http.Request) {
	t, err := targetOf(r.URL.Query())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.reader.fresh(r.Context())
	q := question{Act: "/cancel", Fields: url.Values{}, Reason: true, IsGrave: true, Back: t.page()}
	if t.task != "" {
		q.Heading, q.Button, q.Command = "Cancel task "+t.task, "Cancel 1 task", "capstan cancel "+shellQuoted(t.task)
		q.Fields.Set("task", t.task)
		q.What = []string{whatCancelDoes(s.board.Entries(t.task)[0])}
	} else {
		st := s.board.Snapshot().Status(t.batch)
		q.Heading, q.Button, q.Command = "Cancel batch "+t.batch, "Cancel "+counted(st.Open(), "task"), "capstan cancel --batch "+shellQuoted(t.batch)
		q.Fields.Set("batch", t.batch)
		least := map[bool]string{true: "at least "}[st.QueuedAtLeast]
		q.What = []string{
			fmt.Sprintf("This ends %s%s: %s queued, %s waiting on workers, %s running. %s before.", least, counted(st.Open(), "task"),
				grouped(st.Queued), grouped(st.Waiting), grouped(st.Running+st.Submitting+st.Other), hadEnded(st.Succeeded+st.Failed)),
			"Tasks that were not submitted never will be. Those that run end with the code canceled; their workflows at Anchor may run on.",
			"Tasks that are submitted to this batch later are canceled as well.",
		}
	}
	s.askQuestion(w, r, q)
}

// hadEnded says how many tasks are not concerned any more.
func hadEnded(n int) string {
	if n == 1 {
		return "1 task had ended"
	}
	return grouped(n) + " tasks had ended"
}

// whatCancelDoes says what happens to a task that is canceled.
func whatCancelDoes(e inspect.Entry) string {
	switch {
	case e.State == inspect.Unknown:
		return "There is no task with this id yet. If its request comes, it is canceled and never submitted."
	case task.State(e.State).Ended():
		return "The task has ended, so this changes nothing."
	case e.State == inspect.State(task.Running) || e.State == inspect.State(task.Submitting):
		return "The task runs. It ends at once with the code canceled; its workflow at Anchor may run on."
	default:
		return "The task was not submitted, and never will be. It ends with the code canceled."
	}
}

// doCancel cancels a task or a batch.
func (s *Server) doCancel(w http.ResponseWriter, r *http.Request) error {
	t, err := targetOf(formOf(r))
	if err != nil {
		return err
	}
	why := task.Cancellation{Reason: r.PostFormValue("reason"), By: by(r), At: time.Now().UTC().Truncate(time.Second)}
	if t.task != "" {
		return s.cancelTask(w, r, t, why)
	}
	return s.cancelBatch(w, r, t, why)
}

// cancelTask cancels the task of a target.
func (s *Server) cancelTask(w http.ResponseWriter, r *http.Request, t target, why task.Cancellation) error {
	canceled, err := steer.Cancel(r.Context(), s.queue, []string{t.task}, why)
	if err != nil {
		return err
	}
	stage := canceled[0].Stage
	text, tasks := fmt.Sprintf("Task %s is canceled. It was %s.", t.task, stage), 1
	if stage == steer.StageEnded {
		text, tasks = fmt.Sprintf("Task %s had ended, so nothing was done.", t.task), 0
	}
	s.log.Info().Str("remote", r.RemoteAddr).Str("task", t.task).Str("stage", string(stage)).Int("tasks", tasks).Msg("task canceled by a visitor")
	s.done(w, t.page(), text)
	return nil
}

// cancelBatch cancels the batch of a target.
func (s *Server) cancelBatch(w http.ResponseWriter, r *http.Request, t target, why task.Cancellation) error {
	canceled, err := steer.CancelBatch(r.Context(), s.queue, t.batch, why)
	if err != nil {
		return err
	}
	ending := 0
	for _, n := range canceled.Stages {
		ending += n
	}
	s.log.Info().Str("remote", r.RemoteAddr).Str("batch", t.batch).Int("tasks", ending).Msg("batch canceled by a visitor")
	s.done(w, t.page(), fmt.Sprintf("Batch %s is canceled: %s will end, %s had ended.", t.batch, counted(ending, "task"), grouped(canceled.Ended)))
	return nil
}

// formOf returns the fields of a form. One that cannot be read has none.
func formOf(r *http.Request) url.Values {
	if r.ParseForm() != nil {
		return url.Values{}
	}
	return r.PostForm
}

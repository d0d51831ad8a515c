package dashboard

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

// periods returns for how long a pause can last. The empty value is until somebody resumes.
func periods() []period {
	return []period{{"", "until somebody resumes"}, {"15m", "15 minutes"}, {"1h", "1 hour"}, {"3h", "3 hours"}, {"12h", "12 hours"}}
}

// askPause says how many tasks a pause would hold back.
func (s *Server) askPause(w http.ResponseWriter, r *http.Request) {
	s.reader.fresh(r.Context())
	st := s.board.Snapshot().Status("")
	q := question{
		Act: "/pause", Heading: "Pause submissions", Reason: true, Periods: periods(), Button: "Pause", IsGrave: true, Back: "/",
		Fields: url.Values{}, Command: "capstan pause",
		What: []string{
			fmt.Sprintf("No worker submits anything until the pause ends: %s would wait. %s on.", counted(st.Queued+st.Waiting, "task"), runsOn(st.Running+st.Submitting)),
			"Each task's expires_at keeps counting.",
		},
	}
	if p := st.OperatorsPause(); p != nil {
		q.What = append(q.What, "This replaces the current pause: "+p.Text(st.At)+".")
	}
	s.askQuestion(w, r, q)
}

// runsOn says how many tasks a pause does not concern.
func runsOn(n int) string {
	if n == 1 {
		return "1 task runs"
	}
	return grouped(n) + " tasks run"
}

// doPause pauses the submissions.
func (s *Server) doPause(w http.ResponseWriter, r *http.Request) error {
	var lasts time.Duration
	if text := r.PostFormValue("for"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil || lasts <= 0 {
			return badRequest("for must be a duration above 0, such as 1h, or empty (got %.40q). Nothing was done.", text)
		}
	}
	p := task.Pause{Reason: r.PostFormValue("reason"), By: by(r)}
	if lasts > 0 {
		var err error
		if p.Until, err = steer.PauseUntil(r.Context(), s.queue, lasts); err != nil {
			return err
		}
	}
	_, err := steer.Pause(r.Context(), s.queue, p)
	if outside, ok := errors.AsType[steer.RangeError](err); ok {
		return badRequest("%v. Nothing was done.", outside)
	}
	if err != nil {
		return err
	}
	waiting := s.board.Snapshot().Status("")
	s.log.Info().Str("remote", r.RemoteAddr).Time("until", p.Until).Int("tasks", waiting.Queued+waiting.Waiting).Msg("submissions paused by a visitor")
	s.done(w, "/", "Submissions are paused.")
	return nil
}

// askResume says which pause would end, and how many tasks wait.
func (s *Server) askResume(w http.ResponseWriter, r *http.Request) {
	s.reader.fresh(r.Context())
	st := s.board.Snapshot().Status("")
	q := question{Act: "/resume", Heading: "Resume submissions", Button: "Resume", Back: "/", Fields: url.Values{}, Command: "capstan resume"}
	if p := st.OperatorsPause(); p != nil {
		q.What = []string{
			"Submissions are " + p.Text(st.At) + ".",
			"When they resume, " + submitThose(st.Queued+st.Waiting) + ".",
		}
	} else {
		q.What = []string{"No operator has paused the submissions, so this changes nothing."}
	}
	s.askQuestion(w, r, q)
}

// submitThose says what becomes of the tasks that wait.
func submitThose(n int) string {
	switch n {
	case 0:
		return "no task waits to be submitted"
	case 1:
		return "workers submit the 1 task that waits"
	default:
		return "workers submit the " + grouped(n) + " tasks that wait"
	}
}

// doResume ends the pause.
func (s *Server) doResume(w http.ResponseWriter, r *http.Request) error {
	p, err := steer.Resume(r.Context(), s.queue)
	if err != nil {
		return err
	}
	if p == nil {
		s.done(w, "/", "Nothing was paused.")
		return nil
	}
	st := s.board.Snapshot().Status("")
	s.log.Info().Str("remote", r.RemoteAddr).Int("tasks", st.Queued+st.Waiting).Msg("submissions resumed by a visitor")
	s.done(w, "/", "Submissions are resumed.")
	return nil
}

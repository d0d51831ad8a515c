package anchortest

import (
	"net/http"
	"time"
)

// SessionRules is what the API's document leaves open about sessions, so that a client can be tried with each answer. The
// zero value is what the stand-in does by default.
type SessionRules struct {
	// Minute is how long a minute of max_duration and idle_timeout takes; 0: a minute.
	Minute time.Duration

	// ListLag is how late lists are: a session appears in them so long after its creation, and is open so long after its end.
	ListLag time.Duration

	// ListEnded keeps sessions that have ended in GET /v1/sessions/all/status.
	ListEnded bool

	// EndDelay is how long a session stays open after DELETE was answered with success.
	EndDelay time.Duration

	// Forget makes a session unknown when it has ended, so that its steps and its cost cannot be had.
	Forget bool

	// FiguresDelay is how long after its end the steps and credits of a session are right. Before, they are 0, or null with
	// FiguresNull.
	FiguresDelay time.Duration
	FiguresNull  bool

	// FirstStep is how long an agent thinks before its first step.
	FirstStep time.Duration

	// TaskState is the state of a workflow whose session has ended; empty: FAILED. A COMPLETED one has the result of its plan.
	// RUNNING stays for ever.
	TaskState string

	// TaskDelay is how long after the end of the session the workflow has that state.
	TaskDelay time.Duration

	// TaskInEnded is the status of the answer to a task in a session that has ended; 0: 403. With 200 the task is accepted,
	// and its workflow ends like that of a session that has just ended.
	TaskInEnded int

	// UnknownDelete is the status of the answer to DELETE for a session that is not known; 0: 401, as documented.
	UnknownDelete int

	// EndedDelete is the status of the answer to DELETE for a session that has ended; 0: 200.
	EndedDelete int

	// UnknownWorkflow is the status of the answer to a status call for a workflow that is not known; 0: 404. With 200 the
	// workflow is RUNNING.
	UnknownWorkflow int

	// Foreign reports whether a session belongs to another account. Each call about such a session is answered with 403.
	// Nil: none does.
	Foreign func(sessionID string) bool
}

// WithSessionRules changes what the stand-in does with sessions where the API's document does not say it.
func WithSessionRules(r SessionRules) Option { return func(s *Server) { s.rules = r } }

// minute is how long a minute of a timeout takes.
func (r SessionRules) minute() time.Duration {
	if r.Minute > 0 {
		return r.Minute
	}
	return time.Minute
}

// isForeign reports whether a session belongs to another account.
func (r SessionRules) isForeign(id string) bool { return r.Foreign != nil && r.Foreign(id) }

// statusOr returns a status, or the one by default for 0.
func statusOr(status, byDefault int) int {
	if status == 0 {
		return byDefault
	}
	return status
}

// foreignSession is the answer to a call about a session of another account.
func foreignSession() Fault {
	return refusal(http.StatusForbidden, "You do not have access to this session")
}

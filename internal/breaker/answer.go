package breaker

import (
	"cmp"

	"github.com/capstan-worker/capstan/internal/task"
)

// OfSubmission returns the reason to open the breaker for an answer to a submission, or "" if it concerns that task
// only. session reports that the request names a browser session: a 403 can then be about the session.
func OfSubmission(e *task.SubmitError, session bool) task.Reason {
	switch {
	case e == nil || e.Kind != task.NotNow:
		return ""
	case session && e.Reason == task.Forbidden:
		return ""
	default:
		return cmp.Or(e.Reason, task.Unavailable)
	}
}

// OfPoll returns the reason to open the breaker for an answer to a status call, or "" if it concerns that poll only.
func OfPoll(e *task.StatusError) task.Reason {
	if e.Reason == task.Unready || e.Reason == task.NotTheAPI {
		return ""
	}
	return e.Reason
}

// OfKey returns the reasons that are about the API key or its account: with another key the answer may differ.
func OfKey() []task.Reason { return []task.Reason{task.Unauthorized, task.NoCredits, task.Forbidden} }

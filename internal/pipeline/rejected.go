package pipeline

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// ownLimit is how many answers that may be the task's own fault make it rejected, if they are.
	ownLimit = 3

	// firstOwnWait is about how long a task waits for its next POST after its own session was refused. The wait
	// doubles each time, up to 64 times as long.
	firstOwnWait = time.Second
	mostDoubled  = 6
)

// ownRefusals counts the answers to a task's submissions that can be the fault of the account or of the task: a 403
// (the cost limit, or a session of another account), and a gateway's page (the gateway has no backend, or finds this
// request too large).
type ownRefusals struct {
	count          int
	acceptedBefore uint64 // submissions that the worker had accepted at the first of them
}

// refusedForGood counts an answer and reports whether the task is at fault. It is after the third such answer if the
// API accepted other submissions of this worker since the first or, for a task that names a session, if submissions
// are not paused.
func (r *run) refusedForGood(e *task.SubmitError) bool {
	if e.HTTPStatus != http.StatusForbidden && e.Reason != task.NotTheAPI {
		return false
	}
	r.own.count++
	if r.own.count == 1 {
		r.own.acceptedBefore = r.Admission.Accepted()
	}
	if r.own.count < ownLimit {
		return false
	}
	_, _, paused := r.Admission.Paused()
	return r.Admission.Accepted() > r.own.acceptedBefore || r.concernsSession(e) && !paused
}

// ownWait returns how long the task waits for its next POST. It is 0 unless the task's session was refused: then
// the admission does not pause, and the task waits by itself.
func (r *run) ownWait(e *task.SubmitError) time.Duration {
	if !r.concernsSession(e) {
		return 0
	}
	longest := firstOwnWait << min(r.own.count-1, mostDoubled)
	return longest/2 + rand.N(longest)
}

// concernsSession reports whether an answer can be about the browser session that the request names.
func (r *run) concernsSession(e *task.SubmitError) bool {
	return e.HTTPStatus == http.StatusForbidden && r.req.SessionID != ""
}

package anchor

import (
	"net/http"

	"github.com/capstan-worker/capstan/internal/task"
)

// notAccepted judges an answer that is not a success by its HTTP status alone: the API has no
// machine-readable names for its errors.
func notAccepted(a answer) *task.SubmitError {
	e := &task.SubmitError{HTTPStatus: a.status, RetryAfter: askedWait(a.header), Message: a.text()}
	switch reason := notNow(a); {
	case reason != "":
		e.Outcome, e.Reason = task.NotNow, reason
	case a.status >= 300 && a.status <= 499:
		e.Outcome = task.Refused
	default: // a server that fails may have accepted the task before it did
		e.Outcome = task.Unknown
	}
	return e
}

// notNow is why the API did not accept a task that it may accept later, or "".
func notNow(a answer) task.Reason {
	switch a.status {
	case http.StatusUnauthorized:
		return task.Unauthorized
	case http.StatusPaymentRequired:
		return task.NoCredits
	case http.StatusForbidden:
		return task.Forbidden
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return task.Unready
	case http.StatusTooManyRequests:
		return task.RateLimited
	case http.StatusServiceUnavailable:
		// Only who turns a request away on purpose can say when to come back.
		if _, ok := retryAfter(a.header); ok {
			return task.Unavailable
		}
	}
	return ""
}

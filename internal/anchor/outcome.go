package anchor

import (
	"net/http"

	"github.com/capstan-worker/capstan/internal/task"
)

// statusOverloaded is 529, a 503 under another name: no standard has it, and several APIs and gateways send it.
const statusOverloaded = 529

// notAccepted judges an answer that is not a success by its HTTP status and by whether the API itself gave it: the
// API has no machine-readable names for its errors.
func notAccepted(a answer) *task.SubmitError {
	e := &task.SubmitError{HTTPStatus: a.status, RetryAfter: askedWait(a.header), Message: a.text()}
	switch reason := notNow(a); {
	case reason != "":
		e.Kind, e.Reason = task.NotNow, reason
	case a.status >= 300 && a.status <= 499:
		e.Kind = task.Refused
	default: // a server that fails may have accepted the task before it did, and so may one that switches protocols
		e.Kind = task.Unknown
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
	case http.StatusProxyAuthRequired:
		return task.ProxyLogin
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return task.Unready
	case http.StatusTooManyRequests:
		return task.RateLimited
	case http.StatusServiceUnavailable, statusOverloaded:
		// A server that says when to come back turned the request away on purpose.
		if asksToReturn(a.header) {
			return task.Unavailable
		}
		return ""
	}
	if a.status >= 400 && a.status <= 499 && !a.ownForm() {
		return task.NotTheAPI
	}
	return ""
}

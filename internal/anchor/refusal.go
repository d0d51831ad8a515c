package anchor

import (
	"net/http"

	"github.com/capstan-worker/capstan/internal/task"
)

// statusOverloaded is 529. No standard defines it, but several APIs and gateways send it instead of 503.
const statusOverloaded = 529

// submitError classifies an answer to a submission that is not a success. It uses the HTTP status and whether the API
// itself answered, because the API has no machine-readable names for its errors.
func (a answer) submitError() *task.SubmitError {
	e := &task.SubmitError{HTTPStatus: a.status, RetryAfter: requestedWait(a.header), Message: a.message()}
	e.StartRate = a.status == http.StatusTooManyRequests && (hasRetryAfter(a.header) || isExhausted(a.header))
	switch reason := a.notNowReason(); {
	case reason != "":
		e.Kind, e.Reason = task.NotNow, reason
	case a.status >= 300 && a.status <= 499:
		e.Kind = task.Refused
	default: // a server that fails, or switches protocols, may have accepted the task before
		e.Kind = task.Unknown
	}
	return e
}

// notNowReason returns why the API did not accept a task that it may accept later, or "" if neither is
// certain. Status and Plan use it, too, to say why a call failed.
func (a answer) notNowReason() task.Reason {
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
		// A server that says when to return turned the request away on purpose.
		if hasRetryAfter(a.header) {
			return task.Unavailable
		}
		return ""
	}
	if a.status >= 400 && a.status <= 499 && !a.fromAPI() {
		return task.NotTheAPI
	}
	return ""
}

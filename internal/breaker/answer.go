package breaker

import (
	"cmp"
	"net/http"

	"github.com/capstan-worker/capstan/internal/task"
)

// statusOverloaded is not registered; servers that shed load use it as they use 503.
const statusOverloaded = 529

// OfSubmission returns why an answer to a submission concerns everybody, or "" where it concerns that task only.
// session says whether the request names a browser session: a 403 can then be about the session.
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

// OfPoll returns why an answer to a status call concerns everybody, or "" where it concerns that poll only.
func OfPoll(e *task.StatusError) task.Reason {
	switch e.HTTPStatus {
	case http.StatusTooManyRequests:
		return task.RateLimited
	case http.StatusUnauthorized:
		return task.Unauthorized
	case http.StatusPaymentRequired:
		return task.NoCredits
	case http.StatusForbidden:
		return task.Forbidden
	case http.StatusProxyAuthRequired:
		return task.ProxyLogin
	case http.StatusServiceUnavailable, statusOverloaded:
		if e.RetryAfter > 0 {
			return task.Unavailable
		}
	}
	return ""
}

// OfKey are the reasons that are about the API key or its account: another key may have another answer.
func OfKey() []task.Reason { return []task.Reason{task.Unauthorized, task.NoCredits, task.Forbidden} }

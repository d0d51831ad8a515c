package anchor

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/capstan-worker/capstan/internal/task"
)

// metrics counts calls by their result, and measures how long they take.
type metrics struct {
	submissions *prometheus.CounterVec   // by result; see submitResult
	polls       *prometheus.CounterVec   // by result; see pollResult
	sessions    *prometheus.CounterVec   // by call and result; see submitResult and sessionResult
	seconds     *prometheus.HistogramVec // by call: submit, status, or one about sessions
}

// newMetrics creates the series of every result, so that an alert can tell "never" from "not measured". Those about sessions
// begin with their first call: most workers make none.
func newMetrics(reg prometheus.Registerer) metrics {
	auto := promauto.With(reg)
	m := metrics{
		submissions: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_submissions_total", Help: "Submissions, by result.",
		}, []string{"result"}),
		polls: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_polls_total", Help: "Status calls, by result.",
		}, []string{"result"}),
		sessions: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_session_calls_total", Help: "Calls about browser sessions, by call and result.",
		}, []string{"call", "result"}),
		seconds: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name: "capstan_api_request_seconds", Help: "Time from the start of a call to the API to the end of its answer, or to its failure.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"call"}),
	}
	for _, result := range []string{"accepted", "refused", "not_now", "unknown"} {
		m.submissions.WithLabelValues(result)
	}
	for _, result := range []string{"running", "completed", "failed", "unknown_workflow", "rate_limited", "denied", "error"} {
		m.polls.WithLabelValues(result)
	}
	for _, call := range []string{"submit", "status"} {
		m.seconds.WithLabelValues(call)
	}
	return m
}

// submitted counts a submission whose error is e, or nil, and observes how long it took. A call that never
// left the client counts as well.
func (m metrics) submitted(e *task.SubmitError, took time.Duration) {
	m.submissions.WithLabelValues(submitResult(e)).Inc()
	m.seconds.WithLabelValues("submit").Observe(took.Seconds())
}

// polled counts a status call, and observes how long it took. If e is nil, w is what it returned.
func (m metrics) polled(w task.Workflow, e *task.StatusError, took time.Duration) {
	m.polls.WithLabelValues(pollResult(w, e)).Inc()
	m.seconds.WithLabelValues("status").Observe(took.Seconds())
}

// sessionCalled counts a call about sessions, and observes how long it took.
func (m metrics) sessionCalled(call, result string, took time.Duration) {
	m.sessions.WithLabelValues(call, result).Inc()
	m.seconds.WithLabelValues(call).Observe(took.Seconds())
}

// submitResult maps the kinds of task.SubmitError to labels.
func submitResult(e *task.SubmitError) string {
	switch {
	case e == nil:
		return "accepted"
	case e.Kind == task.Refused:
		return "refused"
	case e.Kind == task.NotNow:
		return "not_now"
	default:
		return "unknown"
	}
}

// pollResult separates the errors that an operator treats differently: the rate limit, the key, and anything else.
func pollResult(w task.Workflow, e *task.StatusError) string {
	switch {
	case e == nil && !w.Ended():
		return "running"
	case e == nil && w.Status == "COMPLETED":
		return "completed"
	case e == nil:
		return "failed"
	case e.UnknownWorkflow():
		return "unknown_workflow"
	case e.HTTPStatus == http.StatusTooManyRequests:
		return "rate_limited"
	case e.HTTPStatus >= 401 && e.HTTPStatus <= 403:
		return "denied"
	default:
		return "error"
	}
}

// sessionResult separates the errors of calls about sessions as pollResult does, and those that leave the effect open.
func sessionResult(e *task.SessionError) string {
	switch {
	case e == nil:
		return "ok"
	case e.UnknownSession():
		return "unknown_session"
	case e.HTTPStatus == http.StatusTooManyRequests:
		return "rate_limited"
	case e.HTTPStatus >= 401 && e.HTTPStatus <= 403:
		return "denied"
	case e.Unknown:
		return "unknown"
	default:
		return "error"
	}
}

// observed makes a call about sessions, counts it, and observes how long it takes.
func (c *Client) observed(name string, call func() *task.SessionError) *task.SessionError {
	began := time.Now()
	failure := call()
	c.metrics.sessionCalled(name, sessionResult(failure), time.Since(began))
	return failure
}

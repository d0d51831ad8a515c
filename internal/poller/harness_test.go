package poller_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	interval    = 2 * time.Second
	maxInterval = 15 * time.Second
)

// api answers as the function says.
type api func(ctx context.Context, workflowID string) (task.Workflow, error)

func (f api) Status(ctx context.Context, workflowID string, _ int64) (task.Workflow, error) {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout())
	defer cancel()
	return f(ctx, workflowID)
}

func (api) Timeout() time.Duration { return 30 * time.Second }

func running(context.Context, string) (task.Workflow, error) {
	return task.Workflow{Status: "RUNNING"}, nil
}

func hanging(ctx context.Context, _ string) (task.Workflow, error) {
	<-ctx.Done()
	return task.Workflow{}, &task.StatusError{Message: ctx.Err().Error()}
}

// script answers one after the other, then as running.
func script(answers ...error) api {
	var mu sync.Mutex
	return func(ctx context.Context, id string) (task.Workflow, error) {
		mu.Lock()
		defer mu.Unlock()
		if len(answers) == 0 {
			return running(ctx, id)
		}
		err := answers[0]
		answers = answers[1:]
		if err != nil {
			return task.Workflow{}, err
		}
		return running(ctx, id)
	}
}

// noted notes when it is called.
func noted(calls *[]time.Time, f api) api {
	var mu sync.Mutex
	return func(ctx context.Context, id string) (task.Workflow, error) {
		mu.Lock()
		*calls = append(*calls, time.Now())
		mu.Unlock()
		return f(ctx, id)
	}
}

// status is an answer with this HTTP status, and with the reason that package anchor reads from it.
func status(code int) error { return refusal(code, 0) }

// refusal is the same with a Retry-After.
func refusal(code int, retryAfter time.Duration) *task.StatusError {
	reason := map[int]task.Reason{
		401: task.Unauthorized, 402: task.NoCredits, 403: task.Forbidden, 407: task.ProxyLogin, 408: task.Unready, 429: task.RateLimited,
	}[code]
	if (code == 503 || code == 529) && retryAfter > 0 {
		reason = task.Unavailable
	}
	return &task.StatusError{HTTPStatus: code, Reason: reason, RetryAfter: retryAfter}
}

// unknown is the API's own word that it does not know the workflow.
func unknown(code int) error {
	return &task.StatusError{HTTPStatus: code, OwnForm: true, Message: "workflow not found"}
}

func newPoller(f api, limit rate.Limit) *poller.Poller {
	return limited(f, rate.NewLimiter(limit, 1))
}

// limited returns a poller that has this rate.
func limited(f poller.API, limit *rate.Limiter) *poller.Poller {
	return poller.New(poller.Config{Interval: interval, MaxInterval: maxInterval}, f, plenty(), limit,
		prometheus.NewRegistry(), zerolog.Nop())
}

// plenty is memory that no test uses up.
func plenty() poller.Budgets {
	return poller.Budgets{Polls: memory.NewBudget(1 << 30), Answers: memory.NewBudget(1 << 40)}
}

// fresh is a watch that began now.
func fresh(timeout time.Duration) *task.Watch {
	return &task.Watch{TaskID: "t", WorkflowID: "w", Submitted: time.Now(), Deadline: time.Now().Add(timeout)}
}

func resumed(ran, left time.Duration) *task.Watch {
	now := time.Now()
	return &task.Watch{
		TaskID: "t", WorkflowID: "w", Submitted: now.Add(-ran), Deadline: now.Add(left), Resumed: true,
	}
}

func wait(t *testing.T, p *poller.Poller, w *task.Watch) *task.Outcome {
	t.Helper()
	outcome, err := p.Wait(t.Context(), w)
	if err != nil {
		t.Errorf("wait: %v", err)
	}
	outcome.Release()
	return outcome
}

func wantBetween(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("got %s %v, want %v to %v", what, got, least, most)
	}
}

// page is the answer of a gateway without a backend.
func page(code int) error {
	return &task.StatusError{HTTPStatus: code, Reason: task.NotTheAPI, Message: "default backend - 404"}
}

func within(budgets poller.Budgets, f poller.API) *poller.Poller {
	return poller.New(poller.Config{Interval: interval, MaxInterval: maxInterval}, f, budgets, rate.NewLimiter(rate.Inf, 1),
		prometheus.NewRegistry(), zerolog.Nop())
}

func wantFree(t *testing.T, budgets poller.Budgets) {
	t.Helper()
	for name, budget := range map[string]*memory.Budget{"polls": budgets.Polls, "answers": budgets.Answers} {
		if got := budget.Reserved(); got != 0 {
			t.Errorf("got %d bytes reserved for %s after the last wait, want 0", got, name)
		}
	}
}

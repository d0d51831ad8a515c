package admission_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newAdmission(concurrency int, limit rate.Limit) *admission.Admission {
	return admission.New(admission.Config{Concurrency: concurrency}, rate.NewLimiter(limit, 1),
		prometheus.NewRegistry(), zerolog.Nop())
}

func acquire(t *testing.T, a *admission.Admission) (release func(error)) {
	t.Helper()
	release, err := a.Acquire(t.Context(), "", nil)
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	return release
}

func notNow(retryAfter time.Duration) error {
	return &task.SubmitError{Kind: task.NotNow, Reason: task.RateLimited, HTTPStatus: 429, RetryAfter: retryAfter}
}

// queue starts n goroutines that acquire one after the other and report their numbers.
func queue(ctx context.Context, a *admission.Admission, n int) <-chan acquired {
	in := make(chan acquired, n)
	for i := range n {
		join(ctx, a, "", nil, i, in)
	}
	return in
}

// join starts a goroutine that acquires and then reports its number.
func join(ctx context.Context, a *admission.Admission, session string, look func() error, number int, in chan<- acquired) {
	go func() {
		release, err := a.Acquire(ctx, session, look)
		in <- acquired{number: number, release: release, err: err}
	}()
	synctest.Wait()
}

// admitted waits for the next report, which must be that this number may leave.
func admitted(t *testing.T, in <-chan acquired, number int) (release func(error)) {
	t.Helper()
	got := <-in
	if got.number != number || got.err != nil {
		t.Fatalf("got %d with %v, want %d", got.number, got.err, number)
	}
	return got.release
}

type acquired struct {
	number  int
	release func(error)
	err     error
}

// probe acquires and returns how long that took.
func probe(t *testing.T, a *admission.Admission) (release func(error), waited time.Duration) {
	t.Helper()
	start := time.Now()
	release = acquire(t, a)
	return release, time.Since(start)
}

// wantAbout allows for the jitter.
func wantAbout(t *testing.T, got, want time.Duration) {
	t.Helper()
	if got < want*8/10 || got > want*12/10 {
		t.Errorf("got a pause of %v, want %v ± 20 %%", got, want)
	}
}

func forbidden() error {
	return &task.SubmitError{Kind: task.NotNow, Reason: task.Forbidden, HTTPStatus: 403}
}

func refused(status int) error {
	return &task.SubmitError{Kind: task.Refused, HTTPStatus: status}
}

func unknown() error { return &task.SubmitError{Kind: task.Unknown, HTTPStatus: 500} }

// submit acquires, and releases with an outcome at once.
func submit(t *testing.T, a *admission.Admission, session string, outcome error) {
	t.Helper()
	release, err := a.Acquire(t.Context(), session, nil)
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	release(outcome)
}

func wantPaused(t *testing.T, a *admission.Admission, want task.Reason) {
	t.Helper()
	if got, _, _ := a.Paused(); got != want {
		t.Errorf("got submissions paused for %q, want %q", got, want)
	}
}

// post submits in the time that a POST takes.
func post(t *testing.T, a *admission.Admission, session string, outcome error) {
	t.Helper()
	release, err := a.Acquire(t.Context(), session, nil)
	if err != nil {
		t.Error(err)
		return
	}
	<-time.After(50 * time.Millisecond)
	release(outcome)
}

package task_test

import (
	"slices"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

// Codes and whether they are retryable are public: subscribers decide by them.
func TestCodesAreThoseOfTheContract(t *testing.T) {
	retryable := map[task.Code]bool{
		"invalid_request":    false,
		"duplicate_task":     false,
		"expired":            false,
		"rejected":           false,
		"submission_unknown": true,
		"workflow_failed":    true,
		"step_limit":         true,
		"agent_failed":       true,
		"invalid_result":     true,
		"workflow_lost":      true,
		"timeout":            true,
		"canceled":           true,
		"poisoned":           false,
		"secret_unavailable": true,
	}
	for _, code := range task.Codes() {
		want, known := retryable[code]
		if !known || code.Retryable() != want {
			t.Errorf("%s: got retryable %v, want %v", code, code.Retryable(), want)
		}
		if got := task.NewError(code, "m"); got.Code != code || got.Message != "m" || got.Retryable != want {
			t.Errorf("%s: got the error %+v", code, got)
		}
	}
	if got, want := len(task.Codes()), len(retryable); got != want {
		t.Errorf("got %d codes, want %d", got, want)
	}
}

// Reasons are labels of a metric: each once, and none that is a surprise to a dashboard.
func TestReasonsAreAClosedSet(t *testing.T) {
	want := []task.Reason{
		"rate_limited", "unauthorized", "no_credits", "forbidden", "unavailable", "unready",
		"unreachable", "proxy_login", "not_the_api", "refusing", "failing",
	}
	if got := task.Reasons(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

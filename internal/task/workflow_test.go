package task_test

import (
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestAWorkflowEndsByItsStatus(t *testing.T) {
	for status, want := range map[string]bool{
		"COMPLETED":  true,
		"completed":  true,
		"FAILED":     true,
		"CANCELED":   true,
		"CANCELLED":  true,
		"TERMINATED": true,
		"TIMED_OUT":  true,
		"timed_out":  true,
		"RUNNING":    false,
		"PAUSED":     false, // not documented: it may go on
		"":           false,
	} {
		if got := (task.Workflow{Status: status}).Ended(); got != want {
			t.Errorf("%q: got %v, want %v", status, got, want)
		}
	}
}

func TestAnOutcomeReleasesItsMemory(t *testing.T) {
	var without task.Outcome
	without.Release()
	released := 0
	with := task.Outcome{Free: func() { released++ }}
	with.Release()
	if released != 1 {
		t.Errorf("got %d calls of Free, want 1", released)
	}
}

func TestErrorsOfTheAPINameTheHTTPStatus(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{&task.SubmitError{HTTPStatus: 429, Message: "slow down"}, "429: slow down"},
		{&task.SubmitError{Message: "connection refused"}, "connection refused"},
		{&task.StatusError{HTTPStatus: 502, Message: "bad gateway"}, "502: bad gateway"},
		{&task.StatusError{Message: "connection reset"}, "connection reset"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

// A gateway's page says nothing about a workflow.
func TestOnlyTheAPIItselfKnowsWhichWorkflowsExist(t *testing.T) {
	for _, tc := range []struct {
		err  task.StatusError
		want bool
	}{
		{task.StatusError{HTTPStatus: 404, OwnForm: true}, true},
		{task.StatusError{HTTPStatus: 400, OwnForm: true}, true},
		{task.StatusError{HTTPStatus: 404}, false},
		{task.StatusError{HTTPStatus: 400}, false},
		{task.StatusError{HTTPStatus: 403, OwnForm: true}, false},
		{task.StatusError{HTTPStatus: 500, OwnForm: true}, false},
		{task.StatusError{}, false},
	} {
		if got := tc.err.UnknownWorkflow(); got != tc.want {
			t.Errorf("%+v: got %v, want %v", tc.err, got, tc.want)
		}
	}
}

package anchor_test

import (
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// What a submission into a session that has ended, or is not ours, meets is not documented. No answer leaves it open whether
// the task runs.
func TestASubmissionIntoASessionThatTakesNoneIsKnown(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]task.SubmitError{
		403: {Kind: task.NotNow, Reason: task.Forbidden, HTTPStatus: 403},
		404: {Kind: task.Refused, HTTPStatus: 404},
		400: {Kind: task.Refused, HTTPStatus: 400},
		409: {Kind: task.Refused, HTTPStatus: 409},
	} {
		api, client := startSessions(t, anchortest.SessionPlan{}, anchortest.WithSessionRules(anchortest.SessionRules{TaskInEnded: status}))
		id := create(t, client)
		if err := client.EndSession(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		_, err := client.Submit(t.Context(), id, []byte(body))
		got := *submitError(t, err)
		if got.Message = ""; got != want {
			t.Errorf("%d: got %+v, want %+v", status, got, want)
		}
		if got := api.Log("read").Accepted; got != 0 {
			t.Errorf("%d: got %d workflows, want none", status, got)
		}
	}
}

// The workflow of a session that is ended says so in its own way.
func TestAWorkflowOfAnEndedSessionEnds(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{"": "FAILED", "CANCELED": "CANCELED", "TERMINATED": "TERMINATED", "RUNNING": "RUNNING"} {
		_, client := startSessions(t, anchortest.SessionPlan{}, anchortest.WithSessionRules(anchortest.SessionRules{TaskState: rule}),
			anchortest.WithPlan(func(anchortest.Task) anchortest.Plan { return anchortest.Plan{Block: true} }))
		id := create(t, client)
		workflowID, err := client.Submit(t.Context(), id, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.EndSession(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		workflow, err := client.Status(t.Context(), workflowID, anchor.MaxAnswer)
		if err != nil || workflow.Status != want || workflow.Ended() == (want == "RUNNING") {
			t.Errorf("%s: got %+v and error %v, want %s", rule, workflow, err, want)
		}
	}
}

// 401 of DELETE is the answer to a wrong key and to a session that is not known. Reading the session tells them apart.
func TestAnUnknownSessionIsToldFromAWrongKey(t *testing.T) {
	t.Parallel()
	api, client := startSessions(t, anchortest.SessionPlan{})
	cfg := config(api.URL())
	cfg.APIKey = "wrong"
	for name, c := range map[string]struct {
		client  *anchor.Client
		unknown bool
	}{"unknown": {client, true}, "wrong key": {newClient(t, cfg), false}} {
		e := sessionError(t, c.client.EndSession(t.Context(), "nobody"))
		if e.HTTPStatus != 401 || e.UnknownSession() || e.Unknown {
			t.Errorf("%s: got %+v, want a 401 that ended nothing", name, e)
		}
		_, err := c.client.Session(t.Context(), "nobody")
		if got := sessionError(t, err).UnknownSession(); got != c.unknown {
			t.Errorf("%s: got %v, want unknown %v", name, err, c.unknown)
		}
	}
}

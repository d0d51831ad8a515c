package verdict_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// stored is when the requests were stored, or a second later.
var stored = time.UnixMilli(1_780_000_000_123)

func asked() verdict.Task {
	return verdict.Task{
		ID: "a", Status: task.Succeeded, Result: json.RawMessage(`{"x":1,"y":2}`), Metadata: json.RawMessage(`{"n":1}`),
		Requests: []verdict.Request{{Seq: 11, From: stored, Until: stored.Add(time.Second)}, {Seq: 12, From: stored, Until: stored.Add(time.Second)}},
	}
}

func succeeded() verdict.Event {
	requested := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	ev := verdict.Event{Seq: 7, Event: task.Event{
		TaskID: "a", Status: task.Succeeded, WorkflowID: "wf", Attempts: 1,
		Result: json.RawMessage(`{"y": 2, "x": 1}`), Metadata: json.RawMessage(`{"n":1}`),
		RequestedAt: requested, SubmittedAt: requested.Add(time.Second), FinishedAt: requested.Add(time.Minute),
	}}
	return withHeaders(ev, "a")
}

// withHeaders gives an event the headers that belong to it, with a message id.
func withHeaders(ev verdict.Event, id string) verdict.Event {
	ev.Header = map[string][]string{
		"Nats-Msg-Id": {id}, "ce-specversion": {"1.0"}, "ce-id": {id}, "ce-type": {"dev.capstan.task." + string(ev.Status)},
		"ce-subject": {ev.TaskID}, "ce-time": {ev.FinishedAt.Format(time.RFC3339Nano)}, "content-type": {"application/json"},
	}
	return ev
}

// replayed is the repetition of an event in answer to the request 12.
func replayed(ev verdict.Event) verdict.Event {
	ev = withHeaders(ev, "a/12/1780000000123")
	ev.Seq, ev.Replay = 8, true
	return ev
}

func failed(code task.Code) verdict.Event {
	ev := succeeded()
	ev.Status, ev.Result, ev.Error = task.Failed, nil, task.NewError(code, "because")
	return withHeaders(ev, "a")
}

// good is the evidence of one task that went well.
func good() verdict.Evidence { return evidence(succeeded()) }

func evidence(events ...verdict.Event) verdict.Evidence {
	rec := task.Record{TaskID: "a", State: events[0].Status, ResultSeq: 7}
	if events[0].Error != nil {
		rec.ErrorCode = events[0].Error.Code
	}
	dead := map[string]int{}
	if rec.ErrorCode != "" {
		dead["a"] = 1
	}
	return verdict.Evidence{
		Dead: dead, Events: events,
		Records: map[string]task.Record{"a": rec},
		Runs:    map[string]anchortest.Log{"a": {Posts: 1, Accepted: 1, Workflows: []string{"wf"}}},
		Doubt:   func(string) bool { return false },
	}
}

func TestATaskThatWentWellIsNoProblem(t *testing.T) {
	c := verdict.Judge([]verdict.Task{asked()}, good())
	if len(c.Problems) > 0 || c.Events != 1 || c.Tasks != 1 || c.ExtraRuns+c.Lost+c.Duplicates+c.Unknown != 0 {
		t.Errorf("got %+v", c)
	}
}

func TestABrokenPromiseIsAProblem(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*verdict.Task, *verdict.Evidence)
		want  string
	}{
		{"lost", func(_ *verdict.Task, e *verdict.Evidence) { e.Events = nil }, "no event"},
		{"two events", func(_ *verdict.Task, e *verdict.Evidence) { e.Events = append(e.Events, succeeded()) }, "1 events too many"},
		{"a repetition without a copy of the request", func(_ *verdict.Task, e *verdict.Evidence) {
			e.Events = append(e.Events, verdict.Event{Event: task.Event{TaskID: "a"}, Replay: true})
		}, "1 events too many"},
		{"an unknown task's event", func(_ *verdict.Task, e *verdict.Evidence) {
			e.Events = append(e.Events, verdict.Event{Event: task.Event{TaskID: "b"}})
		}, "unknown task"},
		{"run twice", func(_ *verdict.Task, e *verdict.Evidence) {
			e.Runs["a"] = anchortest.Log{Posts: 1, Accepted: 2, Workflows: []string{"wf", "wf2"}}
		}, "run 2 times, at most 1"},
		{"run three times", func(a *verdict.Task, e *verdict.Evidence) {
			a.Resubmit = true
			e.Runs["a"] = anchortest.Log{Posts: 1, Accepted: 3, Workflows: []string{"wf"}}
		}, "run 3 times, at most 2"},
		{"no doubt", func(_ *verdict.Task, e *verdict.Evidence) { *e = evidence(failed(task.SubmissionUnknown)) }, "nothing left it in doubt"},
		{"doubt where there cannot be", func(a *verdict.Task, e *verdict.Evidence) {
			*e = evidence(failed(task.SubmissionUnknown))
			e.Doubt = func(string) bool { return true }
			a.Certain = true
		}, "nothing left it in doubt"},
		{"another code", func(_ *verdict.Task, e *verdict.Evidence) { *e = evidence(failed(task.Timeout)) }, "want succeeded"},
		{"another result", func(a *verdict.Task, _ *verdict.Evidence) { a.Result = json.RawMessage(`{"x":1}`) }, "result"},
		{"other metadata", func(a *verdict.Task, _ *verdict.Evidence) { a.Metadata = nil }, "metadata"},
		{"another workflow", func(_ *verdict.Task, e *verdict.Evidence) { e.Runs["a"] = anchortest.Log{Posts: 1} }, "never started"},
		{"a POST too many", func(_ *verdict.Task, e *verdict.Evidence) {
			e.Runs["a"] = anchortest.Log{Posts: 2, Accepted: 1, Workflows: []string{"wf"}}
		}, "2 POSTs"},
		{"an unfinished record", func(_ *verdict.Task, e *verdict.Evidence) {
			e.Records["a"] = task.Record{TaskID: "a", State: task.Running}
		}, "its record is running"},
		{"a request left", func(_ *verdict.Task, e *verdict.Evidence) { e.Left = 1 }, "1 requests are left"},
		{"no dead letter", func(a *verdict.Task, _ *verdict.Evidence) { a.Invalid = true }, "0 dead letters"},
		{"no dead letter of a failed task", func(a *verdict.Task, e *verdict.Evidence) {
			*e = evidence(failed(task.Timeout))
			a.Status, a.Code, e.Dead = task.Failed, task.Timeout, nil
		}, "0 dead letters"},
		{"a retry too many", func(a *verdict.Task, e *verdict.Evidence) {
			a.Retries = 1
			e.Runs["a"] = anchortest.Log{Posts: 3, Accepted: 3, Workflows: []string{"wf"}}
		}, "run 3 times, at most 2"},
		{"a canceled task that ran", func(a *verdict.Task, _ *verdict.Evidence) { a.NeverRun = true }, "run 1 times, at most 0"},
		{"canceled by nobody", func(_ *verdict.Task, e *verdict.Evidence) { *e = evidence(failed(task.Canceled)) }, "want succeeded"},
	} {
		a, e := asked(), good()
		tc.spoil(&a, &e)
		c := verdict.Judge([]verdict.Task{a}, e)
		if !slices.ContainsFunc(c.Problems, func(p string) bool { return strings.Contains(p, tc.want) }) {
			t.Errorf("%s: got problems %q, want %q", tc.name, c.Problems, tc.want)
		}
	}
}

func TestAnUnknownSubmissionNeedsAReason(t *testing.T) {
	doubtful := evidence(failed(task.SubmissionUnknown))
	doubtful.Runs["a"] = anchortest.Log{Posts: 1, Accepted: 1, Doubtful: 1, Workflows: []string{"wf"}}
	killed := evidence(failed(task.SubmissionUnknown))
	killed.Doubt = func(id string) bool { return id == "a" }
	for _, e := range []verdict.Evidence{doubtful, killed} {
		if c := verdict.Judge([]verdict.Task{asked()}, e); len(c.Problems) > 0 || c.Unknown != 1 || c.Explained != 1 {
			t.Errorf("got %+v, want one unknown, explained", c)
		}
	}
}

func TestACopyMayHaveARepetition(t *testing.T) {
	again := replayed(succeeded())
	a := asked()
	a.Copies = 1
	if c := verdict.Judge([]verdict.Task{a}, evidence(succeeded(), again)); len(c.Problems) > 0 || c.Events != 1 || c.Duplicates != 0 {
		t.Errorf("got %+v", c)
	}
}

func TestARepeatedRunThatWasAskedForIsCountedOnly(t *testing.T) {
	a, e := asked(), good()
	a.Resubmit = true
	e.Events[0].Attempts = 2
	e.Runs["a"] = anchortest.Log{Posts: 2, Accepted: 2, Workflows: []string{"wf1", "wf"}}
	if c := verdict.Judge([]verdict.Task{a}, e); len(c.Problems) > 0 || c.ExtraRuns != 1 {
		t.Errorf("got %+v, want one extra run and no problem", c)
	}
}

func TestAnEventThatContradictsItselfIsAProblem(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*verdict.Event)
		want  string
	}{
		{"no message id", func(ev *verdict.Event) { delete(ev.Header, "Nats-Msg-Id") }, `has the message id ""`},
		{"two message ids", func(ev *verdict.Event) { ev.Header["Nats-Msg-Id"] = []string{"a", "a"} }, `has the message id ""`},
		{"another task's message id", func(ev *verdict.Event) { *ev = withHeaders(*ev, "b") }, `has the message id "b"`},
		{"a repetition's message id", func(ev *verdict.Event) { *ev = withHeaders(*ev, "a/12/1780000000123") }, `has the message id "a/12/1780000000123"`},
		{"another ce-id", func(ev *verdict.Event) { ev.Header["ce-id"] = []string{"b"} }, `has ce-id "b", want "a"`},
		{"another version", func(ev *verdict.Event) { delete(ev.Header, "ce-specversion") }, `has ce-specversion ""`},
		{"another status", func(ev *verdict.Event) { ev.Header["ce-type"] = []string{"dev.capstan.task.failed"} }, "has ce-type"},
		{"another subject", func(ev *verdict.Event) { ev.Header["ce-subject"] = []string{"b"} }, "has ce-subject"},
		{"another time", func(ev *verdict.Event) { ev.FinishedAt = ev.FinishedAt.Add(1) }, "has ce-time"},
		{"no time", func(ev *verdict.Event) { ev.Header["ce-time"] = []string{"noon"} }, "has ce-time"},
		{"another type of content", func(ev *verdict.Event) { ev.Header["content-type"] = []string{"text/plain"} }, "has content-type"},
		{"submitted before it was requested", func(ev *verdict.Event) { ev.SubmittedAt = ev.RequestedAt.Add(-1) }, "out of order"},
		{"finished before it was submitted", func(ev *verdict.Event) { ev.SubmittedAt = ev.FinishedAt.Add(1) }, "out of order"},
		{"finished before it was requested", func(ev *verdict.Event) { ev.RequestedAt, ev.SubmittedAt = ev.FinishedAt.Add(1), time.Time{} }, "out of order"},
	} {
		ev := succeeded()
		tc.spoil(&ev)
		c := verdict.Judge([]verdict.Task{asked()}, evidence(ev))
		if !slices.ContainsFunc(c.Problems, func(p string) bool { return strings.Contains(p, tc.want) }) {
			t.Errorf("%s: got problems %q, want %q", tc.name, c.Problems, tc.want)
		}
	}
}

func TestRetryableFollowsFromTheCode(t *testing.T) {
	for _, code := range task.Codes() {
		if code == task.SubmissionUnknown || code == task.DuplicateTask {
			continue // wanted of no task
		}
		a, ev := asked(), failed(code)
		a.Status, a.Code, a.Result = task.Failed, code, nil
		if c := verdict.Judge([]verdict.Task{a}, evidence(ev)); len(c.Problems) > 0 {
			t.Errorf("%s: got problems %q", code, c.Problems)
		}
		ev.Error.Retryable = !ev.Error.Retryable
		if c := verdict.Judge([]verdict.Task{a}, evidence(ev)); len(c.Problems) != 1 || !strings.Contains(c.Problems[0], "retryable") {
			t.Errorf("%s: got problems %q, want one of retryable", code, c.Problems)
		}
	}
}

func TestARepetitionIsTheSameAsTheEvent(t *testing.T) {
	a := asked()
	a.Copies = 1
	for _, tc := range []struct {
		name string
		ev   verdict.Event
		want string
	}{
		{"another code", replayed(failed(task.Timeout)), "repeats succeeded"},
		{"another result", func() verdict.Event {
			ev := replayed(succeeded())
			ev.Result = json.RawMessage(`{"x":2}`)
			return ev
		}(), "repeats succeeded"},
		{"the event's own message id", func() verdict.Event {
			ev := withHeaders(succeeded(), "a")
			ev.Replay = true
			return ev
		}(), `has the message id "a"`},
		{"the message id of no request", func() verdict.Event {
			ev := withHeaders(succeeded(), "a/13/1780000000123")
			ev.Replay = true
			return ev
		}(), `has the message id "a/13/1780000000123"`},
	} {
		c := verdict.Judge([]verdict.Task{a}, evidence(succeeded(), tc.ev))
		if len(c.Problems) != 1 || !strings.Contains(c.Problems[0], tc.want) {
			t.Errorf("%s: got problems %q, want one: %q", tc.name, c.Problems, tc.want)
		}
	}
}

// The two versions give the request that they keep different message ids.
func TestWorkersOfTwoVersionsMayEachKeepARefusedRequest(t *testing.T) {
	a := asked()
	a.Invalid, a.Status, a.Code = true, task.Failed, task.InvalidRequest
	e := evidence(failed(task.InvalidRequest))
	e.Runs, e.Older = nil, true
	for kept, ok := range map[int]bool{0: false, 1: true, 2: true, 3: false} {
		e.Dead["a"] = kept
		c := verdict.Judge([]verdict.Task{a}, e)
		complained := slices.ContainsFunc(c.Problems, func(p string) bool { return strings.Contains(p, "dead letters") })
		if complained == ok {
			t.Errorf("%d dead letters: got problems %q", kept, c.Problems)
		}
	}
}

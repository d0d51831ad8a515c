package verdict_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

func asked() verdict.Task {
	return verdict.Task{ID: "a", Status: task.Succeeded, Result: json.RawMessage(`{"x":1,"y":2}`), Metadata: json.RawMessage(`{"n":1}`)}
}

func succeeded() verdict.Event {
	return verdict.Event{Seq: 7, Event: task.Event{
		TaskID: "a", Status: task.Succeeded, WorkflowID: "wf", Attempts: 1,
		Result: json.RawMessage(`{"y": 2, "x": 1}`), Metadata: json.RawMessage(`{"n":1}`),
	}}
}

func failed(code task.Code) verdict.Event {
	ev := succeeded()
	ev.Status, ev.Result, ev.Error = task.Failed, nil, task.NewError(code, "because")
	return ev
}

// good is the evidence of one task that went well.
func good() verdict.Evidence { return evidence(succeeded()) }

func evidence(events ...verdict.Event) verdict.Evidence {
	rec := task.Record{TaskID: "a", State: events[0].Status, ResultSeq: 7}
	if events[0].Error != nil {
		rec.ErrorCode = events[0].Error.Code
	}
	return verdict.Evidence{
		Events:  events,
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

func TestWhatMustNotBeIsAProblem(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*verdict.Task, *verdict.Evidence)
		want  string
	}{
		{"lost", func(_ *verdict.Task, e *verdict.Evidence) { e.Events = nil }, "no event"},
		{"two events", func(_ *verdict.Task, e *verdict.Evidence) { e.Events = append(e.Events, succeeded()) }, "1 events too many"},
		{"a repetition nobody asked for", func(_ *verdict.Task, e *verdict.Evidence) {
			e.Events = append(e.Events, verdict.Event{Event: task.Event{TaskID: "a"}, Replay: true})
		}, "1 events too many"},
		{"somebody else's event", func(_ *verdict.Task, e *verdict.Evidence) {
			e.Events = append(e.Events, verdict.Event{Event: task.Event{TaskID: "b"}})
		}, "nobody asked for"},
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
	again := succeeded()
	again.Seq, again.Replay = 8, true
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

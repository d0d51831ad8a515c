package dashboard_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestPagesSayWhatTasksUsedIfThatIsKnown(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.finish(task.Record{TaskID: "old", Batch: "old"}, task.Event{})
	s.eventually("/tasks", "1 task")
	for _, path := range []string{"/", "/batches", "/batches/old", "/tasks/old"} {
		if got := s.get(path).body; strings.Contains(got, "Credits") || strings.Contains(got, "Steps") {
			t.Errorf("%s: got %s, want nothing of a cost", path, got)
		}
	}
	s.finish(task.Record{TaskID: "good", Batch: "night", Steps: new(1200), Credits: new(0.1)}, task.Event{})
	s.finish(task.Record{TaskID: "bad", Batch: "night", Steps: new(34), Credits: new(0.2)}, task.Event{Error: task.NewError(task.StepLimit, "x")})
	steps, credits := `Steps</span><span class="value">1,234</span><span class="detail">in 2 tasks, 34 of them in those that failed<`, `Credits</span><span class="value">0.3</span><span class="detail">in 2 tasks, 0.2 of them in those that failed<`
	s.eventually("/", steps, credits)
	s.eventually("/batches/night", steps, credits)
	s.eventually("/batches", `data-label="Steps" class="number">1,234<`, `data-label="Credits" class="number">0.3<`, `data-label="Credits of failed" class="number">0.2<`,
		`data-label="Credits of failed" class="number">–<`)
	if got := s.get("/batches/old").body; strings.Contains(got, "Credits") {
		t.Errorf("got %s, want nothing of a cost", got)
	}
}

func TestAPageOfATaskShowsItsSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	runs := []task.Run{
		{Code: task.StepLimit, WorkflowID: "wf-1", SessionID: attack, Steps: new(20), Credits: new(0.5)},
		{WorkflowID: "wf-2", SessionID: "s-2"},
	}
	r := task.Record{TaskID: "a", SessionID: "s-2", SessionEnded: new(false), Steps: new(32), Credits: new(0.53), Runs: runs[:1], Run: 1}
	s.finish(r, task.Event{Runs: runs, SessionID: "s-2"})
	s.eventually("/tasks/a", `>s-2</span>`, `<dt>Session</dt>`, "end not confirmed, so it ends by itself", `>32<`, `>0.53<`,
		`data-label="Session">&lt;script&gt;`, `\u202egnirts`, `data-label="Steps" class="number">20<`, `data-label="Credits" class="number">0.5<`, `data-label="Credits" class="number">–<`)
	if got := s.get("/tasks/a").body; strings.Contains(got, "<script>alert") || strings.Contains(got, "\u202e") {
		t.Errorf("got %s, want the session as text", got)
	}
}

func TestADryRunEstimatesTheCost(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for id, credits := range map[string]*float64{"a": new(12.4), "b": nil} {
		s.finish(task.Record{TaskID: id, Credits: credits}, task.Event{Error: task.NewError(task.StepLimit, "x")})
		s.letter(id, "step_limit", "shop.example", "", `{"task_id":"`+id+`","prompt":"p","url":"https://shop.example/"}`)
	}
	s.eventually("/redrive?code=step_limit", "2 tasks", "Cost: about 12.4 credits, if they cost what they cost before (known of 1 of 2).")
	if got := s.get("/redrive?task=b").body; strings.Contains(got, "Cost:") {
		t.Errorf("got %s, want no estimate", got)
	}
}

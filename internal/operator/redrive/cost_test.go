package redrive_test

import (
	"fmt"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator/redrive"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAPlanEstimatesByWhatTheTasksCostBefore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	costly := func(id string, credits float64) {
		s.fail(id, "timeout")
		s.WriteRecord(task.Record{TaskID: id, State: task.Failed, ErrorCode: task.Timeout, Steps: new(3), Credits: &credits})
	}
	costly("a", 0.1)
	costly("b", 0.2)
	for run := range 8 { // the one that failed last counts
		costly(fmt.Sprintf("b.r%d", run+1), float64(run)-3)
	}
	costly("c", 100)
	s.WriteRecord(task.Record{TaskID: "c.r1", State: task.Succeeded, Credits: new(100.0)}) // left out
	s.fail("unknown", "timeout")
	for _, c := range []struct {
		filter redrive.Filter
		want   string
	}{
		{anyTask, "about 4.1 credits, if they cost what they cost before (known of 2 of 3)"},
		{redrive.Filter{Tasks: []string{"a", "b"}}, "about 4.1 credits, if they cost what they cost before"},
		{redrive.Filter{Tasks: []string{"unknown"}}, ""},
		{redrive.Filter{Tasks: []string{"c"}}, ""},
	} {
		if got := s.plan(c.filter).CostText(); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.filter, got, c.want)
		}
	}
}

// Whoever runs such tasks again must know that they may have acted already.
func TestAPlanSaysWhichTasksCouldActTwice(t *testing.T) {
	s := newSite(t)
	for id, code := range map[string]string{"a": "workflow_lost", "b": "workflow_lost", "c": "submission_unknown", "d": "step_limit", "e": "timeout"} {
		s.fail(id, code)
	}
	want := "4 of them may have acted, or run still, without anybody seeing the end (submission_unknown 1, timeout 1, workflow_lost 2): they would act twice"
	if got := s.plan(anyTask).RiskText(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := s.plan(redrive.Filter{Tasks: []string{"d"}}).RiskText(); got != "" {
		t.Errorf("got %q for a task whose end was seen, want nothing", got)
	}
}

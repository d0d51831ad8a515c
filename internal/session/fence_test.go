package session_test

import (
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// Whether a task is run again depends on the fence, so only what is certain counts.
func TestAFenceIsFinalOnlyIfTheFiguresAre(t *testing.T) {
	t.Parallel()
	const late, tooLate = 80 * time.Millisecond, time.Hour
	thinks := anchortest.SessionRules{FirstStep: time.Hour}
	for name, c := range map[string]struct {
		rules anchortest.SessionRules
		plan  anchortest.SessionPlan
		runs  bool // a workflow runs in the session
		final bool
		never bool // it is certain that no agent acted
		steps int  // -1: not known
	}{
		"no workflow":                     {final: true, never: true},
		"no step yet":                     {rules: thinks, runs: true, final: true, never: true},
		"a step":                          {runs: true, final: true, steps: 1},
		"a step that is null for a while": {rules: anchortest.SessionRules{FiguresDelay: late, FiguresNull: true}, runs: true, final: true, steps: 1},
		"a step that is 0 for a while":    {rules: anchortest.SessionRules{FiguresDelay: waits.Settle / 2}, runs: true, final: true, steps: 1},
		"figures that stay null":          {rules: anchortest.SessionRules{FiguresDelay: tooLate, FiguresNull: true}, steps: -1},
		"a browser that stays open":       {rules: anchortest.SessionRules{EndDelay: tooLate}},
		"a browser that closes later":     {rules: anchortest.SessionRules{EndDelay: late}, final: true, never: true},
		"a session that is forgotten":     {rules: anchortest.SessionRules{Forget: true}, steps: -1},
		"an end that is not confirmed":    {plan: anchortest.SessionPlan{End: []anchortest.Fault{anchortest.Answer(500).Repeated(-1)}}, steps: -1},
		"figures that cannot be had":      {plan: anchortest.SessionPlan{Get: []anchortest.Fault{anchortest.HTML(404).Repeated(-1)}}, steps: -1},
		"figures that are had at last":    {plan: anchortest.SessionPlan{Get: []anchortest.Fault{anchortest.Answer(500).Repeated(3)}}, final: true, never: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, c.rules, c.plan)
			id := w.open()
			if c.runs {
				w.run(id)
			}
			end, err := w.Fence(t.Context(), id)
			if err != nil || end.Final != c.final || end.NeverActed() != c.never || steps(end) != c.steps {
				t.Errorf("got %+v with %d steps, %v, want final %v, never acted %v, %d steps", end, steps(end), err, c.final, c.never, c.steps)
			}
		})
	}
}

func TestAnUnknownSessionIsNeverFinal(t *testing.T) {
	t.Parallel()
	w := start(t, anchortest.SessionRules{}, anchortest.SessionPlan{})
	end, err := w.Fence(t.Context(), "3f0e7c1e-5d3b-4b0e-9d57-0c8f0a7f5f11")
	if err != nil || end.Final || end.NeverActed() {
		t.Errorf("got %+v, %v, want no certainty", end, err)
	}
}

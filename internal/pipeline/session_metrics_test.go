package pipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// The agent is the user's text, so only the documented ones are labels.
func TestStepsAndCreditsAreCountedByAgentAndOutcome(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t)
	w.retryWait = 10 * time.Millisecond
	w.registry = prometheus.NewRegistry()
	p := w.worker("w1", healthy{})
	ok, failed := anchortest.Plan{}, anchortest.Plan{Error: "no"}
	for i, c := range []struct {
		plan anchortest.Plan
		more string
	}{
		{ok, ""},
		{ok, `,"agent":"browser-use","model":"a b"`},
		{ok, `,"agent":"openai-cua\n{x=\"y\"}"`},
		{ok, `,"agent":"` + strings.Repeat("a", 100) + `"`},
		{failed, `,"agent":"yutori"`},
		{failed, `,"retries":1,"retry_with":[{"agent":"anthropic-cua"}]`},
	} {
		request := strings.Replace(w.planned(c.plan, c.more), `"a"`, fmt.Sprintf(`"a%d"`, i), 1)
		if err := handle(t.Context(), p, w.request(request)(1)); err != nil {
			t.Fatal(err)
		}
	}
	// The stand-in rejects unknown agents. Their sessions took no step.
	metric := func(name, help, values string) string {
		return "# HELP " + name + " " + help + ", by agent and outcome of the task.\n# TYPE " + name + " counter\n" + strings.ReplaceAll(values, "NAME", name)
	}
	steps := metric("capstan_steps_total", "Steps of agents in the sessions of tasks", `NAME{agent="anthropic-cua",outcome="workflow_failed"} 2
NAME{agent="browser-use",outcome="succeeded"} 1
NAME{agent="default",outcome="succeeded"} 1
NAME{agent="yutori",outcome="workflow_failed"} 1
`)
	credits := metric("capstan_credits_total", "Credits that the sessions of tasks have used", `NAME{agent="anthropic-cua",outcome="workflow_failed"} 0.04
NAME{agent="browser-use",outcome="succeeded"} 0.02
NAME{agent="default",outcome="succeeded"} 0.02
NAME{agent="other",outcome="rejected"} 0.02
NAME{agent="yutori",outcome="workflow_failed"} 0.02
`)
	for name, want := range map[string]string{"capstan_steps_total": steps, "capstan_credits_total": credits} {
		if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want), name); err != nil {
			t.Error(err)
		}
	}
}

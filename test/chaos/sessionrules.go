package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// minuteLasts is how long a minute of a session's timeouts takes. The shortest is longer than most tasks, and a session
// that nobody uses stays open for longer than one may be after its task.
const minuteLasts = 12 * time.Second

// lateFigures is how long after the end of a session its figures are right, with half of the seeds. It is shorter than the
// time for which a worker watches them.
const lateFigures = 5 * time.Second

// firstStep is how long an agent thinks before its first step: longer than it takes to end the session of an answer that was
// lost, and no longer than a worker waits for an answer.
const firstStep = callTimeout

// rulesOf returns what the stand-in does with sessions where the API's document does not say it. The seed decides.
func rulesOf(seed uint64) anchortest.SessionRules {
	rules := anchortest.SessionRules{
		Minute: minuteLasts, FirstStep: firstStep, ListEnded: seed%2 == 0,
		TaskInEnded: []int{http.StatusForbidden, http.StatusNotFound, http.StatusBadRequest, http.StatusConflict, http.StatusOK}[seed%5],
		TaskState:   []string{"FAILED", "COMPLETED", "TERMINATED"}[seed%3],
	}
	if seed%4 > 1 {
		rules.FiguresDelay, rules.FiguresNull = lateFigures, seed%4 == 3
	}
	return rules
}

// sessionOptions are the stand-in's for workers with SESSIONS=on. end ends a session by itself.
func sessionOptions(cfg standInConfig, end func(id string) bool) []anchortest.Option {
	gone := vanishing{end: end, of: map[string]bool{}}
	opts := []anchortest.Option{anchortest.WithSessionRules(rulesOf(cfg.Seed)), anchortest.WithPlan(func(t anchortest.Task) anchortest.Plan {
		p := planOf(t)
		if p.Name == goneName {
			gone.vanish(t)
		}
		return p
	})}
	if cfg.Faults {
		opts = append(opts, anchortest.WithRandomSessionFaults(cfg.Seed, anchortest.SessionChances{
			Create: submitChances(), Get: sessionChances(), End: sessionChances(), List: sessionChances(),
		}))
	}
	return opts
}

// sessionChances returns the faults of any call that reads, lists or ends sessions.
func sessionChances() []anchortest.Chance {
	return []anchortest.Chance{
		{Probability: 0.02, Fault: anchortest.Reset().ButAccepted()},
		{Probability: 0.02, Fault: anchortest.Answer(http.StatusInternalServerError)},
		{Probability: 0.01, Fault: anchortest.HTML(http.StatusBadGateway)},
		{Probability: 0.01, Fault: anchortest.RateLimited(1)},
		{Probability: 0.005, Fault: anchortest.Hang()},
		{Probability: 0.05, Fault: anchortest.Fault{After: 200 * time.Millisecond}},
	}
}

// goneName names the plan of a task whose first session ends by itself right before its POST.
const goneName = "gone"

// vanishing ends sessions of tasks by themselves.
type vanishing struct {
	end func(id string) bool

	mu sync.Mutex
	of map[string]bool // the tasks whose session has ended, by their prompt; guarded by mu
}

// vanish ends the session of a task, once.
func (v *vanishing) vanish(t anchortest.Task) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.of[t.Prompt] {
		v.of[t.Prompt] = v.end(t.SessionID)
	}
}

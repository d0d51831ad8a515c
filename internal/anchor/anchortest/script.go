package anchortest

import (
	"strings"
	"sync"
)

// Script says what happens to which task, rule by rule. See ReadScript. It is for one server, because it counts tasks.
type Script struct {
	rules []*rule

	mu     sync.Mutex
	chosen map[int]*rule // by the number of a task; nil for a task that no rule fits
}

// rule is one object of a script.
type rule struct {
	where  string // file and line
	task   int    // the number of its task; 0: any
	prompt string // a part of its task's prompt; empty: any
	times  int    // how many tasks it is for; 0: any number
	plan   Plan
	tasks  int // how many have met it; the script's mutex guards it
}

// WithScript plans each task as the first rule of the script does that the task fits. Other tasks have the plan of their
// prompt, as without a script; see MarkedPlan. It comes with WithRepeats, so that each task is counted.
func WithScript(script *Script) Option {
	return func(s *Server) {
		s.repeats = true
		s.plan = func(t Task) (Plan, error) {
			if r := script.ruleOf(t); r != nil {
				return r.plan, nil
			}
			return MarkedPlan(t)
		}
	}
}

// ruleOf returns the rule of a task, which stays the same for all of its submissions, or nil.
func (script *Script) ruleOf(t Task) *rule {
	script.mu.Lock()
	defer script.mu.Unlock()
	if r, ok := script.chosen[t.Number]; ok {
		return r
	}
	script.chosen[t.Number] = nil
	for _, r := range script.rules {
		if r.fits(t) {
			r.tasks++
			script.chosen[t.Number] = r
			return r
		}
	}
	return nil
}

// fits reports whether the rule is about a task.
func (r *rule) fits(t Task) bool {
	return (r.task == 0 || r.task == t.Number) && strings.Contains(t.Prompt, r.prompt) && (r.times == 0 || r.tasks < r.times)
}

// Len returns the number of rules.
func (script *Script) Len() int { return len(script.rules) }

// Unused returns file and line of each rule that no task has met.
func (script *Script) Unused() []string {
	script.mu.Lock()
	defer script.mu.Unlock()
	var unused []string
	for _, r := range script.rules {
		if r.tasks == 0 {
			unused = append(unused, r.where)
		}
	}
	return unused
}

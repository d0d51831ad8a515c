package anchortest

import (
	"math"
	"time"
)

// Figures of a session. They are made up, but have the size of the real ones.
const (
	stepTime          = 4 * time.Second // of a step of an agent
	creditsPerStep    = 0.01
	creditsPerBrowser = 0.01
	creditsPerHour    = 0.05
)

// steps is how many steps the agents have taken: the first one as soon as the task runs, or as the rules say, and then one
// every stepTime.
func (ss *session) steps(firstStep time.Duration) (steps int) {
	for _, wf := range ss.workflows {
		if worked := wf.worked() - firstStep; worked >= 0 {
			steps += 1 + int(worked/stepTime)
		}
	}
	return steps
}

// credits is what the session has cost.
func (ss *session) credits(firstStep time.Duration) float64 {
	credits := creditsPerBrowser + creditsPerHour*ss.duration().Hours() + creditsPerStep*float64(ss.steps(firstStep))
	return math.Round(credits*1e4) / 1e4
}

// worked is how long the agent of a workflow has had a browser.
func (wf *workflow) worked() time.Duration {
	if wf.stopped.IsZero() {
		return time.Since(wf.began)
	}
	return wf.stopped.Sub(wf.began)
}

// figures are the steps and credits that GET /v1/sessions/{id} has. After the end they come as late as the rules say.
func (ss *session) figures(rules SessionRules) (steps, credits any) {
	late := !ss.isOpen() && time.Since(ss.ended) < rules.FiguresDelay
	switch {
	case late && rules.FiguresNull:
		return nil, nil
	case late:
		return 0, 0
	default:
		return ss.steps(rules.FirstStep), ss.credits(rules.FirstStep)
	}
}

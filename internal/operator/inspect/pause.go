package inspect

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/task"
)

// PausedBy is why nothing is submitted.
type PausedBy struct {
	By       string    `json:"by"`                 // ByOperator, or the names of workers
	Operator string    `json:"operator,omitempty"` // the operator's name, if it is known
	Reason   string    `json:"reason"`             // an operator's, which may be empty, or what the workers say
	Until    time.Time `json:"until,omitzero"`     // of an operator's pause; zero: until it is taken back
}

// ByOperator is the By of an operator's pause.
const ByOperator = "operator"

// Text returns the pause for people, with its end in local time: "paused by ada until 06:00: maintenance".
func (p PausedBy) Text(now time.Time) string {
	if p.By != ByOperator {
		return p.Reason
	}
	text := "paused"
	if p.Operator != "" {
		text += " by " + p.Operator
	}
	if !p.Until.IsZero() {
		text += " until " + Clock(p.Until, now)
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}

// takeWorkers takes the workers, and their pauses by reason.
func (s *Status) takeWorkers(all []fleet.Status) {
	s.Workers = append(s.Workers, all...)
	by := map[string][]string{}
	for _, w := range all {
		if reason := s.ownPause(w.Submissions); reason != "" {
			by[reason] = append(by[reason], w.Worker)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		s.Pauses = append(s.Pauses, PausedBy{By: strings.Join(by[reason], ", "), Reason: reason})
	}
}

// ownPause returns what a worker says of its submissions apart from the operator's pause, or "" if nothing else stops them.
func (s *Status) ownPause(submissions string) string {
	if submissions == "ok" {
		return ""
	}
	p := s.OperatorsPause()
	if p == nil {
		return submissions
	}
	same := task.Pause{Reason: p.Reason, By: p.Operator, Until: p.Until}.String()
	if submissions == same {
		return ""
	}
	return strings.TrimPrefix(submissions, same+"; ")
}

// everywhere returns why no worker submits anything, as the first one says it, or "" if one does or none answers. That a worker
// waits for its next window is no pause.
func (s *Status) everywhere() (reason string) {
	for _, w := range s.Workers {
		own := s.ownPause(w.Submissions)
		if !strings.HasPrefix(own, "paused") {
			return ""
		}
		reason = cmp.Or(reason, own)
	}
	return reason
}

// OperatorsPause returns the pause of an operator, or nil.
func (s *Status) OperatorsPause() *PausedBy {
	for i := range s.Pauses {
		if s.Pauses[i].By == ByOperator {
			return &s.Pauses[i]
		}
	}
	return nil
}

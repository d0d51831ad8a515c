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

// WorkerPause is what a worker says of a pause of its submissions or of its polls.
type WorkerPause struct {
	Waits  bool        // for the window in which the API accepts submissions again: that is no pause
	Until  time.Time   // zero if the worker names no moment
	Cause  string      // for people: all that the worker says apart from the moment
	Reason task.Reason // the first word of the cause, which an older or a newer version may not have
}

// ParseWorkerPause reads what fleet.Status says of submissions or polls. "ok" is not a pause.
func ParseWorkerPause(text string) WorkerPause {
	head, cause, hasCause := strings.Cut(text, ": ")
	verb, moment, hasMoment := strings.Cut(head, " until ")
	if !hasCause || !hasMoment || verb != "paused" && verb != "waiting" { // such as an operator's pause with a name: "paused by ada until …"
		return WorkerPause{Cause: text}
	}
	p := WorkerPause{Waits: verb == "waiting", Cause: cause}
	moment, _, _ = strings.Cut(moment, " ")
	if until, err := time.Parse(time.RFC3339, moment); err == nil { // "until a probe is answered" has none
		p.Until = until
	}
	word, _, _ := strings.Cut(cause, " ")
	p.Reason = task.Reason(strings.TrimSuffix(word, ":"))
	return p
}

// NeedsPerson reports whether the pause does not end by itself. These are the reasons of the alert CapstanSubmissionsStopped.
func (p WorkerPause) NeedsPerson() bool {
	switch p.Reason {
	case task.Unauthorized, task.NoCredits, task.Forbidden, task.ProxyLogin, task.NotTheAPI, task.Refusing:
		return !p.Waits
	default:
		return false
	}
}

// PauseGroup is a pause of all workers that say the same, whatever the moment until which each of them is paused.
type PauseGroup struct {
	WorkerPause          // with the latest of their moments
	Workers     []string // their names, in order
}

// SubmissionPauses returns why workers submit nothing, apart from an operator's pause: first what needs a person, and then
// what stops the most workers.
func (s *Status) SubmissionPauses() []PauseGroup {
	return groupPauses(s.Workers, func(w fleet.Status) string { return s.ownPause(w.Submissions) })
}

// PollPauses returns why workers poll nothing, in the same order.
func (s *Status) PollPauses() []PauseGroup {
	return groupPauses(s.Workers, func(w fleet.Status) string {
		if w.Polls == "ok" {
			return ""
		}
		return w.Polls
	})
}

// groupPauses groups workers by what they say of a pause; "" is none.
func groupPauses(workers []fleet.Status, says func(fleet.Status) string) []PauseGroup {
	type kind struct {
		cause string
		waits bool
	}
	groups := map[kind]PauseGroup{}
	for _, w := range workers {
		text := says(w)
		if text == "" {
			continue
		}
		p := ParseWorkerPause(text)
		k := kind{p.Cause, p.Waits}
		g := groups[k]
		if g.Until.After(p.Until) {
			p.Until = g.Until
		}
		groups[k] = PauseGroup{WorkerPause: p, Workers: append(g.Workers, w.Worker)}
	}
	return slices.SortedFunc(maps.Values(groups), func(a, b PauseGroup) int {
		if a.NeedsPerson() != b.NeedsPerson() {
			return map[bool]int{true: -1, false: 1}[a.NeedsPerson()]
		}
		return cmp.Or(cmp.Compare(len(b.Workers), len(a.Workers)), cmp.Compare(a.Cause, b.Cause))
	})
}

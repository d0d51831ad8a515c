package main

import (
	"slices"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// sessionMoments returns the moments that only a task with a session has.
func sessionMoments() []moment {
	quick, held := plain(0), []anchortest.Fault{{After: holdPost}}
	creating := quick.meeting(anchortest.SessionPlan{Create: held})
	ending := quick.meeting(anchortest.SessionPlan{End: []anchortest.Fault{{Before: holdPost}}})
	ended := quick.meeting(anchortest.SessionPlan{End: held})
	late := failing("late", anchortest.Plan{Run: time.Hour}, task.Timeout).with("timeout", "2s").meeting(anchortest.SessionPlan{End: held})
	lost := posting(anchortest.Reset().ButAccepted()).fencing().meeting(anchortest.SessionPlan{End: held})
	acted := posting(anchortest.Fault{After: holdPost}).fencing()
	acted.plan.Run = time.Hour
	return []moment{
		{"in-create", "when its session was created, and the answer has not come", nil, creating, ""},
		{"after-claim-fenced", "when the record is stored and the POST has not left; the session shows that", after(record(task.Submitting)), quick.fencing(), ""},
		{"in-answer-fenced", "in the middle of a POST that was accepted; the session shows steps", nil, acted, task.SubmissionUnknown},
		{"in-fence", "when the session of a lost answer has ended, and the answer to that has not come", nil, lost, ""},
		{"in-end", "before its session has ended", nil, ending, ""},
		{"in-end-answer", "when its session has ended, and the answer has not come", nil, ended, ""},
		{"in-end-timeout", "the same, of a task whose time is up", nil, late, task.Timeout},
	}
}

// sessionWindows returns a scenario for each moment in which a worker with SESSIONS=on is killed there.
func sessionWindows() (all []scenario) {
	for _, m := range slices.Concat(moments(), sessionMoments()) {
		all = append(all, scenario{
			name: "sessions-kill-" + m.name, about: "with SESSIONS=on, kill -9 " + m.about, sessions: true, newer: true, run: m.kill,
		})
	}
	return all
}

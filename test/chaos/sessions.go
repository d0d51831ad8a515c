package main

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// meeting returns the recipe for a request whose sessions meet a plan.
func (r recipe) meeting(p anchortest.SessionPlan) recipe {
	r = r.with("session", map[string]any{"tags": []string{must(anchortest.SessionTag(p))}})
	r.session = p
	return r
}

// fencing returns the recipe for a request that allows a second submission if the agent of the first took no step.
func (r recipe) fencing() recipe {
	r = r.with("on_unknown_submission", "fence")
	r.want.Fence = true
	return r
}

// withPolicy returns the recipe with one of the choices of on_unknown_submission, unless it has one.
func (r recipe) withPolicy(random *rand.Rand) recipe {
	if r.fields["on_unknown_submission"] != nil || r.fields["sessionId"] != nil {
		return r
	}
	return choose(random, []weighted[func() recipe]{
		{2, func() recipe { return r }},
		{2, r.fencing},
		{1, r.resubmitting},
	}).do()
}

// sessionKinds returns tasks whose sessions end by themselves or whose calls about sessions fail.
func (w *world) sessionKinds() []kind {
	refused := failing("unopened", anchortest.Plan{}, task.Rejected).
		meeting(anchortest.SessionPlan{Create: []anchortest.Fault{anchortest.Answer(http.StatusUnprocessableEntity).Repeated(-1)}})
	refused.want.NeverRun = true
	stopped := failing("stopped", anchortest.Plan{Run: time.Hour}, task.Canceled)
	stopped.cancel = canceledAfter
	return []kind{
		fixed(2, refused),
		fixed(2, stopped),
		{6, func(r *rand.Rand) recipe {
			fenced := plain(2 * shortly(r)).fencing()
			fenced.kind, fenced.plan.Submit = "fenced", []anchortest.Fault{doubt(r)}
			return fenced
		}},
		{3, func(r *rand.Rand) recipe {
			opened := plain(shortly(r)).meeting(anchortest.SessionPlan{Create: []anchortest.Fault{
				pick(r, anchortest.RateLimited(1), anchortest.Unavailable(1), gatewayPage(r)), doubt(r),
			}})
			opened.kind = "opened"
			return opened
		}},
		{3, func(r *rand.Rand) recipe {
			clinging := plain(shortly(r)).meeting(anchortest.SessionPlan{
				End: []anchortest.Fault{unclear(r), anchortest.RateLimited(1), anchortest.State("running"), gatewayPage(r), unclear(r)},
				Get: []anchortest.Fault{unclear(r)},
			})
			clinging.kind = "clinging"
			return clinging
		}},
		fixed(w.slowWeight(), stubborn()),
		{3, brief},
		{2, func(r *rand.Rand) recipe {
			gone := plain(shortly(r))
			gone.kind, gone.plan.Name, gone.want.May = "gone", goneName, task.WorkflowFailed
			return gone
		}},
	}
}

// unclear returns a fault after which a worker cannot know whether the API ended a session.
func unclear(r *rand.Rand) anchortest.Fault {
	f := pick(r,
		anchortest.Answer(http.StatusInternalServerError), anchortest.HTML(http.StatusBadGateway), anchortest.HTML(http.StatusOK),
		anchortest.Reset(), anchortest.Hang(), anchortest.Garbage(), anchortest.Fault{Cut: true})
	if r.IntN(2) == 0 {
		return f.ButAccepted()
	}
	return f
}

// stubborn is a task whose session the API refuses to end.
func stubborn() recipe {
	r := plain(0).meeting(anchortest.SessionPlan{End: []anchortest.Fault{anchortest.Answer(http.StatusInternalServerError).Repeated(-1)}})
	r.kind = "stubborn"
	return r
}

// brief is a task whose session ends by itself, perhaps before the task.
func brief(r *rand.Rand) recipe {
	lasts := minuteLasts/2 + time.Duration(r.Int64N(int64(minuteLasts)))
	short := plain(lasts).with("session", map[string]any{"timeout": map[string]int{"max_duration": 1}})
	short.kind, short.want.May = "brief", task.WorkflowFailed
	return short
}

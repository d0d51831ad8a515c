package main

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// kind is a kind of task.
type kind = weighted[func(random *rand.Rand) recipe]

// weighted is something to choose from, with its share.
type weighted[T any] struct {
	weight int
	do     T
}

// choose returns one at random. It is chosen more often if its weight is larger; a weight of 0 is never chosen.
func choose[T any](random *rand.Rand, from []weighted[T]) weighted[T] {
	total := 0
	for _, w := range from {
		total += w.weight
	}
	roll := random.IntN(total)
	i := 0
	for ; roll >= from[i].weight; i++ {
		roll -= from[i].weight
	}
	return from[i]
}

// kinds returns all kinds of tasks. With older workers it leaves out those that they end differently.
func (w *world) kinds() []kind {
	all := slices.Concat(w.answers(), w.failures(), faulty())
	if w.older == "" {
		all = slices.Concat(all, odd(), steered())
	}
	if w.sessions {
		all = slices.Concat(all, w.sessionKinds())
	}
	return all
}

// answers returns tasks that succeed, with results of every form.
func (w *world) answers() []kind {
	heading := json.RawMessage(`{"heading":"Hello"}`)
	return []kind{
		{40, func(r *rand.Rand) recipe { return plain(shortly(r)) }},
		{4, func(r *rand.Rand) recipe { return answered("text", shortly(r), `"just words"`, `"just words"`) }},
		{4, func(r *rand.Rand) recipe {
			return withSchema(answered("fenced", shortly(r), "\"```json\\n{\\\"heading\\\":\\\"Hello\\\"}\\n```\"", string(heading)))
		}},
		{4, func(r *rand.Rand) recipe {
			return answered("envelope", shortly(r), `{"status":"success","result":{"result":{"heading":"Hello"}},"steps":3}`, string(heading))
		}},
		{4, func(r *rand.Rand) recipe {
			said, _ := json.Marshal(map[string]string{"said": "the PIN is " + w.secret})
			return answered("secret", shortly(r), string(said), `{"said":"the PIN is [redacted:PIN]"}`)
		}},
		{1, func(r *rand.Rand) recipe { return large(shortly(r)) }},
		{4, func(r *rand.Rand) recipe {
			copied := plain(shortly(r))
			copied.kind, copied.want.Copies = "copy", 2
			return copied
		}},
		{2, func(r *rand.Rand) recipe {
			queued := plain(shortly(r))
			queued.kind, queued.plan.Interim = "queued", "QUEUED"
			return queued
		}},
	}
}

func answered(kind string, run time.Duration, result, want string) recipe {
	return recipe{
		kind: kind, plan: anchortest.Plan{Run: run, Result: json.RawMessage(result)},
		want: verdict.Task{Status: task.Succeeded, Result: json.RawMessage(want)},
	}
}

func withSchema(r recipe) recipe {
	return r.with("output_schema", json.RawMessage(`{"type":"object","required":["heading"]}`))
}

// large is a task whose result is too large for a message. The stand-in knows it by a short name.
func large(run time.Duration) recipe {
	return answered("large", run, largeName, string(largeResult()))
}

// failures returns tasks that fail by themselves.
func (w *world) failures() []kind {
	invalid := failing("invalid", anchortest.Plan{}, task.InvalidRequest).with("max_steps", 0)
	invalid.want.Invalid = true
	misfit := withSchema(failing("misfit", anchortest.Plan{Result: json.RawMessage(`{"other":1}`)}, task.InvalidResult))
	return []kind{
		fixed(3, failing("failed", anchortest.Plan{State: "FAILED", Error: "no such page"}, task.WorkflowFailed)),
		fixed(2, failing("steps", anchortest.Plan{State: "FAILED", Error: "Maximum number of steps exceeded"}, task.StepLimit)),
		fixed(2, failing("gaveup", anchortest.Plan{Result: json.RawMessage(`{"status":"failed","result":null}`)}, task.AgentFailed)),
		fixed(2, misfit),
		fixed(2, failing("refused", anchortest.Plan{Submit: []anchortest.Fault{anchortest.Answer(http.StatusUnprocessableEntity).Repeated(-1)}}, task.Rejected)),
		fixed(w.slowWeight(), failing("lost", anchortest.Plan{Poll: []anchortest.Fault{anchortest.Answer(http.StatusNotFound).Repeated(-1)}}, task.WorkflowLost)),
		fixed(2, failing("endless", anchortest.Plan{Run: time.Hour}, task.Timeout).with("timeout", "2s")),
		fixed(1, failing("expired", anchortest.Plan{}, task.Expired).with("expires_at", "2020-01-01T00:00:00Z")),
		fixed(2, invalid),
	}
}

// slowWeight is the weight of a kind that takes more than a minute. It is 0, so that only api-mixture has it, except in a
// storm that lasts longer.
func (w *world) slowWeight() int {
	if w.lasts > time.Minute {
		return 1
	}
	return 0
}

func failing(kind string, plan anchortest.Plan, code task.Code) recipe {
	return recipe{kind: kind, plan: plan, want: verdict.Task{Status: task.Failed, Code: code}}
}

func fixed(weight int, r recipe) kind {
	return kind{weight, func(*rand.Rand) recipe { return r }}
}

// faulty returns tasks whose calls fail: submissions that are refused for a while, submissions with an unknown outcome,
// and polls that fail for a while.
func faulty() []kind {
	return []kind{
		{2, func(r *rand.Rand) recipe {
			held := plain(shortly(r))
			held.kind = "held"
			held.plan.Submit = []anchortest.Fault{pick(r, anchortest.RateLimited(1), anchortest.Unavailable(1), anchortest.Answer(http.StatusTooEarly))}
			return held
		}},
		{3, func(r *rand.Rand) recipe {
			return failing("doubtful", anchortest.Plan{Submit: []anchortest.Fault{doubt(r).Repeated(-1)}}, task.SubmissionUnknown)
		}},
		{3, func(r *rand.Rand) recipe {
			again := plain(shortly(r)).resubmitting()
			again.kind, again.plan.Submit = "again", []anchortest.Fault{doubt(r)}
			return again
		}},
		{6, func(r *rand.Rand) recipe {
			deaf := plain(shortly(r))
			deaf.kind = "deaf"
			deaf.plan.Poll = []anchortest.Fault{
				anchortest.Answer(http.StatusInternalServerError), anchortest.HTML(http.StatusBadGateway), anchortest.Reset(),
				anchortest.Garbage(), anchortest.Answer(http.StatusNotFound),
				{Cut: true},
				pick(r, anchortest.Hang(), anchortest.Reset()),
			}
			return deaf
		}},
	}
}

// doubt returns a fault after which a worker cannot know whether the API accepted a task.
func doubt(r *rand.Rand) anchortest.Fault {
	f := pick(r,
		anchortest.Answer(http.StatusInternalServerError), anchortest.HTML(http.StatusBadGateway), anchortest.HTML(http.StatusOK),
		anchortest.Reset(), anchortest.Hang(), anchortest.NoID(), anchortest.Garbage(), anchortest.Fault{Cut: true})
	if r.IntN(2) == 0 {
		return f.ButAccepted()
	}
	return f
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// odd returns tasks whose calls get answers that the API itself does not give, or malformed ones. None of them ends a
// task.
func odd() []kind {
	return []kind{
		{1, func(r *rand.Rand) recipe { return refusedFor(r, "page", gatewayPage(r)) }},
		{2, func(r *rand.Rand) recipe {
			return refusedFor(r, "waits", anchortest.RetryAfter(http.StatusServiceUnavailable, malformedWait(r)))
		}},
		{1, func(r *rand.Rand) recipe {
			return refusedFor(r, "proxy", anchortest.HTML(http.StatusProxyAuthRequired))
		}},
		{3, func(r *rand.Rand) recipe {
			young := plain(shortly(r))
			young.kind, young.plan.Poll = "young", []anchortest.Fault{anchortest.NotYet().During(3 * time.Second)}
			return young
		}},
		{3, func(r *rand.Rand) recipe {
			marked := plain(shortly(r))
			marked.kind = "marked"
			marked.plan.Poll = []anchortest.Fault{gatewayPage(r).Repeated(7), anchortest.BOM().Repeated(-1)}
			return marked
		}},
		{2, func(r *rand.Rand) recipe {
			return answered("bytes", shortly(r), foreignBytesName, "{\"city\":\"Z\ufffdrich\"}")
		}},
		{1, func(r *rand.Rand) recipe {
			huge := plain(0)
			huge.kind, huge.want.Result = "huge", nil
			huge.plan = anchortest.Plan{Poll: []anchortest.Fault{
				anchortest.State("RUNNING").During(shortly(r)), {Size: 4 << 20, Chunked: r.IntN(2) == 0, Times: -1},
			}}
			return huge
		}},
	}
}

// refusedFor is a task whose first POST is refused.
func refusedFor(r *rand.Rand, kind string, f anchortest.Fault) recipe {
	refused := plain(shortly(r))
	refused.kind, refused.plan.Submit = kind, []anchortest.Fault{f}
	return refused
}

// gatewayPage is an answer of a gateway that cannot reach the API, or does not know it.
func gatewayPage(r *rand.Rand) anchortest.Fault {
	return pick(r, anchortest.NoBackend(), anchortest.HTML(http.StatusNotFound), anchortest.HTML(http.StatusBadRequest),
		anchortest.Text(http.StatusForbidden, "blocked"))
}

// malformedWait is a Retry-After of about a second that RFC 9110 does not allow, though its meaning is clear.
func malformedWait(r *rand.Rand) string {
	at := time.Now().Add(2 * time.Second).UTC()
	return pick(r, "1.5", "1, 1", at.Format("Mon, 02 Jan 2006 15:04:05 UTC"), "-1")
}

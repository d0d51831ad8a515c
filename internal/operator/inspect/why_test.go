package inspect_test

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator/forecast"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// full is a queue whose plan is in use, at two in the night.
func full(edit func(*inspect.Status)) inspect.Status {
	s := inspect.Status{At: night, Workers: []fleet.Status{{Worker: "w1"}}, Limit: inspect.LimitUse{InFlight: 25, Plan: 25, Held: 25}}
	if edit != nil {
		edit(&s)
	}
	return s
}

func inMinutes(minutes int) time.Time { return night.Add(time.Duration(minutes) * time.Minute) }

// local is a moment as the sentences have it.
func local(minutes int) string { return inMinutes(minutes).Local().Format("15:04") }

func TestWhySaysWhatATaskWaitsFor(t *testing.T) {
	t.Parallel()
	soon := forecast.Estimate{At: inMinutes(14), From: inMinutes(12), To: inMinutes(30)}
	inLine := " It is 112th in line and likely to begin at " + local(14) + " (between " + local(12) + " and " + local(30) + ")."
	queued := inspect.Task{ID: "ord-7", State: inspect.Queued}
	waiting := func(reason task.WaitReason, minutes int) inspect.Task {
		r := task.Record{TaskID: "ord-7", State: task.Waiting, Owner: "w1", WaitsFor: reason}
		if minutes > 0 {
			r.WaitsUntil = inMinutes(minutes)
		}
		return inspect.Task{ID: "ord-7", State: "waiting", Record: &r}
	}
	retry := waiting(task.ForRetry, 20)
	retry.Record.Run, retry.Record.Runs = 1, []task.Run{{Code: task.AgentFailed}}
	marked := func(t inspect.Task) inspect.Task {
		t.Cancel = &task.Cancellation{By: "ada", Reason: "wrong customer"}
		return t
	}
	paused := full(func(s *inspect.Status) {
		s.Pauses = []inspect.PausedBy{{By: "operator", Operator: "ada", Reason: "maintenance"}}
	})
	for _, tc := range []struct {
		name   string
		task   inspect.Task
		status inspect.Status
		begins forecast.Estimate
		want   string
	}{
		{"queued, plan full", queued, full(nil), soon, "ord-7 waits for a browser: the plan has 25, all are in use." + inLine},
		{"queued, limit lowered", queued, full(func(s *inspect.Status) {
			s.Limit.InFlight, s.Limit.Held, s.Limit.Reason = 10, 10, "the API refused more while 10 ran"
		}), soon, "ord-7 waits for a free slot: the workers hold 10 tasks at once (the API refused more while 10 ran), and that many are in progress." + inLine},
		{"queued, no reason", queued, full(func(s *inspect.Status) { s.Limit = inspect.LimitUse{InFlight: 9, Held: 9} }), soon, "ord-7 waits for a free slot: the workers hold 9 tasks at once, and that many are in progress." + inLine},
		{"queued, places free", queued, full(func(s *inspect.Status) { s.Limit.Held = 3 }), forecast.Estimate{At: night, From: night, To: night}, "ord-7 is queued, and workers have free slots. It is 112th in line and begins within moments."},
		{"queued, unknown", queued, full(nil), forecast.Estimate{Unknown: "too few tasks have ended to tell"}, "ord-7 waits for a browser: the plan has 25, all are in use. It is 112th in line; when it will begin is not known: too few tasks have ended to tell."},
		{"queued, paused", queued, paused, forecast.Estimate{Unknown: "submissions are paused by ada: maintenance"}, "ord-7 waits: submissions are paused by ada: maintenance. It is 112th in line; when it will begin is not known."},
		{"queued, no worker submits", queued, full(func(s *inspect.Status) {
			s.Workers = []fleet.Status{{Worker: "w1", Submissions: "paused until 02:00: unauthorized"}, {Worker: "w2", Submissions: "paused until 02:01: unauthorized"}}
		}), soon, "ord-7 waits: submissions are paused until 02:00: unauthorized." + inLine},
		{"queued, one of two workers submits", queued, full(func(s *inspect.Status) {
			s.Workers = []fleet.Status{{Worker: "w1", Submissions: "paused until 02:00: unauthorized"}, {Worker: "w2", Submissions: "ok"}}
		}), soon, "ord-7 waits for a browser: the plan has 25, all are in use." + inLine},
		{"queued, no worker", queued, full(func(s *inspect.Status) { s.Workers, s.Limit.Held = nil, 0 }), soon, "ord-7 is queued, and no worker answers: start one, or run capstan check with its settings. It is 112th in line."},
		{"queued, canceled", marked(queued), full(nil), soon, "ord-7 is canceled by ada: wrong customer. It is queued until a worker takes it, and is never submitted."},
		{"waiting, no reason yet", waiting("", 0), full(nil), soon, "ord-7 is about to be submitted by w1." + inLine},
		{"waiting, paused by an operator", waiting(task.ForPause, 0), paused, soon, "ord-7 waits: submissions are paused by ada: maintenance." + inLine},
		{"waiting, paused by the API", waiting(task.ForPause, 20), full(nil), soon, "ord-7 waits: submissions are paused until " + local(20) + "." + inLine},
		{"waiting, rate", waiting(task.ForRate, 20), full(nil), soon, "ord-7 waits for the rate limit: the API accepts no more submissions until " + local(20) + "." + inLine},
		{"waiting, rate without an end", waiting(task.ForRate, 0), full(nil), soon, "ord-7 waits for the rate limit: the API accepts no more submissions now." + inLine},
		{"waiting, plan", waiting(task.ForPlan, 0), full(nil), soon, "ord-7 waits for a browser: the plan has 25, all are in use." + inLine},
		{"waiting, unknown plan", waiting(task.ForPlan, 0), full(func(s *inspect.Status) { s.Limit.Plan = 0 }), soon, "ord-7 waits for a browser: the API has refused it because all browsers of the plan are in use." + inLine},
		{"waiting, slots", waiting(task.ForSlots, 0), full(nil), soon, "ord-7 waits for other submissions that are under way, or before it in line." + inLine},
		{"waiting, retry", retry, full(nil), soon, "ord-7 waits for its 2nd run, which begins at " + local(20) + ": the 1st failed with agent_failed." + inLine},
		{"waiting, a reason of a newer version", waiting("moon", 0), full(nil), soon, "ord-7 is about to be submitted by w1." + inLine},
		{"waiting, canceled", marked(waiting(task.ForRate, 0)), full(nil), soon, "ord-7 is canceled by ada: wrong customer. It ends within moments, and is never submitted."},
	} {
		if got := inspect.Explain(tc.task, tc.status, 112, tc.begins, forecast.Estimate{}); got != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.name, got, tc.want)
		}
	}
}

func TestWhySaysHowFarATaskIsThatWasSubmitted(t *testing.T) {
	t.Parallel()
	submitting := &task.Record{TaskID: "ord-7", State: task.Submitting, Owner: "w1", PostUntil: inMinutes(20)}
	dead := &task.Record{TaskID: "ord-7", State: task.Submitting, Owner: "w1", PostUntil: inMinutes(-20)}
	old := &task.Record{TaskID: "ord-7", State: task.Submitting, Owner: "w1"}
	running := &task.Record{TaskID: "ord-7", State: task.Running, Owner: "w1", SubmittedAt: inMinutes(-12)}
	again := *running
	again.Run, again.Runs = 2, []task.Run{{Code: task.AgentFailed}, {Code: task.StepLimit}}
	since := "ord-7 has run since " + local(-12) + ", for 12m0s, on w1."
	soon := forecast.Estimate{At: inMinutes(14), From: inMinutes(12), To: inMinutes(30)}
	likely := " By the tasks that ended lately, it is likely to end at " + local(14) + " (between " + local(12) + " and " + local(30) + ")."
	for _, tc := range []struct {
		name string
		task inspect.Task
		ends forecast.Estimate
		want string
	}{
		{"submitting", inspect.Task{State: "submitting", Record: submitting}, soon, "ord-7 is being submitted by w1. The answer is due by " + local(20) + "."},
		{"submitting, by an older version", inspect.Task{State: "submitting", Record: old}, soon, "ord-7 is being submitted by w1."},
		{"submitting, its worker died", inspect.Task{State: "submitting", Record: dead}, soon, "ord-7 was being submitted by w1, and no answer was recorded by " + local(-20) + ": the worker may have died. Another one takes the task over and ends it with submission_unknown, or submits it again if the request allows that."},
		{"running", inspect.Task{State: "running", Record: running}, soon, since + likely},
		{"running, poll", inspect.Task{State: "running", Record: running, NextPoll: inMinutes(15)}, soon, since + likely + " Its next poll is at " + local(15) + "."},
		{"running, unknown", inspect.Task{State: "running", Record: running}, forecast.Estimate{Unknown: "it is the first"}, since + " When it will end is not known: it is the first."},
		{"running again", inspect.Task{State: "running", Record: &again}, soon, since + " This is its 3rd run: the 2nd failed with step_limit." + likely},
		{"running, canceled", inspect.Task{State: "running", Record: running, Cancel: &task.Cancellation{}}, soon, since + " It is canceled, and ends within moments."},
	} {
		tc.task.ID = "ord-7"
		if got := inspect.Explain(tc.task, full(nil), 0, forecast.Estimate{}, tc.ends); got != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.name, got, tc.want)
		}
	}
}

func TestWhySaysHowATaskEndedAndWhatToDo(t *testing.T) {
	t.Parallel()
	for _, code := range task.Codes() {
		ev := &task.Event{TaskID: "ord-7", Status: task.Failed, FinishedAt: night, Error: task.NewError(code, "the page was away.")}
		state := inspect.State(task.Failed)
		switch {
		case ev.RefusesRequest():
			state = inspect.Refused
		case code == task.Canceled:
			state = inspect.Canceled
		}
		got := inspect.Explain(inspect.Task{ID: "ord-7", State: state, Event: ev}, full(nil), 0, forecast.Estimate{}, forecast.Estimate{})
		want := "The same request would fail again."
		if code.Retryable() {
			want = "capstan redrive --task ord-7 shows whether it can be run again."
		}
		if !strings.HasSuffix(got, want) || !strings.Contains(got, "the page was away. ") || strings.Contains(got, "does not know the code") {
			t.Errorf("%s: got %s, want the message, advice and %q", code, got, want)
		}
		if code != task.Canceled && !strings.Contains(got, string(code)) {
			t.Errorf("got %s, want it to name %s", got, code)
		}
	}
}

func TestThePageOfATaskPointsToWhatIsOnIt(t *testing.T) {
	t.Parallel()
	for code, wants := range map[task.Code][]string{
		task.AgentFailed:    {"at what the agent sent, which are below.", "The button Run again… shows whether it can be run again; in a shell, capstan redrive --task ord-7 does."},
		task.InvalidRequest: {"The same request would fail again."},
	} {
		ev := &task.Event{TaskID: "ord-7", Status: task.Failed, FinishedAt: night, Digest: "d", Error: task.NewError(code, "the page was away.")}
		got := inspect.ExplainOnPage(inspect.Task{ID: "ord-7", State: inspect.State(task.Failed), Event: ev}, full(nil))
		for _, want := range wants {
			if !strings.Contains(got, want) || strings.Contains(got, "capstan get") {
				t.Errorf("%s: got %s, want %q", code, got, want)
			}
		}
	}
}

func TestWhySaysWhatIsLeftOfATask(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		task  inspect.Task
		wants []string
	}{
		{"succeeded", inspect.Task{State: "succeeded", Event: &task.Event{SubmittedAt: inMinutes(-3), FinishedAt: night}}, []string{"ord-7 succeeded at " + night.Format(time.TimeOnly) + " after 3m0s."}},
		{"its event has expired", inspect.Task{State: "failed", Record: &task.Record{ErrorCode: task.Timeout, FinishedAt: night}}, []string{"ord-7 failed at ", ": timeout. Its workflow may still be running"}},
		{"its session has ended", inspect.Task{State: "failed", Record: &task.Record{ErrorCode: task.Timeout, FinishedAt: night, SessionEnded: new(true)}}, []string{": timeout. Give it a longer timeout"}},
		{"a code of a newer version", inspect.Task{State: "failed", Record: &task.Record{ErrorCode: "moon"}}, []string{"ord-7 failed: moon. This version does not know the code"}},
		{"refused", inspect.Task{State: inspect.Refused, Event: &task.Event{Error: task.NewError(task.InvalidRequest, "prompt is required")}}, []string{"ord-7 was refused: invalid_request: prompt is required. Correct the request"}},
		{"canceled", inspect.Task{State: inspect.Canceled, Event: &task.Event{Error: task.NewError(task.Canceled, "canceled by ada; it was not submitted")}}, []string{"ord-7 was canceled: canceled by ada; it was not submitted. capstan redrive"}},
		{"canceled, its event has expired", inspect.Task{State: inspect.Canceled, Record: &task.Record{ErrorCode: task.Canceled}}, []string{"ord-7 was canceled. If it was submitted, its workflow may still"}},
		{"no trace", inspect.Task{State: inspect.Unknown}, []string{"There is no trace of ord-7: "}},
	} {
		tc.task.ID = "ord-7"
		got := inspect.Explain(tc.task, full(nil), 0, forecast.Estimate{}, forecast.Estimate{})
		for _, want := range tc.wants {
			if !strings.Contains(got, want) {
				t.Errorf("%s: got %q, want %q in it", tc.name, got, want)
			}
		}
	}
}

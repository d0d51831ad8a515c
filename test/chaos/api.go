package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/link"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
	"github.com/capstan-worker/capstan/test/process"
)

// apiFaults returns the scenarios in which the API, a gateway in front of it or a link to it fails.
func apiFaults() []scenario {
	return []scenario{
		{name: "api-mixture", about: "every kind of task at once, and again after its end; nothing else is broken", short: true, run: everyKind},
		{name: "api-outages", about: "an API that answers 500, 429, HTML, nothing, or loses its answers", short: true, run: apiOutages},
		{name: "api-links", about: "links to the API cut, cut half-way, stalled and slow", short: true, run: apiLinks},
		{name: "gateway-running", about: "a gateway's 404 page for 13 s, while tasks run", newer: true, run: gatewayWhileRunning},
		{name: "gateway-waiting", about: "a gateway's 404 page for 3 s, while many requests wait", short: true, newer: true, run: gatewayWhileWaiting},
		{name: "sessions-foreign", about: "tasks in other people's sessions do not delay the others", newer: true, run: foreignSessions},
		{name: "retry-after", about: "the API asks for an hour before the next poll: every task ends in time", newer: true, run: longRetryAfter},
	}
}

func everyKind(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	each := w.each()
	check(w.ask(ctx, append(each, w.mixed(w.tasks/2)...)...))
	check(w.settle(ctx))
	check(w.askAgain(ctx, len(each)))
}

// askAgain repeats the requests of the first n tasks, which have finished. Each must be answered with the task's event.
func (w *world) askAgain(ctx context.Context, n int) error {
	type repetition struct {
		id      string
		request verdict.Request
	}
	var repeated []repetition
	for i := range w.asked[:n] {
		a := &w.asked[i]
		if a.want.Invalid {
			continue // refused again, with an event and a dead letter of its own
		}
		a.want.Copies++
		if err := w.publish(ctx, a, a.want.Copies); err != nil {
			return err
		}
		repeated = append(repeated, repetition{a.id, a.want.Requests[len(a.want.Requests)-1]})
	}
	w.inspect = func(events []verdict.Event) {
		for _, r := range repeated {
			if !slices.ContainsFunc(events, func(ev verdict.Event) bool {
				return slices.ContainsFunc(ev.Header[nats.MsgIdHdr], func(id string) bool { return r.request.Names(r.id, id, w.older != "") })
			}) {
				w.note("request %d of %s was repeated and not answered", r.request.Seq, r.id)
			}
		}
	}
	return nil
}

func apiOutages(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	for _, f := range []anchortest.Fault{
		anchortest.RateLimited(1), anchortest.Answer(http.StatusInternalServerError), anchortest.HTML(http.StatusBadGateway),
		anchortest.Hang(), anchortest.Reset().ButAccepted(), anchortest.Answer(http.StatusUnauthorized),
	} {
		check(w.ask(ctx, w.mixed(w.tasks/12)...))
		check(w.withoutAPI(ctx, time.Second, f))
	}
}

// withoutAPI makes the API fail for a while.
func (w *world) withoutAPI(ctx context.Context, downtime time.Duration, f anchortest.Fault) error {
	end := w.faults.note(fault{what: "outage of the API", doubt: f.Before+f.After > 0})
	defer end()
	return errors.Join(w.api.fail(ctx, f), process.Pass(ctx, downtime), w.api.recover(ctx))
}

func apiLinks(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	for i, way := range waysToBreak() {
		check(w.ask(ctx, w.mixed(w.tasks/12)...))
		heal := w.workers[i%2].breakAPI(way.name, way.do)
		check(process.Pass(ctx, time.Second))
		heal()
	}
}

// way is a way to break a link.
type way struct {
	name string
	do   func(*link.Link)
}

func waysToBreak() []way {
	return []way{
		{"cut", (*link.Link).Cut},
		{"cut half-way", (*link.Link).CutHalfway},
		{"down", (*link.Link).Down},
		{"stalled", (*link.Link).Stall},
		{"slow", slow(50 * time.Millisecond)},
	}
}

func gatewayWhileRunning(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	n := w.tasks / 6
	check(w.ask(ctx, times(n, plain(2*time.Second))...))
	check(w.waitRunning(ctx, n))
	check(w.withoutAPI(ctx, 13*time.Second, anchortest.HTML(http.StatusNotFound)))
}

func gatewayWhileWaiting(ctx context.Context, w *world) {
	const requests = 500
	check(w.startWorkers(ctx, 2))
	end := w.faults.note(fault{what: "outage of the API"})
	defer end()
	check(w.api.fail(ctx, anchortest.NoBackend()))
	began := time.Now()
	check(w.ask(ctx, times(requests, plain(0))...))
	check(process.Pass(ctx, time.Until(began.Add(3*time.Second))))
	check(w.api.recover(ctx))
}

// honestTime is how soon an honest task that runs for 0.2 s must end.
const honestTime = 5 * time.Second

func foreignSessions(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	honest := answered("honest", 200*time.Millisecond, `{"n":7}`, `{"n":7}`)
	for i := range 20 {
		foreign := failing("foreign", anchortest.Plan{}, task.Rejected).with("sessionId", fmt.Sprintf("%s%d", foreignSession, i))
		check(w.ask(ctx, foreign, honest, honest))
	}
	w.inspect = func(events []verdict.Event) {
		w.measure("slowest honest task", slowest(events, "honest-"), honestTime)
	}
	// A 403 may concern the whole account, and then it ends no task. It concerns the session if the same worker has
	// another submission accepted between the refusals, so honest tasks keep arriving until the last foreign one has
	// finished. A worker tries one foreign session in five seconds, three times each.
	check(process.Until(ctx, "the tasks in foreign sessions end", 3*time.Minute, func() error {
		if err := w.ask(ctx, times(4, honest)...); err != nil {
			return err
		}
		if err := process.Pass(ctx, honestTime/5); err != nil {
			return err
		}
		return w.finished(ctx, len(w.asked))
	}))
}

// slowest returns how long the slowest of the tasks took whose id has this prefix, from the request to the end.
func slowest(events []verdict.Event, prefix string) (took time.Duration) {
	for _, ev := range events {
		if strings.HasPrefix(ev.TaskID, prefix) {
			took = max(took, ev.FinishedAt.Sub(ev.RequestedAt))
		}
	}
	return took
}

// probeTime is how late a task may end if each of its polls was answered with a wait of an hour: one poll a minute
// checks whether that wait still applies.
const probeTime = 75 * time.Second

func longRetryAfter(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	refused := plain(time.Second)
	refused.kind = "refused"
	refused.plan.Poll = []anchortest.Fault{anchortest.RetryAfter(http.StatusTooManyRequests, "3600")}
	check(w.ask(ctx, append(times(10, plain(time.Second)), times(2, refused)...)...))
	// The last poll before a deadline does not wait: this task has finished by then.
	last := plain(time.Second).with("timeout", "10s")
	last.kind = "last"
	check(w.ask(ctx, last))
	w.inspect = func(events []verdict.Event) {
		w.measure("latest end", slowest(events, ""), probeTime)
		w.measure("end with a deadline", slowest(events, "last-"), 15*time.Second)
	}
}

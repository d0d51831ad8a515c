package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
	"github.com/capstan-worker/capstan/test/process"
)

// gateways are answers that say nothing about the task that gets them: of a gateway before the API, of limits, and
// about sessions of somebody else.
func gateways() []scenario {
	return []scenario{
		{name: "gateway-running", about: "a gateway's 404 page for 13 s, while tasks run", newer: true, run: gatewayWhileRunning},
		{name: "gateway-waiting", about: "a gateway's 404 page for 3 s, while many requests wait", short: true, newer: true, run: gatewayWhileWaiting},
		{name: "sessions-foreign", about: "tasks in sessions of somebody else do not hold up the others", newer: true, run: foreignSessions},
		{name: "retry-after-polls", about: "one poll is told to come back after an hour: every task ends in time", newer: true, run: pollsToldToWait},
		{name: "retry-after-posts", about: "a submission is told to come back after 15 s: none leaves before, none is lost", newer: true, run: postsToldToWait},
	}
}

func gatewayWhileRunning(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	n := w.tasks / 6
	if err := w.ask(ctx, times(n, plain(2*time.Second))...); err != nil {
		return err
	}
	if err := w.waitRunning(ctx, n); err != nil {
		return err
	}
	return w.apiFails(ctx, 13*time.Second, anchortest.HTML(http.StatusNotFound), nil)
}

// waitingRequests is how many requests wait while the gateway has no backend.
const waitingRequests = 500

func gatewayWhileWaiting(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	end := w.faults.note(fault{what: "outage of the API"})
	defer end()
	if err := w.api.fail(ctx, anchortest.NoBackend()); err != nil {
		return err
	}
	began := time.Now()
	if err := w.ask(ctx, times(waitingRequests, plain(0))...); err != nil {
		return err
	}
	if err := process.Pass(ctx, time.Until(began.Add(3*time.Second))); err != nil {
		return err
	}
	return w.api.recover(ctx)
}

const (
	honestTasks = 40
	promptly    = 5 * time.Second // how soon an honest task has to end that runs for 0.2 s
)

func foreignSessions(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	foreign := 0
	for i := range honestTasks {
		if i%2 == 0 {
			foreign++
			if err := w.ask(ctx, inForeignSession(foreign)); err != nil {
				return err
			}
		}
		if err := w.ask(ctx, honest()); err != nil {
			return err
		}
	}
	w.look = func(events []verdict.Event) {
		w.measure("slowest honest task", slowest(events, "honest-"), promptly)
	}
	// A 403 may be about the account, and then it ends no task. It is the session's fault where the same worker has
	// another submission accepted between the refusals, so honest tasks keep coming until the last foreign one has
	// ended. A worker tries one foreign session in five seconds, three times each.
	return process.Until(ctx, "the tasks in foreign sessions end", 3*time.Minute, func() error {
		if err := w.ask(ctx, times(4, honest())...); err != nil {
			return err
		}
		if err := process.Pass(ctx, promptly/5); err != nil { // that one ends
			return err
		}
		return w.ended(ctx, len(w.asked))
	})
}

// ended returns an error while fewer tasks have ended.
func (w *world) ended(ctx context.Context, n int) error {
	s, err := w.stream(ctx, resultStream)
	if err == nil && s.CachedInfo().State.Msgs < uint64(max(0, n)) {
		err = fmt.Errorf("%d of %d tasks have ended", s.CachedInfo().State.Msgs, n)
	}
	return err
}

// slowest is how long the slowest of the tasks took whose id begins so, from the request on.
func slowest(events []verdict.Event, prefix string) (took time.Duration) {
	for _, ev := range events {
		if strings.HasPrefix(ev.TaskID, prefix) {
			took = max(took, ev.FinishedAt.Sub(ev.RequestedAt))
		}
	}
	return took
}

func honest() recipe {
	return answered("honest", 200*time.Millisecond, `{"n":7}`, `{"n":7}`)
}

func inForeignSession(n int) recipe {
	return failing("foreign", anchortest.Plan{}, task.Rejected).with("sessionId", fmt.Sprintf("%s%d", foreignSession, n))
}

// probed is how late a task may end whose polls were all told to wait for an hour: one poll a minute finds out
// whether that still holds.
const probed = 75 * time.Second

func pollsToldToWait(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	told := plain(time.Second)
	told.kind = "told"
	told.plan.Poll = []anchortest.Fault{anchortest.RetryAfter(http.StatusTooManyRequests, "3600")}
	const n = 10
	if err := w.ask(ctx, append(times(n, plain(time.Second)), times(2, told)...)...); err != nil {
		return err
	}
	// The last look before a deadline does not wait: this one has ended by then.
	last := plain(time.Second).with("timeout", "10s")
	last.kind = "last"
	if err := w.ask(ctx, last); err != nil {
		return err
	}
	w.look = func(events []verdict.Event) {
		w.measure("latest end", slowest(events, ""), probed)
		w.measure("end with a deadline", slowest(events, "last-"), 15*time.Second)
	}
	return nil
}

func postsToldToWait(ctx context.Context, w *world) error {
	const waits = 15 * time.Second
	if _, err := w.startWorker(ctx); err != nil {
		return err
	}
	told := plain(0)
	told.kind = "told"
	told.plan.Submit = []anchortest.Fault{anchortest.RetryAfter(http.StatusServiceUnavailable, "15")}
	if err := w.ask(ctx, told); err != nil {
		return err
	}
	if err := process.Until(ctx, "the submission is turned away", 20*time.Second, func() error {
		logs, err := w.api.logs(ctx)
		if err == nil && len(logs) == 0 {
			err = fmt.Errorf("none was posted")
		}
		return err
	}); err != nil {
		return err
	}
	turnedAway := time.Now()
	if err := w.ask(ctx, times(20, plain(0))...); err != nil {
		return err
	}
	w.look = func(events []verdict.Event) {
		for _, ev := range events {
			if early := turnedAway.Add(waits - 2*time.Second).Sub(ev.SubmittedAt); early > 0 {
				w.note("%s was submitted %v before the API wanted to be asked again", ev.TaskID, early)
			}
		}
	}
	return nil
}

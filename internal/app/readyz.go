package app

import (
	"context"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/admin"
	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/limits"
	"github.com/capstan-worker/capstan/internal/pipeline"
	"github.com/capstan-worker/capstan/internal/task"
)

// checks returns the lines of /readyz: first what a worker needs to be ready, then what an operator should
// know. A worker whose submissions or polls are paused is ready: its tasks wait, and it resumes by itself.
// ctx is the one whose end begins the drain.
func (w *worker) checks(ctx context.Context) []admin.Check {
	return []admin.Check{
		{Name: "nats", Ready: func() (bool, string) { return w.nc.IsConnected(), w.nc.Status().String() }},
		{Name: "permissions", Ready: w.violations.Ready},
		{Name: "streams", Ready: w.binding.Ready},
		{Name: "clock", Info: w.binding.Clock},
		{Name: "work", Ready: func() (bool, string) {
			if ctx.Err() != nil {
				return false, "draining"
			}
			return true, "accepting tasks"
		}},
		{Name: "limit", Info: w.describeLimit},
		{Name: "submissions", Info: w.describeSubmissions},
		{Name: "polls", Info: func() string { return describePause(w.poller.Paused, w.api.KeyProblem) }},
	}
}

// status is what the worker says about itself to those who look at the fleet.
func (w *worker) status(inProgress int) fleet.Status {
	var limit limits.Cap
	if keeper := w.limit.Load(); keeper != nil {
		limit = keeper.Cap()
	}
	return fleet.Status{
		Worker: w.cfg.Worker.Name, Version: w.version,
		InProgress: inProgress, Running: w.poller.Waiting(), MaxInFlight: w.cfg.MaxInFlight,
		Limit: limit.InFlight, Plan: limit.Plan,
		Submissions: w.describeSubmissions(), Polls: describePause(w.poller.Paused, w.api.KeyProblem),
	}
}

// describeSubmissions returns "ok", or why submissions do not leave: first because of an operator, who may not know of a
// pause that the API asks for.
func (w *worker) describeSubmissions() string {
	text := describePause(w.admission.Paused, w.api.KeyProblem)
	if until, held := w.admission.Held(); held && text == "ok" {
		text = fmt.Sprintf("waiting until %s at most: the API accepts no more submissions now", until.UTC().Format(time.RFC3339))
	}
	pause, paused := w.admission.OperatorPause()
	switch {
	case !paused:
		return text
	case text == "ok":
		return pause.String()
	default:
		return pause.String() + "; " + text
	}
}

// taskStatus returns a function that says what this worker is doing for a task, for those who look at the fleet.
func (w *worker) taskStatus(line *pipeline.Pipeline) func(taskID string) (fleet.TaskStatus, bool) {
	return func(taskID string) (fleet.TaskStatus, bool) {
		p, found := line.Progress(taskID)
		status := fleet.TaskStatus{
			Worker: w.cfg.Worker.Name, TaskID: taskID, Step: p.Step, Since: w.clock.At(p.Since),
			WaitsFor: p.WaitsFor, WaitsUntil: p.WaitsUntil, NextPoll: w.clock.At(p.NextPoll), Polls: p.Polls,
		}
		return status, found
	}
}

// describePause returns "ok", or the end of a pause in UTC and its reason. When the pause ends, one call probes the API, and a
// new pause may follow. If the API rejected the key and the key file cannot be read either, it names that problem: it is what
// the operator must fix.
func describePause(state func() (task.Reason, time.Time, bool), keyProblem func() string) string {
	reason, until, paused := state()
	if !paused {
		return "ok"
	}
	end := "until " + until.UTC().Format(time.RFC3339)
	if !until.After(time.Now()) {
		end = "until a probe is answered"
	}
	text := fmt.Sprintf("paused %s: %s", end, reason)
	if problem := keyProblem(); problem != "" && reason == task.Unauthorized {
		text += " (" + problem + ")"
	}
	return text
}

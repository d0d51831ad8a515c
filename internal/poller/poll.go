package poller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/capstan-worker/capstan/internal/breaker"
	"github.com/capstan-worker/capstan/internal/task"
)

// smallAnswer is how much is read of an answer at first, in bytes. Nearly all answers are small, so that polls need little
// memory. Of a larger one, up to task.MaxAnswer is read.
const smallAnswer = 64 << 10

// copies is how many copies of an answer are in memory at once, at most, until its event is stored: the bytes read, the
// result in them, the result as it is judged, and the event.
const copies = 4

// The functions from Wait to the select of enterLine have small frames: nearly all tasks may be in line at once, and Go keeps
// a stack at 4 KiB only if less than 1,248 bytes of it are used. A test of package pipeline measures it.

// enterLine waits until the poll is the first in line; acquire leaves the line. It reserves the memory of a large answer
// first, so that no small one waits behind it. It returns false if ctx ends before that, or if w.giveUp comes.
func (p *Poller) enterLine(ctx context.Context, w *wait) bool {
	p.metrics.due.Inc()
	if p.reserveLarge(ctx, w) == nil {
		w.timer.Reset(time.Until(w.giveUp))
		select {
		case p.line <- struct{}{}:
			return true
		case <-w.timer.C:
		case <-ctx.Done():
		}
	}
	p.metrics.due.Dec()
	w.memory.Release()
	return false
}

// reserveLarge reserves the memory of a large answer.
func (p *Poller) reserveLarge(ctx context.Context, w *wait) (err error) {
	w.memory = nil
	if w.size > smallAnswer {
		ctx, cancel := context.WithDeadline(ctx, w.giveUp)
		defer cancel()
		w.memory, err = p.budgets.Answers.Reserve(ctx, w.size*copies)
	}
	return err
}

// poll asks the API for the workflow, sets when the next poll is due, and reports whether the wait is over. A failed call
// ends the wait only if the workflow is lost or its answer is too large. The poll is the first in line, which poll leaves.
func (p *Poller) poll(ctx context.Context, w *wait) (over bool) {
	ctx, cancel := context.WithDeadline(ctx, w.giveUp)
	defer cancel()
	ticket, ok, err := p.acquire(ctx, w)
	// This also runs after a panic of the API's client.
	defer func() {
		// It has no effect if the answer was reported.
		p.breaker.Unused(ticket)
		if !over || w.outcome.Free == nil {
			w.memory.Release()
		}
	}()
	if err != nil {
		w.due = w.giveUp // nothing else is due until then
	}
	if !ok {
		return false
	}
	began := time.Now()
	workflow, failure := p.call(ctx, w)
	p.report(ticket, failure)
	if failure != nil {
		return w.pollFailed(failure)
	}
	if over = w.pollAnswered(began, workflow); over {
		// The outcome keeps what its result needs. The rest is free at once.
		w.memory.Shrink(int64(len(workflow.Result)+len(workflow.Error)) * copies)
		w.outcome.Free = w.memory.Release
	}
	return over
}

// acquire leaves the line as soon as a call may leave, and returns its ticket for the breaker. It waits for a slot, for the
// memory of a small answer if none is reserved yet, and for the rate. If ok, the slot is released by call. It is not if the
// breaker has opened meanwhile: then the poll stays due. The error is that ctx ended, or would end before the call could leave.
func (p *Poller) acquire(ctx context.Context, w *wait) (ticket breaker.Ticket, ok bool, err error) {
	defer func() {
		<-p.line
		p.metrics.due.Dec()
	}()
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return ticket, false, err
	}
	defer func() {
		if !ok {
			p.slots.Release(1)
		}
	}()
	if w.memory == nil {
		if w.memory, err = p.budgets.Polls.Reserve(ctx, smallAnswer*copies); err != nil {
			return ticket, false, err
		}
	}
	// The breaker may have opened while the poll waited. Then it must not take a token.
	if !p.mayPoll(w) {
		return ticket, false, nil
	}
	// Only the first poll in line waits for a token, and so does the first submission: each gets every other token.
	if err := p.limit.Wait(ctx); err != nil {
		return ticket, false, err
	}
	if ticket, ok = p.admit(w); ok {
		p.metrics.delay.Observe(time.Since(w.due).Seconds())
	}
	return ticket, ok, nil
}

// awaitBreaker waits until the breaker may let a poll leave, or until the last poll is due, which leaves even while the
// breaker is open. Deferred polls return at random within one interval of their workflows, so that afterwards the rate
// of all polls is the usual one. It returns ctx's error.
func (p *Poller) awaitBreaker(ctx context.Context, w *wait) error {
	for !p.mayPoll(w) {
		if p.breaker.Closed() {
			w.deferred = false
			w.due = earlier(time.Now().Add(rand.N(w.interval())), w.lastPoll)
			if err := w.sleep(ctx); err != nil {
				return err
			}
			continue
		}
		w.deferred = true
		untilLast, cancel := context.WithDeadline(ctx, w.lastPoll)
		// The next turn finds out which of the two came first.
		_ = p.breaker.Wait(untilLast)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// mayPoll reports whether a poll may wait for its slot. A deferred poll may not before its own moment has come.
func (p *Poller) mayPoll(w *wait) bool {
	if w.isLastPoll() {
		return true
	}
	_, _, blocked := p.breaker.State()
	waits := w.deferred && p.breaker.Closed()
	return !blocked && !waits
}

// admit returns the ticket of a call that leaves now. ok is false if the breaker does not admit it.
func (p *Poller) admit(w *wait) (ticket breaker.Ticket, ok bool) {
	ticket, ok = p.breaker.Admit()
	if w.isLastPoll() {
		return ticket, true // the zero Ticket if the breaker is open
	}
	if ok {
		w.deferred = false
	}
	return ticket, ok
}

// answer is the result of a call. Exactly one of failure and panicked is set if there is no workflow.
type answer struct {
	workflow task.Workflow
	failure  *task.StatusError
	panicked error
}

// call asks the API and releases the slot. It asks in another goroutine and waits for it: a call needs a stack of 8 KiB
// or more, which ends with that goroutine. Otherwise the stacks of all waiting tasks would be that large.
func (p *Poller) call(ctx context.Context, w *wait) (task.Workflow, *task.StatusError) {
	p.metrics.inFlight.Inc()
	id, limit := w.workflowID, w.size
	answers := make(chan answer)
	go func() {
		var a answer
		defer func() {
			if value := recover(); value != nil {
				a.panicked = fmt.Errorf("poll workflow %s: panic: %v\n%s", id, value, debug.Stack())
			}
			answers <- a
		}()
		a.workflow, a.failure = p.status(ctx, id, limit)
	}()
	a := <-answers
	p.metrics.inFlight.Dec()
	p.slots.Release(1)
	if a.panicked != nil {
		// In the goroutine of the task, whose root recovers.
		panic(a.panicked)
	}
	if a.failure != nil {
		p.log.Debug().Str("task", w.taskID).Str("workflow", id).Int("status", a.failure.HTTPStatus).Msg("poll failed")
	}
	return a.workflow, a.failure
}

// status asks the API for a workflow. Any error becomes a *task.StatusError.
func (p *Poller) status(ctx context.Context, workflowID string, limit int64) (task.Workflow, *task.StatusError) {
	workflow, err := p.api.Status(ctx, workflowID, limit)
	if err == nil {
		return workflow, nil
	}
	failure, ok := errors.AsType[*task.StatusError](err)
	if !ok {
		failure = &task.StatusError{Message: err.Error()}
	}
	return task.Workflow{}, failure
}

// report reports to the breaker what an answer says about all polls. If it says nothing, poll returns the ticket unused.
func (p *Poller) report(ticket breaker.Ticket, failure *task.StatusError) {
	if failure == nil {
		p.logResumed(p.breaker.Succeed(ticket))
		return
	}
	if reason := breaker.OfPoll(failure); reason != "" {
		// Only the first opening is logged: the probes of a long pause would repeat it.
		first := p.breaker.Closed()
		if wait, opened := p.breaker.Open(ticket, reason, failure.RetryAfter, 0); opened && first {
			p.log.Warn().Str("reason", string(reason)).Int("status", failure.HTTPStatus).Stringer("wait", wait).Msg("polls paused")
		}
		return
	}
	// The API itself has judged the call, so calls may leave.
	if failure.TooLarge || failure.OwnForm && failure.HTTPStatus < http.StatusInternalServerError {
		p.logResumed(p.breaker.Answer(ticket))
	}
}

// logResumed logs the end of a pause, with the reason that it had.
func (p *Poller) logResumed(reason task.Reason, resumed bool) {
	if resumed {
		p.log.Info().Str("reason", string(reason)).Msg("polls resumed")
	}
}

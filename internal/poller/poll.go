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
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/task"
)

// How much is read of an answer, in bytes. Nearly all answers are small, so that polls need little memory.
const (
	smallAnswer = 64 << 10
	maxAnswer   = 32 << 20
)

// copies is how many copies of an answer are in memory at once, at most, until its event is stored: the bytes read, the
// result in them, the result as it is judged, and the event.
const copies = 4

// poll asks the API for the workflow once it may, sets when the next poll is due, and reports whether the
// wait is over. A failed call ends the wait only if the workflow is lost or its answer is too large.
func (p *Poller) poll(ctx context.Context, w *wait) (over bool) {
	permit, err := p.acquire(ctx, w)
	if err != nil {
		// ctx has ended, or the poll could not leave before it is given up. Nothing else is due until then.
		w.due = w.giveUp
		return false
	}
	// This also runs after a panic of the API's client.
	defer func() {
		// It has no effect if the answer was reported.
		p.breaker.Unused(permit.ticket)
		if !over || w.outcome.Free == nil {
			permit.memory.Release()
		}
	}()
	began := time.Now()
	workflow, failure := p.call(ctx, w)
	p.report(permit.ticket, failure)
	if failure != nil {
		return w.pollFailed(failure)
	}
	if over = w.pollAnswered(began, workflow); over {
		// The outcome keeps what its result needs. The rest is free at once.
		permit.memory.Shrink(int64(len(workflow.Result)+len(workflow.Error)) * copies)
		w.outcome.Free = permit.memory.Release
	}
	return over
}

// permit is what a poll has acquired for its call, besides the slot. Its holder must release the memory and
// pass the ticket to the breaker.
type permit struct {
	ticket breaker.Ticket
	memory *memory.Reservation
}

// acquire waits until a call may leave. It returns an error if ctx ends first, or if w.giveUp comes or would come first.
func (p *Poller) acquire(ctx context.Context, w *wait) (permit, error) {
	due := time.Now()
	for {
		if err := p.awaitBreaker(ctx, w); err != nil {
			return permit{}, err
		}
		acquired, ok, err := p.reserve(ctx, w)
		if err != nil {
			return permit{}, err
		}
		if ok {
			p.metrics.delay.Observe(time.Since(due).Seconds())
			return acquired, nil
		}
	}
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

// reserve waits for the memory of the answer, for a slot, and for the rate. It reserves the memory of a large answer
// before it waits for a slot, so that no small answer waits behind it. ok is false if the breaker opened meanwhile.
func (p *Poller) reserve(ctx context.Context, w *wait) (acquired permit, ok bool, err error) {
	p.metrics.due.Inc()
	defer p.metrics.due.Dec()
	if w.size > smallAnswer {
		ctx, cancel := context.WithDeadline(ctx, w.giveUp)
		defer cancel()
		if acquired.memory, err = p.budgets.Answers.Reserve(ctx, w.size*copies); err != nil {
			return permit{}, false, err
		}
	}
	if ok, err = p.acquireSlot(ctx, w, &acquired); !ok {
		acquired.memory.Release()
	}
	return acquired, ok, err
}

// acquireSlot waits for a slot, for the memory of a small answer if none is reserved yet, and for the rate. If ok, the
// slot is released by call.
func (p *Poller) acquireSlot(ctx context.Context, w *wait, acquired *permit) (ok bool, err error) {
	if err := p.enterLine(ctx, w); err != nil {
		return false, err
	}
	defer func() { <-p.line }()
	ctx, cancel := context.WithDeadline(ctx, w.giveUp)
	defer cancel()
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer func() {
		if !ok {
			p.slots.Release(1)
		}
	}()
	if acquired.memory == nil {
		if acquired.memory, err = p.budgets.Polls.Reserve(ctx, smallAnswer*copies); err != nil {
			return false, err
		}
	}
	// The breaker may have opened while the poll waited. Then it must not take a token.
	if !p.mayPoll(w) {
		return false, nil
	}
	// Only the first poll in line waits for a token, and so does the first submission: each gets every other token.
	if err := p.limit.Wait(ctx); err != nil {
		return false, err
	}
	acquired.ticket, ok = p.admit(w)
	return ok, nil
}

// enterLine waits until the poll is the first in line. Its caller leaves the line again. Nearly all tasks can be in line at
// once, so none has a context of its own here: the wait's timer ends its wait at w.giveUp.
func (p *Poller) enterLine(ctx context.Context, w *wait) error {
	w.timer.Reset(time.Until(w.giveUp))
	select {
	case p.line <- struct{}{}:
		return nil
	case <-w.timer.C:
		return context.DeadlineExceeded
	case <-ctx.Done():
		return ctx.Err()
	}
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
	ctx, cancel := context.WithDeadline(ctx, w.giveUp)
	defer cancel()
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

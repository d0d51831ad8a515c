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

// What is read of an answer, in bytes. Nearly all fit into a small one, so that polls need little memory.
const (
	smallAnswer = 64 << 10
	maxAnswer   = 32 << 20
)

// copies is how many times an answer is in memory at once, at most, until its event is stored: as it is read, as
// the result in it, as it is judged, and as it is published.
const copies = 4

// look asks after the workflow once it may, sets when the next step is, and reports whether the wait is over.
func (p *Poller) look(ctx context.Context, w *wait) (over bool) {
	ctx, cancel := context.WithDeadline(ctx, w.bound)
	defer cancel()
	e, err := p.enter(ctx, w)
	if err != nil { // ctx has ended, or would before the call could leave
		w.next = w.bound
		return false
	}
	defer func() { // also where the API's client panics
		p.breaker.Unused(e.ticket) // where the answer said nothing about the API
		if !over || w.ending.Free == nil {
			e.memory.Release()
		}
	}()
	began := time.Now()
	workflow, failure := p.call(ctx, w)
	p.judge(e.ticket, failure)
	if failure != nil {
		return w.failed(failure)
	}
	if over = w.learned(began, workflow); over {
		e.memory.Shrink(int64(len(workflow.Result)+len(workflow.Error)) * copies)
		w.ending.Free = e.memory.Release
	}
	return over
}

// entry is what a call holds, besides its place among the calls at once.
type entry struct {
	ticket breaker.Ticket
	memory *memory.Reservation
}

// enter waits until a call may leave. The error is that of ctx, or of a deadline that would come first.
func (p *Poller) enter(ctx context.Context, w *wait) (entry, error) {
	due := time.Now()
	for {
		if err := p.awaitBreaker(ctx, w); err != nil {
			return entry{}, err
		}
		e, ok, err := p.reserve(ctx, w)
		if err != nil {
			return entry{}, err
		}
		if ok {
			p.metrics.late.Observe(time.Since(due).Seconds())
			return e, nil
		}
	}
}

// awaitBreaker waits until the breaker may let a poll leave, or until it is time for the last look, which leaves
// whatever the breaker says. Polls that were put off come back within one interval of their workflows, so that the
// rate of all polls afterwards is the usual one. The error is that of ctx.
func (p *Poller) awaitBreaker(ctx context.Context, w *wait) error {
	for !p.mayLeave(w) {
		if p.breaker.Closed() {
			w.putOff = false
			w.next = earlier(time.Now().Add(rand.N(w.interval())), w.last)
			if err := w.sleep(ctx); err != nil {
				return err
			}
			continue
		}
		w.putOff = true
		untilLast, cancel := context.WithDeadline(ctx, w.last)
		_ = p.breaker.Wait(untilLast) // which of the two came first does not matter
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// mayLeave reports whether a poll may stand in line for its call.
func (p *Poller) mayLeave(w *wait) bool {
	if w.lastLook() {
		return true
	}
	_, _, blocked := p.breaker.State()
	spread := w.putOff && p.breaker.Closed()
	return !blocked && !spread
}

// claim returns the ticket of a call that leaves now; ok is false where it may not leave.
func (p *Poller) claim(w *wait) (ticket breaker.Ticket, ok bool) {
	ticket, ok = p.breaker.Admit()
	switch {
	case w.lastLook():
		return ticket, true // the zero Ticket where the breaker is open
	case !ok:
		return breaker.Ticket{}, false
	default:
		w.putOff = false
		return ticket, true
	}
}

// reserve waits for the memory of an answer, a free call, and the rate. A large answer waits for memory before it
// stands in line, so that it keeps no small one waiting. ok is false where the breaker opened in the meantime.
func (p *Poller) reserve(ctx context.Context, w *wait) (e entry, ok bool, err error) {
	p.metrics.due.Inc()
	defer p.metrics.due.Dec()
	if w.size > smallAnswer {
		if e.memory, err = p.budgets.Answers.Reserve(ctx, w.size*copies); err != nil {
			return entry{}, false, err
		}
	}
	if ok, err = p.standInLine(ctx, w, &e); !ok {
		e.memory.Release()
	}
	return e, ok, err
}

// standInLine waits for a free call, for the memory of a small answer where e has none yet, and for the rate. Where
// ok, the caller makes the call.
func (p *Poller) standInLine(ctx context.Context, w *wait, e *entry) (ok bool, err error) {
	if err := p.line.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer p.line.Release(1)
	if err := p.calls.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer func() {
		if !ok {
			p.calls.Release(1)
		}
	}()
	if e.memory == nil {
		if e.memory, err = p.budgets.Polls.Reserve(ctx, smallAnswer*copies); err != nil {
			return false, err
		}
	}
	if !p.mayLeave(w) {
		return false, nil
	}
	// Only the first in line waits for a token, as the first of the submissions does: each gets every other one.
	if err := p.limit.Wait(ctx); err != nil {
		return false, err
	}
	e.ticket, ok = p.claim(w)
	return ok, nil
}

// reply is what a call brought.
type reply struct {
	workflow task.Workflow
	failure  *task.StatusError
	panicked error
}

// call asks the API, in the place among the calls at once that was reserved. It asks in another goroutine and waits
// for it: a call needs a stack of 8 KiB or more, and it goes with that goroutine. Otherwise the stacks of all the
// goroutines that wait would grow so.
func (p *Poller) call(ctx context.Context, w *wait) (task.Workflow, *task.StatusError) {
	p.metrics.inFlight.Inc()
	id, most := w.workflowID, w.size
	replies := make(chan reply)
	go func() {
		var r reply
		defer func() {
			if value := recover(); value != nil {
				r.panicked = fmt.Errorf("poll workflow %s: panic: %v\n%s", id, value, debug.Stack())
			}
			replies <- r
		}()
		r.workflow, r.failure = p.status(ctx, id, most)
	}()
	r := <-replies
	p.metrics.inFlight.Dec()
	p.calls.Release(1)
	if r.panicked != nil {
		panic(r.panicked) // in the goroutine of the task, whose root recovers
	}
	if r.failure != nil {
		p.log.Debug().Str("task", w.taskID).Str("workflow", id).Int("status", r.failure.HTTPStatus).Msg("poll failed")
	}
	return r.workflow, r.failure
}

func (p *Poller) status(ctx context.Context, workflowID string, most int64) (task.Workflow, *task.StatusError) {
	workflow, err := p.api.Status(ctx, workflowID, most)
	if err == nil {
		return workflow, nil
	}
	failure, ok := errors.AsType[*task.StatusError](err)
	if !ok {
		failure = &task.StatusError{Message: err.Error()}
	}
	return task.Workflow{}, failure
}

// judge tells the breaker what the answer to a call says about all polls.
func (p *Poller) judge(ticket breaker.Ticket, failure *task.StatusError) {
	if failure == nil {
		p.resumed(p.breaker.Succeed(ticket))
		return
	}
	reason := breaker.OfPoll(failure)
	switch {
	case reason != "":
		first := p.breaker.Closed()
		if wait, opened := p.breaker.Open(ticket, reason, failure.RetryAfter, 0); opened && first {
			p.log.Warn().Str("reason", string(reason)).Int("status", failure.HTTPStatus).Stringer("wait", wait).Msg("polls paused")
		}
	case failure.OwnForm && failure.HTTPStatus < http.StatusInternalServerError, failure.TooLarge:
		p.resumed(p.breaker.Answer(ticket))
	default: // it says nothing about the API: look passes the right to probe on
	}
}

func (p *Poller) resumed(reason task.Reason, closed bool) {
	if closed {
		p.log.Info().Str("reason", string(reason)).Msg("polls resumed")
	}
}

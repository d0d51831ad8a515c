package admission

import (
	"cmp"
	"context"
	"errors"

	"github.com/capstan-worker/capstan/internal/breaker"
	"github.com/capstan-worker/capstan/internal/task"
)

// errTooLate means that the rate allows a submission only after its deadline.
var errTooLate = errors.New("the next token of the rate comes too late")

// submission is one that was admitted.
type submission struct {
	session  string
	start    start
	all      breaker.Ticket
	sessions breaker.Ticket // the zero Ticket for a request without a session
}

// acquire returns when the submission has a slot and a ticket of each breaker that it must pass.
func (a *Admission) acquire(ctx context.Context, session string, look func() error) (submission, error) {
	for {
		leaveLine, err := a.awaitSessions(ctx, session, look)
		if err != nil {
			return submission{}, err
		}
		s, ok, err := a.acquireSlot(ctx, session, look)
		leaveLine()
		if ok || err != nil {
			return s, err
		}
	}
}

// awaitSessions holds a request with a session out of the line while those are paused. While their breaker is half-open,
// the next one waits until leaveLine is called.
func (a *Admission) awaitSessions(ctx context.Context, session string, look func() error) (leaveLine func(), err error) {
	if session == "" || a.sessions.Closed() {
		return func() {}, nil
	}
	leaveLine, err = a.sessionsLine.wait(ctx, look)
	if err != nil {
		return nil, err
	}
	if err := lookBeside(ctx, look, a.sessions.Wait); err != nil {
		leaveLine()
		return nil, err
	}
	if a.sessions.Closed() {
		leaveLine()
		return func() {}, nil
	}
	return leaveLine, nil
}

// acquireSlot waits in line and then for a slot. ok is false for a request with a session if those are paused: the others
// must not wait behind it.
func (a *Admission) acquireSlot(ctx context.Context, session string, look func() error) (s submission, ok bool, err error) {
	leaveLine, err := a.line.wait(ctx, look)
	if err != nil {
		return submission{}, false, err
	}
	defer leaveLine()
	err = lookBeside(ctx, look, func(ctx context.Context) (err error) {
		s, ok, err = a.admitFirst(ctx, session)
		return err
	})
	if ok && err != nil {
		a.release(context.WithoutCancel(ctx), s, task.ErrNotSubmitted)
		return submission{}, false, err
	}
	return s, ok, err
}

// admitFirst admits the first in line. ok is false for a request with a session if those are paused.
func (a *Admission) admitFirst(ctx context.Context, session string) (s submission, ok bool, err error) {
	if err := a.slots.Acquire(ctx, 1); err != nil {
		return submission{}, false, err
	}
	if s, ok, err = a.admit(ctx, session); ok {
		a.metrics.inUse.Inc()
	} else {
		a.slots.Release(1)
	}
	return s, ok, err
}

// admit waits for the end of a pause, for a start, and for a token of the rate. If a pause begins while it waits, it
// starts over. ok is false for a request with a session if those are paused.
func (a *Admission) admit(ctx context.Context, session string) (s submission, ok bool, err error) {
	for {
		if err := a.operator.wait(ctx); err != nil {
			return submission{}, false, err
		}
		if err := a.all.Wait(ctx); err != nil {
			return submission{}, false, err
		}
		if _, _, paused := a.sessions.State(); paused && session != "" {
			return submission{}, false, nil
		}
		start, err := a.starts.acquire(ctx)
		if err != nil {
			return submission{}, false, err
		}
		s, ok, err = a.admitStart(ctx, session)
		if ok {
			s.start = start
			return s, true, nil
		}
		a.starts.release(context.WithoutCancel(ctx), start, false)
		if err != nil {
			return submission{}, false, err
		}
	}
}

// admitStart waits for a token of the rate and for a ticket of each breaker. ok is false if a pause has begun: it wastes
// at most one token.
func (a *Admission) admitStart(ctx context.Context, session string) (s submission, ok bool, err error) {
	a.awaitsToken.Store(true)
	err = a.limit.Wait(ctx)
	a.awaitsToken.Store(false)
	if err != nil {
		return submission{}, false, cmp.Or(ctx.Err(), errTooLate)
	}
	if _, paused := a.OperatorPause(); paused {
		return submission{}, false, nil
	}
	s.session = session
	if session != "" {
		if s.sessions, ok = a.sessions.Admit(); !ok {
			return submission{}, false, nil
		}
	}
	if s.all, ok = a.all.Admit(); !ok {
		a.sessions.Unused(s.sessions)
		return submission{}, false, nil
	}
	return s, true, nil
}

// release judges the outcome before it releases the slot, so that no submission leaves before a pause begins.
func (a *Admission) release(ctx context.Context, s submission, err error) {
	if err == nil {
		a.accepted.Add(1)
	}
	a.judge(s, err)
	a.starts.release(ctx, s.start, mayBeAccepted(err))
	a.metrics.inUse.Dec()
	a.slots.Release(1)
}

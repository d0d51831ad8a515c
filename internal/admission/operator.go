package admission

import (
	"context"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// operator is a pause that an operator has asked for.
type operator struct {
	mu      sync.Mutex
	pause   task.Pause    // guarded by mu
	resumed chan struct{} // guarded by mu; nil: there is no pause; closed when it ends
}

// SetPause begins a pause that an operator has asked for, replaces it by another one, or ends it if paused is false. While
// it lasts, nothing is admitted. A pause that the API asked for goes on, and begins and ends, as without it.
func (a *Admission) SetPause(pause task.Pause, paused bool) {
	o := &a.operator
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pause = pause
	switch {
	case paused && o.resumed == nil:
		o.resumed = make(chan struct{})
	case !paused && o.resumed != nil:
		close(o.resumed)
		o.resumed = nil
	}
}

// OperatorPause returns the pause that an operator has asked for, if there is one.
func (a *Admission) OperatorPause() (pause task.Pause, paused bool) {
	pause, resumed := a.operator.state()
	return pause, resumed != nil
}

// state returns the pause, and a channel that is closed when it ends, or nil if there is none.
func (o *operator) state() (pause task.Pause, resumed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pause, o.resumed
}

// wait blocks until there is no pause. It returns ctx's error if that ends first.
func (o *operator) wait(ctx context.Context) error {
	for {
		_, resumed := o.state()
		if resumed == nil {
			return nil
		}
		select {
		case <-resumed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Waits returns why the first submission in line waits, if one does, and until when if that is known, by the clock that
// the workers share. A pause of the requests with a session does not count: it does not stop the line.
func (a *Admission) Waits() (reason task.WaitReason, until time.Time) {
	if pause, paused := a.OperatorPause(); paused {
		return task.ForPause, pause.Until
	}
	if why, end, paused := a.all.State(); paused {
		reason = task.ForPause
		if why == task.RateLimited && a.planRefused.Load() {
			reason = task.ForPlan
		}
		if !end.After(time.Now()) { // the probe is under way
			return reason, time.Time{}
		}
		return reason, a.starts.shared(end)
	}
	if end, held := a.Held(); held {
		return task.ForRate, a.starts.shared(end)
	}
	if a.awaitsToken.Load() {
		return task.ForRate, time.Time{}
	}
	return task.ForSlots, time.Time{}
}

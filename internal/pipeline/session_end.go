package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// lostInterval is the time between two looks whether the bucket has lost records.
const lostInterval = time.Second

// fence ends the session of a submission whose outcome is unknown. Then no agent acts in it any more, if the API confirmed
// the end. It returns the record with what the session used.
func (r *run) fence(ctx context.Context, rec *task.Record) (_ *task.Record, end task.SessionEnd, err error) {
	id := r.ownSession(rec)
	if id == "" {
		r.sessions.strayed = true // the record that named it may be lost
		return rec, end, nil
	}
	if rec, err = r.confirm(ctx, rec); err != nil {
		return rec, end, err
	}
	rec, err = r.keepRecord(ctx, rec, func(ctx context.Context) (err error) {
		if r.req.OnUnknown == task.Resubmit {
			end, err = r.Sessions.End(ctx, id)
		} else {
			end, err = r.Sessions.Fence(ctx, id)
		}
		return err
	})
	return r.withEnd(rec, end, err), end, err
}

// keepRecord makes a call that may take more than a minute. Meanwhile it writes the record again if the bucket loses it: else
// another worker could begin the task as a new one. The error is the call's, or that of the record.
func (r *run) keepRecord(ctx context.Context, rec *task.Record, call func(context.Context) error) (*task.Record, error) {
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	var callErr error
	var panicked any // it is the task's, and must not end the worker
	called := make(chan struct{})
	go func() {
		defer func() {
			panicked = recover()
			close(called)
		}()
		callErr = call(callCtx)
	}()
	ticker := time.NewTicker(lostInterval)
	defer ticker.Stop()
	for {
		select {
		case <-called:
			if panicked != nil {
				panic(panicked)
			}
			return rec, callErr
		case <-ticker.C:
		}
		if !r.mayBeLost() {
			continue
		}
		restored, err := r.restore(ctx, rec)
		if err != nil {
			cancel()
			<-called
			return rec, err
		}
		rec = restored
	}
}

// endSession ends the session that Capstan created for the run, and returns the record with what it used. outcome is that of
// its workflow, or nil if none ran. If the task ends before its workflow, the record says so first: the end of the session
// ends the workflow, and nobody who takes the task over must judge that.
func (r *run) endSession(ctx context.Context, rec *task.Record, outcome *task.Outcome) (_ *task.Record, err error) {
	if outcome != nil {
		if rec, err = r.saveEnding(ctx, rec, outcome); err != nil {
			return rec, err
		}
	}
	if id := r.ownSession(rec); id != "" {
		var end task.SessionEnd
		if rec, err = r.keepRecord(ctx, rec, func(ctx context.Context) (err error) {
			end, err = r.Sessions.End(ctx, id)
			return err
		}); err != nil {
			return rec, err
		}
		rec = r.withEnd(rec, end, nil)
		if outcome != nil {
			outcome.Session = &end
		}
		r.Admission.BrowserFreed()
	}
	mayEnd := rec.SessionEnded == nil || *rec.SessionEnded // where the API did not end one session, it would not end others
	mayStray := r.sessions.strayed || r.createsSession() && rec.Epoch > 1
	if mayEnd && mayStray {
		rec, err = r.endStrayed(ctx, rec)
	}
	return rec, err
}

// endStrayed ends the sessions of the task that no record names. If another worker has the task by the time they are listed,
// they may be its own.
func (r *run) endStrayed(ctx context.Context, rec *task.Record) (*task.Record, error) {
	var ids []string
	rec, err := r.keepRecord(ctx, rec, func(ctx context.Context) (err error) {
		ids, err = r.tagged(ctx, rec)
		return err
	})
	if len(ids) == 0 || err != nil {
		return rec, err
	}
	if rec, err = r.restore(ctx, rec); err != nil {
		return rec, err
	}
	return r.keepRecord(ctx, rec, func(ctx context.Context) error { return r.Sessions.EndAll(ctx, ids) })
}

// tagged returns the open sessions of a task that the API lists.
func (p *Pipeline) tagged(ctx context.Context, rec *task.Record) (ids []string, err error) {
	return p.Sessions.Tagged(ctx, task.SessionTag(rec.TaskID), requestTag(rec.RequestedAt))
}

// requestTag is on every session that Capstan creates for a request. The task's id alone does not say whose the session is:
// two queues that share an account give their tasks the same ids by default.
func requestTag(stored time.Time) string { return fmt.Sprint("capstan-request:", stored.UnixMilli()) }

// saveEnding records that the run ends before its workflow, unless the session is not Capstan's.
func (r *run) saveEnding(ctx context.Context, rec *task.Record, outcome *task.Outcome) (*task.Record, error) {
	next := *rec
	switch {
	case r.ownSession(rec) == "":
		return rec, nil
	case outcome.Canceled != nil:
		next.Ending = task.Canceled
	case outcome.TimedOut:
		next.Ending = task.Timeout
	case outcome.Lost:
		next.Ending = task.WorkflowLost
	}
	if next.Ending == rec.Ending {
		return rec, nil
	}
	confirmed, err := r.confirm(ctx, rec)
	if err != nil {
		return confirmed, err
	}
	next.Revision = confirmed.Revision
	return r.save(ctx, next)
}

// endedBefore returns the outcome of a run whose record says that Capstan was ending it, or nil.
func (r *run) endedBefore(ctx context.Context, rec *task.Record) *task.Outcome {
	switch rec.Ending {
	case task.Timeout:
		return &task.Outcome{TimedOut: true}
	case task.WorkflowLost:
		return &task.Outcome{Lost: true}
	case task.Canceled:
		c, _ := r.canceled(ctx) // if it was taken back meanwhile, the task is canceled nevertheless
		return &task.Outcome{Canceled: &c}
	default:
		return nil
	}
}

// withEnd returns the record with the end of its session and what that used, and notes a session that may still be open. err
// is that of ending it.
func (r *run) withEnd(rec *task.Record, end task.SessionEnd, err error) *task.Record {
	if err != nil {
		return rec
	}
	if !end.Confirmed {
		r.sessions.strayed = true
		r.log.Warn().Str("task", rec.TaskID).Str("session", rec.SessionID).Msg("end of session not confirmed, it ends by itself")
	}
	next := ended(*rec, end)
	return &next
}

// ended returns the record with the end of its session and what that used.
func ended(rec task.Record, end task.SessionEnd) task.Record {
	rec.SessionEnded = &end.Confirmed
	rec.Steps, rec.Credits = sum(rec.Steps, end.Steps), sum(rec.Credits, end.Credits)
	return rec
}

// used returns what all sessions of a task have used, as far as it is known.
func used(rec *task.Record) (steps *int, credits *float64) {
	steps, credits = rec.Steps, rec.Credits
	for _, before := range rec.Runs {
		steps, credits = sum(steps, before.Steps), sum(credits, before.Credits)
	}
	return steps, credits
}

// sum adds two numbers that may not be known.
func sum[N int | float64](a, b *N) *N {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	default:
		return new(*a + *b)
	}
}

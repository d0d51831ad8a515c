package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// admit waits for a slot and then prepares the submission. The wait may be long, so admit has a small frame: see wait.go.
func (r *run) admit(ctx context.Context, rec *task.Record) (*task.Record, *task.Verdict, error) {
	rec, err := r.awaitSlot(ctx, rec)
	return r.prepare(ctx, rec, err)
}

// prepare creates the session of a task that has a slot, and writes the record that announces its submission. It returns the
// verdict on a task that must not be submitted. waited is the error of the wait for the slot.
func (r *run) prepare(ctx context.Context, rec *task.Record, waited error) (*task.Record, *task.Verdict, error) {
	verdict, err := r.unfit(ctx, rec, waited)
	if verdict == nil && err == nil && r.createsSession() { // whoever has the task by now creates its session
		rec, err = r.confirm(ctx, rec)
	}
	if verdict == nil && err == nil {
		rec, verdict, err = r.openSession(ctx, rec)
	}
	if verdict == nil && err == nil && r.slot != nil {
		// The wait may have been long. If the bucket was recreated meanwhile, another worker's record can have the revision
		// that this run would write over.
		opened := rec
		if rec, err = r.confirm(ctx, rec); err == nil {
			rec, err = r.advance(ctx, r.asSubmitting(*rec))
		}
		if err != nil {
			r.endUnused(ctx, opened)
		}
	}
	if verdict != nil || err != nil {
		r.releaseSlot(task.ErrNotSubmitted)
	}
	return rec, verdict, err
}

// unfit returns the verdict on a task that must not be submitted, whatever the API would say, or nil. waited is the error
// of the wait for a slot. It is returned if it decides nothing about the task.
func (r *run) unfit(ctx context.Context, rec *task.Record, waited error) (*task.Verdict, error) {
	isEnd := errors.Is(waited, task.ErrCanceled) || errors.Is(waited, context.Canceled) || errors.Is(waited, context.DeadlineExceeded)
	if waited != nil && !isEnd {
		return nil, waited
	}
	c, isCanceled := r.canceled(ctx)
	switch {
	case isCanceled, errors.Is(waited, task.ErrCanceled):
		return failed(rec, task.Canceled, c.String()+"; "+unsent(rec)), nil
	case r.expired(rec.Run):
		return failed(rec, task.Expired, "expires_at, "+r.req.ExpiresAt.Format(time.RFC3339Nano)+", passed before the task could be submitted"), nil
	case waited != nil:
		return nil, waited
	}
	if field := r.req.NeedsSession(); field != "" && !r.cfg.Sessions {
		return failed(rec, task.InvalidRequest, field+": needs workers with SESSIONS=on"), nil
	}
	if err := r.readSecrets(); err != nil {
		return failed(rec, task.SecretUnavailable, err.Error()), nil
	}
	return nil, nil
}

// unsent says what was not submitted of a task that ends before its POST.
func unsent(rec *task.Record) string {
	if rec.Run > 0 {
		return "its next run was not submitted"
	}
	return "it was not submitted"
}

// acquireSlot waits for a submission slot, no longer than longest (0: no bound), and in the first run not beyond expires_at.
// Meanwhile it calls look every few seconds, unless that is nil.
func (r *run) acquireSlot(ctx context.Context, run int, longest time.Duration, look func() error) error {
	if longest > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longest)
		defer cancel()
	}
	if !r.req.ExpiresAt.IsZero() && run == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.req.ExpiresAt.Sub(r.cfg.Clock.Now()))
		defer cancel()
	}
	release, err := r.Admission.Acquire(ctx, r.req.SessionID, look)
	if err != nil {
		return err
	}
	r.slot = release
	return nil
}

// releaseSlot releases the submission slot, if this run has one, with the result of its submission.
func (r *run) releaseSlot(result error) {
	if r.slot != nil {
		r.slot(result)
		r.slot = nil
	}
}

// expired reports whether the request may no longer be submitted, by the server's clock. A retry is not bound by that.
func (r *run) expired(run int) bool {
	return run == 0 && !r.req.ExpiresAt.IsZero() && !r.cfg.Clock.Now().Before(r.req.ExpiresAt)
}

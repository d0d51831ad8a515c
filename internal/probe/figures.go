package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// watched is what the API has said of a session since its end.
type watched struct {
	last    task.Session
	changed time.Duration // when it last said something else, after the end
	sawZero bool          // it said that no step was taken
	forgot  bool          // it no longer knows the session
	err     error         // of the last call, if it failed
}

// figures reports what the API says of the steps and credits of a session after its end, and when they are final. acted means
// that an agent is known to have acted in it: then 0 steps, however soon they are corrected, would let the fence run a task
// twice.
func (r *run) figures(ctx context.Context, fact string, s *session, acted bool) {
	ended, w := time.Now(), watched{}
	final := r.until(ctx, r.waits.Figures, func() bool { return r.watch(ctx, s, &w, time.Since(ended)) })
	f := Finding{Fact: fact, Verdict: Bad, Took: w.changed}
	switch steps := w.last.Steps; {
	case w.forgot:
		f.Seen = "the API no longer knows the session, so its steps are lost: " + answered(w.err)
	case steps == nil && w.err != nil:
		f.Verdict, f.Seen = Unknown, answered(w.err)
	case steps == nil:
		f.Seen = fmt.Sprintf("none reported within %v", r.waits.Figures)
	case !acted && *steps == 0:
		f.Verdict, f.Seen = Unknown, "0, but no step was seen before the end"
	case acted && *steps == 0:
		f.Seen = "0, although an agent has acted"
	case acted && w.sawZero:
		f.Seen = fmt.Sprintf("0 at first, and %s after %v: a session in which an agent has acted cannot be told from others", figuresText(w.last), rounded(w.changed))
	case !final:
		f.Verdict, f.Seen = Unknown, fmt.Sprintf("%s, but not final within %v", figuresText(w.last), r.waits.Figures)
	default:
		f.Verdict, f.Seen = Fine, fmt.Sprintf("%s, final %v after the end", figuresText(w.last), rounded(w.changed))
	}
	if w.last.Credits != nil {
		r.credits += *w.last.Credits
	}
	r.add(ctx, f)
}

// watch looks at a session once, at a time after its end. It reports whether its figures are final or cannot be had.
func (r *run) watch(ctx context.Context, s *session, w *watched, at time.Duration) bool {
	report, err := r.client.Session(ctx, s.id)
	w.err = err
	if failure, ok := errors.AsType[*task.SessionError](err); ok {
		w.forgot = failure.UnknownSession()
		return w.forgot
	}
	if isOther(report.Steps, w.last.Steps) || isOther(report.Credits, w.last.Credits) {
		w.changed = at
	}
	w.last = report
	w.sawZero = w.sawZero || report.Steps != nil && *report.Steps == 0
	return report.Steps != nil && at-w.changed >= r.waits.Quiet
}

// isOther reports whether two figures differ. One that the API does not say is nil.
func isOther[N comparable](a, b *N) bool {
	return (a == nil) != (b == nil) || a != nil && *a != *b
}

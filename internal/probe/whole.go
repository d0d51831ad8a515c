package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// wholeTask runs a task to its end in a session, ends the session, and looks at what is left of it.
func (r *run) wholeTask(ctx context.Context, s *session) {
	began := time.Now()
	workflow, err := r.submit(ctx, s, wholePrompt, wholeSteps)
	if err != nil {
		r.add(ctx, Finding{Fact: factTask, Verdict: refusalVerdict(err), Seen: "not accepted: " + answered(err)})
		return
	}
	last, ended, err := r.awaitWorkflow(ctx, workflow, r.waits.Run)
	took := time.Since(began)
	f := Finding{Fact: factTask, Verdict: Unknown, Took: took}
	completed := ended && strings.EqualFold(last.Status, "completed")
	switch {
	case completed:
		f.Verdict, f.Seen = Fine, fmt.Sprintf("COMPLETED after %v", rounded(took))
	case ended:
		f.Seen = fmt.Sprintf("%s after %v: run the probe again", word(last.Status), rounded(took))
	case err != nil:
		f.Seen = "its workflow could not be followed: " + answered(err)
	default:
		f.Seen = fmt.Sprintf("still %s after %v", word(last.Status), r.waits.Run)
	}
	r.add(ctx, f)
	r.end(ctx, factEnd, s)
	if !s.gone {
		return
	}
	r.figures(ctx, factFigures, s, completed)
	r.lateTask(ctx, s)
}

// refusalVerdict judges an error of a task in an open session. Only a refusal of the task itself says something about
// sessions.
func refusalVerdict(err error) Verdict {
	if failure, ok := errors.AsType[*task.SubmitError](err); ok && (failure.Kind == task.Refused || failure.Reason == task.Forbidden) {
		return Bad
	}
	return Unknown
}

// lateTask submits a task into a session that has ended. The fence rests on a refusal: a submission that arrives after the end
// of its session must not run.
func (r *run) lateTask(ctx context.Context, s *session) {
	workflow, err := r.submit(ctx, s, latePrompt, lateSteps)
	if err == nil {
		r.acceptedLate(ctx, workflow)
		return
	}
	f := Finding{Fact: factLate, Verdict: Unknown, Seen: answered(err)}
	failure, ok := errors.AsType[*task.SubmitError](err)
	switch {
	case !ok:
	case failure.Kind == task.Refused && failure.HTTPStatus >= http.StatusBadRequest, failure.Reason == task.Forbidden:
		f.Verdict, f.Seen = Fine, "refused: "+answered(err)
	case failure.Kind == task.Unknown:
		f.Seen = answered(err) + ": it may have been accepted"
	}
	r.add(ctx, f)
}

// acceptedLate reports what becomes of a task that was accepted although its session had ended.
func (r *run) acceptedLate(ctx context.Context, workflow string) {
	began := time.Now()
	last, ended, err := r.awaitWorkflow(ctx, workflow, r.waits.Workflow)
	f := Finding{Fact: factLate, Verdict: Bad, Took: time.Since(began)}
	switch {
	case ended && strings.EqualFold(last.Status, "completed"):
		f.Seen = "accepted, and COMPLETED: it ran although its session had ended"
	case ended:
		f.Verdict, f.Seen = Unknown, fmt.Sprintf("accepted, and %s after %v: whether its agent acted cannot be seen", word(last.Status), rounded(f.Took))
	case err != nil:
		f.Seen = "accepted, and its workflow could not be followed: " + answered(err)
	default:
		f.Seen = fmt.Sprintf("accepted, and still %s after %v", word(last.Status), r.waits.Workflow)
	}
	r.add(ctx, f)
}

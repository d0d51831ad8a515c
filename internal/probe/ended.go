package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// endedTask begins a long task in a session, ends the session after the first step, and looks at what becomes of the task.
func (r *run) endedTask(ctx context.Context, s *session) {
	workflow, err := r.submit(ctx, s, longPrompt, longSteps)
	if err != nil {
		r.add(ctx, Finding{Fact: factOrphan, Verdict: Unknown, Seen: "the task was not accepted: " + answered(err)})
		return
	}
	acted := r.firstStep(ctx, s)
	before, err := r.client.Status(ctx, workflow, longestStatus)
	r.end(ctx, factEndBusy, s)
	ended := time.Now()
	switch {
	case err != nil:
		r.add(ctx, Finding{Fact: factOrphan, Verdict: Unknown, Seen: "its workflow could not be followed: " + answered(err)})
		return
	case before.Ended():
		r.add(ctx, Finding{Fact: factOrphan, Verdict: Unknown, Seen: "the task ended before its session: run the probe again"})
		return
	case !s.gone:
		return
	}
	r.orphan(ctx, workflow, ended)
	r.figures(ctx, factEndedSteps, s, acted)
}

// firstStep waits for the first step of a task, and reports whether it was seen.
func (r *run) firstStep(ctx context.Context, s *session) bool {
	began := time.Now()
	var last error
	acted := r.until(ctx, r.waits.Step, func() bool {
		report, err := r.client.Session(ctx, s.id)
		last = err
		return err == nil && report.Steps != nil && *report.Steps > 0
	})
	f := Finding{Fact: factLive, Verdict: Fine, Took: time.Since(began)}
	switch {
	case acted:
		f.Seen = fmt.Sprintf("the first step is counted after %v", rounded(f.Took))
	case last != nil:
		f.Verdict, f.Seen = Unknown, answered(last)
	default:
		f.Verdict, f.Seen = Bad, fmt.Sprintf("none counted within %v", r.waits.Step)
	}
	r.add(ctx, f)
	return acted
}

// orphan reports what the status of a workflow becomes after the end of its session.
func (r *run) orphan(ctx context.Context, workflow string, sessionEnded time.Time) {
	last, ended, err := r.awaitWorkflow(ctx, workflow, r.waits.Workflow)
	f := Finding{Fact: factOrphan, Verdict: Bad, Took: time.Since(sessionEnded)}
	failure, failed := errors.AsType[*task.StatusError](err)
	switch {
	case ended && strings.EqualFold(last.Status, "completed"):
		f.Seen = fmt.Sprintf("COMPLETED after %v: a task whose browser was ended would look like a success", rounded(f.Took))
	case ended:
		f.Verdict, f.Seen = Fine, fmt.Sprintf("%s after %v", word(last.Status), rounded(f.Took))
	case failed && failure.UnknownWorkflow():
		f.Verdict, f.Seen = Unknown, fmt.Sprintf("the API no longer knows the workflow: %s", answered(err))
	case failed:
		f.Verdict, f.Seen = Unknown, "its workflow could not be followed: "+answered(err)
	default:
		f.Seen = fmt.Sprintf("still %s after %v: nothing shows that the agent has stopped", word(last.Status), r.waits.Workflow)
	}
	r.add(ctx, f)
}

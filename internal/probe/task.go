package probe

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// page is where the tasks of a probe begin. It is reserved for examples (RFC 2606), small, and asks for nothing.
const page = "https://example.com"

// The tasks of a probe, and how many steps each may take.
const (
	wholePrompt = "Extract the main heading of this page."
	wholeSteps  = 4

	longPrompt = "Read the main heading of this page. Then reload the page and read it again, 30 times, one after the other. Do not stop before."
	longSteps  = 12

	latePrompt = "Read the main heading of this page."
	lateSteps  = 1
)

// longestStatus bounds what is read of an answer about a workflow, in bytes. No result of these tasks is that large.
const longestStatus = 1 << 20

// submit starts a task in a session.
func (r *run) submit(ctx context.Context, s *session, prompt string, steps int) (workflow string, err error) {
	body, err := json.Marshal(map[string]any{"prompt": prompt, "url": page, "max_steps": steps, "async": true})
	if err != nil {
		return "", fmt.Errorf("encode the task: %w", err)
	}
	r.starts = nil
	return r.client.Submit(ctx, s.id, body)
}

// awaitWorkflow asks for a workflow until it ends, and reports whether it did. Else the error is that of the last call, if it
// failed.
func (r *run) awaitWorkflow(ctx context.Context, id string, wait time.Duration) (last task.Workflow, ended bool, err error) {
	ended = r.until(ctx, wait, func() bool {
		var got task.Workflow
		if got, err = r.client.Status(ctx, id, longestStatus); err == nil {
			last = got
		}
		return err == nil && got.Ended()
	})
	return last, ended, err
}

// unknownWorkflow asks for a workflow that does not exist. A worker recognizes by the answer that a workflow is lost.
func (r *run) unknownWorkflow(ctx context.Context) {
	_, err := r.client.Status(ctx, "perform-web-task-execution-"+strings.ToLower(rand.Text()), longestStatus)
	f := Finding{Fact: factNoWorkflow, Verdict: Fine}
	failure, failed := errors.AsType[*task.StatusError](err)
	switch {
	case !failed:
		f.Verdict, f.Seen = Bad, "a success: a task whose workflow is lost ends only with its timeout"
	case failure.UnknownWorkflow():
		f.Seen = fmt.Sprintf("%s, in the API's own form", answered(err))
	case failure.Reason != "" || failure.HTTPStatus == 0:
		f.Verdict, f.Seen = Unknown, answered(err)
	default:
		f.Verdict, f.Seen = Bad, answered(err)+": a task whose workflow is lost ends only with its timeout"
	}
	r.add(ctx, f)
}

// rateLimit reports what the answer to the latest creation said of the rate.
func (r *run) rateLimit(ctx context.Context) {
	f := Finding{Fact: factRate, Verdict: Fine, Seen: "none on accepted answers: workers learn the rate from refusals"}
	if s := r.starts; s != nil {
		f.Seen = fmt.Sprintf("on accepted answers: %d more starts until the window ends in %v", s.Remaining, s.Reset)
	}
	r.add(ctx, f)
}

// listed reports when a new session is listed by its tag.
func (r *run) listed(ctx context.Context, s *session) {
	began, looks := time.Now(), 0
	var last error
	found := r.until(ctx, r.waits.List, func() bool {
		looks++
		list, err := r.client.FindSessions(ctx, r.tag)
		last = err
		for _, l := range list {
			if l.ID == s.id {
				return true
			}
		}
		return false
	})
	f := Finding{Fact: factList, Verdict: Fine, Seen: "listed at once", Took: time.Since(began)}
	switch {
	case found && looks > 1:
		f.Seen = fmt.Sprintf("listed after %v", rounded(f.Took))
	case !found && last != nil:
		f.Verdict, f.Seen = Unknown, answered(last)
	case !found:
		f.Verdict, f.Seen = Bad, fmt.Sprintf("not listed within %v: a session whose creation is lost cannot be found, and ends by its idle timeout", r.waits.List)
	}
	r.add(ctx, f)
}

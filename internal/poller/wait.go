package poller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// lostAfter and lostSpan are how many answers in a row, and over how long, have to say that the API does not
	// know the workflow until it is lost.
	lostAfter = 5
	lostSpan  = time.Minute

	// lastLook is how long before the deadline a workflow is asked after once more; a tenth of the task's
	// time where that is shorter.
	lastLook = time.Second

	// resumeSpread is the time over which the first polls of a few resumed waits are spread.
	resumeSpread = time.Second

	// lateLook is what the first poll of a resumed wait may take where the deadline is nearer, or past.
	lateLook = 5 * time.Second

	// largeGrace is how long an answer that is known to be there may wait for memory and be read, even beyond
	// the deadline: the workflow ended in time.
	largeGrace = time.Minute

	// maxLastError bounds the text that an Ending keeps of a failed call, in bytes.
	maxLastError = 300
)

// wait is what is known of one workflow, and when it is asked after. It belongs to the goroutine of its task.
type wait struct {
	timer      *time.Timer
	pace       *pace // of its kind
	taskID     string
	workflowID string
	answered   func() // called for each answer that does not end the wait
	submitted  time.Time
	last       time.Time // the last look
	deadline   time.Time
	bound      time.Time // when the poll that comes next is given up: the deadline, or later after a takeover
	next       time.Time // the next step
	seen       time.Time // when the last call began that said that the workflow runs; first, submitted
	large      time.Time // when an answer was too large for a small one; zero: none was
	size       int64     // bytes to read of the next answer
	putOff     bool      // the breaker put the next poll off
	unknown    int       // answers in a row that did not know the workflow
	unknownAt  time.Time // the first of them
	ending     *task.Outcome
}

// newWait counts the watch's times from now, so that a step of the clock during the wait moves nothing.
func (p *Poller) newWait(watch *task.Watch) *wait {
	now := time.Now()
	submitted := now.Add(watch.Submitted.Sub(now))
	deadline := now.Add(watch.Deadline.Sub(now))
	w := &wait{
		pace:       p.paces.of(watch.Kind),
		taskID:     watch.TaskID,
		workflowID: watch.WorkflowID,
		submitted:  submitted,
		last:       deadline.Add(-min(lastLook, deadline.Sub(submitted)/10)),
		deadline:   deadline,
		bound:      deadline,
		seen:       submitted,
		size:       smallAnswer,
		answered:   watch.Answered,
		ending:     &task.Outcome{},
	}
	first := now.Add(w.interval())
	if watch.Resumed {
		first = now.Add(p.resumes.delay(p.cfg.MaxInterval) + rand.N(min(resumeSpread, p.cfg.Interval)))
		w.bound = later(deadline, now.Add(lateLook))
	}
	w.next = earlier(first, w.last)
	if w.answered == nil {
		w.answered = func() {}
	}
	w.timer = time.NewTimer(time.Hour) // sleep sets it
	return w
}

// sleep blocks until the next step is due. The error is that of ctx, which ended first.
func (w *wait) sleep(ctx context.Context) error {
	rest := time.Until(w.next)
	if rest <= 0 {
		return ctx.Err()
	}
	w.timer.Reset(rest)
	select {
	case <-w.timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// interrupted returns the error of a wait whose context has ended.
func (w *wait) interrupted(err error) error {
	return fmt.Errorf("wait for workflow %s: %w", w.workflowID, err)
}

// lastLook reports whether it is time for the last look before the deadline, or past it.
func (w *wait) lastLook() bool { return !time.Now().Before(w.last) }

// interval returns the time to the next poll.
func (w *wait) interval() time.Duration { return w.pace.interval(time.Since(w.submitted)) }

// learned takes in an answer about the workflow.
func (w *wait) learned(began time.Time, workflow task.Workflow) (over bool) {
	w.ending.Polls++
	w.ending.LastError = ""
	w.unknown = 0
	if workflow.Ended() {
		w.ending.Workflow = workflow
		w.ended()
		return true
	}
	w.ending.Workflow = task.Workflow{Status: workflow.Status} // the rest may be large, and means nothing yet
	w.large, w.size = time.Time{}, smallAnswer
	w.pace.running(w.seen.Sub(w.submitted), began.Sub(w.submitted))
	w.seen = began
	w.schedule()
	w.answered()
	return false
}

// ended notes that the workflow has ended. When it can have ended does not depend on how long its answer waited
// for memory.
func (w *wait) ended() {
	w.ending.DetectionDelay = time.Since(w.seen)
	known := time.Now()
	if !w.large.IsZero() {
		known = w.large
	}
	w.pace.ended(w.seen.Sub(w.submitted), known.Sub(w.submitted))
}

// failed takes in a call that told nothing of the workflow. Whether the workflow is lost is judged by answers
// about it: other failures neither count nor start the count over.
func (w *wait) failed(failure *task.StatusError) (over bool) {
	if failure.HTTPStatus != 0 || failure.TooLarge {
		w.ending.Polls++
	}
	w.ending.LastError = describe(failure)
	if failure.TooLarge {
		return w.tooLarge(failure.Size)
	}
	if failure.UnknownWorkflow() {
		w.countUnknown()
	}
	w.schedule()
	if failure.HTTPStatus != 0 && !w.ending.Lost {
		w.answered()
	}
	return w.ending.Lost
}

func (w *wait) countUnknown() {
	if w.unknown == 0 {
		w.unknownAt = time.Now()
	}
	w.unknown++
	w.ending.Lost = w.unknown >= lostAfter && time.Since(w.unknownAt) >= lostSpan
}

// tooLarge makes the next poll read more, at once: as much as the API says there is, or else as much as may be
// read of any answer. Where that was too little as well the wait is over, since only the answer of a workflow that
// ended is so large.
func (w *wait) tooLarge(size int64) (over bool) {
	now := time.Now()
	if w.large.IsZero() {
		w.large = now
	}
	if size > maxAnswer || w.size == maxAnswer {
		w.ending.TooLarge = true
		w.ended()
		return true
	}
	if w.size > smallAnswer || size <= w.size {
		size = maxAnswer
	}
	w.size = size
	w.next = now
	w.bound = later(w.deadline, now.Add(largeGrace))
	return false
}

// describe returns what a failed call brought, for people.
func describe(failure *task.StatusError) string {
	text := failure.Error()
	switch {
	case failure.HTTPStatus == 0:
		text = "no answer: " + text
	case failure.HTTPStatus < http.StatusMultipleChoices:
		text = "the answer could not be read: " + text
	case failure.Message == "":
		text = strings.TrimSpace(fmt.Sprintf("%d %s", failure.HTTPStatus, http.StatusText(failure.HTTPStatus)))
	}
	if len(text) > maxLastError {
		text = text[:maxLastError-len("…")] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// schedule sets the next poll, or the deadline where the last look was taken.
func (w *wait) schedule() {
	now := time.Now()
	w.bound = w.deadline
	w.next = earlier(now.Add(w.interval()), w.last)
	if !now.Before(w.last) {
		w.next = w.deadline
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

package poller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// A workflow is lost after this many answers in a row, over at least this time, that the API does not know it.
	lostAfter = 5
	lostSpan  = time.Minute

	// lastPollLead is how long before the deadline the last poll is due; a tenth of the task's time if that is
	// shorter.
	lastPollLead = time.Second

	// resumeSpread is the time over which the first polls of a few resumed waits are spread.
	resumeSpread = time.Second

	// resumeGrace bounds the first poll of a resumed wait whose deadline is nearer, or past.
	resumeGrace = 5 * time.Second

	// largeGrace bounds how long a large answer may wait for memory and be read, even beyond the deadline: the
	// workflow ended in time.
	largeGrace = time.Minute

	// maxLastError bounds the text that an outcome keeps of a failed call, in bytes.
	maxLastError = 300
)

// wait is the state of one wait. It belongs to the goroutine of its task.
type wait struct {
	timer      *time.Timer
	pace       *pace // of its kind
	taskID     string
	workflowID string
	answered   func() // called for each answer that does not end the wait
	scheduled  func(next time.Time, polls int)
	outcome    *task.Outcome

	submitted time.Time
	lastPoll  time.Time // when the last poll before the deadline is due
	deadline  time.Time
	due       time.Time // when the next poll is due
	giveUp    time.Time // when that poll is given up: the deadline, or later
	// When the last call began that found the workflow running; before the first, submitted.
	ranAt time.Time

	size       int64               // bytes to read of the next answer
	memory     *memory.Reservation // for the next answer, or for the one that ended the wait
	largeSince time.Time           // when an answer was too large for a small one; zero: none was
	deferred   bool                // the breaker deferred the next poll
	unknown    int                 // answers in a row that did not know the workflow
	unknownAt  time.Time           // when the first of them came
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
		answered:   watch.Answered,
		scheduled:  watch.Scheduled,
		outcome:    &task.Outcome{},
		submitted:  submitted,
		lastPoll:   deadline.Add(-min(lastPollLead, deadline.Sub(submitted)/10)),
		deadline:   deadline,
		giveUp:     deadline,
		ranAt:      submitted,
		size:       smallAnswer,
	}
	if w.answered == nil {
		w.answered = func() {}
	}
	if w.scheduled == nil {
		w.scheduled = func(time.Time, int) {}
	}
	w.pace.begin()
	first := now.Add(w.interval())
	if watch.Resumed {
		first = now.Add(p.resumes.delay(p.cfg.MaxInterval) + rand.N(min(resumeSpread, p.cfg.Interval)))
		w.giveUp = later(deadline, now.Add(resumeGrace))
	}
	w.due = earlier(first, w.lastPoll)
	w.scheduled(w.due, 0)
	w.timer = time.NewTimer(time.Hour) // sleep sets it
	return w
}

// sleep blocks until the next poll is due. It returns ctx's error if that ends first.
func (w *wait) sleep(ctx context.Context) error {
	rest := time.Until(w.due)
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

// unfinished returns the error of a wait that ctx ended before the workflow did.
func (w *wait) unfinished(ctx context.Context) error {
	return fmt.Errorf("wait for workflow %s: %w", w.workflowID, context.Cause(ctx))
}

// isLastPoll reports whether the last poll before the deadline is due, or the deadline is past.
func (w *wait) isLastPoll() bool { return !time.Now().Before(w.lastPoll) }

// interval returns the time to the next poll.
func (w *wait) interval() time.Duration { return w.pace.interval(time.Since(w.submitted)) }

// pollAnswered handles an answer about the workflow to a call that began then. It reports whether the workflow ended.
func (w *wait) pollAnswered(began time.Time, workflow task.Workflow) (over bool) {
	w.outcome.Polls++
	w.outcome.LastError = ""
	w.unknown = 0
	if workflow.Ended() {
		w.outcome.Workflow = workflow
		w.ended()
		return true
	}
	// The rest may be large, and means nothing yet.
	w.outcome.Workflow = task.Workflow{Status: workflow.Status}
	w.largeSince, w.size = time.Time{}, smallAnswer
	w.pace.running(w.ranAt.Sub(w.submitted), began.Sub(w.submitted))
	w.ranAt = began
	w.schedule()
	w.answered()
	return false
}

// ended records when the workflow has ended: since the last answer that it runs. The pace does not learn the time for
// which a large answer waited for memory.
func (w *wait) ended() {
	known := time.Now()
	w.outcome.DetectionDelay, w.outcome.DetectedAt = known.Sub(w.ranAt), known
	if !w.largeSince.IsZero() {
		known = w.largeSince
	}
	w.pace.ended(w.ranAt.Sub(w.submitted), known.Sub(w.submitted))
}

// pollFailed handles a call that failed, and reports whether the wait is over. Only answers about the workflow count
// towards a lost workflow: other failures neither count nor start the count over.
func (w *wait) pollFailed(failure *task.StatusError) (over bool) {
	if failure.HTTPStatus != 0 || failure.TooLarge {
		w.outcome.Polls++
	}
	w.outcome.LastError = describe(failure)
	if failure.TooLarge {
		return w.readMore(failure.Size)
	}
	if failure.UnknownWorkflow() {
		w.countUnknown()
	}
	w.schedule()
	if failure.HTTPStatus != 0 && !w.outcome.Lost {
		w.answered()
	}
	return w.outcome.Lost
}

// countUnknown counts an answer that the API does not know the workflow.
func (w *wait) countUnknown() {
	if w.unknown == 0 {
		w.unknownAt = time.Now()
	}
	w.unknown++
	w.outcome.Lost = w.unknown >= lostAfter && time.Since(w.unknownAt) >= lostSpan
}

// readMore schedules a poll at once that reads as many bytes as the API says there are (size), or else as many as are
// ever read. If the answer is too large even for that, the wait is over: only the answer of an ended workflow is so
// large.
func (w *wait) readMore(size int64) (over bool) {
	now := time.Now()
	if w.largeSince.IsZero() {
		w.largeSince = now
	}
	// The size may be -1, for unknown. The second condition holds if the last call has read all that is
	// ever read.
	if size > task.MaxAnswer || w.size == task.MaxAnswer {
		w.outcome.TooLarge = true
		w.ended()
		return true
	}
	// The size is unknown, or the last one was too small.
	if w.size > smallAnswer || size <= w.size {
		size = task.MaxAnswer
	}
	w.size = size
	w.due = now
	w.giveUp = later(w.deadline, now.Add(largeGrace))
	return false
}

// describe returns the text of a failed call for people, in at most maxLastError bytes.
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

// schedule sets when the next poll is due. After the last one nothing is due before the deadline.
func (w *wait) schedule() {
	now := time.Now()
	w.giveUp = w.deadline
	w.due = earlier(now.Add(w.interval()), w.lastPoll)
	if !now.Before(w.lastPoll) {
		w.due = w.deadline
	}
	w.scheduled(w.due, w.outcome.Polls)
}

// earlier returns the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

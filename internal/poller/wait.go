package poller

import (
	"math/rand/v2"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// lostAfter is how many answers in a row that do not know the workflow make it lost.
	lostAfter = 5

	// lastLook is how long before the deadline a workflow is asked after once more; a tenth of the task's
	// time where that is shorter.
	lastLook = time.Second

	// resumeSpread is the time over which the first polls of resumed waits are spread.
	resumeSpread = time.Second

	// lateLook is what the first poll of a resumed wait may take where the deadline is nearer, or past.
	lateLook = 5 * time.Second
)

// phase is what a wait does.
type phase int

const (
	asking phase = iota // or about to sleep for the first time
	asleep              // its timer says when the next step is due
	queued              // for a call; its timer says when its time is up
	over
)

// wait is what is known of one workflow, and when it is asked after.
type wait struct {
	phase    phase       // guarded by Poller.mu
	timer    *time.Timer // calls wake
	ask      func()      // in the phase asking
	unwatch  func() bool // forgets the context that ends the wait
	done     func(task.Ending, error)
	queuedAt time.Time // when it came into the queue

	pace       *pace // of its kind
	taskID     string
	workflowID string
	submitted  time.Time
	last       time.Time // the last look
	deadline   time.Time
	bound      time.Time // when the poll that comes next is given up: the deadline, or later after a takeover
	next       time.Time // the next step
	seen       time.Time // when the last call began that said that the workflow runs; first, submitted
	unknown    int       // answers in a row that did not know the workflow
	ending     task.Ending
}

// newWait counts the watch's times from now, so that a step of the clock during the wait moves nothing.
func newWait(cfg Config, pace *pace, watch *task.Watch) *wait {
	now := time.Now()
	submitted := now.Add(watch.Submitted.Sub(now))
	deadline := now.Add(watch.Deadline.Sub(now))
	w := &wait{
		pace:       pace,
		taskID:     watch.TaskID,
		workflowID: watch.WorkflowID,
		submitted:  submitted,
		last:       deadline.Add(-min(lastLook, deadline.Sub(submitted)/10)),
		deadline:   deadline,
		bound:      deadline,
		seen:       submitted,
	}
	first := now.Add(w.interval())
	if watch.Resumed {
		first = now.Add(rand.N(min(resumeSpread, cfg.Interval)))
		w.bound = later(deadline, now.Add(lateLook))
	}
	w.next = earlier(first, w.last)
	return w
}

// interval returns the time to the next poll.
func (w *wait) interval() time.Duration { return w.pace.interval(time.Since(w.submitted)) }

// learned takes in an answer about the workflow.
func (w *wait) learned(began time.Time, workflow task.Workflow) (over bool) {
	w.ending.Polls++
	w.ending.Workflow = workflow
	w.unknown = 0
	if workflow.Ended() {
		w.ended()
		return true
	}
	w.pace.running(w.seen.Sub(w.submitted), began.Sub(w.submitted))
	w.seen = began
	w.schedule()
	return false
}

func (w *wait) ended() {
	w.ending.Unnoticed = time.Since(w.seen)
	w.pace.ended(w.seen.Sub(w.submitted), time.Since(w.submitted))
}

// failed takes in a call that told nothing of the workflow. Whether the workflow is lost is judged by
// answers about it: other failures neither count nor start the count over.
func (w *wait) failed(failure *task.StatusError) (over bool) {
	if failure.HTTPStatus != 0 || failure.TooLarge {
		w.ending.Polls++
	}
	if failure.UnknownWorkflow() {
		w.unknown++
	}
	w.ending.Lost = w.unknown == lostAfter
	w.ending.TooLarge = failure.TooLarge
	if failure.TooLarge { // only the answer of a workflow that ended is
		w.ended()
	}
	w.schedule()
	return w.ending.Lost || w.ending.TooLarge
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

// resumeAfter sets the next poll to a moment after a hold: within one interval of this workflow, so that
// the rate of all polls afterwards is the usual one.
func (w *wait) resumeAfter(until time.Time) {
	w.next = until.Add(rand.N(w.interval()))
	w.next = later(earlier(w.next, w.last), until)
	w.next = earlier(w.next, w.bound)
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

package verdict

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// judgeForm checks that the parts of an event agree with each other.
func (c *Count) judgeForm(t Task, ev Event, older bool) {
	c.judgeID(t, ev, older)
	c.judgeHeaders(ev)
	if ev.Error != nil && ev.Error.Retryable != ev.Error.Code.Retryable() {
		c.complain("%s: %s is retryable: %t, want %t", ev.TaskID, ev.Error.Code, ev.Error.Retryable, ev.Error.Code.Retryable())
	}
	submitted := ev.SubmittedAt
	if submitted.IsZero() { // it never was submitted
		submitted = ev.RequestedAt
	}
	if submitted.Before(ev.RequestedAt) || ev.FinishedAt.Before(submitted) {
		c.complain("%s: requested %v, submitted %v, finished %v: out of order", ev.TaskID, ev.RequestedAt, ev.SubmittedAt, ev.FinishedAt)
	}
}

// judgeID checks the message id. The task's own event has the task id. Any other event has the task id, the sequence of the
// request that it answers, and the time when the stream stored that request in Unix milliseconds, separated by
// slashes.
func (c *Count) judgeID(t Task, ev Event, older bool) {
	id := ev.header("Nats-Msg-Id")
	if !ev.Replay && codeOf(ev) != task.DuplicateTask {
		if id != t.ID {
			c.complain("%s: event %d has the message id %q, want %q", t.ID, ev.Seq, id, t.ID)
		}
		return
	}
	if !slices.ContainsFunc(t.Requests, func(r Request) bool { return r.Names(t.ID, id, older) }) {
		c.complain("%s: event %d has the message id %q, want %s/SEQUENCE/TIME of one of its requests", t.ID, ev.Seq, id, t.ID)
	}
}

// Names reports whether a message id belongs to an event that answers this request, other than the task's own. Workers of
// an older version use a dot and the sequence.
func (r Request) Names(taskID, id string, older bool) bool {
	if older && id == fmt.Sprintf("%s.%d", taskID, r.Seq) {
		return true
	}
	text, ok := strings.CutPrefix(id, fmt.Sprintf("%s/%d/", taskID, r.Seq))
	stored, err := strconv.ParseInt(text, 10, 64)
	return ok && err == nil && stored >= r.From.UnixMilli() && stored <= r.Until.UnixMilli()
}

// judgeHeaders compares the CloudEvents attributes with the event.
func (c *Count) judgeHeaders(ev Event) {
	for name, want := range map[string]string{
		"ce-specversion": "1.0",
		"ce-id":          ev.header("Nats-Msg-Id"),
		"ce-type":        "dev.capstan.task." + string(ev.Status),
		"ce-subject":     ev.TaskID,
		"content-type":   "application/json",
	} {
		if got := ev.header(name); got != want {
			c.complain("%s: event %d has %s %q, want %q", ev.TaskID, ev.Seq, name, got, want)
		}
	}
	text := ev.header("ce-time")
	if at, err := time.Parse(time.RFC3339, text); err != nil || !at.Equal(ev.FinishedAt) {
		c.complain("%s: event %d has ce-time %q, want %v", ev.TaskID, ev.Seq, text, ev.FinishedAt)
	}
}

// judgeReplay compares a repeated event with the first.
func (c *Count) judgeReplay(ev, first Event) {
	if ev.Status != first.Status || codeOf(ev) != codeOf(first) || !same(ev.Result, first.Result) {
		c.complain("%s: event %d repeats %s %s %.200s as %s %s %.200s", ev.TaskID, ev.Seq,
			first.Status, codeOf(first), first.Result, ev.Status, codeOf(ev), ev.Result)
	}
}

// header returns the value of a header, or nothing if it does not occur exactly once. Names are case-sensitive in NATS.
func (ev Event) header(name string) string {
	if values := ev.Header[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}
